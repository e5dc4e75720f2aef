// SPDX-License-Identifier: MIT
//
// What a stack tells about itself.

import type { NetworkError } from './errors.js';
import type { ImpairmentState } from './impairment.js';
import type { NativeNetwork } from './native.js';
import { type SocketAddress, toSocketAddress } from './socket.js';

export interface InterfaceInfo {
  id: number;
  name: string;
  mac: string;
  /** Bytes of the largest IP packet. */
  mtu: number;
  /** False when the link died. */
  up: boolean;
  packetsIn: number;
  bytesIn: number;
  packetsOut: number;
  bytesOut: number;
}

export interface AddressInfo {
  /** The interface's id. */
  id: number;
  /** The interface's name. */
  interface: string;
  address: string;
  /** Length of the network prefix in bits. */
  prefix: number;
  /** 'tentative' until it is known that no other host on the link has it (RFC 4862 5.4). */
  state: 'tentative' | 'preferred' | 'duplicated';
}

export interface RouteInfo {
  /** '0.0.0.0/0' and '::/0' are default routes. */
  destination: string;
  /** Absent for what is on the link. */
  gateway?: string;
  id: number;
  interface: string;
  /** The lower wins among equal prefixes. */
  metric: number;
}

/** A route to add or remove: at least a gateway or an interface. */
export interface RouteOptions {
  destination: string;
  gateway?: string;
  /** Name or id. */
  interface?: string | number;
  metric?: number;
}

export interface NeighbourInfo {
  id: number;
  interface: string;
  address: string;
  mac: string;
  /** RFC 4861 7.3.2: 'INCOMPLETE', 'REACHABLE', 'STALE', 'DELAY', 'PROBE'. */
  state: string;
}

export interface SocketInfo {
  type: 'tcp' | 'udp' | 'icmp';
  state: string;
  /** Null while not bound. */
  local: SocketAddress | null;
  /** Null while not connected. */
  remote: SocketAddress | null;
  /** Bytes. */
  receiveQueue: number;
  /** Bytes. */
  sendQueue: number;
}

export interface Counters {
  packetsIn: number;
  bytesIn: number;
  packetsOut: number;
  bytesOut: number;
  tcpSegmentsIn: number;
  tcpSegmentsOut: number;
  tcpRetransmits: number;
  tcpResetsOut: number;
  /** Dropped packets by reason. */
  drops: Record<string, number>;
}

/** What one link has carried. A large packet before segmentation counts as one frame. */
export interface LinkCounters {
  framesIn: number;
  bytesIn: number;
  framesOut: number;
  bytesOut: number;
  /**
   * Dropped frames by reason: queue_full, too_long, malformed, device_error, down, wrong_peer,
   * not_for_us, receive_only (a replay), impaired_loss, impaired_queue_full.
   */
  drops: Record<string, number>;
}

export interface LinkInfo {
  /** The interface's id. */
  id: number;
  /** The interface's name. */
  interface: string;
  url: string;
  /** Why the link is down; null while it works. */
  error: NetworkError | null;
  counters: LinkCounters;
  /** Null where a direction has none. */
  impairment: { in: ImpairmentState | null; out: ImpairmentState | null };
}

/** What the event 'linkup' brings. */
export interface LinkUp {
  id: number;
  interface: string;
  url: string;
}

/** What the event 'linkdown' brings. */
export interface LinkDown extends LinkUp {
  error: NetworkError;
}

export function toSocketInfo(socket: ReturnType<NativeNetwork['sockets']>[number]): SocketInfo {
  const { local, remote } = socket;
  return {
    ...socket,
    local: local[1] === 0 && local[2] === 0 ? null : toSocketAddress(local),
    remote: remote[1] === 0 ? null : toSocketAddress(remote),
  };
}
