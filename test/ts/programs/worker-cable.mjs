// SPDX-License-Identifier: MIT
//
// A stack in a worker and one in the main thread, on one cable.

import { isMainThread, Worker } from 'node:worker_threads';
import { POLLIN, poll, pollAsync, Stack } from 'vpollnet';

const host = isMainThread ? '10.0.0.1' : '10.0.0.2';
const links = [{ url: 'cable:shared', addresses: [`${host}/24`], dad: false }];
const stack = await Stack.open({ links });

if (isMainThread) {
  const socket = stack.socket('udp').bind({ port: 53 });
  const worker = new Worker(new URL(import.meta.url));
  await pollAsync([{ fd: socket.fd, events: POLLIN }], 20_000);
  const buffer = Buffer.alloc(100);
  const { bytes, address, port } = socket.recvFrom(buffer);
  console.log(buffer.toString('utf8', 0, bytes));
  socket.sendTo('thanks', { host: address, port });
  await new Promise((resolve) => worker.once('exit', resolve));
} else {
  const socket = stack.socket('udp');
  socket.sendTo('hello from a worker', { host: '10.0.0.1', port: 53 });
  if (poll([{ fd: socket.fd, events: POLLIN }], 20_000) !== 1) throw new Error('no answer');
}
await stack.close();
