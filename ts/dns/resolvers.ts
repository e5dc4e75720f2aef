// SPDX-License-Identifier: MIT
//
// The two classes Resolver of a stack: node:dns's, and node:dns/promises'.

import type nodeDns from 'node:dns';
import { isIP } from 'node:net';
import { checkFunction, checkString } from '../check.js';
import { invalidType, invalidValue } from '../errors.js';
import { checkLocalAddress, checkResolverOptions, checkServerList } from './dns-arguments.js';
import { DnsFailure, queryError, reverseCode, serversInUse } from './dns-errors.js';
import { serverText } from './dns-settings.js';
import { hostDns } from './host-dns.js';
import { namesOf } from './lookup.js';
import { anyValuesOf, type ResolveType, valuesOf } from './record-values.js';
import { type DnsHost, ResolverCore } from './resolver-core.js';

export type Callback = (error: Error | null, ...values: unknown[]) => void;

/** The methods by type of record: what resolve() takes, and what c-ares calls the question. */
export const methods = {
  resolve4: { type: 'A', syscall: 'queryA' },
  resolve6: { type: 'AAAA', syscall: 'queryAaaa' },
  resolveAny: { type: 'ANY', syscall: 'queryAny' },
  resolveCaa: { type: 'CAA', syscall: 'queryCaa' },
  resolveCname: { type: 'CNAME', syscall: 'queryCname' },
  resolveMx: { type: 'MX', syscall: 'queryMx' },
  resolveNaptr: { type: 'NAPTR', syscall: 'queryNaptr' },
  resolveNs: { type: 'NS', syscall: 'queryNs' },
  resolvePtr: { type: 'PTR', syscall: 'queryPtr' },
  resolveSoa: { type: 'SOA', syscall: 'querySoa' },
  resolveSrv: { type: 'SRV', syscall: 'querySrv' },
  resolveTlsa: { type: 'TLSA', syscall: 'queryTlsa' },
  resolveTxt: { type: 'TXT', syscall: 'queryTxt' },
  reverse: { type: '', syscall: 'getHostByAddr' },
} as const;

export type Method = keyof typeof methods;

export const methodNames = Object.keys(methods) as Method[];

/** Where an alias leads to a name that has no such record, c-ares fails for the others alone. */
const noneOfAlias = new Set<Method>([
  'resolve4',
  'resolve6',
  'resolveCaa',
  'resolveMx',
  'resolveNaptr',
  'resolveSrv',
  'resolveTlsa',
  'resolveTxt',
]);

/** By the type that resolve() is given. */
const methodOfType = new Map<unknown, Method>(
  methodNames.filter((one) => methods[one].type !== '').map((one) => [methods[one].type, one]),
);

/** Behind each Resolver. */
const cores = new WeakMap<object, ResolverCore>();

export function coreOf(resolver: unknown): ResolverCore {
  const core = cores.get(resolver as object);
  if (core === undefined) throw invalidType('this', 'a Resolver of the stack', resolver);
  return core;
}

/** Calls `callback` as Node does: later, and so that what it throws is nobody's rejection. */
export function deliver<T>(
  outcome: Promise<T>,
  callback: Callback,
  values: (result: T) => unknown[],
): object {
  outcome.then(
    (result) => process.nextTick(callback, null, ...values(result)),
    (error) => process.nextTick(callback, error),
  );
  return {};
}

/** The outcome of a method. Never throws; rejects with Node's errors. */
async function query(
  core: ResolverCore,
  method: Method,
  hostname: string,
  options: unknown,
): Promise<unknown> {
  const { type, syscall } = methods[method];
  try {
    return await core.run(async () => {
      if (core.asksHost) return await askHost(core, method, hostname, options);
      if (type === '') return await namesOf(core, hostname);
      const { records } = await core.records(hostname, type);
      if (type === 'ANY') return anyValuesOf(records);
      const withTtl = Boolean((options as { ttl?: unknown } | null | undefined)?.ttl);
      return valuesOf(records, type as ResolveType, withTtl);
    });
  } catch (error) {
    if (!(error instanceof DnsFailure)) throw error;
    if (error.aliased && noneOfAlias.has(method)) return [];
    const code = method === 'reverse' ? reverseCode(error) : error.code;
    throw queryError(syscall, code, hostname);
  }
}

function askHost(core: ResolverCore, method: Method, hostname: string, options: unknown) {
  const resolver = core.hostResolver as unknown as Record<
    string,
    ((name: string, options: unknown) => Promise<unknown>) | undefined
  >;
  const ask = resolver[method];
  // resolveTlsa() came to Node later.
  if (ask === undefined) throw new DnsFailure('ENOTIMP');
  return ask.call(resolver, hostname, options);
}

function define(target: object, name: string, value: unknown): void {
  Object.defineProperty(target, name, { value, writable: true, configurable: true });
}

/** What both classes have. */
function baseClass(host: DnsHost) {
  return class ResolverBase {
    constructor(options?: unknown) {
      cores.set(this, new ResolverCore(host, checkResolverOptions(options)));
    }

    cancel(): void {
      coreOf(this).cancel();
    }

    getServers(): string[] {
      return coreOf(this).servers.map(serverText);
    }

    setServers(servers: readonly string[]): void {
      const checked = checkServerList(servers);
      if (coreOf(this).pending > 0) throw serversInUse(servers);
      coreOf(this).setServers(checked);
    }

    setLocalAddress(...addresses: unknown[]): void {
      coreOf(this).setLocalAddress(checkLocalAddress(addresses));
    }
  };
}

/** node:dns's Resolver. */
export function callbackResolver(host: DnsHost) {
  const Resolver = class Resolver extends baseClass(host) {};
  for (const method of methodNames) {
    define(Resolver.prototype, method, function (this: object, ...args: unknown[]) {
      const [name] = args;
      const callback = args.length > 2 ? args[2] : args[1];
      const core = coreOf(this);
      checkString(name, 'name');
      checkFunction(callback, 'callback');
      if (method === 'reverse' && isIP(name as string) === 0) {
        // Node says so at once.
        return hostDns.reverse(name as string, () => {});
      }
      const options = args.length > 2 ? args[1] : undefined;
      const outcome = query(core, method, name as string, options);
      return deliver(outcome, callback as Callback, (result) => [result]);
    });
    Object.defineProperty((Resolver.prototype as never)[method], 'name', { value: method });
  }
  define(
    Resolver.prototype,
    'resolve',
    function resolve(this: object, hostname: unknown, rrtype: unknown, callback?: unknown) {
      const isDefault = typeof rrtype === 'function';
      if (!isDefault && typeof rrtype !== 'string')
        throw invalidType('rrtype', 'of type string', rrtype);
      const method = isDefault ? 'resolve4' : methodOfType.get(rrtype);
      if (method === undefined) throw invalidValue('rrtype', rrtype, 'is invalid');
      const ask = (this as Record<string, unknown>)[method] as (...args: unknown[]) => unknown;
      return ask.call(this, hostname, isDefault ? rrtype : callback);
    },
  );
  return Resolver as unknown as typeof nodeDns.Resolver;
}

/** node:dns/promises' Resolver. */
export function promiseResolver(host: DnsHost) {
  const Resolver = class Resolver extends baseClass(host) {};
  for (const method of methodNames) {
    define(Resolver.prototype, method, function (this: object, name: unknown, options?: unknown) {
      const core = coreOf(this);
      checkString(name, 'name');
      if (method === 'reverse' && isIP(name as string) === 0) {
        return hostDns.promises.reverse(name as string);
      }
      return query(core, method, name as string, options);
    });
    Object.defineProperty((Resolver.prototype as never)[method], 'name', { value: method });
  }
  define(
    Resolver.prototype,
    'resolve',
    function resolve(this: object, hostname: unknown, rrtype?: unknown) {
      if (rrtype !== undefined) checkString(rrtype, 'rrtype');
      const method = rrtype === undefined ? 'resolve4' : methodOfType.get(rrtype);
      if (method === undefined) throw invalidValue('rrtype', rrtype, 'is invalid');
      const ask = (this as Record<string, unknown>)[method] as (...args: unknown[]) => unknown;
      return ask.call(this, hostname);
    },
  );
  return Resolver as unknown as typeof nodeDns.promises.Resolver;
}

/** A resolver of `Class` with another core: the stack's own. */
export function ownResolver<R extends object>(Class: new () => R, core: ResolverCore): R {
  const resolver = new Class();
  cores.set(resolver, core);
  return resolver;
}
