// SPDX-License-Identifier: MIT
//
// The arguments of stack.dns. Node's own functions check them where they can be called without asking anybody, so
// that the errors are those of the Node that runs.

import type nodeDns from 'node:dns';
import { isIP, isIPv6 } from 'node:net';
import { invalidIpAddress, invalidValue } from '../errors.js';
import type { DnsServerAddress } from './dns-servers.js';
import { parseServer, serverText } from './dns-settings.js';
import { hostDns } from './host-dns.js';
import type { LookupRequest, ResultOrder } from './lookup.js';
import type { CoreOptions } from './resolver-core.js';

const resultOrders = ['verbatim', 'ipv4first', 'ipv6first'] as const;

/** A call of lookup(), taken apart. */
export interface LookupCall extends LookupRequest {
  all: boolean;
}

interface GivenLookup {
  family?: LookupRequest['family'] | 'IPv4' | 'IPv6' | null;
  hints?: number | null;
  all?: boolean | null;
  verbatim?: boolean | null;
  order?: ResultOrder | null;
}

/** Whether Node answers lookup() by itself: for an address, for nothing, and for what is no name. */
export function isNodes(hostname: unknown): boolean {
  return typeof hostname !== 'string' || hostname === '' || isIP(hostname) !== 0;
}

/** @param options as Node's lookup() has accepted them */
export function lookupCall(options: unknown, defaultOrder: ResultOrder): LookupCall {
  const given: GivenLookup =
    typeof options === 'number'
      ? { family: options as LookupRequest['family'] }
      : typeof options === 'object'
        ? ((options ?? {}) as GivenLookup)
        : {};
  const { family = 0, hints, all, verbatim, order } = given;
  const byVerbatim = verbatim ? 'verbatim' : 'ipv4first';
  return {
    family: family === 'IPv4' ? 4 : family === 'IPv6' ? 6 : (family ?? 0),
    hints: (hints ?? 0) >>> 0,
    all: all ?? false,
    order: order ?? (verbatim == null ? defaultOrder : byVerbatim),
  };
}

export function checkResultOrder(value: unknown): ResultOrder {
  const known = resultOrders.find((one) => one === value);
  if (known !== undefined) return known;
  const list = resultOrders.map((one) => `'${one}'`).join(', ');
  throw invalidValue('dnsOrder', value, `must be one of: ${list}`);
}

let asker: nodeDns.Resolver | undefined;

/** A resolver of Node's that never asks anybody. */
function judge(): nodeDns.Resolver {
  asker ??= new hostDns.Resolver();
  return asker;
}

/** Each server once, as c-ares has them. */
export function checkServerList(servers: unknown): Required<DnsServerAddress>[] {
  const judged: unknown = Array.isArray(servers) ? servers.map(withoutPort) : servers;
  judge().setServers(judged as string[]);
  const checked = (servers as string[]).flatMap((one) => {
    const server = parseServer(one);
    if (server === null) throw invalidIpAddress(one);
    return [[serverText(server), server] as const];
  });
  return [...new Map(checked).values()];
}

/** Node ends the whole process for a port that is 0 in 32 bits. */
function withoutPort(server: unknown): unknown {
  if (typeof server !== 'string') return server;
  const [, host = ''] = /^([\d.]+|\[[^[\]]+\]):\d+$/.exec(server) ?? [];
  return isIP(host.replace(/[[\]]/g, '')) === 0 ? server : host;
}

export function checkLocalAddress(args: unknown[]): { ipv4?: string; ipv6?: string } {
  judge().setLocalAddress(...(args as [string, string]));
  const given = args.filter((one) => one !== undefined) as string[];
  return Object.fromEntries(given.map((one) => [isIPv6(one) ? 'ipv6' : 'ipv4', one]));
}

export function checkResolverOptions(options: unknown): CoreOptions {
  new hostDns.Resolver(options as nodeDns.ResolverOptions);
  const { timeout = -1, tries } = (options ?? {}) as { timeout?: number; tries?: number };
  return { timeout, tries };
}

/** Whether Node's lookupService() takes them; it is asked about what it does not. */
export function isService(address: unknown, port: unknown): boolean {
  if (typeof address !== 'string' || isIP(address) === 0) return false;
  if (typeof port !== 'number' && (typeof port !== 'string' || port.trim() === '')) return false;
  return +port === +port >>> 0 && +port <= 65535;
}
