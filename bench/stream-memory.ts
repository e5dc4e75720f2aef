// SPDX-License-Identifier: MIT
//
// What an idle connection takes: of stack.net, where all of it is in the process, and of node:net, where half of it is
// in the kernel.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Row, row } from './measure.js';

const rounds = 3;
/** What the kernel has for each end of a connection: its socket, the file that it is, and the place in epoll(7). */
const kernelObjects = ['TCP', 'sock_inode_cache', 'filp', 'dentry', 'eventpoll_epi'];

function measured(side: 'cable' | 'node'): number {
  const child = fileURLToPath(new URL('./stream-memory-child.js', import.meta.url));
  // Twice 4,500 descriptors.
  const command = `ulimit -n 20000; exec "$0" --expose-gc "$1" ${side}`;
  return Number(execFileSync('sh', ['-c', command, process.execPath, child], { encoding: 'utf8' }));
}

/** Bytes that the kernel has for both ends; 0 where slabinfo(5) may not be read. */
function kernelBytes(): number {
  let text: string;
  try {
    text = readFileSync('/proc/slabinfo', 'utf8');
  } catch {
    return 0;
  }
  const sizes = new Map(
    text
      .split('\n')
      .map((line) => line.split(/\s+/))
      .map((f) => [f[0], Number(f[3])]),
  );
  return 2 * kernelObjects.reduce((sum, name) => sum + (sizes.get(name) ?? 0), 0);
}

export async function* streamMemoryRows(): AsyncGenerator<Row> {
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    ours.push(measured('cable'));
    theirs.push(measured('node'));
  }
  yield row('stream-idle-process', 'bytes', "node:net, the process's part alone", ours, theirs);
  const kernel = kernelBytes();
  if (kernel === 0) return;
  const all = theirs.map((bytes) => bytes + kernel);
  yield row('stream-idle-memory', 'bytes', "node:net, with the kernel's part", ours, all);
}
