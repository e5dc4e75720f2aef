// SPDX-License-Identifier: MIT
//
// Pairs of measurements: ours and a peer's, in turn, in the same run.

/** A row of the table; with --json, an object a line. */
export interface Row {
  name: string;
  value: number;
  unit: string;
  /** What it is compared with. */
  against: string;
  against_value: number;
  /** value / against_value */
  ratio: number;
}

export const rounds = 5;

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] as number;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2;
}

export function row(
  name: string,
  unit: string,
  against: string,
  ours: readonly number[],
  theirs: readonly number[],
): Row {
  const value = median(ours);
  const against_value = median(theirs);
  return { name, value, unit, against, against_value, ratio: value / against_value };
}

/** Runs both in turn, `rounds` times after one round that warms up, and compares the medians. */
export async function compare(
  name: string,
  unit: string,
  against: string,
  ours: () => Promise<number> | number,
  theirs: () => Promise<number> | number,
): Promise<Row> {
  const own: number[] = [];
  const other: number[] = [];
  for (let round = 0; round <= rounds; round += 1) {
    const mine = await ours();
    const peer = await theirs();
    if (round === 0) continue;
    own.push(mine);
    other.push(peer);
  }
  return row(name, unit, against, own, other);
}

/** Seconds since `begin`, a process.hrtime.bigint(). */
export function secondsSince(begin: bigint): number {
  return Number(process.hrtime.bigint() - begin) / 1e9;
}

export function gigabits(bytes: number, seconds: number): number {
  return (bytes * 8) / seconds / 1e9;
}
