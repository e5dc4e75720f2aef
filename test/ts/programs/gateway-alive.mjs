// SPDX-License-Identifier: MIT
//
// node gateway-alive.mjs ref|unref: nothing but a gateway that could keep the process alive.

import { HostStack, Stack } from 'vpollnet';

const router = await Stack.open({ links: [{ url: 'cable:x', dad: false }] });
const gateway = router.gateway({ to: await HostStack.open() });
if (process.argv[2] === 'unref') {
  gateway.unref().ref().unref();
  process.on('exit', () => console.log('ended by itself'));
} else {
  setTimeout(() => {
    gateway.close();
    console.log('closed after 300 ms');
  }, 300).unref();
}
