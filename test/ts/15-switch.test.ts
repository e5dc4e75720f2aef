// SPDX-License-Identifier: MIT
//
// A switch between stacks of this process. Each stack has a cable of its own to a port.

import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { expect, onTestFinished, test } from 'vitest';
import {
  POLLIN,
  POLLOUT,
  poll,
  type Stack,
  Switch,
  type SwitchLoop,
  type SwitchOptions,
  type TcpSocket,
} from 'vpollnet';
import {
  freshCable,
  openDescriptors,
  openStack,
  thrownBy,
  until,
  untyped,
  waitFor,
} from './support.js';

async function openSwitch(options: SwitchOptions = {}): Promise<Switch> {
  const opened = await Switch.open(options);
  onTestFinished(() => opened.close());
  return opened;
}

/** Host `number` is 10.0.0.NUMBER and fd00::NUMBER, on a cable of its own. */
function host(number: number, url: string, mtu = 1500): Promise<Stack> {
  return openStack({ url, mtu, addresses: [`10.0.0.${number}/24`, `fd00::${number}/64`] });
}

/** Whether an echo request is answered within `ms`. */
function pings(from: Stack, to: string, ms = 20_000): boolean {
  using socket = from.socket('icmp');
  socket.sendTo('are you there?', { host: to });
  return poll([{ fd: socket.fd, events: POLLIN }], ms) === 1;
}

function connected(near: Stack, far: Stack, address: string): [TcpSocket, TcpSocket] {
  const listener = far.socket('tcp').bind({ port: 7 }).listen();
  const client = near.socket('tcp');
  client.connect({ host: address, port: 7 });
  waitFor(client, POLLOUT);
  if (client.error !== null) throw client.error;
  waitFor(listener, POLLIN);
  const server = listener.accept();
  if (server === null) throw new Error('no connection to accept');
  listener.close();
  return [client, server];
}

/** Sends `data` from one end to the other; the digest of what arrived. */
function transfer(from: TcpSocket, to: TcpSocket, data: Buffer): string {
  const hash = createHash('sha256');
  const buffer = Buffer.allocUnsafe(256 * 1024);
  let sent = 0;
  let received = 0;
  while (received < data.length) {
    const ready = [
      { fd: to.fd, events: POLLIN },
      { fd: from.fd, events: sent < data.length ? POLLOUT : 0 },
    ];
    if (poll(ready, 10_000) === 0) throw new Error(`stuck at ${received} of ${data.length}`);
    if (sent < data.length) sent += Math.max(from.send(data, sent), 0);
    for (let got = to.recv(buffer); got > 0; got = to.recv(buffer)) {
      hash.update(buffer.subarray(0, got));
      received += got;
    }
  }
  return hash.digest('hex');
}

const digest = (data: Buffer) => createHash('sha256').update(data).digest('hex');

test('hosts on different cables ping each other through a switch, by both families', async () => {
  const [a, b, c] = [freshCable(), freshCable(), freshCable()];
  const sw = await openSwitch({ ports: [{ url: a }, { url: b, name: 'middle' }, { url: c }] });
  const [one, two, three] = [await host(1, a), await host(2, b), await host(3, c)];
  for (const to of ['10.0.0.2', 'fd00::2', '10.0.0.3']) expect(pings(one, to)).toBe(true);
  expect(pings(three, '10.0.0.2')).toBe(true);
  const macs = [one, two, three].map((stack) => stack.interfaces()[1]?.mac);
  expect(sw.table().map(({ mac, port, vlan }) => [mac, port, vlan])).toEqual([
    [macs[0], 'port0', 1],
    [macs[1], 'middle', 1],
    [macs[2], 'port1', 1],
  ]);
  expect(sw.table().every(({ age }) => age >= 0 && age < 10)).toBe(true);
  const [first] = sw.ports();
  expect(first).toMatchObject({ name: 'port0', url: a, vlan: 1, trunk: [], error: null });
  expect(first?.counters.framesIn).toBeGreaterThan(0);
  expect(first?.counters.flooded).toBeGreaterThan(0);
  expect(first?.counters.drops).toMatchObject({ queue_full: 0, vlan: 0, storm: 0, looped: 0 });
});

test.each([
  ['with the same offloads on both sides', true, 1500],
  ['to a link that has no offloads: large packets are cut up on the way', false, 1500],
  ['with frames of 64 KiB', true, 65535],
])('a transfer arrives whole, %s', async (_, offloads, mtu) => {
  const [a, b] = [freshCable(), freshCable()];
  await openSwitch({
    ports: [
      { url: a, mtu },
      { url: b, mtu, offloads },
    ],
  });
  const one = await host(1, a, mtu);
  const two = await openStack({ url: b, mtu, offloads, addresses: ['10.0.0.2/24', 'fd00::2/64'] });
  const data = randomBytes(8 * 1024 * 1024);
  for (const address of ['10.0.0.2', 'fd00::2']) {
    const [client, server] = connected(one, two, address);
    expect(transfer(client, server, data)).toBe(digest(data));
    expect(transfer(server, client, data)).toBe(digest(data));
    client.close();
    server.close();
  }
});

test('VLANs are apart: the same addresses may be used in each', async () => {
  const cables = [freshCable(), freshCable(), freshCable(), freshCable()] as const;
  const sw = await openSwitch({
    ports: cables.map((url, i) => ({ url, vlan: i < 2 ? 10 : 20 })),
  });
  const ten = [await host(1, cables[0]), await host(2, cables[1])] as const;
  const twenty = [await host(1, cables[2]), await host(3, cables[3])] as const;
  expect(pings(ten[0], '10.0.0.2')).toBe(true);
  expect(pings(twenty[0], '10.0.0.3')).toBe(true);
  expect(pings(ten[0], '10.0.0.3', 100)).toBe(false);
  expect(pings(twenty[0], '10.0.0.2', 100)).toBe(false);
  expect(new Set(sw.table().map(({ vlan }) => vlan))).toEqual(new Set([10, 20]));
});

test('a trunk between two switches carries VLANs, and TCP over it arrives whole', async () => {
  const trunk = { url: freshCable(), mtu: 1500 };
  const cables = [freshCable(), freshCable(), freshCable(), freshCable()] as const;
  const left = await openSwitch({
    ports: [
      { url: cables[0], vlan: 10 },
      { url: cables[1], vlan: 20 },
      { ...trunk, trunk: [10, 20] },
    ],
  });
  const right = await openSwitch({
    ports: [
      { url: cables[2], vlan: 10 },
      { url: cables[3], vlan: 20 },
      { ...trunk, trunk: 'all', vlan: 1, offloads: false },
    ],
  });
  expect(left.ports()[2]).toMatchObject({ vlan: null, trunk: [10, 20] });
  expect(right.ports()[2]).toMatchObject({ vlan: 1, trunk: 'all' });
  const ten = [await host(1, cables[0]), await host(2, cables[2])] as const;
  const twenty = [await host(1, cables[1]), await host(2, cables[3])] as const;
  const data = randomBytes(4 * 1024 * 1024);
  for (const [near, far] of [ten, twenty]) {
    const [client, server] = connected(near, far, '10.0.0.2');
    expect(transfer(client, server, data)).toBe(digest(data));
    expect(transfer(server, client, data)).toBe(digest(data));
  }
});

test('a port is added and removed while the switch is open', async () => {
  const [a, b] = [freshCable(), freshCable()];
  const sw = await openSwitch({ ports: [{ url: a }] });
  const [one] = [await host(1, a), await host(2, b)];
  expect(pings(one, '10.0.0.2', 50)).toBe(false);
  sw.addPort({ url: b, name: 'late' });
  expect(pings(one, '10.0.0.2')).toBe(true);
  sw.removePort('late');
  expect(sw.table().every(({ port }) => port === 'port0')).toBe(true);
  expect(pings(one, '10.0.0.2', 50)).toBe(false);
  expect(thrownBy(() => sw.removePort('late'))).toMatchObject({
    code: 'ENODEV',
    message: "removePort ENODEV - the switch has no port 'late'",
  });
});

test('a frame that is longer than the port takes is dropped and counted', async () => {
  const [a, b] = [freshCable(), freshCable()];
  const sw = await openSwitch({ ports: [{ url: a }, { url: b, mtu: 1500 }] });
  const [one, two] = [await host(1, a, 9000), await host(2, b)];
  const far = two.socket('udp').bind({ port: 9 });
  const near = one.socket('udp');
  near.sendTo(Buffer.alloc(1472), { host: '10.0.0.2', port: 9 });
  waitFor(far, POLLIN);
  near.sendTo(Buffer.alloc(1473), { host: '10.0.0.2', port: 9 });
  expect(sw.ports()[1]?.counters.drops.egress_mtu).toBe(1);
});

test("a ring of two switches comes to rest, works, and is reported as 'loop'", async () => {
  const [x, y, a, b] = [freshCable(), freshCable(), freshCable(), freshCable()];
  const left = await openSwitch({ ports: [{ url: x }, { url: y }, { url: a }] });
  const right = await openSwitch({ ports: [{ url: x }, { url: y }, { url: b }] });
  const loops: SwitchLoop[] = [];
  left.on('loop', (loop) => loops.push(loop));
  right.on('loop', (loop) => loops.push(loop));
  const [one, two] = [await host(1, a), await host(2, b)];
  const data = randomBytes(1024 * 1024);
  const [client, server] = connected(one, two, '10.0.0.2');
  expect(transfer(client, server, data)).toBe(digest(data));
  const socket = one.socket('udp').setOption('broadcast', true);
  for (let i = 0; i < 50; i += 1) socket.sendTo('x', { host: '10.0.0.255', port: 9 });
  await until(() => loops.length > 0);
  expect(loops[0]?.ports).toHaveLength(2);
  expect(loops[0]?.vlan).toBe(1);
  const frames = () => left.ports().reduce((sum, { counters }) => sum + counters.framesIn, 0);
  let before = -1;
  await until(() => {
    const now = frames();
    const quiet = now === before;
    before = now;
    return quiet;
  });
});

test('closing a switch during traffic ends it, and leaves no descriptor', async () => {
  const [a, b] = [freshCable(), freshCable()];
  const [one, two] = [await host(1, a), await host(2, b)];
  const before = openDescriptors();
  for (let i = 0; i < 20; i += 1) {
    const sw = await Switch.open({ ports: [{ url: a }, { url: b }] });
    expect(pings(one, '10.0.0.2')).toBe(true);
    const socket = one.socket('udp');
    for (let n = 0; n < 200; n += 1) socket.sendTo('x', { host: '10.0.0.2', port: 9 });
    const closing = sw.close();
    for (let n = 0; n < 200; n += 1) socket.sendTo('x', { host: '10.0.0.2', port: 9 });
    socket.close();
    await closing;
  }
  expect(openDescriptors()).toBe(before);
  expect(pings(two, '10.0.0.1', 50)).toBe(false);
});

test('ports are recorded and made bad, each by its name', async () => {
  const [left, right] = [freshCable(), freshCable()];
  const sw = await openSwitch({
    ports: [
      { url: left, name: 'left' },
      { url: right, name: 'right' },
    ],
  });
  const [near, far] = [await host(1, left), await host(2, right)];
  const file = join(mkdtempSync(join(tmpdir(), 'vpollnet-switch-')), 'one.pcapng');
  onTestFinished(() => rmSync(dirname(file), { recursive: true, force: true }));
  const recording = sw.record(file, { links: ['right'] });
  expect(pings(near, '10.0.0.2')).toBe(true);
  sw.impair('right', { out: { loss: 1, seed: 1 } });
  expect(pings(near, '10.0.0.2', 50)).toBe(false);
  const [leftPort, rightPort] = sw.ports();
  expect(leftPort?.impairment.out).toBeNull();
  expect(rightPort?.impairment.out?.lost).toBeGreaterThan(0);
  sw.impair('right', null);
  expect(pings(near, '10.0.0.2')).toBe(true);
  expect((await recording.stop()).frames).toBeGreaterThan(4);
  const text = readFileSync(file, 'latin1');
  expect(text).toContain(right);
  expect(text).not.toContain(left);
  expect(text).toContain('dropped: impaired_loss');
  expect(thrownBy(() => sw.impair('middle', null)).code).toBe('ENODEV');
  expect(thrownBy(() => sw.record(file, { links: ['middle'] })).code).toBe('ENODEV');
  expect(far.closed).toBe(false);

  const bad = await openSwitch({ ports: [{ url: freshCable(), impair: { delay: 5 } }] });
  expect(bad.ports()[0]?.impairment.in?.delay).toBe(5);
});

test('a closed switch says so, and closes only once', async () => {
  const sw = await openSwitch({ ports: [{ url: freshCable() }] });
  await sw.close();
  await sw.close();
  expect(sw.closed).toBe(true);
  expect(sw.evictions).toBe(0);
  for (const call of [
    () => sw.addPort({ url: 'cable:x' }),
    () => sw.removePort('port0'),
    () => sw.ports(),
    () => sw.table(),
  ]) {
    expect(thrownBy(call)).toMatchObject({ code: 'ERR_SWITCH_CLOSED' });
  }
});

test('await using closes a switch', async () => {
  let opened: Switch;
  {
    await using sw = await Switch.open();
    opened = sw;
  }
  expect(opened.closed).toBe(true);
});

test('bad arguments are named, and nothing is opened', async () => {
  const before = openDescriptors();
  const port = { url: 'cable:x' };
  for (const [options, code, text] of [
    [null, 'ERR_INVALID_ARG_TYPE', '"options"'],
    [{ ports: {} }, 'ERR_INVALID_ARG_TYPE', '"options.ports"'],
    [{ ports: [{}] }, 'ERR_INVALID_ARG_TYPE', '"options.ports[0].url"'],
    [{ ports: [port, { url: 'x' }] }, 'ERR_INVALID_ARG_VALUE', 'options.ports[1].url'],
    [{ ports: [{ url: 'pigeon:1' }] }, 'ERR_INVALID_ARG_VALUE', "unknown link 'pigeon:1'"],
    [{ ports: [{ ...port, vlan: 0 }] }, 'ERR_OUT_OF_RANGE', '"options.ports[0].vlan"'],
    [{ ports: [{ ...port, vlan: 4095 }] }, 'ERR_OUT_OF_RANGE', '4094'],
    [{ ports: [{ ...port, trunk: 'some' }] }, 'ERR_INVALID_ARG_TYPE', "'all'"],
    [{ ports: [{ ...port, trunk: [] }] }, 'ERR_INVALID_ARG_VALUE', 'must name a VLAN'],
    [{ ports: [{ ...port, trunk: [1, 5000] }] }, 'ERR_OUT_OF_RANGE', 'trunk[1]'],
    [{ ports: [{ ...port, mac: '02:00:00:00:00:01' }] }, 'ERR_INVALID_ARG_VALUE', 'ports[0].mac'],
    [{ ports: [{ ...port, addresses: [] }] }, 'ERR_INVALID_ARG_VALUE', 'has no addresses'],
    [{ ports: [{ ...port, mtu: 10 }] }, 'ERR_OUT_OF_RANGE', '"options.ports[0].mtu"'],
    [{ ageing: 0 }, 'ERR_OUT_OF_RANGE', '"options.ageing"'],
    [{ ageing: '300' }, 'ERR_INVALID_ARG_TYPE', '"options.ageing"'],
    [{ tableSize: 0 }, 'ERR_OUT_OF_RANGE', '"options.tableSize"'],
    [{ stormLimit: -1 }, 'ERR_OUT_OF_RANGE', '"options.stormLimit"'],
    [{ ports: [port, port] }, 'EADDRINUSE', "on cable 'x' already"],
    [
      {
        ports: [
          { url: 'cable:x', name: 'a' },
          { url: 'cable:y', name: 'a' },
        ],
      },
      'EEXIST',
      "a port 'a'",
    ],
    [{ ports: [{ url: 'tap://no/such' }] }, 'ERR_INVALID_ARG_VALUE', 'is no device name'],
  ] as const) {
    const failure = await Switch.open(untyped(options)).catch((error) => error);
    expect(failure, JSON.stringify(options)).toMatchObject({
      code,
      message: expect.stringContaining(text),
    });
  }
  expect(thrownBy(() => new (untyped(Switch))())).toMatchObject({
    code: 'ERR_ILLEGAL_CONSTRUCTOR',
  });
  expect(openDescriptors()).toBe(before);
});

test('the table is bounded, and a flood does not cost the others their addresses', async () => {
  const [a, b, c] = [freshCable(), freshCable(), freshCable()];
  const sw = await openSwitch({ tableSize: 4, ports: [{ url: a }, { url: b }, { url: c }] });
  const [one, two] = [await host(1, a), await host(2, b)];
  expect(pings(one, '10.0.0.2')).toBe(true);
  for (let i = 10; i < 40; i += 1) {
    const guest = await host(i, c);
    expect(pings(guest, '10.0.0.1')).toBe(true);
    await guest.close();
  }
  expect(sw.table()).toHaveLength(4);
  expect(sw.evictions).toBe(28);
  const ports = sw.table().map(({ port }) => port);
  expect(ports).toEqual(['port0', 'port1', 'port2', 'port2']);
  expect(pings(two, '10.0.0.1')).toBe(true);
});

test('a worker that ends with an open switch leaves nothing behind', async () => {
  const before = openDescriptors();
  const url = freshCable();
  const worker = new Worker(
    `const { parentPort, workerData } = require('node:worker_threads');
     import(workerData.module).then(async ({ Switch }) => {
       const sw = await Switch.open({ ports: [{ url: workerData.url }, { url: 'cable:w' }] });
       parentPort.postMessage(sw.ports().length);
       setInterval(() => {}, 1000);
     });`,
    {
      eval: true,
      workerData: { url, module: new URL('../../dist/ts/index.js', import.meta.url).href },
    },
  );
  const ports = await new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
  expect(ports).toBe(2);
  await worker.terminate();
  await until(() => openDescriptors() === before);
});
