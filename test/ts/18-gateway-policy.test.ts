// SPDX-License-Identifier: MIT
//
// Who decides about the flows of a gateway, and what becomes of them.

import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  type Decision,
  type FlowInfo,
  type Gateway,
  POLLIN,
  POLLOUT,
  type Policy,
  TcpSocket,
  UdpSocket,
} from 'vpollnet';
import {
  accepted,
  connected,
  listening,
  next,
  once,
  openGateway,
  openGuest,
  pair,
  ready,
  refusal,
  rest,
  toHost,
  toStack,
} from './gateway.js';
import { thrownBy, until, untyped } from './support.js';

const server9 = '203.0.113.9';

/** A gateway with that policy, and a server behind it. */
async function withPolicy(policy: Policy, policyTimeout = 20_000) {
  const place = await toStack({ policy, policyTimeout });
  const [listener, port] = listening(place.server, server9);
  const errors: (Error & { code?: string; cause?: unknown })[] = [];
  place.gateway.on('error', (error) => errors.push(error));
  return { ...place, listener, port, errors };
}

describe('a policy', () => {
  test('is asked once a flow, before its SYN is answered', async () => {
    const asked: FlowInfo[] = [];
    const { guest, gateway, listener, port } = await withPolicy((flow) => {
      asked.push(flow);
      return 'allow';
    });
    const [client, server] = await pair(guest, server9, port, listener);
    client.send('x');
    expect(await next(server)).toBe('x');
    expect(asked).toMatchObject([
      {
        id: 1,
        protocol: 'tcp',
        state: 'asking',
        interface: 'eth0',
        source: client.localAddress,
        destination: { address: server9, family: 'IPv4', port },
        reach: 'special',
        bytesOut: 0,
      },
    ]);
    expect(gateway.counters()).toMatchObject({ flows: 1, asking: 0, openFlows: 1 });
  });

  test('may take its time, and nobody is answered meanwhile', async () => {
    const { guest, gateway, listener, port } = await withPolicy(async ({ destination }) => {
      await sleep(destination.port === port ? 300 : 0);
      return destination.port === port ? 'allow' : 'refuse';
    });
    const asked = once(gateway, 'ask');
    const slow = connected(guest, server9, port);
    const { id } = await asked;
    expect(gateway.flows()).toMatchObject([{ id, state: 'asking' }]);
    expect(gateway.counters().asking).toBe(1);
    expect(await refusal(guest, server9, 1)).toBe('ECONNREFUSED'); // others are not held up
    expect(listener.accept()).toBeNull();
    await Promise.all([slow, accepted(listener)]);
  });

  test('refuses with a reset, and by ICMP', async () => {
    const { guest, gateway, port } = await withPolicy(() => 'refuse');
    expect(await refusal(guest, server9, port)).toBe('ECONNREFUSED');
    const client = guest.socket('udp');
    client.connect({ host: server9, port: 53 });
    client.send('x');
    await ready(client, POLLIN);
    expect(thrownBy(() => client.read()).code).toMatch(/^E(ACCES|HOSTUNREACH)$/);
    expect(gateway.counters().drops.denied).toBe(2);
  });

  test('drops without a word', async () => {
    const { guest, gateway, port } = await withPolicy(() => 'drop');
    const client = guest.socket('tcp');
    client.connect({ host: server9, port });
    await until(() => (gateway.counters().drops.dropped ?? 0) > 1); // the SYN came again
    expect(client.state).toBe('SYN-SENT');
  });

  test('that throws refuses, and the error is told', async () => {
    const { guest, gateway, errors, port } = await withPolicy(({ protocol }) => {
      throw new Error(`no ${protocol} today`);
    });
    expect(await refusal(guest, server9, port)).toBe('ECONNREFUSED');
    expect(gateway.counters().drops).toMatchObject({ denied: 1, undecided: 0 });
    expect(errors[0]).toMatchObject({
      code: 'ERR_GATEWAY_POLICY',
      cause: { message: 'no tcp today' },
    });
    expect(errors[0]!.message).toMatch(
      /^the policy threw for tcp 10\.0\.0\.2:\d+ -> 203\.0\.113\.9:\d+, which is refused$/,
    );
  });

  test('that rejects refuses, also where nobody listens for errors', async () => {
    const { guest, gateway, port } = await withPolicy(() => Promise.reject(new Error('no')));
    gateway.removeAllListeners('error');
    expect(await refusal(guest, server9, port)).toBe('ECONNREFUSED');
  });

  test.each<[unknown, string]>([
    [undefined, 'undefined'],
    ['accept', "'accept'"],
    [true, 'true'],
    [{}, '{}'],
    [{ redirect: { port: 1 }, take: () => {} }, 'redirect'],
    [{ take: 1 }, '"decision.take" property must be of type function'],
    [{ redirect: { adress: '10.0.0.1' } }, "'redirect.adress' is not known"],
    [{ redirect: { address: 'localhost' } }, "'redirect.address'"],
    [{ redirect: { port: 0 } }, 'redirect.port'],
    [Promise.resolve(null), 'null'],
  ])('that gives %o refuses, and says so', async (value, text) => {
    const { guest, errors, port } = await withPolicy(() => untyped(value));
    expect(await refusal(guest, server9, port)).toBe('ECONNREFUSED');
    expect(errors).toHaveLength(1);
    expect(errors[0]!.code).toBe('ERR_GATEWAY_POLICY');
    expect(errors[0]!.message).toContain('gave a wrong value');
    expect(errors[0]!.message).toContain(text);
  });

  test('that never answers refuses when its time is over, and its signal says so', async () => {
    let signal: AbortSignal | undefined;
    const policy = (_: FlowInfo, given: AbortSignal) => {
      signal = given;
      return new Promise<Decision>(() => {});
    };
    const { guest, gateway, errors, port } = await withPolicy(policy, 100);
    const ended = once(gateway, 'end');
    expect(await refusal(guest, server9, port)).toBe('ECONNREFUSED');
    expect(await ended).toMatchObject({ end: 'undecided' });
    expect(signal?.aborted).toBe(true);
    expect(gateway.counters()).toMatchObject({ asking: 0, drops: { undecided: 1 } });
    expect(errors).toEqual([]);
  });

  test('hears by its signal that a flow is over, though nobody listens for events', async () => {
    const signals: AbortSignal[] = [];
    let release = (_: Decision) => {};
    const { guest, gateway, port } = await withPolicy((_, signal) => {
      signals.push(signal);
      return new Promise((resolve) => {
        release = resolve;
      });
    });
    const attempt = refusal(guest, server9, port);
    await until(() => signals.length === 1);
    expect(gateway.kill(gateway.flows()[0]!.id)).toBe(true);
    expect(await attempt).toBe('ECONNREFUSED');
    await until(() => signals[0]!.aborted);
    release('allow'); // too late
    await sleep(10);
    expect(gateway.flows()).toEqual([]);
    const second = refusal(guest, server9, port);
    await until(() => signals.length === 2);
    gateway.close();
    expect(signals[1]!.aborted).toBe(true);
    await second;
  });

  test('that throws because its signal was aborted is no error', async () => {
    const { guest, errors, port } = await withPolicy(
      (_, signal) =>
        new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
      50,
    );
    expect(await refusal(guest, server9, port)).toBe('ECONNREFUSED');
    await sleep(20);
    expect(errors).toEqual([]);
  });

  test('is asked by a rule, and no rule that decides asks it', async () => {
    const asked: number[] = [];
    const policy = ({ destination }: FlowInfo): Decision => {
      asked.push(destination.port);
      return 'refuse';
    };
    const { guest, server, gateway } = await toStack({ policy });
    const [listener, port] = listening(server, server9);
    gateway.setRules([
      { ports: port, action: 'allow' },
      { ports: '1-99', action: 'ask' },
      { ports: '1-199', action: 'refuse' },
    ]);
    await pair(guest, server9, port, listener);
    for (const other of [7, 150, 250]) await refusal(guest, server9, other);
    expect(asked).toEqual([7, 250]);
  });

  test('more flows than may wait for it are refused, and the first are still decided', async () => {
    let decide = (_: Decision) => {};
    const decision = new Promise<Decision>((resolve) => {
      decide = resolve;
    });
    const { guest, server, gateway } = await toStack({
      policy: () => decision,
      limits: { asking: 2 },
    });
    const [, port] = listening(server, server9);
    const clients = [1, 2, 3, 4].map(() => {
      const client = guest.socket('tcp');
      client.connect({ host: server9, port });
      return client;
    });
    await until(() => (gateway.counters().drops.asking_limit ?? 0) >= 2);
    expect(gateway.counters().asking).toBe(2);
    decide('allow');
    await until(() => clients.filter(({ state }) => state === 'ESTABLISHED').length >= 2);
  });

  test('decides about datagrams, which wait for it in order', async () => {
    const { guest, server } = await withPolicy(async (): Promise<Decision> => {
      await sleep(50);
      return 'allow';
    });
    const target = server.socket('udp').bind({ host: server9, port: 5000 });
    const client = guest.socket('udp');
    client.connect({ host: server9, port: 5000 });
    for (const text of ['one', 'two', 'three']) client.send(text);
    for (const text of ['one', 'two', 'three']) expect(await next(target)).toBe(text);
  });

  test('datagrams beyond those that wait are counted, not kept', async () => {
    const { guest, gateway } = await withPolicy(() => new Promise(() => {}));
    const client = guest.socket('udp');
    client.connect({ host: server9, port: 5000 });
    for (let i = 0; i < 100; i += 1) client.send(Buffer.alloc(1000));
    await until(() => gateway.counters().asking === 1);
    expect(gateway.counters().drops.datagram_queue_full).toBeGreaterThan(50);
  });

  test('decides about echo requests', async () => {
    const asked: string[] = [];
    const { guest } = await withPolicy(({ protocol, destination }) => {
      asked.push(`${protocol} ${destination.address} ${destination.port}`);
      return 'allow';
    });
    const socket = guest.socket('icmp');
    socket.sendTo('ping', { host: server9 });
    await ready(socket, POLLIN);
    expect(asked).toEqual([`icmp ${server9} 0`]);
  });
});

describe('redirect', () => {
  test('leads to another address and port, of TCP and UDP', async () => {
    const { guest, server, gateway, listener, port } = await withPolicy(({ protocol }) =>
      protocol === 'tcp'
        ? { redirect: { address: server9, port } }
        : { redirect: { address: '2001:db8::9' } },
    );
    const [client] = await pair(guest, '198.51.100.77', 443, listener);
    expect(client.remoteAddress).toMatchObject({ address: '198.51.100.77', port: 443 });
    expect(gateway.flows()).toMatchObject([{ target: { address: server9, port } }]);
    const target = server.socket('udp').bind({ host: '2001:db8::9', port: 5353 });
    const asking = guest.socket('udp');
    asking.connect({ host: '198.51.100.77', port: 5353 });
    asking.send('question');
    const buffer = Buffer.alloc(100);
    await ready(target, POLLIN);
    const from = target.recvFrom(buffer)!;
    target.sendTo('answer', { host: from.address, port: from.port });
    expect(await next(asking)).toBe('answer');
  });

  test('leads to a Unix socket of the host, both ways and to the end', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'vpollnet-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const path = join(folder, 'socket');
    const unix = createServer({ allowHalfOpen: true }, (peer) => peer.pipe(peer)).listen(path);
    onTestFinished(() => void unix.close());
    await new Promise((resolve) => unix.once('listening', resolve));
    const { guest, gateway } = await toHost({ policy: () => ({ redirect: { path } }) });
    const client = await connected(guest, '198.51.100.77', 80);
    client.send('there and back');
    expect(await next(client)).toBe('there and back');
    expect(gateway.flows()[0]?.target).toEqual({ path });
    client.shutdown('write');
    expect((await rest(client)).length).toBe(0);
    await until(() => gateway.flows().length === 0);
  });

  test('to a path where nobody listens is refused', async () => {
    const { guest } = await toHost({ policy: () => ({ redirect: { path: '/nowhere/socket' } }) });
    expect(await refusal(guest, '198.51.100.77', 80)).toBe('ECONNREFUSED');
  });

  test("allow leads to the host's loopback where hostLoopback says so", async () => {
    const { guest, server } = await toHost({ policy: () => 'allow' });
    const [listener, port] = listening(server, '127.0.0.1');
    await pair(guest, '10.7.0.1', port, listener);
  });

  test('allow leads to where it says, the host included: the policy knows', async () => {
    const { guest, server, gateway } = await toHost({
      policy: ({ reach }) => (reach === 'host' ? { redirect: { address: '127.0.0.1' } } : 'refuse'),
    });
    const own = untyped(server)
      .addresses()
      .find(({ address }: { address: string }) => /^\d/.test(address) && address !== '127.0.0.1');
    if (own === undefined) return;
    const [listener, port] = listening(server, '127.0.0.1');
    await pair(guest, own.address, port, listener);
    expect(gateway.flows()).toMatchObject([{ reach: 'host' }]);
  });
});

describe('take', () => {
  const takes = (list: [TcpSocket | UdpSocket, FlowInfo][]) => () => ({
    take: (socket: TcpSocket | UdpSocket, flow: FlowInfo) => void list.push([socket, flow]),
  });

  test('gives a TCP connection to the program, with its own ends', async () => {
    const list: [TcpSocket | UdpSocket, FlowInfo][] = [];
    const { guest, gateway } = await withPolicy(takes(list));
    const client = await connected(guest, '198.51.100.77', 443);
    const [socket, flow] = list[0]!;
    expect(socket).toBeInstanceOf(TcpSocket);
    expect(socket.localAddress).toEqual({ address: '198.51.100.77', family: 'IPv4', port: 443 });
    expect(socket.remoteAddress).toEqual(client.localAddress);
    expect(flow.destination).toEqual(socket.localAddress);
    await ready(socket, POLLOUT);
    client.send('question');
    expect(await next(socket)).toBe('question');
    socket.send('answer');
    expect(await next(client)).toBe('answer');
    socket.close();
    expect((await rest(client)).length).toBe(0);
    expect(gateway.flows()).toEqual([]);
  });

  test('gives datagrams to the program, those that waited first', async () => {
    const list: [TcpSocket | UdpSocket, FlowInfo][] = [];
    const { guest } = await withPolicy(takes(list));
    const client = guest.socket('udp');
    client.connect({ host: '2001:db8:77::1', port: 53 });
    client.send('one');
    client.send('two');
    await until(() => list.length === 1);
    const socket = list[0]![0];
    expect(socket).toBeInstanceOf(UdpSocket);
    expect(await next(socket)).toBe('one');
    expect(await next(socket)).toBe('two');
    client.send('three');
    expect(await next(socket)).toBe('three');
    socket.send('answer');
    expect(await next(client)).toBe('answer');
  });

  test('is not for echo, which is refused and told', async () => {
    const { guest, gateway, errors } = await withPolicy(takes([]));
    guest.socket('icmp').sendTo('x', { host: '198.51.100.77' });
    await until(() => errors.length > 0);
    expect(errors[0]).toMatchObject({ code: 'EOPNOTSUPP', syscall: 'take' });
    await until(() => gateway.flows().length === 0);
  });

  test('whose function throws resets the connection, and tells the error', async () => {
    const { guest, errors } = await withPolicy(() => ({
      take: () => {
        throw new Error('not this one');
      },
    }));
    expect(['ECONNRESET', 'ECONNREFUSED', 'connected']).toContain(
      await refusal(guest, '198.51.100.77', 80),
    );
    expect(errors[0]?.message).toContain('the policy threw in take() for tcp');
  });

  test('whose promise rejects resets the connection, and tells the error', async () => {
    let end = () => {};
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    const { guest, errors } = await withPolicy(() => ({
      take: async () => {
        await ended;
        throw new Error('not this one either');
      },
    }));
    const client = await connected(guest, '198.51.100.77', 80);
    end();
    await ready(client, POLLIN);
    expect(thrownBy(() => client.read()).code).toBe('ECONNRESET');
    expect(errors).toMatchObject([
      { code: 'ERR_GATEWAY_POLICY', cause: { message: 'not this one either' } },
    ]);
    expect(errors[0]?.message).toContain('the policy threw in take() for tcp');
    const asking = guest.socket('udp');
    asking.connect({ host: '198.51.100.77', port: 53 });
    asking.send('question');
    await until(() => errors.length === 2);
    expect(errors[1]?.message).toContain('threw in take() for udp');
  });

  test('whose promise rejects because the gateway is closed is no error', async () => {
    const { guest, gateway, errors } = await withPolicy(() => ({
      take: async (socket: TcpSocket | UdpSocket) => {
        await ready(socket, POLLIN);
        socket.read();
      },
    }));
    await connected(guest, '198.51.100.77', 80);
    gateway.close();
    await sleep(50);
    expect(errors).toEqual([]);
  });

  test('taken sockets end with the gateway, and hear of it, as who is behind it does', async () => {
    const list: [TcpSocket | UdpSocket, FlowInfo][] = [];
    const { guest, gateway } = await withPolicy(takes(list));
    const client = await connected(guest, '198.51.100.77', 443);
    const asking = guest.socket('udp');
    asking.connect({ host: '198.51.100.77', port: 53 });
    asking.send('question');
    await until(() => list.length === 2);
    const [tcp, udp] = list.map(([socket]) => socket);
    expect(await next(udp!)).toBe('question');
    gateway.close();
    await ready(client, POLLIN);
    expect(thrownBy(() => client.read()).code).toBe('ECONNRESET');
    for (const socket of [tcp!, udp!]) {
      await ready(socket, POLLIN);
      expect(thrownBy(() => socket.read()).code).toBe('ENETDOWN');
    }
  });
});

describe('events', () => {
  test('tell a flow from its question to its end', async () => {
    const { guest, gateway, listener, port } = await withPolicy(() => 'allow');
    const told: string[] = [];
    for (const event of ['ask', 'flow', 'end'] as const) {
      gateway.on(event, ({ id, state, end }) => told.push(`${event} ${id} ${state} ${end}`));
    }
    const [client, server] = await pair(guest, server9, port, listener);
    client.send('12345');
    expect(await next(server)).toBe('12345');
    const ended = once(gateway, 'end');
    client.close();
    server.close();
    expect(await ended).toMatchObject({ bytesOut: 5, bytesIn: 0, end: 'finished' });
    expect(told).toEqual([
      'ask 1 asking undefined',
      'flow 1 open undefined',
      'end 1 closed finished',
    ]);
  });

  test("a listener that throws is the program's own error, and keeps nothing from others", async () => {
    const { guest, gateway, listener, port } = await withPolicy(() => 'allow');
    const thrown: unknown[] = [];
    const handlers = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    process.on('uncaughtException', (error) => thrown.push(error.message));
    onTestFinished(() => {
      process.removeAllListeners('uncaughtException');
      for (const handler of handlers) process.on('uncaughtException', handler);
    });
    gateway.on('ask', () => {
      throw new Error('a listener');
    });
    await pair(guest, server9, port, listener);
    await until(() => thrown.length > 0);
    expect(thrown).toEqual(['a listener']);
  });

  test('a thousand flows at once are all decided, and the loop turns meanwhile', async () => {
    let asked = 0;
    const { guest, gateway } = await withPolicy(async () => {
      asked += 1;
      await sleep(1);
      return asked % 2 === 0 ? 'refuse' : 'drop';
    });
    const socket = guest.socket('udp');
    for (let port = 1; port <= 1000; port += 1) socket.sendTo('x', { host: server9, port });
    let turns = 0;
    const timer = setInterval(() => {
      turns += 1;
    }, 1);
    await until(() => gateway.counters().asking === 0 && asked === 1000);
    clearInterval(timer);
    expect(turns).toBeGreaterThan(3);
    const { denied = 0, dropped = 0 } = gateway.counters().drops;
    expect(denied + dropped).toBe(1000);
  });
});

test('questions that come while others are read are asked too', async () => {
  const socket: { send?: (port: number) => void } = {};
  const ports = new Set<number>();
  const { guest, gateway } = await withPolicy(({ destination }) => {
    ports.add(destination.port);
    if (destination.port <= 600) socket.send?.(destination.port + 600);
    return 'drop';
  });
  const sender = guest.socket('udp');
  socket.send = (port) => void sender.sendTo('x', { host: server9, port });
  for (let port = 1; port <= 600; port += 1) socket.send(port);
  await until(() => ports.size === 1200);
  await until(() => gateway.counters().asking === 0);
});

test('a gateway of no links is refused: it would be one of all', async () => {
  const { router, guest } = await openGuest();
  expect(() => router.gateway({ to: guest, interfaces: [] })).toThrow(
    expect.objectContaining({
      code: 'ERR_INVALID_ARG_VALUE',
      message: expect.stringMatching(
        /'options\.interfaces' must not be empty: leave it out for all/,
      ),
    }),
  );
  expect(openGateway(router, { to: guest, interfaces: ['eth0'] }).closed).toBe(false);
});

test('a gateway whose policy has not answered when it is closed is gone', async () => {
  const closedBy = async (close: (gateway: Gateway) => void) => {
    const { guest, gateway, port } = await withPolicy(() => new Promise(() => {}));
    const attempt = guest.socket('tcp');
    attempt.connect({ host: server9, port });
    await until(() => gateway.counters().asking === 1);
    close(gateway);
    return gateway.closed;
  };
  expect(await closedBy((gateway) => gateway.close())).toBe(true);
});
