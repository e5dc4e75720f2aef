// SPDX-License-Identifier: MIT
//
// A virtual machine whose network is `vpollnet gateway`, and nothing else:
//
//   guest  eth0 by DHCP and router advertisements ── qemu:stream ── gateway ── sockets of this namespace

import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { main, start, until } from '../cli/support.js';
import { ip } from '../interop/support.js';
import { bootDhcpGuest, leaseOf } from './dhcp-guest.js';
import { guestMissing } from './guest.js';

const folder = mkdtempSync(join(tmpdir(), 'vpollnet-gateway-guest-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const content = randomBytes(3_000_000);

test.skipIf(guestMissing !== '')(
  `a virtual machine gets its network from the command, the host as far as it is told, and no more ${guestMissing && `(skipped: ${guestMissing})`}`,
  async () => {
    ip('link', 'set', 'lo', 'up');
    ip('link', 'add', 'private', 'type', 'veth', 'peer', 'name', 'behind');
    ip('address', 'add', '192.168.7.1/24', 'dev', 'private');
    ip('link', 'set', 'private', 'up');
    writeFileSync('/proc/sys/net/ipv4/ping_group_range', '0 0');
    const server = createServer((request, response) => {
      response.end(request.url === '/file' ? content : `${request.socket.remoteAddress}`);
    });
    server.listen(0);
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const socket = join(folder, 'guest.sock');
    const gateway = start([
      ...[main, 'gateway', '--link', `qemu:stream://${socket}?listen`],
      ...[
        '--host-loopback',
        '10.0.2.2',
        '--host-loopback',
        'fd00::2',
        '--allow',
        'icmp:192.168.7.1',
      ],
    ]);
    await until(() => gateway.stderr.includes(socket)); // it listens
    const script = `
pings 10.0.2.2 && echo "the gateway pings"
pings 192.168.7.1 && echo "what is allowed pings"
fetches http://10.0.2.2:${port}/file
fetches http://[fd00::2]:${port}/file
/usr/bin/wget -q -t 1 -T 5 -O /dev/null http://192.168.7.1:${port}/file || echo "what is not allowed is refused"
`;
    const guest = bootDhcpGuest({
      netdev: `stream,server=off,addr.type=unix,addr.path=${socket}`,
      script,
      hostname: 'machine',
    });
    try {
      const said = await guest.output.catch((error) => {
        throw new Error(`${error.message}\ngateway: ${gateway.stderr}`);
      });
      expect(leaseOf(said)).toMatchObject({
        ...{ mask: '24', router: '10.0.2.2', dns: '10.0.2.3' },
      });
      const rest = said
        .trim()
        .split('\n')
        .filter((line) => !line.startsWith('lease '));
      const whole = `${content.length} ${createHash('sha256').update(content).digest('hex')}`;
      expect(rest).toEqual([
        ...['the gateway pings', 'what is allowed pings', whole, whole],
        'what is not allowed is refused',
      ]);
    } finally {
      guest.stop();
      await guest.output.catch(() => {});
      gateway.child.kill();
      await gateway.ended;
      server.close();
      server.closeAllConnections();
      ip('link', 'delete', 'private');
    }
  },
  200_000,
);
