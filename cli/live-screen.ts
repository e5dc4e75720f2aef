// SPDX-License-Identifier: MIT
//
// A screen that is drawn anew again and again, and given back as it was on every way out.

import { writeSync } from 'node:fs';
import { constants } from 'node:os';

/** The other screen, no cursor, and lines that end at the right margin. */
const enter = '\x1b[?1049h\x1b[?25l\x1b[?7l';
const leave = '\x1b[?7h\x1b[?25h\x1b[?1049l';

/** For a terminal on stdout. Keys come from stdin if that is one too. */
export class LiveScreen {
  #lines: string[] = [];
  #open = true;

  /** @param onKey gets each key; Ctrl-C is '\x03' */
  constructor(onKey: (key: string) => void) {
    const { stdin, stdout } = process;
    process.once('exit', () => this.close());
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const) {
      process.on(signal, () => process.exit(128 + constants.signals[signal]));
    }
    process.on('SIGCONT', () => {
      if (stdin.isTTY) stdin.setRawMode(true);
      stdout.write(enter);
      this.#paint();
    });
    stdout.on('resize', () => this.#paint());
    if (stdin.isTTY) {
      stdin.setRawMode(true);
      stdin.on('data', (keys) => {
        for (const key of keys.toString()) onKey(key);
      });
    }
    stdout.write(enter);
  }

  /** Shows `lines`, the first ones if there are more than fit. They may be coloured. */
  draw(lines: string[]): void {
    this.#lines = lines;
    this.#paint();
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    const { stdin } = process;
    try {
      if (stdin.isTTY) stdin.setRawMode(false);
      stdin.pause();
      writeSync(1, leave);
    } catch {
      // The terminal is gone.
    }
  }

  #paint(): void {
    if (!this.#open) return;
    const rows = process.stdout.rows || 24;
    let lines = this.#lines;
    if (lines.length > rows) {
      const hidden = lines.length - rows + 1;
      lines = [...lines.slice(0, rows - 1), `... ${hidden} lines more`];
    }
    // Each line is overwritten, then cleared to its end: nothing flickers.
    process.stdout.write(`\x1b[H${lines.map((line) => `${line}\x1b[0m\x1b[K`).join('\r\n')}\x1b[J`);
  }
}
