// SPDX-License-Identifier: MIT
//
// Two stacks in two processes on a VDE switch, against two kernels on the same switch, each by vde_plug2tap.
// In a user and network namespace of their own.

import { spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Row } from './measure.js';
import { tapObstacle } from './tap.js';

/** Why there are no rows, or null. */
export function vdeObstacle(): string | null {
  for (const [tool, name] of [
    ['vde_switch', 'vde-switch'],
    ['vde_plug2tap', 'vde2'],
  ] as const) {
    if (spawnSync(tool, ['--help']).error) return `${tool} is missing (${name})`;
  }
  return tapObstacle();
}

export async function* vdeRows(): AsyncGenerator<Row> {
  const program = fileURLToPath(new URL('./vde-child.js', import.meta.url));
  const child = spawn('unshare', ['-Urn', process.execPath, program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  for await (const line of createInterface({ input: child.stdout })) yield JSON.parse(line) as Row;
  const code = await ended;
  if (code !== 0) throw new Error(`the measurement in the namespace ended with ${code}`);
}
