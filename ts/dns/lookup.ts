// SPDX-License-Identifier: MIT
//
// What getaddrinfo(3) and getnameinfo(3) do: names of the stack's own, then those of servers, completed from the
// search list (resolv.conf(5)), in an order in which to try them.

import { ADDRCONFIG, ALL, V4MAPPED } from 'node:dns';
import { isIPv4, isIPv6 } from 'node:net';
import { domainToASCII } from 'node:url';
import { inOrder } from './address-order.js';
import { DnsFailure } from './dns-errors.js';
import { hostDns } from './host-dns.js';
import { isLocalhost, isOnion, queryName } from './query-name.js';
import { valuesOf } from './record-values.js';
import { loopbackAddresses, type ResolverCore } from './resolver-core.js';
import { addressText, reverseName } from './reverse-name.js';
import { serviceName } from './service-names.js';

export type ResultOrder = 'verbatim' | 'ipv4first' | 'ipv6first';

export interface LookupRequest {
  family: 0 | 4 | 6;
  /** ADDRCONFIG, V4MAPPED and ALL of node:dns. */
  hints: number;
  order: ResultOrder;
}

export interface FoundAddress {
  address: string;
  family: number;
}

type Family = 'A' | 'AAAA';

/** At least one address. @throws {DnsFailure} */
export async function lookupAddresses(
  core: ResolverCore,
  hostname: string,
  { family, hints, order }: LookupRequest,
): Promise<FoundAddress[]> {
  const mapped = family === 6 && (hints & V4MAPPED) !== 0;
  let kinds: Family[] = family === 0 || mapped ? ['A', 'AAAA'] : [family === 4 ? 'A' : 'AAAA'];
  if ((hints & ADDRCONFIG) !== 0) {
    const configured = kinds.filter((kind) => isConfigured(core, kind));
    // As getaddrinfo(3) of glibc: with no address of either family, localhost is still found.
    if (kinds.length === 1 || configured.length > 0) kinds = configured;
  }
  if (kinds.length === 0) throw new DnsFailure('ENOTFOUND');
  const all =
    ownAddresses(core, hostname) ??
    (core.asksHost ? await askedOfHost(hostname, kinds) : await searched(core, hostname, kinds));
  let found = all.filter((one) => kinds.includes(isIPv4(one) ? 'A' : 'AAAA'));
  if (mapped) {
    const v6 = found.filter((one) => isIPv6(one));
    const v4 = found.filter((one) => isIPv4(one)).map((one) => `::ffff:${one}`);
    // RFC 3493 6.1: mapped ones where there are no others, or with ALL beside them.
    found = v6.length === 0 || (hints & ALL) !== 0 ? [...v6, ...v4] : v6;
  }
  if (found.length === 0) throw new DnsFailure('ENOTFOUND');
  const sorted = inOrder(core.host.stack, [...new Set(found)]).map((address) => {
    return { address, family: isIPv4(address) ? 4 : 6 };
  });
  if (order === 'verbatim') return sorted;
  const first = order === 'ipv4first' ? 4 : 6;
  return sorted.sort((a, b) => Number(a.family !== first) - Number(b.family !== first));
}

/** RFC 3493 6.1: whether the stack has an address of the family, of which a loopback one is none. */
function isConfigured({ host }: ResolverCore, kind: Family): boolean {
  return host.addresses().some(({ address, interface: link, state }) => {
    return isIPv4(address) === (kind === 'A') && link !== 'lo' && state === 'preferred';
  });
}

/** What is known without asking: an address in another spelling, localhost, hosts(5). Null if it is not. */
function ownAddresses({ host }: ResolverCore, hostname: string): readonly string[] | null {
  // inet_aton(3) has '127.1' and '0x7f000001' for addresses, and so has domainToASCII().
  if (/(^|\.)(\d+|0x[0-9a-f]*)\.?$/i.test(hostname)) {
    const address = domainToASCII(hostname);
    if (isIPv4(address)) return [address];
  }
  const name = queryName(hostname);
  if (name === null || name === '' || isOnion(name)) throw new DnsFailure('ENOTFOUND');
  return host.settings.hosts.addresses(name) ?? (isLocalhost(name) ? loopbacks : null);
}

const loopbacks = Object.values(loopbackAddresses);

async function askedOfHost(hostname: string, kinds: readonly Family[]): Promise<string[]> {
  const family = kinds.length > 1 ? 0 : kinds[0] === 'A' ? 4 : 6;
  const found = await hostDns.promises.lookup(hostname, { family, all: true });
  return found.map(({ address }) => address);
}

/** The addresses of the first name, completed or not, that has any. */
async function searched(core: ResolverCore, hostname: string, kinds: readonly Family[]) {
  if (core.servers.length === 0) throw new DnsFailure('ECONNREFUSED');
  let reason = new DnsFailure('ENOTFOUND');
  for (const name of candidates(core, hostname)) {
    const asked = await Promise.allSettled(kinds.map((kind) => addressesOf(core, name, kind)));
    const found = asked.flatMap((one) => (one.status === 'fulfilled' ? one.value : []));
    if (found.length > 0) return found;
    for (const one of asked) {
      if (one.status === 'fulfilled') continue;
      const failure = one.reason instanceof DnsFailure ? one.reason : new DnsFailure('EBADRESP');
      // What no server said outweighs that a name is not there; that it is there, that another one is not.
      if (weight(failure) > weight(reason)) reason = failure;
    }
  }
  throw reason;
}

function weight({ code }: DnsFailure): number {
  if (code === 'ENOTFOUND') return 0;
  return code === 'ENODATA' ? 1 : 2;
}

/** resolv.conf(5), search and ndots. */
function candidates({ host }: ResolverCore, hostname: string): string[] {
  const { search, ndots } = host.settings;
  const name = queryName(hostname) as string;
  if (hostname.endsWith('.')) return [name];
  const completed = search.map((domain) => `${name}.${domain}`).filter((one) => queryName(one));
  const dots = name.split('.').length - 1;
  return dots >= ndots ? [name, ...completed] : [...completed, name];
}

async function addressesOf(core: ResolverCore, name: string, kind: Family): Promise<string[]> {
  const { records } = await core.records(name, kind);
  return valuesOf(records, kind) as string[];
}

/** The names of an address. @throws {DnsFailure} */
export async function namesOf(core: ResolverCore, address: string): Promise<string[]> {
  const [bare = ''] = address.split('%');
  const own = ownNames(core, bare);
  if (own.length > 0) return own;
  const { records } = await core.records(reverseName(bare), 'PTR');
  return valuesOf(records, 'PTR') as string[];
}

function ownNames({ host }: ResolverCore, address: string): string[] {
  const known = host.settings.hosts.names(address);
  return known.length === 0 && /^(127\.|::1$)/.test(address) ? ['localhost'] : known;
}

/** The name of an address, and of a port. A mapped IPv4 address has its own name. @throws {DnsFailure} */
export async function lookupService(core: ResolverCore, given: string, port: number) {
  const address = addressText(given).replace(/^::ffff:(?=.*\.)/, '');
  if (core.asksHost && ownNames(core, address).length === 0) {
    return hostDns.promises.lookupService(address, port);
  }
  const [hostname = ''] = await namesOf(core, address);
  return { hostname, service: serviceName(port) };
}
