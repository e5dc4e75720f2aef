// SPDX-License-Identifier: MIT
//
// Two hosts with addresses of their own in one process, and one poll over stdin and a stack socket.

import { readSync } from 'node:fs';
import { POLLIN, poll, Stack } from 'vpollnet';

await using alice = await Stack.open({ links: [{ url: 'cable:lab', addresses: ['10.0.0.1/24'] }] });
await using bob = await Stack.open({ links: [{ url: 'cable:lab', addresses: ['10.0.0.2/24'] }] });
const sender = alice.socket('udp');
const receiver = bob.socket('udp').bind({ port: 7 });

const buffer = Buffer.alloc(1024);
const stdin = { fd: 0, events: POLLIN, revents: 0 };
const network = { fd: receiver.fd, events: POLLIN, revents: 0 };
while (poll([stdin, network], stdin.fd < 0 ? 0 : -1) > 0) {
  if (network.revents) {
    const from = receiver.recvFrom(buffer);
    console.log(`${from?.address} said ${buffer.toString('utf8', 0, from?.bytes).trimEnd()}`);
  }
  if (stdin.revents) {
    const bytes = readSync(0, buffer);
    if (bytes > 0) sender.sendTo(buffer.subarray(0, bytes), { host: '10.0.0.2', port: 7 });
    else stdin.fd = -1;
  }
}
