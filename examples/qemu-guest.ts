// SPDX-License-Identifier: MIT
//
// A host for a virtual machine: the guest's network card is a link of this process. It answers the guest's
// pings, which the stack does by itself, and greets whoever connects to port 7.
//
//   node dist/examples/qemu-guest.js [PATH]    PATH is that of the Unix socket between QEMU and us

import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { POLLIN, pollAsync, Stack } from 'vpollnet';

const path = process.argv[2] ?? join(tmpdir(), 'vpollnet-guest.sock');
const host = '10.0.2.1';

// QEMU connects to us, now or later, and again after it was restarted.
const stack = await Stack.open({
  links: [{ url: `qemu:stream://${path}?listen`, addresses: [`${host}/24`], ipv6: false }],
});
stack.on('linkup', () => console.log('a guest is there'));
stack.on('linkdown', ({ error }) => {
  console.log(
    error.code === 'ENOTCONN' ? 'waiting for a guest' : `the guest failed: ${error.code}`,
  );
});

console.log(`give QEMU this card:

  qemu-system-x86_64 ... \\
    -netdev stream,id=net0,server=off,addr.type=unix,addr.path=${path} \\
    -device virtio-net-pci,netdev=net0

and in the guest:

  ip address add 10.0.2.2/24 dev eth0 && ip link set eth0 up
  ping ${host}
  nc ${host} 7
`);

const ended = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => ended.abort());

const greeter = stack.socket('tcp').bind({ port: 7 }).listen();
const entry = { fd: greeter.fd, events: POLLIN };
while (!ended.signal.aborted) {
  await pollAsync([entry], -1, { signal: ended.signal }).catch(() => {}); // it rejects when aborted
  for (let guest = greeter.accept(); guest !== null; guest = greeter.accept()) {
    const address = guest.remoteAddress?.address;
    console.log(`${address} has connected`);
    guest.send(`hello ${address}, this is Node.js ${process.version} on ${host}\n`);
    guest.close(); // what was sent still goes out
  }
}
await stack.close();
console.log('bye');
