// SPDX-License-Identifier: MIT
//
// What a program in a guest said of itself, as numbers. One that says nothing has failed.

import { readDoctest } from './test-counts.mjs';

/** @typedef {import('./test-counts.mjs').Count} Count */
/** @typedef {import('./kernel-guest.mjs').Result} Result */

/**
 * Lines `ok NAME`, `not ok NAME: why`, `ok NAME # SKIP why`; TAP's numbers and plan may stand there too.
 * @param {string} name
 * @param {Result} result
 * @returns {Count}
 */
export function readLines(name, { output, code }) {
  const good = output.match(/^ok .*$/gm) ?? [];
  const bad = output.match(/^not ok .*$/gm) ?? [];
  const skipped = good.filter((line) => / # SKIP\b/.test(line)).length;
  const planned = /^1\.\.(\d+)$/m.exec(output)?.[1] ?? 0;
  // It ended before its end, or says that it failed in its exit code alone.
  const isShort = good.length + bad.length < Math.max(1, Number(planned));
  const failed = Math.max(bad.length, code !== 0 || isShort ? 1 : 0);
  const count = { name, passed: good.length - skipped, failed, skipped };
  const failures = bad.map((line) => line.replace(/^not ok /, ''));
  return failures.length === 0 ? count : { ...count, failures };
}

/**
 * The vpoll suite, told to use one back end. It leaves out a back end that cannot be had: then no
 * test has tested anything.
 * @param {string} name
 * @param {Result} result
 * @param {string} backend
 * @param {boolean} filtered it was asked to leave cases out
 * @returns {Count}
 */
export function readSuite(name, { output, code }, backend, filtered) {
  const count = readDoctest(name, output, code, { filtered });
  if (new RegExp(`^\\[backend\\] ${backend} exact: `, 'm').test(output)) return count;
  return { ...count, passed: 0, failed: Math.max(1, count.failed), skipped: 0 };
}
