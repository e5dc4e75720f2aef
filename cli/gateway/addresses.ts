// SPDX-License-Identifier: MIT
//
// The addresses of the network behind a gateway: who has which is fixed, as people know it from slirp.

import { isIPv4 } from 'node:net';
import { UsageError } from '../command.js';
import { toNetwork } from './rule.js';

export interface NetworkAddresses {
  /** With its prefix, as the network itself. */
  network: string;
  prefix: number;
  gateway: string;
  dns: string;
  /** Of a command, and the first that others get. */
  guest: string;
}

const numberOf = (address: string): bigint => {
  if (isIPv4(address))
    return address.split('.').reduce((sum, part) => sum * 256n + BigInt(part), 0n);
  // The URL parser writes an IPv6 address in groups alone.
  const [head = '', tail] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::');
  const groups = (text = '') => (text === '' ? [] : text.split(':'));
  const [before, after] = [groups(head), groups(tail)];
  const zeros = tail === undefined ? [] : Array(8 - before.length - after.length).fill('0');
  return [...before, ...zeros, ...after].reduce(
    (sum, part) => sum * 65_536n + BigInt(`0x${part}`),
    0n,
  );
};

const textOf = (number: bigint, isV4: boolean): string => {
  if (isV4) return [24n, 16n, 8n, 0n].map((shift) => (number >> shift) & 255n).join('.');
  const groups = Array.from({ length: 8 }, (_, i) => (number >> BigInt(112 - 16 * i)) & 65_535n);
  return new URL(`http://[${groups.map((one) => one.toString(16)).join(':')}]`).hostname.slice(
    1,
    -1,
  );
};

/**
 * .2 is the gateway, .3 the DNS forwarder, .100 the guest.
 * @param option for messages: '--network'
 * @throws {UsageError}
 */
export function addressesOf(network: string, option: string, version: 4 | 6): NetworkAddresses {
  const found = network.includes('/') ? toNetwork(network) : null;
  const isV4 = version === 4;
  if (found === null || (found.family === 'ipv4') !== isV4) {
    const example = isV4 ? '10.0.2.0/24' : 'fd00::/64';
    throw new UsageError(
      `${option} must be a network of IPv${version}, such as ${example}, not '${network}'`,
    );
  }
  const { prefix } = found;
  // Up to .100 and the broadcast address behind it; SLAAC needs 64 bits (RFC 4862 5.5.3).
  if (isV4 ? prefix < 8 || prefix > 25 : prefix !== 64) {
    throw new UsageError(
      `${option} must have a prefix ${isV4 ? 'from /8 to /25' : 'of /64'}, not '${network}'`,
    );
  }
  const bits = BigInt((isV4 ? 32 : 128) - prefix);
  const base = (numberOf(found.address) >> bits) << bits;
  const at = (host: bigint) => textOf(base + host, isV4);
  // fd00::100 is written as people would, not as 100 in hexadecimal.
  return {
    network: `${at(0n)}/${prefix}`,
    prefix,
    gateway: at(2n),
    dns: at(3n),
    guest: at(isV4 ? 100n : 0x100n),
  };
}
