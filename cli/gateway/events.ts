// SPDX-License-Identifier: MIT
//
// Server-sent events, to readers who may be slow.

import type { ServerResponse } from 'node:http';
import type { History } from './history.js';
import type { GatewayPolicy } from './policy.js';
import { Problem } from './problem.js';
import type { FlowInfo, Gateway } from './types.js';
import { showRules } from './views.js';

export const eventKinds = [
  'flow',
  'end',
  'ask',
  'answered',
  'rules',
  'forwards',
  'sample',
  'lost',
] as const;
export type EventKind = (typeof eventKinds)[number];

const mostStreams = 32;
/** Bytes that wait for a reader; what comes meanwhile is counted and left out. */
const mostWaiting = 1024 * 1024;
/** Between two signs of life, ms: who has gone is found out by one. */
const heartbeat = 15_000;

export class EventStream {
  readonly #response: ServerResponse;
  readonly #kinds: ReadonlySet<string>;
  #lost = 0;

  /** @throws {Problem} 400 for a kind that there is not */
  constructor(response: ServerResponse, kinds: readonly string[]) {
    for (const kind of kinds) {
      if (eventKinds.includes(kind as EventKind)) continue;
      throw new Problem(400, `only cannot have '${kind}'; there are ${eventKinds.join(', ')}`);
    }
    this.#response = response;
    this.#kinds = new Set(kinds.length === 0 ? eventKinds : kinds);
  }

  begin(gone: () => void): void {
    this.#response.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
    });
    this.#response.on('close', gone);
    this.#response.write(': vpollnet gateway\n\n');
  }

  wants(kind: EventKind): boolean {
    return this.#kinds.has(kind);
  }

  /** @param data of several lines none: JSON has no line ends */
  send(kind: EventKind, data: string): void {
    if (this.#response.writableLength > mostWaiting) {
      this.#lost += 1;
      return;
    }
    if (this.#lost > 0) {
      this.#response.write(`event: lost\ndata: {"count":${this.#lost}}\n\n`);
      this.#lost = 0;
    }
    this.#response.write(`event: ${kind}\ndata: ${data}\n\n`);
  }

  beat(): void {
    if (this.#response.writableLength <= mostWaiting) this.#response.write(':\n\n');
  }

  end(): void {
    this.#response.end();
  }
}

/** All readers. What happens to flows is listened for only while somebody reads it. */
export class EventStreams {
  readonly #streams = new Set<EventStream>();
  readonly #gateway: Gateway;
  readonly #listeners = {
    flow: (flow: FlowInfo) => this.send('flow', flow),
    end: (flow: FlowInfo) => this.send('end', flow),
  };
  readonly #timer: NodeJS.Timeout;
  #listening = false;

  constructor(gateway: Gateway, policy: GatewayPolicy, history: History) {
    this.#gateway = gateway;
    policy.on('ask', (asked) => this.send('ask', asked));
    policy.on('answered', (answered) => this.send('answered', answered));
    policy.on('rules', () => this.send('rules', showRules(policy)));
    history.onSample = (sample) => this.send('sample', sample);
    this.#timer = setInterval(() => {
      for (const stream of this.#streams) stream.beat();
    }, heartbeat).unref();
  }

  /** @throws {Problem} 503 */
  add(stream: EventStream): void {
    if (this.#streams.size >= mostStreams) {
      throw new Problem(503, `there are ${mostStreams} readers of events, the most there can be`);
    }
    this.#streams.add(stream);
    stream.begin(() => {
      this.#streams.delete(stream);
      this.#listen();
    });
    this.#listen();
  }

  send(kind: EventKind, data: unknown): void {
    let text: string | undefined;
    for (const stream of this.#streams) {
      if (!stream.wants(kind)) continue;
      text ??= JSON.stringify(data);
      stream.send(kind, text);
    }
  }

  close(): void {
    clearInterval(this.#timer);
    for (const stream of this.#streams) stream.end();
  }

  #listen(): void {
    const wanted = [...this.#streams].some((one) => one.wants('flow') || one.wants('end'));
    if (wanted === this.#listening) return;
    this.#listening = wanted;
    for (const kind of ['flow', 'end'] as const) {
      if (wanted) this.#gateway.on(kind, this.#listeners[kind]);
      else this.#gateway.off(kind, this.#listeners[kind]);
    }
  }
}
