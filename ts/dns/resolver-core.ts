// SPDX-License-Identifier: MIT
//
// What is behind a Resolver of either interface: its servers, its questions, and how they are cancelled.

import type { promises as nodeDns } from 'node:dns';
import { setMaxListeners } from 'node:events';
import type { SocketStack } from '../socket-stack.js';
import type { AddressInfo } from '../stack-info.js';
import type { DnsCache, Found } from './dns-cache.js';
import { DnsFailure } from './dns-errors.js';
import { type AskSettings, type DnsServerAddress, DnsServers } from './dns-servers.js';
import type { DnsSettings } from './dns-settings.js';
import { hostDns } from './host-dns.js';
import { isLocalhost, isOnion, queryName } from './query-name.js';
import { Questions } from './questions.js';

/** What all resolvers of a stack share. */
export interface DnsHost {
  readonly stack: SocketStack;
  /** The stack's addresses, for ADDRCONFIG. */
  addresses(): readonly AddressInfo[];
  /** Replaced as a whole when it changes. */
  settings: DnsSettings;
  /** Of what the stack's own servers said. */
  cache: DnsCache | null;
  /** Resolvers that have questions. */
  readonly busy: Set<ResolverCore>;
  closed: boolean;
}

/** What a Resolver may say other than its stack. */
export interface CoreOptions {
  /** Milliseconds; -1: as the stack. */
  timeout: number;
  tries: number | undefined;
}

export const loopbackAddresses = { A: '127.0.0.1', AAAA: '::1' } as const;

export class ResolverCore {
  readonly host: DnsHost;
  readonly #options: CoreOptions | null;
  #ownServers: readonly Required<DnsServerAddress>[] | null = null;
  #local: AskSettings['local'] = {};
  #ended = abortController();
  /** Questions since the last cancel(): what that ended is pending no more, also before they who asked know. */
  #pending = { count: 0 };
  #built: { settings: DnsSettings; questions: Questions } | null = null;
  #hostResolver: nodeDns.Resolver | null = null;

  /** @param options null for the stack's own resolver, which has its cache */
  constructor(host: DnsHost, options: CoreOptions | null) {
    this.host = host;
    this.#options = options;
  }

  get pending(): number {
    return this.#pending.count;
  }

  get servers(): readonly Required<DnsServerAddress>[] {
    return this.#ownServers ?? this.host.settings.servers;
  }

  setServers(servers: readonly Required<DnsServerAddress>[]): void {
    this.#ownServers = servers;
    this.#built = null;
  }

  setLocalAddress(local: { ipv4?: string; ipv6?: string }): void {
    this.#local = local;
    this.#built = null;
  }

  /** Whether the host's resolver is asked instead of servers. */
  get asksHost(): boolean {
    return this.servers.length === 0 && this.host.settings.fallback === 'host';
  }

  /** The host's resolver: the process's own, or, of a Resolver, one with its times. */
  get hostResolver(): Pick<nodeDns.Resolver, 'resolve4'> {
    if (this.#options === null) return hostDns.promises;
    const { timeout, tries } = this.#options;
    const times = tries === undefined ? { timeout } : { timeout, tries };
    this.#hostResolver ??= new hostDns.promises.Resolver(times);
    return this.#hostResolver;
  }

  /** The end of all questions that are under way; new ones may follow. */
  cancel(): void {
    const ended = this.#ended;
    this.#ended = abortController();
    this.#pending = { count: 0 };
    this.#built = null;
    this.#hostResolver?.cancel();
    ended.abort();
  }

  /** The outcome of `work`, or, at once, that it was cancelled. @throws {DnsFailure} ECANCELLED */
  run<T>(work: () => Promise<T>): Promise<T> {
    if (this.host.closed) return Promise.reject(new DnsFailure('ECANCELLED'));
    const { signal } = this.#ended;
    const pending = this.#pending;
    pending.count += 1;
    this.host.busy.add(this);
    return new Promise<T>((resolve, reject) => {
      const cancelled = () => reject(new DnsFailure('ECANCELLED'));
      signal.addEventListener('abort', cancelled, { once: true });
      work()
        .then(resolve, reject)
        .finally(() => signal.removeEventListener('abort', cancelled));
    }).finally(() => {
      pending.count -= 1;
      if (this.pending === 0) this.host.busy.delete(this);
    });
  }

  /**
   * What servers know, also that there is nothing.
   * @throws {DnsFailure} ECONNREFUSED also where there are no servers, as c-ares, which then asks itself
   */
  ask(name: string, type: string): Promise<Found> {
    if (this.servers.length === 0) return Promise.reject(new DnsFailure('ECONNREFUSED'));
    return this.#questions().ask(name, type);
  }

  /**
   * The records of a type.
   * @param hostname as the user gave it
   * @throws {DnsFailure} also ENOTFOUND, ENODATA and EBADNAME
   */
  async records(hostname: string, type: string): Promise<Found> {
    const name = queryName(hostname);
    if (name === null) throw new DnsFailure('EBADNAME');
    if (isOnion(name)) throw new DnsFailure('ENOTFOUND');
    const found = isLocalhost(name) ? loopback(name, type) : await this.ask(name, type);
    if (found.rcode !== 0) throw new DnsFailure('ENOTFOUND');
    if (found.records.length === 0) throw new DnsFailure('ENODATA', found.aliased);
    return found;
  }

  #questions(): Questions {
    const { settings, cache, stack } = this.host;
    if (this.#built?.settings !== settings) {
      const { timeout = -1, tries } = this.#options ?? {};
      const servers = this.servers;
      const ask = {
        timeout: timeout > 0 ? timeout : settings.timeout,
        attempts: tries ?? settings.attempts,
        rotate: settings.rotate,
        withoutEdns: true,
        local: this.#local ?? {},
      };
      const asked = new DnsServers(stack, () => servers, ask, this.#ended.signal);
      // Others' servers may say other things: only the stack's own are remembered.
      const questions = new Questions(asked, this.#options === null ? cache : null);
      this.#built = { settings, questions };
    }
    return this.#built.questions;
  }
}

/** One that any number of questions may listen to. */
function abortController(): AbortController {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  return controller;
}

/** RFC 6761 6.3: localhost is nobody else. */
function loopback(name: string, type: string): Found {
  const both = Object.entries(loopbackAddresses).map(([kind, data]) => {
    return { type: kind as 'A' | 'AAAA', name, ttl: 0, data };
  });
  return {
    rcode: 0,
    records: both.filter((one) => type === 'ANY' || type === one.type),
    aliased: false,
    ttl: 0,
  };
}
