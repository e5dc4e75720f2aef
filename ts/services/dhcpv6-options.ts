// SPDX-License-Identifier: MIT
//
// What a DHCPv6 server is told, checked.

import { isIPv6 } from 'node:net';
import {
  checkAddress,
  checkArray,
  checkBoolean,
  checkInteger,
  checkKeys,
  checkObject,
} from '../check.js';
import { checkDomain } from '../dns/domain-name.js';
import { invalidValue } from '../errors.js';
import { checkHostName, checkIdentifier } from './dhcp-options.js';
import type { Dhcpv6Lease } from './dhcpv6-leases.js';
import { addressNumber6 } from './dhcpv6-message.js';

/** An address that is kept for one client. */
export interface Dhcpv6Reservation {
  /** The client's DUID: bytes, or hexadecimal digits. */
  duid: Uint8Array | string;
  /** In the prefix of the link. */
  address: string;
  hostname?: string;
}

export interface Dhcpv6ServerOptions {
  /** Where the clients are: the interface's name or number. If left out: the stack's only link. */
  link?: string | number;
  /**
   * First and last address that clients get. If left out: 0x1000 to 0xffff in the prefix of the link's first
   * address that is not link-local. False: no addresses, only settings (RFC 8415 6.1).
   */
  range?: readonly [first: string, last: string] | false;
  /** The valid lifetime in seconds, 60 to 31536000, or Infinity; 3600 if left out. The preferred one is 3/4 of it. */
  leaseTime?: number;
  reservations?: readonly Dhcpv6Reservation[];
  /** DNS servers (RFC 3646). */
  dns?: readonly string[];
  /** The clients' own domain, for the DNS forwarder. */
  domain?: string;
  /** Domains to complete names with (RFC 3646). */
  search?: readonly string[];
  /** Whether two messages will do where the client wants that (RFC 8415 18.3.1); true if left out. */
  rapidCommit?: boolean;
  /** The server's DUID; if left out, made of the link's MAC (RFC 8415 11.4). */
  duid?: Uint8Array | string;
  /** Leases at most; 4096 if left out. */
  maxLeases?: number;
  /** Of an earlier run: what leases() gave. Those that do not fit any more are left out. */
  leases?: readonly Dhcpv6Lease[];
}

export interface Dhcpv6Settings {
  /** The prefix of the link: network as a number, and its length. */
  network: bigint;
  prefix: number;
  /** Both included; null: no pool. */
  range: { first: bigint; last: bigint } | null;
  /** Seconds; 0xffffffff is without end. */
  valid: number;
  preferred: number;
  reservations: { duid: string; address: string; hostname: string }[];
  dns: string[];
  domain: string;
  search: string[];
  rapidCommit: boolean;
  duid: Buffer;
  maxLeases: number;
  leases: readonly Dhcpv6Lease[];
}

const forever = 0xffffffff;

const known = [
  ...['link', 'range', 'leaseTime', 'reservations', 'dns', 'domain', 'search', 'rapidCommit'],
  ...['duid', 'maxLeases', 'leases'],
];

/** What a call was given, before the link is looked for: a misspelt `link` is not one that was left out. */
export function checkDhcpv6Names(value: unknown): Record<string, unknown> {
  const options = checkObject(value, 'options');
  checkKeys(options, 'options', known);
  return options;
}

function checkIpv6(value: unknown, name: string): string {
  const address = checkAddress(value, name);
  if (!isIPv6(address)) throw invalidValue(name, value, 'must be an IPv6 address');
  return address;
}

/** RFC 8415 11.4: DUID-LL, of Ethernet. */
function duidOf(mac: string): Buffer {
  return Buffer.concat([Buffer.of(0, 3, 0, 1), Buffer.from(mac.replaceAll(':', ''), 'hex')]);
}

/** @param own the link's IPv6 addresses that are not link-local */
export function checkDhcpv6Options(
  value: unknown,
  own: readonly { address: string; prefix: number }[],
  mac: string,
): Dhcpv6Settings {
  const options = checkDhcpv6Names(value);
  const {
    range,
    leaseTime = 3600,
    reservations = [],
    dns = [],
    search = [],
    leases = [],
  } = options;
  const { rapidCommit = true, maxLeases = 4096, domain, duid } = options;
  const [first] = own;
  if (first === undefined && range !== false) {
    throw invalidValue('options.link', options.link, 'has no IPv6 address but a link-local one');
  }
  const prefix = first?.prefix ?? 64;
  const host = 128n - BigInt(prefix);
  const network = ((first ? addressNumber6(first.address) : 0n) >> host) << host;
  const inPrefix = (one: bigint) => one >> host === network >> host;

  let pool: Dhcpv6Settings['range'] = null;
  if (range === undefined) {
    if (host < 16n)
      throw invalidValue('options.range', range, `must be given: the prefix has ${prefix} bits`);
    pool = { first: network + 0x1000n, last: network + 0xffffn };
  } else if (range !== false) {
    const [from, to] = checkArray(range, 'options.range').map((one, i) =>
      addressNumber6(checkIpv6(one, `options.range[${i}]`)),
    );
    const fits =
      from !== undefined && to !== undefined && from <= to && inPrefix(from) && inPrefix(to);
    if (!fits) throw invalidValue('options.range', range, "must lie in the link's prefix");
    pool = { first: from, last: to };
  }
  const seen = new Set<string>();
  const kept = checkArray(reservations, 'options.reservations').map((each, i) => {
    const name = `options.reservations[${i}]`;
    const given = checkObject(each, name);
    checkKeys(given, name, ['duid', 'address', 'hostname']);
    const { duid: id, address, hostname } = given;
    const one = {
      duid: checkIdentifier(id, `${name}.duid`).toString('hex'),
      address: checkIpv6(address, `${name}.address`),
      hostname: hostname === undefined ? '' : checkHostName(hostname, `${name}.hostname`),
    };
    if (!inPrefix(addressNumber6(one.address)) || range === false) {
      throw invalidValue(`${name}.address`, address, "must lie in the link's prefix");
    }
    if (seen.has(one.duid) || seen.has(one.address)) {
      throw invalidValue(name, each, 'is in another reservation too');
    }
    seen.add(one.duid).add(one.address);
    return one;
  });
  const valid =
    leaseTime === Number.POSITIVE_INFINITY
      ? forever
      : checkInteger(leaseTime, 'options.leaseTime', 60, 31_536_000);
  const list = <T>(of: unknown, name: string, check: (one: unknown, name: string) => T) =>
    checkArray(of, name).map((one, i) => check(one, `${name}[${i}]`));
  return {
    network,
    prefix,
    range: pool,
    valid,
    preferred: valid === forever ? forever : Math.floor((valid * 3) / 4),
    reservations: kept,
    dns: list(dns, 'options.dns', checkIpv6),
    domain: domain === undefined ? '' : checkDomain(domain, 'options.domain'),
    search: list(search, 'options.search', checkDomain),
    rapidCommit: checkBoolean(rapidCommit, 'options.rapidCommit'),
    duid: duid === undefined ? duidOf(mac) : checkIdentifier(duid, 'options.duid'),
    maxLeases: checkInteger(maxLeases, 'options.maxLeases', 1, 65536),
    leases: checkArray(leases, 'options.leases') as Dhcpv6Lease[],
  };
}
