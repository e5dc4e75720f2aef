// SPDX-License-Identifier: MIT
//
// VLAN interfaces of a Linux kernel on a trunk, in a guest whose card is a port of our switch:
//
//   guest  eth0.10 10.0.10.1 fd00:10::1 ┐                    ┌─[vlan 10]── cable ── 10.0.10.2 fd00:10::2 stack
//          eth0.20 10.0.20.1 fd00:20::1 ┴ eth0 ──[trunk]  switch
//                                                            └─[vlan 20]── cable ── 10.0.20.2 fd00:20::2 stack

import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { POLLIN, pollAsync, Stack, Switch, type TcpSocket } from '../../ts/index.js';
import { connect, ip, receiveAll, sendAll } from '../interop/support.js';
import { bootGuest, type Guest, guestMissing } from './guest.js';

const vlans = [10, 20] as const;

/** Echoes on port 7 until somebody calls port 9; says which of our hosts answered its pings. */
const script = `
ip link set eth0 up
for vlan in ${vlans.join(' ')}; do
  ip link add link eth0 name eth0.$vlan type vlan id $vlan
  echo 0 >/proc/sys/net/ipv6/conf/eth0.$vlan/accept_dad
  ip address add 10.0.$vlan.1/24 dev eth0.$vlan
  ip address add fd00:$vlan::1/64 dev eth0.$vlan
  ip link set eth0.$vlan up
done
nc -ll -p 7 -e cat &
for vlan in ${vlans.join(' ')}; do
  for i in 1 2 3 4 5 6 7 8 9 10; do
    if ping -c 1 -W 5 10.0.$vlan.2 >/dev/null; then echo "$vlan ping"; break; fi
  done
done
nc -l -p 9 </dev/null >/dev/null
`;

describe.skipIf(guestMissing !== '')(
  `a guest on a trunk ${guestMissing && `(skipped: ${guestMissing})`}`,
  () => {
    const folder = mkdtempSync(join(tmpdir(), 'vpollnet-switch-'));
    const path = join(folder, 'trunk.sock');
    const stacks = new Map<number, Stack>();
    let sw: Switch;
    let guest: Guest;

    /** Established with the guest, which may still be booting. */
    async function call(vlan: number, host: string, port: number): Promise<TcpSocket> {
      const stack = stacks.get(vlan) as Stack;
      for (const end = performance.now() + 90_000; ; await sleep(200)) {
        try {
          return await connect(stack, host, port);
        } catch (error) {
          if (performance.now() > end) throw error;
        }
      }
    }

    beforeAll(async () => {
      ip('link', 'set', 'lo', 'up');
      sw = await Switch.open({
        ports: [
          { url: `qemu:stream://${path}?listen`, name: 'guest', trunk: vlans },
          ...vlans.map((vlan) => ({ url: `cable:guest-${vlan}`, name: `vlan${vlan}`, vlan })),
        ],
      });
      for (const vlan of vlans) {
        const addresses = [`10.0.${vlan}.2/24`, `fd00:${vlan}::2/64`];
        const link = { url: `cable:guest-${vlan}`, mtu: 1500, dad: false, addresses };
        stacks.set(vlan, await Stack.open({ links: [link] }));
      }
      guest = bootGuest([`stream,server=off,addr.type=unix,addr.path=${path}`], script, 150);
    });

    afterAll(async () => {
      guest?.stop();
      await guest?.output.catch(() => {});
      for (const stack of stacks.values()) await stack.close();
      await sw?.close();
      rmSync(folder, { recursive: true, force: true });
    });

    test.each(
      vlans.flatMap((vlan) => [
        { vlan, host: `10.0.${vlan}.1` },
        { vlan, host: `fd00:${vlan}::1` },
      ]),
    )(
      'a megabyte of VLAN $vlan comes back whole from $host',
      async ({ vlan, host }) => {
        const data = randomBytes(2 ** 20);
        const socket = await call(vlan, host, 7);
        const back = createHash('sha256');
        const receiving = receiveAll(socket, (piece) => back.update(piece));
        await sendAll(socket, data);
        socket.shutdown('write');
        await receiving;
        expect(back.digest('hex')).toBe(createHash('sha256').update(data).digest('hex'));
        socket.close();
      },
      100_000,
    );

    test('each VLAN has its own addresses, and the other one is not reached', async () => {
      const socket = (stacks.get(20) as Stack).socket('icmp');
      await (stacks.get(20) as Stack).addAddress('eth0', '10.0.10.3/24');
      socket.sendTo('x', { host: '10.0.10.1' });
      expect(await pollAsync([{ fd: socket.fd, events: POLLIN }], 1000)).toBe(0);
      const learned = new Set(sw.table().map(({ port, vlan }) => `${port} ${vlan}`));
      expect(learned).toEqual(new Set(['guest 10', 'guest 20', 'vlan10 10', 'vlan20 20']));
    });

    test('the guest has pinged our hosts through its VLAN interfaces', async () => {
      (await call(10, '10.0.10.1', 9)).close();
      expect((await guest.output).trim().split('\n')).toEqual(vlans.map((vlan) => `${vlan} ping`));
    }, 100_000);
  },
);
