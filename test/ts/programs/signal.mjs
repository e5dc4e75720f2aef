// SPDX-License-Identifier: MIT
//
// A signal in the middle of a blocking poll and a blocking select.

import { spawn } from 'node:child_process';
import { setImmediate as turn } from 'node:timers/promises';
import { POLLIN, poll, Stack, select } from 'vpollnet';

const stack = await Stack.open({ links: [{ url: 'cable:signal', dad: false }] });
const { fd } = stack.socket('udp');
let seen = '';
process.on('SIGUSR2', (signal) => {
  seen = signal;
});

const waits = { poll: () => poll([{ fd, events: POLLIN }]), select: () => select({ read: [fd] }) };
for (const [name, wait] of Object.entries(waits)) {
  seen = '';
  // More than once, as the first may come before the wait.
  const sender = spawn('sh', ['-c', `while sleep 0.3; do kill -USR2 ${process.pid}; done`]);
  for (;;) {
    try {
      wait();
    } catch (error) {
      // Twice: the first may only end the turn at hand.
      await turn();
      await turn();
      // The end of the sender before may have come, as SIGCHLD.
      if (seen === '') continue;
      console.log(name, error.code, seen);
      sender.kill();
      break;
    }
  }
}
process.exit(0);
