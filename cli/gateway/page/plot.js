// SPDX-License-Identifier: MIT
//
// Throughput, as a plot.

import { byId, rate } from './common.js';
import uPlot from './uplot.js';

/** @typedef {{ time: number, out: number, in: number, flows: number }} Sample */

/** Seconds that are shown. */
const span = 300;

export class Plot {
  /** @type {Sample[]} */
  #samples = [];
  /** @type {uPlot | undefined} */
  #plot;
  #parent = byId('plot');

  constructor() {
    this.#make();
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#make());
    new ResizeObserver(() => this.#plot?.setSize(this.#size())).observe(this.#parent);
  }

  /** @param {Sample[]} samples */
  set(samples) {
    this.#samples = samples;
    this.#draw();
  }

  /** @param {Sample} sample */
  add(sample) {
    this.#samples.push(sample);
    while (this.#samples.length > span) this.#samples.shift();
    this.#draw();
  }

  #size() {
    return { width: Math.max(200, this.#parent.clientWidth), height: this.#parent.clientHeight };
  }

  /** @returns {uPlot.AlignedData} */
  #data() {
    const { length } = this.#samples;
    const end =
      length > 0
        ? /** @type {Sample} */ (this.#samples[length - 1]).time / 1000
        : Date.now() / 1000;
    // The axis is the whole span from the start: nothing is squeezed as samples come.
    const first = this.#samples[0]?.time ?? end * 1000;
    const pad = first / 1000 > end - span ? [end - span] : [];
    const none = pad.map(() => null);
    return [
      [...pad, ...this.#samples.map(({ time }) => time / 1000)],
      [...none, ...this.#samples.map((sample) => sample.out)],
      [...none, ...this.#samples.map((sample) => sample.in)],
    ];
  }

  #draw() {
    this.#plot?.setData(this.#data());
  }

  #make() {
    const style = getComputedStyle(document.documentElement);
    const colour = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
    /** @param {string} label @param {string} name */
    const series = (label, name) => ({
      label,
      stroke: colour(name),
      fill: `${colour(name)}22`,
      width: 1.5,
      points: { show: false },
      value: (/** @type {unknown} */ _, /** @type {number | null} */ value) =>
        value === null ? '' : rate(value),
    });
    const axis = {
      stroke: colour('--soft'),
      grid: { stroke: colour('--line'), width: 1 },
      ticks: { show: false },
    };
    this.#plot?.destroy();
    this.#plot = new uPlot(
      {
        ...this.#size(),
        legend: { show: false },
        padding: [8, 8, 0, 0],
        cursor: { drag: { x: false, y: false } },
        scales: {
          // An idle network is a line at the bottom, not noise that fills the plot.
          y: {
            range: (
              /** @type {unknown} */ _,
              /** @type {number} */ __,
              /** @type {number} */ most,
            ) => [0, Math.max(1000, most * 1.1)],
          },
        },
        axes: [
          {
            ...axis,
            size: 32,
            space: 90,
            values: (/** @type {unknown} */ _, /** @type {number[]} */ times) => times.map(clock),
          },
          {
            ...axis,
            size: 78,
            values: (/** @type {unknown} */ _, /** @type {number[]} */ values) => values.map(rate),
          },
        ],
        series: [{}, series('Out', '--out'), series('In', '--in')],
      },
      this.#data(),
      this.#parent,
    );
  }
}

/** @param {number} seconds */
const clock = (seconds) => new Date(seconds * 1000).toTimeString().slice(0, 8);
