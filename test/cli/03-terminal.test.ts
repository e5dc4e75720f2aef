// SPDX-License-Identifier: MIT
//
// vpollnet terminal: the example of test/ts/09-terminal.test.ts as a command.

import { expect, test } from 'vitest';
import { command, hasTmux, Terminal, vpollnet } from './support.js';

test('in a pipe, lines go to the host and its answers come back', async () => {
  const ended = await vpollnet(['terminal'], { input: 'echo hello\nquit\n' });
  expect(ended).toEqual({ code: 0, signal: null, stdout: 'hello\nbye\n', stderr: '' });
});

test.each([
  [
    ['--link', 'cable:x', '--address', '10.0.0.2/24', '--connect', '10.0.0.2:9'],
    1,
    'vpollnet terminal: connect ECONNREFUSED 10.0.0.2:9\n',
  ],
  [
    ['--link', 'cable:x', '--connect', '10.0.0.2'],
    2,
    "vpollnet terminal: --connect must be ADDRESS:PORT or [ADDRESS]:PORT, not '10.0.0.2' (see 'vpollnet terminal --help')\n",
  ],
])('%j is refused in one line', async (args, code, stderr) => {
  expect(await vpollnet(['terminal', ...args], { hold: 5000 })).toMatchObject({
    code,
    stdout: '',
    stderr,
  });
});

test('a link that there is not is the library’s error in one line, and code 1', async () => {
  const args = ['terminal', '--link', 'foo://x', '--connect', '10.0.0.1:7'];
  const { code, stderr } = await vpollnet(args);
  expect(code).toBe(1);
  expect(stderr).toMatch(
    /^vpollnet terminal: --link cannot be opened: unknown link 'foo:\/\/x'.*\n$/,
  );
});

test.skipIf(!hasTmux)('at a terminal, ~. disconnects and everything is put back', async () => {
  const terminal = new Terminal(command('terminal'));
  await terminal.shows('10.0.0.1 port 7 ESTABLISHED');
  terminal.keys('-l', 'echo one\r');
  await terminal.shows(/^one$/m);
  terminal.keys('-l', '~.');
  await terminal.shows(/code 0\n1$/m);
});
