// SPDX-License-Identifier: MIT
//
// What a DHCPv6 server answers, in virtual time: messages in, messages out.

import { describe, expect, test } from 'vitest';
import { type Dhcpv6Lease, Dhcpv6Leases } from '../../../ts/services/dhcpv6-leases.js';
import {
  addressNumber6,
  addressOf6,
  addressOption,
  numbers,
  Dhcpv6Option as Option,
  option,
  parseDhcpv6,
  Dhcpv6Type as Type,
} from '../../../ts/services/dhcpv6-message.js';
import {
  checkDhcpv6Options,
  type Dhcpv6ServerOptions,
} from '../../../ts/services/dhcpv6-options.js';
import { Dhcpv6Protocol } from '../../../ts/services/dhcpv6-protocol.js';

const serverDuid = Buffer.from('00030001020000000001', 'hex');
const duid = (client: number) =>
  Buffer.concat([Buffer.of(0, 3, 0, 1, 2, 0, 0, 0), Buffer.of(client >> 8, client & 255)]);
const none = Buffer.alloc(0);
const ia = (iaid: number, ...addresses: string[]) =>
  option(
    Option.iaNa,
    Buffer.concat([numbers(iaid, 0, 0), ...addresses.map((one) => addressOption(one, 0, 0))]),
  );

interface Answer {
  type: number;
  /** By IAID: the address, its lifetimes, T1 and T2; the status of the association. */
  associations: Map<
    number,
    {
      address?: string;
      lifetimes?: [number, number];
      times: [number, number];
      status?: number;
      gone: string[];
    }
  >;
  status?: number;
  options: ReadonlyMap<number, Buffer>;
}

function inner(bytes: Buffer): [number, Buffer][] {
  const found: [number, Buffer][] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 4 + bytes.readUInt16BE(at + 2);
    found.push([bytes.readUInt16BE(at), bytes.subarray(at + 4, end)]);
    at = end;
  }
  return found;
}

function read(bytes: Buffer): Answer {
  const all = inner(bytes.subarray(4));
  const answer: Answer = {
    type: bytes[0] as number,
    associations: new Map(),
    options: new Map(all),
  };
  for (const [code, value] of all) {
    if (code === Option.status) answer.status = value.readUInt16BE(0);
    if (code !== Option.iaNa) continue;
    const one: NonNullable<ReturnType<Answer['associations']['get']>> = {
      times: [value.readUInt32BE(4), value.readUInt32BE(8)],
      gone: [],
    };
    for (const [kind, part] of inner(value.subarray(12))) {
      if (kind === Option.status) one.status = part.readUInt16BE(0);
      if (kind !== Option.iaAddress) continue;
      const address = addressOf6(BigInt(`0x${part.subarray(0, 16).toString('hex')}`));
      if (part.readUInt32BE(20) === 0) one.gone.push(address);
      else
        Object.assign(one, { address, lifetimes: [part.readUInt32BE(16), part.readUInt32BE(20)] });
    }
    answer.associations.set(value.readUInt32BE(0), one);
  }
  return answer;
}

class Bench {
  now = 1_700_000_000_000;
  readonly leases: Dhcpv6Leases;
  readonly protocol: Dhcpv6Protocol;
  readonly events: { name: string; lease: Dhcpv6Lease }[] = [];

  constructor(options: Dhcpv6ServerOptions = {}) {
    const own = [{ address: 'fd00::1', prefix: 64 }];
    const settings = checkDhcpv6Options(options, own, '02:00:00:00:00:01');
    this.leases = new Dhcpv6Leases(settings, () => ['fd00::1'], this.now);
    this.protocol = new Dhcpv6Protocol(settings, this.leases);
  }

  sendRaw(bytes: Buffer): Answer | null {
    const { reply, events } = this.protocol.receive(bytes, this.now);
    this.events.push(...events);
    if (reply === undefined) return null;
    expect(reply.subarray(1, 4)).toEqual(bytes.subarray(1, 4));
    return read(reply);
  }

  send(type: number, client: number, ...options: Buffer[]): Answer | null {
    const head = Buffer.of(type, 1, 2, client & 255);
    return this.sendRaw(Buffer.concat([head, option(Option.clientId, duid(client)), ...options]));
  }

  /** To this server. */
  tell(type: number, client: number, ...options: Buffer[]): Answer | null {
    return this.send(type, client, option(Option.serverId, serverDuid), ...options);
  }

  /** The four messages; the address. */
  lease(client: number, iaid = 1): string {
    const offered = this.send(Type.solicit, client, ia(iaid))?.associations.get(iaid)?.address;
    if (offered === undefined) return '';
    const reply = this.tell(Type.request, client, ia(iaid, offered));
    expect(reply?.associations.get(iaid)?.address).toBe(offered);
    return offered;
  }
}

describe('addresses (RFC 8415 18.3)', () => {
  test('SOLICIT, ADVERTISE, REQUEST, REPLY: an address of the pool, its lifetimes, T1 and T2', () => {
    const bench = new Bench({ leaseTime: 1000 });
    const advertise = bench.send(Type.solicit, 1, ia(7));
    expect(advertise?.type).toBe(Type.advertise);
    expect(advertise?.options.get(Option.clientId)).toEqual(duid(1));
    expect(advertise?.options.get(Option.serverId)).toEqual(serverDuid);
    const offered = advertise?.associations.get(7);
    expect(offered).toMatchObject({ lifetimes: [750, 1000], times: [375, 600] });
    expect(addressNumber6(offered?.address as string)).toBeGreaterThanOrEqual(
      addressNumber6('fd00::1000'),
    );
    expect(bench.leases.list(bench.now)).toEqual([]); // offered is not leased
    const address = bench.lease(1, 7);
    expect(address).toBe(offered?.address);
    expect(bench.leases.list(bench.now)).toEqual([
      {
        address,
        duid: duid(1).toString('hex'),
        iaid: 7,
        hostname: '',
        expires: bench.now + 1_000_000,
        reserved: false,
      },
    ]);
    expect(bench.events.map(({ name }) => name)).toEqual(['lease']);
  });

  test('rapid commit: two messages, where both want that (18.3.1)', () => {
    const rapid = option(Option.rapidCommit, none);
    const bench = new Bench();
    const reply = bench.send(Type.solicit, 1, ia(1), rapid);
    expect(reply?.type).toBe(Type.reply);
    expect(reply?.options.has(Option.rapidCommit)).toBe(true);
    expect(bench.leases.list(bench.now)).toHaveLength(1);
    const careful = new Bench({ rapidCommit: false });
    expect(careful.send(Type.solicit, 1, ia(1), rapid)?.type).toBe(Type.advertise);
    expect(careful.leases.list(careful.now)).toHaveLength(0);
  });

  test('each association has an address of its own, and the same one again', () => {
    const bench = new Bench();
    const all = [bench.lease(1, 1), bench.lease(1, 2), bench.lease(2, 1)];
    expect(new Set(all).size).toBe(3);
    expect(bench.lease(1, 2)).toBe(all[1]);
  });

  test('RENEW and REBIND go on with the lease; its end frees the address', () => {
    const bench = new Bench({ leaseTime: 100 });
    const address = bench.lease(1);
    bench.now += 60_000;
    expect(bench.tell(Type.renew, 1, ia(1, address))?.associations.get(1)?.address).toBe(address);
    bench.now += 60_000;
    expect(bench.send(Type.rebind, 1, ia(1, address))?.associations.get(1)?.address).toBe(address);
    expect(bench.events.map(({ name }) => name)).toEqual(['lease', 'renew', 'renew']);
    bench.now += 99_000;
    expect(bench.leases.expire(bench.now)).toEqual([]);
    bench.now += 1000;
    expect(bench.leases.expire(bench.now).map((one) => one.address)).toEqual([address]);
  });

  test('RENEW of what is not known: the address if it is free, else another one and the old one ends', () => {
    const bench = new Bench();
    const taken = bench.lease(1);
    expect(bench.tell(Type.renew, 2, ia(1, 'fd00::2222'))?.associations.get(1)?.address).toBe(
      'fd00::2222',
    );
    const other = bench.tell(Type.renew, 3, ia(1, taken))?.associations.get(1);
    expect(other?.address).not.toBe(taken);
    expect(other?.gone).toEqual([taken]);
    expect(bench.tell(Type.renew, 4, ia(1))?.associations.get(1)?.status).toBe(3); // NoBinding
    // Of another link: the client is to stop using it (18.3.4).
    expect(bench.send(Type.rebind, 5, ia(1, 'fd99::1'))?.associations.get(1)?.gone).toEqual([
      'fd99::1',
    ]);
    expect(bench.tell(Type.request, 5, ia(1, 'fd99::1'))?.associations.get(1)?.status).toBe(4);
  });

  test('CONFIRM: whether the addresses are of this link (18.3.3)', () => {
    const bench = new Bench();
    expect(bench.send(Type.confirm, 1, ia(1, 'fd00::7'))?.status).toBe(0);
    expect(bench.send(Type.confirm, 1, ia(1, 'fd00::7', 'fd99::7'))?.status).toBe(4);
    expect(bench.send(Type.confirm, 1, ia(1))).toBeNull();
  });

  test('RELEASE and DECLINE take the address back, from nobody but its owner', () => {
    const bench = new Bench({ range: ['fd00::50', 'fd00::50'] });
    const address = bench.lease(1);
    expect(bench.tell(Type.release, 2, ia(1, address))?.associations.get(1)?.status).toBe(3);
    expect(bench.leases.list(bench.now)).toHaveLength(1);
    expect(bench.tell(Type.release, 1, ia(1, address))?.status).toBe(0);
    expect(bench.leases.list(bench.now)).toHaveLength(0);
    expect(bench.lease(2)).toBe(address);
    bench.tell(Type.decline, 2, ia(1, address));
    expect(bench.send(Type.solicit, 2, ia(1))?.associations.get(1)?.status).toBe(2); // NoAddrsAvail
    bench.now += 600_000;
    expect(bench.lease(2)).toBe(address);
    expect(bench.events.map(({ name }) => name)).toEqual([
      'lease',
      'release',
      'lease',
      'decline',
      'lease',
    ]);
  });

  test('a pool that is empty says so; clients that never take their address keep nobody out', () => {
    const bench = new Bench({ range: ['fd00::50', 'fd00::51'] });
    bench.send(Type.solicit, 1, ia(1));
    bench.send(Type.solicit, 2, ia(1));
    expect(bench.lease(3)).not.toBe('');
    expect(bench.lease(4)).not.toBe('');
    expect(bench.lease(5)).toBe('');
    expect(bench.protocol.counters.exhausted).toBeGreaterThan(0);
    const small = new Bench({ maxLeases: 2 });
    expect([1, 2, 3].map((client) => small.lease(client)).filter((one) => one === '')).toHaveLength(
      1,
    );
  });

  test('reservations by DUID, leases of an earlier run, names of clients (RFC 4704)', () => {
    const reservations = [{ duid: duid(9), address: 'fd00:0::9', hostname: 'printer' }];
    const bench = new Bench({ reservations });
    expect(bench.lease(9)).toBe('fd00::9');
    expect(bench.leases.list(bench.now)[0]).toMatchObject({ hostname: 'printer', reserved: true });
    const asked = bench.tell(Type.request, 1, ia(1, 'fd00::9'))?.associations.get(1);
    expect(asked?.address).not.toBe('fd00::9');
    const fqdn = (name: string) =>
      option(
        Option.fqdn,
        Buffer.concat([Buffer.of(0, name.length), Buffer.from(name), Buffer.of(0)]),
      );
    bench.send(Type.solicit, 2, ia(1), option(Option.rapidCommit, none), fqdn('Guest'));
    bench.send(Type.solicit, 3, ia(1), option(Option.rapidCommit, none), fqdn('guest'));
    const names = bench.leases.list(bench.now).map(({ hostname }) => hostname);
    expect(names.sort()).toEqual(['', '', 'guest', 'printer']);
    const strange = [
      null,
      { address: 'x' },
      { ...bench.leases.list(bench.now)[1], expires: 1 },
    ] as Dhcpv6Lease[];
    const again = new Bench({
      reservations,
      leases: [...bench.leases.list(bench.now), ...strange],
    });
    expect(again.leases.list(again.now)).toEqual(bench.leases.list(bench.now));
  });

  test('prefixes and temporary addresses are not given, and that is said', () => {
    const bench = new Bench();
    const delegated = option(Option.iaPd, numbers(5, 0, 0));
    const reply = bench.send(Type.solicit, 1, ia(1), delegated);
    const pd = reply?.options.get(Option.iaPd);
    expect(inner(pd?.subarray(12) as Buffer)[0]?.[1].readUInt16BE(0)).toBe(6); // NoPrefixAvail
  });
});

describe('settings', () => {
  const options: Dhcpv6ServerOptions = { dns: ['fd00::1'], search: ['lan.example', 'example'] };

  test('INFORMATION-REQUEST: settings without a lease, those that are asked for (RFC 3646)', () => {
    const bench = new Bench({ ...options, range: false });
    const reply = bench.send(Type.informationRequest, 1);
    expect(reply?.type).toBe(Type.reply);
    expect(reply?.options.get(Option.dns)?.toString('hex')).toBe(
      'fd000000000000000000000000000001',
    );
    expect(reply?.options.get(Option.domains)?.toString('latin1')).toBe(
      '\x03lan\x07example\0\x07example\0',
    );
    expect(reply?.options.get(Option.refreshTime)?.readUInt32BE()).toBe(86_400);
    const little = bench.send(
      Type.informationRequest,
      1,
      option(Option.requested, Buffer.of(0, 24)),
    );
    expect(little?.options.has(Option.dns)).toBe(false);
    expect(little?.options.has(Option.domains)).toBe(true);
    // Without a client identifier too (18.2.6), and not with an association (16.12).
    expect(bench.sendRaw(Buffer.of(Type.informationRequest, 1, 2, 3))?.type).toBe(Type.reply);
    expect(bench.send(Type.informationRequest, 1, ia(1))).toBeNull();
    expect(bench.send(Type.solicit, 1, ia(1))?.associations.get(1)?.status).toBe(2);
  });
});

describe('[L10] what is not for us', () => {
  test('another server, no identifiers, too many, replies, relays', () => {
    const bench = new Bench();
    const other = option(Option.serverId, Buffer.from('000300010200000000ff', 'hex'));
    expect(bench.send(Type.request, 1, other, ia(1))).toBeNull();
    expect(bench.protocol.counters.ignored).toBe(1);
    expect(bench.send(Type.request, 1, ia(1))).toBeNull(); // no server
    expect(bench.tell(Type.solicit, 1, ia(1))).toBeNull(); // a server
    expect(bench.sendRaw(Buffer.of(Type.solicit, 1, 2, 3))).toBeNull(); // no client
    expect(bench.send(Type.reply, 1)).toBeNull();
    expect(bench.send(Type.advertise, 1)).toBeNull();
    expect(bench.send(99, 1)).toBeNull();
    expect(bench.sendRaw(Buffer.of(1, 2))).toBeNull();
    expect(bench.protocol.counters.malformed).toBe(7);
    expect(
      bench.sendRaw(Buffer.concat([Buffer.of(Type.relayForward), Buffer.alloc(40)])),
    ).toBeNull();
    expect(bench.protocol.counters.relayed).toBe(1);
  });

  test('options that run past the end, and associations and addresses that are too short', () => {
    const client = option(Option.clientId, duid(1));
    const bad = [
      Buffer.of(0, 3, 0, 200, 1),
      Buffer.of(0, 3, 0),
      option(Option.iaNa, Buffer.alloc(11)),
      option(
        Option.iaNa,
        Buffer.concat([numbers(1, 0, 0), option(Option.iaAddress, Buffer.alloc(23))]),
      ),
      option(Option.iaNa, Buffer.concat([numbers(1, 0, 0), Buffer.of(0, 5, 0, 99)])),
      option(Option.iaPd, Buffer.alloc(3)),
      option(Option.serverId, Buffer.alloc(2)),
      option(Option.serverId, Buffer.alloc(131)),
    ];
    for (const one of bad) {
      expect(parseDhcpv6(Buffer.concat([Buffer.of(1, 1, 2, 3), client, one]))).toBeNull();
    }
  });

  test('a thousand associations get no more than eight', () => {
    const bench = new Bench();
    const many = Array.from({ length: 1000 }, (_, i) => ia(i));
    expect(bench.send(Type.solicit, 1, ...many)?.associations.size).toBe(8);
  });

  test('whatever bytes come, nothing is thrown, and the next good message is answered', () => {
    let seed = 4711;
    const random = () => {
      seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
      return seed >> 8;
    };
    const bench = new Bench({
      dns: ['fd00::1'],
      reservations: [{ duid: duid(9), address: 'fd00::9' }],
    });
    for (let i = 0; i < 20_000; i += 1) {
      const type = 1 + (random() % 12);
      const address = addressOf6(addressNumber6('fd00::1000') + BigInt(random() % 100));
      const parts = [option(Option.clientId, duid(random() % 50)), ia(random() % 3, address)];
      if (random() % 2 === 0) parts.push(option(Option.serverId, serverDuid));
      const bytes = Buffer.concat([Buffer.of(type, 1, 2, 3), ...parts]);
      for (let flips = random() % 5; flips > 0; flips -= 1)
        bytes[random() % bytes.length] = random() & 255;
      bench.protocol.receive(
        bytes.subarray(0, random() % 4 === 0 ? random() % bytes.length : bytes.length),
        bench.now,
      );
    }
    expect(bench.leases.list(bench.now).length).toBeLessThanOrEqual(4096);
    expect(bench.lease(9)).toBe('fd00::9');
  });
});

test('options that cannot be are refused, each by its name', () => {
  const own = [{ address: 'fd00::1', prefix: 64 }];
  const refused = (options: unknown, part: RegExp, addresses = own) =>
    expect(() => checkDhcpv6Options(options, addresses, '02:00:00:00:00:01')).toThrow(part);
  refused({}, /options\.link/, []);
  refused({}, /options\.range/, [{ address: 'fd00::1', prefix: 120 }]);
  refused({ range: ['fd00::9', 'fd00::8'] }, /options\.range/);
  refused({ range: ['fd01::8', 'fd01::9'] }, /options\.range/);
  refused({ range: ['10.0.0.1', '10.0.0.2'] }, /options\.range\[0\]/);
  refused({ leaseTime: 5 }, /options\.leaseTime/);
  refused({ dns: ['10.0.0.1'] }, /options\.dns\[0\]/);
  refused({ duid: 'xyz' }, /options\.duid/);
  refused({ reservations: [{ duid: 'aabb', address: 'fd99::1' }] }, /prefix/);
  const one = { duid: 'aabb', address: 'fd00::5' };
  refused({ reservations: [one, one] }, /another reservation/);
  expect(checkDhcpv6Options({ range: false }, [], '02:00:00:00:00:01').range).toBeNull();
});

test('an option that is misspelt is named, with those that there are; every one that there is may be given', () => {
  const check = (options: object) =>
    checkDhcpv6Options(options, [{ address: 'fd00::1', prefix: 64 }], '02:00:00:00:00:01');
  expect(() => check({ rnage: false })).toThrow(
    expect.objectContaining({
      code: 'ERR_INVALID_ARG_VALUE',
      message: expect.stringMatching(/'options\.rnage' is not known: there are link, range, /),
    }),
  );
  const one = { duid: 'aabb', address: 'fd00::5', hostname: 'printer' };
  expect(() => check({ reservations: [{ ...one, mac: '02:00:00:00:00:07' }] })).toThrow(
    /'options\.reservations\[0\]\.mac' is not known: there are duid, address, hostname/,
  );
  const all: Required<Dhcpv6ServerOptions> = {
    ...{ link: 'eth0', range: ['fd00::10', 'fd00::20'], leaseTime: 600, reservations: [one] },
    ...{ dns: ['fd00::1'], domain: 'lan', search: ['lan'], rapidCommit: false, duid: '0102' },
    ...{ maxLeases: 7, leases: [] },
  };
  expect(check(all).maxLeases).toBe(7);
});
