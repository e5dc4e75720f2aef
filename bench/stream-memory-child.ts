// SPDX-License-Identifier: MIT
//
// node --expose-gc stream-memory-child.js cable|node: bytes of this process for an idle connection, both of its ends
// with their net.Socket.

import { once } from 'node:events';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Stack } from 'vpollnet';
import { type Ends, loopback } from './node-net.js';

const first = 500; // what is made once is made by these
const counted = 4000;
const atOnce = 50;

async function ends(side: string | undefined): Promise<Ends> {
  if (side !== 'cable') return loopback(net);
  const url = 'cable:bench-memory';
  const client = await Stack.open({ links: [{ url, addresses: ['10.0.0.1/24'] }] });
  const server = await Stack.open({ links: [{ url, addresses: ['10.0.0.2/24'] }] });
  return { client: client.net, server: server.net, host: '10.0.0.2' };
}

const { client, server, host } = await ends(process.argv[2]);
const held: net.Socket[] = [];
const listener = server.createServer((socket) => held.push(socket)).listen(0, host);
await once(listener, 'listening');
const { port } = listener.address() as net.AddressInfo;

async function open(count: number): Promise<void> {
  for (let made = 0; made < count; made += atOnce) {
    const some = Array.from({ length: atOnce }, () => client.connect({ port, host }));
    held.push(...some);
    await Promise.all(some.map((socket) => once(socket, 'connect')));
  }
}

async function settled(): Promise<number> {
  for (let round = 0; round < 3; round += 1) {
    await sleep(200);
    (globalThis as unknown as { gc(): void }).gc();
  }
  return process.memoryUsage.rss();
}

await open(first);
const before = await settled();
await open(counted);
process.stdout.write(`${((await settled()) - before) / counted}\n`);
process.exit();
