// SPDX-License-Identifier: MIT
//
// What sockets do to their process, in a process for each case and world: what it prints, how it ends.

import { spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, test } from 'vitest';
import { certificates } from './harness/certificates.js';

const programs = ['process.mjs', 'throwing.mjs'].map((name) =>
  fileURLToPath(new URL(`programs/${name}`, import.meta.url)),
);
const { server, authority } = certificates();
const keys = [server.key, server.cert, authority.cert].map(String);
const env = {
  ...process.env,
  VPOLLNET_TEST_KEYS: JSON.stringify({ key: keys[0], cert: keys[1], ca: keys[2] }),
};

/**
 * What two processes of one case have in common: not their ports, nor the stack trace, nor the lines of source
 * before the error, which V8 shows of an exception only where no addon was on the stack.
 */
function withoutPlaces(text: string): string {
  const lines = text.split('\n');
  const error = lines.findIndex((line) => /^\w*Error\b/.test(line));
  return lines
    .slice(Math.max(error, 0))
    .filter((line) => line !== '' && !/^ {4}(at |\[\.{3} lines)|^Node\.js v/.test(line))
    .join('\n')
    .replace(/\b\d{4,5}\b/g, '<number>');
}

function run(program: string, world: string, name: string): Promise<string> {
  const child = spawn(process.execPath, [program, world, name], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 60_000,
  });
  const [out, err]: [Buffer[], Buffer[]] = [[], []];
  child.stdout.on('data', (part) => out.push(part));
  child.stderr.on('data', (part) => err.push(part));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      const errors = withoutPlaces(Buffer.concat(err).toString());
      resolve(`code ${code} signal ${signal}\n${Buffer.concat(out)}\n${errors}`);
    });
  });
}

describe('processes', () => {
  for (const program of programs) {
    const listed = spawnSync(process.execPath, [program], { encoding: 'utf8' });
    for (const name of JSON.parse(listed.stdout) as string[]) {
      test.concurrent(name, async ({ expect }) => {
        const worlds = ['node', 'stack'].map((world) => run(program, world, name));
        const [expected, found] = await Promise.all(worlds);
        if (process.env.VPOLLNET_CONFORMANCE_PRINT) console.log(`${name}\n${found}`);
        expect(found).toBe(expected);
        expect(expected).toMatch(/^code \d+ signal null/);
      }, 150_000);
    }
  }
});
