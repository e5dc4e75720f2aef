// SPDX-License-Identifier: MIT
//
// docs/rfc.md names files and tests; both have to exist.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

interface Row {
  clause: string;
  file: string;
  tests: { name: string; file: string }[];
}

function readRows(text: string): Row[] {
  return text
    .split('\n')
    .filter((line) => /^\| RFC/.test(line))
    .map((line) => {
      const [clause = '', file = '', tests = ''] = line.slice(2).split(' | ');
      return { clause, file, tests: readTests(tests) };
    });
}

/** "a test (stack/x_test.cpp)<br>another (stack/y_test.cpp) |" */
function readTests(cell: string): Row['tests'] {
  return cell
    .replace(/ \|$/, '')
    .split('<br>')
    .map((entry) => {
      const [, name = entry, file = ''] = /^(.*) \(([^()]*)\)$/.exec(entry) ?? [];
      return { name, file };
    });
}

/** The names of the tests in a C++ or TypeScript file, pieces of a split string joined. */
function testNames(source: string): string[] {
  const native = source.matchAll(
    /TEST_CASE(?:_FIXTURE\(\s*\w+,|\()\s*((?:"(?:[^"\\]|\\.)*"\s*)+)\)/g,
  );
  const typescript = source.matchAll(/^\s*test\(\s*(['"])((?:(?!\1).)*)\1/gm);
  return [
    ...[...native].map((match) =>
      [...(match[1] ?? '').matchAll(/"((?:[^"\\]|\\.)*)"/g)].map((piece) => piece[1]).join(''),
    ),
    ...[...typescript].map((match) => match[2] ?? ''),
  ];
}

/** The core's files are under stack/. */
const pathOf = (file: string) => (/^(ts|cli)\//.test(file) ? file : `stack/${file}`);

/** What is wrong with the rows, in words. */
function problems(rows: Row[], read: (file: string) => string | null): string[] {
  return rows.flatMap(({ clause, file, tests }) => [
    ...(read(pathOf(file)) === null ? [`${clause}: there is no ${pathOf(file)}`] : []),
    ...tests
      .filter((entry) => !testNames(read(`test/${entry.file}`) ?? '').includes(entry.name))
      .map((entry) => `${clause}: test/${entry.file} has no test '${entry.name}'`),
  ]);
}

test('every file and test in docs/rfc.md exists', () => {
  const rows = readRows(readFileSync(join(root, 'docs/rfc.md'), 'utf8'));
  expect(rows.length).toBeGreaterThan(50);
  const read = (file: string) =>
    existsSync(join(root, file)) ? readFileSync(join(root, file), 'utf8') : null;
  expect(problems(rows, read)).toEqual([]);
});

test('a row with a wrong file or test is found', () => {
  const files: Record<string, string> = {
    'stack/a.cpp': '',
    'test/a_test.cpp': 'TEST_CASE("it " "holds") {}',
  };
  const read = (file: string) => files[file] ?? null;
  const row = (file: string, tests: string) => readRows(`| RFC 1 | ${file} | ${tests} |`);
  expect(problems(row('a.cpp', 'it holds (a_test.cpp)'), read)).toEqual([]);
  expect(problems(row('b.cpp', 'it holds (a_test.cpp)'), read)).toHaveLength(1);
  expect(problems(row('a.cpp', 'it fails (a_test.cpp)'), read)).toHaveLength(1);
  expect(problems(row('a.cpp', 'it holds (b_test.cpp)'), read)).toHaveLength(1);
});
