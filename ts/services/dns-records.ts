// SPDX-License-Identifier: MIT
//
// The names that a forwarder answers by itself: those that it was given, and the clients of DHCP servers.

import { isIP, isIPv4 } from 'node:net';
import type { Answer } from 'dns-packet';
import { checkArray, checkInteger, checkKeys, checkObject, checkString } from '../check.js';
import { checkDomain } from '../dns/domain-name.js';
import { codec } from '../dns/packet.js';
import { reverseName } from '../dns/reverse-name.js';
import { invalidValue } from '../errors.js';

/** A record of any type that dns-packet knows, in its form: { type: 'MX', data: { preference, exchange } }. */
export interface DnsRecord {
  type: string;
  data: unknown;
  /** In seconds; 60 if left out. */
  ttl?: number;
}

/** By name, what it is; an address is an A or AAAA record, and a PTR record the other way round. */
export type DnsRecords = Readonly<Record<string, string | readonly (string | DnsRecord)[]>>;

export const ownTtl = 60;

export function addressAnswer(name: string, address: string, ttl: number): Answer {
  return { type: isIPv4(address) ? 'A' : 'AAAA', name, ttl, data: address } as Answer;
}

/** One value of a name, as an answer that the codec takes. */
export function checkRecord(value: unknown, name: string, owner: string): Answer {
  if (typeof value === 'string') {
    if (isIP(value) === 0 || value.includes('%')) {
      throw invalidValue(name, value, 'must be an IPv4 or IPv6 address, or { type, data }');
    }
    return addressAnswer(owner, value, ownTtl);
  }
  const given = checkObject(value, name);
  // The last three have dns-packet's answers: the question says which they are.
  checkKeys(given, name, ['type', 'data', 'ttl', 'name', 'class', 'flush']);
  const { type, data, ttl = ownTtl } = given;
  const answer = {
    type: checkString(type, `${name}.type`).toUpperCase(),
    name: owner,
    ttl: checkInteger(ttl, `${name}.ttl`, 0, 0x7fffffff),
    data,
  } as unknown as Answer;
  try {
    codec().encode({ type: 'response', answers: [answer] });
  } catch {
    throw invalidValue(name, value, 'is no record that can be encoded');
  }
  return answer;
}

/** A DHCP server, of either family, as one who looks for names sees it. */
export interface LeaseSource {
  readonly closed: boolean;
  readonly domain: string;
  leaseNamed(hostname: string): { address: string; expires: number } | undefined;
  leaseOf(address: string): { hostname: string; expires: number } | undefined;
}

/** The names, and what each says. */
export class OwnNames {
  readonly #names = new Map<string, Answer[]>();
  readonly #reverse = new Map<string, Map<string, Answer>>();
  readonly #servers: readonly LeaseSource[];

  constructor(records: unknown, servers: readonly LeaseSource[]) {
    this.#servers = servers;
    this.replace(records);
  }

  /** All anew; on an error all stays as it was. */
  replace(records: unknown): void {
    const checked = Object.entries(checkObject(records, 'records')).map(
      ([name, values]) => [name, values] as const,
    );
    const answers = checked.map(([name, values]) => this.#check(name, values));
    this.#names.clear();
    this.#reverse.clear();
    for (const [name, values] of answers) this.#put(name, values);
  }

  set(name: string, values: unknown): void {
    const checked = this.#check(name, values);
    this.delete(name);
    this.#put(...checked);
  }

  delete(name: string): boolean {
    const owner = checkDomain(name, 'name');
    for (const { type, data } of (this.#names.get(owner) ?? []) as {
      type: string;
      data: string;
    }[]) {
      if (type !== 'A' && type !== 'AAAA') continue;
      const reverse = reverseName(data);
      this.#reverse.get(reverse)?.delete(owner);
      if (this.#reverse.get(reverse)?.size === 0) this.#reverse.delete(reverse);
    }
    return this.#names.delete(owner);
  }

  /**
   * What is known of a name: the records of that type, none if it has none such; 'nxdomain' if it is in a
   * domain of ours and is not there; null if somebody else is to be asked.
   */
  find(name: string, type: string): Answer[] | 'nxdomain' | null {
    const own = this.#names.get(name);
    if (own !== undefined) return this.#chosen(own, type, name);
    const reverse = this.#reverse.get(name);
    if (reverse !== undefined) return type === 'PTR' || type === 'ANY' ? [...reverse.values()] : [];
    return this.#findLease(name, type);
  }

  #findLease(name: string, type: string): Answer[] | 'nxdomain' | null {
    const address = addressOfReverse(name);
    const found: Answer[] = [];
    let isOurs = false;
    let isDomain = false;
    for (const server of this.#servers) {
      if (server.closed) continue;
      const { domain } = server;
      const suffix = domain === '' ? '' : `.${domain}`;
      const label = suffix !== '' && name.endsWith(suffix) ? name.slice(0, -suffix.length) : name;
      const lease = label.includes('.') ? undefined : server.leaseNamed(label);
      if (lease !== undefined)
        found.push(addressAnswer(name, lease.address, leaseTtl(lease.expires)));
      const holder = address === null ? undefined : server.leaseOf(address);
      if (holder !== undefined && holder.hostname !== '') {
        const data = `${holder.hostname}${suffix}`;
        found.push({ type: 'PTR', name, ttl: leaseTtl(holder.expires), data });
      }
      isDomain ||= domain !== '' && domain === name;
      isOurs ||= suffix !== '' && name.endsWith(suffix);
    }
    if (found.length > 0 || isDomain)
      return found.filter((one) => type === 'ANY' || one.type === type);
    // Nobody else knows the names of these domains, and nobody else needs to see who is asked for.
    return isOurs ? 'nxdomain' : null;
  }

  #chosen(own: Answer[], type: string, asked: string): Answer[] {
    const fitting = own.filter((one) => type === 'ANY' || one.type === type);
    if (fitting.length > 0) return fitting;
    // RFC 1034 3.6.2: who asks for something else is shown where it is, as far as we know it.
    const [alias] = own.filter((one) => one.type === 'CNAME') as { type: 'CNAME'; data: string }[];
    if (alias === undefined) return [];
    const target = alias.data.toLowerCase().replace(/\.$/, '');
    const there = target === asked ? undefined : this.#names.get(target);
    return [alias as Answer, ...(there ?? []).filter((one) => one.type === type)];
  }

  #check(name: string, values: unknown): [string, Answer[]] {
    const owner = checkDomain(name, `records['${name}']`);
    const list = typeof values === 'string' ? [values] : checkArray(values, `records['${owner}']`);
    return [owner, list.map((one, i) => checkRecord(one, `records['${owner}'][${i}]`, owner))];
  }

  #put(name: string, answers: Answer[]): void {
    this.#names.set(name, answers);
    for (const { type, data, ttl } of answers as { type: string; data: string; ttl: number }[]) {
      if (type !== 'A' && type !== 'AAAA') continue;
      const reverse = reverseName(data);
      const there = this.#reverse.get(reverse) ?? new Map<string, Answer>();
      there.set(name, { type: 'PTR', name: reverse, ttl, data: name });
      this.#reverse.set(reverse, there);
    }
  }
}

function leaseTtl(expires: number): number {
  return Math.max(0, Math.min(ownTtl, Math.floor((expires - Date.now()) / 1000)));
}

function addressOfReverse(name: string): string | null {
  const [, v4] = /^(\d{1,3}(?:\.\d{1,3}){3})\.in-addr\.arpa$/.exec(name) ?? [];
  if (v4 !== undefined) return v4.split('.').reverse().join('.');
  const [, v6] = /^((?:[0-9a-f]\.){32})ip6\.arpa$/.exec(name) ?? [];
  if (v6 === undefined) return null;
  const digits = v6.replaceAll('.', '').split('').reverse().join('');
  return (digits.match(/.{4}/g) ?? []).join(':');
}
