// SPDX-License-Identifier: MIT
//
// worker-ends.mjs URL: a worker, the only thread that has the addon loaded, ends while a link of its stack is
// being opened anew. Tells each step; the next line of standard input lets it go on.

import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

const say = (/** @type {string} */ text) => process.stdout.write(`${text}\n`);

if (isMainThread) {
  const worker = new Worker(new URL(import.meta.url), { workerData: process.argv[2] });
  worker.on('message', say);
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  await lines.next();
  await worker.terminate();
  say('the worker has ended');
  await lines.next();
  await sleep(300); // the attempt ends meanwhile
  say('still here');
  process.exit(0);
} else {
  const { Stack } = await import('../../../dist/ts/index.js');
  const stack = await Stack.open({
    links: [{ url: workerData, addresses: ['10.77.10.1/24'], ipv6: false }],
  });
  stack.on('linkdown', () => parentPort?.postMessage('down'));
  parentPort?.postMessage('up');
  setInterval(() => {}, 1000);
}
