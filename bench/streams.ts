// SPDX-License-Identifier: MIT
//
// Streams of our stack, as a program in a poll loop moves them.

import { POLLIN, POLLOUT, poll, type Stack, type TcpSocket, WOULD_BLOCK } from 'vpollnet';
import { secondsSince } from './measure.js';

const chunk = Buffer.alloc(64 * 1024, 1);

export function connect(stack: Stack, host: string, port: number): TcpSocket {
  const socket = stack.socket('tcp');
  socket.connect({ host, port });
  poll([{ fd: socket.fd, events: POLLOUT }], 5000);
  if (socket.error !== null) throw socket.error;
  socket.setOption('noDelay', true);
  return socket;
}

/** Sends `bytes` and the end, and waits for the peer's end: the seconds that took. */
export function sendBulk(socket: TcpSocket, bytes: number): number {
  const begin = process.hrtime.bigint();
  const writable = [{ fd: socket.fd, events: POLLOUT }];
  for (let sent = 0; sent < bytes; ) {
    const taken = socket.send(chunk, 0, Math.min(chunk.length, bytes - sent));
    if (taken === WOULD_BLOCK) poll(writable, 5000);
    else sent += taken;
  }
  socket.shutdown('write');
  drain(socket);
  return secondsSince(begin);
}

/** Reads to the end: how many bytes there were. */
export function drain(socket: TcpSocket): number {
  const buffer = Buffer.allocUnsafe(128 * 1024);
  const readable = [{ fd: socket.fd, events: POLLIN }];
  for (let received = 0; ; ) {
    const got = socket.recv(buffer);
    if (got === 0) return received;
    if (got === WOULD_BLOCK) poll(readable, 5000);
    else received += got;
  }
}
