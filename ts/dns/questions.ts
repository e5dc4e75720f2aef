// SPDX-License-Identifier: MIT
//
// A stub resolver's questions (RFC 1034 5.3.1): the cache first, then the servers; each question once for all who
// ask it at the same time, and no more of them under way than there is room for.

import type { Answer, DecodedPacket } from 'dns-packet';
import type { DnsCache, Found } from './dns-cache.js';
import { codeOfRcode, DnsFailure } from './dns-errors.js';
import { ownQuery, Rcode } from './dns-message.js';
import type { DnsServers } from './dns-servers.js';

/** Questions at servers at once; more wait. */
const mostUnderWay = 128;
/** Questions that wait; more fail. */
const mostWaiting = 4096;
/** Aliases that are followed: a chain that is longer is taken for a loop. */
const mostAliases = 16;
/** RFC 2181 8: a larger one counts as 0. */
const largestTtl = 0x7fffffff;

interface PlainRecord {
  type: string;
  name: string;
  ttl?: number;
  data: unknown;
}

export class Questions {
  readonly #servers: DnsServers;
  readonly #cache: DnsCache | null;
  readonly #asking = new Map<string, Promise<Found>>();
  readonly #waiting: (() => void)[] = [];
  #underWay = 0;

  constructor(servers: DnsServers, cache: DnsCache | null) {
    this.#servers = servers;
    this.#cache = cache;
  }

  /**
   * What there is of `type` at a name, through its aliases.
   * @param name as queryName() gives it @param type one that the codec knows
   * @throws {DnsFailure} where no server said whether there is anything
   */
  ask(name: string, type: string): Promise<Found> {
    const key = `${type} ${name.toLowerCase()}`;
    const kept = this.#cache?.get(key);
    if (kept !== undefined) return Promise.resolve(kept);
    const asking = this.#asking.get(key);
    if (asking !== undefined) return asking;
    if (this.#waiting.length >= mostWaiting) return Promise.reject(new DnsFailure('ENOMEM'));
    const asked = this.#follow(name, type)
      .then((found) => {
        this.#cache?.put(key, found);
        return found;
      })
      .finally(() => this.#asking.delete(key));
    this.#asking.set(key, asked);
    return asked;
  }

  /** Asks, and again for the end of a chain of aliases that a server did not follow (RFC 1034 5.3.3). */
  async #follow(first: string, type: string): Promise<Found> {
    let name = first;
    let ttl = largestTtl;
    const seen = new Set<string>();
    while (seen.size <= mostAliases) {
      const message = await this.#askServers(name, type);
      const step = readStep(message.packet, message.rcode, name, type, seen, ttl);
      if (step === null) break;
      const { records, next } = step;
      ttl = step.ttl;
      if (next === null) return { rcode: message.rcode, records, aliased: seen.size > 1, ttl };
      name = next;
    }
    throw new DnsFailure('EBADRESP');
  }

  async #askServers(name: string, type: string) {
    if (this.#underWay >= mostUnderWay) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else {
      this.#underWay += 1;
    }
    try {
      const outcome = await this.#servers.ask(ownQuery(name, type));
      if (outcome === 'timeout') throw new DnsFailure('ETIMEOUT');
      if (outcome === 'unreachable') throw new DnsFailure('ECONNREFUSED');
      const { rcode } = outcome;
      if (rcode !== Rcode.noError && rcode !== Rcode.nxDomain)
        throw new DnsFailure(codeOfRcode(rcode));
      return outcome;
    } finally {
      // The place goes on to who waits, or is free.
      const next = this.#waiting.shift();
      if (next !== undefined) next();
      else this.#underWay -= 1;
    }
  }
}

/**
 * What an answer says of a name.
 * @param seen names of the chain so far; those of this answer are added
 * @param least the chain's time to live so far, of which no record has more
 * @returns the records; or, as `next`, the alias to ask for; null for a loop
 */
function readStep(
  packet: DecodedPacket,
  rcode: number,
  asked: string,
  type: string,
  seen: Set<string>,
  least: number,
): { records: Answer[]; ttl: number; next: string | null } | null {
  const answers = (packet.answers ?? []) as unknown as PlainRecord[];
  let ttl = least;
  let name = keyOf(asked);
  const start = name;
  for (;;) {
    if (seen.has(name) || seen.size > mostAliases) return null;
    seen.add(name);
    const here = answers.filter((one) => keyOf(one.name) === name);
    const records = here
      .filter((one) => one.type === type || (type === 'ANY' && isRecord(one)))
      .map((one) => ({ ...one, ttl: Math.min(ttlOf(one), ttl) }));
    if (records.length > 0) {
      ttl = Math.min(...records.map((one) => one.ttl));
      return { records: records as unknown as Answer[], ttl, next: null };
    }
    const alias = here.find((one) => one.type === 'CNAME' && typeof one.data === 'string');
    if (alias === undefined) break;
    ttl = Math.min(ttl, ttlOf(alias));
    name = keyOf(alias.data as string);
  }
  const negative = negativeTtl(packet);
  const isWhole = rcode !== Rcode.noError || name === start || negative !== null;
  if (isWhole) return { records: [], ttl: Math.min(ttl, negative ?? 0), next: null };
  seen.delete(name); // it is asked for now
  return { records: [], ttl, next: name };
}

const isRecord = ({ type }: PlainRecord) => type !== 'OPT';

const keyOf = (name: string) => name.toLowerCase().replace(/\.$/, '');

function ttlOf({ ttl = 0 }: PlainRecord): number {
  return ttl > largestTtl ? 0 : ttl;
}

/** RFC 2308 5: for how long there is no answer; null if the server does not say. */
function negativeTtl(packet: DecodedPacket): number | null {
  const authorities = (packet.authorities ?? []) as unknown as PlainRecord[];
  const soa = authorities.find((one) => one.type === 'SOA');
  if (soa === undefined) return null;
  const { minimum } = soa.data as { minimum?: number };
  return Math.min(ttlOf(soa), minimum ?? 0);
}
