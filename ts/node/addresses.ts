// SPDX-License-Identifier: MIT
//
// Addresses as Node's handles take and give them, and as the core has them.

import { constants } from 'node:os';
import type { NativeEndpoint } from '../native.js';
import type { SocketOwner } from '../socket.js';
import type { HandleStack } from './handle-stack.js';

const { EINVAL } = constants.errno;

/** What getsockname(), getpeername() and a message fill in. */
export interface NodeAddress {
  address?: string;
  family?: string;
  port?: number;
}

const mapped = /^::ffff:(?:(\d+\.\d+\.\d+\.\d+)|([0-9a-f]{1,4}):([0-9a-f]{1,4}))$/i;

/** The IPv4 address in an IPv4-mapped one (RFC 4291 2.5.5.2), in either spelling; undefined for any other. */
function mappedAddress(address: string): string | undefined {
  const [, dotted, high = '', low = ''] = mapped.exec(address) ?? [];
  if (high === '') return dotted;
  const [h, l] = [Number.parseInt(high, 16), Number.parseInt(low, 16)];
  return `${h >> 8}.${h & 255}.${l >> 8}.${l & 255}`;
}

/** Host and scope as the core takes them, of an address as Node has it; -errno if the zone is no interface's. */
export function splitAddress(address: string, owner: SocketOwner): [string, number] | number {
  const v4 = mappedAddress(address);
  if (v4 !== undefined) return [v4, 0];
  const at = address.indexOf('%');
  if (at < 0) return [address, 0];
  const scope = owner.interfaceId(address.slice(at + 1));
  return scope === undefined ? -EINVAL : [address.slice(0, at), scope];
}

/** An end of a socket of that family as Node shows it: a dual-stack socket shows IPv4 as mapped, zones have names. */
export function fillAddress(
  out: NodeAddress,
  end: NativeEndpoint,
  ipv6: boolean,
  stack: HandleStack,
): void {
  const [address, family, port, scope] = end;
  if (family === 0) out.address = ipv6 ? '::' : '0.0.0.0';
  else if (ipv6 && family === 4) out.address = address === '0.0.0.0' ? '::' : `::ffff:${address}`;
  else if (scope > 0 && /^fe[89ab]/.test(address)) {
    out.address = `${address}%${stack.interfaceName(scope) ?? scope}`;
  } else out.address = address;
  out.family = ipv6 ? 'IPv6' : 'IPv4';
  out.port = port;
}
