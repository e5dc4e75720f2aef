// SPDX-License-Identifier: MIT
//
// What a DHCP server is told: its options, checked, and as the bytes that clients get.

import { isIPv4 } from 'node:net';
import {
  checkAddress,
  checkArray,
  checkBoolean,
  checkBytes,
  checkCidr,
  checkInteger,
  checkKeys,
  checkObject,
  checkString,
} from '../check.js';
import { checkDomain, encodeDomain, isHostName } from '../dns/domain-name.js';
import { invalidValue } from '../errors.js';
import type { DhcpLease } from './dhcp-leases.js';
import { addressBytes, addressNumber, addressOf, DhcpOption } from './dhcp-message.js';

/** An address that is kept for one client. */
export interface DhcpReservation {
  /** Of the client: '02:00:00:00:00:07'. One of `mac` and `clientId`. */
  mac?: string;
  /** Its client identifier (option 61), whole, the type in front: bytes, or a string of hexadecimal digits. */
  clientId?: Uint8Array | string;
  /** In the subnet of the link; need not be in `range`. */
  address: string;
  /** What the client is to call itself, and what the DNS forwarder knows it by. */
  hostname?: string;
}

/** A route that clients are told of (RFC 3442). */
export interface DhcpRoute {
  /** '10.9.0.0/16'. */
  destination: string;
  /** '0.0.0.0': on the link itself. */
  gateway: string;
}

export interface DhcpServerOptions {
  /** Where the clients are: the interface's name or number. If left out: the stack's only link. */
  link?: string | number;
  /** The server's address, one of the link's; the first IPv4 address of the link if left out. */
  address?: string;
  /** First and last address that clients get; the whole subnet of `address` if left out. */
  range?: readonly [first: string, last: string];
  /** In seconds, 60 to 31536000, or Infinity; 3600 if left out. */
  leaseTime?: number;
  reservations?: readonly DhcpReservation[];
  /** Default routers; none if left out. */
  router?: string | readonly string[];
  dns?: string | readonly string[];
  /** The clients' own domain (option 15). */
  domain?: string;
  /** Domains to complete names with (RFC 3397). */
  search?: readonly string[];
  /** In bytes, 68 to 65535. */
  mtu?: number;
  ntp?: string | readonly string[];
  /** Sent besides the default router, which is added to them (RFC 3442). */
  routes?: readonly DhcpRoute[];
  /** Any option by its code, 1 to 254, as its bytes; sent to every client. */
  options?: Readonly<Record<number, Uint8Array>>;
  /**
   * This is the link's only server: who asks for an address of which it knows nothing gets it if it is free
   * and else a refusal, at once. False: is not answered (RFC 2131 4.3.2). True if left out.
   */
  authoritative?: boolean;
  /** Leases at most, with reservations; 4096 if left out. */
  maxLeases?: number;
  /** Of an earlier run: what leases() gave. Those that do not fit any more are left out. */
  leases?: readonly DhcpLease[];
}

/** The options, checked. */
export interface DhcpSettings {
  server: string;
  prefix: number;
  /** As numbers, both included. */
  first: number;
  last: number;
  /** Seconds; 0xffffffff is without end (RFC 2131 3.3). */
  leaseTime: number;
  reservations: { key: string; address: string; hostname: string }[];
  domain: string;
  authoritative: boolean;
  maxLeases: number;
  leases: readonly DhcpLease[];
  /** What clients may be told, by code, in the order of importance. */
  answers: ReadonlyMap<number, Buffer>;
  /** Codes that are sent unasked. */
  unasked: ReadonlySet<number>;
}

export const endlessLease = 0xffffffff;

const known = [
  ...['link', 'address', 'range', 'leaseTime', 'reservations', 'router', 'dns', 'domain', 'search'],
  ...['mtu', 'ntp', 'routes', 'options', 'authoritative', 'maxLeases', 'leases'],
];

/** What a call was given, before the link is looked for: a misspelt `link` is not one that was left out. */
export function checkDhcpNames(value: unknown): Record<string, unknown> {
  const options = checkObject(value, 'options');
  checkKeys(options, 'options', known);
  return options;
}

export function checkIpv4(value: unknown, name: string): string {
  const address = checkAddress(value, name);
  if (!isIPv4(address)) throw invalidValue(name, value, 'must be an IPv4 address');
  return address;
}

function checkAddresses(value: unknown, name: string): string[] {
  if (value === undefined) return [];
  if (typeof value === 'string') return [checkIpv4(value, name)];
  return checkArray(value, name).map((one, i) => checkIpv4(one, `${name}[${i}]`));
}

export function maskOf(prefix: number): number {
  return prefix === 0 ? 0 : (0xffffffff << (32 - prefix)) >>> 0;
}

/** How a client is known: by its identifier if it has one, else by its MAC (RFC 2131 4.2). */
export function keyOfClientId(clientId: Buffer): string {
  return `id ${clientId.toString('hex')}`;
}
export function keyOfMac(mac: string): string {
  return `mac ${mac}`;
}

export function checkMac(value: unknown, name: string): string {
  const mac = checkString(value, name).toLowerCase().replaceAll('-', ':');
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(mac)) {
    throw invalidValue(name, value, "must be a MAC address, such as '02:00:00:00:00:07'");
  }
  return mac;
}

export function checkIdentifier(value: unknown, name: string): Buffer {
  if (typeof value !== 'string') {
    checkBytes(value, name);
    return Buffer.from(value);
  }
  const digits = value.replaceAll(':', '');
  if (digits.length === 0 || digits.length % 2 !== 0 || !/^[0-9a-f]+$/i.test(digits)) {
    throw invalidValue(name, value, 'must be hexadecimal digits, two a byte');
  }
  return Buffer.from(digits, 'hex');
}

export function checkHostName(value: unknown, name: string): string {
  const hostname = checkString(value, name).toLowerCase();
  if (!isHostName(hostname)) {
    throw invalidValue(name, value, 'must be one label of letters, digits and hyphens');
  }
  return hostname;
}

function checkReservations(value: unknown): DhcpSettings['reservations'] {
  const seen = new Set<string>();
  const once = (what: string, name: string) => {
    if (seen.has(what)) throw invalidValue(name, what, 'is in another reservation too');
    seen.add(what);
    return what;
  };
  return checkArray(value, 'options.reservations').map((each, i) => {
    const name = `options.reservations[${i}]`;
    const given = checkObject(each, name);
    checkKeys(given, name, ['mac', 'clientId', 'address', 'hostname']);
    const { mac, clientId, address, hostname } = given;
    if ((mac === undefined) === (clientId === undefined)) {
      throw invalidValue(name, each, 'must have one of mac and clientId');
    }
    const key =
      mac !== undefined
        ? keyOfMac(checkMac(mac, `${name}.mac`))
        : keyOfClientId(checkIdentifier(clientId, `${name}.clientId`));
    return {
      key: once(key, name),
      address: once(checkIpv4(address, `${name}.address`), `${name}.address`),
      hostname: hostname === undefined ? '' : checkHostName(hostname, `${name}.hostname`),
    };
  });
}

/** RFC 3442: prefix length, as many bytes of the destination as count, gateway. */
function encodeRoutes(routes: unknown, routers: readonly string[]): Buffer {
  const parts = checkArray(routes, 'options.routes').map((each, i) => {
    const name = `options.routes[${i}]`;
    const given = checkObject(each, name);
    checkKeys(given, name, ['destination', 'gateway']);
    const { destination, gateway } = given;
    const [network = '', prefix = '32'] = checkCidr(destination, `${name}.destination`).split('/');
    if (!isIPv4(network)) {
      throw invalidValue(`${name}.destination`, destination, 'must be an IPv4 prefix');
    }
    const masked = addressOf((addressNumber(network) & maskOf(Number(prefix))) >>> 0);
    const bytes = addressBytes(masked).subarray(0, Math.ceil(Number(prefix) / 8));
    const router = addressBytes(checkIpv4(gateway, `${name}.gateway`));
    return Buffer.concat([Buffer.of(Number(prefix)), bytes, router]);
  });
  if (parts.length === 0) return Buffer.alloc(0);
  // RFC 3442: who takes this option passes over the router option.
  const hasDefault = parts.some((part) => part[0] === 0);
  const [router] = routers;
  if (!hasDefault && router !== undefined) {
    parts.push(Buffer.concat([Buffer.of(0), addressBytes(router)]));
  }
  return Buffer.concat(parts);
}

function number(value: number, bytes: 2 | 4): Buffer {
  const buffer = Buffer.alloc(bytes);
  buffer.writeUIntBE(value, 0, bytes);
  return buffer;
}

/** @param own the link's IPv4 addresses */
export function checkDhcpOptions(
  value: unknown,
  own: readonly { address: string; prefix: number }[],
): DhcpSettings {
  const options = checkDhcpNames(value);
  const { address, range, leaseTime = 3600, reservations = [], domain, search = [] } = options;
  const { mtu, routes = [], authoritative = true, maxLeases = 4096, leases = [] } = options;

  const wanted = address === undefined ? own[0] : own.find((one) => one.address === address);
  if (wanted === undefined) {
    const reason = address === undefined ? 'has no IPv4 address' : 'is no address of the link';
    throw invalidValue(address === undefined ? 'options.link' : 'options.address', address, reason);
  }
  const { address: server, prefix } = wanted;
  const mask = maskOf(prefix);
  const network = (addressNumber(server) & mask) >>> 0;
  const broadcast = (network | ~mask) >>> 0;
  // RFC 3021: a subnet of two has no broadcast address.
  let [first, last] = prefix >= 31 ? [network, broadcast] : [network + 1, broadcast - 1];
  const inSubnet = (one: string) => (addressNumber(one) & mask) >>> 0 === network;
  if (range !== undefined) {
    const [from, to] = checkArray(range, 'options.range');
    const ends = [checkIpv4(from, 'options.range[0]'), checkIpv4(to, 'options.range[1]')] as const;
    const [low, high] = [addressNumber(ends[0]), addressNumber(ends[1])];
    if (low > high || low < first || high > last) {
      throw invalidValue('options.range', range, `must lie in the subnet of ${server}/${prefix}`);
    }
    [first, last] = [low, high];
  }
  const checkedReservations = checkReservations(reservations);
  for (const [i, one] of checkedReservations.entries()) {
    if (inSubnet(one.address) && one.address !== server) continue;
    const name = `options.reservations[${i}].address`;
    throw invalidValue(name, one.address, `must be in the subnet of ${server}/${prefix}, and free`);
  }
  const seconds =
    leaseTime === Number.POSITIVE_INFINITY
      ? endlessLease
      : checkInteger(leaseTime, 'options.leaseTime', 60, 31_536_000);

  const routers = checkAddresses(options.router, 'options.router');
  const ownDomain = domain === undefined ? '' : checkDomain(domain, 'options.domain');
  const names = checkArray(search, 'options.search').map((one, i) =>
    checkDomain(one, `options.search[${i}]`),
  );
  const list = (addresses: string[]) => Buffer.concat(addresses.map(addressBytes));
  const answers = new Map<number, Buffer>();
  const put = (code: number, bytes: Buffer) => {
    if (bytes.length > 0) answers.set(code, bytes);
  };
  put(DhcpOption.subnetMask, number(mask, 4));
  // RFC 2132 3.3: behind the subnet mask. RFC 3442: before the router, and who takes both takes this.
  put(DhcpOption.routes, encodeRoutes(routes, routers));
  put(DhcpOption.router, list(routers));
  put(DhcpOption.dns, list(checkAddresses(options.dns, 'options.dns')));
  put(DhcpOption.domain, Buffer.from(ownDomain, 'latin1'));
  put(DhcpOption.search, Buffer.concat(names.map(encodeDomain)));
  if (mtu !== undefined)
    put(DhcpOption.mtu, number(checkInteger(mtu, 'options.mtu', 68, 65535), 2));
  put(DhcpOption.ntp, list(checkAddresses(options.ntp, 'options.ntp')));
  if (prefix < 31) put(DhcpOption.broadcast, number(broadcast, 4));

  const own4: number[] = [DhcpOption.subnetMask, DhcpOption.router, DhcpOption.dns];
  const unasked = new Set(own4);
  for (const [key, bytes] of Object.entries(
    checkObject(options.options ?? {}, 'options.options'),
  )) {
    const code = checkInteger(Number(key), `options.options['${key}']`, 1, 254);
    const name = `options.options[${code}]`;
    if (code >= DhcpOption.requestedAddress && code <= DhcpOption.clientId && code !== 60) {
      throw invalidValue(name, bytes, "is the protocol's own");
    }
    checkBytes(bytes, name);
    answers.set(code, Buffer.from(bytes));
    unasked.add(code);
  }
  return {
    server,
    prefix,
    first,
    last,
    leaseTime: seconds,
    reservations: checkedReservations,
    domain: ownDomain,
    authoritative: checkBoolean(authoritative, 'options.authoritative'),
    maxLeases: checkInteger(maxLeases, 'options.maxLeases', 1, 65536),
    leases: checkArray(leases, 'options.leases') as DhcpLease[],
    answers,
    unasked,
  };
}
