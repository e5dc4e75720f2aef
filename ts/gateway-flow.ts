// SPDX-License-Identifier: MIT
//
// What a gateway tells of a flow.

import { errnoName } from './errors.js';
import type { Reach } from './gateway-rules.js';
import { type NativeFlows, native } from './native.js';
import { type SocketAddress, toSocketAddress } from './socket.js';

/** An address and a port; of a flow that came to the path of a forward, that path, with port 0. */
export interface FlowPlace {
  address: string;
  family: SocketAddress['family'] | 'Unix';
  port: number;
}

/** One connection, or datagrams between two endpoints, or echo requests from one host to another, at one moment. */
export interface FlowInfo {
  /** From 1 on; no number is used twice. */
  id: number;
  protocol: 'tcp' | 'udp' | 'icmp';
  /** 'outward': begun behind the gateway; 'inward': begun on the far side, at a forward. */
  direction: 'outward' | 'inward';
  state: 'asking' | 'connecting' | 'open' | 'closing' | 'taken' | 'closed';
  /** Why it ended, or never began. */
  end?:
    | 'finished'
    | 'reset by source'
    | 'reset by target'
    | 'refused'
    | 'unreachable'
    | 'expired'
    | 'denied'
    | 'dropped'
    | 'undecided'
    | 'killed'
    | 'limit'
    | 'failed';
  /** The code of the error that ended it, where there is one: 'ECONNREFUSED'. */
  error?: string;
  /** The name of the interface that it came by from behind the gateway; '' for an inward one. */
  interface: string;
  /** Who began it. */
  source: FlowPlace;
  /** Whom the source means; icmp: port 0. */
  destination: FlowPlace;
  /** Where it was led, once that is known. */
  target?: SocketAddress | { path: string };
  /** Of the destination. */
  reach: Reach;
  /** Payload away from the source, and towards it. */
  bytesOut: number;
  bytesIn: number;
  /** Datagrams; 0 for tcp. */
  packetsOut: number;
  packetsIn: number;
  /** Milliseconds since it began, and since something was carried. */
  age: number;
  idle: number;
}

export interface FlowEvent {
  what: 'asked' | 'opened' | 'closed';
  flow: FlowInfo;
}

const columns = 24;
const texts = 4;

/** Takes apart what the addon gives. @param names of the interfaces, by id */
export function readFlows(
  { numbers, text }: NativeFlows,
  names: ReadonlyMap<number, string>,
): FlowEvent[] {
  const words = native.flowWords;
  const parts = text.split('\0');
  return Array.from({ length: numbers.length / columns }, (_, row) => {
    let at = row * columns;
    let textAt = row * texts;
    const number = () => numbers[at++] as number;
    // The addon's words are the types' own.
    const word = <Word>(list: readonly string[]) => list[number()] as Word;
    const end = (): FlowPlace | null => {
      const address = parts[textAt++] as string;
      const [family, port, scope] = [number(), number(), number()];
      if (family !== 0) return toSocketAddress([address, family, port, scope]);
      return address === '' ? null : { address, family: 'Unix', port };
    };
    const what = word<FlowEvent['what']>(words.what);
    const id = number();
    const protocol = word<FlowInfo['protocol']>(words.protocol);
    const direction = word<FlowInfo['direction']>(words.direction);
    const state = word<FlowInfo['state']>(words.state);
    const ending = word<FlowInfo['end'] | ''>(words.end);
    const errno = number();
    const flow: FlowInfo = {
      id,
      protocol,
      direction,
      state,
      interface: names.get(number()) ?? '',
      reach: word<Reach>(words.reach),
      bytesOut: number(),
      bytesIn: number(),
      packetsOut: number(),
      packetsIn: number(),
      age: number(),
      idle: number(),
      source: end() as FlowPlace,
      destination: end() as FlowPlace,
    };
    const target = end();
    const path = parts[textAt] as string;
    if (path !== '') flow.target = { path };
    else if (target !== null) flow.target = target as SocketAddress;
    if (ending) flow.end = ending;
    if (errno !== 0) flow.error = errnoName(errno);
    return { what, flow };
  });
}

const shownEnd = ({ address, port, family }: FlowPlace) =>
  family === 'Unix' ? address : `${family === 'IPv6' ? `[${address}]` : address}:${port}`;

/** 'tcp 10.0.0.2:40000 -> 192.0.2.1:80' */
export function showFlow({ protocol, source, destination }: FlowInfo): string {
  return `${protocol} ${shownEnd(source)} -> ${shownEnd(destination)}`;
}
