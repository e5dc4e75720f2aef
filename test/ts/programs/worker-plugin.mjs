// SPDX-License-Identifier: MIT
//
// node worker-plugin.mjs LOG: the plug-in 'threads' in two threads at once, a stack in each.

import { isMainThread, Worker } from 'node:worker_threads';
import { POLLIN, poll, Stack } from 'vpollnet';

const count = 100;
const log = process.argv[2];
const stack = await Stack.load('threads', { options: `log=${log},number=${isMainThread ? 1 : 2}` });

let ended;
if (isMainThread) {
  const worker = new Worker(new URL(import.meta.url), { argv: [log] });
  ended = new Promise((resolve) => worker.once('exit', resolve));
}
const to = stack.socket('udp').bind({ host: '127.0.0.1' });
const from = stack.socket('udp');
const buffer = Buffer.alloc(100);
for (let i = 0; i < count; i += 1) {
  from.sendTo(`${i}`, { host: '127.0.0.1', port: to.localAddress.port });
  if (poll([{ fd: to.fd, events: POLLIN }], 20_000) !== 1) throw new Error(`datagram ${i} is lost`);
  const { bytes } = to.recvFrom(buffer);
  if (buffer.toString('utf8', 0, bytes) !== `${i}`) throw new Error(`datagram ${i} is another`);
}
await stack.close();
if (isMainThread) {
  if ((await ended) === 0) console.log(`${count} datagrams in each of 2 threads`);
}
