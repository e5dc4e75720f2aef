// SPDX-License-Identifier: MIT
//
// A stack that is not the core's: BSD's calls of somebody else, behind the same sockets.

import type { IcmpSocket, UdpSocket } from './datagram-socket.js';
import { NetworkError, stackClosed } from './errors.js';
import { closeAtExit, forgetAtExit } from './keeper.js';
import type { NativeBsdStack } from './native.js';
import type { Socket, SocketOwner } from './socket.js';
import { openSocket, type SocketStack, type StackParts, stackParts } from './socket-stack.js';
import type { TcpSocket } from './tcp-socket.js';

/** What HostStack and LoadedStack share. Open until close(), or until the thread or the process ends. */
export abstract class ForeignStack implements SocketStack {
  readonly #native: NativeBsdStack;
  readonly #sockets = new Set<Socket>();
  readonly #owner: SocketOwner = {
    interfaceId: (nameOrId) => this.interfaceId(nameOrId),
    keep: (socket) => this.#sockets.add(socket),
    forget: (socket) => this.#sockets.delete(socket),
    advice: this.advice,
  };
  readonly #closing = new Set<() => void>();
  readonly #closeAtExit = () => void this.#closeNow();
  #closed = false;

  /** What errors of its sockets say, where that is not what a Stack's would: ErrorPlace.advice. */
  protected get advice(): Readonly<Record<string, string>> {
    return {};
  }

  /** @internal */
  constructor(native: NativeBsdStack, kind: StackParts['kind']) {
    this.#native = native;
    stackParts.set(this, { kind, native, owner: this.#owner, closing: this.#closing });
    closeAtExit('stacks', this.#closeAtExit);
  }

  /**
   * A new socket: 'tcp' for streams, 'udp' for datagrams, 'icmp' for echo. Not bound, not blocking.
   * @throws {NetworkError} EMFILE; EACCES for 'icmp' where the host does not allow it; what a plug-in says
   */
  socket(type: 'tcp'): TcpSocket;
  socket(type: 'udp'): UdpSocket;
  socket(type: 'icmp'): IcmpSocket;
  socket(type: 'tcp' | 'udp' | 'icmp'): TcpSocket | UdpSocket | IcmpSocket;
  socket(type: 'tcp' | 'udp' | 'icmp'): TcpSocket | UdpSocket | IcmpSocket {
    if (this.#closed) throw stackClosed('socket()');
    return openSocket(this.#native, type, this.#owner);
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Closes all sockets; connections are reset. Done when the call returns. Idempotent. */
  async close(): Promise<void> {
    const error = this.#closeNow();
    if (error < 0) throw new NetworkError('delstack', -error);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** The number of an interface, by name or number; undefined if there is none of that name. */
  protected interfaceId(nameOrId: string): number | undefined {
    if (/^[1-9]\d{0,8}$/.test(nameOrId)) return Number(nameOrId);
    const index = this.#native.interfaceIndex(nameOrId);
    return index > 0 ? index : undefined;
  }

  #closeNow(): number {
    if (this.#closed) return 0;
    this.#closed = true;
    forgetAtExit('stacks', this.#closeAtExit);
    for (const close of this.#closing) close();
    const result = this.#native.close();
    this.#sockets.clear();
    return result;
  }
}
