// SPDX-License-Identifier: MIT
//
// Ports of one side of a gateway that lead to the other.

import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { POLLIN, type UdpSocket } from 'vpollnet';
import { showFlow } from '../../ts/gateway-flow.js';
import {
  connected,
  exchange,
  listening,
  next,
  pair,
  ready,
  refusal,
  rest,
  toHost,
  toStack,
} from './gateway.js';
import { openDescriptors, thrownBy, until, untyped } from './support.js';

function freshFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'vpollnet-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** A question and its answer, with whom the server took for the client. */
async function converse(client: UdpSocket, server: UdpSocket): Promise<string> {
  client.send('question');
  const buffer = Buffer.alloc(100);
  await ready(server, POLLIN);
  const from = server.recvFrom(buffer)!;
  expect(buffer.toString('utf8', 0, from.bytes)).toBe('question');
  server.sendTo('answer', { host: from.address, port: from.port });
  expect(await next(client)).toBe('answer');
  return from.address;
}

const sides = {
  'the host': { open: toHost, address: '127.0.0.1' },
  'another stack': { open: toStack, address: '203.0.113.2' },
};

describe.each(Object.entries(sides))('inward from %s', (_, { open, address }) => {
  test('connections reach a server behind the gateway, without a rule', async () => {
    const { guest, server, gateway } = await open({ rules: [{ action: 'refuse' }] });
    const [listener, port] = listening(guest, '10.0.0.2');
    const options = { listen: { address, port: 0 }, to: { address: '10.0.0.2', port } };
    const forward = gateway.forward(options);
    expect(forward.options).toEqual(options);
    expect(forward.port).toBeGreaterThan(0);
    const [client, peer] = await pair(server, address, forward.port!, listener);
    expect(peer.remoteAddress?.address).toBe('10.0.0.1');
    const data = Buffer.alloc(1 << 20, 'data');
    exchange(client, peer, data);
    client.shutdown('write');
    expect((await rest(peer)).length).toBe(0);
    peer.send('bye');
    expect(await next(client)).toBe('bye');
    expect(gateway.flows()).toMatchObject([
      {
        direction: 'inward',
        protocol: 'tcp',
        state: 'closing',
        reach: 'host',
        source: client.localAddress,
        destination: { address, port: forward.port },
        target: { address: '10.0.0.2', port },
        bytesOut: data.length,
      },
    ]);
    expect(forward.flows).toBe(1);
  });

  test.each(['tcp', 'udp'] as const)(
    'listening everywhere, each %s flow says where it came to',
    async (protocol) => {
      const { guest, server, gateway } = await open();
      const [listener, port] = listening(guest, '10.0.0.2');
      const behind = guest.socket('udp').bind({ host: '10.0.0.2', port });
      const to = { address: '10.0.0.2', port };
      const forward = gateway.forward({ protocol, listen: { port: 0 }, to });
      if (protocol === 'tcp') await pair(server, address, forward.port!, listener);
      else {
        const client = server.socket('udp');
        client.connect({ host: address, port: forward.port! });
        await converse(client, behind);
      }
      // A stack of our own does not tell to which of its addresses a datagram came.
      const told = protocol === 'udp' && address !== '127.0.0.1' ? '0.0.0.0' : address;
      expect(gateway.flows()).toMatchObject([
        { destination: { address: told, family: 'IPv4', port: forward.port } },
      ]);
    },
  );

  test('datagrams too, and their answers go back from the same port', async () => {
    const { guest, server, gateway } = await open();
    const target = guest.socket('udp').bind({ host: 'fd00::2' });
    const { port } = target.localAddress!;
    const to = { address: 'fd00::2', port };
    const forward = gateway.forward({ protocol: 'udp', listen: { address, port: 0 }, to });
    for (const client of [server.socket('udp'), server.socket('udp')]) {
      client.connect({ host: address, port: forward.port! });
      expect(await converse(client, target)).toBe('fd00::1');
      await converse(client, target);
    }
    expect(forward.flows).toBe(2);
    expect(gateway.flows()).toMatchObject([
      { direction: 'inward', protocol: 'udp', packetsOut: 2, packetsIn: 2 },
      { direction: 'inward', protocol: 'udp', packetsOut: 2, packetsIn: 2 },
    ]);
  });

  test('a server that is not there ends who connected, and the forward goes on', async () => {
    const { guest, server, gateway } = await open();
    const [closed, port] = listening(guest, '10.0.0.2');
    closed.close();
    const to = { address: '10.0.0.2', port };
    const forward = gateway.forward({ listen: { address, port: 0 }, to });
    const client = server.socket('tcp');
    client.connect({ host: address, port: forward.port! });
    await ready(client, POLLIN);
    expect(thrownBy(() => client.read()).code).toBe('ECONNRESET');
    expect(gateway.counters().drops.refused).toBe(1);
    const [listener] = listening(guest, '10.0.0.2', port);
    await pair(server, address, forward.port!, listener);
  });

  test('a range leads each port to the one beside it', async () => {
    const { guest, server, gateway } = await open();
    const first = 42_100 + (process.pid % 1000) * 10;
    const forward = gateway.forward({
      listen: { address, port: first, lastPort: first + 2 },
      to: { address: '10.0.0.2', port: 700 },
    });
    expect(forward.port).toBe(first);
    for (const offset of [0, 1, 2]) {
      const [listener] = listening(guest, '10.0.0.2', 700 + offset);
      await pair(server, address, first + offset, listener);
    }
    expect(await refusal(server, address, first + 3)).toBe('ECONNREFUSED');
    expect(forward.flows).toBe(3);
  });

  test('a port in use is an error that names it, and nothing of the range stays open', async () => {
    const { gateway } = await open();
    const first = 52_100 + (process.pid % 1000) * 10;
    const other = gateway.forward({
      listen: { address, port: first + 2 },
      to: { address: '10.0.0.2', port: 9 },
    });
    const error = thrownBy(() =>
      gateway.forward({
        listen: { address, port: first, lastPort: first + 3 },
        to: { address: '10.0.0.2', port: 7 },
      }),
    );
    expect(error).toMatchObject({ code: 'EADDRINUSE', address });
    expect(error.message).toContain(`${first + 2}`);
    other.close();
    expect(gateway.forwards()).toEqual([]);
    const forward = gateway.forward({
      listen: { address, port: first, lastPort: first + 3 },
      to: { address: '10.0.0.2', port: 7 },
    });
    expect(gateway.forwards()).toEqual([forward]);
  });

  test('one that is removed takes no more, and its flows go on', async () => {
    const { guest, server, gateway } = await open();
    const [listener, port] = listening(guest, '10.0.0.2');
    const to = { address: '10.0.0.2', port };
    const forward = gateway.forward({ listen: { address, port: 0 }, to });
    const [client, peer] = await pair(server, address, forward.port!, listener);
    forward.close();
    forward.close();
    expect([forward.closed, forward.flows, gateway.forwards()]).toEqual([true, 0, []]);
    client.send('still here');
    expect(await next(peer)).toBe('still here');
    expect(await refusal(server, address, forward.port!)).toBe('ECONNREFUSED');
    gateway.forward({ listen: { address, port: forward.port! }, to });
    await pair(server, address, forward.port!, listener);
  });
});

describe('a Unix socket', () => {
  test('of the host leads inward, and is gone with the forward', async () => {
    const { guest, gateway } = await toHost();
    const [listener, port] = listening(guest, '10.0.0.2');
    const path = join(freshFolder(), 'socket');
    const forward = gateway.forward({ listen: { path }, to: { address: '10.0.0.2', port } });
    expect(forward.port).toBeUndefined();
    const ended = once(gateway, 'end');
    const client = connect({ path, allowHalfOpen: true });
    const answer = new Promise<string>((resolve) => {
      let text = '';
      client.setEncoding('utf8').on('data', (part) => {
        text += part;
      });
      client.on('end', () => resolve(text));
    });
    client.end('question');
    await ready(listener, POLLIN);
    const peer = listener.accept()!;
    expect((await rest(peer)).toString()).toBe('question');
    peer.send('answer');
    peer.close();
    expect(await answer).toBe('answer');
    expect(forward.flows).toBe(1);
    const place = { address: path, family: 'Unix', port: 0 };
    const [flow] = await ended;
    expect(flow).toMatchObject({ interface: '', source: place, destination: place, reach: 'host' });
    expect(showFlow(flow)).toBe(`tcp ${path} -> ${path}`);
    forward.close();
    expect(existsSync(path)).toBe(false);
  });

  test('that is in use is not taken over, and one that was left behind is', async () => {
    const { gateway } = await toHost();
    const path = join(freshFolder(), 'socket');
    const other = createServer().listen(path);
    onTestFinished(() => void other.close());
    await new Promise((resolve) => other.once('listening', resolve));
    const to = { address: '10.0.0.2', port: 7 };
    const error = thrownBy(() => gateway.forward({ listen: { path }, to }));
    expect(error).toMatchObject({ code: 'EADDRINUSE', path });
    expect(existsSync(path)).toBe(true);
  });

  test('of the host is reached by an outward forward', async () => {
    const { guest, gateway } = await toHost();
    const path = join(freshFolder(), 'socket');
    const unix = createServer({ allowHalfOpen: true }, (peer) => peer.pipe(peer)).listen(path);
    onTestFinished(() => void unix.close());
    await new Promise((resolve) => unix.once('listening', resolve));
    gateway.forward({ direction: 'outward', listen: { port: 2375 }, to: { path } });
    const client = await connected(guest, '10.0.0.1', 2375);
    client.send('there and back');
    expect(await next(client)).toBe('there and back');
  });
});

describe('outward', () => {
  test("the gateway's own ports lead to the far side, without a question", async () => {
    const { guest, server, gateway } = await toHost({ policy: () => 'refuse' });
    const [listener, port] = listening(server, '127.0.0.1');
    const forward = gateway.forward({
      direction: 'outward',
      listen: { address: '10.0.0.1', port: 8080 },
      to: { address: '127.0.0.1', port },
    });
    await pair(guest, '10.0.0.1', 8080, listener);
    expect(await refusal(guest, '10.0.0.1', 8081)).toBe('ECONNREFUSED');
    expect(await refusal(guest, '198.51.100.1', 8080)).toBe('ECONNREFUSED');
    expect(await refusal(guest, 'fd00::1', 8080)).toBe('ECONNREFUSED');
    expect(forward.flows).toBe(1);
    forward.close();
    expect(await refusal(guest, '10.0.0.1', 8080)).toBe('ECONNREFUSED');
  });

  test('of both families, by ranges, and of UDP', async () => {
    const { guest, server, gateway } = await toHost();
    const target = server.socket('udp').bind({ host: '127.0.0.1' });
    const { port } = target.localAddress!;
    const to = { address: '127.0.0.1', port: port - 1 };
    const listen = { port: 52, lastPort: 54 };
    gateway.forward({ direction: 'outward', protocol: 'udp', listen, to });
    for (const host of ['10.0.0.1', 'fd00::1']) {
      const client = guest.socket('udp');
      client.connect({ host, port: 53 });
      expect(await converse(client, target)).toBe('127.0.0.1');
    }
    const error = thrownBy(() =>
      gateway.forward({ direction: 'outward', protocol: 'udp', listen: { port: 54 }, to }),
    );
    expect(error).toMatchObject({ code: 'EADDRINUSE' });
  });
});

test('a forward says which option is wrong, and what with it', async () => {
  const { gateway } = await toHost();
  const message = (options: unknown) => thrownBy(() => gateway.forward(untyped(options))).message;
  const listen = { port: 8080 };
  const to = { address: '10.0.0.2', port: 80 };
  expect(message({ to })).toContain('"options.listen" property must be of type object');
  expect(message({ listen })).toContain('"options.to"');
  expect(message({ listen, to, proto: 'udp' })).toContain("'options.proto' is not known");
  expect(message({ listen, to, protocol: 'icmp' })).toContain("must be 'tcp' or 'udp'");
  expect(message({ listen, to, direction: 'in' })).toContain("must be 'inward' or 'outward'");
  expect(message({ listen: { port: 65536 }, to })).toContain('options.listen.port');
  expect(message({ listen: { port: 90, lastPort: 80 }, to })).toContain('which is 90');
  expect(message({ listen: { port: 0, lastPort: 80 }, to })).toContain('options.listen.lastPort');
  expect(message({ listen: { host: '::', port: 1 }, to })).toContain("'options.listen.host'");
  expect(message({ listen, to: { port: 80 } })).toContain('"options.to.address"');
  expect(message({ listen, to: { address: 'localhost', port: 80 } })).toContain('options.to.addr');
  expect(message({ listen, to: { ...to, port: 0 } })).toContain('options.to.port');
  expect(message({ listen: { port: 1, lastPort: 9 }, to: { ...to, port: 65530 } })).toContain(
    'leaves no room for 9 ports',
  );
  expect(message({ listen, to: { path: '/x' } })).toContain("needs tcp, and direction 'outward'");
  expect(message({ protocol: 'udp', listen: { path: '/x' }, to })).toContain('needs tcp');
  expect(message({ direction: 'outward', listen: { path: '/x' }, to })).toContain("'inward'");
  const range = { direction: 'outward', listen: { port: 1, lastPort: 2 }, to: { path: '/x' } };
  expect(message(range)).toContain('is one, and there are several ports');
  const foreign = { listen: { address: '198.51.100.1', port: 8080 }, to };
  expect(message(foreign)).toContain('EADDRNOTAVAIL 198.51.100.1:8080');
});

test('the close of a gateway closes its forwards, with every descriptor', async () => {
  const { gateway } = await toHost();
  const before = openDescriptors();
  const path = join(freshFolder(), 'socket');
  const to = { address: '10.0.0.2', port: 80 };
  const address = '127.0.0.1';
  const forwards = [
    gateway.forward({ listen: { address, port: 0 }, to }),
    gateway.forward({ protocol: 'udp', listen: { address, port: 0 }, to }),
    gateway.forward({ listen: { path }, to }),
  ];
  expect(openDescriptors()).toBeGreaterThanOrEqual(before + 3);
  gateway.close();
  expect(forwards.map(({ closed }) => closed)).toEqual([true, true, true]);
  expect(existsSync(path)).toBe(false);
  await until(() => openDescriptors() <= before);
});
