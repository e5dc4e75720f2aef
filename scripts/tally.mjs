// SPDX-License-Identifier: MIT
//
// node scripts/tally.mjs FILE: sums the counts that scripts/test.mjs and .ci/run wrote to FILE. Ends with
// the plain line `N passed, N failed`; its exit code is 0 only if something passed, and nothing
// failed or was skipped.

import { readFileSync } from 'node:fs';
import { formatCount } from './test-counts.mjs';

const lines = readFileSync(process.argv[2] ?? '', 'utf8').split('\n');
const total = { name: 'total', passed: 0, failed: 0, skipped: 0 };
for (const line of lines.filter((text) => text !== '')) {
  /** @type {import('./test-counts.mjs').Count} */
  const count = JSON.parse(line);
  process.stdout.write(`${formatCount(count)}\n`);
  total.passed += count.passed;
  total.failed += count.failed;
  total.skipped += count.skipped;
}
const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : '';
if (skipped) process.stdout.write('CI must run every test: skipped ones count as a failure\n');
process.stdout.write(`${total.passed} passed, ${total.failed} failed${skipped}\n`);
process.exitCode = total.passed > 0 && total.failed === 0 && total.skipped === 0 ? 0 : 1;
