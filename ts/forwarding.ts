// SPDX-License-Identifier: MIT
//
// Routing between the links of a stack, and the flows that it knows. docs/forwarding.md has the semantics.

import { isIPv4 } from 'node:net';
import { checkArray, checkInteger, checkObject } from './check.js';
import { invalidValue } from './errors.js';
import type {
  ConnectionState,
  NativeFlowTuple,
  NativeForwarding,
  NativeNetwork,
} from './native.js';

export interface ForwardingOptions {
  /**
   * Names or ids of the interfaces between which packets are forwarded; all, those that are added later too,
   * if left out.
   */
  interfaces?: readonly (string | number)[];
  /**
   * Which source addresses a packet may have (RFC 3704): those that are reached over the interface that it
   * came from ('strict'), those that are reached at all ('loose'), or any ('off'). 'strict' if left out.
   */
  reversePath?: 'strict' | 'loose' | 'off';
}

export interface ForwardingInfo {
  /** Names; null for all. */
  interfaces: string[] | null;
  reversePath: 'strict' | 'loose' | 'off';
}

/** How many flows are remembered. */
export interface ConnectionLimits {
  /** 16 to 1,048,576; 65,536 if left out. */
  connections?: number;
  /** Of one source address, or one IPv6 /64: 1 up to `connections`; a quarter of that if left out. */
  perSource?: number;
}

/** One direction of a flow. Ports are 0 where the protocol has none. */
export interface Flow {
  /** Others by their number. */
  protocol: 'tcp' | 'udp' | 'icmp' | 'icmpv6' | number;
  source: string;
  /** Of an echo request, its identifier. */
  sourcePort: number;
  destination: string;
  destinationPort: number;
}

export interface ConnectionInfo {
  /** As its first packet came in. */
  original: Flow;
  /** As answers come in: with the addresses and ports that translation gave it. */
  reply: Flow;
  /** 'answered' is a TCP handshake without its third part; all but TCP are 'opening', then 'established'. */
  state: ConnectionState;
  packets: { original: number; reply: number };
  /** Of IP packets. */
  bytes: { original: number; reply: number };
  /** Seconds until it is forgotten if nothing more comes. */
  expires: number;
}

/** Finds the id of an interface by what a caller gave, or throws an error that has the name of the option. */
export type InterfaceLookup = (value: unknown, name: string) => number;

export const protocols: Readonly<Record<string, number>> = { tcp: 6, udp: 17, icmp: 1, icmpv6: 58 };
const protocolNames = new Map(Object.entries(protocols).map(([name, number]) => [number, name]));
const reversePaths = ['strict', 'loose', 'off'] as const;

/** One of `choices`, by its place. */
export function checkChoice(value: unknown, name: string, choices: readonly string[]): number {
  const index = typeof value === 'string' ? choices.indexOf(value) : -1;
  if (index >= 0) return index;
  throw invalidValue(name, value, `must be one of ${choices.map((one) => `'${one}'`).join(', ')}`);
}

/** That an object has no property but these: one with a slip of the pen would change what a rule means. */
export function checkKeys(value: Record<string, unknown>, name: string, keys: readonly string[]) {
  for (const key of Object.keys(value)) {
    if (keys.includes(key)) continue;
    throw invalidValue(`${name}.${key}`, value[key], `is not known: there are ${keys.join(', ')}`);
  }
}

/** A single value, or an array of them, each with its name. */
export function listOf(value: unknown, name: string): [value: unknown, name: string][] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) return [[value, name]];
  if (value.length === 0) {
    throw invalidValue(name, value, 'must not be empty: leave it out to match all');
  }
  return value.map((one, i) => [one, `${name}[${i}]`]);
}

export function checkProtocol(value: unknown, name: string): number {
  if (typeof value === 'number') return checkInteger(value, name, 0, 255);
  const number = typeof value === 'string' ? protocols[value] : undefined;
  if (number !== undefined) return number;
  const known = Object.keys(protocols).map((one) => `'${one}'`);
  throw invalidValue(name, value, `must be ${known.join(', ')} or a number of IANA's`);
}

/** 80, '8000-8010'. [first, last] */
export function checkPorts(value: unknown, name: string): [number, number] {
  if (typeof value === 'number') {
    const port = checkInteger(value, name, 1, 65535);
    return [port, port];
  }
  const [, first, last] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(String(value)) ?? [];
  const range: [number, number] = [Number(first), Number(last ?? first)];
  if (typeof value === 'string' && first && range[0] >= 1 && range[0] <= range[1]) {
    if (range[1] <= 65535) return range;
  }
  throw invalidValue(name, value, "must be a port from 1 to 65535, or a range such as '8000-8010'");
}

export const familyOf = (cidr: string) => (isIPv4(cidr.split('/')[0] ?? '') ? 4 : 6);

export function checkForwarding(value: unknown, idOf: InterfaceLookup): NativeForwarding {
  if (value === null) return { enabled: false, interfaces: [], reversePath: 0 };
  const options = checkObject(value, 'options');
  checkKeys(options, 'options', ['interfaces', 'reversePath']);
  const { interfaces, reversePath = 'strict' } = options;
  const names = interfaces === undefined ? [] : checkArray(interfaces, 'options.interfaces');
  if (interfaces !== undefined && names.length === 0) {
    throw invalidValue('options.interfaces', interfaces, 'must not be empty: null turns it off');
  }
  const ids = names.map((one, i) => {
    const name = `options.interfaces[${i}]`;
    const id = idOf(one, name);
    if (id === 1) throw invalidValue(name, one, 'is loopback, which forwards nothing');
    return id;
  });
  return {
    enabled: true,
    interfaces: ids,
    reversePath: checkChoice(reversePath, 'options.reversePath', reversePaths),
  };
}

/** @param names of interfaces, by their ids */
export function toForwardingInfo(
  { enabled, interfaces, reversePath }: NativeForwarding,
  names: Map<number, string>,
): ForwardingInfo | null {
  if (!enabled) return null;
  const present = interfaces.flatMap((id) => names.get(id) ?? []);
  return {
    interfaces: interfaces.length === 0 ? null : present,
    reversePath: reversePaths[reversePath] ?? 'strict',
  };
}

export function checkConnectionLimits(value: unknown): [connections: number, perSource: number] {
  const options = checkObject(value, 'limits');
  checkKeys(options, 'limits', ['connections', 'perSource']);
  const most = checkInteger(options.connections ?? 65_536, 'limits.connections', 16, 2 ** 20);
  const share = options.perSource ?? Math.floor(most / 4);
  return [most, checkInteger(share, 'limits.perSource', 1, most)];
}

export function toFlow({ protocol, ...ends }: NativeFlowTuple): Flow {
  return { protocol: (protocolNames.get(protocol) ?? protocol) as Flow['protocol'], ...ends };
}

export function toConnectionInfo(
  connection: ReturnType<NativeNetwork['connections']>[number],
): ConnectionInfo {
  const { original, reply, state, expires } = connection;
  return {
    original: toFlow(original),
    reply: toFlow(reply),
    state,
    packets: { original: connection.packetsOriginal, reply: connection.packetsReply },
    bytes: { original: connection.bytesOriginal, reply: connection.bytesReply },
    expires: Math.max(0, expires / 1000),
  };
}
