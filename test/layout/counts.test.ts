// SPDX-License-Identifier: MIT
//
// What CI counts: a runner that crashed, skipped or said nothing must not look like a success.

import { expect, test } from 'vitest';
import { readDoctest, readVitest } from '../../scripts/test-counts.mjs';

const summary = (text: string) => `...\n[doctest] test cases: ${text}\n[doctest] assertions: 9\n`;

test.each([
  [summary(' 5 |  5 passed | 0 failed | 0 skipped'), 0, { passed: 5, failed: 0, skipped: 0 }],
  [summary('12 | 10 passed | 2 failed | 3 skipped'), 1, { passed: 10, failed: 2, skipped: 3 }],
  [summary('5 | 5 passed | 0 failed |'), 0, { passed: 5, failed: 0, skipped: 0 }],
  [
    `[skip] tap: no permission\n${summary('5 | 5 passed | 0 failed | 0 skipped')}`,
    0,
    { passed: 4, failed: 0, skipped: 1 },
  ],
  // ThreadSanitizer's exit code, after every case passed.
  [summary('5 | 5 passed | 0 failed | 0 skipped'), 66, { passed: 5, failed: 1, skipped: 0 }],
  ['Segmentation fault', 139, { passed: 0, failed: 1, skipped: 0 }],
  ['', 0, { passed: 0, failed: 1, skipped: 0 }],
])('doctest: %j, exit code %i', (output, code, expected) => {
  expect(readDoctest('x', output, code)).toEqual({ name: 'x', ...expected });
});

test('doctest: cases that were left out by a filter are not skipped', () => {
  const output = summary('4 | 4 passed | 0 failed | 70 skipped');
  expect(readDoctest('x', output, 0, { filtered: true })).toMatchObject({ passed: 4, skipped: 0 });
  expect(readDoctest('x', `[skip] a: b\n${output}`, 0, { filtered: true }).skipped).toBe(1);
});

test('vitest', () => {
  const report = (passed: number, failed: number, pending: number, todo: number) =>
    JSON.stringify({
      numPassedTests: passed,
      numFailedTests: failed,
      numPendingTests: pending,
      numTodoTests: todo,
    });
  const count = (passed: number, failed: number, skipped: number) => {
    return { name: 'x', passed, failed, skipped };
  };
  expect(readVitest('x', report(7, 0, 0, 0), 0)).toEqual(count(7, 0, 0));
  expect(readVitest('x', report(7, 2, 1, 1), 1)).toEqual(count(7, 2, 2));
  // A file that could not be loaded.
  expect(readVitest('x', report(7, 0, 0, 0), 1)).toEqual(count(7, 1, 0));
  expect(readVitest('x', null, 1)).toEqual(count(0, 1, 0));
});
