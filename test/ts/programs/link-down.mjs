// SPDX-License-Identifier: MIT
//
// A stack on tap0, with the kernel at 10.0.0.1, until tap0 is deleted.

import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { POLLIN, POLLOUT, pollAsync, Stack } from 'vpollnet';

const links = [{ url: 'tap://tap0', addresses: ['10.0.0.2/24'], ipv6: false }];
const stack = await Stack.open({ links });
const ping = stack.socket('icmp');
ping.sendTo('x', { host: '10.0.0.1' });
if ((await pollAsync([{ fd: ping.fd, events: POLLIN }], 20_000)) === 1)
  console.log('ping answered');

const down = once(stack, 'linkdown', { signal: AbortSignal.timeout(20_000) });
// The listener alone keeps no process alive.
const alive = setTimeout(() => {}, 20_000);
spawnSync('ip', ['link', 'delete', 'tap0']);
const [event] = await down;
clearTimeout(alive);
console.log('linkdown', event.interface, event.url, event.error.code);

const listener = stack.socket('tcp').bind({ host: '127.0.0.1', port: 7 }).listen();
const client = stack.socket('tcp');
client.connect({ host: '127.0.0.1', port: 7 });
await pollAsync([{ fd: client.fd, events: POLLOUT }], 20_000);
await pollAsync([{ fd: listener.fd, events: POLLIN }], 20_000);
const up = stack.interfaces().find(({ name }) => name === 'eth0')?.up;
console.log(`up ${up}, loopback ${listener.accept() === null ? 'fails' : 'works'}`);
await stack.close();
