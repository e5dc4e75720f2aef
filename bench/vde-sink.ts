// SPDX-License-Identifier: MIT
//
// vde-sink.js URL ADDRESS/PREFIX PORT: a stack that takes streams and ends each when its peer has ended it. Says
// 'ready' when it listens, and runs until its standard input ends.

import { POLLIN, poll, Stack } from 'vpollnet';
import { drain } from './streams.js';

const [url = '', address = '', port = ''] = process.argv.slice(2);
const stack = await Stack.open({ links: [{ url, addresses: [address], ipv6: false }] });
const listener = stack
  .socket('tcp')
  .bind({ port: Number(port) })
  .listen();
process.stdout.write('ready\n');
for (;;) {
  const input = { fd: 0, events: POLLIN, revents: 0 };
  poll([input, { fd: listener.fd, events: POLLIN, revents: 0 }], -1);
  if (input.revents !== 0) break;
  const socket = listener.accept();
  if (socket === null) continue;
  drain(socket);
  socket.close();
}
await stack.close();
