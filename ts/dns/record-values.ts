// SPDX-License-Identifier: MIT
//
// Records in the form that node:dns gives them.

import { isIPv4, isIPv6 } from 'node:net';
import type { Answer } from 'dns-packet';
import { DnsFailure } from './dns-errors.js';
import { addressText } from './reverse-name.js';

/** The types of resolve(), in the order in which resolveAny() has them. */
export const recordTypes = [
  'A',
  'CNAME',
  'AAAA',
  'MX',
  'NS',
  'TXT',
  'SRV',
  'PTR',
  'NAPTR',
  'SOA',
  'CAA',
  'TLSA',
] as const;

export type ResolveType = (typeof recordTypes)[number];

type Data = Record<string, unknown>;

/** The value of each type, from the codec's data. Throws for data that is not of the type. */
const values: Record<ResolveType, (data: Data) => unknown> = {
  A: (data) => expect(data, isIPv4),
  AAAA: (data) => addressText(expect(data, isIPv6)),
  CNAME: name,
  NS: name,
  PTR: name,
  MX: (data) => ({ exchange: name(data.exchange), priority: number(data.preference) }),
  TXT: (data) => chunks(data),
  SRV: (data) => ({
    name: name(data.target),
    port: number(data.port),
    priority: number(data.priority),
    weight: number(data.weight),
  }),
  NAPTR: (data) => ({
    flags: text(data.flags),
    service: text(data.services),
    regexp: text(data.regexp),
    replacement: name(data.replacement),
    order: number(data.order),
    preference: number(data.preference),
  }),
  SOA: (data) => ({
    nsname: name(data.mname),
    hostmaster: name(data.rname),
    serial: number(data.serial),
    refresh: number(data.refresh),
    retry: number(data.retry),
    expire: number(data.expire),
    minttl: number(data.minimum),
  }),
  CAA: (data) => ({ critical: number(data.flags), [text(data.tag)]: text(data.value) }),
  TLSA: (data) => ({
    certUsage: number(data.usage),
    selector: number(data.selector),
    match: number(data.matchingType),
    data: bytes(data.certificate),
  }),
};

/**
 * What resolve() gives for the records of a type.
 * @param withTtl with the seconds that each has, where the type has them
 * @throws {DnsFailure} EBADRESP for a record that is not of its type
 */
export function valuesOf(records: readonly Answer[], type: ResolveType, withTtl = false): unknown {
  const all = checked(() => records.map((one) => readRecord(one, type)));
  // RFC 1035 3.3.13: a name has one.
  if (type === 'SOA') return all[0];
  if (!withTtl || (type !== 'A' && type !== 'AAAA')) return all;
  return all.map((address, i) => ({ address, ttl: ttlOf(records[i]) }));
}

/** What resolveAny() gives. Types that it does not know are left out. */
export function anyValuesOf(records: readonly Answer[]): unknown[] {
  return checked(() =>
    recordTypes.flatMap((type) =>
      records.filter((one) => one.type === type).map((one) => anyValue(one, type)),
    ),
  );
}

function anyValue(record: Answer, type: ResolveType): object {
  const value = readRecord(record, type);
  if (type === 'A' || type === 'AAAA') return { address: value, ttl: ttlOf(record), type };
  if (type === 'TXT') return { entries: value, type };
  return typeof value === 'string' ? { value, type } : { ...(value as object), type };
}

const ttlOf = (record: Answer | undefined) => (record as { ttl?: number }).ttl ?? 0;

const readRecord = (record: Answer, type: ResolveType) =>
  values[type]((record as unknown as { data: Data }).data);

/** The codec leaves data that is cut short half filled. */
function checked<T>(read: () => T): T {
  try {
    return read();
  } catch {
    throw new DnsFailure('EBADRESP');
  }
}

function expect(data: unknown, is: (text: string) => boolean): string {
  if (typeof data === 'string' && is(data)) return data;
  throw new TypeError('no address');
}

/** What no name has is written '\DDD' (RFC 1035 5.1), so that nobody takes it for what it looks like. */
function name(data: unknown): string {
  if (typeof data !== 'string') throw new TypeError('no name');
  if (data === '.') return '';
  return data.replace(/[^\x21-\x7e]/gu, (one) =>
    [...Buffer.from(one)].map((byte) => `\\${`${byte}`.padStart(3, '0')}`).join(''),
  );
}

function number(data: unknown): number {
  if (typeof data !== 'number') throw new TypeError('no number');
  return data;
}

/** A character for each byte, as Node has it: text of any encoding can be had of it, and what is no text. */
function text(data: unknown): string {
  if (Buffer.isBuffer(data)) return data.toString('latin1');
  if (typeof data !== 'string') throw new TypeError('no text');
  // The codec has read it as UTF-8.
  return Buffer.from(data).toString('latin1');
}

function chunks(data: unknown): string[] {
  return (Array.isArray(data) ? data : [data]).map(text);
}

function bytes(data: unknown): ArrayBuffer {
  if (!Buffer.isBuffer(data)) throw new TypeError('no bytes');
  return new Uint8Array(data).buffer;
}
