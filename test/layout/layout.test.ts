// SPDX-License-Identifier: MIT
//
// The rules of rules.ts, over every file of the repository.

import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { filesUnder, root } from '../../scripts/steps.mjs';
import {
  checkImports,
  checkIncludes,
  checkLength,
  checkLicence,
  checkLock,
  checkNotes,
  checkTypes,
} from './rules.js';

const folders = '.ci bench cli cmake examples kernel namespace scripts stack test ts vpoll'.split(
  ' ',
);
const isCode = /(^|\/)(CMakeLists\.txt|Makefile|Kconfig|run)$|\.(c|h|cpp|hpp|ts|mjs|sh|cmake)$/;

const read = (file: string) => readFileSync(join(root, file), 'utf8');
const dependencies = Object.keys(JSON.parse(read('package.json')).dependencies);
const code = filesUnder(['CMakeLists.txt', 'vitest.config.ts', ...folders], isCode);

function isFile(path: string) {
  const full = join(root, path);
  return existsSync(full) && statSync(full).isFile();
}

test('the rules see the sources', () => {
  expect(code).toContain('scripts/setup.mjs');
  expect(code).toContain('.ci/run');
});

describe('every source file', () => {
  test('includes only what stands to its left', () => {
    expect(code.flatMap((file) => checkIncludes(file, read(file), isFile))).toEqual([]);
  });

  test('imports only what stands to its left', () => {
    expect(code.flatMap((file) => checkImports(file, read(file), dependencies))).toEqual([]);
  });

  test('begins with its licence', () => {
    expect(code.flatMap((file) => checkLicence(file, read(file)))).toEqual([]);
  });

  test('is short enough to read', () => {
    expect(code.flatMap((file) => checkLength(file, read(file)))).toEqual([]);
  });

  test('explains what it leaves undone', () => {
    const others = code.filter((file) => !file.startsWith('test/layout/'));
    expect(others.flatMap((file) => checkNotes(file, read(file)))).toEqual([]);
  });
});

test('no two headers define one type', () => {
  const headers = code.filter((file) => /^(stack|ts)\/.*\.hpp$/.test(file));
  expect(headers.length).toBeGreaterThan(100);
  expect(checkTypes(headers.map((file) => ({ file, text: read(file) })))).toEqual([]);
});

test('package-lock.json names no registry', () => {
  expect(checkLock(read('package-lock.json'))).toEqual([]);
});
