// SPDX-License-Identifier: MIT
//
// What a network behind a stack is given, to real clients: the kernel, udhcpc, dhclient.
//
//   our stack 10.77.0.1/24  fd77::1/64 ── TAP sv0 ── Linux kernel and its clients

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type DhcpLease, HostStack, POLLIN, Stack } from '../../ts/index.js';
import { ip, ready, sh } from '../interop/support.js';
import { hasTool } from './vde-switch.js';

const tools = ['udhcpc', 'dhclient', 'rdisc6', 'dig'];
const root = fileURLToPath(new URL('../..', import.meta.url));
const missing = tools.find((tool) => !hasTool(tool));
const obstacle =
  process.env.VPOLLNET_NAMESPACE !== '1'
    ? 'run by `node scripts/test.mjs --only links`'
    : missing !== undefined
      ? `${missing} is missing (test/links/packages)`
      : null;
if (obstacle !== null) process.stderr.write(`vpollnet: tests of services skipped: ${obstacle}\n`);

/** What `found` finds, once it finds something: in the kernel and in clients there is nothing to wait for. */
async function until<Value>(found: () => Value | undefined | false | null): Promise<Value> {
  const end = performance.now() + 20_000;
  for (;;) {
    const value = found();
    if (value) return value;
    if (performance.now() > end) throw new Error(`${found} found nothing in twenty seconds`);
    await sleep(50);
  }
}

describe.skipIf(obstacle !== null)('services on a TAP', () => {
  let stack: Stack;
  let folder: string;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'vpollnet-services-'));
    ip('tuntap', 'add', 'dev', 'sv0', 'mode', 'tap');
    execFileSync('sysctl', ['-qw', 'net.ipv6.conf.sv0.accept_ra=2']);
    execFileSync('sysctl', ['-qw', 'net.ipv6.conf.sv0.dad_transmits=0']);
    ip('link', 'set', 'lo', 'up');
    ip('link', 'set', 'sv0', 'up');
    const link = { url: 'tap://sv0', addresses: ['10.77.0.1/24', 'fd77::1/64'], dad: false };
    stack = await Stack.open({ links: [link] });
  });
  afterAll(async () => {
    await stack?.close();
    ip('link', 'delete', 'sv0');
    rmSync(folder, { recursive: true, force: true });
  });

  afterEach(() => ip('-4', 'address', 'flush', 'dev', 'sv0'));

  /** A script for a DHCP client that does as it is told, and writes that into a file, a line each. */
  function hook(name: string): { script: string; told: () => Record<string, string> } {
    const script = join(folder, `${name}.sh`);
    const file = join(folder, `${name}.env`);
    const lines = [
      '#!/bin/sh',
      'case "$1$reason" in',
      `bound|BOUND|REBOOT) ip address replace "\${ip:-$new_ip_address}/24" dev sv0;;`,
      'esac',
      // The event is the last line of each: who has read it has all that belongs to it.
      `(env; echo "event=$1") >> ${file}`,
    ];
    writeFileSync(script, lines.join('\n'), { mode: 0o755 });
    const told = () => {
      const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : [];
      return Object.fromEntries(lines.map((line) => line.split(/=(.*)/s)));
    };
    return { script, told };
  }

  describe('dhcpServer', () => {
    const options = {
      range: ['10.77.0.100', '10.77.0.120'],
      router: '10.77.0.1',
      dns: '10.77.0.1',
      domain: 'lan.example',
      search: ['lan.example', 'example'],
      mtu: 1400,
      routes: [{ destination: '10.99.0.0/16', gateway: '10.77.0.9' }],
      leaseTime: 600,
    } as const;

    test('udhcpc gets an address, its settings and its renewal, and gives it back', async () => {
      await using server = stack.dhcpServer(options);
      const events: [string, DhcpLease][] = [];
      for (const name of ['lease', 'renew', 'release'] as const) {
        server.on(name, (lease) => events.push([name, lease]));
      }
      const { script, told } = hook('udhcpc');
      const more = ['search', 'staticroutes', 'mtu'].flatMap((one) => ['-O', one]);
      const args = ['-i', 'sv0', '-s', script, '-f', '-x', 'hostname:guest', ...more];
      const client = spawn('udhcpc', args, { stdio: 'ignore' });
      onTestFinished(() => void client.kill());
      const seen = (name: string) => until(() => events.some(([event]) => event === name));
      await seen('lease');
      await until(() => told().event === 'bound');
      const got = told();
      expect(got.ip).toMatch(/^10\.77\.0\.1[012]\d$/);
      expect(got).toMatchObject({
        subnet: '255.255.255.0',
        router: '10.77.0.1',
        dns: '10.77.0.1',
        domain: 'lan.example',
        search: 'lan.example example',
        mtu: '1400',
        serverid: '10.77.0.1',
        lease: '600',
        staticroutes: '10.99.0.0/16 10.77.0.9 0.0.0.0/0 10.77.0.1',
      });
      client.kill('SIGUSR1'); // it renews
      await seen('renew');
      await until(() => told().event === 'renew');
      client.kill('SIGUSR2'); // and releases
      await seen('release');
      // It may renew twice, if it takes its time to read.
      expect([...new Set(events.map(([name]) => name))]).toEqual(['lease', 'renew', 'release']);
      expect(events[0]?.[1]).toMatchObject({ address: got.ip, hostname: 'guest', reserved: false });
      expect(server.leases()).toEqual([]);
    });

    test('dhclient gets its reservation, and the same one when it comes back', async () => {
      const [{ address: mac }] = JSON.parse(await sh('ip', '-j', 'link', 'show', 'sv0'));
      await using server = stack.dhcpServer({
        ...options,
        reservations: [{ mac, address: '10.77.0.7', hostname: 'printer' }],
      });
      const { script, told } = hook('dhclient');
      const files = ['-lf', join(folder, 'dhclient.leases'), '-pf', join(folder, 'dhclient.pid')];
      const pid = files[3] as string;
      const stop = () => existsSync(pid) && spawnSync('kill', [readFileSync(pid, 'utf8').trim()]);
      const start = () => sh('dhclient', '-4', '-1', '-q', '-sf', script, ...files, 'sv0');
      await start();
      onTestFinished(() => void stop());
      expect(told()).toMatchObject({
        reason: 'BOUND',
        new_ip_address: '10.77.0.7',
        new_host_name: 'printer',
        new_routers: '10.77.0.1',
        new_domain_name: 'lan.example',
        new_interface_mtu: '1400',
      });
      expect(server.leases()).toMatchObject([{ address: '10.77.0.7', mac, reserved: true }]);
      // Its end, and a new start: INIT-REBOOT.
      stop();
      await start();
      expect(told()).toMatchObject({ reason: 'REBOOT', new_ip_address: '10.77.0.7' });
      await sh('dhclient', '-4', '-r', '-sf', script, ...files, 'sv0');
      await until(() => server.leases().length === 0);
    });

    test('a second one on the link is refused, and after close() there is room', async () => {
      const first = stack.dhcpServer();
      expect(() => stack.dhcpServer()).toThrow(/EADDRINUSE/);
      first.close();
      first.close();
      stack.dhcpServer().close();
    });
  });

  describe('dhcpv6Server', () => {
    test('dhclient -6 gets an address and settings, and gives the address back', async () => {
      await using server = stack.dhcpv6Server({
        range: ['fd77::1000', 'fd77::1fff'],
        dns: ['fd77::1'],
        search: ['lan.example'],
        leaseTime: 600,
      });
      const { script, told } = hook('dhclient6');
      const pid = join(folder, 'dhclient6.pid');
      const files = ['-lf', join(folder, 'dhclient6.leases'), '-pf', pid];
      const stop = () => existsSync(pid) && spawnSync('kill', [readFileSync(pid, 'utf8').trim()]);
      onTestFinished(() => void stop());
      await sh('dhclient', '-6', '-1', '-q', '-sf', script, ...files, 'sv0');
      const got = told();
      expect(got).toMatchObject({
        reason: 'BOUND6',
        new_dhcp6_name_servers: 'fd77::1',
        new_dhcp6_domain_search: 'lan.example.',
        new_max_life: '600',
        new_preferred_life: '450',
      });
      expect(server.leases()).toMatchObject([{ address: got.new_ip6_address }]);
      await sh('dhclient', '-6', '-r', '-sf', script, ...files, 'sv0');
      await until(() => server.leases().length === 0);
    });

    test('dhclient -S gets settings alone', async () => {
      await using server = stack.dhcpv6Server({ range: false, dns: ['fd77::1'] });
      const { script, told } = hook('dhclientS');
      const files = ['-lf', join(folder, 'dhclientS.leases'), '-pf', join(folder, 'dhclientS.pid')];
      await sh('dhclient', '-S', '-1', '-q', '-sf', script, ...files, 'sv0');
      expect(told().new_dhcp6_name_servers).toBe('fd77::1');
      expect(server.counters).toMatchObject({ informationRequest: 1, reply: 1 });
      expect(server.leases()).toEqual([]);
    });
  });

  describe('advertise', () => {
    const addressesOf = async (pattern: RegExp) => {
      const shown = await sh('ip', '-6', '-o', 'address', 'show', 'dev', 'sv0');
      return shown.split('\n').filter((line) => pattern.test(line));
    };

    test('the kernel forms an address, takes the route and the MTU, and lets go at the end', async () => {
      const router = stack.advertise('eth0', { mtu: 1380, lifetime: 1800 });
      onTestFinished(() => router.close());
      await until(() => spawnSync('sh', ['-c', 'ip -6 -o a s dev sv0 | grep fd77:']).status === 0);
      expect(await addressesOf(/fd77::.*dynamic/)).toHaveLength(1);
      const routes = () =>
        execFileSync('ip', ['-6', 'route', 'show', 'default'], { encoding: 'utf8' });
      expect(routes()).toMatch(/default via fe80::\S+ dev sv0 proto ra/);
      expect(readFileSync('/proc/sys/net/ipv6/conf/sv0/mtu', 'utf8').trim()).toBe('1380');
      router.close();
      await until(() => routes() === '');
    });

    test('rdisc6 solicits, and reads what it is told', async () => {
      await using router = stack.advertise('eth0', {
        prefixes: [{ prefix: 'fd78:1::/64', validLifetime: 7200, preferredLifetime: 3600 }],
        dns: ['fd77::1'],
        search: ['lan.example'],
        managed: true,
        preference: 'high',
      });
      expect(router.closed).toBe(false);
      const told = await sh('rdisc6', '-1', '-w', '15000', 'sv0');
      expect(told).toMatch(/Hop limit\s+:\s+64/);
      expect(told).toMatch(/Stateful address conf\.\s+:\s+Yes/);
      expect(told).toMatch(/Router preference\s+:\s+high/);
      expect(told).toMatch(/Prefix\s+:\s+fd78:1::\/64/);
      expect(told).toMatch(/Valid time\s+:\s+7200/);
      expect(told).toMatch(/Recursive DNS server\s+:\s+fd77::1/);
      expect(told).toMatch(/DNS search list\s+:\s+lan\.example/);
    });

    test('a link can be advertised on once at a time', () => {
      const router = stack.advertise('eth0');
      expect(() => stack.advertise('eth0')).toThrow(/EEXIST/);
      router.update({ lifetime: 0 });
      router.close();
      expect(() => router.update({})).toThrow(/ENODEV/);
      expect(() => stack.advertise('lo')).toThrow(/EINVAL/);
    });
  });

  test('examples/services.ts serves a kernel that knows nothing yet', async () => {
    ip('tuntap', 'add', 'dev', 'sv1', 'mode', 'tap');
    onTestFinished(() => ip('link', 'delete', 'sv1'));
    ip('link', 'set', 'sv1', 'up');
    const program = join(root, 'dist/examples/services.js');
    const child = spawn(process.execPath, [program, 'tap://sv1'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    onTestFinished(() => void child.kill());
    let said = '';
    child.stdout.setEncoding('utf8').on('data', (text) => {
      said += text;
    });
    await until(() => said.includes('services on tap://sv1\n'));
    const script = join(folder, 'example.sh');
    const take = 'case $1 in bound) ip address replace $ip/24 dev sv1;; esac';
    writeFileSync(script, `#!/bin/sh\n${take}\n`, { mode: 0o755 });
    await sh('udhcpc', '-i', 'sv1', '-s', script, '-q', '-n', '-f', '-x', 'hostname:visitor');
    const dig = (name: string) => sh('dig', '+short', '+time=5', '+tries=1', '@10.7.0.1', name);
    expect(await dig('router.lan')).toBe('10.7.0.1\n');
    expect(await dig('visitor.lan')).toMatch(/^10\.7\.0\.1\d\d\n$/);
    expect(await sh('dig', '+time=5', '+tries=1', '@10.7.0.1', 'x.ads.example')).toContain(
      'NXDOMAIN',
    );
    expect(said).toMatch(/^10\.7\.0\.1\d\d is of [0-9a-f:]{17}, called visitor$/m);
    expect(said).toMatch(/asks for router\.lan A: 10\.7\.0\.1 \(own\)$/m);
    child.kill('SIGINT');
    expect(await once(child, 'exit')).toEqual([0, null]);
  });

  describe('multicast groups', () => {
    test.each([
      { group: '239.77.1.1', type: 'udp4', name: 'sv0' },
      { group: 'ff15::77', type: 'udp6', name: 'sv0' },
    ] as const)('what the kernel sends to $group arrives while we are a member', async (on) => {
      ip('address', 'add', '10.77.0.50/24', 'dev', 'sv0');
      if (on.type === 'udp4') ip('route', 'replace', '239.0.0.0/8', 'dev', 'sv0');
      using socket = stack.socket('udp').bind({ port: 7777 });
      socket.addMembership(on.group, 'eth0');
      const sender = dgram.createSocket(on.type);
      onTestFinished(() => void sender.close());
      sender.bind(0);
      await once(sender, 'listening');
      if (on.type === 'udp6') sender.setMulticastInterface('::%sv0');
      sender.send('hello', 7777, on.group);
      await ready(socket, POLLIN);
      expect(socket.read()?.toString()).toBe('hello');
      socket.dropMembership(on.group);
      const dropped = () => {
        const { drops } = stack.counters();
        return (drops.ipv4_not_for_us ?? 0) + (drops.ipv6_not_for_us ?? 0);
      };
      const before = dropped();
      sender.send('nobody', 7777, on.group);
      await until(() => dropped() > before);
      expect(socket.read()).toBeNull();
    });

    /** A stack with a UDP socket behind a bridge that snoops, and what the bridge says of groups at the stack's port. */
    async function behindSnooping(...options: string[]) {
      const bridge = ['type', 'bridge', 'mcast_snooping', '1', 'mcast_querier', '1', ...options];
      ip('link', 'add', 'br0', ...bridge);
      ip('tuntap', 'add', 'dev', 'sv2', 'mode', 'tap');
      onTestFinished(() => ['sv2', 'br0'].forEach((name) => void ip('link', 'delete', name)));
      ip('link', 'set', 'sv2', 'master', 'br0');
      for (const name of ['sv2', 'br0']) ip('link', 'set', name, 'up');
      const link = { url: 'tap://sv2', addresses: ['10.79.0.1/24'], dad: false };
      const member = await Stack.open({ links: [link] });
      onTestFinished(() => member.close());
      const socket = member.socket('udp').bind({ port: 7777 });
      const shown = (...args: string[]) => execFileSync('bridge', args, { encoding: 'utf8' });
      await until(() => shown('link', 'show', 'dev', 'sv2').includes('state forwarding'));
      const known = (group: string) => () =>
        shown('mdb', 'show', 'dev', 'br0').includes(`port sv2 grp ${group} `);
      return { socket, known };
    }

    test('a bridge that snoops knows of our groups, and of their end', async () => {
      const { socket, known } = await behindSnooping();
      for (const group of ['239.77.1.9', 'ff15::79']) {
        socket.addMembership(group, 'eth0');
        await until(known(group));
        socket.dropMembership(group, 'eth0');
        await until(() => !known(group)());
      }
    });

    test('a bridge that snoops knows of the sources that we name, and of their end', async () => {
      const versions = ['mcast_igmp_version', '3', 'mcast_mld_version', '2'];
      const { socket, known } = await behindSnooping(...versions);
      const hears = (group: string, source: string) => known(`${group} src ${source}`);
      for (const [group, first, second] of [
        ['232.77.1.9', '10.79.0.7', '10.79.0.8'],
        ['ff3e::79', 'fd79::7', 'fd79::8'],
      ] as const) {
        socket.addSourceSpecificMembership(first, group, 'eth0');
        await until(hears(group, first));
        socket.addSourceSpecificMembership(second, group, 'eth0');
        await until(hears(group, second));
        socket.dropSourceSpecificMembership(first, group, 'eth0');
        await until(() => !hears(group, first)());
        expect(hears(group, second)()).toBe(true);
        socket.dropMembership(group, 'eth0');
        await until(() => !hears(group, second)());
      }
    });

    test('the host kernel hears us by the same calls', async () => {
      ip('address', 'add', '10.77.0.50/24', 'dev', 'sv0');
      await using host = await HostStack.open();
      for (const group of ['239.77.1.2', 'ff15::78']) {
        using member = host.socket('udp').bind({ port: 0 });
        member.addMembership(group, 'sv0');
        const port = member.localAddress?.port as number;
        using sender = stack.socket('udp');
        sender.sendTo('to all', { host: group, port });
        await ready(member, POLLIN);
        expect(member.read()?.toString()).toBe('to all');
        member.dropMembership(group, 'sv0');
        expect(() => member.dropMembership(group, 'sv0')).toThrow(/EADDRNOTAVAIL/);
      }
    });
  });
});
