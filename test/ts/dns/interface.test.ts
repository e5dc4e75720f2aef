// SPDX-License-Identifier: MIT
//
// stack.dns is node:dns to whoever uses it: its names, its types, and its errors for wrong arguments.

import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import nodeDns from 'node:dns';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { DnsOptions, StackDns } from 'vpollnet';
import { Stack } from 'vpollnet';
import { openStack, root, thrownBy, untyped } from '../support.js';

/** What a program that knows node:dns alone can be given. */
const asNode = (dns: StackDns): typeof nodeDns => dns;

test('it has what node:dns has, and so do its promises', async () => {
  const { dns } = await openStack();
  expect(Object.keys(asNode(dns))).toEqual(expect.arrayContaining(Object.keys(nodeDns)));
  expect(Object.keys(dns.promises)).toEqual(expect.arrayContaining(Object.keys(nodeDns.promises)));
  for (const [name, value] of Object.entries(nodeDns)) {
    if (name === 'promises') continue;
    const ours = (dns as unknown as Record<string, unknown>)[name];
    if (typeof value === 'function') expect(ours, name).toBeTypeOf('function');
    else expect(ours, name).toBe(value);
  }
  for (const [theirs, ours] of [
    [nodeDns.Resolver, dns.Resolver],
    [nodeDns.promises.Resolver, dns.promises.Resolver],
  ] as const) {
    const names = Object.getOwnPropertyNames(theirs.prototype);
    const resolver = new ours() as unknown as Record<string, unknown>;
    for (const name of [...names, 'cancel', 'getServers', 'setServers', 'setLocalAddress']) {
      expect(resolver[name], name).toBeTypeOf('function');
    }
  }
  expect(dns).toBe(dns);
});

type Call = [name: string, call: (dns: typeof nodeDns) => unknown];

const nothing = () => {};
const wrong: Call[] = [
  ...[undefined, null, 1, {}, [], true].flatMap((value): Call[] => [
    ['lookup options', (dns) => dns.lookup('x.invalid', untyped(value), untyped(undefined))],
    ['lookup callback', (dns) => dns.lookup('x.invalid', {}, untyped(value))],
    ['lookup callback alone', (dns) => dns.lookup('x.invalid', untyped(value))],
    ['resolve4 name', (dns) => dns.resolve4(untyped(value), nothing)],
    ['resolve4 callback', (dns) => dns.resolve4('x.invalid', untyped(value))],
    ['resolve type', (dns) => dns.resolve('x.invalid', untyped(value), nothing)],
    ['reverse', (dns) => dns.reverse(untyped(value), nothing)],
    ['setServers', (dns) => dns.setServers(untyped(value ?? 'x'))],
    ['order', (dns) => dns.setDefaultResultOrder(untyped(value))],
    ['service', (dns) => dns.lookupService(untyped(value), 80, nothing)],
    ['service callback', (dns) => dns.lookupService('127.0.0.1', 80, untyped(value))],
    ['promises.resolve4', (dns) => dns.promises.resolve4(untyped(value))],
    ['promises.reverse', (dns) => dns.promises.reverse(untyped(value ?? 7))],
  ]),
  ...[1, {}, true].map(
    (value): Call => ['lookup name', (dns) => dns.lookup(untyped(value), nothing)],
  ),
  ...[3, 'x', 'IPv5', 4.5, true, {}].flatMap((value): Call[] => [
    ['family', (dns) => dns.lookup('x.invalid', { family: untyped(value) }, nothing)],
    ['family number', (dns) => dns.lookup('x.invalid', untyped(5), nothing)],
    ['hints', (dns) => dns.lookup('x.invalid', { hints: untyped('x') }, nothing)],
    ['hints value', (dns) => dns.lookup('x.invalid', { hints: 3 }, nothing)],
    ['all', (dns) => dns.lookup('x.invalid', { all: untyped('x') }, nothing)],
    ['verbatim', (dns) => dns.lookup('x.invalid', { verbatim: untyped('x') }, nothing)],
    ['order', (dns) => dns.lookup('x.invalid', untyped({ order: 'x' }), nothing)],
    ['options string', (dns) => dns.lookup('x.invalid', untyped('4'), nothing)],
    ['promises family', (dns) => dns.promises.lookup('x.invalid', { family: untyped(value) })],
    ['promises options', (dns) => dns.promises.lookup('x.invalid', untyped('4'))],
  ]),
  ['resolve type of no record', (dns) => dns.resolve('x', untyped('ZZ'), nothing)],
  ['promises.resolve type', (dns) => dns.promises.resolve('x', 'ZZ')],
  ['promises.resolve type', (dns) => dns.promises.resolve('x', untyped(5))],
  ['reverse of a name', (dns) => dns.reverse('x', nothing)],
  ['reverse of a name', (dns) => dns.promises.reverse('x')],
  ...['x', [1], ['x'], ['1.2.3.4:'], ['1.2.3.4:abc'], ['  1.2.3.4'], [null]].flatMap(
    (value): Call[] => [
      ['setServers', (dns) => dns.setServers(untyped(value))],
      ['setServers', (dns) => new dns.Resolver().setServers(untyped(value))],
      ['setServers', (dns) => dns.promises.setServers(untyped(value))],
    ],
  ),
  ...[[], [1], ['x'], ['1.2.3.4', '1.2.3.4'], ['::1', '::1']].map(
    (value): Call => [
      'setLocalAddress',
      (dns) => new dns.Resolver().setLocalAddress(...(untyped(value) as [string])),
    ],
  ),
  ...[{ timeout: -2 }, { timeout: 'x' }, { timeout: 1.5 }, { tries: 0 }, { tries: '4' }].flatMap(
    (value): Call[] => [
      ['Resolver', (dns) => new dns.Resolver(untyped(value))],
      ['promises.Resolver', (dns) => new dns.promises.Resolver(untyped(value))],
    ],
  ),
  ...[[], ['127.0.0.1'], ['127.0.0.1', 'x', nothing], ['127.0.0.1', 70000, nothing]].flatMap(
    (value): Call[] => [
      ['lookupService', (dns) => untyped(dns.lookupService)(...value)],
      [
        'promises.lookupService',
        (dns) => untyped(dns.promises.lookupService)(...value.slice(0, 2)),
      ],
    ],
  ),
];

/** How a call ends: thrown at once, rejected, or not at all. */
async function ending(call: () => unknown) {
  const shown = (how: string, error: NodeJS.ErrnoException) => {
    const { name, code, message } = error;
    return { how, name, code, message };
  };
  let result: unknown;
  try {
    result = call();
  } catch (error) {
    return shown('thrown', error as NodeJS.ErrnoException);
  }
  if (!(result instanceof Promise)) return { how: 'returned' };
  return await result.then(
    () => ({ how: 'resolved' }),
    (error) => shown('rejected', error),
  );
}

describe('wrong arguments', () => {
  test('are refused with the errors of node:dns, word for word', async () => {
    const { dns } = await openStack();
    let refused = 0;
    for (const [name, call] of wrong) {
      const theirs = await ending(() => call(nodeDns));
      const ours = await ending(() => call(dns));
      // Names that Node takes are looked up, which is not what this is about.
      if (theirs.how === 'returned' || theirs.how === 'resolved') continue;
      refused += 1;
      expect(ours, name).toEqual(theirs);
    }
    expect(refused).toBeGreaterThan(100);
  });

  test('of Stack.open() and configure(), each by its name; nothing has changed then', async () => {
    const stack = await openStack();
    for (const [options, named] of [
      [7, 'dns'],
      [{ server: [] }, 'server'],
      [{ servers: '10.0.0.1' }, 'servers'],
      [{ servers: ['x'] }, 'servers[0]'],
      [{ servers: ['10.0.0.1:70000'] }, 'servers[0]'],
      [{ servers: [{ host: 'x' }] }, 'servers[0].host'],
      [{ servers: [{ host: '10.0.0.1', port: 0 }] }, 'servers[0].port'],
      [{ search: ['a..b'] }, 'search[0]'],
      [{ search: Array.from({ length: 33 }, (_, i) => `n${i}`) }, 'search'],
      [{ ndots: 16 }, 'ndots'],
      [{ timeout: 0 }, 'timeout'],
      [{ attempts: 17 }, 'attempts'],
      [{ rotate: 1 }, 'rotate'],
      [{ hosts: { a: 'x' } }, "hosts['a']"],
      [{ hosts: { 'a..b': '10.0.0.1' } }, 'hosts'],
      [{ fallback: 'any' }, 'fallback'],
      [{ cache: true }, 'cache'],
      [{ cache: { entries: 0 } }, 'cache.entries'],
      [{ cache: { size: 1 } }, 'cache.size'],
    ] as [DnsOptions, string][]) {
      const opened = await Stack.open({ dns: options }).catch((error) => error);
      expect(opened.message, named).toContain(named);
      expect(opened.code, named).toMatch(/^ERR_/);
      const before = stack.dns.getServers();
      const given = { servers: ['10.9.9.9'], ...Object(options) };
      if (typeof options === 'object')
        expect(thrownBy(() => stack.dns.configure(given)).message).toContain(named);
      expect(stack.dns.getServers()).toEqual(before);
    }
  });

  test('a port that a server cannot have is refused, which node:dns would cut off', async () => {
    const { dns } = await openStack();
    expect(thrownBy(() => dns.setServers(['1.2.3.4:99999']))).toMatchObject({
      code: 'ERR_INVALID_IP_ADDRESS',
    });
    dns.setServers(['1.2.3.4:53', '[::1]:0', '[::1]', '::1', '1.2.3.4:5353', '[fe80::1%lo]:54']);
    const written = ['1.2.3.4', '::1', '1.2.3.4:5353', '[fe80::1%lo]:54'];
    expect(dns.getServers()).toEqual(written);
    expect(dns.promises.getServers()).toEqual(written);
  });
});

test('servers are shown as node:dns shows them, each once', async () => {
  const { dns } = await openStack();
  for (const servers of [
    ['1.2.3.4', '1.2.3.4:53', '1.2.3.4:54'],
    ['FE80::1', '2001:DB8:0:0::1', '[2001:db8::1]:53', '::FFFF:1.2.3.4'],
    ['[1.2.3.4]', '[1.2.3.5]:54'],
    new Array(3),
    [],
  ]) {
    const [theirs, ours] = [nodeDns, dns].map((one) => {
      const resolver = new one.Resolver();
      resolver.setServers(servers);
      return resolver.getServers();
    });
    expect(ours, String(servers)).toEqual(theirs);
  }
});

test('a port of 0 in 32 bits, for which Node ends the process, is 53 or refused', () => {
  const child = run(`
    stack.dns.setServers(['1.2.3.4:0', '[::1]:0']);
    console.log(stack.dns.getServers().join());
    for (const server of ['1.2.3.4:4294967296', '[::1]:4294967296'])
      try { stack.dns.setServers([server]) } catch ({ code }) { console.log(code) }`);
  const code = 'ERR_INVALID_IP_ADDRESS';
  expect(child.stdout.trim().split('\n')).toEqual(['1.2.3.4,::1', code, code]);
});

test('setServers() with questions pending is refused as by node:dns, until cancel()', async () => {
  const { dns } = await openStack({ addresses: ['10.0.0.1/24'] });
  const server = createSocket('udp4');
  onTestFinished(() => void server.close());
  await new Promise<void>((resolve) => server.bind(0, '127.0.0.1', resolve));
  const [theirs, ours] = await Promise.all(
    (
      [
        [nodeDns, `127.0.0.1:${server.address().port}`],
        [dns, '10.0.0.9'],
      ] as const
    ).map(async ([one, silent]) => {
      const resolver = new one.Resolver();
      resolver.setServers([silent]);
      const ended = new Promise((resolve) => resolver.resolve4('www.example', resolve));
      const refused = [['10.0.0.8'], ['10.0.0.8', '[::1]:54'], []].map((servers) => {
        const error = thrownBy(() => resolver.setServers(servers)) as NodeJS.ErrnoException;
        const { name, message, code } = error;
        return { name, message, code, keys: Object.keys(error) };
      });
      resolver.cancel();
      resolver.setServers(['10.0.0.8']);
      return { refused, now: resolver.getServers(), ended: await ended };
    }),
  );
  expect(ours).toEqual(theirs);
  expect(ours?.refused[0]?.code).toBe('ERR_DNS_SET_SERVERS_FAILED');
});

test('what a callback throws is an uncaught exception, as in Node', () => {
  const child = run(`
    process.on('uncaughtException', ({ message }) => console.log('uncaught', message));
    stack.dns.resolve4('localhost', () => { throw new Error('mine') });
    stack.dns.lookup('localhost', () => { throw new Error('mine too') });`);
  expect(child.stdout.trim().split('\n').sort()).toEqual(['uncaught mine', 'uncaught mine too']);
});

test('a question that is pending keeps the process running, a resolver without one does not', () => {
  expect(run('stack.dns.setServers(["10.0.0.9"]);').status).toBe(0);
  const child = run(`
    stack.dns.configure({ servers: ['127.0.0.1'], timeout: 300, attempts: 1 });
    const silent = stack.socket('udp').bind({ host: '127.0.0.1', port: 53 });
    stack.dns.resolve4('www.example', ({ code }) => console.log(code));`);
  expect([child.status, child.stdout]).toEqual([0, 'ETIMEOUT\n']);
});

/** A program with a stack, to its end. */
function run(program: string) {
  const source = `import { Stack } from './dist/ts/index.js';\nconst stack = await Stack.open();\n${program}`;
  return spawnSync(process.execPath, ['--input-type=module', '-e', source], {
    cwd: root,
    encoding: 'utf8',
    timeout: 60_000,
  });
}
