// SPDX-License-Identifier: MIT
//
// A gateway to the host when the process has no descriptor left, and again when it has.

import { closeSync, openSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { HostStack, POLLIN, POLLOUT, poll, Stack } from 'vpollnet';

const open = (address, gateways) =>
  Stack.open({ links: [{ url: 'cable:x', dad: false, addresses: [address], gateways }] });
const router = await open('10.0.0.1/24', []);
const guest = await open('10.0.0.2/24', ['10.0.0.1']);
const host = await HostStack.open();
const gateway = router.gateway({ to: host, hostLoopback: '10.7.0.1' });
const listener = host.socket('tcp').bind({ host: '127.0.0.1' }).listen();
const wait = (socket, events) => poll([{ fd: socket.fd, events }], 20_000);
const connect = () => {
  const socket = guest.socket('tcp');
  socket.connect({ host: '10.7.0.1', port: listener.localAddress.port });
  return socket;
};

const first = connect();
wait(first, POLLOUT);
wait(listener, POLLIN);
const server = listener.accept();
wait(server, 0);
const second = guest.socket('tcp');
void second.fd;

const held = [];
try {
  for (;;) held.push(openSync('/dev/null'));
} catch {
  // That was the last one.
}
second.connect({ host: '10.7.0.1', port: listener.localAddress.port });
const result = [];
for (let i = 0; i < 2000 && gateway.counters().drops.no_descriptors === 0; i += 1) await sleep(10);
result.push(gateway.counters().drops.no_descriptors > 0 ? 'counted' : 'not counted');
result.push(second.state === 'SYN-SENT' ? 'not answered' : second.state);
first.send('still here');
wait(server, POLLIN);
result.push(server.read().toString());
for (const fd of held) closeSync(fd);
wait(second, POLLOUT);
result.push(second.error === null ? 'then connected' : second.error.code);
console.log(result.join(', '));
await Promise.all([router, guest, host].map((stack) => stack.close()));
