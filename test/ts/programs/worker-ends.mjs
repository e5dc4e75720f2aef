// SPDX-License-Identifier: MIT
//
// node worker-ends.mjs WAY: workers that end in that way while sockets, connections and waits of theirs are
// open. Says whether a descriptor was left behind.

import { readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { POLLIN, POLLOUT, poll, pollAsync, Stack } from 'vpollnet';

if (isMainThread) {
  const way = process.argv[2];
  await round(way);
  const before = await descriptors();
  for (let i = 0; i < 5; i += 1) await round(way);
  const after = await descriptors();
  console.log(after <= before ? 'no descriptor left' : `${after - before} descriptors left`);
} else {
  await occupy(workerData);
}

/** When they are as few as they get. */
async function descriptors() {
  const count = () => readdirSync('/proc/self/fd').length;
  let least = count();
  for (let i = 0; i < 20; i += 1) {
    await sleep(5);
    least = Math.min(least, count());
  }
  return least;
}

/** @param {string} way */
async function round(way) {
  const worker = new Worker(new URL(import.meta.url), { workerData: way });
  const ended = new Promise((resolve) => worker.once('exit', resolve));
  worker.on('error', (error) => {
    if (error.message !== 'on purpose') throw error;
  });
  await new Promise((resolve) => worker.once('message', resolve));
  if (way.startsWith('is-terminated')) {
    await sleep(30);
    await worker.terminate();
  }
  await ended;
}

/** @param {string} way */
async function occupy(way) {
  const url = `cable:${way}`;
  const near = await Stack.open({ links: [{ url, addresses: ['10.0.0.1/24'], dad: false }] });
  const far = await Stack.open({ links: [{ url, addresses: ['10.0.0.2/24'], dad: false }] });
  const listener = far.socket('tcp').bind({ port: 7 }).listen();
  const client = near.socket('tcp');
  client.connect({ host: '10.0.0.2', port: 7 });
  poll([{ fd: client.fd, events: POLLOUT }], 20_000);
  poll([{ fd: listener.fd, events: POLLIN }], 20_000);
  const server = listener.accept();
  client.send(Buffer.alloc(1 << 20));
  near.socket('udp').bind({ port: 53 });
  const waits = [{ fd: listener.fd, events: POLLIN }];
  if (way !== 'returns') void pollAsync(waits).catch(() => {});
  near.on('linkdown', () => {});
  parentPort.postMessage(server.state);
  if (way === 'exits') process.exit(3);
  if (way === 'throws') throw new Error('on purpose');
  if (way === 'is-terminated-in-poll') poll(waits, -1);
}
