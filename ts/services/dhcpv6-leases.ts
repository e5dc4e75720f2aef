// SPDX-License-Identifier: MIT
//
// Which DHCPv6 client has which address, until when: bounded, and a function of the times it is given.

import { isIPv6 } from 'node:net';
import { addressNumber6, addressOf6 } from './dhcpv6-message.js';
import type { Dhcpv6Settings } from './dhcpv6-options.js';
import { earliestExpiry, endExpired } from './lease-expiry.js';

/** An address that a client has, in one of its identity associations. */
export interface Dhcpv6Lease {
  address: string;
  /** The client's, in hexadecimal digits. */
  duid: string;
  iaid: number;
  /** The name of the reservation, or what the client calls itself if nobody else is called so; or ''. */
  hostname: string;
  /** In milliseconds since 1970; Infinity for a lease without end. */
  expires: number;
  reserved: boolean;
}

export interface Dhcpv6Client {
  duid: string;
  hostname: string;
}

interface Entry extends Dhcpv6Lease {
  bound: boolean;
}

const offerTime = 30_000;
const declineTime = 600_000;

const keyOf = (duid: string, iaid: number) => `${duid}/${iaid}`;

/** `now` is in milliseconds since 1970, and never goes back. */
export class Dhcpv6Leases {
  readonly #settings: Dhcpv6Settings;
  readonly #own: () => readonly string[];
  readonly #byKey = new Map<string, Entry>();
  readonly #byAddress = new Map<string, Entry>();
  readonly #declined = new Map<string, number>();
  /** The DUID that an address is kept for, and the address that is kept for a DUID. */
  readonly #keptFor = new Map<string, string>();
  readonly #kept = new Map<string, { address: string; hostname: string }>();

  constructor(settings: Dhcpv6Settings, own: () => readonly string[], now: number) {
    this.#settings = settings;
    this.#own = own;
    for (const { duid, address, hostname } of settings.reservations) {
      const plain = addressOf6(addressNumber6(address));
      this.#keptFor.set(plain, duid);
      this.#kept.set(duid, { address: plain, hostname });
    }
    for (const lease of settings.leases) this.#restore(lease, now);
  }

  list(now: number): Dhcpv6Lease[] {
    return [...this.#byAddress.values()]
      .filter((entry) => entry.bound && entry.expires > now)
      .map(toLease);
  }

  find(duid: string, iaid: number): Dhcpv6Lease | undefined {
    const entry = this.#byKey.get(keyOf(duid, iaid));
    return entry === undefined ? undefined : toLease(entry);
  }

  of(address: string, now: number): Dhcpv6Lease | undefined {
    const entry = this.#byAddress.get(addressOf6(addressNumber6(address)));
    return entry?.bound && entry.expires > now ? toLease(entry) : undefined;
  }

  named(hostname: string, now: number): Dhcpv6Lease | undefined {
    if (hostname === '') return undefined;
    for (const entry of this.#byAddress.values()) {
      if (entry.hostname === hostname && entry.bound && entry.expires > now) return toLease(entry);
    }
    return undefined;
  }

  /** An address for an association: its own, the one it names, or a free one; null for none. */
  allot(client: Dhcpv6Client, iaid: number, wanted: readonly string[], bind: boolean, now: number) {
    const key = keyOf(client.duid, iaid);
    const known = this.#byKey.get(key);
    const own = new Set(this.#own());
    const kept = this.#kept.get(client.duid);
    const choices = [kept?.address, known?.address, ...wanted];
    let address = choices.find(
      (one) => one !== undefined && this.#isFree(one, key, client, own, now),
    );
    address ??= this.#search(key, client, own, now) ?? undefined;
    if (address === undefined) return null;
    if (known !== undefined && known.address !== address) this.#remove(known);
    const holder = this.#byAddress.get(address);
    if (holder !== undefined && holder !== known) this.#remove(holder);
    const isNew = known?.address !== address || !known.bound;
    if (holder === undefined && this.#byAddress.size >= this.#settings.maxLeases) return null;
    const isKept = kept?.address === address;
    const { valid } = this.#settings;
    const end = valid === 0xffffffff ? Number.POSITIVE_INFINITY : now + valid * 1000;
    const entry: Entry = {
      address,
      duid: client.duid,
      iaid,
      hostname: (isKept && kept?.hostname) || this.#nameFor(client),
      expires: bind ? end : isNew ? now + offerTime : (known?.expires ?? now),
      reserved: isKept,
      bound: bind || !isNew,
    };
    this.#byKey.set(key, entry);
    this.#byAddress.set(address, entry);
    return { lease: toLease(entry), isNew };
  }

  /** Takes an address back from its association; undefined if it has it not. */
  release(duid: string, iaid: number, address: string): Dhcpv6Lease | undefined {
    const entry = this.#byKey.get(keyOf(duid, iaid));
    if (entry === undefined || entry.address !== address) return undefined;
    this.#remove(entry);
    return toLease(entry);
  }

  /** The same, and nobody gets it for a while (RFC 8415 18.3.8). */
  decline(duid: string, iaid: number, address: string, now: number): Dhcpv6Lease | undefined {
    const lease = this.release(duid, iaid, address);
    if (lease !== undefined) this.#declined.set(address, now + declineTime);
    return lease;
  }

  isOnLink(address: string): boolean {
    const host = 128n - BigInt(this.#settings.prefix);
    return addressNumber6(address) >> host === this.#settings.network >> host;
  }

  /** Ends what is over. @returns the leases that have ended */
  expire(now: number): Dhcpv6Lease[] {
    const over = endExpired(this.#declined, this.#byAddress, now, (entry) => this.#remove(entry));
    return over.filter((entry) => entry.bound).map(toLease);
  }

  nextExpiry(): number {
    return earliestExpiry(this.#byAddress);
  }

  #isFree(
    address: string,
    key: string,
    client: Dhcpv6Client,
    own: Set<string>,
    now: number,
  ): boolean {
    const { range } = this.#settings;
    const keptFor = this.#keptFor.get(address);
    if (keptFor !== undefined) {
      if (keptFor !== client.duid) return false;
    } else {
      const number = addressNumber6(address);
      if (range === null || number < range.first || number > range.last) return false;
    }
    if (own.has(address) || (this.#declined.get(address) ?? 0) > now) return false;
    const holder = this.#byAddress.get(address);
    if (holder === undefined || holder.expires <= now) return true;
    return keyOf(holder.duid, holder.iaid) === key;
  }

  #search(key: string, client: Dhcpv6Client, own: Set<string>, now: number): string | null {
    const { range } = this.#settings;
    if (range === null) return null;
    const size = range.last - range.first + 1n;
    let hash = 0xcbf29ce484222325n;
    for (const byte of Buffer.from(key)) {
      hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & 0xffffffffffffffffn;
    }
    const taken = this.#byAddress.size + this.#declined.size + this.#keptFor.size + own.size;
    for (let i = 0n; i < size && i <= BigInt(taken); i += 1n) {
      const address = addressOf6(range.first + ((hash + i) % size));
      if (this.#keptFor.has(address)) continue;
      if (this.#isFree(address, key, client, own, now)) return address;
    }
    // Of what is only offered the oldest: clients that never take theirs keep nobody out.
    let oldest: Entry | null = null;
    for (const entry of this.#byAddress.values()) {
      if (entry.bound || entry.reserved) continue;
      if (oldest === null || entry.expires < oldest.expires) oldest = entry;
    }
    return oldest?.address ?? null;
  }

  #nameFor({ duid, hostname }: Dhcpv6Client): string {
    for (const one of this.#kept.values()) if (one.hostname === hostname) return '';
    for (const entry of this.#byAddress.values()) {
      if (entry.hostname === hostname && entry.duid !== duid) return '';
    }
    return hostname;
  }

  #remove(entry: Entry): void {
    const key = keyOf(entry.duid, entry.iaid);
    if (this.#byKey.get(key) === entry) this.#byKey.delete(key);
    if (this.#byAddress.get(entry.address) === entry) this.#byAddress.delete(entry.address);
  }

  /** A lease of an earlier run; what does not fit is left out, since it may come from an old file. */
  #restore(lease: Dhcpv6Lease, now: number): void {
    const { address, duid, iaid, hostname, expires } = lease ?? {};
    const strings = [address, duid, hostname].every((one) => typeof one === 'string');
    if (!strings || !isIPv6(address) || !Number.isInteger(iaid)) return;
    if (typeof expires !== 'number' || !(expires > now)) return;
    const plain = addressOf6(addressNumber6(address));
    const client = { duid, hostname };
    if (!this.#isFree(plain, keyOf(duid, iaid), client, new Set(this.#own()), now)) return;
    const allotted = this.allot(client, iaid, [plain], true, now);
    if (allotted === null) return;
    const entry = this.#byAddress.get(allotted.lease.address);
    if (entry !== undefined) entry.expires = expires;
  }
}

function toLease({ address, duid, iaid, hostname, expires, reserved }: Dhcpv6Lease): Dhcpv6Lease {
  return { address, duid, iaid, hostname, expires, reserved };
}
