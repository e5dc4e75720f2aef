// SPDX-License-Identifier: MIT
//
// vpollnet stacks: looks once and prints, or again and again on a terminal.

import { hostname } from 'node:os';
import colours from 'picocolors';
import { exitCode } from './command.js';
import { LiveScreen } from './live-screen.js';
import { look, type Sight } from './snapshot.js';
import { type SortKey, sortKeys } from './stacks-command.js';
import { coloured, plain, Rates, select, type ViewOptions, view } from './stacks-view.js';

export interface StacksOptions {
  once: boolean;
  json: boolean;
  /** Milliseconds. */
  interval: number;
  /** Milliseconds. */
  timeout: number;
  /** Only those; empty: all. */
  pids: readonly number[];
  view: ViewOptions;
}

/** What else there was: processes that did not answer, and those of others. */
function remarks({ silent, foreign }: Sight): string[] {
  const lines = silent.map(({ pid, reason }) => `process ${pid}: ${reason}`);
  if (foreign > 0) lines.push(`${foreign} of other users not shown`);
  return lines;
}

/** @returns the exit code */
export async function runStacks(options: StacksOptions): Promise<number> {
  if (options.once || !process.stdout.isTTY) return printOnce(options);
  return showLive(options);
}

async function printOnce({ json, timeout, pids, view: wanted }: StacksOptions): Promise<number> {
  const sight = await look(timeout, pids);
  const processes = select(sight, wanted);
  if (json) {
    process.stdout.write(`${JSON.stringify(processes, null, 2)}\n`);
  } else if (processes.length > 0) {
    const style = process.stdout.isTTY && colours.isColorSupported ? coloured : plain;
    process.stdout.write(`${view(processes, wanted, undefined, style).join('\n')}\n`);
  }
  const others = remarks(sight);
  if (processes.length === 0 && sight.silent.length === 0) {
    others.unshift('no running stack was found');
  }
  for (const line of others) process.stderr.write(`vpollnet stacks: ${line}\n`);
  if (sight.silent.length > 0) return exitCode.failure;
  return processes.length > 0 ? exitCode.ok : exitCode.nothing;
}

async function showLive(options: StacksOptions): Promise<number> {
  const { interval, timeout, pids } = options;
  const rates = new Rates();
  const wanted = { ...options.view };
  const style = colours.isColorSupported ? coloured : plain;
  let [sight, found]: [Sight | undefined, boolean] = [undefined, false];
  let quit = false;
  let wake = () => {};

  const draw = () => {
    if (sight === undefined) return;
    const processes = select(sight, wanted);
    const keys = `sorted by ${wanted.sort}   q quits, s sorts`;
    const title = `vpollnet stacks  ${hostname()}  ${new Date().toTimeString().slice(0, 8)}   ${keys}`;
    const lines = view(processes, wanted, rates, style);
    if (processes.length === 0) lines.splice(0, lines.length, 'no running stack was found');
    const others = remarks(sight).map((line) => style.bad(line));
    screen.draw([style.faint(title), ...others, '', ...lines]);
  };
  const screen = new LiveScreen((key) => {
    if (key === 'q' || key === '\x03') {
      quit = true;
      wake();
    } else if (key === 's') {
      const at = sortKeys.indexOf(wanted.sort);
      wanted.sort = sortKeys[(at + 1) % sortKeys.length] as SortKey;
      draw();
    }
  });
  try {
    for (let next = performance.now(); !quit; next = Math.max(next + interval, performance.now())) {
      sight = await look(timeout, pids);
      const processes = select(sight, wanted);
      found ||= processes.length > 0;
      rates.take(processes, performance.now());
      draw();
      if (quit) break;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.max(0, next + interval - performance.now()));
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  } finally {
    screen.close();
  }
  return found ? exitCode.ok : exitCode.nothing;
}
