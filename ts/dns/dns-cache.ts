// SPDX-License-Identifier: MIT
//
// What servers have answered, for as long as it counts (RFC 1035 7.4, RFC 2308 5): bounded, what was not used
// for longest makes way.

import type { Answer } from 'dns-packet';

/** What a question has come to. */
export interface Found {
  /** RFC 1035 4.1.1: 0, or 3 for a name that is not there. */
  rcode: number;
  /** Of the asked type, in the server's order; none if the name has none such. */
  records: readonly Answer[];
  /** Whether it is of another name, to which aliases lead. */
  aliased: boolean;
  /** Seconds; 0: not to be kept. */
  ttl: number;
}

export interface CacheLimits {
  /** Questions that are kept. */
  entries: number;
  /** Seconds that an answer is kept at most. */
  maxTtl: number;
  /** Seconds that it is kept at most that there is no answer. */
  maxNegativeTtl: number;
}

/** A record with the time that is left to it. */
function aged(record: Answer, seconds: number): Answer {
  const { ttl = 0 } = record as { ttl?: number };
  return { ...record, ttl: ttl - seconds } as Answer;
}

/** What an answer may have to be kept: a few large ones must not be all the memory. */
const mostRecords = 64;

export class DnsCache {
  readonly #limits: CacheLimits;
  readonly #entries = new Map<string, { found: Found; until: number }>();

  constructor(limits: CacheLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#entries.size;
  }

  clear(): void {
    this.#entries.clear();
  }

  /** With the time that is left to it; undefined if nothing is known. */
  get(key: string): Found | undefined {
    const known = this.#entries.get(key);
    if (known === undefined) return undefined;
    this.#entries.delete(key);
    const ttl = Math.ceil((known.until - performance.now()) / 1000);
    if (ttl <= 0) return undefined;
    this.#entries.set(key, known); // to the end of the row
    const age = known.found.ttl - ttl;
    return { ...known.found, records: known.found.records.map((one) => aged(one, age)), ttl };
  }

  put(key: string, found: Found): void {
    const { entries, maxTtl, maxNegativeTtl } = this.#limits;
    const most = found.records.length > 0 ? maxTtl : maxNegativeTtl;
    const ttl = Math.min(found.ttl, most);
    if (ttl <= 0 || found.records.length > mostRecords) return;
    this.#entries.delete(key);
    const kept = { ...found, ttl };
    this.#entries.set(key, { found: kept, until: performance.now() + ttl * 1000 });
    if (this.#entries.size <= entries) return;
    const [oldest] = this.#entries.keys();
    if (oldest !== undefined) this.#entries.delete(oldest);
  }
}
