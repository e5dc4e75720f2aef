// SPDX-License-Identifier: MIT
//
// A bad network on purpose: how it is described, and the checks of that. docs/links.md has the semantics.

import { checkInteger, checkNumber, checkObject } from './check.js';
import { invalidValue } from './errors.js';
import type { NativeImpairment, NativeImpairments } from './native.js';

/** What happens to the frames of one direction of a link. Nothing, where a property is left out. */
export interface Impairment {
  /** Milliseconds, up to an hour. */
  delay?: number;
  /** Milliseconds: the delay of each frame is uniform in [delay - jitter, delay + jitter]. May reorder. */
  jitter?: number;
  /** Share of the frames that is lost, 0 to 1. */
  loss?: number;
  /** Share of the frames that comes twice, 0 to 1. */
  duplicate?: number;
  /** Share of the frames that is not delayed, and overtakes the others, 0 to 1. Needs a delay. */
  reorder?: number;
  /** Share of the frames in which one bit is flipped, 0 to 1. */
  corrupt?: number;
  /** Bits of frame a second; no limit if left out. */
  rate?: number;
  /** Frames that wait at most, for the delay or the rate; 1000 if left out. More are dropped. */
  queue?: number;
  /**
   * An integer: the same seed gives the same fate to the same frames. Setting it starts the count of frames
   * anew. If left out, the seed stays as it is; the first one is random.
   */
  seed?: number;
}

/** Each direction apart: `in` is what comes to the stack. */
export interface ImpairmentByDirection {
  in?: Impairment | null;
  out?: Impairment | null;
}

/** What an impairment is, and has done. */
export interface ImpairmentState extends Required<Impairment> {
  /** Frames that wait now. */
  waiting: number;
  /** Frames that it has seen. */
  frames: number;
  lost: number;
  duplicated: number;
  reordered: number;
  corrupted: number;
  /** Frames, and second copies of frames, that found no room in the queue. */
  queueFull: number;
}

const none: NativeImpairment = {
  delay: 0,
  jitter: 0,
  loss: 0,
  duplicate: 0,
  reorder: 0,
  corrupt: 0,
  rate: 0,
  queue: 1000,
  seed: -1,
};

const longest = 3_600_000;
const milliseconds = (value: unknown, name: string) => checkNumber(value, name, 0, longest);
const share = (value: unknown, name: string) => checkNumber(value, name, 0, 1);
const whole = (least: number, most: number) => (value: unknown, name: string) =>
  checkInteger(value, name, least, most);

const checks: Record<keyof Impairment, (value: unknown, name: string) => number> = {
  delay: milliseconds,
  jitter: milliseconds,
  loss: share,
  duplicate: share,
  reorder: share,
  corrupt: share,
  rate: whole(1, Number.MAX_SAFE_INTEGER),
  queue: whole(1, 1_000_000),
  seed: whole(0, Number.MAX_SAFE_INTEGER),
};

/** A misspelt property would be a bad network that is not there. */
function checkKeys(given: object, known: readonly string[], name: string): void {
  const unknown = Object.keys(given).find((key) => !known.includes(key));
  if (unknown === undefined) return;
  throw invalidValue(name, given, `has no property '${unknown}'; there are ${known.join(', ')}`);
}

function checkOne(value: unknown, name: string): NativeImpairment {
  if (value === null) return none;
  const given = checkObject(value, name);
  checkKeys(given, Object.keys(checks), name);
  const result = { ...none };
  for (const [key, check] of Object.entries(checks) as [keyof Impairment, typeof share][]) {
    if (given[key] !== undefined) result[key] = check(given[key], `${name}.${key}`);
  }
  if (result.reorder > 0 && result.delay === 0 && result.jitter === 0) {
    throw invalidValue(
      `${name}.reorder`,
      result.reorder,
      'needs a delay: frames are sent ahead of those that are delayed',
    );
  }
  return result;
}

/** One description for both directions, or one for each; null: none. */
export function checkImpairment(value: unknown, name: string): NativeImpairments {
  if (value === null) return { in: none, out: none };
  const given = checkObject(value, name);
  if (!('in' in given) && !('out' in given)) {
    const both = checkOne(given, name);
    return { in: both, out: both };
  }
  checkKeys(given, ['in', 'out'], name);
  const result: NativeImpairments = {};
  if (given.in !== undefined) result.in = checkOne(given.in, `${name}.in`);
  if (given.out !== undefined) result.out = checkOne(given.out, `${name}.out`);
  return result;
}
