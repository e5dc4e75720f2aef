// SPDX-License-Identifier: MIT
//
// The flows as control and page show them: with rates, names and reasons; sorted, searched, and as many as are
// asked for.

import type { NameTable } from './names.js';
import type { GatewayPolicy } from './policy.js';
import { endpointText } from './rule-text.js';
import type { FlowInfo, Gateway } from './types.js';

export interface ShownFlow extends FlowInfo {
  /** Of the destination, the newest first. */
  names: string[];
  /** Payload bytes a second, between the last two looks. */
  rateOut: number;
  rateIn: number;
  /** Which rule, default or forward decided. */
  reason: string;
  /** Milliseconds since its end. */
  ended?: number;
}

export const sortKeys = ['newest', 'oldest', 'rate', 'bytes', 'idle'] as const;

export interface FlowQuery {
  limit: number;
  sort: (typeof sortKeys)[number];
  /** Words that all have to be in source, destination, names, protocol or state. */
  filter: string;
}

export interface FlowPage {
  /** `limit` of them at most. */
  flows: ShownFlow[];
  matching: number;
  total: number;
}

interface Sample {
  out: number;
  in: number;
  rateOut: number;
  rateIn: number;
}

/**
 * A look at thousands of flows is not free: one serves all who ask within this time, ms, and within twenty times what
 * it took, so that looking is never more than a small part of what the event loop does.
 */
const freshFor = 500;
const costFactor = 20;
/** Flows that have ended and are still shown. */
const mostEnded = 500;

export class FlowList {
  readonly #gateway: Gateway;
  readonly #policy: GatewayPolicy;
  readonly #names: NameTable;
  readonly #ended: { flow: FlowInfo; at: number }[] = [];
  #samples = new Map<number, Sample>();
  #flows: FlowInfo[] = [];
  #looked = Number.NEGATIVE_INFINITY;
  #cost = 0;

  constructor(gateway: Gateway, policy: GatewayPolicy, names: NameTable) {
    this.#gateway = gateway;
    this.#policy = policy;
    this.#names = names;
    gateway.on('end', (flow) => {
      this.#ended.push({ flow, at: performance.now() });
      if (this.#ended.length > mostEnded) this.#ended.shift();
    });
  }

  query({ limit, sort, filter }: FlowQuery): FlowPage {
    this.#look();
    const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
    const matching =
      words.length === 0 ? [...this.#flows] : this.#flows.filter((flow) => this.#has(flow, words));
    const key = this.#key(sort);
    matching.sort((a, b) => key(b) - key(a) || b.id - a.id);
    const flows = matching.slice(0, limit).map((flow) => this.#show(flow));
    return { flows, matching: matching.length, total: this.#flows.length };
  }

  /** Those that ended last, the newest first. */
  ended(limit: number): ShownFlow[] {
    return this.#ended
      .slice(-limit)
      .reverse()
      .map(({ flow, at }) => ({
        ...this.#show(flow, at),
        ended: Math.round(performance.now() - at),
      }));
  }

  #look(): void {
    const now = performance.now();
    const seconds = (now - this.#looked) / 1000;
    if (seconds * 1000 < Math.max(freshFor, costFactor * this.#cost)) return;
    this.#looked = now;
    this.#flows = this.#gateway.flows();
    const samples = new Map<number, Sample>();
    for (const { id, bytesOut, bytesIn, age } of this.#flows) {
      const before = this.#samples.get(id);
      // A flow that is new since the last look has moved its bytes in its own time.
      const span = before === undefined ? Math.min(seconds, age / 1000) : seconds;
      const rate = (bytes: number, had = 0) => (span > 0 ? (bytes - had) / span : 0);
      samples.set(id, {
        out: bytesOut,
        in: bytesIn,
        rateOut: rate(bytesOut, before?.out),
        rateIn: rate(bytesIn, before?.in),
      });
    }
    this.#samples = samples;
    this.#cost = performance.now() - now;
  }

  #key(sort: FlowQuery['sort']): (flow: FlowInfo) => number {
    if (sort === 'newest') return ({ id }) => id;
    if (sort === 'oldest') return ({ id }) => -id;
    if (sort === 'idle') return ({ idle }) => idle;
    if (sort === 'bytes') return ({ bytesOut, bytesIn }) => bytesOut + bytesIn;
    return ({ id }) => {
      const sample = this.#samples.get(id);
      return sample === undefined ? 0 : sample.rateOut + sample.rateIn;
    };
  }

  #has(flow: FlowInfo, words: readonly string[]): boolean {
    const { protocol, state, direction, source, destination } = flow;
    const names = this.#names.of(destination.address);
    const text = [
      protocol,
      state,
      direction,
      endpointText(source),
      endpointText(destination),
      ...names,
    ].join(' ');
    return words.every((word) => text.includes(word));
  }

  #show(flow: FlowInfo, at = performance.now()): ShownFlow {
    const sample = this.#samples.get(flow.id);
    return {
      ...flow,
      names: this.#names.of(flow.destination.address),
      rateOut: Math.round(sample?.rateOut ?? 0),
      rateIn: Math.round(sample?.rateIn ?? 0),
      reason: this.#policy.reason(flow, at - flow.age),
    };
  }
}
