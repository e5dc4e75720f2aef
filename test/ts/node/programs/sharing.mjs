// SPDX-License-Identifier: MIT
//
// A worker that has the stack of the test's thread: it listens on port 8, and does as it is told.

import { once } from 'node:events';
import { parentPort, workerData } from 'node:worker_threads';
import { Stack } from 'vpollnet';

const stack = Stack.attach(workerData);
const server = stack.net.createServer((socket) => socket.end('from the worker'));
server.on('close', () => parentPort.postMessage('server closed'));
await once(server.listen(8), 'listening');
parentPort.postMessage('listening');
parentPort.on('message', async (order) => {
  if (order === 'close') {
    const { net } = stack;
    await stack.close();
    const [error] = await once(net.connect(7, '127.0.0.1'), 'error');
    parentPort.postMessage(`then: ${error.code}`);
  }
  while (order === 'spin') stack.net.connect(9, '127.0.0.1').destroy();
  if (order === 'hold') stack.net.connect(7, '127.0.0.1').on('error', () => {});
  if (order === 'exit') process.exit();
  parentPort.postMessage(`done: ${order}`);
});
