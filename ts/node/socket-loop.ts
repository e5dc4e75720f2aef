// SPDX-License-Identifier: MIT
//
// This thread's event loop, as far as sockets of stacks are concerned: who is ready is called back, as libuv does
// for the kernel's sockets.

import { constants } from 'node:os';
import { type NativeSocket, native } from '../native.js';

const { EBADF } = constants.errno;

/** Who is called back. */
export interface Served {
  /**
   * One callback's worth of what `events` (POLL* bits) say. Between two calls, promises and process.nextTick()
   * have their turn.
   * @param got of a socket that wants `readFirst`, and has something: what was read into the scratch, or -errno. It is
   *   gone from the socket: whoever asks for it takes it, whatever else there is to do
   * @returns with what it is to be called again at once; 0: it has done all
   */
  ready(events: number, got?: number): number;
}

/**
 * Whether the result of a call says that the stack was closed since the loop was told of the socket: it will be told of that
 * too (POLLNVAL), which ends what waits, and is no error of the call.
 */
export const isLost = (result: unknown): boolean => result === -EBADF;

const readSize = 64 * 1024;
/** NativeLoop::kDeferred */
const hasDeferred = 0x40000000;
/** NativeLoop::kReadFirst: with POLLIN among what a socket wants, ready() is given what there was to read. */
export const readFirst = 0x10000;

/** Not a Buffer: V8 has faster ways to copy out of a plain array. */
const newScratch = () => new Uint8Array(Buffer.allocUnsafeSlow(readSize).buffer);

class SocketLoop {
  /** What the last read left: whoever keeps it puts another one in its place. */
  scratch: Uint8Array<ArrayBuffer> = newScratch();
  readonly #served: (Served | undefined)[] = [];
  readonly #sockets: (NativeSocket | undefined)[] = [];
  readonly #closings: (() => void)[] = [];
  #holders = 0;
  readonly #native = new native.NativeLoop(
    (place, events, got) => {
      const more = this.#served[place]?.ready(events, got) ?? 0;
      return this.#deferred === undefined ? more : more | hasDeferred;
    },
    () => this.#runClosing(),
    () => {
      const deferred = this.#deferred;
      this.#deferred = undefined;
      deferred?.();
    },
  );
  #deferred: (() => void) | undefined;

  constructor() {
    this.#native.setScratch(this.scratch);
  }

  /** @returns the place to give to remove(), or -errno */
  add(socket: NativeSocket, served: Served): number {
    const place = this.#native.add(socket);
    if (place >= 0) {
      this.#served[place] = served;
      this.#sockets[place] = socket;
    }
    return place;
  }

  remove(place: number): void {
    if (place < 0) return;
    this.#served[place] = undefined;
    this.#sockets[place] = undefined;
    this.#native.remove(place);
  }

  /** Closes all sockets, as the kernel does with those of a process that ends: nobody is told. */
  closeSockets(): void {
    for (const socket of this.#sockets) socket?.close();
  }

  /**
   * From within ready(): has `call` made right after it, outside of its callback. For what calls back by way of
   * C++, so that each of these callbacks is a turn of its own.
   */
  defer(call: () => void): void {
    this.#deferred = call;
  }

  /** The scratch is kept by somebody. */
  renewScratch(): void {
    this.scratch = newScratch();
    this.#native.setScratch(this.scratch);
  }

  /** Keeps the loop alive until release(). */
  hold(): void {
    if (this.#holders++ === 0) this.#native.keepAlive(true);
  }

  release(): void {
    if (--this.#holders === 0) this.#native.keepAlive(false);
  }

  /** Calls `callback` in the loop's next phase of closed handles: where libuv says that a handle is closed. */
  atClosePhase(callback: () => void): void {
    if (this.#closings.push(callback) === 1) this.#native.closePhase();
  }

  #batch = 0;

  /** One of those that had asked when the phase began; what comes meanwhile waits for the next phase. */
  #runClosing(): number {
    if (this.#batch === 0) this.#batch = this.#closings.length;
    const callback = this.#closings.shift();
    if (callback === undefined) return 0;
    const left = --this.#batch;
    if (left === 0 && this.#closings.length > 0) this.#native.closePhase();
    callback();
    return left;
  }
}

let made: SocketLoop | undefined;

/** Made at the first call. */
export function socketLoop(): SocketLoop {
  made ??= new SocketLoop();
  return made;
}

export type { SocketLoop };
