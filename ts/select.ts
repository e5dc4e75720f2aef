// SPDX-License-Identifier: MIT
//
// select(2) over any descriptors, without its limit of 1024: poll with three lists.

import { constants } from 'node:os';
import { checkArray, checkInteger, checkObject, checkSignal } from './check.js';
import { NetworkError } from './errors.js';
import {
  checkTimeout,
  longestWait,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLNVAL,
  POLLOUT,
  POLLPRI,
  type PollAsyncOptions,
  waitAsync,
  waitBlocking,
} from './poll.js';

/** Descriptors to wait for. */
export interface SelectSets {
  /** To be readable: data, a connection, the end of the stream or an error. */
  read?: readonly number[];
  /** To be writable: room, the end of a connect(), or an error. */
  write?: readonly number[];
  /** To have urgent data. */
  except?: readonly number[];
}

/** The descriptors of each list that are ready. All three are empty when the time was over. */
export interface SelectResult {
  read: number[];
  write: number[];
  except: number[];
}

// As Linux defines select in terms of poll.
const sets = [
  { name: 'read', events: POLLIN, ready: POLLIN | POLLHUP | POLLERR },
  { name: 'write', events: POLLOUT, ready: POLLOUT | POLLERR },
  { name: 'except', events: POLLPRI, ready: POLLPRI },
] as const;

interface Request {
  lists: readonly (readonly number[])[];
  /** One for each descriptor and list, in the order of the lists. */
  entries: Int32Array;
  count: number;
}

function toRequest(given: unknown): Request {
  const object = checkObject(given, 'sets');
  const lists = sets.map(({ name }) => {
    const list = object[name];
    if (list === undefined) return [];
    return checkArray(list, `sets.${name}`).map((fd, i) =>
      checkInteger(fd, `sets.${name}[${i}]`, 0, longestWait),
    );
  });
  const entries = new Int32Array(
    lists.flatMap((list, i) => list.flatMap((fd) => [fd, (sets[i] as (typeof sets)[0]).events, 0])),
  );
  return { lists, entries, count: entries.length / 3 };
}

function toResult({ lists, entries }: Request, found: number): SelectResult {
  if (found < 0) throw new NetworkError('select', -found);
  let at = 2;
  const [read, write, except] = lists.map((list, i) =>
    list.filter((fd) => {
      const revents = entries[at] as number;
      at += 3;
      if (revents & POLLNVAL) {
        const detail = `descriptor ${fd} is not open`;
        throw new NetworkError('select', constants.errno.EBADF, { detail });
      }
      return (revents & (sets[i] as (typeof sets)[0]).ready) !== 0;
    }),
  ) as [number[], number[], number[]];
  return { read, write, except };
}

/**
 * Waits, blocking the thread, until a descriptor is ready as its list says, or for `timeoutMs`
 * milliseconds (-1, the default: without limit; 0: only looks).
 * @throws {NetworkError} EBADF if a descriptor is not open; EINTR as poll() does
 */
export function select(given: SelectSets, timeoutMs = -1): SelectResult {
  const request = toRequest(given);
  return toResult(request, waitBlocking(request.entries, request.count, checkTimeout(timeoutMs)));
}

/** select() that blocks nobody; see pollAsync(). */
export async function selectAsync(
  given: SelectSets,
  timeoutMs = -1,
  options: PollAsyncOptions = {},
): Promise<SelectResult> {
  const request = toRequest(given);
  const signal = checkSignal(options.signal, 'options.signal');
  const timeout = checkTimeout(timeoutMs);
  return toResult(request, await waitAsync(request.entries, request.count, timeout, signal));
}
