// SPDX-License-Identifier: MIT
//
// VXLAN with the kernel's own device as the other end points.
//
//   our stacks  10.2.0.1, .3   ── vxlan link ── 192.0.2.1, fd02::1, on veth `under`
//   Linux       10.2.0.2       ── vxlan42    ── 192.0.2.2, fd02::2, on the other end, in `far`

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { POLLIN, Stack, type TcpSocket } from '../../ts/index.js';
import { connect, ip, material, ready, receiveAll, sendAll } from '../interop/support.js';
import { Machine } from './namespaces.js';

let far: Machine;

beforeAll(async () => {
  far = await Machine.start();
  ip('link', 'set', 'lo', 'up');
  ip('link', 'add', 'under', 'type', 'veth', 'peer', 'name', 'under', 'netns', `${far.pid}`);
  for (const address of ['192.0.2.1/24', '192.0.2.11/24', 'fd02::1/64']) {
    const more = address.includes(':') ? ['nodad'] : [];
    ip('address', 'add', address, 'dev', 'under', ...more);
  }
  ip('link', 'set', 'under', 'up');
  far.ip(
    'address add 192.0.2.2/24 dev under',
    'address add fd02::2/64 dev under nodad',
    'link set under up',
  );
  // A veth is no wire: what Linux leaves to a device, such as the checksums of the packets inside,
  // would never be done.
  far.run('ethtool', '-K', 'under', 'tx', 'off');
});
afterAll(async () => {
  await far.stop();
});

/** The kernel's end point, until the end of the test. */
function kernelVxlan(options: string): void {
  far.ip(`link add vxlan42 type vxlan id 42 dstport 4789 ${options}`);
  onTestFinished(() => far.ip('link delete vxlan42'));
  far.ip(
    'address add 10.2.0.2/24 dev vxlan42',
    'address add fd00:2::2/64 dev vxlan42 nodad',
    'link set vxlan42 up',
  );
}

async function open(url: string, host = 1): Promise<Stack> {
  const addresses = [`10.2.0.${host}/24`, `fd00:2::${host}/64`];
  const stack = await Stack.open({ links: [{ url, addresses, dad: false }] });
  onTestFinished(() => stack.close());
  return stack;
}

async function pings(stack: Stack, host: string): Promise<boolean> {
  const socket = stack.socket('icmp');
  try {
    socket.connect({ host });
    for (let i = 0; i < 3; i += 1) {
      socket.send('hello');
      if (
        await ready(socket, POLLIN, 5000).then(
          () => true,
          () => false,
        )
      )
        return true;
    }
    return false;
  } finally {
    socket.close();
  }
}

const drops = (stack: Stack) =>
  Object.fromEntries(
    Object.entries(stack.links()[0]?.counters.drops ?? {}).filter(([, count]) => count > 0),
  );

test('unicast over IPv4: pings and megabytes both ways, with the MTU of the kernel', async () => {
  kernelVxlan('local 192.0.2.2 remote 192.0.2.1 dev under');
  const stack = await open('vxlan://192.0.2.2?vni=42&local=192.0.2.1');
  expect(stack.interfaces().find(({ name }) => name === 'eth0')?.mtu).toBe(1450);
  expect(far.run('ip', 'link', 'show', 'vxlan42')).toContain('mtu 1450');
  for (const [ours, its] of [
    ['10.2.0.1', '10.2.0.2'],
    ['fd00:2::1', 'fd00:2::2'],
  ] as const) {
    expect(await pings(stack, its)).toBe(true);
    expect(far.pings(ours)).toBe(true);
    expect(far.pings(ours, '-s', '4000')).toBe(true);
  }
  await transfer(stack, '10.2.0.2');
  expect(drops(stack)).toEqual({});
});

/** 8 MiB to an echo server of the kernel's and back. */
async function transfer(stack: Stack, host: string): Promise<void> {
  const echo = `require('net').createServer((s) => s.pipe(s)).listen(7777, '${host}', () => console.log('up'))`;
  const server = far.spawn(process.execPath, '-e', echo);
  try {
    await once(server.stdout as NodeJS.ReadableStream, 'data');
    const socket: TcpSocket = await connect(stack, host, 7777);
    const { piece, digest } = material(8);
    const hash = createHash('sha256');
    const receiving = receiveAll(socket, (bytes) => hash.update(bytes));
    for (let i = 0; i < 8; i += 1) await sendAll(socket, piece);
    socket.shutdown('write');
    await receiving;
    expect(hash.digest('hex')).toBe(digest);
    socket.close();
  } finally {
    server.kill('SIGKILL');
    await once(server, 'close');
  }
}

test('unicast over IPv6, with UDP checksums of zero as the RFC wants them, and more ports', async () => {
  kernelVxlan('local fd02::2 remote fd02::1 dev under udp6zerocsumtx udp6zerocsumrx');
  const stack = await open('vxlan://[fd02::2]:4789?vni=42&local=[fd02::1]&ports=8');
  expect(stack.interfaces().find(({ name }) => name === 'eth0')?.mtu).toBe(1430);
  expect(await pings(stack, '10.2.0.2')).toBe(true);
  expect(far.pings('fd00:2::1')).toBe(true);
  await transfer(stack, '10.2.0.2');
});

test('another segment is not ours, and who is no end point is not heard', async () => {
  kernelVxlan('local 192.0.2.2 remote 192.0.2.1 dev under');
  const stack = await open('vxlan://192.0.2.2?vni=43&local=192.0.2.1');
  expect(far.pings('10.2.0.1', '-W', '1')).toBe(false);
  expect(drops(stack)).toEqual({ not_for_us: expect.any(Number) });
  await stack.close();
  const elsewhere = await open('vxlan://192.0.2.99?vni=42&local=192.0.2.1');
  expect(far.pings('10.2.0.1', '-W', '1')).toBe(false);
  expect(drops(elsewhere)).toEqual({ wrong_peer: expect.any(Number) });
  await elsewhere.close();
  // With `any` it is heard, and answered where it was heard from.
  const all = await open('vxlan://192.0.2.99?vni=42&local=192.0.2.1&any');
  expect(far.pings('10.2.0.1')).toBe(true);
  expect(drops(all)).toEqual({});
});

test.each([
  ['an end point each', { first: '', second: '', kernel: '' }],
  ['a multicast group', { first: '239.42.0.1', second: '239.42.0.1', kernel: 'group 239.42.0.1' }],
])('two stacks and the kernel on one segment: %s', async (_, group) => {
  kernelVxlan(`local 192.0.2.2 ${group.kernel} dev under`);
  if (group.kernel === '') {
    for (const address of ['192.0.2.1', '192.0.2.11']) {
      far.run('bridge', 'fdb', 'append', '00:00:00:00:00:00', 'dev', 'vxlan42', 'dst', address);
    }
  }
  const first = await open(
    `vxlan://${group.first || '192.0.2.2,192.0.2.11'}?vni=42&local=192.0.2.1&dev=under`,
    1,
  );
  const second = await open(
    `vxlan://${group.second || '192.0.2.2,192.0.2.1'}?vni=42&local=192.0.2.11&dev=under`,
    3,
  );
  expect(await pings(first, '10.2.0.2')).toBe(true);
  expect(await pings(second, '10.2.0.2')).toBe(true);
  expect(await pings(first, '10.2.0.3')).toBe(true);
  expect(await pings(second, 'fd00:2::1')).toBe(true);
  expect(far.pings('10.2.0.1')).toBe(true);
  expect(far.pings('fd00:2::3')).toBe(true);
  // What is known goes to its end point alone: the third hears nothing of it.
  const before = second.links()[0]?.counters.framesIn ?? 0;
  await transfer(first, '10.2.0.2');
  expect((second.links()[0]?.counters.framesIn ?? 0) - before).toBeLessThan(20);
  expect(drops(first)).toEqual({});
  expect(drops(second)).toEqual({});
});

test('a multicast group over IPv6, on any address', async () => {
  kernelVxlan('local fd02::2 group ff05::42 dev under');
  const stack = await open('vxlan://[ff05::42]?vni=42&dev=under&ttl=4');
  expect(await pings(stack, 'fd00:2::2')).toBe(true);
  expect(far.pings('10.2.0.1')).toBe(true);
});

test('a frame that does not fit is not sent in fragments, and counted (RFC 7348 4.3)', async () => {
  kernelVxlan('local 192.0.2.2 remote 192.0.2.1 dev under');
  const stack = await Stack.open({
    links: [
      {
        ...{ url: 'vxlan://192.0.2.2?vni=42&local=192.0.2.1', mtu: 1500 },
        ...{ addresses: ['10.2.0.1/24'], dad: false },
      },
    ],
  });
  onTestFinished(() => stack.close());
  expect(await pings(stack, '10.2.0.2')).toBe(true);
  const socket = stack.socket('udp');
  socket.sendTo(Buffer.alloc(1472), { host: '10.2.0.2', port: 9 });
  expect(drops(stack)).toEqual({ too_long: 1 });
  expect(await pings(stack, '10.2.0.2')).toBe(true);
});

test('the port that the kernel has already is an error that says what to do', async () => {
  const device = ['link', 'add', 'vxlan9', 'type', 'vxlan', 'id', '9', 'dstport', '4789'];
  ip(...device, 'local', '192.0.2.1', 'remote', '192.0.2.2', 'dev', 'under');
  ip('link', 'set', 'vxlan9', 'up');
  onTestFinished(() => ip('link', 'delete', 'vxlan9'));
  await expect(open('vxlan://192.0.2.2?vni=42')).rejects.toMatchObject({
    code: 'EADDRINUSE',
    message: expect.stringContaining('local='),
  });
});
