// SPDX-License-Identifier: MIT
//
// The DNS forwarder between real clients and a real server, which are the same kernel's:
//
//   dig, getaddrinfo ── TAP dn0 10.76.0.2 ── 10.76.0.1 our stack | HostStack ── dnsmasq 127.0.0.1:5353
//
// and stack.dns, which asks the same server on its side of the TAP.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type DnsForwarder, HostStack, Stack } from '../../ts/index.js';
import { ip, sh } from '../interop/support.js';
import { hasTool } from './vde-switch.js';

const missing = ['dig', 'dnsmasq', 'udhcpc'].find((tool) => !hasTool(tool));
const obstacle =
  process.env.VPOLLNET_NAMESPACE !== '1'
    ? 'run by `node scripts/test.mjs --only links`'
    : missing !== undefined
      ? `${missing} is missing (test/links/packages)`
      : null;
if (obstacle !== null) process.stderr.write(`vpollnet: tests of DNS skipped: ${obstacle}\n`);

const serverPort = 5353;
const text = 'x'.repeat(240);

describe.skipIf(obstacle !== null)('dnsForwarder', () => {
  let stack: Stack;
  let host: HostStack;
  let forwarder: DnsForwarder;
  let server: ChildProcess;
  let folder: string;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'vpollnet-dns-'));
    ip('link', 'set', 'lo', 'up');
    ip('tuntap', 'add', 'dev', 'dn0', 'mode', 'tap');
    ip('address', 'add', '10.76.0.2/24', 'dev', 'dn0');
    ip('address', 'add', 'fd76::2/64', 'dev', 'dn0', 'nodad');
    ip('link', 'set', 'dn0', 'up');
    const link = { url: 'tap://dn0', addresses: ['10.76.0.1/24', 'fd76::1/64'], dad: false };
    stack = await Stack.open({ links: [link] });
    host = await HostStack.open();
    const records = [
      '--address=/www.example/192.0.2.1',
      '--address=/www.example/2001:db8::1',
      '--mx-host=example,mail.example,10',
      '--srv-host=_sip._tcp.example,sip.example,5060',
      ...Array.from({ length: 8 }, () => `--txt-record=big.example,${text}`),
      '--host-record=host.example,192.0.2.9,2001:db8::9',
      '--cname=alias.example,host.example',
      '--local=/example/',
    ];
    const local = [
      '--no-resolv',
      '--no-hosts',
      '--listen-address=127.0.0.1,10.76.0.2,fd76::2',
      '--bind-interfaces',
    ];
    const plain = ['--no-daemon', '--conf-file=/dev/null'];
    const args = [`--port=${serverPort}`, ...local, ...plain, ...records];
    // What is loaded into the tests, such as a sanitizer, is not for it.
    const env = { ...process.env, LD_PRELOAD: '' };
    server = spawn('dnsmasq', args, { stdio: 'ignore', env });
    forwarder = stack.dnsForwarder({
      to: host,
      servers: [{ host: '127.0.0.1', port: serverPort }],
      records: { 'host.lan': ['10.76.0.1', 'fd76::1'] },
    });
    for (let tries = 0; tries < 100; tries += 1) {
      const up = spawnSync('dig', [
        '+time=1',
        '+tries=1',
        '@127.0.0.1',
        '-p',
        `${serverPort}`,
        'x',
      ]);
      if (up.status === 0) break;
      await sleep(50);
    }
  });
  afterAll(async () => {
    server?.kill();
    await stack?.close();
    await host?.close();
    ip('link', 'delete', 'dn0');
    rmSync(folder, { recursive: true, force: true });
  });

  const dig = (...args: string[]) => sh('dig', '+time=5', '+tries=1', '@10.76.0.1', ...args);
  const short = async (...args: string[]) =>
    (await dig('+short', ...args)).trim().split('\n').sort();

  test.each(['+notcp', '+tcp'])(
    'dig %s: addresses, other records, names that are not there',
    async (way) => {
      expect(await short(way, 'www.example', 'A')).toEqual(['192.0.2.1']);
      expect(await short(way, 'WWW.example', 'AAAA')).toEqual(['2001:db8::1']);
      expect(await short(way, 'example', 'MX')).toEqual(['10 mail.example.']);
      expect(await short(way, '_sip._tcp.example', 'SRV')).toEqual(['0 0 5060 sip.example.']);
      expect(await dig(way, 'nobody.example')).toContain('status: NXDOMAIN');
      expect(await short(way, 'host.lan')).toEqual(['10.76.0.1']);
      expect(await short(way, '-x', 'fd76::1')).toEqual(['host.lan.']);
      expect(await sh('dig', '+short', way, '@fd76::1', 'www.example')).toBe('192.0.2.1\n');
    },
  );

  test('an answer larger than a datagram: dig is told to come by TCP, and does', async () => {
    const told = await dig('+bufsize=512', '+ignore', 'big.example', 'TXT');
    expect(told).toMatch(/flags:.* tc/);
    expect(await short('+bufsize=512', 'big.example', 'TXT')).toHaveLength(8);
    expect(await dig('+noedns', 'big.example', 'TXT')).toContain('ANSWER: 8');
    const whole = await dig('+bufsize=4096', '+ignore', 'big.example', 'TXT');
    expect(whole).toContain('ANSWER: 8');
    expect(whole).not.toMatch(/flags:.* tc/);
    expect(forwarder.counters.serverTcp).toBeGreaterThan(0);
  });

  test('glibc looks names up by it, and nameOf() knows them', async () => {
    const settings = join(folder, 'resolv.conf');
    writeFileSync(settings, 'nameserver 10.76.0.1\n');
    // A mount namespace of its own, in which that is the system's.
    const look = (...args: string[]) => {
      const script = `mount --bind ${settings} /etc/resolv.conf && getent "$@"`;
      return sh('unshare', '-m', 'sh', '-c', script, 'sh', ...args);
    };
    const found = await look('ahosts', 'www.example');
    expect(found).toMatch(/^192\.0\.2\.1\s+STREAM/m);
    expect(found).toMatch(/^2001:db8::1\s+STREAM/m);
    expect(await look('hosts', '10.76.0.1')).toMatch(/10\.76\.0\.1\s+host\.lan/);
    expect(forwarder.nameOf('192.0.2.1')).toBe('www.example');
    expect(forwarder.nameOf('2001:db8:0::1')).toBe('www.example');
  });

  test('clients of the DHCP server are known by name, and nobody else is asked for them', async () => {
    await using dhcp = stack.dhcpServer({
      domain: 'home.example',
      range: ['10.76.0.50', '10.76.0.60'],
    });
    await using second = stack.dnsForwarder({
      to: host,
      port: 5300,
      servers: [{ host: '127.0.0.1', port: serverPort }],
      dhcp,
    });
    const script = join(folder, 'udhcpc.sh');
    writeFileSync(script, '#!/bin/sh\nexit 0\n', { mode: 0o755 });
    await sh('udhcpc', '-i', 'dn0', '-s', script, '-q', '-n', '-f', '-x', 'hostname:guest');
    const [lease] = dhcp.leases();
    const ask = (...args: string[]) => short('-p', '5300', ...args);
    expect(await ask('guest.home.example')).toEqual([lease?.address]);
    expect(await ask('guest')).toEqual([lease?.address]);
    expect(await ask('-x', lease?.address as string)).toEqual(['guest.home.example.']);
    expect(await ask('www.example')).toEqual(['192.0.2.1']);
    const before = second.counters.answeredByServers;
    expect(await dig('-p', '5300', 'nobody.home.example')).toContain('status: NXDOMAIN');
    expect(second.counters.answeredByServers).toBe(before);
  });

  test('SERVFAIL, at once, where no server is', async () => {
    const [host4, port] = ['127.0.0.1', 5399];
    await using lonely = stack.dnsForwarder({
      to: host,
      port: 5301,
      servers: [{ host: host4, port }],
    });
    expect(await dig('-p', '5301', 'www.example')).toContain('status: SERVFAIL');
    expect(lonely.counters.failed).toBe(1);
  });

  test('stack.dns asks a real server: records, aliases, names of addresses, what is not there, what needs TCP', async () => {
    for (const server of [`10.76.0.2:${serverPort}`, `[fd76::2]:${serverPort}`]) {
      stack.dns.configure({ servers: [server], search: ['example'] });
      const { promises } = stack.dns;
      expect(await promises.resolve4('WWW.example')).toEqual(['192.0.2.1']);
      expect(await promises.resolve6('www.example')).toEqual(['2001:db8::1']);
      expect(await promises.resolveMx('example')).toEqual([
        { exchange: 'mail.example', priority: 10 },
      ]);
      expect(await promises.resolveSrv('_sip._tcp.example')).toEqual([
        { name: 'sip.example', port: 5060, priority: 0, weight: 0 },
      ]);
      expect(await promises.resolveCname('alias.example')).toEqual(['host.example']);
      expect(await promises.lookup('alias', 4)).toEqual({ address: '192.0.2.9', family: 4 });
      expect(await promises.reverse('2001:db8::9')).toEqual(['host.example']);
      expect(await promises.lookupService('192.0.2.9', 80)).toEqual({
        hostname: 'host.example',
        service: 'http',
      });
      const texts = await promises.resolveTxt('big.example');
      expect(texts.map((one) => one.join(''))).toEqual(Array(8).fill(text));
      await expect(promises.resolve4('nobody.example')).rejects.toMatchObject({
        code: 'ENOTFOUND',
      });
      await expect(promises.resolveMx('host.example')).rejects.toMatchObject({ code: 'ENODATA' });
      await expect(promises.lookup('nobody.example.')).rejects.toMatchObject({ code: 'ENOTFOUND' });
    }
  });
});
