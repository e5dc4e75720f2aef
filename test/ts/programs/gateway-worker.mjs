// SPDX-License-Identifier: MIT
//
// node gateway-worker.mjs WAY: a thread that ends in that way with a gateway, a flow that its policy has not decided,
// one that is open, and a forward.

import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { HostStack, POLLIN, POLLOUT, poll, Stack } from 'vpollnet';

const way = process.argv[2];

if (!isMainThread) {
  const open = (address, gateways) =>
    Stack.open({ links: [{ url: 'cable:x', dad: false, addresses: [address], gateways }] });
  const router = await open('10.0.0.1/24', []);
  const guest = await open('10.0.0.2/24', ['10.0.0.1']);
  const host = await HostStack.open();
  const listener = host.socket('tcp').bind({ host: '127.0.0.1' }).listen();
  const { port } = listener.localAddress;
  const asked = Promise.withResolvers?.() ?? {};
  const gateway = router.gateway({
    to: host,
    hostLoopback: '10.7.0.1',
    rules: [{ ports: port, action: 'allow' }],
    policy: () => {
      asked.resolve?.();
      return new Promise(() => {});
    },
  });
  gateway.forward({
    listen: { address: '127.0.0.1', port: 0 },
    to: { address: '10.0.0.2', port: 7 },
  });
  const client = guest.socket('tcp');
  client.connect({ host: '10.7.0.1', port });
  poll([{ fd: client.fd, events: POLLOUT }], 20_000);
  poll([{ fd: listener.fd, events: POLLIN }], 20_000);
  guest.socket('tcp').connect({ host: '192.0.2.1', port: 80 });
  await asked.promise;
  parentPort.postMessage('ready');
  if (workerData === 'exits') process.exit(3);
  if (workerData === 'is-terminated') poll([{ fd: 0, events: 0 }], -1);
  if (workerData === 'returns') gateway.unref();
} else {
  const list = () => readdirSync('/proc/self/fd').length;
  // What the first thread of a process opens for good is not counted.
  const run = async () => {
    const worker = new Worker(new URL(import.meta.url), { workerData: way });
    const ended = once(worker, 'exit');
    await once(worker, 'message');
    if (way === 'is-terminated') {
      await sleep(30);
      await worker.terminate();
    }
    await ended;
  };
  await run();
  const before = list();
  await run();
  console.log(list() <= before ? 'nothing left' : `left: ${list() - before}`);
}
