// SPDX-License-Identifier: MIT
//
// node echo-client.mjs HOST PORT BYTES: sends so many random bytes and says 'whole' if they come back.

import { createHash, randomBytes } from 'node:crypto';
import net from 'node:net';

const [host, port, bytes] = process.argv.slice(2);
const piece = randomBytes(1024 * 1024);
const sent = createHash('sha256');
const back = createHash('sha256');
const socket = net.connect({ host, port: Number(port) });
socket.on('data', (data) => back.update(data));
socket.on('end', () => {
  console.log(back.digest('hex') === sent.digest('hex') ? 'whole' : 'damaged');
});
socket.on('error', (error) => console.log(error.message));
for (let left = Number(bytes); left > 0; left -= piece.length) {
  const next = piece.subarray(0, Math.min(left, piece.length));
  sent.update(next);
  if (!socket.write(next)) await new Promise((resolve) => socket.once('drain', resolve));
}
socket.end();
