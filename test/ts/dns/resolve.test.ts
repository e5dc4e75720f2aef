// SPDX-License-Identifier: MIT
//
// resolve() and its kind, from the call to the servers and back.

import { setTimeout as sleep } from 'node:timers/promises';
import packet from 'dns-packet';
import { describe, expect, onTestFinished, test } from 'vitest';
import { until } from '../support.js';
import {
  answerTo,
  DnsNet,
  failureOf,
  nodeResolver,
  questionOf,
  soa,
  type Zone,
} from './dns-net.js';

const zone: Zone = {
  'www.example': {
    A: ['192.0.2.1', '192.0.2.2'],
    AAAA: ['2001:db8::1'],
    CAA: [{ flags: 128, tag: 'issue', value: 'ca.example' }],
    MX: [{ preference: 5, exchange: 'mx.example' }],
    NAPTR: [
      {
        order: 1,
        preference: 2,
        flags: 's',
        services: 'SIP+D2U',
        regexp: '',
        replacement: '_sip.example',
      },
    ],
    NS: ['ns.example'],
    PTR: ['ptr.example'],
    SOA: [
      {
        mname: 'ns.example',
        rname: 'root.example',
        serial: 1,
        refresh: 2,
        retry: 3,
        expire: 4,
        minimum: 5,
      },
    ],
    SRV: [{ priority: 1, weight: 2, port: 3, target: 'srv.example' }],
    TXT: [['a', 'b'], ['c']],
    TLSA: [{ usage: 3, selector: 1, matchingType: 1, certificate: Buffer.of(1, 2, 3) }],
  },
  'alias.example': { CNAME: ['www.example'] },
  'xn--bcher-kva.example': { A: ['192.0.2.5'] },
  '1.2.0.192.in-addr.arpa': { PTR: ['www.example'] },
  [`3${'.0'.repeat(27)}.0.0.d.f.ip6.arpa`.replace('.d.f', '.d.f')]: { PTR: ['servers.example'] },
};

describe('records', () => {
  test('of each type, in the form of node:dns', async () => {
    const net = await DnsNet.open();
    net.serveZone(zone);
    const { promises } = net.dns;
    expect(await promises.resolve4('www.example')).toEqual(['192.0.2.1', '192.0.2.2']);
    expect(await promises.resolve('www.example')).toEqual(['192.0.2.1', '192.0.2.2']);
    expect(await promises.resolve6('www.example', { ttl: true })).toEqual([
      { address: '2001:db8::1', ttl: 77 },
    ]);
    expect(await promises.resolveCaa('www.example')).toEqual([
      { critical: 128, issue: 'ca.example' },
    ]);
    expect(await promises.resolveCname('alias.example')).toEqual(['www.example']);
    expect(await promises.resolveMx('www.example')).toEqual([
      { exchange: 'mx.example', priority: 5 },
    ]);
    expect(await promises.resolveNaptr('www.example')).toEqual([
      {
        flags: 's',
        service: 'SIP+D2U',
        regexp: '',
        replacement: '_sip.example',
        order: 1,
        preference: 2,
      },
    ]);
    expect(await promises.resolveNs('www.example')).toEqual(['ns.example']);
    expect(await promises.resolvePtr('www.example')).toEqual(['ptr.example']);
    expect(await promises.resolveSoa('www.example')).toEqual({
      nsname: 'ns.example',
      hostmaster: 'root.example',
      serial: 1,
      refresh: 2,
      retry: 3,
      expire: 4,
      minttl: 5,
    });
    expect(await promises.resolveSrv('www.example')).toEqual([
      { name: 'srv.example', port: 3, priority: 1, weight: 2 },
    ]);
    expect(await promises.resolveTxt('www.example')).toEqual([['a', 'b'], ['c']]);
    expect(await promises.resolveTlsa('www.example')).toEqual([
      { certUsage: 3, selector: 1, match: 1, data: Uint8Array.of(1, 2, 3).buffer },
    ]);
    expect(await promises.resolve('www.example', 'TXT')).toEqual([['a', 'b'], ['c']]);
    expect(await promises.reverse('192.0.2.1')).toEqual(['www.example']);
  });

  test('resolveAny has them all, each with its type', async () => {
    const net = await DnsNet.open();
    net.serveZone(zone);
    const all = await net.dns.promises.resolveAny('www.example');
    expect(all).toContainEqual({ address: '192.0.2.1', ttl: 77, type: 'A' });
    expect(all).toContainEqual({ address: '2001:db8::1', ttl: 77, type: 'AAAA' });
    expect(all).toContainEqual({ exchange: 'mx.example', priority: 5, type: 'MX' });
    expect(all).toContainEqual({ entries: ['a', 'b'], type: 'TXT' });
    expect(all).toContainEqual({ value: 'ns.example', type: 'NS' });
    expect(all).toContainEqual({ critical: 128, issue: 'ca.example', type: 'CAA' });
    expect(new Set(all.map(({ type }) => type)).size).toBe(11);
  });

  test('the same as node:dns itself gives, of the same server', async () => {
    const net = await DnsNet.open();
    net.serveZone(zone);
    const real = await nodeResolver((bytes) => {
      const { name, type } = questionOf(bytes);
      const here = zone[name];
      const answers = (here?.[type] ?? []).map((data) => ({ type, name, ttl: 77, data }));
      return answerTo(bytes, answers, { rcode: here === undefined ? 3 : 0 });
    });
    const types = ['A', 'AAAA', 'CAA', 'MX', 'NAPTR', 'NS', 'PTR', 'SOA', 'SRV', 'TXT'];
    for (const type of types) {
      const theirs = await real.resolve('www.example', type);
      expect(await net.dns.promises.resolve('www.example', type), type).toEqual(theirs);
    }
    for (const [name, type] of [
      ['www.example', 'CNAME'],
      ['nobody.example', 'A'],
      ['nobody.example', 'SRV'],
      ['a..b', 'A'],
      [`${'a'.repeat(64)}.example`, 'A'],
      ['a b', 'MX'],
      ['x.onion', 'A'],
    ] as const) {
      const theirs = await failureOf(real.resolve(name, type));
      const ours = await failureOf(net.dns.promises.resolve(name, type));
      expect({ ...ours, message: ours.message }, name).toEqual({
        ...theirs,
        message: theirs.message,
      });
    }
  });

  test('text that is not of ASCII has a character for each byte, as in node:dns', async () => {
    const answer = (bytes: Buffer) => {
      const { name, type } = questionOf(bytes);
      const data = {
        TXT: [Buffer.of(0xff, 0xfe, 0x80), Buffer.from('é'), Buffer.alloc(0)],
        CAA: { flags: 0, tag: 'iodef', value: 'é' },
      }[type];
      return answerTo(bytes, [{ type, name, ttl: 77, data }]);
    };
    const net = await DnsNet.open();
    net.serve((_, bytes, reply) => reply(answer(bytes)));
    const real = await nodeResolver(answer);
    const { promises } = net.dns;
    const text = await promises.resolveTxt('www.example');
    expect(text).toEqual([['\xff\xfe\x80', '\xc3\xa9', '']]);
    expect(text).toEqual(await real.resolveTxt('www.example'));
    const authorities = await promises.resolveCaa('www.example');
    expect(authorities).toEqual([{ critical: 0, iodef: '\xc3\xa9' }]);
    // Node 24 adds a type.
    expect(await real.resolveCaa('www.example')).toMatchObject(authorities);
  });

  test('reverse() has no more codes for a failure than that of node:dns', async () => {
    // What the server of 192.0.2.X says.
    const says: Record<string, (name: string) => { rcode?: number; answers?: object[] } | null> = {
      0: () => ({}),
      1: () => ({ rcode: 1 }),
      2: () => ({ rcode: 2 }),
      3: () => ({ rcode: 3 }),
      4: () => ({ rcode: 4 }),
      5: () => ({ rcode: 5 }),
      6: () => null,
      7: (name) => ({ answers: [{ type: 'CNAME', name, ttl: 77, data: 'nothing.example' }] }),
    };
    const answer = (bytes: Buffer) => {
      const { name } = questionOf(bytes);
      const said = says[name[0] as string]?.(name) ?? {};
      return said === null ? null : answerTo(bytes, said.answers ?? [], { rcode: said.rcode ?? 0 });
    };
    const net = await DnsNet.open();
    net.serve((_, bytes, reply) => {
      const answered = answer(bytes);
      if (answered !== null) reply(answered);
    });
    const times = { timeout: 100, tries: 1 };
    const real = await nodeResolver(answer, times);
    const ours = new net.dns.promises.Resolver(times);
    for (const last of Object.keys(says)) {
      const address = `192.0.2.${last}`;
      const [theirs, own] = [real, ours].map((one) => failureOf(one.reverse(address)));
      const { message, code } = (await theirs) as NodeJS.ErrnoException;
      expect(await own, address).toMatchObject({ message, code, syscall: 'getHostByAddr' });
    }
    for (const one of [real, ours]) {
      const asked = failureOf(one.reverse('192.0.2.6'));
      one.cancel();
      expect((await asked).code).toBe('ECANCELLED');
      one.setServers(['127.0.0.1:9']);
      expect((await failureOf(one.reverse('192.0.2.1'))).code).toBe('ENOTFOUND');
    }
  });

  test('an alias that leads to nothing is an empty list, or an error, as in node:dns', async () => {
    const answer = (bytes: Buffer) => {
      const { name } = questionOf(bytes);
      const alias = { type: 'CNAME', name, ttl: 77, data: 'nothing.example' };
      return answerTo(bytes, name.startsWith('nothing') ? [] : [alias], {
        authorities: [soa('example', 600, 300)],
      });
    };
    const net = await DnsNet.open();
    net.serve((_, bytes, reply) => reply(answer(bytes)));
    const real = await nodeResolver(answer);
    for (const type of ['A', 'AAAA', 'CAA', 'MX', 'NAPTR', 'NS', 'PTR', 'SRV', 'TXT']) {
      const [theirs, first, kept] = await Promise.all(
        [real, net.dns.promises, net.dns.promises].map((one) =>
          one.resolve('www.example', type).catch(({ message }) => message),
        ),
      );
      expect(first, type).toEqual(theirs);
      expect(kept, type).toEqual(theirs);
    }
    expect(await net.dns.promises.resolve4('www.example')).toEqual([]);
    expect(await failureOf(net.dns.promises.lookup('www.example'))).toMatchObject({
      code: 'ENOTFOUND',
      errno: -3008,
    });
  });

  test('each address has the time to live of its own record, or of a shorter alias', async () => {
    const answer = (bytes: Buffer) => {
      const { name } = questionOf(bytes);
      const alias = { type: 'CNAME', name, ttl: 30, data: 'www.example' };
      const addresses = [10, 90].map((ttl, i) => {
        return { type: 'A', name: 'www.example', ttl, data: `192.0.2.${i}` };
      });
      return answerTo(bytes, name === 'www.example' ? addresses : [alias, ...addresses]);
    };
    const net = await DnsNet.open();
    net.serve((_, bytes, reply) => reply(answer(bytes)));
    const real = await nodeResolver(answer);
    for (const name of ['www.example', 'alias.example']) {
      const found = await net.dns.promises.resolve4(name, { ttl: true });
      expect(found.map(({ ttl }) => ttl)).toEqual([10, name === 'www.example' ? 90 : 30]);
      expect(found).toEqual(await real.resolve4(name, { ttl: true }));
    }
    await sleep(1100);
    const kept = await net.dns.promises.resolve4('www.example', { ttl: true });
    expect(kept.map(({ ttl }) => ttl)).toEqual([9, 89]);
    expect(net.asked).toHaveLength(2);
  });

  test('IPv6 addresses are written as node:dns writes them', async () => {
    const addresses = [
      '::ffff:10.0.0.7',
      '2001:db8:0:1:1:1:1:1',
      '2001:db8:0:0:1:0:0:1',
      '::',
      '::1',
    ];
    const answer = (bytes: Buffer) => {
      const { name } = questionOf(bytes);
      return answerTo(
        bytes,
        addresses.map((data) => ({ type: 'AAAA', name, ttl: 77, data })),
      );
    };
    const net = await DnsNet.open();
    net.serve((_, bytes, reply) => reply(answer(bytes)));
    const real = await nodeResolver(answer);
    const found = await net.dns.promises.resolve6('www.example');
    expect(found).toEqual(await real.resolve6('www.example'));
    expect(found[0]).toBe('::ffff:10.0.0.7');
  });

  test('records of an answer that says that there is no such name are none', async () => {
    const answer = (bytes: Buffer) => {
      const { name } = questionOf(bytes);
      return answerTo(bytes, [{ type: 'A', name, ttl: 77, data: '192.0.2.1' }], { rcode: 3 });
    };
    const net = await DnsNet.open();
    net.serve((_, bytes, reply) => reply(answer(bytes)));
    const real = await nodeResolver(answer);
    for (const one of [real, net.dns.promises]) {
      expect((await failureOf(one.resolve4('www.example'))).code).toBe('ENOTFOUND');
    }
  });

  test('by callback: null and the values, or the error alone', async () => {
    const net = await DnsNet.open();
    net.serveZone(zone);
    const called: unknown[][] = [];
    await new Promise<void>((resolve) => {
      net.dns.resolve4('www.example', (...args) => void called.push(args));
      net.dns.resolve4('www.example', { ttl: true }, (...args) => void called.push(args));
      net.dns.resolve('www.example', 'MX', (...args) => void called.push(args));
      net.dns.resolve4('nobody.example', (...args: unknown[]) => {
        called.push(args);
        resolve();
      });
      expect(called).toEqual([]); // not before the call has returned
    });
    await until(() => called.length === 4);
    expect(called).toContainEqual([null, ['192.0.2.1', '192.0.2.2']]);
    expect(called).toContainEqual([null, [{ exchange: 'mx.example', priority: 5 }]]);
    const [error] = called.filter((args) => args.length === 1).flat();
    expect(error).toMatchObject({
      message: 'queryA ENOTFOUND nobody.example',
      code: 'ENOTFOUND',
      syscall: 'queryA',
      hostname: 'nobody.example',
    });
  });

  test('an IDN is asked for in its ASCII form', async () => {
    const net = await DnsNet.open();
    net.serveZone(zone);
    expect(await net.dns.promises.resolve4('bücher.example')).toEqual(['192.0.2.5']);
    expect(net.questions).toEqual(['A xn--bcher-kva.example']);
  });

  test('localhost is asked of nobody, and no onion name (RFC 6761 6.3, RFC 7686 2)', async () => {
    const net = await DnsNet.open();
    net.serveZone(zone);
    const { promises } = net.dns;
    expect(await promises.resolve4('localhost')).toEqual(['127.0.0.1']);
    expect(await promises.resolve6('app.LOCALHOST.')).toEqual(['::1']);
    expect((await failureOf(promises.resolveMx('localhost'))).code).toBe('ENODATA');
    expect((await failureOf(promises.resolve4('x.onion'))).code).toBe('ENOTFOUND');
    expect(await promises.reverse('127.0.0.1')).toEqual(['localhost']);
    expect(net.questions).toEqual([]);
  });
});

describe('aliases', () => {
  test('are followed, within an answer and by asking again (RFC 1034 5.3.3)', async () => {
    const net = await DnsNet.open();
    net.serveZone({
      ...zone,
      'far.example': { CNAME: ['alias.example'] },
    });
    expect(await net.dns.promises.resolve4('far.example', { ttl: true })).toEqual([
      { address: '192.0.2.1', ttl: 20 },
      { address: '192.0.2.2', ttl: 20 },
    ]);
    expect(net.questions).toEqual(['A far.example', 'A alias.example', 'A www.example']);
  });

  test('a loop, and a chain that is too long, end in EBADRESP', async () => {
    const net = await DnsNet.open();
    const long = Object.fromEntries(
      Array.from({ length: 40 }, (_, i) => [`n${i}.example`, { CNAME: [`n${i + 1}.example`] }]),
    );
    net.serveZone({
      'a.example': { CNAME: ['b.example'] },
      'b.example': { CNAME: ['a.example'] },
      'self.example': { CNAME: ['self.example'] },
      ...long,
    });
    for (const name of ['a.example', 'self.example', 'n0.example']) {
      expect((await failureOf(net.dns.promises.resolve4(name))).code).toBe('EBADRESP');
    }
    expect(net.asked.length).toBeLessThan(25);
  });

  test('records of names that were not asked for are none (RFC 5452 6)', async () => {
    const net = await DnsNet.open();
    net.serve(({ name }, bytes, reply) => {
      reply(
        answerTo(bytes, [
          { type: 'A', name: 'bank.example', ttl: 9, data: '6.6.6.6' },
          { type: 'A', name, ttl: 9, data: '192.0.2.9' },
        ]),
      );
    });
    expect(await net.dns.promises.resolve4('shop.example')).toEqual(['192.0.2.9']);
  });
});

describe('servers', () => {
  test('each question has a port, an identifier and a spelling of its own (RFC 5452 9.2)', async () => {
    const net = await DnsNet.open({ cache: false });
    const name = 'a-long-name-with-many-letters.example';
    net.serveZone({ [name]: { A: ['192.0.2.1'] } });
    for (let i = 0; i < 8; i += 1) await net.dns.promises.resolve4(name);
    const distinct = (of: (one: (typeof net.asked)[number]) => unknown) =>
      new Set(net.asked.map(of)).size;
    expect(distinct(({ port }) => port)).toBeGreaterThan(5);
    expect(distinct(({ query }) => query.id)).toBeGreaterThan(5);
    expect(distinct(({ query }) => query.questions?.[0]?.name)).toBeGreaterThan(5);
    expect(net.asked[0]?.query.additionals?.[0]).toMatchObject({ udpPayloadSize: 1232 });
    expect(net.asked[0]?.query.flag_rd).toBe(true);
  });

  test('answers that fit not the question are waited past (RFC 5452 9.1)', async () => {
    const net = await DnsNet.open();
    const forged = { type: 'A', name: 'bank.example', ttl: 9, data: '6.6.6.6' };
    net.serve(({ query }, bytes, reply) => {
      const wrong = answerTo(bytes, [forged]);
      wrong.writeUInt16BE(((query.id ?? 0) + 1) & 0xffff, 0);
      reply(wrong);
      reply(answerTo(bytes, [forged], { questions: [{ type: 'A', name: 'other.example' }] }));
      reply(answerTo(bytes, [forged], { type: 'query' }));
      reply(answerTo(bytes, [forged]).subarray(0, -3));
      reply(Buffer.of(1, 2, 3));
      reply(answerTo(bytes, [{ ...forged, data: '192.0.2.9' }]));
    });
    expect(await net.dns.promises.resolve4('bank.example')).toEqual(['192.0.2.9']);
  });

  test('what is cut off is asked for by TCP (RFC 7766 5)', async () => {
    const net = await DnsNet.open();
    const data = Array.from({ length: 100 }, (_, i) => `192.0.2.${i}`);
    net.serve(({ transport, name }, bytes, reply) => {
      const all = data.map((one) => ({ type: 'A', name, ttl: 9, data: one }));
      reply(
        transport === 'tcp'
          ? answerTo(bytes, all)
          : answerTo(bytes, [], { flags: packet.TRUNCATED_RESPONSE }),
      );
    });
    expect(await net.dns.promises.resolve4('big.example')).toEqual(data);
    expect(net.asked.map(({ transport }) => transport)).toEqual(['udp', 'tcp']);
  });

  test('one that does not know EDNS is asked without (RFC 6891 6.2.2, 7)', async () => {
    const net = await DnsNet.open();
    for (const refuse of [
      (bytes: Buffer) => answerTo(bytes, [], { rcode: 1 }),
      (bytes: Buffer) => answerTo(bytes, [], { rcode: 4 }),
      // Without the question, as servers do that gave up on the message.
      (bytes: Buffer) => Buffer.concat([bytes.subarray(0, 2), Buffer.of(0x80, 1), Buffer.alloc(8)]),
    ]) {
      net.asked.length = 0;
      net.dns.configure({}); // what is kept is forgotten
      net.serve(({ query, name }, bytes, reply) => {
        const plain = query.additionals?.length === 0;
        const answer = { type: 'A', name, ttl: 9, data: '192.0.2.1' };
        reply(plain ? answerTo(bytes, [answer]) : refuse(bytes));
      });
      expect(await net.dns.promises.resolve4('www.example')).toEqual(['192.0.2.1']);
      expect(net.asked).toHaveLength(2);
    }
  });

  test('the next one is asked when one is silent, refuses, fails, or is not there', async () => {
    const net = await DnsNet.open({ servers: ['10.0.0.3', '10.0.0.4'], timeout: 100 });
    net.serveZone({ 'www.example': { A: ['192.0.2.1'] } }, '10.0.0.4');
    for (const handler of [
      () => {},
      (_: unknown, bytes: Buffer, reply: (bytes: Buffer) => void) =>
        reply(answerTo(bytes, [], { rcode: 2 })),
      (_: unknown, bytes: Buffer, reply: (bytes: Buffer) => void) =>
        reply(answerTo(bytes, [], { rcode: 5 })),
    ]) {
      net.dns.configure({});
      net.serve(handler);
      expect(await net.dns.promises.resolve4('www.example')).toEqual(['192.0.2.1']);
    }
    net.dns.configure({ servers: ['10.0.0.3:5399', '10.0.0.4'], timeout: 60_000 });
    expect(await net.dns.promises.resolve4('www.example')).toEqual(['192.0.2.1']);
  });

  test('each is asked `attempts` times, and begins in turn with `rotate`', async () => {
    const net = await DnsNet.open({
      servers: ['10.0.0.3', '10.0.0.4'],
      timeout: 50,
      attempts: 3,
      rotate: true,
      cache: false,
    });
    net.serve(() => {});
    net.serve(() => {}, '10.0.0.4');
    const error = await failureOf(net.dns.promises.resolve4('www.example'));
    expect(error).toMatchObject({ code: 'ETIMEOUT', message: 'queryA ETIMEOUT www.example' });
    expect(net.asked.map(({ server }) => server.slice(-1)).join('')).toBe('343434');
    net.asked.length = 0;
    await failureOf(net.dns.promises.resolve4('www.example'));
    expect(net.asked[0]?.server).toBe('10.0.0.4');
  });

  test('what they say when they cannot answer is the code', async () => {
    const net = await DnsNet.open();
    for (const [rcode, code] of [
      [1, 'EFORMERR'],
      [2, 'ESERVFAIL'],
      [3, 'ENOTFOUND'],
      [4, 'ENOTIMP'],
      [5, 'EREFUSED'],
      [9, 'ENODATA'],
      [0, 'ENODATA'],
    ] as const) {
      net.serve((_, bytes, reply) => reply(answerTo(bytes, [], { rcode })));
      const error = await failureOf(net.dns.promises.resolve4(`n${rcode}.example`));
      expect(error.code).toBe(code);
    }
    net.dns.setServers(['10.0.0.3:5399']);
    expect((await failureOf(net.dns.promises.resolve4('x.example'))).code).toBe('ECONNREFUSED');
    net.dns.setServers([]);
    expect((await failureOf(net.dns.promises.resolve4('x.example'))).code).toBe('ECONNREFUSED');
  });

  test('over IPv6, at another port, from a chosen address', async () => {
    const net = await DnsNet.open();
    await net.stack.addAddress('eth0', '10.0.0.20/24');
    net.serveZone(zone, 'fd00::3', 5353);
    net.serveZone(zone);
    const resolver = new net.dns.promises.Resolver();
    resolver.setServers(['[fd00::3]:5353']);
    expect(resolver.getServers()).toEqual(['[fd00::3]:5353']);
    expect(net.dns.getServers()).toEqual(['10.0.0.3']);
    await resolver.resolve4('www.example');
    expect(net.asked.at(-1)).toMatchObject({ server: 'fd00::3', from: 'fd00::2' });
    resolver.setServers(['10.0.0.3']);
    resolver.setLocalAddress('10.0.0.20');
    await resolver.resolve4('www.example');
    expect(net.asked.at(-1)).toMatchObject({ server: '10.0.0.3', from: '10.0.0.20' });
  });
});

describe('the cache', () => {
  test('keeps an answer for its time to live, and says what is left of it', async () => {
    const net = await DnsNet.open();
    net.serve(({ name, type }, bytes, reply) => {
      const ttl = name === 'short.example' ? 1 : name === 'none.example' ? 0 : 300;
      reply(answerTo(bytes, type === 'A' ? [{ type, name, ttl, data: '192.0.2.1' }] : []));
    });
    const { promises } = net.dns;
    for (let i = 0; i < 3; i += 1) await promises.resolve4('Long.example');
    await promises.resolve4('long.EXAMPLE.');
    expect(net.questions).toEqual(['A long.example']);
    for (let i = 0; i < 2; i += 1) await promises.resolve4('none.example');
    expect(net.questions).toHaveLength(3);
    await promises.resolve4('short.example');
    await sleep(1100);
    await promises.resolve4('short.example');
    expect(net.questions).toHaveLength(5);
    const [left] = await promises.resolve4('long.example', { ttl: true });
    expect(left?.ttl).toBeLessThan(300);
  });

  test('keeps that there is nothing as long as the SOA record says, and not without (RFC 2308 5)', async () => {
    const net = await DnsNet.open();
    net.serve(({ name }, bytes, reply) => {
      const authorities = name === 'bare.example' ? [] : [soa('example', 600, 300)];
      reply(answerTo(bytes, [], { rcode: name.startsWith('no') ? 3 : 0, authorities }));
    });
    const { promises } = net.dns;
    for (let i = 0; i < 2; i += 1) {
      expect((await failureOf(promises.resolve4('nobody.example'))).code).toBe('ENOTFOUND');
      expect((await failureOf(promises.resolve4('empty.example'))).code).toBe('ENODATA');
      expect((await failureOf(promises.resolve4('bare.example'))).code).toBe('ENODATA');
    }
    expect(net.questions.sort()).toEqual([
      'A bare.example',
      'A bare.example',
      'A empty.example',
      'A nobody.example',
    ]);
  });

  test('has no more entries than it may, and none when it is off, or of failures', async () => {
    const net = await DnsNet.open({ cache: { entries: 2 } });
    net.serveZone({
      'a.example': { A: ['192.0.2.1'] },
      'b.example': { A: ['192.0.2.1'] },
      'c.example': { A: ['192.0.2.1'] },
    });
    const { promises } = net.dns;
    for (const name of 'abcbca') await promises.resolve4(`${name}.example`);
    expect(net.questions.map((one) => one[2]).join('')).toBe('abca');
    net.dns.configure({ cache: false });
    for (const name of 'aa') await promises.resolve4(`${name}.example`);
    expect(net.questions).toHaveLength(6);
    net.dns.configure({ cache: {} });
    net.serve((_, bytes, reply) => reply(answerTo(bytes, [], { rcode: 2 })));
    for (const name of 'dd') await failureOf(promises.resolve4(`${name}.example`));
    expect(net.questions).toHaveLength(8);
  });

  test('a time to live with the highest bit set is none (RFC 2181 8)', async () => {
    const net = await DnsNet.open();
    net.serve(({ name, type }, bytes, reply) => {
      reply(answerTo(bytes, [{ type, name, ttl: 0x80000001, data: '192.0.2.1' }]));
    });
    for (let i = 0; i < 2; i += 1) await net.dns.promises.resolve4('www.example');
    expect(net.questions).toHaveLength(2);
  });
});

describe('many at once', () => {
  test('who asks the same at the same time shares one question', async () => {
    const net = await DnsNet.open({ cache: false });
    net.serveZone(zone);
    const all = await Promise.all(
      Array.from({ length: 20 }, () => net.dns.promises.resolve4('www.example')),
    );
    expect(new Set(all.map((one) => one.join())).size).toBe(1);
    expect(net.questions).toEqual(['A www.example']);
  });

  test('no more than 128 are under way, and all come to their end', async () => {
    const net = await DnsNet.open({ timeout: 120_000 });
    const waiting: (() => void)[] = [];
    net.serve(({ name, type }, bytes, reply) => {
      waiting.push(() => reply(answerTo(bytes, [{ type, name, ttl: 9, data: '192.0.2.1' }])));
    });
    const asked = Array.from({ length: 300 }, (_, i) => net.dns.promises.resolve4(`n${i}.example`));
    await until(() => waiting.length === 128, 60_000);
    await sleep(50);
    expect(waiting.length).toBe(128);
    let answered = 0;
    while (answered < 300) {
      await until(() => waiting.length > 0, 60_000);
      for (const answer of waiting.splice(0)) {
        answer();
        answered += 1;
      }
    }
    expect((await Promise.all(asked)).length).toBe(300);
  }, 150_000);

  test('of those that wait there is a bound, beyond which they fail at once with ENOMEM', async () => {
    const net = await DnsNet.open({ timeout: 120_000 });
    net.serve(() => {});
    const { promises } = net.dns;
    const warnings: Error[] = [];
    const warn = (warning: Error) => void warnings.push(warning);
    process.on('warning', warn);
    onTestFinished(() => void process.off('warning', warn));
    const codes: unknown[] = [];
    for (let i = 0; i < 128 + 4096 + 5; i += 1) {
      promises.resolve4(`n${i}.example`).catch(({ code }) => codes.push(code));
    }
    await until(() => codes.length === 5, 60_000);
    expect(new Set(codes)).toEqual(new Set(['ENOMEM']));
    await net.stack.close();
    await until(() => codes.length === 128 + 4096 + 5, 60_000);
    expect(new Set(codes)).toEqual(new Set(['ENOMEM', 'ECANCELLED']));
    // Such as that too many listen to one signal.
    expect(warnings).toEqual([]);
  }, 150_000);
});

describe('the end', () => {
  test('of a Resolver by cancel(): its questions fail, others go on, and it can ask again', async () => {
    const net = await DnsNet.open({ timeout: 120_000 });
    net.serve(() => {});
    const resolver = new net.dns.promises.Resolver();
    const failed = [failureOf(resolver.resolve4('a.example')), failureOf(resolver.resolveMx('b'))];
    const others = failureOf(net.dns.promises.resolve4('c.example'));
    await until(() => net.asked.length === 3);
    expect(() => resolver.setServers(['10.0.0.4'])).toThrow(
      expect.objectContaining({ code: 'ERR_DNS_SET_SERVERS_FAILED' }),
    );
    resolver.cancel();
    expect((await Promise.all(failed)).map(({ message }) => message)).toEqual([
      'queryA ECANCELLED a.example',
      'queryMx ECANCELLED b',
    ]);
    net.serveZone(zone);
    resolver.setServers(['10.0.0.3']);
    expect(await resolver.resolveNs('www.example')).toEqual(['ns.example']);
    await net.stack.close();
    expect((await others).code).toBe('ECANCELLED');
  });

  test('of the stack: what is asked fails at once, and what is asked later', async () => {
    const net = await DnsNet.open({ timeout: 600_000 });
    net.serve(() => {});
    const { dns } = net;
    const pending = [
      failureOf(dns.promises.resolve4('a.example')),
      failureOf(dns.promises.lookup('b.example')),
      failureOf(dns.promises.lookupService('192.0.2.1', 80)),
    ];
    await until(() => net.asked.length >= 4);
    await net.stack.close();
    const codes = (await Promise.all(pending)).map(({ code }) => code);
    expect(codes).toEqual(['ECANCELLED', 'EAI_CANCELED', 'EAI_CANCELED']);
    expect((await failureOf(dns.promises.resolve4('a.example'))).code).toBe('ECANCELLED');
    expect((await failureOf(net.dns.promises.lookup('a.example'))).code).toBe('EAI_CANCELED');
    expect(await dns.promises.lookup('192.0.2.1')).toEqual({ address: '192.0.2.1', family: 4 });
  });
});

test('random and broken answers end in an answer or an error, in time, and throw nowhere', async () => {
  const net = await DnsNet.open({ timeout: 40, attempts: 1, cache: false });
  let seed = 12345;
  const random = (below: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % below;
  };
  net.serve(({ name, type }, bytes, reply) => {
    const here = zone['www.example']?.[type] ?? [];
    const whole = answerTo(
      bytes,
      here.map((data) => ({ type, name, ttl: 9, data })),
    );
    const broken = Buffer.from(whole);
    const from = random(4) === 0 ? 2 : 12;
    for (let i = random(6); i >= 0; i -= 1) {
      broken[from + random(broken.length - from)] = random(256);
    }
    const length = random(3) === 0 ? random(broken.length) : broken.length;
    // The question stays right, mostly, so that what is behind it is read.
    if (random(4) > 0) bytes.copy(broken, 12, 12, 12 + bytes.indexOf(0, 12) - 12 + 5);
    reply(broken.subarray(0, length));
  });
  const types = [
    'A',
    'AAAA',
    'CAA',
    'MX',
    'NAPTR',
    'NS',
    'PTR',
    'SOA',
    'SRV',
    'TXT',
    'ANY',
    'TLSA',
  ];
  const outcomes = new Map<string, number>();
  for (let round = 0; round < 60; round += 1) {
    const asked = types.map((type) => net.dns.promises.resolve(`www.example`, type));
    for (const one of await Promise.allSettled(asked)) {
      const what = one.status === 'fulfilled' ? 'answer' : String(one.reason.code);
      outcomes.set(what, (outcomes.get(what) ?? 0) + 1);
    }
  }
  expect([...outcomes.keys()]).not.toContain('undefined');
  expect(outcomes.get('answer')).toBeGreaterThan(0);
  expect(outcomes.size).toBeGreaterThan(2);
});
