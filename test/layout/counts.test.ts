// SPDX-License-Identifier: MIT
//
// What CI counts: a runner that crashed, skipped or said nothing must not look like a success; and whoever reads
// only the end of a run sees there which tests failed.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { readLines } from '../../scripts/kernel-results.mjs';
import { root } from '../../scripts/steps.mjs';
import { type Count, failureLines, readDoctest, readVitest } from '../../scripts/test-counts.mjs';

const summary = (text: string) => `...\n[doctest] test cases: ${text}\n[doctest] assertions: 9\n`;
const line = '='.repeat(79);

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
  const { failures = [], ...numbers } = readDoctest('x', output, code);
  expect(numbers).toEqual({ name: 'x', ...expected });
  expect(failures.length > 0).toBe(code !== 0 || output === '');
});

test('doctest: the cases that failed are named, each once, and no other', () => {
  const output = [
    line,
    '/src/a_test.cpp:12:',
    'TEST SUITE: tcp',
    'TEST CASE:  a window that is full',
    '  over IPv6',
    '',
    '/src/a_test.cpp:20: ERROR: CHECK( 1 == 2 ) is NOT correct!',
    '  values: CHECK( 1 == 2 )',
    '',
    line,
    '/src/a_test.cpp:12:',
    'TEST CASE:  a window that is full',
    '  over IPv4',
    '',
    '/src/a_test.cpp:20: FATAL ERROR: REQUIRE( 1 == 2 ) is NOT correct!',
    '',
    line,
    '/src/b_test.cpp:3:',
    'TEST CASE:  only says something',
    '',
    '/src/b_test.cpp:4: MESSAGE: no ERROR: at all',
    '',
    line,
    '/src/b_test.cpp:30:',
    'TEST CASE:  throws',
    '',
    '/src/b_test.cpp:30: ERROR: test case THREW exception: bad',
    '',
    line,
  ].join('\n');
  const failed = `${output}${summary('9 | 7 passed | 2 failed | 0 skipped')}`;
  expect(readDoctest('x', failed, 1).failures).toEqual(['a window that is full', 'throws']);
  const address = 'SUMMARY: AddressSanitizer: heap-use-after-free /src/a.cpp:7 in f';
  expect(readDoctest('x', `==1==ERROR\n${address}\nAborted\n`, 134).failures).toEqual([
    address,
    'it came to no end: exit code 134',
  ]);
});

test('doctest: cases that were left out by a filter are not skipped', () => {
  const output = summary('4 | 4 passed | 0 failed | 70 skipped');
  expect(readDoctest('x', output, 0, { filtered: true })).toMatchObject({ passed: 4, skipped: 0 });
  expect(readDoctest('x', `[skip] a: b\n${output}`, 0, { filtered: true }).skipped).toBe(1);
});

test('vitest', () => {
  /** `failed`: of each file that failed, the names of the tests that did. */
  const report = (
    passed: number,
    failing: number,
    pending: number,
    todo: number,
    failed: string[][] = [],
  ) =>
    JSON.stringify({
      numPassedTests: passed,
      numFailedTests: failing,
      numPendingTests: pending,
      numTodoTests: todo,
      testResults: failed.map((names, i) => ({
        name: join(root, `test/${['one', 'two'][i]}.test.ts`),
        status: 'failed',
        assertionResults: ['good', ...names].map((title) => {
          return {
            title,
            ancestorTitles: ['group'],
            status: title === 'good' ? 'passed' : 'failed',
          };
        }),
      })),
    });
  const count = (passed: number, failed: number, skipped: number) => {
    return { name: 'x', passed, failed, skipped };
  };
  const failing = (passed: number, skipped: number, ...failures: string[]) => {
    return { ...count(passed, failures.length, skipped), failures };
  };
  expect(readVitest('x', report(7, 0, 0, 0), 0)).toEqual(count(7, 0, 0));
  expect(readVitest('x', report(7, 2, 1, 1, [['one'], ['two']]), 1)).toEqual(
    failing(7, 2, 'test/one.test.ts > group > one', 'test/two.test.ts > group > two'),
  );
  // A file that could not be loaded, beside one in which a test failed; an error outside of the tests; no report.
  expect(readVitest('x', report(7, 1, 0, 0, [['one'], []]), 1)).toEqual(
    failing(7, 0, 'test/one.test.ts > group > one', 'test/two.test.ts: outside of its tests'),
  );
  expect(readVitest('x', report(7, 0, 0, 0), 1)).toEqual(
    failing(7, 0, 'an error outside of the tests'),
  );
  expect(readVitest('x', null, 1)).toEqual(failing(0, 0, 'vitest wrote no report'));
});

test('lines of a guest: those that are not ok are named', () => {
  const output = 'ok one\nnot ok two: 3 is not 4\nok three # SKIP no device\n';
  const result = { name: 'x', code: 1, seconds: 1, output };
  expect(readLines('x', result)).toEqual({
    ...{ name: 'x', passed: 1, failed: 1, skipped: 1 },
    failures: ['two: 3 is not 4'],
  });
});

const failed = (name: string, number: number, ...failures: string[]): Count => {
  return { name, passed: 1, failed: number, skipped: 0, ...(failures.length > 0 && { failures }) };
};

test('a run that failed without names is named itself, and names are kept to a few lines', () => {
  expect(
    failureLines([
      failed('lint', 1),
      failed('fine', 0),
      failed('x', 3, 'one\n  two'),
      failed('y', 1, 'a'),
    ]),
  ).toEqual(['  FAILED lint', '  FAILED x: one two', '  FAILED x: 2 more', '  FAILED y: a']);
  const many = Array.from({ length: 100 }, (_, i) => `${i} ${'long '.repeat(100)}`);
  const lines = failureLines([failed('x', 100, ...many)]);
  expect(lines).toHaveLength(31);
  expect(lines.at(-1)).toBe('  FAILED 70 more');
  expect(lines.join('\n').length).toBeLessThan(8192);
});

test('the tally of CI ends with what failed, and then the plain counts', () => {
  const folder = mkdtempSync(join(tmpdir(), 'vpollnet-tally-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const tally = (...counts: object[]) => {
    const file = join(folder, 'tally');
    writeFileSync(file, counts.map((one) => `${JSON.stringify(one)}\n`).join(''));
    const { stdout, status } = spawnSync(process.execPath, ['scripts/tally.mjs', file], {
      cwd: root,
      encoding: 'utf8',
    });
    return { status, lines: stdout.trimEnd().split('\n') };
  };
  const bad = tally(failed('lint', 1), { ...failed('native', 2, 'a case', 'another'), seconds: 3 });
  expect(bad.status).toBe(1);
  expect(bad.lines.slice(2)).toEqual([
    ...['  FAILED lint', '  FAILED native: a case', '  FAILED native: another'],
    '2 passed, 3 failed',
  ]);
  const good = tally(failed('lint', 0), failed('native', 0));
  expect(good).toMatchObject({ status: 0, lines: { length: 3, 2: '2 passed, 0 failed' } });
});
