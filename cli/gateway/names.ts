// SPDX-License-Identifier: MIT
//
// Which names an address was given for, as the DNS forwarder tells.

import { plainName } from './rule.js';

/** Addresses, and names of one: what goes beyond pushes out the oldest. */
const mostAddresses = 8192;
const mostNames = 8;
/** A resolver behind the gateway keeps answers for as long (systemd-resolved's limit), programs often longer than that; ms. */
const life = 2 * 3600 * 1000;

export class NameTable {
  /** By address, in the order of their last answer; of each, name and when it is forgotten. */
  readonly #names = new Map<string, Map<string, number>>();
  readonly #now: () => number;

  /** @param now milliseconds, monotonic */
  constructor(now = () => performance.now()) {
    this.#now = now;
  }

  learn(name: string, address: string): void {
    const key = plainAddress(address);
    const names = this.#names.get(key) ?? new Map<string, number>();
    const plain = plainName(name);
    // The newest stands last.
    names.delete(plain);
    names.set(plain, this.#now() + life);
    trim(names, mostNames);
    this.#names.delete(key);
    this.#names.set(key, names);
    trim(this.#names, mostAddresses);
  }

  /** The names of an address, the newest first. */
  of(address: string): string[] {
    const now = this.#now();
    const found: string[] = [];
    for (const [name, end] of this.#names.get(plainAddress(address)) ?? []) {
      if (end > now) found.unshift(name);
    }
    return found;
  }

  get size(): number {
    return this.#names.size;
  }
}

/** One text for one address: '::0001' is '::1'. */
function plainAddress(address: string): string {
  return address.includes(':')
    ? new URL(`http://[${address.replace(/%.*/, '')}]`).hostname.slice(1, -1)
    : address;
}

function trim<K, V>(map: Map<K, V>, most: number): void {
  if (map.size <= most) return;
  const oldest = map.keys().next();
  if (!oldest.done) map.delete(oldest.value);
}
