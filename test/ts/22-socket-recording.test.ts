// SPDX-License-Identifier: MIT
//
// Recordings of one socket. That tshark reads them is tested in test/links.

import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { HostStack, POLLIN, POLLOUT, type Stack, type TcpSocket } from 'vpollnet';
import { packetsOf, recordingFolder } from './pcapng.js';
import {
  freshCable,
  openDescriptors,
  openStack,
  thrownBy,
  twoStacks,
  until,
  untyped,
  waitFor,
} from './support.js';

const { folder, freshFile } = recordingFolder();

/** Of an IPv4 frame: its direction, flags of TCP, and ports. */
function summary(path: string): string[] {
  return packetsOf(path).map(({ direction, data }) => {
    const ip = data.subarray(14);
    const transport = ip.subarray(((ip[0] ?? 0) & 15) * 4);
    const ports = `${transport.readUInt16BE(0)} > ${transport.readUInt16BE(2)}`;
    const way = direction === 1 ? 'in' : 'out';
    if (ip[9] !== 6) return `${way} protocol ${ip[9]} ${ports}`;
    const bits = transport[13] ?? 0;
    const flags = [...'FSRPA'].filter((_, bit) => (bits & (1 << bit)) !== 0).join('');
    return `${way} ${flags} ${ports}`;
  });
}

function connect(near: Stack, far: Stack, port: number, client = near.socket('tcp')) {
  const listener = far.socket('tcp').setOption('reuseAddress', true).bind({ port }).listen();
  client.connect({ host: '10.0.0.2', port });
  waitFor(client, POLLOUT);
  waitFor(listener, POLLIN);
  const server = listener.accept() as TcpSocket;
  listener.close();
  return { client, server };
}

describe('a recording of a connection', () => {
  test('has its packets alone, both ways, from the SYN on, and ends with it', async () => {
    const { near, far } = await twoStacks();
    const other = connect(near, far, 8);
    const path = freshFile();
    const socket = near.socket('tcp');
    const recording = socket.record(path);
    const { client, server } = connect(near, far, 7, socket);
    const own = client.localAddress!.port;
    for (const { client: one } of [other, { client }]) one.send('hello');
    waitFor(server, POLLIN);
    expect(recording.ended).toBe(false);
    expect(server.read()?.toString()).toBe('hello');
    // The peer closes first, so that TIME-WAIT is there.
    server.close();
    waitFor(client, POLLIN);
    client.read();
    client.close();
    await until(() => recording.ended, 30_000);
    const lines = summary(path);
    expect(lines[0]).toBe(`out S ${own} > 7`);
    expect(lines[1]).toBe(`in SA 7 > ${own}`);
    expect(lines).toContain(`out PA ${own} > 7`);
    expect(lines.some((line) => /F/.test(line) && line.startsWith('in'))).toBe(true);
    for (const line of lines)
      expect(line).toMatch(new RegExp(`^(out|in) .* (${own} > 7|7 > ${own})$`));
    expect(await recording.stop()).toMatchObject({ frames: lines.length, dropped: 0 });
    expect(recording.error).toBeNull();
  });

  test('that is reset ends', async () => {
    const { near, far } = await twoStacks();
    const { client, server } = connect(near, far, 7);
    const path = freshFile();
    const recording = client.record(path);
    server.setOption('linger', 0).close();
    await until(() => recording.ended, 30_000);
    expect(summary(path).at(-1)).toMatch(/^in RA? 7 > /);
  });

  test('ends with stop() while it is open, and with the stack', async () => {
    const { near, far } = await twoStacks();
    const { client, server } = connect(near, far, 7);
    const paths = [freshFile(), freshFile()];
    const [first, second] = paths.map((path) => client.record(path, { snapLength: 60 }));
    server.send(Buffer.alloc(1000));
    waitFor(client, POLLIN);
    const { frames } = await first!.stop();
    expect(frames).toBe(summary(paths[0]!).length);
    expect(frames).toBeGreaterThan(0);
    for (const { data } of packetsOf(paths[0]!)) expect(data.length).toBeLessThanOrEqual(60);
    await near.close();
    await until(() => second!.ended, 30_000);
    expect(summary(paths[1]!).length).toBeGreaterThanOrEqual(frames);
  });

  test('after frameLimit frames has no more', async () => {
    const { near, far } = await twoStacks();
    const socket = near.socket('tcp');
    const path = freshFile();
    const recording = socket.record(path, { frameLimit: 2 });
    connect(near, far, 7, socket);
    expect(await recording.stop()).toMatchObject({ frames: 2 });
    expect(packetsOf(path)).toHaveLength(2);
  });
});

test('a recording of a listener has all of its port, and ends when it is closed', async () => {
  const { near, far } = await twoStacks();
  const path = freshFile();
  const listener = far.socket('tcp').bind({ port: 7 }).listen();
  const recording = listener.record(path);
  const clients = [near.socket('tcp'), near.socket('tcp')];
  for (const client of clients) client.connect({ host: '10.0.0.2', port: 7 });
  for (const client of clients) waitFor(client, POLLOUT);
  const refused = near.socket('tcp');
  refused.connect({ host: '10.0.0.2', port: 8 });
  waitFor(refused, POLLOUT);
  expect(recording.ended).toBe(false);
  listener.close();
  await until(() => recording.ended, 30_000);
  const syns = summary(path).filter((line) => line.startsWith('in S '));
  expect(syns.sort()).toEqual(clients.map((one) => `in S ${one.localAddress!.port} > 7`).sort());
  expect(summary(path).filter((line) => / 8 >|> 8$/.test(line))).toEqual([]);
});

describe('a recording of a udp socket', () => {
  test('has its datagrams, their fragments, and the ICMP errors about them', async () => {
    const { near, far } = await twoStacks();
    const path = freshFile();
    const receiver = far.socket('udp').bind({ host: '10.0.0.2', port: 5000 });
    const socket = near.socket('udp').bind({ host: '10.0.0.1', port: 4000 });
    const other = near.socket('udp').bind({ host: '10.0.0.1', port: 4001 });
    const recording = socket.record(path);
    socket.sendTo('mine', { host: '10.0.0.2', port: 5000 });
    other.sendTo("another's", { host: '10.0.0.2', port: 5000 });
    waitFor(receiver, POLLIN);
    receiver.sendTo('answer', { host: '10.0.0.1', port: 4000 });
    waitFor(socket, POLLIN);
    socket.sendTo('nobody', { host: '10.0.0.2', port: 9 });
    socket.close();
    await until(() => recording.ended, 30_000);
    expect(summary(path)).toEqual([
      'out protocol 17 4000 > 5000',
      'in protocol 17 5000 > 4000',
      'out protocol 17 4000 > 9',
      expect.stringMatching(/^in protocol 1 /),
    ]);
  });

  test('follows a fragmented datagram', async () => {
    const url = freshCable();
    const near = await openStack({ url, mtu: 1500, addresses: ['10.0.0.1/24'] });
    const far = await openStack({ url, mtu: 1500, addresses: ['10.0.0.2/24'] });
    const receiver = far.socket('udp').bind({ host: '10.0.0.2', port: 5000 });
    const path = freshFile();
    const recording = receiver.record(path);
    near.socket('udp').sendTo(Buffer.alloc(5000), { host: '10.0.0.2', port: 5000 });
    near.socket('udp').sendTo(Buffer.alloc(5000), { host: '10.0.0.2', port: 5001 });
    waitFor(receiver, POLLIN);
    expect(await recording.stop()).toMatchObject({ frames: 4 });
  });

  test('that is connected has those of its peer alone', async () => {
    const { near, far } = await twoStacks();
    const path = freshFile();
    const peer = far.socket('udp').bind({ host: '10.0.0.2', port: 5000 });
    const stranger = far.socket('udp').bind({ host: '10.0.0.2', port: 5001 });
    const socket = near.socket('udp').bind({ host: '10.0.0.1', port: 4000 });
    socket.connect({ host: '10.0.0.2', port: 5000 });
    const recording = socket.record(path);
    stranger.sendTo('no', { host: '10.0.0.1', port: 4000 });
    peer.sendTo('yes', { host: '10.0.0.1', port: 4000 });
    waitFor(socket, POLLIN);
    await recording.stop();
    expect(summary(path)).toEqual(['in protocol 17 5000 > 4000']);
  });
});

test('connections that are recorded one after the other leave nothing open', async () => {
  const { near, far } = await twoStacks();
  const record = async () => {
    const { client, server } = connect(near, far, 7);
    const recording = client.record(freshFile());
    server.setOption('linger', 0).close();
    waitFor(client, POLLIN);
    client.close();
    await until(() => recording.ended, 30_000);
  };
  await record();
  const before = openDescriptors();
  for (let i = 0; i < 5; i++) await record();
  expect(openDescriptors()).toBe(before);
});

test('what cannot be recorded says why', async () => {
  const { near } = await twoStacks();
  const socket = near.socket('tcp');
  expect(thrownBy(() => socket.record(join(folder, 'no', 'where')))).toMatchObject({
    code: 'ENOENT',
    syscall: 'open',
  });
  expect(thrownBy(() => socket.record(''))).toMatchObject({ code: 'ERR_INVALID_ARG_VALUE' });
  expect(thrownBy(() => socket.record(untyped({})))).toMatchObject({
    code: 'ERR_INVALID_ARG_TYPE',
  });
  const links = untyped({ links: ['eth0'] });
  expect(thrownBy(() => socket.record(freshFile(), links))).toMatchObject({
    message:
      "The property 'options.links' is not known: there are snapLength, frameLimit. Received [ 'eth0' ]",
  });
  socket.close();
  expect(thrownBy(() => socket.record(freshFile()))).toMatchObject({
    code: 'EBADF',
    message: expect.stringMatching(/ - the socket is closed$/),
  });
  const host = await HostStack.open();
  onTestFinished(() => host.close());
  expect(thrownBy(() => host.socket('udp').record(freshFile()))).toMatchObject({
    code: 'EOPNOTSUPP',
    syscall: 'record',
  });
});
