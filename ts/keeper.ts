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

/** Calls `look` now and then while `emitter` has a listener for one of `events`. Keeps no loop alive. */
export class Lookout {
  readonly #emitter: EventEmitter;
  readonly #events: readonly string[];
  readonly #look: () => void;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(emitter: EventEmitter, events: readonly string[], look: () => void) {
    this.#emitter = emitter;
    this.#events = events;
    this.#look = look;
    // 'newListener' comes before the listener is there, 'removeListener' after it is gone.
    emitter.on('newListener', (event) => this.#update(events.includes(event) ? 1 : 0));
    emitter.on('removeListener', () => this.#update(0));
  }

  stop(): void {
    this.#stopped = true;
    this.#update(0);
  }

  /** @param coming listeners that are about to be added */
  #update(coming: number): void {
    const count = this.#events.reduce((sum, event) => sum + this.#emitter.listenerCount(event), 0);
    const wanted = !this.#stopped && count + coming > 0;
    if (wanted === (this.#timer !== undefined)) return;
    clearInterval(this.#timer);
    this.#timer = wanted ? setInterval(this.#look, pause).unref() : undefined;
  }
}
