// SPDX-License-Identifier: MIT
import { expect, test } from 'vitest';
import { areas } from './scenarios/index.js';

const count = (module: string) =>
  areas
    .filter((area) => area.module === module)
    .reduce((sum, { scenarios }) => sum + scenarios.length, 0);

test('there are scenarios of each module', () => {
  expect(count('net')).toBeGreaterThanOrEqual(150);
  expect(count('dgram')).toBeGreaterThanOrEqual(35);
  expect(count('tls') + count('http') + count('http2')).toBeGreaterThanOrEqual(35);
});

test('each scenario has a name of its own in its area', () => {
  for (const { scenarios } of areas) {
    const names = scenarios.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
  }
});
