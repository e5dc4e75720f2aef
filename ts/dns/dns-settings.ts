// SPDX-License-Identifier: MIT
//
// How a stack resolves names, in the terms of resolv.conf(5) and hosts(5).

import { isIP, isIPv6 } from 'node:net';
import {
  checkAddress,
  checkArray,
  checkBoolean,
  checkInteger,
  checkKeys,
  checkObject,
  checkOneOf,
  checkPort,
} from '../check.js';
import { invalidType, invalidValue } from '../errors.js';
import type { CacheLimits } from './dns-cache.js';
import { type DnsServerAddress, dnsPort } from './dns-servers.js';
import { checkDomain } from './domain-name.js';
import { queryName } from './query-name.js';
import { addressText, ipv6Hex } from './reverse-name.js';

export interface DnsCacheOptions {
  /** Questions whose answers are kept; 1024 if left out. */
  entries?: number;
  /** Seconds that an answer is kept at most; 86,400 if left out. */
  maxTtl?: number;
  /** Seconds that it is kept at most that a name, or a record of it, is not there; 10,800 if left out. */
  maxNegativeTtl?: number;
}

/** How a stack resolves names. */
export interface DnsOptions {
  /** Who is asked: '10.0.0.1', '10.0.0.1:5353', 'fd00::1', '[fd00::1]:5353', 'fe80::1%eth0', or { host, port }. None if left out. */
  servers?: readonly (string | DnsServerAddress)[];
  /** Domains that lookup() completes names with, up to 32; none if left out. */
  search?: readonly string[];
  /** Dots that a name must have to be looked up as it is before it is completed; 1 if left out, 15 at most. */
  ndots?: number;
  /** Milliseconds that a server may take for each attempt; 5000 if left out. */
  timeout?: number;
  /** How often each server is asked; 2 if left out, 16 at most. */
  attempts?: number;
  /** Begins with another server each time. */
  rotate?: boolean;
  /** Names of the stack's own, as in hosts(5): for lookup(), and, the other way round, for reverse() and lookupService(). */
  hosts?: Readonly<Record<string, string | readonly string[]>>;
  /** Who is asked while there are no servers: 'none', or 'host': the host's own resolver, by node:dns. 'none' if left out. */
  fallback?: 'none' | 'host';
  /** What is kept of answers; false: nothing. */
  cache?: DnsCacheOptions | false;
}

export interface DnsSettings {
  servers: readonly Required<DnsServerAddress>[];
  search: readonly string[];
  ndots: number;
  timeout: number;
  attempts: number;
  rotate: boolean;
  hosts: Hosts;
  fallback: 'none' | 'host';
  cache: CacheLimits | null;
}

const mostSearched = 32;
const known = 'servers search ndots timeout attempts rotate hosts fallback cache'.split(' ');

/** The names of hosts(5), and the other way round. */
export class Hosts {
  readonly #addresses = new Map<string, readonly string[]>();
  readonly #names = new Map<string, string[]>();

  constructor(entries: Iterable<readonly [string, readonly string[]]> = []) {
    for (const [name, addresses] of entries) {
      this.#addresses.set(name.toLowerCase(), addresses);
      for (const address of addresses) {
        const key = addressKey(address);
        this.#names.set(key, [...this.names(address), name]);
      }
    }
  }

  addresses(name: string): readonly string[] | undefined {
    return this.#addresses.get(name.toLowerCase());
  }

  /** The names that were given for the address, in their order. */
  names(address: string): string[] {
    return [...(this.#names.get(addressKey(address)) ?? [])];
  }
}

const addressKey = (address: string) => (isIPv6(address) ? ipv6Hex(address) : address);

export const defaultDnsSettings: DnsSettings = {
  servers: [],
  search: [],
  ndots: 1,
  timeout: 5000,
  attempts: 2,
  rotate: false,
  hosts: new Hosts(),
  fallback: 'none',
  cache: { entries: 1024, maxTtl: 86_400, maxNegativeTtl: 10_800 },
};

/** @param before what holds for what `value` leaves out */
export function checkDnsOptions(value: unknown, name: string, before: DnsSettings): DnsSettings {
  const given = checkObject(value, name);
  checkKeys(given, name, known);
  const settings = { ...before };
  const { servers, search, ndots, timeout, attempts, rotate, hosts, fallback, cache } = given;
  if (servers !== undefined) settings.servers = checkServers(servers, `${name}.servers`);
  if (search !== undefined) settings.search = checkSearch(search, `${name}.search`);
  if (ndots !== undefined) settings.ndots = checkInteger(ndots, `${name}.ndots`, 0, 15);
  if (timeout !== undefined) {
    settings.timeout = checkInteger(timeout, `${name}.timeout`, 1, 600_000);
  }
  if (attempts !== undefined) settings.attempts = checkInteger(attempts, `${name}.attempts`, 1, 16);
  if (rotate !== undefined) settings.rotate = checkBoolean(rotate, `${name}.rotate`);
  if (hosts !== undefined) settings.hosts = checkHosts(hosts, `${name}.hosts`);
  if (fallback !== undefined) {
    settings.fallback = checkOneOf(fallback, `${name}.fallback`, ['none', 'host']);
  }
  if (cache !== undefined) settings.cache = checkCache(cache, `${name}.cache`);
  return settings;
}

function checkServers(value: unknown, name: string): Required<DnsServerAddress>[] {
  return checkArray(value, name).map((one, i) => {
    const place = `${name}[${i}]`;
    if (typeof one === 'string') {
      const server = parseServer(one);
      if (server !== null) return server;
      throw invalidValue(place, one, "must be an address, such as '10.0.0.1' or '[fd00::1]:5353'");
    }
    const { host, port = dnsPort } = checkObject(one, place);
    if (typeof host !== 'string' || isIP(host) === 0) {
      throw invalidValue(`${place}.host`, host, 'must be an IPv4 or IPv6 address');
    }
    return { host, port: checkPort(port, `${place}.port`, 1) };
  });
}

/** An address, with a port where one is said; null if it is none. Port 0 is 53, as in node:dns. */
export function parseServer(text: string): Required<DnsServerAddress> | null {
  if (isIP(text) !== 0) return { host: addressText(text), port: dnsPort };
  const [, bracketed, v4, digits = ''] =
    /^(?:\[([^[\]]*)\]|([^:]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const host = bracketed ?? v4 ?? '';
  const port = Number(digits) || dnsPort;
  if (isIP(host) === 0 || port > 65535) return null;
  return { host: addressText(host), port };
}

/** As node:dns writes it: the port only where it is not 53. */
export function serverText({ host, port }: Required<DnsServerAddress>): string {
  if (port === dnsPort) return host;
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
}

function checkSearch(value: unknown, name: string): string[] {
  const domains = checkArray(value, name).map((one, i) => checkDomain(one, `${name}[${i}]`));
  if (domains.length <= mostSearched) return domains;
  throw invalidValue(name, value, `must have ${mostSearched} domains at most`);
}

function checkHosts(value: unknown, name: string): Hosts {
  return new Hosts(
    Object.entries(checkObject(value, name)).map(([host, addresses]) => {
      const place = `${name}['${host}']`;
      const known = queryName(host);
      if (known === null || known === '') throw invalidValue(name, host, 'must have names');
      const list = typeof addresses === 'string' ? [addresses] : checkArray(addresses, place);
      return [known, list.map((one) => checkAddress(one, place))] as const;
    }),
  );
}

function checkCache(value: unknown, name: string): CacheLimits | null {
  if (value === false) return null;
  if (typeof value !== 'object') throw invalidType(name, 'of type object or false', value);
  const limits = defaultDnsSettings.cache as CacheLimits;
  const given = checkObject(value, name);
  checkKeys(given, name, Object.keys(limits));
  const { entries, maxTtl, maxNegativeTtl } = { ...limits, ...given };
  return {
    entries: checkInteger(entries, `${name}.entries`, 1, 1_000_000),
    maxTtl: checkInteger(maxTtl, `${name}.maxTtl`, 0, 0x7fffffff),
    maxNegativeTtl: checkInteger(maxNegativeTtl, `${name}.maxNegativeTtl`, 0, 0x7fffffff),
  };
}
