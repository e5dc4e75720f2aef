// SPDX-License-Identifier: MIT
//
// stack.dns: node:dns over a stack.

import nodeDns from 'node:dns';
import { promisify } from 'node:util';
import type { SocketStack } from '../socket-stack.js';
import { stackParts } from '../socket-stack.js';
import type { AddressInfo } from '../stack-info.js';
import {
  checkResultOrder,
  checkServerList,
  isNodes,
  isService,
  type LookupCall,
  lookupCall,
} from './dns-arguments.js';
import { DnsCache } from './dns-cache.js';
import { DnsFailure, lookupCode, lookupError } from './dns-errors.js';
import { checkDnsOptions, type DnsOptions, type DnsSettings, serverText } from './dns-settings.js';
import { hostDns } from './host-dns.js';
import { lookupAddresses, lookupService, type ResultOrder } from './lookup.js';
import { type DnsHost, ResolverCore } from './resolver-core.js';
import {
  type Callback,
  callbackResolver,
  deliver,
  methodNames,
  ownResolver,
  promiseResolver,
} from './resolvers.js';

/** A TLSA record (RFC 6698 2.1). */
export interface TlsaRecord {
  certUsage: number;
  selector: number;
  match: number;
  data: ArrayBuffer;
}

/**
 * node:dns over a stack: the same functions, classes, errors and constants, and configure(). Who answers: the
 * stack's own names (lookup, reverse, lookupService), the cache, the stack's servers.
 */
export interface StackDns extends Omit<typeof nodeDns, 'promises'> {
  readonly promises: typeof nodeDns.promises & {
    resolveTlsa(hostname: string): Promise<TlsaRecord[]>;
  };
  resolveTlsa(
    hostname: string,
    callback: (error: NodeJS.ErrnoException | null, addresses: TlsaRecord[]) => void,
  ): void;
  /**
   * Changes what is given, and leaves the rest as it is. What was kept of answers is forgotten; questions that
   * are under way go on as they began.
   * @throws {TypeError} ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE, which name the option; nothing has changed then
   */
  configure(options: DnsOptions): void;
}

/** The dns of a stack. It ends with the stack: what is asked then fails with ECANCELLED (lookup: EAI_CANCELED). */
export function createDns(
  stack: SocketStack & { addresses(): readonly AddressInfo[] },
  settings: DnsSettings,
): StackDns {
  const cacheOf = ({ cache }: DnsSettings) => (cache === null ? null : new DnsCache(cache));
  const host: DnsHost = {
    stack,
    addresses: () => stack.addresses(),
    settings,
    cache: cacheOf(settings),
    busy: new Set(),
    closed: stack.closed,
  };
  stackParts.get(stack)?.closing.add(() => {
    host.closed = true;
    for (const core of [...host.busy]) core.cancel();
  });
  const core = new ResolverCore(host, null);
  let order: ResultOrder = 'verbatim';
  const change = (next: DnsSettings) => {
    host.settings = next;
    host.cache = cacheOf(next);
  };

  const find = async (hostname: string, call: LookupCall) => {
    try {
      const found = await core.run(() => lookupAddresses(core, hostname, call));
      return found;
    } catch (error) {
      if (error instanceof DnsFailure) throw lookupError(lookupCode(error), hostname);
      throw error;
    }
  };
  const findService = async (address: string, port: number) => {
    try {
      return await core.run(() => lookupService(core, address, port));
    } catch (error) {
      if (!(error instanceof DnsFailure)) throw error;
      const code = lookupCode(error);
      // getnameinfo(3) knows no difference between no address and no name of it.
      const known = code === 'EAI_NODATA' ? 'EAI_NONAME' : code;
      throw lookupError(known, address, 'getnameinfo');
    }
  };

  function lookup(...args: unknown[]): object {
    const [hostname, options] = args;
    const ask = hostDns.lookup as unknown as (...args: unknown[]) => object;
    if (isNodes(hostname)) return ask(...args);
    // Node checks the others, of an address, for which it asks nobody.
    const others = args.slice(1).map((one) => (typeof one === 'function' ? () => {} : one));
    ask('127.0.0.1', ...others);
    const callback = (typeof options === 'function' ? options : args[2]) as Callback;
    const call = lookupCall(options, order);
    return deliver(find(hostname as string, call), callback, (found) => {
      const [first] = found;
      return call.all ? [found] : [first?.address, first?.family];
    });
  }

  function lookupPromise(hostname: unknown, options?: unknown): Promise<unknown> {
    const ask = hostDns.promises.lookup as (
      hostname: unknown,
      options: unknown,
    ) => Promise<unknown>;
    if (isNodes(hostname)) return ask(hostname, options);
    // It throws at once for what it does not take.
    void ask('127.0.0.1', options);
    const call = lookupCall(options, order);
    const found = find(hostname as string, call);
    return call.all ? found : found.then(([first]) => first);
  }

  function lookupServiceByCallback(...args: unknown[]): object {
    const [address, port, callback] = args;
    const isGood = args.length === 3 && isService(address, port) && typeof callback === 'function';
    const refuse = hostDns.lookupService as unknown as (...args: unknown[]) => object;
    if (!isGood) return refuse(...args);
    const outcome = findService(address as string, Number(port));
    return deliver(outcome, callback as Callback, (found) => [found.hostname, found.service]);
  }

  function lookupServicePromise(...args: unknown[]): Promise<unknown> {
    const [address, port] = args;
    const refuse = hostDns.promises.lookupService as (...args: unknown[]) => Promise<unknown>;
    if (args.length !== 2 || !isService(address, port)) return refuse(...args);
    return findService(address as string, Number(port));
  }

  define(lookup, promisify.custom, lookupPromise);
  define(lookupServiceByCallback, promisify.custom, lookupServicePromise);
  const both = {
    ...codes,
    getDefaultResultOrder: () => order,
    setDefaultResultOrder: (value: unknown) => {
      order = checkResultOrder(value);
    },
    getServers: () => core.servers.map(serverText),
    setServers: (servers: unknown) =>
      change({ ...host.settings, servers: checkServerList(servers) }),
  };
  const Resolver = callbackResolver(host);
  const PromiseResolver = promiseResolver(host);
  const promises = {
    ...both,
    ...bound(ownResolver(PromiseResolver, core)),
    lookup: lookupPromise,
    lookupService: lookupServicePromise,
    Resolver: PromiseResolver,
  };
  return {
    ...both,
    ...bound(ownResolver(Resolver, core)),
    lookup,
    lookupService: lookupServiceByCallback,
    Resolver,
    promises,
    configure: (options: DnsOptions) => change(checkDnsOptions(options, 'options', host.settings)),
  } as unknown as StackDns;
}

/** NODATA, ADDRCONFIG and so on, as this Node has them. */
const codes = Object.fromEntries(
  Object.entries(nodeDns).filter(([, value]) => /^(string|number)$/.test(typeof value)),
);

function define(target: object, key: PropertyKey, value: unknown): void {
  Object.defineProperty(target, key, { value, enumerable: false, configurable: true });
}

/** The methods of a resolver as functions. */
function bound(resolver: object): Record<string, unknown> {
  const all = resolver as Record<string, (...args: unknown[]) => unknown>;
  return Object.fromEntries(
    ['resolve', ...methodNames].map((name) => [name, all[name]?.bind(resolver)]),
  );
}
