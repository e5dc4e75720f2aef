// SPDX-License-Identifier: MIT
//
// Frames of links, recorded to a file or a pipe as pcapng.

import { setTimeout as sleep } from 'node:timers/promises';
import { checkArray, checkInteger, checkKeys, checkObject } from './check.js';
import { invalidType, invalidValue, NetworkError } from './errors.js';
import type { NativeFailure, NativeRecording, NativeRecordingSpec } from './native.js';

/** Of a recording of one socket. */
export interface SocketRecordOptions {
  /** Bytes of each frame that are kept, 1 to 262144; 262144 (whole frames) if left out. */
  snapLength?: number;
  /** Frames after which nothing more is recorded; the recording goes on until stop(). Any number if left out. */
  frameLimit?: number;
}

export interface RecordOptions extends SocketRecordOptions {
  /** Names or ids of the links to record; all, also those that are added later, if left out. */
  links?: readonly (string | number)[];
}

export interface RecordingCounters {
  /** Frames in the recording. */
  frames: number;
  /** Bytes written so far. */
  bytes: number;
  /** Frames that passed and are not in the recording: whoever writes or reads it was too slow, or it broke off. */
  dropped: number;
}

/** Who records: a stack, a switch or a socket, by its native side. */
export interface RecordingOwner {
  record(spec: NativeRecordingSpec): NativeRecording | NativeFailure;
}

const wholeFrames = 262_144;
const longestPause = 16;
/** How long the end of a stack, or of the process, waits for its recordings to be written, in ms. */
const flushLimit = 1000;

/**
 * A recording that runs until stop(), or until its stack is closed; that of a socket until its connection is gone.
 * stack.record() and socket.record() make them.
 */
export class Recording {
  readonly #native: NativeRecording;
  readonly #path: string | undefined;
  readonly #forget: (recording: Recording) => void;
  #stopped: Promise<RecordingCounters> | undefined;

  /** @internal Use stack.record(). */
  constructor(
    native: NativeRecording,
    path: string | undefined,
    forget: (recording: Recording) => void,
  ) {
    this.#native = native;
    this.#path = path;
    this.#forget = forget;
  }

  counters(): RecordingCounters {
    const [frames, bytes, dropped] = this.#native.totals();
    return { frames, bytes, dropped };
  }

  /**
   * Why the recording broke off: ENOSPC (the disk is full), EPIPE (the reader has gone), ...; null while it
   * did not. The stack goes on.
   */
  get error(): NetworkError | null {
    const failure = this.#native.failure();
    return failure === undefined ? null : failed(failure, this.#path);
  }

  /**
   * True when everything is written, or cannot be: some time after stop(), or after the connection of the socket
   * that is recorded has gone.
   */
  get ended(): boolean {
    const ended = this.#native.ended();
    if (ended) this.#forget(this);
    return ended;
  }

  /**
   * Ends the recording. Resolves when everything is written, which takes as long as the reader of a pipe
   * takes. Idempotent.
   * @throws {NetworkError} what `error` says, if the recording is not whole
   */
  stop(): Promise<RecordingCounters> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #stop(): Promise<RecordingCounters> {
    this.#native.stop();
    for (let pause = 1; !this.ended; pause = Math.min(2 * pause, longestPause)) {
      await sleep(pause);
    }
    if (this.error !== null) throw this.error;
    return this.counters();
  }

  /** @internal Waits, blocking, until everything is written. */
  flushNow(milliseconds: number): void {
    this.#native.stop();
    this.#native.wait(milliseconds);
  }
}

function failed([errno, syscall, detail]: NativeFailure, path: string | undefined): NetworkError {
  return new NetworkError(syscall || 'record', errno, { path, detail: detail || undefined });
}

function toSpec(target: unknown, options: Record<string, unknown>): NativeRecordingSpec {
  if (typeof target !== 'string' && typeof target !== 'number') {
    throw invalidType('target', 'of type string or number', target);
  }
  if (target === '') throw invalidValue('target', target, 'must be the path of a file');
  const { snapLength = wholeFrames, frameLimit } = options;
  return {
    path: typeof target === 'string' ? target : '',
    descriptor: typeof target === 'number' ? checkInteger(target, 'target', 0, 0x7fffffff) : -1,
    snapLength: checkInteger(snapLength, 'options.snapLength', 1, wholeFrames),
    frameLimit:
      frameLimit === undefined
        ? 0
        : checkInteger(frameLimit, 'options.frameLimit', 1, Number.MAX_SAFE_INTEGER),
  };
}

/** The recordings that a stack or a switch has running. */
export class Recordings {
  readonly #owner: RecordingOwner;
  readonly #running = new Set<Recording>();

  constructor(owner: RecordingOwner) {
    this.#owner = owner;
  }

  /** @param idOf finds a link by its name or id, or throws */
  start(
    target: unknown,
    options: unknown,
    idOf: (nameOrId: unknown, name: string) => number,
  ): Recording {
    const { links, ...rest } = checkObject(options, 'options');
    const spec = toSpec(target, rest);
    if (links !== undefined) {
      spec.links = checkArray(links, 'options.links').map((link, i) =>
        idOf(link, `options.links[${i}]`),
      );
    }
    return this.#start(this.#owner, spec);
  }

  /** A recording of `socket`, one of the owner's. */
  startSocket(socket: RecordingOwner, target: unknown, options: unknown): Recording {
    const given = checkObject(options, 'options');
    checkKeys(given, 'options', ['snapLength', 'frameLimit']);
    return this.#start(socket, toSpec(target, given));
  }

  #start(from: RecordingOwner, spec: NativeRecordingSpec): Recording {
    // Those of connections that have gone are let go of here: nobody need call their stop().
    for (const one of this.#running) void one.ended;
    const path = spec.path || undefined;
    const started = from.record(spec);
    if (Array.isArray(started)) throw failed(started, path);
    const recording = new Recording(started, path, (ended) => this.#running.delete(ended));
    this.#running.add(recording);
    return recording;
  }

  /** Resolves when those that still run are written, or cannot be; after a second at the latest. */
  async written(): Promise<void> {
    if (this.#running.size === 0) return;
    const done = new AbortController();
    const late = sleep(flushLimit, undefined, { signal: done.signal }).catch(() => {});
    await Promise.race([Promise.allSettled([...this.#running].map((one) => one.stop())), late]);
    done.abort();
  }

  /** The same, blocking: the process ends. */
  flushNow(): void {
    for (const recording of this.#running) recording.flushNow(flushLimit);
  }
}
