// SPDX-License-Identifier: MIT
//
// The transcript of a scenario: a part for each object, with its events in their order, and a part for each
// name that the scenario itself writes under. Parts are independent: where Node does not define whether
// something happens on one object before something on another, the transcript does not either.

import type { EventEmitter } from 'node:events';
import { describe, describeBytes, describePort, type Names } from './values.js';

/** How often, and when, is a matter of how bytes were cut into chunks. */
const unordered = new Set(['newListener', 'removeListener', 'readable', 'pause', 'resume']);

/** Events before which the bytes that came are written down. */
const afterData = new Set(['end', 'error', 'close', 'aborted']);

/** What `state()` shows, of whatever of it the object has. */
const stateFields = `connecting pending readyState destroyed closed errored readable writable
  readableEnded writableEnded writableFinished readableAborted bytesRead bytesWritten
  remoteAddress remoteFamily remotePort localAddress localFamily localPort
  listening allowHalfOpen timeout isPaused`.split(/\s+/);

interface Part {
  lines: string[];
  chunks: (Buffer | string)[];
  seen: Map<string, unknown[][]>;
}

interface Waiter {
  part: Part;
  event: string;
  count: number;
  what: string;
  resolve(args: unknown[]): void;
}

export interface EventOptions {
  /** Events that are left out. */
  without?: readonly string[];
  /** Events that are otherwise left out. */
  with?: readonly string[];
}

export class Log implements Names {
  readonly #parts = new Map<string, Part>();
  readonly #objects = new WeakMap<object, string>();
  readonly #ports = new Map<number, string>();
  readonly #texts = new Map<string, string>();
  readonly #waiters = new Set<Waiter>();
  #isOver = false;

  object(value: object): string | undefined {
    return this.#objects.get(value);
  }

  port(value: number): string | undefined {
    return this.#ports.get(value);
  }

  text(value: string): string {
    let text = value;
    for (const [from, to] of this.#texts) text = text.replaceAll(from, to);
    return text.replace(
      /(?<=[\d\]a-f.:<>*]:)(\d{4,5})\b/g,
      (digits) => describePort(Number(digits), this), // as in 'connect ECONNREFUSED 127.0.0.1:40000'
    );
  }

  /** Calls this port by that name from now on. */
  namePort(port: number, name: string): void {
    this.#ports.set(port, name);
  }

  /** Writes `to` wherever a text has `from`. */
  nameText(from: string, to: string): void {
    this.#texts.set(from, to);
  }

  /** Records all events of an object, from now on, in a part of this name. */
  events<T extends EventEmitter>(emitter: T, name: string, options: EventOptions = {}): T {
    const part = this.#part(name);
    this.#objects.set(emitter, name);
    const emit = emitter.emit;
    const isLeftOut = (event: string) =>
      options.without?.includes(event) ||
      (unordered.has(event) && !(options.with?.includes(event) ?? false));
    emitter.emit = (event: string | symbol, ...args: unknown[]) => {
      if (typeof event === 'string' && !this.#isOver) {
        if (!isLeftOut(event)) this.#record(part, event, args);
        this.#arrived(part, event, args);
      }
      return emit.call(emitter, event, ...args);
    };
    // An error that only one of the worlds has is to be a line of its transcript, not the end of the process.
    emitter.on('error', () => {});
    return emitter;
  }

  /** A line in the part of an object, or of that name. */
  note(where: object | string, what: string, ...values: unknown[]): void {
    if (this.#isOver) return;
    const shown = values.map((value) => describe(value, this)).join(' ');
    this.#partOf(where).lines.push(shown === '' ? what : `${what}: ${shown}`);
  }

  /** What a call returns or throws. */
  outcome(where: object | string, what: string, call: () => unknown): void {
    try {
      this.note(where, what, call());
    } catch (error) {
      this.note(where, `${what} threw`, error);
    }
  }

  /** The object's properties. */
  state(emitter: object, when: string): void {
    if (this.#isOver) return;
    const part = this.#partOf(emitter);
    this.#flush(part);
    const fields = emitter as Record<string, unknown>;
    const shown: string[] = [];
    for (const field of stateFields) {
      let value = fields[field];
      if (field === 'isPaused' && typeof value === 'function') value = value.call(emitter);
      if (value === undefined || typeof value === 'function') continue;
      const isPort = /Port$/.test(field) && typeof value === 'number';
      shown.push(
        `${field}=${isPort ? describePort(value as number, this) : describe(value, this)}`,
      );
    }
    part.lines.push(`state ${when}: ${shown.join(' ')}`);
  }

  /** Waits for the object's `count`th event of that name, which may have been long ago. */
  seen(emitter: object, event: string, count = 1): Promise<unknown[]> {
    const name = this.#objects.get(emitter);
    if (name === undefined) throw new Error(`'${event}': the object is not recorded`);
    const part = this.#part(name);
    const before = part.seen.get(event)?.[count - 1];
    if (before !== undefined) return Promise.resolve(before);
    return new Promise((resolve) => {
      this.#waiters.add({ part, event, count, resolve, what: `'${event}' of ${name}` });
    });
  }

  /** How often the object has had that event. */
  count(emitter: object, event: string): number {
    return this.#partOf(emitter).seen.get(event)?.length ?? 0;
  }

  /** What is being waited for. */
  get awaited(): string[] {
    return [...this.#waiters].map(({ what }) => what);
  }

  /** Ends the recording. Returns the whole transcript, part by part in the order of their names. */
  end(): string {
    for (const part of this.#parts.values()) this.#flush(part);
    this.#isOver = true;
    return [...this.#parts]
      .filter(([, { lines }]) => lines.length > 0)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, { lines }]) => `[${name}]\n${lines.map((line) => `  ${line}\n`).join('')}`)
      .join('');
  }

  #part(name: string): Part {
    let part = this.#parts.get(name);
    if (part === undefined) {
      part = { lines: [], chunks: [], seen: new Map() };
      this.#parts.set(name, part);
    }
    return part;
  }

  #partOf(where: object | string): Part {
    if (typeof where === 'string') return this.#part(where);
    const name = this.#objects.get(where);
    if (name === undefined) throw new Error('the object is not recorded');
    return this.#part(name);
  }

  #record(part: Part, event: string, args: unknown[]): void {
    const [first] = args;
    if (event === 'data' && (typeof first === 'string' || Buffer.isBuffer(first))) {
      part.chunks.push(first);
      return;
    }
    if (afterData.has(event)) this.#flush(part);
    const isAttempt = event.startsWith('connectionAttempt');
    const shown = args.map((value) =>
      isAttempt && typeof value === 'number' && value > 6
        ? describePort(value, this)
        : describe(value, this),
    );
    part.lines.push(shown.length === 0 ? event : `${event}: ${shown.join(' ')}`);
  }

  #flush(part: Part): void {
    if (part.chunks.length === 0) return;
    const isText = typeof part.chunks[0] === 'string';
    const bytes = Buffer.concat(
      part.chunks.map((one) => (typeof one === 'string' ? Buffer.from(one) : one)),
    );
    part.chunks = [];
    part.lines.push(`data${isText ? ' as text' : ''}: ${describeBytes(bytes)}`);
  }

  #arrived(part: Part, event: string, args: unknown[]): void {
    const all = part.seen.get(event) ?? [];
    all.push(args);
    part.seen.set(event, all);
    for (const waiter of this.#waiters) {
      if (waiter.part === part && waiter.event === event && all.length >= waiter.count) {
        this.#waiters.delete(waiter);
        waiter.resolve(all[waiter.count - 1] ?? []);
      }
    }
  }
}
