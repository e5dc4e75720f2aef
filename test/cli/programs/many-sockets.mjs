// SPDX-License-Identifier: MIT
//
// A stack with as many sockets as the first argument says, in a program that does nothing.

import { writeSync } from 'node:fs';
import { Stack } from '../../../dist/ts/index.js';

const stack = await Stack.open({ name: 'many' });
for (let i = 0; i < Number(process.argv[2]); i += 1) {
  stack.socket('udp').bind({ host: `127.0.0.${1 + (i >> 14)}`, port: 1024 + (i & 0x3fff) });
}
writeSync(1, 'ready\n');
setInterval(() => {}, 1000);
