// SPDX-License-Identifier: MIT
//
// Three hosts on a switch, over links that lose every twentieth frame. One sends the same file to the two others:
// it arrives whole, and the counters say what that took.

import { createHash, randomBytes } from 'node:crypto';
import { POLLIN, POLLOUT, poll, Stack, Switch, type TcpSocket } from 'vpollnet';

const file = randomBytes(2 * 1024 * 1024);
const digest = (data: Uint8Array) => createHash('sha256').update(data).digest('hex');
const names = ['anna', 'bert', 'cleo'];

// A frame to a host is lost on its way out of the switch. The seeds make each run the same.
await using sw = await Switch.open({
  ports: names.map((name, i) => ({
    ...{ url: `cable:${name}`, name, mtu: 1500 },
    impair: { out: { loss: 0.05, seed: i } },
  })),
});

const stacks: Stack[] = [];
for (const [i, name] of names.entries()) {
  const addresses = [`10.0.0.${i + 1}/24`];
  stacks.push(await Stack.open({ links: [{ url: `cable:${name}`, mtu: 1500, addresses }] }));
}
const [anna, ...others] = stacks as [Stack, Stack, Stack];

interface Copy {
  to: string;
  sender: TcpSocket;
  sent: number;
  /** Until somebody has called. */
  listener: TcpSocket;
  receiver: TcpSocket | null;
  parts: Buffer[];
  whole: boolean;
}

const copies: Copy[] = others.map((stack, i) => {
  const host = `10.0.0.${i + 2}`;
  const listener = stack.socket('tcp').bind({ port: 7 }).listen();
  const sender = anna.socket('tcp');
  sender.connect({ host, port: 7 });
  const to = names[i + 1] ?? '';
  return { to, sender, sent: 0, listener, receiver: null, parts: [], whole: false };
});

/** What can be done for one of the copies now. */
function step(copy: Copy): void {
  const { sender, listener } = copy;
  if (sender.error !== null) throw sender.error;
  if (copy.sent < file.length && sender.readiness & POLLOUT) {
    copy.sent += Math.max(sender.send(file, copy.sent), 0);
    if (copy.sent === file.length) sender.shutdown('write');
  }
  copy.receiver ??= listener.accept();
  for (let part = copy.receiver?.read(); part; part = copy.receiver?.read()) {
    if (part.length > 0) copy.parts.push(part);
    else copy.whole = true;
    if (copy.whole) break;
  }
}

const begin = performance.now();
for (let open = copies; open.length > 0; open = copies.filter(({ whole }) => !whole)) {
  const waits = open.flatMap(({ sender, sent, listener, receiver }) => [
    { fd: (receiver ?? listener).fd, events: POLLIN },
    ...(sent < file.length ? [{ fd: sender.fd, events: POLLOUT }] : []),
  ]);
  if (poll(waits, 30_000) === 0) throw new Error('nothing has come for 30 seconds');
  for (const copy of open) step(copy);
}
const seconds = ((performance.now() - begin) / 1000).toFixed(2);

for (const { to, parts } of copies) {
  const data = Buffer.concat(parts);
  const verdict = digest(data) === digest(file) ? 'whole' : 'damaged';
  console.log(`${to} has ${data.length} bytes, ${verdict}`);
}
console.log(
  `after ${seconds} s and ${anna.counters().tcpRetransmits} segments that were sent again`,
);
for (const { name, counters } of sw.ports()) {
  const { framesIn, framesOut, drops } = counters;
  console.log(`${name}: ${framesIn} frames in, ${framesOut} out, ${drops.impaired_loss} lost`);
}
for (const stack of stacks) await stack.close();
