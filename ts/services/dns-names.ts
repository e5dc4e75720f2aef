// SPDX-License-Identifier: MIT
//
// By which names addresses were asked for: bounded, the oldest makes way.

import { isIPv6 } from 'node:net';
import { ipv6Hex } from '../dns/reverse-name.js';

/** Programs go on with an address for a while after its record has ended. */
const leastTime = 60;
const mostTime = 86_400;

export class AddressNames {
  readonly #limit: number;
  readonly #names = new Map<string, { name: string; until: number }>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** @param ttl in seconds */
  add(address: string, name: string, ttl: number): void {
    const key = keyOf(address);
    const seconds = Math.min(Math.max(ttl, leastTime), mostTime);
    this.#names.delete(key); // to the end of the row
    this.#names.set(key, { name, until: performance.now() + seconds * 1000 });
    if (this.#names.size <= this.#limit) return;
    const [oldest] = this.#names.keys();
    if (oldest !== undefined) this.#names.delete(oldest);
  }

  find(address: string): string | undefined {
    const key = keyOf(address);
    const known = this.#names.get(key);
    if (known === undefined || known.until > performance.now()) return known?.name;
    this.#names.delete(key);
    return undefined;
  }
}

/** One spelling for each address. */
function keyOf(address: string): string {
  return isIPv6(address) ? ipv6Hex(address) : address;
}
