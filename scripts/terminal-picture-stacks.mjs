// SPDX-License-Identifier: MIT
//
// A program with busy stacks on a switch, for the picture of `vpollnet stacks`: terminal-picture.mjs runs it.

import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { root } from './steps.mjs';

const { POLLIN, POLLOUT, poll, Stack, Switch } = await import(join(root, 'dist/ts/index.js'));

/** @param {string} name @param {string} address */
const on = (name, address) =>
  Stack.open({ name, links: [{ url: `cable:${name}`, addresses: [address], dad: false }] });
await Switch.open({ ports: [{ url: 'cable:web' }, { url: 'cable:client' }] });
const web = await on('web', '10.0.0.1/24');
const client = await on('client', '10.0.0.2/24');
const listener = web.socket('tcp').bind({ port: 80 }).listen();
web.socket('udp').bind({ host: '10.0.0.1', port: 53 });
const senders = [1, 2, 3].map(() => {
  const socket = client.socket('tcp');
  socket.connect({ host: '10.0.0.1', port: 80 });
  poll([{ fd: socket.fd, events: POLLOUT }], 1000);
  return socket;
});
const receivers = senders.map(() => {
  poll([{ fd: listener.fd, events: POLLIN }], 1000);
  return listener.accept();
});
const lost = client.socket('udp');
for (;;) {
  for (const [i, socket] of senders.entries()) {
    socket.send(Buffer.alloc(1000 * (i + 1)));
    if (i > 0) receivers[i]?.read();
  }
  lost.sendTo('nobody listens', { host: '10.0.0.1', port: 9 });
  poll([], 50);
  await turn();
}
