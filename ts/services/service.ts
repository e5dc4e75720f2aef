// SPDX-License-Identifier: MIT
//
// What the services of a stack have in common: they end with their stack, and read their sockets when there
// is something to read.

import { EventEmitter, setMaxListeners } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import type { ReceivedFrom, UdpSocket } from '../datagram-socket.js';
import { invalidValue } from '../errors.js';
import type { NativeNetwork } from '../native.js';
import { POLLIN, pollAsync } from '../poll.js';
import type { Stack } from '../stack.js';

/** What a stack lets its services see. */
export interface ServiceHost {
  readonly stack: Stack;
  readonly network: NativeNetwork;
  /** The id of a link that an argument names. @throws {NetworkError} ENODEV */
  interfaceId(call: string, link: unknown, name: string): number;
  /** Closes the service when the stack is. */
  keep(service: { close(): void }): void;
  forget(service: { close(): void }): void;
}

// Datagrams that are read before others have their turn.
const batch = 64;
const largestDatagram = 65535;

/**
 * Something that a stack does for its network until close(), or until the stack is closed. As a server of
 * node:net it keeps the process running while it is open.
 */
export abstract class Service<Events extends Record<keyof Events, unknown[]>> extends EventEmitter {
  readonly #host: ServiceHost;
  readonly #ended = new AbortController();

  protected constructor(host: ServiceHost) {
    super();
    this.#host = host;
    // Everything that waits listens to it.
    setMaxListeners(0, this.#ended.signal);
    host.keep(this);
  }

  declare on: <Name extends keyof Events & string>(
    event: Name,
    listener: (...values: Events[Name]) => void,
  ) => this;
  declare once: <Name extends keyof Events & string>(
    event: Name,
    listener: (...values: Events[Name]) => void,
  ) => this;

  /** Ends when the service does. */
  protected get ended(): AbortSignal {
    return this.#ended.signal;
  }

  get closed(): boolean {
    return this.#ended.signal.aborted;
  }

  /** Done when the call returns. Idempotent. */
  close(): void {
    if (this.closed) return;
    this.#ended.abort();
    this.#host.forget(this);
    this.release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  /** Closes what the service holds. */
  protected abstract release(): void;

  /** Tells the listeners a moment later: what one throws does not end what is at hand. */
  protected tell<Name extends keyof Events & string>(event: Name, ...values: Events[Name]): void {
    if (this.listenerCount(event) > 0) process.nextTick(() => this.emit(event, ...values));
  }
}

/** Calls `take` with each datagram until the socket is closed or the signal says so. `take` must not throw. */
export async function readDatagrams(
  socket: UdpSocket,
  ended: AbortSignal,
  take: (bytes: Buffer, from: ReceivedFrom) => void,
): Promise<void> {
  const buffer = Buffer.allocUnsafe(largestDatagram);
  try {
    while (!ended.aborted) {
      await pollAsync([{ fd: socket.fd, events: POLLIN }], -1, { signal: ended });
      for (let i = 0; i < batch && !ended.aborted && !socket.closed; i += 1) {
        const from = receive(socket, buffer);
        if (from === null) break;
        if (from !== undefined) take(Buffer.from(buffer.subarray(0, from.bytes)), from);
      }
      await turn();
    }
  } catch (error) {
    // Closed while it waited.
    if (!ended.aborted && !socket.closed) throw error;
  }
}

/** Undefined for an error that ICMP brought, of which a service has many peers to suspect. */
function receive(socket: UdpSocket, buffer: Buffer): ReceivedFrom | null | undefined {
  try {
    return socket.recvFrom(buffer);
  } catch (error) {
    if (socket.closed) throw error;
    return undefined;
  }
}

/** The link that options name, or else the stack's only one. */
export function linkOf(host: ServiceHost, call: string, link: unknown): number {
  if (link !== undefined) return host.interfaceId(call, link, 'options.link');
  const links = host.stack.interfaces().filter(({ name }) => name !== 'lo');
  if (links.length === 1) return (links[0] as { id: number }).id;
  throw invalidValue('options.link', link, `must name one of the stack's ${links.length} links`);
}

/** Milliseconds since 1970 that never go back. */
export function wallClock(): number {
  return Math.round(performance.timeOrigin + performance.now());
}

/** The longest that a timer waits. */
const longestTimer = 0x7fffffff;

/** A timer for what ends next, that keeps no loop alive. */
export class Expiry {
  readonly #act: () => number;
  #timer: NodeJS.Timeout | undefined;
  /** When it is due. */
  #wake = Number.POSITIVE_INFINITY;

  /** @param act ends what is over, and says when the next thing will be */
  constructor(act: () => number) {
    this.#act = act;
  }

  /** Sees to it that what ends at that time does. */
  by(time: number): void {
    if (time >= this.#wake) return;
    clearTimeout(this.#timer);
    this.#wake = time;
    const wait = Math.min(Math.max(0, time - wallClock()), longestTimer);
    this.#timer = setTimeout(() => {
      this.#wake = Number.POSITIVE_INFINITY;
      this.by(this.#act());
    }, wait);
    this.#timer.unref();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#wake = Number.NEGATIVE_INFINITY;
  }
}
