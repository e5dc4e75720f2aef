// SPDX-License-Identifier: MIT
//
// Where the tests of recordings put their pcapng files, and reads them as far as they need to.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect } from 'vitest';

/** Types of blocks. */
export const statistics = 5;
export const packet = 6;

export interface Block {
  type: number;
  /** Of a packet: its interface, direction and bytes. */
  interface: number;
  direction: number;
  data: Buffer;
  comments: string[];
  /** Options by their numbers. */
  options: Map<number, Buffer>;
}

/** The blocks of a pcapng file of this machine's making. */
export function blocksOf(file: Buffer): Block[] {
  const blocks: Block[] = [];
  for (let at = 0; at < file.length; ) {
    const type = file.readUInt32LE(at);
    const length = file.readUInt32LE(at + 4);
    expect(file.readUInt32LE(at + length - 4)).toBe(length);
    const kept = type === packet ? file.readUInt32LE(at + 20) : 0;
    const headers: Record<number, number> = { 1: 16, [statistics]: 20, [packet]: 28 };
    let option = at + (headers[type] ?? 24) + Math.ceil(kept / 4) * 4;
    const options = new Map<number, Buffer>();
    const comments: string[] = [];
    while (option + 4 <= at + length - 4 && file.readUInt16LE(option) !== 0) {
      const size = file.readUInt16LE(option + 2);
      const value = file.subarray(option + 4, option + 4 + size);
      if (file.readUInt16LE(option) === 1) comments.push(value.toString());
      options.set(file.readUInt16LE(option), value);
      option += 4 + Math.ceil(size / 4) * 4;
    }
    blocks.push({
      type,
      interface: file.readUInt32LE(at + 8),
      direction: type === packet ? (options.get(2)?.readUInt32LE() ?? 0) : 0,
      data: file.subarray(at + 28, at + 28 + kept),
      comments,
      options,
    });
    at += length;
  }
  return blocks;
}

/** The packets of the file at `path`. */
export const packetsOf = (path: string): Block[] =>
  blocksOf(readFileSync(path)).filter((b) => b.type === packet);

/** A folder for the recordings of one file of tests, which goes with it, and names in it that are not taken. */
export function recordingFolder(): { folder: string; freshFile: () => string } {
  const folder = mkdtempSync(join(tmpdir(), 'vpollnet-recording-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  let files = 0;
  const freshFile = () => {
    files += 1;
    return join(folder, `${files}.pcapng`);
  };
  return { folder, freshFile };
}
