// SPDX-License-Identifier: MIT
//
// Two stacks with sockets in all kinds of states, in a program that is blocked in poll() for good.

import { writeSync } from 'node:fs';
import { POLLIN, POLLOUT, poll, Stack } from '../../../dist/ts/index.js';

const on = (name, ...addresses) =>
  Stack.open({ name, links: [{ url: 'cable:lab', addresses, dad: false }] });
const server = await on('server', '10.0.0.1/24', 'fd00::1/64');
const client = await on('a "quoted"\n\x1b[31m name', '10.0.0.2/24');
const listener = server.socket('tcp').bind({ port: 80 }).listen();
server.socket('udp').bind({ host: 'fd00::1', port: 53 });
const connected = client.socket('tcp');
connected.connect({ host: '10.0.0.1', port: 80 });
poll([{ fd: connected.fd, events: POLLOUT }], 20_000);
poll([{ fd: listener.fd, events: POLLIN }], 20_000);
const accepted = listener.accept();
connected.send('x'.repeat(1234));
client.socket('udp').sendTo('nobody', { host: '10.0.0.1', port: 9 });
poll([{ fd: accepted.fd, events: POLLIN }], 20_000);
writeSync(1, 'ready\n');
poll([{ fd: listener.fd, events: POLLIN }]);
