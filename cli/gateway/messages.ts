// SPDX-License-Identifier: MIT
//
// What the command says while it runs: lines for people on stderr, lines of JSON for programs.

import { clean } from '../command.js';
import type { NameTable } from './names.js';
import { flowText, type GatewayPolicy } from './policy.js';
import type { FlowInfo, Gateway } from './types.js';

const units = ['B', 'KB', 'MB', 'GB', 'TB'];

function size(bytes: number): string {
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3));
  const value = bytes / 1000 ** power;
  return `${power > 0 && value < 10 ? value.toFixed(1) : Math.round(value)} ${units[power]}`;
}

export class Messages {
  readonly #json: NodeJS.WritableStream | undefined;

  /** @param json where lines of JSON go, if anywhere */
  constructor(json: NodeJS.WritableStream | undefined) {
    this.#json = json;
  }

  say(text: string): void {
    process.stderr.write(`vpollnet gateway: ${clean(text)}\n`);
  }

  /** For programs. */
  tell(event: string, about: object): void {
    this.#json?.write(`${JSON.stringify({ event, ...about })}\n`);
  }

  /** A line for each flow, and for each question. */
  follow(gateway: Gateway, policy: GatewayPolicy, names: NameTable, verbose: boolean): void {
    const namesOf = (flow: FlowInfo) => names.of(flow.destination.address);
    policy.on('ask', ({ flow, remaining }) => {
      this.tell('ask', { flow, names: namesOf(flow), remaining });
      if (verbose) this.#line(`ask ${flow.id} ${flowText(flow, namesOf(flow))}`);
    });
    if (!verbose && this.#json === undefined) return;
    gateway.on('flow', (flow) => {
      this.tell('flow', { flow, names: namesOf(flow) });
      if (verbose) this.#line(`flow ${flow.id} ${flowText(flow, namesOf(flow))}`);
    });
    gateway.on('end', (flow) => {
      this.tell('end', { flow, names: namesOf(flow) });
      if (!verbose) return;
      const { id, end = '', error, bytesOut, bytesIn, age } = flow;
      const why = error === undefined ? end : `${end} (${error})`;
      const carried = `${size(bytesOut)} out, ${size(bytesIn)} in, ${(age / 1000).toFixed(1)} s`;
      this.#line(`end ${id} ${flowText(flow, namesOf(flow))}: ${why}, ${carried}`);
    });
  }

  #line(text: string): void {
    process.stderr.write(`${clean(text)}\n`);
  }
}
