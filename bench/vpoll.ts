// SPDX-License-Identifier: MIT
//
// The vpoll library by itself, on each back end that this kernel has. What is measured, and against
// what, stands in vpoll_cost.c.

import { type Row, row } from './measure.js';
import { capture, program } from './native.js';

type Line = Pick<Row, 'name' | 'unit' | 'against' | 'value' | 'against_value'>;

/** The rows of what bench_vpoll_cost printed: a line a round. */
export function vpollRowsOf(output: string): Row[] {
  const lines = output
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Line);
  const names = [...new Set(lines.map((line) => line.name))];
  return names.map((name) => {
    const rounds = lines.filter((line) => line.name === name);
    const { unit, against } = rounds[0] as Line;
    const ours = rounds.map((line) => line.value);
    const theirs = rounds.map((line) => line.against_value);
    return row(name, unit, against, ours, theirs);
  });
}

export async function* vpollRows(): AsyncGenerator<Row> {
  yield* vpollRowsOf(await capture(program('vpoll_cost'), []));
}
