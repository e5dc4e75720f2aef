// SPDX-License-Identifier: MIT
//
// node scripts/tally.mjs FILE: sums the counts that scripts/test.mjs and .ci/run wrote to FILE. Ends with
// the names of what failed, and the plain line `N passed, N failed`; its exit code is 0 only if something
// passed, and nothing failed or was skipped.

import { readFileSync } from 'node:fs';
import { failureLines, formatCount, sumOf } from './test-counts.mjs';

const lines = readFileSync(process.argv[2] ?? '', 'utf8').split('\n');
/** @type {import('./test-counts.mjs').Count[]} */
const counts = lines.filter((text) => text !== '').map((text) => JSON.parse(text));
const total = sumOf(counts);
for (const line of [...counts.map(formatCount), ...failureLines(counts)]) {
  process.stdout.write(`${line}\n`);
}
const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : '';
if (skipped) process.stdout.write('CI must run every test: skipped ones count as a failure\n');
process.stdout.write(`${total.passed} passed, ${total.failed} failed${skipped}\n`);
process.exitCode = total.passed > 0 && total.failed === 0 && total.skipped === 0 ? 0 : 1;
