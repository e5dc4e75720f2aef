// SPDX-License-Identifier: MIT
import { describe, expect, test } from 'vitest';
import {
  MSG_OOB,
  MSG_PEEK,
  POLLHUP,
  POLLIN,
  POLLOUT,
  POLLPRI,
  POLLRDHUP,
  poll,
  TcpSocket,
  WOULD_BLOCK,
} from 'vpollnet';
import { connectedPair, readAll, thrownBy, twoStacks, until, waitFor } from './support.js';

describe.each(['10.0.0.2', 'fd00::2'])('over %s', (host) => {
  test('a client connects, sends and gets an answer', async () => {
    const { client, server } = await connectedPair(host);
    expect(client).toBeInstanceOf(TcpSocket);
    expect(client.state).toBe('ESTABLISHED');
    expect(client.error).toBeNull();
    expect(client.remoteAddress).toMatchObject({ address: host, port: 7 });
    expect(server.remoteAddress).toEqual(client.localAddress);
    expect(client.send('hello')).toBe(5);
    waitFor(server, POLLIN);
    expect(server.read()?.toString()).toBe('hello');
    expect(server.send(Buffer.from('xworldx'), 1, 5)).toBe(5);
    waitFor(client, POLLIN);
    const buffer = Buffer.alloc(8, '.');
    expect(client.recv(buffer, 2)).toBe(5);
    expect(buffer.toString()).toBe('..world.');
  });

  test('a stream of many megabytes arrives as it was sent', async () => {
    const { client, server } = await connectedPair(host);
    const sent = Buffer.alloc(8 * 2 ** 20).map((_, i) => (i * 2654435761) >>> 24);
    const parts: Buffer[] = [];
    let at = 0;
    let got = 0;
    while (got < sent.length) {
      if (at < sent.length) at += Math.max(0, client.send(sent, at));
      if (at === sent.length && client.state === 'ESTABLISHED') client.shutdown('write');
      const part = server.read(1 << 20);
      if (part === null) continue;
      if (part.length === 0) break;
      parts.push(part);
      got += part.length;
    }
    expect(Buffer.concat(parts).equals(sent)).toBe(true);
  });
});

test('would-block is a value', async () => {
  const { client, server } = await connectedPair();
  expect(server.recv(Buffer.alloc(10))).toBe(WOULD_BLOCK);
  expect(server.read()).toBeNull();
  const chunk = Buffer.alloc(1 << 20);
  let sent = 0;
  for (let n = client.send(chunk); n !== WOULD_BLOCK; n = client.send(chunk)) sent += n;
  expect(sent).toBeGreaterThan(0);
  expect(client.readiness & POLLOUT).toBe(0);
  expect(client.getOption('unsent')).toBeGreaterThan(0);
});

test('a half-closed connection still carries the other direction', async () => {
  const { client, server } = await connectedPair();
  client.send('question');
  client.shutdown('write');
  expect(readAll(server).toString()).toBe('question');
  expect(server.readiness & POLLRDHUP).toBe(POLLRDHUP);
  expect(server.send('answer')).toBe(6);
  server.close();
  expect(readAll(client).toString()).toBe('answer');
  expect(client.read()?.length).toBe(0);
  expect(client.readiness & POLLHUP).toBe(POLLHUP);
  expect(thrownBy(() => client.send('x'))).toMatchObject({ code: 'EPIPE', syscall: 'send' });
});

test('a listener accepts what is there, and null says that there is no more', async () => {
  const { near, far } = await twoStacks();
  const listener = far.socket('tcp').bind({ port: 7 }).listen(8);
  expect(listener.state).toBe('LISTEN');
  expect(listener.getOption('listening')).toBe(true);
  expect(listener.localAddress).toEqual({ address: '::', family: 'IPv6', port: 7 });
  expect(listener.accept()).toBeNull();
  const clients = ['10.0.0.2', 'fd00::2', '10.0.0.2'].map((host) => {
    const client = near.socket('tcp');
    client.connect({ host, port: 7 });
    return client;
  });
  for (const client of clients) waitFor(client, POLLOUT);
  await until(() => near.sockets().filter(({ state }) => state === 'ESTABLISHED').length === 3);
  waitFor(listener, POLLIN);
  expect([1, 2, 3].map(() => listener.accept()?.state)).toEqual(Array(3).fill('ESTABLISHED'));
  expect(listener.accept()).toBeNull();
});

test('a connection within one stack goes over loopback', async () => {
  const { near } = await twoStacks();
  const listener = near.socket('tcp').bind({ host: '127.0.0.1', port: 0 }).listen();
  const { port } = listener.localAddress ?? { port: 0 };
  expect(port).toBeGreaterThan(0);
  const client = near.socket('tcp');
  client.connect({ host: '127.0.0.1', port });
  waitFor(client, POLLOUT);
  waitFor(listener, POLLIN);
  const server = listener.accept();
  server?.send('loop');
  waitFor(client, POLLIN);
  expect(client.read()?.toString()).toBe('loop');
});

test('data can be looked at before it is taken', async () => {
  const { client, server } = await connectedPair();
  client.send('peek');
  waitFor(server, POLLIN);
  const buffer = Buffer.alloc(4);
  expect(server.recv(buffer, 0, 4, MSG_PEEK)).toBe(4);
  expect(server.getOption('unread')).toBe(4);
  expect(server.read()?.toString()).toBe('peek');
  expect(server.read()).toBeNull();
});

test('an urgent byte comes with POLLPRI, out of the stream', async () => {
  const { client, server } = await connectedPair();
  client.send('ab');
  client.send('!', 0, 1, MSG_OOB);
  waitFor(server, POLLPRI);
  const buffer = Buffer.alloc(1);
  expect(server.recv(buffer, 0, 1, MSG_OOB)).toBe(1);
  expect(buffer.toString()).toBe('!');
  expect(server.read()?.toString()).toBe('ab');
});

test('a string is sent as UTF-8 and counted in bytes', async () => {
  const { client, server } = await connectedPair();
  expect(client.send('größe')).toBe(7);
  waitFor(server, POLLIN);
  expect(server.read()?.toString()).toBe('größe');
});

test('sockets close with using, and twice', async () => {
  const { near } = await twoStacks();
  let seen: TcpSocket;
  {
    using socket = near.socket('tcp');
    seen = socket;
    expect(seen.closed).toBe(false);
  }
  expect(seen.closed).toBe(true);
  expect(seen.state).toBe('CLOSED');
  seen.close();
});

test('ten thousand bytes back and forth a thousand times', async () => {
  const { client, server } = await connectedPair();
  const ball = Buffer.alloc(10_000, 'b');
  const buffer = Buffer.alloc(10_000);
  for (let i = 0; i < 1000; i += 1) {
    const [from, to] = i % 2 ? [server, client] : [client, server];
    for (let sent = 0, got = 0; got < ball.length; ) {
      if (sent < ball.length) sent += Math.max(0, from.send(ball, sent));
      poll([{ fd: to.fd, events: POLLIN }], 1000);
      got += Math.max(0, to.recv(buffer));
    }
  }
  expect(client.error).toBeNull();
});
