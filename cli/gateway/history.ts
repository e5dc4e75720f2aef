// SPDX-License-Identifier: MIT
//
// Throughput of the last minutes, for the plots.

import type { Gateway } from './types.js';

export interface Sample {
  /** Milliseconds since 1970. */
  time: number;
  /** Bytes a second. */
  out: number;
  in: number;
  flows: number;
}

/** Seconds between two samples, and how many are kept. */
const interval = 1;
const mostSamples = 300;

export class History {
  onSample: (sample: Sample) => void = () => {};
  readonly #gateway: Gateway;
  readonly #samples: Sample[] = [];
  readonly #timer: NodeJS.Timeout;
  #before: { at: number; out: number; in: number };

  constructor(gateway: Gateway) {
    this.#gateway = gateway;
    const { bytesOut, bytesIn } = gateway.counters();
    this.#before = { at: performance.now(), out: bytesOut, in: bytesIn };
    this.#timer = setInterval(() => this.#look(), interval * 1000).unref();
  }

  read(): { interval: number; samples: Sample[] } {
    return { interval, samples: [...this.#samples] };
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const { bytesOut, bytesIn, openFlows } = this.#gateway.counters();
    const at = performance.now();
    const seconds = (at - this.#before.at) / 1000;
    const sample = {
      time: Date.now(),
      out: Math.round((bytesOut - this.#before.out) / seconds),
      in: Math.round((bytesIn - this.#before.in) / seconds),
      flows: openFlows,
    };
    this.#before = { at, out: bytesOut, in: bytesIn };
    this.#samples.push(sample);
    if (this.#samples.length > mostSamples) this.#samples.shift();
    this.onSample(sample);
  }
}
