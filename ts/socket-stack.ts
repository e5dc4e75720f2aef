// SPDX-License-Identifier: MIT
//
// What all stacks have in common: a program that takes a SocketStack runs on any of them.

import { IcmpSocket, UdpSocket } from './datagram-socket.js';
import { invalidValue, NetworkError } from './errors.js';
import type { NativeBsdStack, NativeNetwork, NativeSocket } from './native.js';
import type { SocketOwner } from './socket.js';
import { TcpSocket } from './tcp-socket.js';

/**
 * A TCP/IP stack, whoever implements it: the core of this package (Stack), the host's kernel (HostStack) or
 * a plug-in (LoadedStack). Their sockets have the same calls, options and errors, and their
 * descriptors can stand in one poll(). docs/stacks.md says where they differ.
 */
export interface SocketStack {
  /** A new socket: 'tcp' for streams, 'udp' for datagrams, 'icmp' for echo. Not bound, not blocking. */
  socket(type: 'tcp'): TcpSocket;
  socket(type: 'udp'): UdpSocket;
  socket(type: 'icmp'): IcmpSocket;
  socket(type: 'tcp' | 'udp' | 'icmp'): TcpSocket | UdpSocket | IcmpSocket;
  readonly closed: boolean;
  /** Closes all sockets; connections are reset. Done when the call returns. Idempotent. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** What a gateway needs of the stacks on its two sides. */
export interface StackParts {
  readonly kind: 'core' | 'host' | 'plug-in';
  readonly native: NativeNetwork | NativeBsdStack;
  readonly owner: SocketOwner;
  /** Called when the stack is about to close. */
  readonly closing: Set<() => void>;
}

/** By the stack, which has them private. */
export const stackParts = new WeakMap<object, StackParts>();

const classes = { tcp: TcpSocket, udp: UdpSocket, icmp: IcmpSocket };

/** A socket of `native`. @param type as the user gave it */
export function openSocket(
  native: { socket(type: string): NativeSocket | number },
  type: 'tcp' | 'udp' | 'icmp',
  owner: SocketOwner,
): TcpSocket | UdpSocket | IcmpSocket {
  if (typeof type !== 'string' || !Object.hasOwn(classes, type)) {
    throw invalidValue('type', type, "must be 'tcp', 'udp' or 'icmp'");
  }
  const socket = native.socket(type);
  if (typeof socket === 'number')
    throw new NetworkError('socket', -socket, { advice: owner.advice });
  return new classes[type](socket, owner);
}
