// SPDX-License-Identifier: MIT
//
// What stacks and switches do alike: they are closed when the process ends, and they look after their links
// while somebody listens for that.

import type { EventEmitter } from 'node:events';

/** How often links are looked after, in milliseconds. */
const pause = 100;

const open = { stacks: new Set<() => void>(), switches: new Set<() => void>() };
let closesAtExit = false;

/** Calls `close` when the process ends: stacks first, since their resets may go through switches. */
export function closeAtExit(kind: keyof typeof open, close: () => void): void {
  open[kind].add(close);
  if (closesAtExit) return;
  closesAtExit = true;
  process.once('exit', () => {
    for (const each of open.stacks) each();
    for (const each of open.switches) each();
  });
}

/** It is closed. */
export function forgetAtExit(kind: keyof typeof open, close: () => void): void {
  open[kind].delete(close);
}

/**
 * Calls `tell` when `emitter` gets its first listener for one of `events`, and when the last one has gone. What is
 * returned takes `tell` off, as if the last one had gone.
 */
export function whileListened(
  emitter: EventEmitter,
  events: readonly string[],
  tell: (listened: boolean) => void,
): () => void {
  let listened = false;
  let stopped = false;
  const update = (coming: number) => {
    const count = events.reduce((sum, event) => sum + emitter.listenerCount(event), 0);
    const now = !stopped && count + coming > 0;
    if (now === listened) return;
    listened = now;
    tell(now);
  };
  // 'newListener' comes before the listener is there, 'removeListener' after it is gone.
  emitter.on('newListener', (event) => update(events.includes(event) ? 1 : 0));
  emitter.on('removeListener', () => update(0));
  return () => {
    stopped = true;
    update(0);
  };
}

/** Calls `look` now and then while `emitter` has a listener for one of `events`. Keeps no loop alive. */
export class Lookout {
  /** Ends it. */
  readonly stop: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(emitter: EventEmitter, events: readonly string[], look: () => void) {
    this.stop = whileListened(emitter, events, (listened) => {
      clearInterval(this.#timer);
      this.#timer = listened ? setInterval(look, pause).unref() : undefined;
    });
  }
}
