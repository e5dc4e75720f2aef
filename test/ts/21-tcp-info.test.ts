// SPDX-License-Identifier: MIT
//
// What info() tells of a connection, of a stack of ours and of the host.

import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { HostStack, POLLIN, POLLOUT, type TcpInfo, type TcpSocket, WOULD_BLOCK } from 'vpollnet';
import { connectedPair, freshCable, openStack, thrownBy, until, waitFor } from './support.js';

async function hostPair(): Promise<{ client: TcpSocket; server: TcpSocket }> {
  const stack = await HostStack.open();
  onTestFinished(() => stack.close());
  const listener = stack.socket('tcp').bind({ host: '127.0.0.1' }).listen();
  const client = stack.socket('tcp');
  client.connect({ host: '127.0.0.1', port: listener.localAddress!.port });
  waitFor(client, POLLOUT);
  waitFor(listener, POLLIN);
  return { client, server: listener.accept() as TcpSocket };
}

/** `size` bytes from one to the other, while both are served. */
function transfer(from: TcpSocket, to: TcpSocket, size: number): void {
  const chunk = Buffer.alloc(65536);
  for (let sent = 0, received = 0; received < size; ) {
    if (sent < size) sent += Math.max(0, from.send(chunk, 0, Math.min(chunk.length, size - sent)));
    const got = to.recv(chunk);
    if (got !== WOULD_BLOCK) received += got;
  }
}

const size = 1_000_000;

describe.each([
  ['a stack', connectedPair],
  ['the host', hostPair],
] as const)('of %s', (place, pair) => {
  test('info has all that is promised, each of its type', async () => {
    const { client } = await pair();
    const info = client.info();
    const of = (type: string) =>
      Object.entries(info).flatMap(([name, value]) =>
        (value === null ? 'null' : typeof value) === type ? [name] : [],
      );
    expect(of('string').sort()).toEqual(['congestion', 'congestionState', 'state']);
    expect(of('boolean').sort()).toEqual(['ecn', 'sack', 'timestamps']);
    expect(of('object')).toEqual(['windowScale']);
    expect(Object.keys(info)).toHaveLength(32);
    for (const name of of('number')) {
      expect(info[name as keyof TcpInfo], name).toBeGreaterThanOrEqual(0);
    }
  });

  test('both ends agree on what went over', async () => {
    const { client, server } = await pair();
    transfer(client, server, size);
    await until(() => client.info().unacknowledged === 0);
    const sent = client.info();
    const received = server.info();
    expect(sent).toMatchObject({
      state: 'ESTABLISHED',
      congestionState: 'open',
      unsent: 0,
      unacknowledged: 0,
      bytesInFlight: 0,
      retransmits: 0,
      lost: 0,
      sacked: 0,
      timestamps: true,
      sack: true,
      bytesReceived: 0,
    });
    expect(sent.congestion).toBe(client.getOption('congestion'));
    expect(sent.bytesSent - sent.bytesRetransmitted).toBe(size);
    expect(received.bytesReceived).toBe(size);
    // The host's kernel counts the SYN.
    expect(sent.bytesAcked - size).toBe(place === 'the host' ? 1 : 0);
    expect(sent.segmentsSent).toBe(received.segmentsReceived);
    expect(received.receiveMss).toBeGreaterThan(500);
    expect(sent.sendMss).toBeGreaterThan(500);
    expect(sent.pathMtu).toBeGreaterThan(sent.sendMss);
    expect(sent.congestionWindow).toBeGreaterThanOrEqual(sent.sendMss);
    expect(sent.sendWindow).toBeGreaterThan(0);
    expect(sent.rtt).toBeGreaterThan(0);
    expect(sent.rtt).toBeLessThan(60_000);
    expect(sent.minRtt).toBeGreaterThan(0);
    expect(sent.retransmitTimeout).toBeGreaterThanOrEqual(200);
    expect(sent.windowScale).toEqual({
      send: received.windowScale?.receive,
      receive: received.windowScale?.send,
    });
  });

  test('what waits in a socket that is not read is told', async () => {
    const { client, server } = await pair();
    const chunk = Buffer.alloc(65536);
    let queued = 0;
    for (let taken = client.send(chunk); taken !== WOULD_BLOCK; taken = client.send(chunk)) {
      queued += taken;
    }
    await until(() => {
      const info = client.info();
      return info.unsent > 0 && info.unsent + info.unacknowledged === client.getOption('unsent');
    });
    expect(client.getOption('unsent')).toBeLessThanOrEqual(queued);
    expect(server.info().bytesReceived).toBeGreaterThan(0);
  });

  test('after close() it is EBADF', async () => {
    const { client } = await pair();
    client.close();
    expect(thrownBy(() => client.info())).toMatchObject({ code: 'EBADF', syscall: 'getsockopt' });
  });
});

test('of a listener and of a fresh socket only state and congestion mean something', async () => {
  const host = await HostStack.open();
  onTestFinished(() => host.close());
  for (const stack of [await openStack(), host]) {
    const socket = stack.socket('tcp');
    expect(socket.info()).toMatchObject({
      state: 'CLOSED',
      rtt: null,
      bytesSent: 0,
      windowScale: null,
    });
    expect(socket.info().congestion).toBe(socket.getOption('congestion'));
    expect(socket.listen().info()).toMatchObject({ state: 'LISTEN', unacknowledged: 0, sacked: 0 });
  }
});

test('a loss shows: what went again, and a threshold', async () => {
  const url = freshCable();
  const near = await openStack({ url, mtu: 1500, addresses: ['10.0.0.1/24'] });
  const far = await openStack({ url, mtu: 1500, addresses: ['10.0.0.2/24'] });
  const listener = far.socket('tcp').bind({ port: 7 }).listen();
  const client = near.socket('tcp');
  client.connect({ host: '10.0.0.2', port: 7 });
  waitFor(client, POLLOUT);
  waitFor(listener, POLLIN);
  const server = listener.accept() as TcpSocket;
  expect(client.info().slowStartThreshold).toBeNull();
  near.impair('eth0', { loss: 0.02, seed: 1 });
  const chunk = Buffer.alloc(65536);
  for (let sent = 0, received = 0; received < size; await sleep(1)) {
    if (sent < size)
      sent += Math.max(0, client.send(chunk, 0, Math.min(chunk.length, size - sent)));
    for (let got = server.recv(chunk); got > 0; got = server.recv(chunk)) received += got;
  }
  await until(() => client.info().unacknowledged === 0, 30_000);
  const info = client.info();
  expect(info.totalRetransmits).toBeGreaterThan(0);
  expect(info.bytesRetransmitted).toBeGreaterThan(0);
  expect(info.bytesAcked).toBe(size);
  expect(info.bytesSent).toBe(info.bytesRetransmitted + size);
  expect(info.slowStartThreshold).toBeGreaterThan(0);
});
