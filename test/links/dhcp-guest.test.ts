// SPDX-License-Identifier: MIT
//
// A guest that gets its addresses over links of ours, from Debian's dnsmasq:
//
//   guest  eth0 by DHCP ── qemu:stream ── switch ── tap0  10.0.2.2 fd00:2::2  Linux: dnsmasq, httpd
//                                           └── cable ──  10.0.2.1  our stack

import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { Stack, Switch } from '../../ts/index.js';
import { ip } from '../interop/support.js';
import { bootDhcpGuest, leaseOf } from './dhcp-guest.js';
import { guestMissing } from './guest.js';

const folder = mkdtempSync(join(tmpdir(), 'vpollnet-dhcp-'));
const socket = join(folder, 'guest.sock');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const dnsmasq = [
  ...['--no-daemon', '--conf-file=/dev/null', '--no-resolv', '--no-hosts', '--interface=tap0'],
  ...['--bind-interfaces', '--except-interface=lo', `--dhcp-leasefile=${join(folder, 'leases')}`],
  ...['--dhcp-range=10.0.2.15,10.0.2.15,255.255.255.0,1h', '--dhcp-option=option:mtu,1400'],
  ...['--dhcp-option=option:router,10.0.2.2', '--dhcp-option=option:domain-search,lab.test'],
  ...['--enable-ra', '--dhcp-range=fd00:2::,ra-only', '--domain=lab.test'],
  ...['--host-record=www.lab.test,10.0.2.2,fd00:2::2', '--log-dhcp'],
];

const script = `
ping -c 1 -W 5 10.0.2.1 >/dev/null && echo "stack pings"
pings 10.0.2.2 && echo "kernel pings"
pings -6 fd00:2::2 && echo "kernel pings by IPv6"
ip -o -6 address show dev eth0 scope global | grep -q 'fd00:2::5054:ff:fe00:0/64.* dynamic' && echo "address of its own"
ip link show dev eth0 | grep -o 'mtu [0-9]*'
nslookup www.lab.test | grep -A1 '^Name' | grep Address
resolves www
fetches http://www.lab.test/file
ip route
`;

test.skipIf(guestMissing !== '')(
  `a guest gets an address, a router and names by DHCP through a switch of ours ${guestMissing && `(skipped: ${guestMissing})`}`,
  async () => {
    const content = randomBytes(300_000);
    writeFileSync(join(folder, 'file'), content);
    ip('link', 'set', 'lo', 'up');
    await using _switch = await Switch.open({
      ports: [
        { url: `qemu:stream://${socket}?listen`, name: 'guest' },
        { url: 'tap://tap0', name: 'host' },
        { url: 'cable:dhcp-guest', name: 'stack' },
      ],
    });
    ip('address', 'add', '10.0.2.2/24', 'dev', 'tap0');
    ip('address', 'add', 'fd00:2::2/64', 'dev', 'tap0', 'nodad');
    ip('link', 'set', 'tap0', 'up');
    // What is loaded into the tests, such as a sanitizer, is not for them.
    const env = { ...process.env, LD_PRELOAD: '' };
    const servers = [
      spawn('dnsmasq', dnsmasq, { stdio: ['ignore', 'ignore', 'pipe'], env }),
      spawn('busybox', ['httpd', '-f', '-p', '10.0.2.2:80', '-h', folder], {
        stdio: 'ignore',
        env,
      }),
    ];
    let log = '';
    servers[0]?.stderr?.on('data', (text) => {
      log += text;
    });
    await using _stack = await Stack.open({
      links: [{ url: 'cable:dhcp-guest', mtu: 1500, addresses: ['10.0.2.1/24'] }],
    });
    const netdev = `stream,server=off,addr.type=unix,addr.path=${socket}`;
    const guest = bootDhcpGuest({ netdev, script, hostname: 'visitor' });
    try {
      const said = await guest.output.catch((error) => {
        throw new Error(`${error.message}\ndnsmasq: ${log}`);
      });
      expect(leaseOf(said)).toEqual({
        ...{ ip: '10.0.2.15', mask: '24', router: '10.0.2.2', dns: '10.0.2.2' },
        ...{ domain: 'lab.test', search: 'lab.test', mtu: '1400', lease: '3600' },
        ...{ serverid: '10.0.2.2', hostname: 'visitor' },
      });
      const rest = said
        .trim()
        .split('\n')
        .filter((line) => !line.startsWith('lease '));
      const digest = createHash('sha256').update(content).digest('hex');
      expect(rest.slice(0, 7).sort()).toEqual(
        [
          ...[
            'stack pings',
            'kernel pings',
            'kernel pings by IPv6',
            'address of its own',
            'mtu 1400',
          ],
          ...['Address: 10.0.2.2', 'Address: fd00:2::2'],
        ].sort(),
      );
      expect(['10.0.2.2', 'fd00:2::2']).toContain(rest[7]);
      expect(rest[8]).toBe(`${content.length} ${digest}`);
      expect(rest[9]).toMatch(/^default via 10\.0\.2\.2 dev eth0/);
      expect(log).toContain('visitor');
    } finally {
      guest.stop();
      await guest.output.catch(() => {});
      for (const server of servers) server.kill();
    }
  },
  200_000,
);
