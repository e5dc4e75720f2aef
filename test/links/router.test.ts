// SPDX-License-Identifier: MIT
//
// Our stack as the router between two machines, each the Linux kernel in a namespace of its own with the
// other end of a TAP:
//
//   client 10.1.0.2 fd01::2 ── lan ── 10.1.0.1 fd01::1  router  10.2.0.1 fd02::1 ── wan ── 10.2.0.2 fd02::2 server

import { once } from 'node:events';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Stack } from '../../ts/index.js';
import { ip } from '../interop/support.js';
import { Machine } from './namespaces.js';

let client: Machine;
let server: Machine;
let router: Stack;

const families = [
  { family: 'IPv4', client: '10.1.0.2', lan: '10.1.0.1', wan: '10.2.0.1', server: '10.2.0.2' },
  { family: 'IPv6', client: 'fd01::2', lan: 'fd01::1', wan: 'fd02::1', server: 'fd02::2' },
] as const;

/** Gives a machine the kernel's end of a TAP, with addresses and a default route by our stack. */
function plug(machine: Machine, device: string, net: number): void {
  ip('link', 'set', device, 'netns', `${machine.pid}`);
  machine.ip(
    `link set ${device} up`,
    `address add 10.${net}.0.2/24 dev ${device}`,
    `address add fd0${net}::2/64 dev ${device} nodad`,
    `route add default via 10.${net}.0.1`,
    `-6 route add default via fd0${net}::1`,
  );
}

/** Of the link in the middle of the way, and of the server's end of it. */
const narrow = 1300;
/** MiB of the transfers. */
const bulk = process.env.VPOLLNET_SANITIZED ? 32 : 256;
/** Where each machine tells who calls. */
const port = 7000;
const forwarded = 8080;

beforeAll(async () => {
  for (const device of ['lan', 'wan']) ip('tuntap', 'add', 'dev', device, 'mode', 'tap');
  client = await Machine.start();
  server = await Machine.start();
  router = await Stack.open({
    links: [
      {
        ...{ url: 'tap://lan', name: 'lan', dad: false },
        addresses: ['10.1.0.1/24', 'fd01::1/64'],
      },
      {
        ...{ url: 'tap://wan', name: 'wan', dad: false, mtu: narrow },
        addresses: ['10.2.0.1/24', 'fd02::1/64'],
      },
    ],
  });
  plug(client, 'lan', 1);
  plug(server, 'wan', 2);
  server.ip(`link set wan mtu ${narrow}`);
  for (const machine of [client, server]) {
    const listen = `TCP6-LISTEN:${port},fork,reuseaddr,ipv6only=0`;
    const greeter = machine.spawn('socat', listen, 'SYSTEM:echo $SOCAT_PEERADDR');
    onEnd.push(() => {
      greeter.kill();
    });
    expect(greet(machine, '127.0.0.1', port, 'retry=200', 'interval=0.1')).toBe('127.0.0.1');
  }
});

const onEnd: (() => void)[] = [];

afterAll(async () => {
  for (const end of onEnd) end();
  await router?.close();
  await client?.stop();
  await server?.stop();
});

beforeEach(() => {
  router.filter.clear();
  router.nat.clear();
  router.setForwarding({});
});

const bracketed = (host: string) => (host.includes(':') ? `[${host}]` : host);

/** As whom a machine is seen by the greeter at `host`, within ten seconds or as said. @throws what socat said */
function greet(machine: Machine, host: string, at = port, ...options: string[]): string {
  const call = [`TCP:${bracketed(host)}:${at}`, 'connect-timeout=10', ...options].join(',');
  const told = machine.run('socat', '-u', call, 'STDOUT').trim().replace(/[[\]]/g, '');
  return told.startsWith('0000:0000:0000:0000:0000:ffff:')
    ? told.slice(30).split(':').flatMap(toOctets).join('.')
    : shorten(told);
}

const toOctets = (word: string) => [
  Number.parseInt(word.slice(0, 2), 16),
  Number.parseInt(word.slice(2), 16),
];
/** 'fd01:0000:...:0002' as URL writes it: 'fd01::2' */
const shorten = (host: string) =>
  host.includes(':') ? new URL(`http://[${host}]`).hostname.slice(1, -1) : host;

/** What a command said as it failed. */
function failure(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    return String((error as { stderr?: string }).stderr);
  }
  return 'it did not fail';
}

test.each(families)('$family: pings pass', (one) => {
  expect(client.pings(one.server)).toBe(true);
});

test.each(families)('$family: fragments pass, also where they are put together', (one) => {
  expect(client.pings(one.server, '-s', '5000')).toBe(true);
  router.nat.set([{ type: 'source', out: 'wan' }]);
  expect(client.pings(one.server, '-s', '5000')).toBe(true);
});

test.each(families)('$family: a stack that is no router passes nothing', (one) => {
  router.setForwarding(null);
  expect(client.pings(one.server, '-c', '1', '-W', '0.3')).toBe(false);
  expect(client.pings(one.lan)).toBe(true);
});

test.each(families)('$family: traceroute shows the router, and then the server', (one) => {
  const route = client.run('traceroute', '-n', '-q', '1', '-w', '10', one.server);
  expect(route).toMatch(new RegExp(`^ *1 +${one.lan} `, 'm'));
  expect(route).toMatch(new RegExp(`^ *2 +${one.server} `, 'm'));
});

test.each(families)('$family: tracepath finds the narrow link', (one) => {
  client.ip('route flush cache', '-6 route flush cache');
  const path = client.run('tracepath', '-n', one.server);
  expect(path).toMatch(new RegExp(`${one.lan.replaceAll('.', '\\.')} .*pmtu ${narrow}`));
  expect(path).toContain(`Resume: pmtu ${narrow} hops 2`);
});

test.each(families)('$family: a next hop that is not there is told as such', (one) => {
  const nobody = one.server.replace(/2$/, '77');
  const calling = () => client.run('socat', '-u', `TCP:${bracketed(nobody)}:${port}`, 'STDOUT');
  expect(failure(calling)).toMatch(/No route to host/);
});

describe('bulk', () => {
  const cases = families.flatMap((one) => [
    { ...one, how: 'forwarded', rules: [] },
    { ...one, how: 'filtered and translated', rules: [{ type: 'source', out: 'wan' } as const] },
  ]);
  test.each(cases)('$family, $how: large packets stay whole', async (one) => {
    router.nat.set(one.rules);
    if (one.rules.length > 0) {
      router.filter.set([
        { state: 'invalid', action: 'drop' },
        { state: ['established', 'related'], action: 'accept' },
      ]);
    }
    const listening = server.spawn('iperf3', '-s', '-1', '--forceflush');
    await once(listening.stdout as NodeJS.ReadableStream, 'data');
    const before = router.links().map(({ counters }) => counters);
    const report = JSON.parse(client.run('iperf3', '-c', one.server, '-n', `${bulk}M`, '-J'));
    const after = router.links().map(({ counters }) => counters);
    const rate = report.end.sum_received.bits_per_second / 1e9;
    const size = (link: number, way: 'In' | 'Out') => {
      const [to, from] = [after[link], before[link]] as const;
      if (!to || !from) throw new Error('no such link');
      return (
        (to[`bytes${way}`] - from[`bytes${way}`]) / (to[`frames${way}`] - from[`frames${way}`])
      );
    };
    process.stdout.write(`  ${one.family}, ${one.how}: ${rate.toFixed(1)} Gbit/s\n`);
    expect(report.end.sum_received.bytes).toBeGreaterThan((bulk - 6) * 2 ** 20);
    expect(size(0, 'In')).toBeGreaterThan(10_000);
    expect(size(1, 'Out')).toBeGreaterThan(10_000);
  });
});

describe('the filter', () => {
  test.each(families)('$family: flows go outward, and none come in', (one) => {
    router.filter.set(
      [
        { state: ['established', 'related'], action: 'accept' },
        { name: 'outward', in: 'lan', out: 'wan', state: 'new', action: 'accept' },
        { direction: ['in', 'out'], action: 'accept' },
      ],
      { policy: 'drop' },
    );
    expect(greet(client, one.server)).toBe(one.client);
    expect(failure(() => greet(server, one.client, port, 'connect-timeout=1'))).toMatch(
      /timed out/i,
    );
    expect(client.pings(one.server)).toBe(true);
    expect(server.pings(one.client, '-c', '1', '-W', '0.3')).toBe(false);
    const { rules, policy } = router.filter.info();
    expect(rules[1]).toMatchObject({ rule: { name: 'outward' }, packets: expect.any(Number) });
    expect(policy.forward.packets).toBeGreaterThan(0);
    const flow = router.connections().find(({ original }) => original.destinationPort === port);
    expect(flow?.original).toMatchObject({ protocol: 'tcp', source: one.client });
  });

  test.each(families)('$family: reject is a refusal, prohibit an ICMP error', (one) => {
    const rule = { protocol: 'tcp', destinationPort: port } as const;
    router.filter.set([{ ...rule, action: 'reject' }]);
    expect(failure(() => greet(client, one.server))).toMatch(/Connection refused/);
    router.filter.set([{ ...rule, action: 'prohibit' }]);
    expect(failure(() => greet(client, one.server))).toMatch(/No route to host|Permission denied/);
    router.filter.set([{ direction: 'in', protocol: 'udp', action: 'reject' }]);
    expect(greet(client, one.server)).toBe(one.client);
  });
});

describe('translation', () => {
  test.each(families)('$family: the server sees the router', (one) => {
    router.nat.set([{ type: 'source', out: 'wan', source: ['10.1.0.0/24', 'fd01::/64'] }]);
    expect(greet(client, one.server)).toBe(one.wan);
    expect(client.pings(one.server)).toBe(true);
    expect(client.run('traceroute', '-n', '-q', '1', '-w', '10', one.server)).toContain(one.lan);
    expect(client.run('tracepath', '-n', one.server)).toContain(`pmtu ${narrow} hops 2`);
    // An error of the server's own finds its way to who asked.
    expect(failure(() => greet(client, one.server, 9))).toMatch(/Connection refused/);
    const flow = router.connections().find(({ original }) => original.destinationPort === port);
    expect(flow).toMatchObject({
      original: { source: one.client, destination: one.server },
      reply: { source: one.server, destination: one.wan },
    });
  });

  test.each(families)('$family: a forwarded port leads inside, from inside too', (one) => {
    router.nat.set([
      { type: 'source', out: 'wan' },
      {
        ...{ type: 'destination', in: 'wan', protocol: 'tcp', ports: forwarded },
        ...{ to: one.client, toPort: port },
      },
    ]);
    expect(greet(server, one.wan, forwarded)).toBe(one.server);
    expect(greet(client, one.wan, forwarded)).toBe(one.wan); // hairpin
    expect(failure(() => greet(server, one.wan, forwarded + 1))).toMatch(/Connection refused/);
  });

  test('a prefix stands for another, both ways', () => {
    router.nat.set([
      { type: 'prefix', out: 'wan', internal: 'fd01::/48', external: '2001:db8:aaaa::/48' },
      { type: 'prefix', out: 'wan', internal: '10.1.0.0/24', external: '192.0.2.0/24' },
    ]);
    const outside = greet(client, 'fd02::2');
    expect(outside).toMatch(/^2001:db8:aaaa:/);
    expect(greet(server, outside)).toBe('fd02::2');
    expect(server.pings(outside)).toBe(true);
    expect(greet(client, '10.2.0.2')).toBe('192.0.2.2');
    expect(server.pings('192.0.2.2', '-s', '3000')).toBe(true);
    expect(router.connections()).toEqual([]);
  });
});
