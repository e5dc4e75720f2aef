// SPDX-License-Identifier: MIT
//
// What a DHCP server answers, in virtual time: messages in, messages out.

import { describe, expect, test } from 'vitest';
import { Stack } from 'vpollnet';
import { type DhcpLease, DhcpLeases } from '../../../ts/services/dhcp-leases.js';
import { DhcpOption, parseDhcp } from '../../../ts/services/dhcp-message.js';
import { checkDhcpOptions, type DhcpServerOptions } from '../../../ts/services/dhcp-options.js';
import { DhcpProtocol } from '../../../ts/services/dhcp-protocol.js';
import { freshCable } from '../support.js';

const serverAddress = '10.0.0.1';
const ipv4 = (address: string) => Buffer.from(address.split('.').map(Number));

interface Request {
  type?: number;
  mac?: number;
  xid?: number;
  ciaddr?: string;
  giaddr?: string;
  flags?: number;
  options?: Record<number, Uint8Array | string>;
}

/** A client's message, by hand. */
function message({ type, mac = 1, xid = 7, ciaddr, giaddr, flags = 0, options = {} }: Request) {
  const header = Buffer.alloc(240);
  header.set([1, 1, 6]);
  header.writeUInt32BE(xid, 4);
  header.writeUInt16BE(flags, 10);
  if (ciaddr) ipv4(ciaddr).copy(header, 12);
  if (giaddr) ipv4(giaddr).copy(header, 24);
  header.set([2, 0, 0, 0, mac >> 8, mac & 0xff], 28);
  header.writeUInt32BE(0x63825363, 236);
  const parts = [header];
  if (type !== undefined) parts.push(Buffer.of(53, 1, type));
  for (const [code, value] of Object.entries(options)) {
    const bytes = Buffer.from(value as Uint8Array);
    parts.push(Buffer.of(Number(code), bytes.length), bytes);
  }
  return Buffer.concat([...parts, Buffer.of(255)]);
}

interface Answer {
  type: number;
  xid: number;
  yiaddr: string;
  ciaddr: string;
  to: string;
  options: Map<number, Buffer>;
  size: number;
}

/** A server with a clock; each call is a message and what came of it. */
class Bench {
  now = 1_700_000_000_000;
  readonly protocol: DhcpProtocol;
  readonly leases: DhcpLeases;
  readonly events: { name: string; lease: DhcpLease }[] = [];

  constructor(options: DhcpServerOptions = {}, own = [serverAddress], prefix = 24) {
    const settings = checkDhcpOptions(
      options,
      own.map((address) => ({ address, prefix })),
    );
    this.leases = new DhcpLeases(settings, () => own, this.now);
    this.protocol = new DhcpProtocol(settings, this.leases);
  }

  send(request: Request | Buffer): Answer | null {
    const bytes = Buffer.isBuffer(request) ? request : message(request);
    const { reply, to, event } = this.protocol.receive(bytes, this.now);
    if (event !== undefined) this.events.push(event);
    if (reply === undefined) return null;
    // The parser reads what clients send: a reply differs in its first byte alone.
    expect(reply[0]).toBe(2);
    const twin = Buffer.from(reply);
    twin[0] = 1;
    const parsed = parseDhcp(twin);
    expect(parsed).not.toBeNull();
    return {
      type: parsed?.options.get(53)?.[0] ?? 0,
      xid: parsed?.xid ?? 0,
      yiaddr: parsed?.yourAddress ?? '',
      ciaddr: parsed?.clientAddress ?? '',
      to: to ?? '',
      options: new Map(parsed?.options),
      size: reply.length,
    };
  }

  discover(mac = 1, options: Record<number, Uint8Array | string> = {}): Answer | null {
    return this.send({ type: 1, mac, options });
  }

  /** The four messages; the address. */
  lease(mac = 1, options: Record<number, Uint8Array | string> = {}): string {
    const offer = this.discover(mac, options);
    if (offer === null) return '';
    const wanted = { 50: ipv4(offer.yiaddr), 54: ipv4(serverAddress), ...options };
    const ack = this.send({ type: 3, mac, options: wanted });
    expect(ack?.type).toBe(5);
    expect(ack?.yiaddr).toBe(offer.yiaddr);
    return offer.yiaddr;
  }
}

describe('leases (RFC 2131)', () => {
  test('DISCOVER, OFFER, REQUEST, ACK: an address of the pool, with times and the transaction', () => {
    const bench = new Bench({ range: ['10.0.0.50', '10.0.0.60'], leaseTime: 600 });
    const offer = bench.send({ type: 1, xid: 0xdeadbeef });
    expect(offer).toMatchObject({ type: 2, xid: 0xdeadbeef, to: '255.255.255.255' });
    expect(offer?.yiaddr).toMatch(/^10\.0\.0\.(5\d|60)$/);
    expect(offer?.options.get(DhcpOption.server)).toEqual(ipv4(serverAddress));
    expect(offer?.options.get(DhcpOption.leaseTime)?.readUInt32BE()).toBe(600);
    expect(offer?.options.get(DhcpOption.renewal)?.readUInt32BE()).toBe(300);
    expect(offer?.options.get(DhcpOption.rebinding)?.readUInt32BE()).toBe(525);
    expect(offer?.options.get(DhcpOption.subnetMask)).toEqual(ipv4('255.255.255.0'));
    expect(bench.leases.list(bench.now)).toEqual([]); // offered is not leased
    const address = bench.lease();
    expect(address).toBe(offer?.yiaddr);
    expect(bench.leases.list(bench.now)).toEqual([
      {
        address,
        mac: '02:00:00:00:00:01',
        clientId: '',
        hostname: '',
        expires: bench.now + 600_000,
        reserved: false,
      },
    ]);
    expect(bench.events.map(({ name }) => name)).toEqual(['lease']);
  });

  test('each client gets its own, the same one again, and what it asks for if that is free', () => {
    const bench = new Bench();
    const first = bench.lease(1);
    const second = bench.lease(2);
    expect(second).not.toBe(first);
    expect(bench.lease(1)).toBe(first);
    expect(bench.discover(3, { 50: ipv4('10.0.0.77') })?.yiaddr).toBe('10.0.0.77');
    expect(bench.discover(4, { 50: ipv4(first) })?.yiaddr).not.toBe(first);
    expect(bench.discover(5, { 50: ipv4('10.9.9.9') })?.yiaddr).toMatch(/^10\.0\.0\./);
  });

  test('the server, the network, its broadcast and addresses of the stack are given to nobody', () => {
    const bench = new Bench({}, [serverAddress, '10.0.0.3'], 29);
    const got = new Set([1, 2, 3, 4, 5, 6, 7, 8].map((mac) => bench.lease(mac)));
    got.delete('');
    expect([...got].sort()).toEqual(['10.0.0.2', '10.0.0.4', '10.0.0.5', '10.0.0.6']);
    expect(bench.protocol.counters.exhausted).toBe(4);
  });

  test('an offer that nobody takes ends after 30 s, and the oldest makes way when none is left', () => {
    const bench = new Bench({ range: ['10.0.0.50', '10.0.0.51'] });
    bench.discover(1);
    bench.now += 1000;
    bench.discover(2);
    bench.now += 1000;
    expect(bench.discover(3)).not.toBeNull();
    bench.now += 30_000;
    expect(bench.leases.expire(bench.now)).toEqual([]); // offers are no leases
    expect(bench.leases.nextExpiry()).toBe(Number.POSITIVE_INFINITY);
    expect(bench.lease(4)).not.toBe('');
    expect(bench.lease(5)).not.toBe('');
    // What is leased does not make way.
    expect(bench.discover(6)).toBeNull();
  });

  test('renewing and rebinding go on with the lease; its end frees the address', () => {
    const bench = new Bench({ leaseTime: 100 });
    const address = bench.lease();
    bench.now += 60_000;
    const renewed = bench.send({ type: 3, ciaddr: address });
    expect(renewed).toMatchObject({ type: 5, yiaddr: address, ciaddr: address, to: address });
    expect(bench.events.at(-1)?.name).toBe('renew');
    bench.now += 60_000;
    expect(bench.leases.expire(bench.now)).toEqual([]);
    expect(bench.leases.nextExpiry()).toBe(bench.now + 40_000);
    bench.now += 40_000;
    expect(bench.leases.list(bench.now)).toEqual([]);
    expect(bench.leases.expire(bench.now).map((lease) => lease.address)).toEqual([address]);
    expect(bench.leases.nextExpiry()).toBe(Number.POSITIVE_INFINITY);
  });

  test('INIT-REBOOT: ACK for its own address, NAK for another, NAK from another network', () => {
    const bench = new Bench();
    const address = bench.lease(1);
    const taken = bench.lease(2);
    const reboot = (wanted: string, mac = 1) =>
      bench.send({ type: 3, mac, options: { 50: ipv4(wanted) } });
    expect(reboot(address)).toMatchObject({ type: 5, yiaddr: address });
    expect(reboot(taken)).toMatchObject({ type: 6, yiaddr: '0.0.0.0', to: '255.255.255.255' });
    const refused = reboot('192.168.7.7');
    expect(refused?.type).toBe(6);
    expect(refused?.options.get(DhcpOption.server)).toEqual(ipv4(serverAddress));
    expect(refused?.options.has(DhcpOption.leaseTime)).toBe(false);
  });

  test('of a client that it does not know: the address if it is free; no answer unless authoritative', () => {
    const reboot: Request = { type: 3, mac: 9, options: { 50: ipv4('10.0.0.44') } };
    expect(new Bench().send(reboot)).toMatchObject({ type: 5, yiaddr: '10.0.0.44' });
    expect(new Bench({ authoritative: false }).send(reboot)).toBeNull();
    // That of another network is refused by either (RFC 2131 4.3.2).
    const wrong: Request = { type: 3, mac: 9, options: { 50: ipv4('172.16.0.1') } };
    expect(new Bench({ authoritative: false }).send(wrong)?.type).toBe(6);
  });

  test("a request for another server's offer frees ours, without an answer", () => {
    const bench = new Bench({ range: ['10.0.0.50', '10.0.0.50'] });
    bench.discover(1);
    const other = { 50: ipv4('10.0.0.50'), 54: ipv4('10.0.0.9') };
    expect(bench.send({ type: 3, options: other })).toBeNull();
    expect(bench.lease(2)).toBe('10.0.0.50');
  });

  test('RELEASE gives the address back; that of somebody else does nothing', () => {
    const bench = new Bench();
    const address = bench.lease(1);
    const server = { 54: ipv4(serverAddress) };
    expect(bench.send({ type: 7, mac: 2, ciaddr: address, options: server })).toBeNull();
    expect(bench.leases.list(bench.now)).toHaveLength(1);
    expect(bench.send({ type: 7, mac: 1, ciaddr: address, options: server })).toBeNull();
    expect(bench.leases.list(bench.now)).toHaveLength(0);
    expect(bench.events.at(-1)?.name).toBe('release');
    expect(bench.protocol.counters.ignored).toBe(1);
  });

  test('DECLINE leaves the address alone for ten minutes (RFC 2131 4.3.3)', () => {
    const bench = new Bench({ range: ['10.0.0.50', '10.0.0.50'] });
    const address = bench.lease(1);
    const what = { 50: ipv4(address), 54: ipv4(serverAddress) };
    bench.send({ type: 4, mac: 2, options: what }); // not its own
    expect(bench.leases.list(bench.now)).toHaveLength(1);
    bench.send({ type: 4, mac: 1, options: what });
    expect(bench.events.at(-1)?.name).toBe('decline');
    expect(bench.discover(1)).toBeNull();
    bench.now += 600_000;
    expect(bench.discover(1)?.yiaddr).toBe(address);
  });

  test('INFORM gets settings and no lease (RFC 2131 4.3.5)', () => {
    const bench = new Bench({ dns: '10.0.0.1' });
    const ack = bench.send({ type: 8, ciaddr: '10.0.0.200' });
    expect(ack).toMatchObject({ type: 5, yiaddr: '0.0.0.0', to: '10.0.0.200' });
    expect(ack?.options.get(DhcpOption.dns)).toEqual(ipv4('10.0.0.1'));
    expect(ack?.options.has(DhcpOption.leaseTime)).toBe(false);
    expect(bench.send({ type: 8, ciaddr: '192.168.1.1' })).toBeNull();
    expect(bench.leases.list(bench.now)).toEqual([]);
  });

  test('what a relay sends is counted and not answered', () => {
    const bench = new Bench();
    expect(bench.send({ type: 1, giaddr: '10.5.0.1' })).toBeNull();
    expect(bench.protocol.counters.relayed).toBe(1);
  });

  test('the table holds no more than maxLeases', () => {
    const bench = new Bench({ maxLeases: 10 }, [serverAddress], 16);
    for (let mac = 1; mac <= 10; mac += 1) expect(bench.lease(mac)).not.toBe('');
    expect(bench.discover(11)).toBeNull();
    bench.now += 3_600_000;
    expect(bench.lease(11)).not.toBe('');
  });
});

describe('reservations and names', () => {
  const options: DhcpServerOptions = {
    range: ['10.0.0.50', '10.0.0.60'],
    reservations: [
      { mac: '02:00:00:00:00:07', address: '10.0.0.7', hostname: 'printer' },
      { clientId: 'ff:00:11', address: '10.0.0.55' },
    ],
  };

  test('by MAC and by client identifier, also outside of the range, with the name', () => {
    const bench = new Bench(options);
    const offer = bench.discover(7);
    expect(offer?.yiaddr).toBe('10.0.0.7');
    expect(offer?.options.get(DhcpOption.hostName)?.toString()).toBe('printer');
    // By MAC though it has an identifier.
    expect(bench.discover(7, { 61: Buffer.from('0102', 'hex') })?.yiaddr).toBe('10.0.0.7');
    expect(bench.lease(20, { 61: Buffer.from('ff0011', 'hex') })).toBe('10.0.0.55');
  });

  test('nobody else gets a reserved address, nor its owner another one', () => {
    const bench = new Bench(options);
    const got = new Set(Array.from({ length: 11 }, (_, i) => bench.lease(100 + i)));
    expect(got).not.toContain('10.0.0.55');
    expect(bench.send({ type: 3, mac: 30, options: { 50: ipv4('10.0.0.7') } })?.type).toBe(6);
    expect(bench.send({ type: 3, mac: 7, options: { 50: ipv4('10.0.0.50') } })?.type).toBe(6);
  });

  test('a client is called what it says, unless somebody is called so, or it is no name', () => {
    const bench = new Bench(options);
    const nameOf = (mac: number, name: string) => {
      const address = bench.lease(mac, { 12: Buffer.from(name) });
      return bench.leases.list(bench.now).find((lease) => lease.address === address)?.hostname;
    };
    expect(nameOf(1, 'Guest-1')).toBe('guest-1');
    expect(nameOf(1, 'Guest-1\0')).toBe('guest-1');
    expect(nameOf(2, 'guest-1')).toBe('');
    expect(nameOf(3, 'printer')).toBe('');
    for (const bad of ['a.b', '-x', 'x-', 'a b', '', 'x'.repeat(64), 'é']) {
      expect(nameOf(4, bad)).toBe('');
    }
  });

  test('leases of an earlier run go on; those that do not fit are left out', () => {
    const before = new Bench({ range: ['10.0.0.50', '10.0.0.60'] });
    const address = before.lease(1, { 61: Buffer.from('01020304', 'hex'), 12: Buffer.from('web') });
    const leases = before.leases.list(before.now);
    const strange = [
      { ...leases[0], address: '10.0.0.200', clientId: 'aa' },
      { ...leases[0], address: '10.0.0.51', clientId: 'bb', expires: before.now - 1 },
      { ...leases[0], address: 7 },
      null,
    ] as DhcpLease[];
    const after = new Bench({ range: ['10.0.0.50', '10.0.0.60'], leases: [...leases, ...strange] });
    expect(after.leases.list(after.now)).toEqual(leases);
    expect(after.discover(2, { 50: ipv4(address) })?.yiaddr).not.toBe(address);
    expect(after.lease(1, { 61: Buffer.from('01020304', 'hex') })).toBe(address);
  });
});

describe('what clients are told', () => {
  const all: DhcpServerOptions = {
    router: '10.0.0.1',
    dns: ['10.0.0.1', '10.0.0.2'],
    domain: 'lan.example',
    search: ['lan.example', 'example'],
    mtu: 1400,
    ntp: '10.0.0.3',
    routes: [
      { destination: '10.9.0.0/16', gateway: '10.0.0.9' },
      { destination: '192.168.7.128/25', gateway: '0.0.0.0' },
    ],
    options: { 252: Buffer.from('http://10.0.0.1/wpad') },
  };

  test('each option in its form; what was not asked for is left out, but for the usual ones', () => {
    const asked = Buffer.of(3, 6, 15, 26, 28, 42, 119, 121);
    const offer = new Bench(all).discover(1, { 55: asked });
    const hex = (code: number) => offer?.options.get(code)?.toString('hex');
    expect(hex(3)).toBe('0a000001');
    expect(hex(6)).toBe('0a0000010a000002');
    expect(offer?.options.get(15)?.toString()).toBe('lan.example');
    expect(hex(26)).toBe('0578');
    expect(hex(28)).toBe('0a0000ff');
    expect(hex(42)).toBe('0a000003');
    // RFC 3397 2, without compression.
    expect(hex(119)).toBe('036c616e076578616d706c6500076578616d706c6500');
    // RFC 3442: the default route is among them.
    expect(hex(121)).toBe('100a090a000009' + '19c0a8078000000000' + '000a000001');
    expect(offer?.options.get(252)?.toString()).toBe('http://10.0.0.1/wpad');
    const little = new Bench(all).discover(1, { 55: Buffer.of(1) });
    expect([...(little?.options.keys() ?? [])].sort((a, b) => a - b)).toEqual([
      1, 3, 6, 51, 53, 54, 58, 59, 252,
    ]);
  });

  test("the client's identifier comes back, in a refusal too (RFC 6842)", () => {
    const id = Buffer.from('ff00010203', 'hex');
    const bench = new Bench();
    expect(bench.discover(1, { 61: id })?.options.get(61)).toEqual(id);
    const wrong = { 50: ipv4('172.16.0.1'), 61: id };
    expect(bench.send({ type: 3, options: wrong })?.options.get(61)).toEqual(id);
  });

  test('an answer is as long as BOOTP, and no longer than the client takes', () => {
    expect(new Bench().discover()?.size).toBe(300);
    const big = {
      options: { 200: Buffer.alloc(200), 201: Buffer.alloc(200), 202: Buffer.alloc(600) },
    };
    const usual = new Bench(big).discover();
    expect(usual?.size).toBeLessThanOrEqual(548);
    expect(usual?.options.has(200)).toBe(true);
    expect(usual?.options.has(202)).toBe(false);
    const more = new Bench(big).discover(1, { 57: Buffer.of(0x05, 0xdc) });
    expect(more?.options.get(202)?.length).toBe(600); // in three parts (RFC 3396)
    expect(new Bench(big).discover(1, { 57: Buffer.of(0, 1) })?.size).toBeLessThanOrEqual(548);
  });

  test('a lease without end has no times to renew', () => {
    const offer = new Bench({ leaseTime: Number.POSITIVE_INFINITY }).discover();
    expect(offer?.options.get(51)?.readUInt32BE()).toBe(0xffffffff);
    expect(offer?.options.has(58)).toBe(false);
  });
});

describe('[L10] malformed messages', () => {
  const good = message({ type: 1, options: { 12: Buffer.from('name'), 55: Buffer.of(1, 3, 6) } });

  test('too short, no cookie, no type, a reply, no hardware address, an option past the end', () => {
    const bench = new Bench();
    const broken = (change: (bytes: Buffer) => void) => {
      const bytes = Buffer.from(good);
      change(bytes);
      return bytes;
    };
    const all = [
      Buffer.alloc(0),
      good.subarray(0, 239),
      broken((bytes) => bytes.writeUInt32BE(0, 236)),
      broken((bytes) => bytes.writeUInt8(2, 0)),
      broken((bytes) => bytes.writeUInt8(0, 2)),
      broken((bytes) => bytes.writeUInt8(17, 2)),
      broken((bytes) => bytes.writeUInt8(200, bytes.length - 5)), // the last option's length
      message({}),
      message({ options: { 53: Buffer.of(1, 1) } }),
      message({ type: 0 }),
      message({ type: 99 }),
      message({ type: 2 }),
    ];
    for (const bytes of all) expect(bench.send(bytes)).toBeNull();
    expect(bench.protocol.counters.malformed).toBe(all.length);
  });

  test('options in file and sname are read once, however they point at each other (option 52)', () => {
    const bytes = message({ type: 1, options: { 52: Buffer.of(3) } });
    bytes.set([52, 1, 3, 12, 3, 0x77, 0x65, 0x62, 255], 108); // file: again an overload, and a name
    bytes.set([52, 1, 1, 255], 44);
    const parsed = parseDhcp(bytes);
    expect(parsed?.options.get(12)?.toString()).toBe('web');
    bytes.set([12, 200], 44); // past the end of sname
    expect(parseDhcp(bytes)).toBeNull();
  });

  test('the parts of an option that comes several times belong together (RFC 3396)', () => {
    const bytes = Buffer.concat([
      message({ type: 1 }).subarray(0, -1),
      Buffer.of(12, 2, 0x61, 0x62, 0, 12, 1, 0x63, 255),
    ]);
    expect(parseDhcp(bytes)?.options.get(12)?.toString()).toBe('abc');
  });

  test('whatever bytes come, nothing is thrown, and the next good message is answered', () => {
    let seed = 12345;
    const random = () => {
      seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
      return seed;
    };
    const bench = new Bench({ reservations: [{ mac: '02:00:00:00:00:07', address: '10.0.0.7' }] });
    for (let i = 0; i < 20_000; i += 1) {
      const bytes = Buffer.from(
        message({
          type: 1 + (random() % 8),
          mac: random() % 500,
          options: {
            12: Buffer.from('x'),
            50: ipv4(`10.0.0.${random() % 256}`),
            61: Buffer.alloc(random() % 9),
          },
        }),
      );
      for (let flips = random() % 8; flips > 0; flips -= 1) {
        bytes[random() % bytes.length] = random() & 0xff;
      }
      bench.send(bytes.subarray(0, random() % 4 === 0 ? random() % bytes.length : bytes.length));
    }
    expect(bench.leases.list(bench.now).length).toBeLessThanOrEqual(254);
    bench.now += 3_700_000;
    bench.leases.expire(bench.now);
    expect(bench.lease(7)).toBe('10.0.0.7');
  });
});

test('options that cannot be are refused, each by its name', () => {
  const own = [{ address: serverAddress, prefix: 24 }];
  const refused = (options: unknown, part: RegExp) =>
    expect(() => checkDhcpOptions(options, own)).toThrow(part);
  refused({ address: '10.0.0.2' }, /options\.address/);
  refused({ range: ['10.0.0.9', '10.0.0.8'] }, /options\.range/);
  refused({ range: ['10.0.0.9', '10.0.1.8'] }, /options\.range/);
  refused({ range: ['fd00::1', 'fd00::2'] }, /options\.range\[0\]/);
  refused({ leaseTime: 59 }, /options\.leaseTime/);
  refused({ router: 'gw' }, /options\.router/);
  refused({ domain: 'a..b' }, /options\.domain/);
  refused({ search: [''] }, /options\.search\[0\]/);
  refused({ mtu: 20 }, /options\.mtu/);
  refused({ routes: [{ destination: 'fd00::/8', gateway: '10.0.0.1' }] }, /routes\[0\]/);
  refused({ options: { 53: Buffer.of(1) } }, /options\[53\]/);
  refused({ options: { 300: Buffer.of(1) } }, /options\['300'\]/);
  refused({ options: { 60: 'text' } }, /options\[60\]/);
  const one = { mac: '02:00:00:00:00:07', address: '10.0.0.7' };
  refused({ reservations: [one, one] }, /another reservation/);
  refused({ reservations: [{ address: '10.0.0.7' }] }, /one of mac and clientId/);
  refused({ reservations: [{ ...one, address: '10.1.0.7' }] }, /subnet/);
  refused({ reservations: [{ ...one, hostname: 'a.b' }] }, /hostname/);
  expect(() => checkDhcpOptions({}, [])).toThrow(/no IPv4 address/);
});

describe('an option that is misspelt is named, with those that there are', () => {
  const one = { mac: '02:00:00:00:00:07', address: '10.0.0.7' };
  const route = { destination: '10.9.0.0/16', gateway: '10.0.0.9' };
  test.each<[object, RegExp]>([
    [
      { rnage: ['10.0.0.5', '10.0.0.6'] },
      /'options\.rnage' is not known: there are link, address, /,
    ],
    [
      { reservations: [one, { ...one, hostnme: 'a' }] },
      /'options\.reservations\[1\]\.hostnme' is not known: there are mac, clientId, address, host/,
    ],
    [
      { routes: [{ ...route, metric: 1 }] },
      /'options\.routes\[0\]\.metric' is not known: there are destination, gateway/,
    ],
  ])('%j', (options, message) => {
    const own = [{ address: serverAddress, prefix: 24 }];
    expect(() => checkDhcpOptions(options, own)).toThrow(
      expect.objectContaining({
        code: 'ERR_INVALID_ARG_VALUE',
        message: expect.stringMatching(message),
      }),
    );
  });

  test('before a link is looked for', async () => {
    await using stack = await Stack.open({ links: [{ url: freshCable() }, { url: freshCable() }] });
    const options: object = { lnik: 'eth0' };
    expect(() => stack.dhcpServer(options)).toThrow(/'options\.lnik' is not known/);
    expect(() => stack.dhcpv6Server(options)).toThrow(/'options\.lnik' is not known/);
  });
});

test('every option that there is may be given', () => {
  const all: Required<DhcpServerOptions> = {
    ...{ link: 'eth0', address: serverAddress, range: ['10.0.0.50', '10.0.0.60'], leaseTime: 600 },
    reservations: [{ clientId: '01aa', address: '10.0.0.7', hostname: 'printer' }],
    ...{ router: serverAddress, dns: [serverAddress], domain: 'lan', search: ['lan'], mtu: 1400 },
    ...{ ntp: serverAddress, routes: [{ destination: '10.9.0.0/16', gateway: '10.0.0.9' }] },
    ...{ options: { 252: Buffer.of(1) }, authoritative: false, maxLeases: 7, leases: [] },
  };
  expect(checkDhcpOptions(all, [{ address: serverAddress, prefix: 24 }]).maxLeases).toBe(7);
});
