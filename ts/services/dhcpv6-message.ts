// SPDX-License-Identifier: MIT
//
// DHCPv6 messages: bytes <-> values (RFC 8415 8, 21). Checked once, by parseDhcpv6; nothing here throws for
// what comes from the network.

import { ipv6Hex } from '../dns/reverse-name.js';

/** RFC 8415 7.3. */
export const Dhcpv6Type = {
  solicit: 1,
  advertise: 2,
  request: 3,
  confirm: 4,
  renew: 5,
  rebind: 6,
  reply: 7,
  release: 8,
  decline: 9,
  informationRequest: 11,
  relayForward: 12,
} as const;

export const Dhcpv6Option = {
  clientId: 1,
  serverId: 2,
  iaNa: 3,
  iaTa: 4,
  iaAddress: 5,
  requested: 6,
  preference: 7,
  status: 13,
  rapidCommit: 14,
  dns: 23,
  domains: 24,
  iaPd: 25,
  refreshTime: 32,
  fqdn: 39,
} as const;

/** RFC 8415 21.13. */
export const Dhcpv6Status = {
  success: 0,
  unspecified: 1,
  noAddresses: 2,
  noBinding: 3,
  notOnLink: 4,
} as const;

/** An identity association of addresses (RFC 8415 21.4), and the addresses that the client names in it. */
export interface IdentityAssociation {
  iaid: number;
  addresses: string[];
}

export interface Dhcpv6Message {
  type: number;
  transaction: Buffer;
  /** The first of each code. */
  options: ReadonlyMap<number, Buffer>;
  associations: IdentityAssociation[];
  /** IAIDs of what this server does not give: prefixes, and temporary addresses. */
  others: { code: number; iaid: number }[];
}

const headerSize = 4;
/** A DUID has two bytes of type and up to 128 more (RFC 8415 11.1). */
const longestDuid = 130;
/** Associations and addresses of one message that are looked at. */
const mostAssociations = 8;
const mostAddresses = 8;

/** Calls `take` with each option. False if one runs past the end. */
function eachOption(bytes: Buffer, take: (code: number, value: Buffer) => void): boolean {
  for (let at = 0; at < bytes.length; ) {
    if (at + 4 > bytes.length) return false;
    const end = at + 4 + bytes.readUInt16BE(at + 2);
    if (end > bytes.length) return false;
    take(bytes.readUInt16BE(at), bytes.subarray(at + 4, end));
    at = end;
  }
  return true;
}

/** Null for what is no message of a client. */
export function parseDhcpv6(bytes: Buffer): Dhcpv6Message | null {
  if (bytes.length < headerSize) return null;
  const options = new Map<number, Buffer>();
  const associations: IdentityAssociation[] = [];
  const others: Dhcpv6Message['others'] = [];
  let whole = true;
  const type = bytes[0] as number;
  if (type === Dhcpv6Type.relayForward) {
    return { type, transaction: Buffer.alloc(3), options, associations, others };
  }
  const read = eachOption(bytes.subarray(headerSize), (code, value) => {
    if (!options.has(code)) options.set(code, value);
    if (code === Dhcpv6Option.iaNa) {
      const association = parseAssociation(value);
      if (association === null) whole = false;
      else if (associations.length < mostAssociations) associations.push(association);
    } else if (code === Dhcpv6Option.iaTa || code === Dhcpv6Option.iaPd) {
      if (value.length < 4) whole = false;
      else if (others.length < mostAssociations) others.push({ code, iaid: value.readUInt32BE(0) });
    }
  });
  if (!read || !whole) return null;
  for (const code of [Dhcpv6Option.clientId, Dhcpv6Option.serverId]) {
    const duid = options.get(code);
    if (duid !== undefined && (duid.length < 3 || duid.length > longestDuid)) return null;
  }
  return { type, transaction: bytes.subarray(1, 4), options, associations, others };
}

function parseAssociation(value: Buffer): IdentityAssociation | null {
  if (value.length < 12) return null;
  const addresses: string[] = [];
  let whole = true;
  const read = eachOption(value.subarray(12), (code, inner) => {
    if (code !== Dhcpv6Option.iaAddress) return;
    if (inner.length < 24) whole = false;
    else if (addresses.length < mostAddresses) addresses.push(textOf(inner.subarray(0, 16)));
  });
  return read && whole ? { iaid: value.readUInt32BE(0), addresses } : null;
}

export function option(code: number, value: Buffer): Buffer {
  const header = Buffer.alloc(4);
  header.writeUInt16BE(code, 0);
  header.writeUInt16BE(value.length, 2);
  return Buffer.concat([header, value]);
}

export function numbers(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [i, value] of values.entries()) bytes.writeUInt32BE(value, 4 * i);
  return bytes;
}

/** RFC 8415 21.13. */
export function statusOption(code: number, text: string): Buffer {
  return option(
    Dhcpv6Option.status,
    Buffer.concat([Buffer.of(code >> 8, code & 255), Buffer.from(text)]),
  );
}

/** RFC 8415 21.6; lifetimes in seconds. */
export function addressOption(address: string, preferred: number, valid: number): Buffer {
  const value = Buffer.concat([Buffer.from(ipv6Hex(address), 'hex'), numbers(preferred, valid)]);
  return option(Dhcpv6Option.iaAddress, value);
}

export function buildDhcpv6(type: number, transaction: Buffer, options: readonly Buffer[]): Buffer {
  return Buffer.concat([Buffer.of(type), transaction, ...options]);
}

/** RFC 5952. */
export function textOf(bytes: Buffer): string {
  const words = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i).toString(16));
  let [best, length] = [-1, 1];
  for (let at = 0; at < 8; at += 1) {
    let end = at;
    while (end < 8 && words[end] === '0') end += 1;
    if (end - at > length) [best, length] = [at, end - at];
  }
  if (best < 0) return words.join(':');
  return `${words.slice(0, best).join(':')}::${words.slice(best + length).join(':')}`;
}

export function addressNumber6(address: string): bigint {
  return BigInt(`0x${ipv6Hex(address)}`);
}

export function addressOf6(number: bigint): string {
  return textOf(Buffer.from(number.toString(16).padStart(32, '0'), 'hex'));
}
