// SPDX-License-Identifier: MIT

import type { NativeSocket } from '../native.js';
import type { SocketOwner } from '../socket.js';

/** The stack that handles are on. */
export interface HandleStack {
  /** A socket of the stack, or -errno. */
  open(type: 'tcp' | 'udp'): NativeSocket | number;
  readonly owner: SocketOwner;
  /** The prototype of TLS sockets on connections of the stack, once there is one. */
  secure?: object | undefined;
  /** The name of an interface; undefined if there is none. */
  interfaceName(id: number): string | undefined;
  /** The id of the interface that has an IPv4 address; undefined if none has it. */
  interfaceWith(address: string): number | undefined;
  /** The handles that are open, where the stack cannot close them itself: it is another thread's. */
  readonly handles?: Set<{ lost(): void }> | undefined;
}
