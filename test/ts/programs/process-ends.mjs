// SPDX-License-Identifier: MIT
//
// node process-ends.mjs WAY: ends in that way while sockets are open and data is on its way.

import { POLLIN, POLLOUT, poll, pollAsync, Stack } from 'vpollnet';

const url = 'cable:ends';
const near = await Stack.open({ links: [{ url, addresses: ['10.0.0.1/24'], dad: false }] });
const far = await Stack.open({ links: [{ url, addresses: ['10.0.0.2/24'], dad: false }] });
const listener = far.socket('tcp').bind({ port: 7 }).listen();
const client = near.socket('tcp');
client.connect({ host: '10.0.0.2', port: 7 });
poll([{ fd: client.fd, events: POLLOUT }], 20_000);
poll([{ fd: listener.fd, events: POLLIN }], 20_000);
client.send(Buffer.alloc(1 << 20));
const way = process.argv[2];
if (way !== 'returns') void pollAsync([{ fd: listener.fd, events: POLLOUT }]);
if (way === 'exits') process.exit(7);
if (way === 'throws') setTimeout(() => thisIsNotDefined, 1);
