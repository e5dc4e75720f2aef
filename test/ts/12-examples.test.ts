// SPDX-License-Identifier: MIT
//
// The example that the README shows. examples/terminal.ts has a file of its own.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { root, runProgram } from './support.js';

test('quickstart: what is piped in arrives at the other host, and the end of stdin ends it', async () => {
  const program = [process.execPath, join(root, 'dist/examples/quickstart.js')];
  const ended = await runProgram(program, { input: 'hello\n' });
  expect(ended).toEqual({ code: 0, signal: null, stdout: '10.0.0.1 said hello\n', stderr: '' });
});

test('the README shows quickstart.ts as it is', () => {
  const source = readFileSync(join(root, 'examples/quickstart.ts'), 'utf8');
  const [header, ...code] = source.trimEnd().split('\n\n');
  expect(header).toMatch(/SPDX/);
  expect(readFileSync(join(root, 'README.md'), 'utf8')).toContain(
    `\`\`\`ts\n${code.join('\n\n')}\n\`\`\``,
  );
});
