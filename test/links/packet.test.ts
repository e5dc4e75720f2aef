// SPDX-License-Identifier: MIT
//
// packet:// over a veth pair, with the kernel as the peer at its other end:
//
//   our stack 10.78.0.2  fd78::2 ── packet socket on pk0 ── pk1 10.78.0.1  fd78::1  Linux kernel

import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import dgram from 'node:dgram';
import { once } from 'node:events';
import net from 'node:net';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type LinkOptions, POLLIN, Stack, Switch, type TcpSocket } from '../../ts/index.js';
import {
  connect,
  ip,
  kernelServer,
  material,
  pinged,
  ready,
  receiveAll,
  sendAll,
} from '../interop/support.js';
import { hasTool } from './vde-switch.js';

const obstacle =
  process.env.VPOLLNET_NAMESPACE !== '1'
    ? 'run by `node scripts/test.mjs --only links`'
    : hasTool('ethtool')
      ? null
      : 'ethtool is missing (ethtool)';
if (obstacle !== null) process.stderr.write(`vpollnet: tests of packet:// skipped: ${obstacle}\n`);
const megabytes = process.env.VPOLLNET_SANITIZED ? 5 : 50;

function makePair(): void {
  ip('link', 'add', 'pk0', 'type', 'veth', 'peer', 'name', 'pk1');
  // The kernel has no business on our end.
  execFileSync('sysctl', ['-qw', 'net.ipv6.conf.pk0.disable_ipv6=1']);
  ip('address', 'add', '10.78.0.1/24', 'dev', 'pk1');
  ip('address', 'add', 'fd78::1/64', 'dev', 'pk1', 'nodad');
  for (const name of ['lo', 'pk0', 'pk1']) ip('link', 'set', name, 'up');
}

const open = (more: Partial<LinkOptions> = {}) =>
  Stack.open({
    links: [
      {
        url: 'packet://pk0',
        addresses: ['10.78.0.2/24', 'fd78::2/64'],
        dad: false,
        ...more,
      },
    ],
  });

const off = ['tx', 'rx', 'sg', 'tso', 'gso', 'gro'].flatMap((one) => [one, 'off']);

describe.skipIf(obstacle !== null).each([
  { name: 'offloads on both ends', ours: true, kernels: true },
  { name: 'no offloads of ours', ours: false, kernels: true },
  { name: "no offloads of the kernel's", ours: true, kernels: false },
])('a veth pair with $name', ({ ours, kernels }) => {
  let stack: Stack;
  beforeAll(async () => {
    makePair();
    if (!kernels) for (const name of ['pk0', 'pk1']) execFileSync('ethtool', ['-K', name, ...off]);
    stack = await open({ offloads: ours });
  });
  afterAll(async () => {
    await stack?.close();
    ip('link', 'delete', 'pk0');
  });

  test.each(['10.78.0.2', 'fd78::2'])('the kernel pings us: %s', async (own) => {
    await pinged(own, 3);
    await pinged(own, 2, '-s', '4000');
  });

  test.each(['10.78.0.1', 'fd78::1'])(
    `${megabytes} MB go to the kernel whole, and come back: %s`,
    async (kernel) => {
      const { piece, digest } = material(megabytes);
      const hash = createHash('sha256');
      const server = await kernelServer(kernel, (socket) => {
        socket.on('data', (data) => hash.update(data));
        socket.on('end', async () => {
          for (let i = 0; i < megabytes; i += 1) {
            if (!socket.write(piece)) await once(socket, 'drain');
          }
          socket.end();
        });
      });
      const socket = await connect(stack, kernel, server.port);
      for (let i = 0; i < megabytes; i += 1) await sendAll(socket, piece);
      socket.shutdown('write');
      const back = createHash('sha256');
      await receiveAll(socket, (data) => back.update(data));
      expect([hash.digest('hex'), back.digest('hex')]).toEqual([digest, digest]);
      socket.close();
      await server.close();
    },
  );

  test('a client of the kernel reaches us', async () => {
    const listener = stack.socket('tcp').bind({ host: '10.78.0.2', port: 7001 }).listen();
    const client = net.connect({ host: '10.78.0.2', port: 7001 });
    await ready(listener, POLLIN);
    const socket = listener.accept() as TcpSocket;
    client.end('from the kernel');
    let text = '';
    await receiveAll(socket, (piece) => {
      text += piece;
    });
    expect(text).toBe('from the kernel');
    client.destroy();
    socket.close();
    listener.close();
  });

  test('datagrams go both ways, large ones in fragments', async () => {
    const peer = dgram.createSocket('udp4');
    peer.bind(0, '10.78.0.1');
    await once(peer, 'listening');
    const socket = stack.socket('udp').bind({ host: '10.78.0.2', port: 5353 });
    for (const size of [0, 1, 1400, 9000, 60_000]) {
      const data = Buffer.alloc(size, size & 0xff);
      const arrived = once(peer, 'message');
      socket.sendTo(data, { host: '10.78.0.1', port: peer.address().port });
      const [message] = (await arrived) as [Buffer];
      expect(message.equals(data)).toBe(true);
      peer.send(data, 5353, '10.78.0.2');
      await ready(socket, POLLIN);
      const buffer = Buffer.alloc(65536);
      expect(socket.recvFrom(buffer)).toMatchObject({ size });
      expect(buffer.subarray(0, size).equals(data)).toBe(true);
    }
    socket.close();
    peer.close();
  });

  test('large packets are used where both ends have them, and nothing was lost', () => {
    const { counters } = stack.links()[0] as ReturnType<Stack['links']>[number];
    const perFrame = (bytes: number, frames: number) => bytes / frames;
    const out = perFrame(counters.bytesOut, counters.framesOut);
    // Without the kernel's, what it sends in small frames is acknowledged in many.
    if (kernels) expect(out > 3000).toBe(ours);
    expect(counters.drops).toMatchObject({ too_long: 0, malformed: 0, device_error: 0 });
  });
});

describe.skipIf(obstacle !== null)('an interface', () => {
  test('that goes down, or away, takes its link with it; with `reconnect` it comes back', async () => {
    makePair();
    onTestFinished(() => void spawnSync('ip', ['link', 'delete', 'pk0']));
    const stack = await open();
    const other = await open({ addresses: ['10.78.0.3/24'], reconnect: true });
    onTestFinished(() => Promise.all([stack.close(), other.close()]).then(() => {}));
    const downs = [once(stack, 'linkdown'), once(other, 'linkdown')];
    ip('link', 'set', 'pk0', 'down');
    for (const [down] of await Promise.all(downs)) {
      expect(down).toMatchObject({ url: 'packet://pk0', error: { code: 'ENETDOWN' } });
    }
    const up = once(other, 'linkup');
    ip('link', 'set', 'pk0', 'up');
    await up;
    await pinged('10.78.0.3', 2);
    expect(stack.links()[0]?.error).toMatchObject({ code: 'ENETDOWN' });
    const gone = once(other, 'linkdown');
    ip('link', 'delete', 'pk0');
    expect((await gone)[0]).toMatchObject({ error: { code: 'ENETDOWN' } });
  });

  test('is shared with the kernel: each has an address of its own on it', async () => {
    // pk1 is the kernel's; a stack beside it there, and one at the far end.
    makePair();
    onTestFinished(() => void spawnSync('ip', ['link', 'delete', 'pk0']));
    const beside = await open({ url: 'packet://pk1', addresses: ['10.78.0.5/24'] });
    const far = await open();
    onTestFinished(() => Promise.all([beside.close(), far.close()]).then(() => {}));
    const socket = far.socket('icmp');
    for (const host of ['10.78.0.1', '10.78.0.5']) {
      socket.connect({ host });
      socket.send('hello');
      await ready(socket, POLLIN);
      expect(socket.read()?.toString()).toBe('hello');
    }
    // What was for the kernel did not come up to us.
    expect(beside.counters().drops.ethernet_not_for_us ?? 0).toBe(0);
  });

  test('carries the tags of VLANs between two switches', async () => {
    // stack ── cable, VLAN 5 ── switch ── pk0 ══ pk1 ── switch ── VLAN 5, cable ── stack
    makePair();
    onTestFinished(() => void spawnSync('ip', ['link', 'delete', 'pk0']));
    const side = async (device: string, address: string, vlan: number) => {
      const url = `cable:packet-vlan-${address}`;
      const sw = await Switch.open({
        ports: [
          { url: `packet://${device}`, name: 'wire', trunk: [5, 6] },
          { url, name: 'host', vlan },
        ],
      });
      onTestFinished(() => sw.close());
      const links = [{ url, addresses: [`${address}/24`], mtu: 1500, dad: false }];
      const stack = await Stack.open({ links });
      onTestFinished(() => stack.close());
      return stack;
    };
    const near = await side('pk0', '10.79.0.1', 5);
    const far = await side('pk1', '10.79.0.2', 5);
    const strange = await side('pk1', '10.79.0.3', 6);
    const listener = far.socket('tcp').bind({ host: '10.79.0.2', port: 7 }).listen();
    const client = await connect(near, '10.79.0.2', 7);
    await ready(listener, POLLIN);
    const server = listener.accept() as TcpSocket;
    const { piece, digest } = material(2);
    const hash = createHash('sha256');
    const received = receiveAll(server, (data) => hash.update(data));
    await sendAll(client, piece);
    await sendAll(client, piece);
    client.shutdown('write');
    await received;
    expect(hash.digest('hex')).toBe(digest);
    const stranger = strange.socket('icmp');
    stranger.connect({ host: '10.79.0.1' });
    stranger.send('another VLAN');
    await expect(ready(stranger, POLLIN, 300)).rejects.toThrow('nothing came');
  });

  const refused = (url: string) =>
    Stack.open({ links: [{ url }] }).then(
      () => 'opened',
      (error) => error as NodeJS.ErrnoException,
    );

  test('that is not there is an error that names those that are', async () => {
    expect(await refused('packet://nosuch0')).toMatchObject({
      code: 'ENODEV',
      message: expect.stringMatching(/no interface 'nosuch0'; there are .*lo/),
    });
  });

  test('that is down, or no Ethernet, is an error that says so', async () => {
    makePair();
    onTestFinished(() => void spawnSync('ip', ['link', 'delete', 'pk0']));
    ip('link', 'set', 'pk0', 'down');
    expect(await refused('packet://pk0')).toMatchObject({
      code: 'ENETDOWN',
      message: expect.stringContaining('sudo ip link set pk0 up'),
    });
    expect(await refused('packet://lo')).toMatchObject({
      code: 'ERR_INVALID_ARG_VALUE',
      message: expect.stringContaining("'lo' is no Ethernet interface"),
    });
    expect(await refused('packet://pk0?ring=5')).toMatchObject({ code: expect.any(String) });
  });

  test('needs a privilege, and the error says which', async () => {
    const program =
      "import { Stack } from './dist/ts/index.js';" +
      "await Stack.open({ links: [{ url: 'packet://lo' }] }).catch((e) => console.log(e.message));";
    const output = execFileSync(
      'setpriv',
      [
        ...['--bounding-set', '-net_raw', '--inh-caps', '-net_raw', process.execPath],
        ...['--input-type=module', '-e', program],
      ],
      { encoding: 'utf8' },
    );
    expect(output).toMatch(/^socket EPERM packet:\/\/lo - .*CAP_NET_RAW.*setcap cap_net_raw\+ep/);
  });
});
