// SPDX-License-Identifier: MIT
//
// lookup() and lookupService(): whose names, completed how, in which order.

import { createSocket } from 'node:dgram';
import nodeDns from 'node:dns';
import { promisify } from 'node:util';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { DnsOptions } from 'vpollnet';
import { Stack } from 'vpollnet';
import { openStack, until } from '../support.js';
import { answerTo, DnsNet, failureOf } from './dns-net.js';

const zone = {
  'www.example': { A: ['192.0.2.1', '192.0.2.2'], AAAA: ['2001:db8::1'] },
  'v4.example': { A: ['192.0.2.4'] },
  'v6.example': { AAAA: ['2001:db8::6'] },
  'host.lan.example': { A: ['10.0.0.50'] },
  'deep.host.lan.example': { A: ['10.0.0.51'] },
  '3.0.0.10.in-addr.arpa': { PTR: ['servers.example'] },
};

async function open(options: DnsOptions = {}): Promise<DnsNet> {
  const net = await DnsNet.open(options);
  net.serveZone(zone);
  // A way to everywhere, so that no destination is unusable.
  net.stack.addRoute({ destination: '0.0.0.0/0', gateway: '10.0.0.3' });
  net.stack.addRoute({ destination: '::/0', gateway: 'fd00::3' });
  return net;
}

const v4 = (address: string) => ({ address, family: 4 });
const v6 = (address: string) => ({ address, family: 6 });

describe('lookup', () => {
  test('one address or all, of one family or both, by callback and promise', async () => {
    const { dns } = await open();
    const { lookup } = dns.promises;
    expect(await lookup('v4.example')).toEqual(v4('192.0.2.4'));
    expect(await lookup('www.example', 6)).toEqual(v6('2001:db8::1'));
    expect(await lookup('www.example', { family: 4, all: true })).toEqual([
      v4('192.0.2.1'),
      v4('192.0.2.2'),
    ]);
    expect(await lookup('v6.example', { family: 0, all: true })).toEqual([v6('2001:db8::6')]);
    const called: unknown[][] = [];
    dns.lookup('v4.example', (...args) => void called.push(args));
    dns.lookup('www.example', { family: 'IPv6', all: true }, (...args) => void called.push(args));
    await until(() => called.length === 2);
    expect(called).toContainEqual([null, '192.0.2.4', 4]);
    expect(called).toContainEqual([null, [v6('2001:db8::1')]]);
    expect(await promisify(dns.lookup)('v4.example')).toEqual(v4('192.0.2.4'));
  });

  test('addresses, in whatever spelling, are asked of nobody; Node answers for its own', async () => {
    const net = await open();
    const { lookup } = net.dns.promises;
    for (const [host, address] of [
      ['192.0.2.7', v4('192.0.2.7')],
      ['2001:db8::7', v6('2001:db8::7')],
      ['127.1', v4('127.0.0.1')],
      ['0x7f000001', v4('127.0.0.1')],
    ] as const) {
      expect(await lookup(host)).toEqual(address);
    }
    const called: unknown[] = [];
    net.dns.lookup('192.0.2.7', (...args) => void called.push(args));
    process.nextTick(() => called.push('tick'));
    await until(() => called.length === 2);
    expect(called).toEqual([[null, '192.0.2.7', 4], 'tick']);
    expect(net.asked).toEqual([]);
  });

  test('what is not there, and what nobody can say', async () => {
    const net = await open({ timeout: 50, attempts: 1 });
    const { lookup } = net.dns.promises;
    expect(await failureOf(lookup('nobody.example'))).toMatchObject({
      message: 'getaddrinfo ENOTFOUND nobody.example',
      code: 'ENOTFOUND',
      errno: -3008,
      syscall: 'getaddrinfo',
      hostname: 'nobody.example',
    });
    expect(await failureOf(lookup('v4.example', 6))).toMatchObject({
      code: 'ENOTFOUND',
      errno: -3007,
    });
    for (const name of ['a..b', '.', `${'a'.repeat(64)}.example`, 'a b', 'a\0b', 'x.onion']) {
      expect(await failureOf(lookup(name)), name).toMatchObject({ code: 'ENOTFOUND' });
    }
    net.serve(() => {});
    expect(await failureOf(lookup('silent.example'))).toMatchObject({
      message: 'getaddrinfo EAI_AGAIN silent.example',
      errno: -3001,
    });
    net.serve((_, bytes, reply) => reply(answerTo(bytes, [], { rcode: 2 })));
    expect((await failureOf(lookup('failing.example'))).code).toBe('EAI_AGAIN');
    net.dns.setServers([]);
    expect((await failureOf(lookup('nobody.example'))).code).toBe('EAI_AGAIN');
  });

  test('one family that nobody can say is no reason to hold back the other', async () => {
    const net = await open();
    net.serve(({ type, name }, bytes, reply) => {
      if (type === 'AAAA') reply(answerTo(bytes, [], { rcode: 2 }));
      else reply(answerTo(bytes, [{ type, name, ttl: 9, data: '192.0.2.1' }]));
    });
    expect(await net.dns.promises.lookup('half.example')).toEqual(v4('192.0.2.1'));
  });

  test('hints: ADDRCONFIG, V4MAPPED and ALL', async () => {
    const net = await open();
    const { lookup } = net.dns.promises;
    const { ADDRCONFIG, V4MAPPED, ALL } = net.dns;
    const mapped = { family: 6, all: true } as const;
    expect(await lookup('v4.example', { ...mapped, hints: V4MAPPED })).toEqual([
      v6('::ffff:192.0.2.4'),
    ]);
    expect(await lookup('www.example', { ...mapped, hints: V4MAPPED })).toEqual([
      v6('2001:db8::1'),
    ]);
    const all = await lookup('www.example', { ...mapped, hints: V4MAPPED | ALL });
    expect(all.map(({ address }) => address).sort()).toEqual([
      '2001:db8::1',
      '::ffff:192.0.2.1',
      '::ffff:192.0.2.2',
    ]);
    for (const { address } of net.stack.addresses()) {
      if (address.startsWith('fd00') || address.startsWith('fe80'))
        net.stack.removeAddress('eth0', address);
    }
    expect(await lookup('www.example', { all: true, hints: ADDRCONFIG })).toEqual([
      v4('192.0.2.1'),
      v4('192.0.2.2'),
    ]);
    expect((await failureOf(lookup('www.example', { family: 6, hints: ADDRCONFIG }))).code).toBe(
      'ENOTFOUND',
    );
  });

  test('order: by RFC 6724 as the stack would send, or a family first', async () => {
    const net = await open();
    const { dns } = net;
    const families = async (options: object = {}) => {
      const all = await dns.promises.lookup('www.example', { all: true, ...options });
      return all.map(({ family }) => family).join('');
    };
    // From fd00::2, an address in use among ourselves, to a global one: rule 5 prefers IPv4.
    expect(await families()).toBe('446');
    await net.stack.addAddress('eth0', '2001:db8:1::2/64');
    net.stack.removeRoute({ destination: '::/0', gateway: 'fd00::3' });
    net.stack.addRoute({ destination: '::/0', gateway: '2001:db8:1::1' });
    expect(await families()).toBe('644');
    expect(await families({ order: 'ipv4first' })).toBe('446');
    expect(await families({ verbatim: false })).toBe('446');
    dns.setDefaultResultOrder('ipv4first');
    expect(await families()).toBe('446');
    expect(await families({ order: 'ipv6first' })).toBe('644');
    expect([dns.getDefaultResultOrder(), nodeDns.getDefaultResultOrder()]).toEqual([
      'ipv4first',
      'verbatim',
    ]);
    dns.promises.setDefaultResultOrder('verbatim');
    net.stack.removeRoute({ destination: '::/0', gateway: '2001:db8:1::1' });
    expect(await families()).toBe('446'); // rule 1: no way to the other
  });
});

describe('names of the stack’s own', () => {
  test('hosts, both ways round, before any server', async () => {
    const net = await open({
      hosts: {
        'Printer.lan': ['10.0.0.60', 'fd00::60'],
        bücher: '10.0.0.61',
        printer: '10.0.0.60',
      },
    });
    const { promises } = net.dns;
    expect(await promises.lookup('printer.LAN', { all: true, order: 'ipv4first' })).toEqual([
      v4('10.0.0.60'),
      v6('fd00::60'),
    ]);
    expect(await promises.lookup('bücher')).toEqual(v4('10.0.0.61'));
    expect(await promises.reverse('fd00:0::60')).toEqual(['Printer.lan']);
    expect(await promises.reverse('10.0.0.60')).toEqual(['Printer.lan', 'printer']);
    expect(await promises.lookupService('10.0.0.60', 80)).toEqual({
      hostname: 'Printer.lan',
      service: 'http',
    });
    expect(await failureOf(promises.lookup('bücher', 6))).toMatchObject({
      code: 'ENOTFOUND',
      errno: -3008,
    });
    expect(net.asked).toEqual([]);
    net.dns.configure({ hosts: {} });
    expect((await failureOf(promises.lookup('printer.lan'))).code).toBe('ENOTFOUND');
  });

  test('localhost and what is under it are this stack (RFC 6761 6.3)', async () => {
    const net = await open();
    const { lookup } = net.dns.promises;
    expect(await lookup('localhost', 4)).toEqual(v4('127.0.0.1'));
    expect(await lookup('App.Localhost', 6)).toEqual(v6('::1'));
    expect(await net.dns.promises.lookupService('127.0.0.1', 22)).toEqual({
      hostname: 'localhost',
      service: 'ssh',
    });
    expect(net.asked).toEqual([]);
  });
});

test('stack.net connects to names by it', async () => {
  const net = await open({ hosts: { 'echo.lan': '10.0.0.3' } });
  const server = net.servers.net.createServer((socket) => socket.end('hello'));
  onTestFinished(() => void server.close());
  await new Promise<void>((resolve) => server.listen(7, '10.0.0.3', resolve));
  const socket = net.stack.net.connect({ host: 'echo.lan', port: 7 });
  const parts: Buffer[] = [];
  for await (const part of socket) parts.push(part);
  expect(Buffer.concat(parts).toString()).toBe('hello');
  const refused = net.stack.net.connect({ host: 'nobody.example', port: 7 });
  const error = await new Promise((resolve) => refused.once('error', resolve));
  expect(error).toMatchObject({ code: 'ENOTFOUND', hostname: 'nobody.example' });
  expect(net.questions).toContain('A nobody.example');
});

describe('the search list', () => {
  test('completes names that have fewer dots than ndots, and then others too (resolv.conf(5))', async () => {
    const net = await open({ search: ['other.example', 'lan.example'] });
    const { lookup } = net.dns.promises;
    const asked = async (name: string) => {
      net.asked.length = 0;
      const found = await lookup(name, 4).catch(({ code }) => code);
      return [found.address ?? found, net.asked.map((one) => one.name)];
    };
    expect(await asked('host')).toEqual(['10.0.0.50', ['host.other.example', 'host.lan.example']]);
    expect(await asked('deep.host')).toEqual([
      '10.0.0.51',
      ['deep.host', 'deep.host.other.example', 'deep.host.lan.example'],
    ]);
    expect(await asked('host.')).toEqual(['ENOTFOUND', ['host']]);
    net.dns.configure({ ndots: 2 });
    expect(await asked('v4.example')).toEqual([
      '192.0.2.4',
      ['v4.example.other.example', 'v4.example.lan.example', 'v4.example'],
    ]);
    expect(await asked('nobody')).toEqual([
      'ENOTFOUND',
      ['nobody.other.example', 'nobody.lan.example', 'nobody'],
    ]);
  });

  test('a server that fails in between is why there is no answer', async () => {
    const net = await open({ search: ['broken.example', 'lan.example'] });
    net.serve(({ name }, bytes, reply) => {
      reply(answerTo(bytes, [], { rcode: name.endsWith('broken.example') ? 2 : 3 }));
    });
    expect((await failureOf(net.dns.promises.lookup('host'))).code).toBe('EAI_AGAIN');
  });

  test('resolve() does not know it, as in node:dns', async () => {
    const net = await open({ search: ['lan.example'] });
    expect((await failureOf(net.dns.promises.resolve4('host'))).code).toBe('ENOTFOUND');
    expect(net.questions).toEqual(['A host']);
  });
});

test('lookupService: the name of the address and of the port, as getnameinfo(3)', async () => {
  const net = await open();
  const { lookupService } = net.dns.promises;
  expect(await lookupService('10.0.0.3', 443)).toEqual({
    hostname: 'servers.example',
    service: 'https',
  });
  expect((await lookupService('10.0.0.3', 61234)).service).toBe('61234');
  expect(await failureOf(lookupService('10.9.9.9', 80))).toMatchObject({
    message: 'getnameinfo ENOTFOUND 10.9.9.9',
    syscall: 'getnameinfo',
    errno: -3008,
  });
  // As a server on :: sees who connects by IPv4.
  expect((await lookupService('::ffff:10.0.0.3', 443)).hostname).toBe('servers.example');
  net.serve((_, bytes, reply) => reply(answerTo(bytes, [])));
  expect((await failureOf(lookupService('10.9.9.8', 80))).errno).toBe(-3008);
  net.serve((_, bytes, reply) => reply(answerTo(bytes, [], { rcode: 1 })));
  expect((await failureOf(lookupService('10.9.9.7', 80))).code).toBe('ENOTFOUND');
  const named = await new Promise((resolve) => {
    net.dns.lookupService('10.0.0.3', 22, (...args) => resolve(args));
  });
  expect(named).toEqual([null, 'servers.example', 'ssh']);
});

test("fallback 'host': the host's resolver is asked until there are servers, and by choice alone", async () => {
  const socket = createSocket('udp4');
  onTestFinished(() => void socket.close());
  socket.on('message', (bytes, from) => {
    const name = 'seen.example';
    socket.send(answerTo(bytes, [{ type: 'A', name, ttl: 9, data: '192.0.2.99' }]), from.port);
  });
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  const before = nodeDns.getServers();
  nodeDns.setServers([`127.0.0.1:${socket.address().port}`]);
  onTestFinished(() => nodeDns.setServers(before));
  const stack = await Stack.open({ dns: { fallback: 'host', hosts: { own: '10.0.0.9' } } });
  onTestFinished(() => stack.close());
  const { promises } = stack.dns;
  expect(await promises.resolve4('seen.example')).toEqual(['192.0.2.99']);
  // The host knows itself, by its hosts(5).
  expect(await promises.lookup('localhost', 4)).toEqual(v4('127.0.0.1'));
  expect(await promises.lookup('own')).toEqual(v4('10.0.0.9'));
  expect((await failureOf(promises.lookup('nobody.invalid'))).syscall).toBe('getaddrinfo');
  const plain = await openStack();
  expect((await failureOf(plain.dns.promises.resolve4('seen.example'))).code).toBe('ECONNREFUSED');
  stack.dns.setServers(['127.0.0.1']); // where the stack has none
  expect((await failureOf(promises.resolve4('seen.example'))).code).toBe('ECONNREFUSED');
});
