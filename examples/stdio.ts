// SPDX-License-Identifier: MIT
//
// The standard streams as plain descriptors, for programs that poll them. Each call is made when
// poll() says that it will not wait, and takes it in good part if it would have to after all: a
// descriptor may be non-blocking because whoever opened it made it so.

import { readSync, writeSync } from 'node:fs';

export const codeOf = (error: unknown) => (error as NodeJS.ErrnoException).code;

/** What came from stdin: empty at its end, null if there was nothing. */
export function readInput(): Buffer | null {
  const buffer = Buffer.alloc(16384);
  try {
    return buffer.subarray(0, readSync(0, buffer));
  } catch (error) {
    if (codeOf(error) === 'EAGAIN') return null;
    if (codeOf(error) === 'EIO') return buffer.subarray(0, 0); // the terminal hung up
    throw error;
  }
}

/** Writes to stdout what goes now, and returns the rest. */
export function writeOutput(bytes: Buffer): Buffer {
  try {
    // A page: as much as a pipe that is ready takes without blocking.
    return bytes.subarray(writeSync(1, bytes, 0, Math.min(bytes.length, 4096)));
  } catch (error) {
    if (codeOf(error) === 'EAGAIN') return bytes;
    throw error;
  }
}

/** A message for people: on stderr, below what is on the line already. */
export function say(message: string): void {
  try {
    writeSync(2, `${message}\n`);
  } catch {
    // Nobody listens.
  }
}
