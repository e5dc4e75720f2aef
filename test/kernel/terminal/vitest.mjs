// SPDX-License-Identifier: MIT
//
// As much of vitest as test/ts/09-terminal.test.ts uses, for a guest in which vitest has no place. A
// line `ok NAME` or `not ok NAME: why` for each test, on stdout.

import assert from 'node:assert/strict';
import { format } from 'node:util';

// Whoever waits on this clock has patience for a machine that is some times slower.
const now = performance.now.bind(performance);
performance.now = () => now() / 6;

/** Of a test: it is given up after that many milliseconds. A guest is slow. */
const timeout = 300_000;

const tests = [];
let title = '';
let skips = false;
let atEnd = [];

export function describe(name, body) {
  const outer = title;
  title = `${outer}${name}: `;
  body();
  title = outer;
}

describe.skipIf = (condition) => (name, body) => {
  const outer = skips;
  skips ||= condition;
  describe(name, body);
  skips = outer;
};

export function test(name, body) {
  tests.push({ name: `${title}${name}`, body, skipped: skips });
}

test.each = (table) => (name, body) => {
  for (const row of table) {
    const values = Array.isArray(row) ? row : [row];
    const places = name.match(/%[a-z]/g)?.length ?? 0;
    test(format(name, ...values.slice(0, places)), () => body(...values));
  }
};

export function onTestFinished(action) {
  atEnd.push(action);
}

export function expect(value) {
  const shown = () => JSON.stringify(value);
  return {
    toBe: (expected) => assert.strictEqual(value, expected),
    toEqual: (expected) => assert.deepEqual(value, expected),
    toContain: (part) => assert.ok(value.includes(part), `${shown()} has no ${part}`),
    toMatch: (pattern) => assert.ok(pattern.test(value), `${shown()} is not like ${pattern}`),
  };
}

/** Runs all tests that were declared, one after the other. @returns how many failed */
export async function runTests() {
  let failures = 0;
  for (const { name, body, skipped } of tests) {
    if (skipped) {
      console.log(`ok ${name} # SKIP`);
      continue;
    }
    let timer;
    try {
      const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`not done after ${timeout} ms`)), timeout);
      });
      await Promise.race([body(), late]);
      console.log(`ok ${name}`);
    } catch (error) {
      failures += 1;
      console.log(`not ok ${name}: ${String(error.message).replaceAll('\n', ' | ')}`);
    } finally {
      clearTimeout(timer);
      for (const action of atEnd.reverse()) await action();
      atEnd = [];
    }
  }
  return failures;
}
