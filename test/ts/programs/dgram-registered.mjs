// SPDX-License-Identifier: MIT
//
// node --import vpollnet/register dgram-registered.mjs: a program of node:dgram, on the stack's address.

import dgram, { createSocket } from 'node:dgram';
import { createRequire } from 'node:module';

const required = createRequire(import.meta.url)('dgram');
const server = createSocket('udp4');
const client = new dgram.Socket('udp4');
console.log(required.createSocket === createSocket, server instanceof required.Socket);
server.on('message', (message, from) => {
  console.log(`${message} from ${from.address}`);
  server.close();
  client.close();
});
server.bind(7000, '10.0.0.2', () => client.send('hello', 7000, '10.0.0.2'));
