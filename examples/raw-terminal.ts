// SPDX-License-Identifier: MIT
//
// The terminal of a person, in raw mode: the escapes that ssh has, a status line at the bottom, and
// everything put back on every way out.

import { writeSync } from 'node:fs';
import { constants } from 'node:os';

const escapes = `
Escapes, at the beginning of a line:
 ~.   disconnect
 ~?   this list
 ~~   send a tilde
`;

/** What a person's keys mean. */
export interface Keys {
  /** To be sent. */
  bytes: Buffer;
  /** To be shown here. */
  notice: string;
  disconnect: boolean;
}

/** Finds `~.` and its kin at the beginnings of lines. */
export class EscapeFilter {
  readonly #active: boolean;
  #lineBegins = true;
  #tilde = false;

  /** @param active false: the input is data, and none of it an escape */
  constructor(active: boolean) {
    this.#active = active;
  }

  take(input: Buffer): Keys {
    if (!this.#active) return { bytes: input, notice: '', disconnect: false };
    const bytes: number[] = [];
    let notice = '';
    for (const byte of input) {
      const key = String.fromCharCode(byte);
      if (this.#tilde) {
        this.#tilde = false;
        if (key === '.') return { bytes: Buffer.from(bytes), notice, disconnect: true };
        if (key === '?') {
          notice += escapes;
          continue;
        }
        if (key !== '~') bytes.push(0x7e);
      } else if (key === '~' && this.#lineBegins) {
        this.#tilde = true;
        continue;
      }
      bytes.push(byte);
      this.#lineBegins = key === '\r' || key === '\n';
    }
    return { bytes: Buffer.from(bytes), notice, disconnect: false };
  }
}

/** The screen's last row, kept out of what scrolls. For a terminal on stdout. */
export class StatusLine {
  #text = '';
  #rows = 0;
  #size = '';

  /** What to write to show `text` on a screen of the present size: '' if nothing changed. */
  show(text: string): string {
    const { columns = 0, rows = 0 } = process.stdout;
    if (rows < 4 || columns < 20) return this.clear();
    const size = `${columns}x${rows}`;
    if (text === this.#text && size === this.#size) return '';
    // A screen that grew or was just taken over: make room below the cursor, and set what scrolls.
    const region = rows === this.#rows ? '' : `\n\x1b[1A\x1b7\x1b[1;${rows - 1}r\x1b8`;
    this.#text = text;
    this.#rows = rows;
    this.#size = size;
    const shown = ` ${text}`.slice(0, columns - 1).padEnd(columns - 1);
    return `${region}\x1b7\x1b[${rows};1H\x1b[7m${shown}\x1b[0m\x1b8`;
  }

  clear(): string {
    if (this.#rows === 0) return '';
    const row = this.#rows;
    this.#rows = 0;
    this.#size = '';
    return `\x1b7\x1b[r\x1b[${row};1H\x1b[2K\x1b8`;
  }
}

/**
 * Puts the terminal on stdin into raw mode until the process ends, by whatever way but SIGKILL.
 * @param atEnd gives what is still to be written to the screen then
 */
export function enterRawMode(atEnd: () => string): void {
  const { stdin } = process;
  process.on('exit', () => {
    try {
      stdin.setRawMode(false);
      writeSync(1, atEnd());
    } catch {
      // The terminal is gone.
    }
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const) {
    process.on(signal, () => process.exit(128 + constants.signals[signal]));
  }
  process.on('SIGCONT', () => stdin.setRawMode(true));
  stdin.setRawMode(true);
}
