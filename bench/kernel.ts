// SPDX-License-Identifier: MIT
//
// The vpoll library on the kernel module, in a guest under qemu: both sides of each row run in the guest,
// whose emulated processor is some twenty times slower than the machine's own.

import { spawnSync } from 'node:child_process';
import type { Row } from './measure.js';
import { capture, root } from './native.js';
import { vpollRowsOf } from './vpoll.js';

/** Why there is no guest to be had; null if there is. */
export function kernelObstacle(): string | null {
  const { error, status } = spawnSync('qemu-system-x86_64', ['--version']);
  return error || status !== 0 ? 'qemu-system-x86_64 is missing (qemu-system-x86)' : null;
}

export async function* kernelRows(): AsyncGenerator<Row> {
  const script = `${root}scripts/kernel-tests.mjs`;
  const output = await capture(process.execPath, [script, '--bench'], 15 * 60_000);
  for (const row of vpollRowsOf(output)) yield { ...row, name: `${row.name}-qemu` };
}
