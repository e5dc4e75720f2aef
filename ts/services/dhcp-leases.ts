// SPDX-License-Identifier: MIT
//
// Which client has which address, until when: bounded, and a function of the times it is given.

import { isIPv4 } from 'node:net';
import { addressNumber, addressOf } from './dhcp-message.js';
import { type DhcpSettings, endlessLease } from './dhcp-options.js';
import { earliestExpiry, endExpired } from './lease-expiry.js';

/** An address that a client has. */
export interface DhcpLease {
  address: string;
  /** '02:00:00:00:00:07'. */
  mac: string;
  /** The client identifier (option 61) in hexadecimal digits; '' if it sent none. */
  clientId: string;
  /** The name of the reservation, or what the client calls itself if nobody else is called so; or ''. */
  hostname: string;
  /** In milliseconds since 1970; Infinity for a lease without end. */
  expires: number;
  /** By `reservations`. */
  reserved: boolean;
}

/** Who asks. */
export interface DhcpClient {
  /** By client identifier, or by MAC if there is none. */
  key: string;
  /** By MAC: reservations may be by MAC though the client has an identifier. */
  macKey: string;
  mac: string;
  clientId: string;
  hostname: string;
}

interface Entry extends DhcpLease {
  key: string;
  /** False: offered, and not asked for yet. */
  bound: boolean;
}

/** How long an address is kept for who has not taken it yet. */
const offerTime = 30_000;
/** How long an address is left alone that a client found in use (RFC 2131 4.3.3). */
const declineTime = 600_000;

/** The addresses of one server. `now` is in milliseconds since 1970, and never goes back. */
export class DhcpLeases {
  readonly #settings: DhcpSettings;
  readonly #byKey = new Map<string, Entry>();
  readonly #byAddress = new Map<string, Entry>();
  readonly #declined = new Map<string, number>();
  readonly #reservedFor = new Map<string, string>();
  readonly #reservations: Map<string, DhcpSettings['reservations'][number]>;
  readonly #own: () => readonly string[];
  /** The stack's own addresses, which nobody gets, at the time of the call. */
  #ownNow = new Set<string>();

  constructor(settings: DhcpSettings, own: () => readonly string[], now: number) {
    this.#settings = settings;
    this.#own = own;
    this.#ownNow = new Set(own());
    this.#reservations = new Map(settings.reservations.map((one) => [one.key, one]));
    for (const one of settings.reservations) this.#reservedFor.set(one.address, one.key);
    for (const lease of settings.leases) this.#restore(lease, now);
  }

  list(now: number): DhcpLease[] {
    return [...this.#byAddress.values()]
      .filter((entry) => entry.bound && entry.expires > now)
      .map(toLease);
  }

  of(address: string, now: number): DhcpLease | undefined {
    const entry = this.#byAddress.get(address);
    return entry?.bound && entry.expires > now ? toLease(entry) : undefined;
  }

  named(hostname: string, now: number): DhcpLease | undefined {
    if (hostname === '') return undefined;
    for (const entry of this.#byAddress.values()) {
      if (entry.hostname === hostname && entry.bound && entry.expires > now) return toLease(entry);
    }
    return undefined;
  }

  /** An address for a client that looks for one (RFC 2131 4.3.1); null if there is none left. */
  offer(client: DhcpClient, requested: string | undefined, now: number): DhcpLease | null {
    this.#ownNow = new Set(this.#own());
    const known = this.#byKey.get(client.key);
    const reserved = this.#reservationOf(client);
    const choices = [reserved?.address, known?.address, requested];
    for (const address of choices) {
      if (address !== undefined && this.#isFree(address, client, now)) {
        return this.#take(address, client, now, known?.address === address && known.bound);
      }
    }
    const address = this.#search(client, now) ?? this.#oldestOffer();
    return address === null ? null : this.#take(address, client, now, false);
  }

  /** What the client has, or was offered; null for nothing. */
  find(client: DhcpClient): DhcpLease | null {
    const entry = this.#byKey.get(client.key);
    return entry === undefined ? null : toLease(entry);
  }

  /** The client has the address from now on; null if it cannot have it. */
  bind(
    client: DhcpClient,
    address: string,
    now: number,
  ): { lease: DhcpLease; isNew: boolean } | null {
    this.#ownNow = new Set(this.#own());
    const reserved = this.#reservationOf(client);
    if (reserved !== undefined && reserved.address !== address) return null;
    if (!this.#isFree(address, client, now)) return null;
    const before = this.#byKey.get(client.key);
    const isNew = before === undefined || !before.bound || before.address !== address;
    const entry = this.#take(address, client, now, true);
    if (entry === null) return null;
    const { leaseTime } = this.#settings;
    entry.bound = true;
    entry.expires = leaseTime === endlessLease ? Number.POSITIVE_INFINITY : now + leaseTime * 1000;
    return { lease: toLease(entry), isNew };
  }

  /** The client gives its address back; null if it has not got it. */
  release(client: DhcpClient, address: string): DhcpLease | null {
    const entry = this.#byKey.get(client.key);
    if (entry === undefined || entry.address !== address) return null;
    this.#remove(entry);
    return entry.bound ? toLease(entry) : null;
  }

  /** The client has found its address in use: it is left alone for a while. False if it was not its own. */
  decline(client: DhcpClient, address: string, now: number): boolean {
    const entry = this.#byKey.get(client.key);
    if (entry === undefined || entry.address !== address) return false;
    this.#remove(entry);
    this.#declined.set(address, now + declineTime);
    return true;
  }

  /** Whether an address is of the subnet that is served. */
  isOnLink(address: string): boolean {
    const shift = 32 - this.#settings.prefix;
    const network = (one: string) => (shift === 32 ? 0 : addressNumber(one) >>> shift);
    return network(address) === network(this.#settings.server);
  }

  /** Ends what is over. @returns the leases that have ended */
  expire(now: number): DhcpLease[] {
    const over = endExpired(this.#declined, this.#byAddress, now, (entry) => this.#remove(entry));
    return over.filter((entry) => entry.bound).map(toLease);
  }

  /** When expire() has something to do next; Infinity for never. */
  nextExpiry(): number {
    return earliestExpiry(this.#byAddress);
  }

  #reservationOf(client: DhcpClient) {
    return this.#reservations.get(client.key) ?? this.#reservations.get(client.macKey);
  }

  /** Whether this client may have the address now. */
  #isFree(address: string, client: DhcpClient, now: number): boolean {
    const { first, last } = this.#settings;
    const number = addressNumber(address);
    const reservedFor = this.#reservedFor.get(address);
    if (reservedFor !== undefined) {
      if (reservedFor !== client.key && reservedFor !== client.macKey) return false;
    } else if (number < first || number > last) {
      return false;
    }
    if (this.#ownNow.has(address)) return false;
    if ((this.#declined.get(address) ?? 0) > now) return false;
    // One machine may ask by two identifiers, as its boot loader and its system do.
    if (reservedFor !== undefined) return true;
    const holder = this.#byAddress.get(address);
    return holder === undefined || holder.key === client.key || holder.expires <= now;
  }

  /** A free address: for the same client the same, as long as nobody else has it. */
  #search(client: DhcpClient, now: number): string | null {
    const { first, last } = this.#settings;
    const size = last - first + 1;
    let hash = 0x811c9dc5;
    for (const byte of Buffer.from(client.key)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
    // Every address of a pool that is nearly full is looked at, of a large one not more than are taken.
    const tries = Math.min(
      size,
      this.#byAddress.size + this.#declined.size + this.#reservedFor.size + 64,
    );
    for (let i = 0; i < tries; i += 1) {
      const address = addressOf(first + ((hash + i) % size));
      if (!this.#reservedFor.has(address) && this.#isFree(address, client, now)) return address;
    }
    return null;
  }

  /** Of the addresses that are only offered the one that was so first: clients that never take theirs keep
   * nobody out. */
  #oldestOffer(): string | null {
    let oldest: Entry | null = null;
    for (const entry of this.#byAddress.values()) {
      if (entry.bound || this.#reservedFor.has(entry.address)) continue;
      if (oldest === null || entry.expires < oldest.expires) oldest = entry;
    }
    return oldest?.address ?? null;
  }

  #take(address: string, client: DhcpClient, now: number, keep: boolean): Entry | null {
    const before = this.#byKey.get(client.key);
    const holder = this.#byAddress.get(address);
    if (before !== undefined && before !== holder) this.#remove(before);
    if (holder !== undefined && holder.key !== client.key) this.#remove(holder);
    const same = before !== undefined && before === holder;
    if (!same && this.#byAddress.size >= this.#settings.maxLeases && !this.#makeRoom(now))
      return null;
    const reserved = this.#reservationOf(client);
    const entry: Entry = {
      key: client.key,
      address,
      mac: client.mac,
      clientId: client.clientId,
      hostname: reserved?.hostname || this.#nameFor(client),
      expires: keep && same ? before.expires : now + offerTime,
      reserved: reserved !== undefined,
      bound: keep && same && before.bound,
    };
    this.#byKey.set(client.key, entry);
    this.#byAddress.set(address, entry);
    return entry;
  }

  /** The name that a client wants, unless somebody has it: who comes later cannot take it away. */
  #nameFor(client: DhcpClient): string {
    const { hostname } = client;
    if (hostname === '') return '';
    for (const one of this.#settings.reservations) {
      if (one.hostname === hostname) return '';
    }
    for (const entry of this.#byAddress.values()) {
      if (entry.hostname === hostname && entry.key !== client.key) return '';
    }
    return hostname;
  }

  #makeRoom(now: number): boolean {
    for (const entry of this.#byAddress.values()) {
      if (entry.expires > now) continue;
      this.#remove(entry);
      return true;
    }
    return false;
  }

  #remove(entry: Entry): void {
    if (this.#byKey.get(entry.key) === entry) this.#byKey.delete(entry.key);
    if (this.#byAddress.get(entry.address) === entry) this.#byAddress.delete(entry.address);
  }

  /** A lease of an earlier run; what does not fit is left out, since it may come from an old file. */
  #restore(lease: DhcpLease, now: number): void {
    const { address, mac, clientId, hostname, expires } = lease ?? {};
    const strings = [address, mac, clientId, hostname].every((one) => typeof one === 'string');
    if (!strings || !isIPv4(address) || typeof expires !== 'number' || !(expires > now)) return;
    const macKey = `mac ${mac}`;
    const key = clientId === '' ? macKey : `id ${clientId}`;
    const client = { key, macKey, mac, clientId, hostname };
    const reserved = this.#reservationOf(client);
    if (reserved !== undefined && reserved.address !== address) return;
    if (this.#byKey.has(key) || !this.#isFree(address, client, now)) return;
    const entry = this.#take(address, client, now, false);
    if (entry === null) return;
    entry.bound = true;
    entry.expires = expires;
  }
}

function toLease({ address, mac, clientId, hostname, expires, reserved }: DhcpLease): DhcpLease {
  return { address, mac, clientId, hostname, expires, reserved };
}
