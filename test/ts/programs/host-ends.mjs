// SPDX-License-Identifier: MIT
//
// node host-ends.mjs WAY: a thread, or a process, that ends in that way with sockets of the host open.

import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { HostStack, POLLIN, poll } from 'vpollnet';

const way = process.argv[2];

if (!isMainThread) {
  const host = await HostStack.open();
  const listener = host.socket('tcp').bind({ host: '127.0.0.1' }).listen();
  const client = host.socket('tcp');
  client.connect({ host: '127.0.0.1', port: listener.localAddress.port });
  poll([{ fd: listener.fd, events: POLLIN }], 20_000);
  parentPort.postMessage([client.fd, listener.accept().fd, listener.fd]);
  if (workerData === 'exits') process.exit(3);
  if (workerData === 'is-terminated') poll([{ fd: listener.fd, events: POLLIN }], -1);
} else if (way === 'process') {
  const host = await HostStack.open();
  const listener = host.socket('tcp').bind({ host: '127.0.0.1' }).listen();
  const { spawn } = await import('node:child_process');
  const child = spawn(process.execPath, [process.argv[1], 'connects'], {
    env: { ...process.env, PORT: `${listener.localAddress.port}` },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  await once(child, 'exit');
  const server = listener.accept();
  try {
    server.read();
  } catch (error) {
    console.log(error.code);
  }
} else if (way === 'connects') {
  const host = await HostStack.open();
  const client = host.socket('tcp');
  client.connect({ host: '127.0.0.1', port: Number(process.env.PORT) });
  poll([{ fd: client.fd, events: 4 }], 20_000);
  process.exit(0);
} else {
  const worker = new Worker(new URL(import.meta.url), { workerData: way });
  const ended = once(worker, 'exit');
  const [descriptors] = await once(worker, 'message');
  if (way === 'is-terminated') {
    await sleep(30);
    await worker.terminate();
  }
  await ended;
  const open = readdirSync('/proc/self/fd').map(Number);
  const left = descriptors.filter((fd) => open.includes(fd));
  console.log(left.length === 0 ? 'nothing left' : `left: ${left}`);
}
