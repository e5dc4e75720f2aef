// SPDX-License-Identifier: MIT
//
// Addresses in other forms: as names, the other way round; as Node writes them.

import { isIPv4, isIPv6, SocketAddress } from 'node:net';

/** 'e.f.ip6.arpa' or '4.3.2.1.in-addr.arpa' (RFC 1035 3.5, RFC 3596 2.5). */
export function reverseName(address: string): string {
  if (isIPv4(address)) return `${address.split('.').reverse().join('.')}.in-addr.arpa`;
  return `${[...ipv6Hex(address)].reverse().join('.')}.ip6.arpa`;
}

/** As inet_ntop(3) writes it, with its zone: '2001:db8::1', '::ffff:10.0.0.1'. */
export function addressText(address: string): string {
  if (!isIPv6(address)) return address;
  const [bare = '', ...zone] = address.split('%');
  return [new SocketAddress({ address: bare, family: 'ipv6' }).address, ...zone].join('%');
}

/** 32 hexadecimal digits. */
export function ipv6Hex(address: string): string {
  const [front = '', back] = address.split('::');
  const words = (part: string) =>
    part === ''
      ? []
      : part.split(':').flatMap((word) => {
          if (!word.includes('.')) return [word];
          const [a = 0, b = 0, c = 0, d = 0] = word.split('.').map(Number);
          return [(a * 256 + b).toString(16), (c * 256 + d).toString(16)];
        });
  const [head, tail] = [words(front), words(back ?? '')];
  const zeros = back === undefined ? [] : Array(8 - head.length - tail.length).fill('0');
  return [...head, ...zeros, ...tail]
    .map((word) => word.padStart(4, '0'))
    .join('')
    .toLowerCase();
}
