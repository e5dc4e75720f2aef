// SPDX-License-Identifier: MIT
//
// What each test runner says of itself, as numbers. A runner that says nothing has failed.

/** @typedef {{ name: string, passed: number, failed: number, skipped: number, seconds?: number }} Count */

/**
 * @param {string} name
 * @param {string | null} report the text of vitest's JSON report; null if it wrote none
 * @param {number} code vitest's exit code
 * @returns {Count}
 */
export function readVitest(name, report, code) {
  if (report === null) return { name, passed: 0, failed: 1, skipped: 0 };
  const { numPassedTests, numFailedTests, numPendingTests, numTodoTests } = JSON.parse(report);
  // A file that cannot be loaded, or an error outside a test, shows in the exit code alone.
  const failed = Math.max(numFailedTests, code === 0 ? 0 : 1);
  return { name, passed: numPassedTests, failed, skipped: numPendingTests + numTodoTests };
}

/**
 * A doctest program, whose cases cannot skip themselves: one that cannot run here prints a line
 * `[skip] what: why` on stdout, once, and returns.
 * @param {string} name
 * @param {string} output
 * @param {number} code the program's exit code
 * @param {{ filtered?: boolean }} [options] `filtered`: it was asked to leave cases out, which are not
 *   skipped then
 * @returns {Count}
 */
export function readDoctest(name, output, code, { filtered = false } = {}) {
  const summary =
    /^\[doctest\] test cases:\s*(\d+) \|\s*(\d+) passed \|\s*(\d+) failed \|(?:\s*(\d+) skipped)?/m.exec(
      output,
    );
  // No summary: the program crashed, or was stopped, before its end.
  if (summary === null) return { name, passed: 0, failed: 1, skipped: 0 };
  const [, , passed, failed, left = 0] = summary.map(Number);
  const skips = output.match(/^\[skip\] /gm)?.length ?? 0;
  return {
    name,
    passed: Math.max(0, (passed ?? 0) - skips),
    failed: Math.max(failed ?? 0, code === 0 ? 0 : 1),
    skipped: (Number.isNaN(left) || filtered ? 0 : left) + skips,
  };
}

/**
 * The table that ends a run, on stdout.
 * @param {Count[]} counts
 * @returns {Count} their sum
 */
export function printCounts(counts) {
  const total = { name: 'total', passed: 0, failed: 0, skipped: 0 };
  process.stdout.write('\n');
  for (const count of counts) {
    process.stdout.write(`${formatCount(count)}\n`);
    total.passed += count.passed;
    total.failed += count.failed;
    total.skipped += count.skipped;
  }
  process.stdout.write(`${formatCount(total)}\n`);
  return total;
}

/** One line of the table that ends a run. @param {Count} count */
export function formatCount({ name, passed, failed, skipped, seconds }) {
  const columns = [`${passed} passed`, `${failed} failed`, `${skipped} skipped`];
  const time = seconds === undefined ? '' : `${seconds.toFixed(1)} s`.padStart(10);
  return `  ${name.padEnd(32)}${columns.map((column) => column.padStart(14)).join('')}${time}`;
}
