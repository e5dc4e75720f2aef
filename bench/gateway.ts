// SPDX-License-Identifier: MIT
//
// A namespace's network by our gateway, against slirp4netns and pasta in the same namespace. All in user and network
// namespaces made for it.

import { spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Row } from './measure.js';
import { tapObstacle } from './tap.js';

/** Why there are no rows, or null. */
export function gatewayObstacle(): string | null {
  for (const tool of ['iperf3', 'slirp4netns', 'pasta']) {
    const { error } = spawnSync(tool, ['--version']);
    if (error) return `${tool} is missing: apt install iperf3 slirp4netns passt`;
  }
  return tapObstacle();
}

export async function* gatewayRows(): AsyncGenerator<Row> {
  const child = spawn(
    'unshare',
    ['-Urn', process.execPath, fileURLToPath(new URL('./gateway-child.js', import.meta.url))],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  for await (const line of createInterface({ input: child.stdout })) yield JSON.parse(line) as Row;
  const code = await ended;
  if (code !== 0) throw new Error(`the measurement in the namespace ended with ${code}`);
}
