// SPDX-License-Identifier: MIT
//
// node dgram-ends.mjs WAY: what is left of the program is a socket of stack.dgram, which keeps it or does not.

import { Stack } from 'vpollnet';

const stack = await Stack.open({
  links: [{ url: 'cable:dgram-ends', addresses: ['10.0.0.1/24'] }],
});
const socket = stack.dgram.createSocket('udp4');
const ways = {
  close: () => setTimeout(() => socket.close(() => console.log('closed')), 50),
  unref: () => socket.unref(),
  message: () => {
    socket.on('message', (message) => {
      console.log(`message ${message}`);
      socket.close();
    });
    // What keeps the program is the socket alone.
    setTimeout(() => socket.send('x', 7000, '10.0.0.1'), 50).unref();
  },
};
const way = process.argv[2];
if (way === 'unbound') console.log('unbound');
else {
  socket.bind(7000, () => {
    console.log('listening');
    ways[way]();
  });
}
