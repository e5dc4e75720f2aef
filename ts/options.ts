// SPDX-License-Identifier: MIT
//
// The options of sockets: their names, types and ranges. The numbers that stand for them are the core's.

import { checkBoolean, checkInteger, checkString } from './check.js';
import { invalidValue } from './errors.js';
import { native } from './native.js';

/** 'cubic' is RFC 9438, 'newreno' RFC 5681 and RFC 6582. A Stack has these two. */
export type CongestionName = 'cubic' | 'newreno' | (string & {});

/** What `setOption` and `getOption` take and give. Each says which sockets have it. */
export interface SocketOptions {
  /** SO_REUSEADDR. All. */
  reuseAddress: boolean;
  /** SO_BROADCAST: without it, sending to a broadcast address fails with EACCES. udp. */
  broadcast: boolean;
  /** SO_KEEPALIVE. tcp. */
  keepAlive: boolean;
  /** TCP_KEEPIDLE: seconds of silence before the first probe; 7200 if not set. tcp. */
  keepIdle: number;
  /** TCP_KEEPINTVL: seconds between probes; 75 if not set. tcp. */
  keepInterval: number;
  /** TCP_KEEPCNT: unanswered probes until the connection is given up; 9 if not set. tcp. */
  keepCount: number;
  /** SO_LINGER: seconds, or -1 for off. With 0, close() resets the connection. tcp. */
  linger: number;
  /** TCP_NODELAY: no Nagle delay. tcp. */
  noDelay: boolean;
  /** TCP_QUICKACK: no delayed ACKs, until cleared. tcp. */
  quickAck: boolean;
  /** TCP_CORK: only full segments until cleared. tcp. */
  cork: boolean;
  /** TCP_MAXSEG: bytes, 88 to 65495, before connect. tcp. */
  maxSegment: number;
  /** TCP_USER_TIMEOUT: milliseconds that data may stay unacknowledged; 0 is the default. tcp. */
  userTimeout: number;
  /**
   * TCP_CONGESTION: how fast data is sent while the path may be full. A listener's is that of its connections;
   * settable in any state. If not set, what the stack was opened with. A HostStack takes each name
   * that its kernel has, such as 'bbr', and says 'newreno' for what Linux calls reno. tcp.
   */
  congestion: CongestionName;
  /** SO_OOBINLINE: urgent data stays in the stream. tcp. */
  oobInline: boolean;
  /** SO_SNDBUF: bytes of data that may wait to be acknowledged. All. */
  sendBuffer: number;
  /** SO_RCVBUF: bytes of data that may wait to be read. All. */
  receiveBuffer: number;
  /** IP_TTL and IPV6_UNICAST_HOPS: 1 to 255. All. */
  hopLimit: number;
  /** IP_MULTICAST_TTL: 0 to 255. udp, icmp. */
  multicastHopLimit: number;
  /** IP_TOS and IPV6_TCLASS: 0 to 255. The two ECN bits of tcp's segments are not the user's: they are 0. All. */
  trafficClass: number;
  /** IPV6_V6ONLY: a socket bound to '::' does not take IPv4. All, before bind. */
  ipv6Only: boolean;
  /** IP_MTU_DISCOVER: datagrams are not fragmented. udp, icmp; tcp always has it on. */
  dontFragment: boolean;
  /** SO_BINDTODEVICE: the id of an interface, 0 for none. All. */
  bindInterface: number;
  /** IP_MULTICAST_LOOP: what is sent to a group comes to members of this stack too; true if not set. udp, icmp. */
  multicastLoop: boolean;
  /** IP_MULTICAST_IF: the id of the interface that packets to groups leave by, 0: by the routes. udp, icmp. */
  multicastInterface: number;
}

/** Options that can only be read. */
export interface ReadOnlySocketOptions {
  /** SO_ERROR: the pending errno (0: none). Reading clears it. `socket.error` is kinder. All. */
  error: number;
  /** SO_ACCEPTCONN. tcp. */
  listening: boolean;
  /** SIOCOUTQ: bytes sent and not yet acknowledged. tcp. */
  unsent: number;
  /** FIONREAD: bytes that recv() would return. All. */
  unread: number;
}

export type OptionName = keyof SocketOptions;
export type ReadableOptionName = OptionName | keyof ReadOnlySocketOptions;

interface Rule {
  type: 'boolean' | 'number' | 'string';
  range?: [least: number, most: number];
  readOnly?: boolean;
}

const flag: Rule = { type: 'boolean' };
const number = (least: number, most: number): Rule => ({ type: 'number', range: [least, most] });
const int32 = 0x7fffffff;

const rules: Record<ReadableOptionName, Rule> = {
  reuseAddress: flag,
  broadcast: flag,
  keepAlive: flag,
  keepIdle: number(1, 32767),
  keepInterval: number(1, 32767),
  keepCount: number(1, 127),
  linger: number(-1, 65535),
  noDelay: flag,
  quickAck: flag,
  cork: flag,
  maxSegment: number(88, 65495),
  userTimeout: number(0, int32),
  congestion: { type: 'string' },
  oobInline: flag,
  sendBuffer: number(1, int32),
  receiveBuffer: number(1, int32),
  hopLimit: number(1, 255),
  multicastHopLimit: number(0, 255),
  trafficClass: number(0, 255),
  ipv6Only: flag,
  dontFragment: flag,
  bindInterface: number(0, int32),
  multicastLoop: flag,
  multicastInterface: number(0, int32),
  error: { type: 'number', readOnly: true },
  listening: { type: 'boolean', readOnly: true },
  unsent: { type: 'number', readOnly: true },
  unread: { type: 'number', readOnly: true },
};

/** A name as the kernel can have one (TCP_CA_NAME_MAX). */
function checkAlgorithmName(value: unknown, name: string): string {
  if (/^[\w-]{1,15}$/.test(checkString(value, name))) return value as string;
  throw invalidValue(name, value, "must be the name of a congestion control, such as 'cubic'");
}

function ruleOf(name: unknown): Rule {
  if (typeof name === 'string' && Object.hasOwn(rules, name)) {
    return rules[name as ReadableOptionName];
  }
  throw invalidValue('name', name, `must be one of ${Object.keys(rules).join(', ')}`);
}

/** The core's number of an option that is to be read, and what its value is. */
export function readableOption(name: unknown): { id: number; type: Rule['type'] } {
  const { type } = ruleOf(name);
  return { id: native.options[name as string] as number, type };
}

/** The core's number of an option that is to be set, and the checked value. */
export function settableOption(
  name: unknown,
  value: unknown,
): { id: number; value: number | string } {
  const { type, range, readOnly } = ruleOf(name);
  if (readOnly) throw invalidValue('name', name, 'can only be read');
  const id = native.options[name as string] as number;
  if (type === 'boolean') return { id, value: Number(checkBoolean(value, 'value')) };
  if (type === 'string') return { id, value: checkAlgorithmName(value, 'value') };
  const [least, most] = range as [number, number];
  return { id, value: checkInteger(value, 'value', least, most) };
}
