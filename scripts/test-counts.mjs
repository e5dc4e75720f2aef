// SPDX-License-Identifier: MIT
//
// What each test runner says of itself, as numbers, and the names of what failed. A runner that says
// nothing has failed.

import { relative } from 'node:path';
import { root } from './steps.mjs';

/**
 * @typedef {object} Count
 * @property {string} name
 * @property {number} passed
 * @property {number} failed
 * @property {number} skipped
 * @property {number} [seconds]
 * @property {string[]} [failures] the names of what failed, as far as they are known; left out if there are none
 */

/** A count, with the names of what failed if there are any. @param {Count} count @param {string[]} failures */
const named = (count, failures) => (failures.length === 0 ? count : { ...count, failures });

/**
 * @param {string} name
 * @param {string | null} report the text of vitest's JSON report; null if it wrote none
 * @param {number} code vitest's exit code
 * @returns {Count}
 */
export function readVitest(name, report, code) {
  if (report === null) {
    return { name, passed: 0, failed: 1, skipped: 0, failures: ['vitest wrote no report'] };
  }
  const {
    numPassedTests,
    numFailedTests,
    numPendingTests,
    numTodoTests,
    testResults = [],
  } = JSON.parse(report);
  const failures = testResults.flatMap(failuresOf);
  // An error outside a test shows in the exit code alone.
  if (failures.length === 0 && code !== 0) failures.push('an error outside of the tests');
  const count = {
    name,
    passed: numPassedTests,
    failed: Math.max(numFailedTests, failures.length),
    skipped: numPendingTests + numTodoTests,
  };
  return named(count, failures);
}

/**
 * @typedef {object} VitestFile
 * @property {string} name its path
 * @property {string} status
 * @property {{ status: string, title: string, ancestorTitles: string[] }[]} assertionResults
 */

/**
 * What failed in a file of vitest's report: its tests, or else the file itself, which could not be loaded.
 * @param {VitestFile} file
 */
function failuresOf({ name, status, assertionResults }) {
  const path = relative(root, name);
  const failed = assertionResults.filter((one) => one.status === 'failed');
  if (failed.length === 0 && status === 'failed') return [`${path}: outside of its tests`];
  return failed.map(({ ancestorTitles, title }) => [path, ...ancestorTitles, title].join(' > '));
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
  const failures = failedCases(output);
  // A sanitizer's finding is in no case's name.
  if (code !== 0) failures.push(...(output.match(/^SUMMARY: \w+Sanitizer: .*$/gm) ?? []));
  if (summary === null) {
    failures.push(`it came to no end: exit code ${code}`); // it crashed, or was stopped
    return { name, passed: 0, failed: 1, skipped: 0, failures };
  }
  const [, , passed, failed, left = 0] = summary.map(Number);
  const skips = output.match(/^\[skip\] /gm)?.length ?? 0;
  if (code !== 0 && failures.length === 0) failures.push(`exit code ${code}`);
  const count = {
    name,
    passed: Math.max(0, (passed ?? 0) - skips),
    failed: Math.max(failed ?? 0, code === 0 ? 0 : 1),
    skipped: (Number.isNaN(left) || filtered ? 0 : left) + skips,
  };
  return named(count, failures);
}

/**
 * The cases that doctest tells an error of: each part of its output is headed by the case that it is about. A case
 * is named once, though each of its subcases may have failed.
 * @param {string} output
 */
function failedCases(output) {
  /** @type {Set<string>} */
  const names = new Set();
  for (const part of output.split(/^={20,}$/m)) {
    const [, name] = /^TEST CASE: *(.*)$/m.exec(part) ?? [];
    if (name !== undefined && /: (?:FATAL )?ERROR: /.test(part)) names.add(name.trim());
  }
  return [...names];
}

/**
 * The table that ends a run, on stdout, with what failed before its last line.
 * @param {Count[]} counts
 * @returns {Count} their sum
 */
export function printCounts(counts) {
  const total = sumOf(counts);
  const lines = [...counts.map(formatCount), ...failureLines(counts), formatCount(total)];
  process.stdout.write(`\n${lines.join('\n')}\n`);
  return total;
}

/** @param {Count[]} counts @returns {Count} */
export function sumOf(counts) {
  const total = { name: 'total', passed: 0, failed: 0, skipped: 0 };
  for (const { passed, failed, skipped } of counts) {
    total.passed += passed;
    total.failed += failed;
    total.skipped += skipped;
  }
  return total;
}

// Of a long run only the end may be kept, and the counts are to be in it.
const mostFailures = 30;
const longestFailure = 200;

/**
 * What failed, a line each: the run, and the name of the test; the run alone if it gave no name.
 * @param {Count[]} counts
 * @returns {string[]}
 */
export function failureLines(counts) {
  const all = counts.flatMap(({ name, failed, failures = [] }) => {
    const unnamed = failed - failures.length;
    const rest = failures.length === 0 ? name : `${name}: ${unnamed} more`;
    return [...failures.map((one) => `${name}: ${one}`), ...(unnamed > 0 ? [rest] : [])];
  });
  const lines = all.slice(0, mostFailures).map((text) => {
    const line = text.replace(/\s+/g, ' ');
    return `  FAILED ${line.length > longestFailure ? `${line.slice(0, longestFailure)}...` : line}`;
  });
  if (all.length > mostFailures) lines.push(`  FAILED ${all.length - mostFailures} more`);
  return lines;
}

/** One line of the table that ends a run. @param {Count} count */
export function formatCount({ name, passed, failed, skipped, seconds }) {
  const columns = [`${passed} passed`, `${failed} failed`, `${skipped} skipped`];
  const time = seconds === undefined ? '' : `${seconds.toFixed(1)} s`.padStart(10);
  return `  ${name.padEnd(32)}${columns.map((column) => column.padStart(14)).join('')}${time}`;
}
