// SPDX-License-Identifier: MIT
//
// QEMU's socket back ends with a guest that boots: one card for each way, with a network of its own.
//
//   our stack 10.1.N.1, fd00:N::1 ── one link each ── ethN of the guest, 10.1.N.2, fd00:N::2

import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { NetworkError, POLLIN, pollAsync, Stack, type TcpSocket } from '../../ts/index.js';
import { connect, ip, ready, receiveAll, sendAll } from '../interop/support.js';
import { bootGuest, type Guest, guestMissing } from './guest.js';

const folder = mkdtempSync(join(tmpdir(), 'vpollnet-qemu-'));
const at = (name: string) => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const inet = (side: string, port: number) =>
  `${side}.type=inet,${side}.host=127.0.0.1,${side}.port=${port}`;
const unix = (side: string, name: string) => `${side}.type=unix,${side}.path=${at(name)}`;

/** `late`: qemu listens, and we connect when it runs. */
const ways = [
  {
    way: 'stream, Unix, QEMU connects',
    url: `qemu:stream://${at('a.sock')}?listen`,
    netdev: `stream,server=off,addr.type=unix,addr.path=${at('a.sock')}`,
    late: false,
  },
  {
    way: 'stream, TCP, QEMU connects',
    url: 'qemu:stream://127.0.0.1:5101?listen',
    netdev: 'stream,server=off,addr.type=inet,addr.host=127.0.0.1,addr.port=5101',
    late: false,
  },
  {
    way: 'stream, Unix, QEMU listens',
    url: `qemu:stream://${at('b.sock')}`,
    netdev: `stream,server=on,addr.type=unix,addr.path=${at('b.sock')}`,
    late: true,
  },
  {
    way: 'stream, TCP over IPv6, QEMU listens',
    url: 'qemu:stream://[::1]:5102',
    netdev: 'stream,server=on,addr.type=inet,addr.host=::1,addr.port=5102',
    late: true,
  },
  {
    way: 'datagrams, Unix',
    url: `qemu:dgram://${at('ours.sock')}?remote=${at('qemu.sock')}`,
    netdev: `dgram,${unix('local', 'qemu.sock')},${unix('remote', 'ours.sock')}`,
    late: false,
  },
  {
    way: 'datagrams, UDP',
    url: 'qemu:dgram://127.0.0.1:5103?remote=127.0.0.1:5104',
    netdev: `dgram,${inet('local', 5104)},${inet('remote', 5103)}`,
    late: false,
  },
  {
    way: 'datagrams, a multicast group',
    url: 'qemu:dgram://127.0.0.1:5105?remote=239.1.2.3:5105&dev=lo',
    netdev:
      'dgram,local.type=inet,local.host=127.0.0.1,local.port=5105,remote.type=inet,remote.host=239.1.2.3,remote.port=5105',
    late: false,
  },
];

/** Says what became of each card, and serves echoes on port 7 until it hears on port 9. */
const script = `
nc -ll -p 7 -e cat &
pings() {
  for try in 1 2 3; do
    ping -c 1 -W 5 "$@" >/dev/null && return
  done
  return 1
}
n=0
while [ $n -lt ${ways.length} ]; do
  echo 0 >/proc/sys/net/ipv6/conf/eth$n/accept_dad
  ip address add 10.1.$n.2/24 dev eth$n
  ip address add fd00:$n::2/64 dev eth$n
  ip link set eth$n up
  n=$((n + 1))
done
n=0
while [ $n -lt ${ways.length} ]; do
  if pings 10.1.$n.1; then echo "$n ping4"; fi
  if pings -6 fd00:$n::1; then echo "$n ping6"; fi
  echo "$n file $(nc -w 20 10.1.$n.1 80 </dev/null | sha256sum)"
  n=$((n + 1))
done
nc -l -p 9 </dev/null >/dev/null
`;

const megabyte = randomBytes(2 ** 20);
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

/** Sends each peer the megabyte and closes. */
async function serve(listener: TcpSocket): Promise<void> {
  while (!listener.closed) {
    await pollAsync([{ fd: listener.fd, events: POLLIN }], 1000).catch(() => 0);
    const peer = listener.closed ? null : listener.accept();
    if (peer !== null) void sendAll(peer, megabyte).finally(() => peer.close());
  }
}

/** Tries for a minute: the other side may not be there yet. */
async function insist<T>(what: () => Promise<T>): Promise<T> {
  for (const end = performance.now() + 60_000; ; await sleep(200)) {
    try {
      return await what();
    } catch (error) {
      if (!(error instanceof NetworkError) || performance.now() > end) throw error;
    }
  }
}

describe.skipIf(guestMissing !== '')(
  `a guest under qemu ${guestMissing && `(skipped: ${guestMissing})`}`,
  () => {
    let guest: Guest;
    let stack: Stack;
    let listener: TcpSocket;

    beforeAll(async () => {
      ip('link', 'set', 'lo', 'up');
      ip('link', 'set', 'lo', 'multicast', 'on');
      const link = (n: number) => ({
        url: ways[n]?.url ?? '',
        name: `eth${n}`,
        dad: false,
        addresses: [`10.1.${n}.1/24`, `fd00:${n}::1/64`],
      });
      stack = await Stack.open();
      listener = stack.socket('tcp').bind({ port: 80 }).listen();
      void serve(listener);
      for (const [n, { late }] of ways.entries()) if (!late) await stack.addLink(link(n));
      // Its driver is loaded last, so that its card is the last one too.
      const card = (n: number) => (n === ways.length - 1 ? 'e1000' : 'virtio-net-pci');
      guest = bootGuest(
        ways.map(({ netdev }) => netdev),
        script,
        150,
        card,
      );
      for (const [n, { late }] of ways.entries())
        if (late) await insist(() => stack.addLink(link(n)));
    }, 100_000);

    afterAll(async () => {
      listener?.close();
      await stack?.close();
      guest?.stop();
      await guest?.output.catch(() => {});
    });

    test.each(ways.map(({ way }, n) => ({ way, n })))(
      'its TCP echoes a megabyte of ours, and it is pinged: $way',
      async ({ n }) => {
        const socket = await insist(() => connect(stack, `10.1.${n}.2`, 7));
        const back: Buffer[] = [];
        const receiving = receiveAll(socket, (piece) => back.push(Buffer.from(piece)));
        await sendAll(socket, megabyte);
        socket.shutdown('write');
        await receiving;
        expect(sha256(Buffer.concat(back))).toBe(sha256(megabyte));
        socket.close();
        for (const host of [`10.1.${n}.2`, `fd00:${n}::2`]) {
          const echo = stack.socket('icmp');
          echo.connect({ host });
          echo.send(`to ${host}`);
          await ready(echo, POLLIN);
          expect(echo.read()?.toString()).toBe(`to ${host}`);
          echo.close();
        }
      },
      100_000,
    );

    test('it has pinged us and fetched a megabyte over each of them', async () => {
      const done = await insist(() => connect(stack, '10.1.0.2', 9));
      done.close();
      const said = await guest.output;
      const digest = sha256(megabyte);
      const expected = ways.flatMap((_, n) => [
        `${n} ping4`,
        `${n} ping6`,
        `${n} file ${digest}  -`,
      ]);
      expect(said.trim().split('\n')).toEqual(expected);
      // Before QEMU was there, some were dropped as `down` or `device_error`.
      const none = { malformed: 0, queue_full: 0, too_long: 0, wrong_peer: 0, not_for_us: 0 };
      for (const { url, error, counters } of stack.links()) {
        expect({ url, ...counters }).toMatchObject({ url, drops: none });
        if (url.startsWith('qemu:dgram')) expect(error).toBe(null);
      }
    }, 100_000);
  },
);
