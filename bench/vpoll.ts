// SPDX-License-Identifier: MIT
//
// The vpoll library by itself: a bit set, found, taken back and found gone.

import { type Row, row } from './measure.js';
import { capture, program } from './native.js';

export async function* vpollRows(): AsyncGenerator<Row> {
  const output = await capture(program('vpoll_cycle'), []);
  const lines = output
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { backend: string; value: number; against: number });
  const backend = lines[0]?.backend ?? 'none';
  const ours = lines.map((line) => line.value);
  const theirs = lines.map((line) => line.against);
  yield row(`vpoll-cycle-${backend}`, 'ns', 'eventfd write, poll, read, poll', ours, theirs);
}
