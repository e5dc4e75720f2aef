// SPDX-License-Identifier: MIT
//
// A stack on a TAP with the host's kernel on the other side, against kernel to kernel over a veth
// pair. In a user and network namespace of their own, so no privilege is needed and nothing of the
// host is touched.

import { spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Row } from './measure.js';

/** Why there are no rows, or null. */
export function tapObstacle(): string | null {
  const result = spawnSync(
    'unshare',
    ['-Urn', 'ip', 'tuntap', 'add', 'dev', 'probe', 'mode', 'tap'],
    {
      encoding: 'utf8',
    },
  );
  if (result.error) return `unshare: ${result.error.message}`;
  return result.status === 0 ? null : result.stderr.trim();
}

export async function* tapRows(): AsyncGenerator<Row> {
  const child = spawn(
    'unshare',
    ['-Urn', process.execPath, fileURLToPath(new URL('./tap-child.js', import.meta.url))],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  for await (const line of createInterface({ input: child.stdout })) yield JSON.parse(line) as Row;
  const code = await ended;
  if (code !== 0) throw new Error(`the measurement in the namespace ended with ${code}`);
}
