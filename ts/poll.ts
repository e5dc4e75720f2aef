// SPDX-License-Identifier: MIT
//
// poll(2) over any descriptors: the stack's sockets, stdin, kernel sockets, pipes, epoll sets. Once
// blocking, as in the C library, and once as a promise.

import { constants } from 'node:os';
import { isMainThread } from 'node:worker_threads';
import { checkArray, checkInteger, checkSignal } from './check.js';
import { aborted, invalidType, NetworkError } from './errors.js';
import { native } from './native.js';

/** There is data to read, a connection to accept, or the end of the stream. */
export const POLLIN: number = native.constants.POLLIN;
/** There is urgent data (TCP). */
export const POLLPRI: number = native.constants.POLLPRI;
/** There is room to write; a connect() has come to its end. */
export const POLLOUT: number = native.constants.POLLOUT;
/** An error is pending. Reported whether asked for or not. */
export const POLLERR: number = native.constants.POLLERR;
/** Both directions are at their end. Reported whether asked for or not. */
export const POLLHUP: number = native.constants.POLLHUP;
/** The descriptor is not open. Reported whether asked for or not. */
export const POLLNVAL: number = native.constants.POLLNVAL;
/** The peer has ended its direction. */
export const POLLRDHUP: number = native.constants.POLLRDHUP;

/** poll(2)'s struct pollfd. */
export interface PollFd {
  /** A descriptor; a negative one is left out. */
  fd: number;
  /** POLL* bits to wait for. */
  events: number;
  /** Filled in by poll(): the POLL* bits found. */
  revents?: number;
}

/** The longest wait in milliseconds; -1 is longer. */
export const longestWait = 0x7fffffff;

const { EINTR } = constants.errno;

// A worker must come back now and then so that worker.terminate() and the end of the process, which
// wait for it, get through.
const slice = isMainThread ? longestWait : 250;

let scratch = new Int32Array(3 * 64);

function load(fds: readonly PollFd[], entries: Int32Array): void {
  for (let i = 0; i < fds.length; i += 1) {
    const entry = fds[i];
    if (typeof entry !== 'object' || entry === null) {
      throw invalidType(`fds[${i}]`, 'of type object', entry);
    }
    const { fd, events } = entry;
    if ((fd | 0) !== fd) checkInteger(fd, `fds[${i}].fd`, -longestWait - 1, longestWait);
    if ((events & 0x7fff) !== events) checkInteger(events, `fds[${i}].events`, 0, 0x7fff);
    entries[3 * i] = fd;
    entries[3 * i + 1] = events;
    entries[3 * i + 2] = 0;
  }
}

function store(fds: readonly PollFd[], entries: Int32Array): void {
  for (let i = 0; i < fds.length; i += 1) {
    (fds[i] as PollFd).revents = entries[3 * i + 2] as number;
  }
}

/** Milliseconds as poll(2) takes them; Infinity is -1. */
export function checkTimeout(value: unknown): number {
  if (value === Number.POSITIVE_INFINITY) return -1;
  return checkInteger(value, 'timeoutMs', -1, longestWait);
}

/** Waits for `entries`, blocking. How many have something, or -errno. */
export function waitBlocking(entries: Int32Array, count: number, timeoutMs: number): number {
  if (timeoutMs >= 0 && timeoutMs <= slice) return native.poll(entries, count, timeoutMs);
  if (isMainThread) return native.poll(entries, count, timeoutMs);
  const end = timeoutMs < 0 ? Number.POSITIVE_INFINITY : performance.now() + timeoutMs;
  for (;;) {
    const left = Math.ceil(end - performance.now());
    const found = native.poll(entries, count, Math.max(0, Math.min(left, slice)));
    if (found !== 0 || left <= slice) return found;
  }
}

/**
 * Waits, blocking the thread, until a descriptor has one of its `events`, or for `timeoutMs`
 * milliseconds. As poll(2): fills in `revents` of each entry, and a descriptor that is not open has
 * POLLNVAL there. The stack's own sockets are exact on every back end. Meanwhile no JavaScript of
 * this thread runs, but the stacks go on.
 * @param fds what to wait for; the entries can be used again
 * @param timeoutMs -1 (the default) waits without limit, 0 only looks
 * @returns how many entries have something; 0 when the time is over
 * @throws {NetworkError} EINTR when a signal with a handler came: the handler runs when the event
 *   loop turns. Let it turn twice (`await setImmediate()` of node:timers/promises; the first may only
 *   end the turn at hand), then poll again. A signal that comes between two calls is not seen by
 *   poll: programs that wait for signals give a timeout, or use pollAsync.
 */
export function poll(fds: readonly PollFd[], timeoutMs = -1): number {
  checkArray(fds, 'fds');
  const timeout = checkTimeout(timeoutMs);
  if (scratch.length < 3 * fds.length) scratch = new Int32Array(6 * fds.length);
  load(fds, scratch);
  const found = waitBlocking(scratch, fds.length, timeout);
  if (found < 0) throw new NetworkError('poll', -found);
  store(fds, scratch);
  return found;
}

export interface PollAsyncOptions {
  /** Aborting rejects the promise with the signal's reason. */
  signal?: AbortSignal;
}

/**
 * poll() that blocks nobody: the promise keeps the event loop alive, and resolves when it turns.
 * Signals do not end it. `revents` is filled in when the promise resolves; do not change `fds` before.
 * @param timeoutMs -1 (the default) waits without limit, 0 only looks
 * @returns how many entries have something; 0 when the time is over
 */
export async function pollAsync(
  fds: readonly PollFd[],
  timeoutMs = -1,
  options: PollAsyncOptions = {},
): Promise<number> {
  checkArray(fds, 'fds');
  const timeout = checkTimeout(timeoutMs);
  const signal = checkSignal(options.signal, 'options.signal');
  const entries = new Int32Array(3 * fds.length);
  load(fds, entries);
  const found = await waitAsync(entries, fds.length, timeout, signal);
  if (found < 0) throw new NetworkError('poll', -found);
  store(fds, entries);
  return found;
}

/** Waits for `entries` in the event loop. How many have something, or -errno. */
export async function waitAsync(
  entries: Int32Array,
  count: number,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<number> {
  if (signal?.aborted) throw aborted(signal);
  const now = native.poll(entries, count, 0);
  if (now === -EINTR) return waitAsync(entries, count, timeoutMs, signal);
  if (now !== 0 || timeoutMs === 0) return now;
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined;
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      if (typeof watch !== 'number') watch.close();
    };
    const onAbort = () => {
      end();
      reject(aborted(signal as AbortSignal));
    };
    const look = (last: boolean) => {
      const found = typeof watch === 'number' ? watch : watch.collect(entries, count);
      if ((found === 0 || found === -EINTR) && !last) return;
      end();
      resolve(found === -EINTR ? 0 : found);
    };
    const watch = native.watch(entries, count, () => look(false));
    if (typeof watch === 'number') return resolve(watch);
    const failure = watch.start();
    if (failure < 0) {
      end();
      return resolve(failure);
    }
    signal?.addEventListener('abort', onAbort, { once: true });
    if (timeoutMs > 0) timer = setTimeout(look, timeoutMs, true);
    if (watch.ready()) look(false);
  });
}
