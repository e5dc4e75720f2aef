// SPDX-License-Identifier: MIT
//
// Which of several addresses comes first (RFC 6724 6), by the source that the stack would take for each.

import { isIPv4 } from 'node:net';
import type { SocketStack } from '../socket-stack.js';
import { ipv6Hex } from './reverse-name.js';

/** RFC 6724 2.1: the longest prefix that fits says precedence and label. In hexadecimal digits. */
const policies = [
  { prefix: '00000000000000000000000000000001', precedence: 50, label: 0 },
  { prefix: '00000000000000000000ffff', precedence: 35, label: 4 },
  { prefix: '000000000000000000000000', precedence: 1, label: 3 },
  { prefix: '20010000', precedence: 5, label: 5 },
  { prefix: '2002', precedence: 30, label: 2 },
  { prefix: '3ffe', precedence: 1, label: 12 },
  { prefix: '', precedence: 40, label: 1 },
] as const;

/** fec0::/10 and fc00::/7 end within a digit. */
const bitPolicies = [
  { prefix: /^fe[c-f]/, precedence: 1, label: 11 },
  { prefix: /^f[cd]/, precedence: 3, label: 13 },
] as const;

/** RFC 4291 2.7: the smaller reaches less far. */
const Scope = { linkLocal: 2, siteLocal: 5, global: 14 } as const;

/** Sorting asks the stack for each; a name with more is left in the server's order beyond. */
const mostSorted = 64;

/** Any port: nothing is sent. */
const probePort = 9;

interface Candidate {
  address: string;
  /** Null where the stack has no source address or no route. */
  source: string | null;
}

/** The addresses in the order in which they are to be tried; equal ones as they came. */
export function inOrder(stack: SocketStack, addresses: readonly string[]): string[] {
  if (addresses.length < 2) return [...addresses];
  const candidates = addresses
    .slice(0, mostSorted)
    .map((address) => ({ address, source: sourceFor(stack, address) }));
  const sorted = candidates.sort(compare).map(({ address }) => address);
  return [...sorted, ...addresses.slice(mostSorted)];
}

/** As getaddrinfo(3) does it: a connected datagram socket has the address that packets would come from. */
function sourceFor(stack: SocketStack, host: string): string | null {
  try {
    using socket = stack.socket('udp');
    socket.connect({ host, port: probePort });
    return socket.localAddress?.address.split('%')[0] ?? null;
  } catch {
    return null;
  }
}

function compare(a: Candidate, b: Candidate): number {
  // Rule 1: avoid unusable destinations.
  if (a.source === null || b.source === null) {
    return Number(a.source === null) - Number(b.source === null);
  }
  const [left, right] = [digits(a.address), digits(b.address)];
  const [from, other] = [digits(a.source), digits(b.source)];
  return (
    // Rule 2: prefer matching scope. Rule 5: prefer matching label.
    Number(scopeOf(right) === scopeOf(other)) - Number(scopeOf(left) === scopeOf(from)) ||
    Number(policyOf(right).label === policyOf(other).label) -
      Number(policyOf(left).label === policyOf(from).label) ||
    // Rule 6: prefer higher precedence. Rule 8: prefer smaller scope. Rule 10: leave the order.
    policyOf(right).precedence - policyOf(left).precedence ||
    scopeOf(left) - scopeOf(right)
  );
}

/** RFC 6724 3.2: an IPv4 address as a mapped one. */
function digits(address: string): string {
  return ipv6Hex(isIPv4(address) ? `::ffff:${address}` : address);
}

function policyOf(hex: string): { precedence: number; label: number } {
  return (
    bitPolicies.find(({ prefix }) => prefix.test(hex)) ??
    (policies.find(({ prefix }) => hex.startsWith(prefix)) as (typeof policies)[number])
  );
}

/** RFC 6724 3.1, 3.2. */
function scopeOf(hex: string): number {
  if (hex.startsWith('ff')) return Number.parseInt(hex[3] as string, 16);
  const v4 = hex.startsWith('00000000000000000000ffff') ? hex.slice(24) : '';
  if (v4.startsWith('7f') || v4.startsWith('a9fe')) return Scope.linkLocal;
  if (v4 !== '') return Scope.global;
  if (/^fe[89ab]/.test(hex) || /^0{31}1$/.test(hex)) return Scope.linkLocal;
  return /^fe[c-f]/.test(hex) ? Scope.siteLocal : Scope.global;
}
