// SPDX-License-Identifier: MIT
//
// A switch between two cables, against the kernel's bridge between two veth pairs: what a program would
// take otherwise to join networks on one machine. Both forward frames of 60 bytes between two known
// addresses, from one thread. The kernel's frames begin in a packet socket, ours in a station on the cable.

import { spawnSync } from 'node:child_process';
import { compare, type Row } from './measure.js';
import { capture, program } from './native.js';

const seconds = '1';

const makeBridge = [
  'ip link add bridge type bridge',
  'ip link add a0 type veth peer name a1',
  'ip link add b0 type veth peer name b1',
  'ip link set a1 master bridge',
  'ip link set b1 master bridge',
  'for each in bridge a0 a1 b0 b1; do ip link set $each up; done',
].join(' && ');

const inNamespace = (command: string) => ['-Urn', 'sh', '-c', `${makeBridge} && ${command}`];

/** Why there are no rows, or null. */
export function switchObstacle(): string | null {
  const result = spawnSync('unshare', inNamespace('true'), { encoding: 'utf8' });
  if (result.error) return `unshare: ${result.error.message}`;
  return result.status === 0 ? null : result.stderr.trim();
}

export async function* switchRows(): AsyncGenerator<Row> {
  // A port of the kernel's bridge begins to forward a moment after it is up.
  const peer = inNamespace(`sleep 0.5 && ${program('kernel_bridge')} ${seconds}`);
  yield await compare(
    'switch-forward',
    'frames/s',
    "the kernel's bridge, veth to veth",
    async () => Number(await capture(program('switch_forward'), [seconds])),
    async () => Number(await capture('unshare', peer)),
  );
}
