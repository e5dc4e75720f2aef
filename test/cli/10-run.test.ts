// SPDX-License-Identifier: MIT
//
// vpollnet run. What the program then has is tested by test/ts/node/register.test.ts.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { lab } from '../ts/node/child.js';
import { root } from '../ts/support.js';
import { main, start, vpollnet } from './support.js';

/** A program in a file that is gone at the end of the test. */
function program(text: string, name = 'app.mjs'): string {
  const folder = mkdtempSync(join(tmpdir(), 'vpollnet-run-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

test('the program is on the stack, and has its arguments, input and exit code', async () => {
  const { stack, words } = await lab();
  stack.net.createServer((socket) => socket.pipe(socket)).listen(7);
  const path = program(`
    import { connect } from 'node:net';
    const socket = connect(7, 'peer');
    socket.on('connect', () => console.log(socket.localAddress, ...process.argv.slice(2)));
    process.stdin.pipe(socket).pipe(process.stdout);
    process.exitCode = 9;`);
  const own = ['--host', 'peer=10.0.0.1', '--name', 'two words'];
  const args = ['run', ...words, ...own, '--', path, '--link', 'its own', '-x'];
  expect(await vpollnet(args, { input: 'typed\n' })).toEqual({
    code: 9,
    signal: null,
    stdout: '10.0.0.2 --link its own -x\ntyped\n',
    stderr: '',
  });
});

test('before the program there may be options of Node', async () => {
  const { words } = await lab();
  const path = program('console.log(process.execArgv.at(-1), typeof gc)', 'app.cjs');
  const args = ['run', ...words, '--', '--enable-source-maps', '--expose-gc', path];
  expect(await vpollnet(args)).toMatchObject({ code: 0, stdout: '--expose-gc function\n' });
});

test('`vpollnet stacks` shows it by its name', async () => {
  const { words } = await lab();
  const path = program(`console.log('ready'); setInterval(() => {}, 1000);`);
  const name = `run ${process.pid}`;
  const running = start([main, 'run', ...words, '--name', name, '--', path]);
  await running.shows('ready');
  expect((await vpollnet(['stacks'])).stdout).toContain(name);
  running.child.kill('SIGTERM');
  expect((await running.ended).code).toBe(128 + 15);
});

test('a signal that it gets is the program’s', async () => {
  const { words } = await lab();
  const path = program(`
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT']) process.on(name, () => console.log(name));
    process.on('SIGQUIT', () => process.exit(3));
    setInterval(() => {}, 1000);
    console.log('ready');`);
  const running = start([main, 'run', ...words, '--', path]);
  await running.shows('ready');
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const) {
    running.child.kill(name);
    await running.shows(name);
  }
  expect(await running.ended).toMatchObject({ code: 3, signal: null });
});

test.each([
  [[], /^vpollnet run: no program is given: put it behind '--' /],
  [['--link', 'cable:x', '--'], /^vpollnet run: no program is given: put it behind '--' /],
  [['--link', 'cable:x', 'app.js'], /^vpollnet run: unknown argument: app\.js /],
  [['--lnk', 'cable:x', '--', 'app.js'], /^vpollnet run: unknown argument: lnk /],
  [['--link', '--', 'app.js'], /^vpollnet run: --link needs a value /],
  [['--', 'app.js'], /^vpollnet run: no --link is given: the stack would reach nobody /],
  [
    ['--address', '10.0.0.2/24', '--link', 'cable:x', '--', 'a'],
    /^vpollnet run: --address .* before it/,
  ],
  [
    ['--link', 'cable:x', '--address', '10.0.0.2', '--', 'a'],
    /^vpollnet run: --address must be ADD/,
  ],
  [['--link', 'cable:x', '--host', 'a', '--', 'a'], /^vpollnet run: --host must be NAME=ADDRESS/],
])('%j is a wrong command line', async (args, message) => {
  const { code, stdout, stderr } = await vpollnet(['run', ...args]);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toMatch(message);
  expect(stderr).toMatch(/^[^\n]* \(see 'vpollnet run --help'\)\n$/);
});

test('a stack that cannot be opened is told in one line, with code 2; a program that is not there by Node', async () => {
  const none = await vpollnet(['run', '--link', 'qemu:stream:///no/such', '--', '-p', '"began"']);
  expect(none).toMatchObject({ code: 2, stdout: '' });
  expect(none.stderr).toMatch(/^vpollnet: connect ENOENT qemu:stream:\/\/\/no\/such[^\n]*\n$/);
  const { code, stderr } = await vpollnet(['run', '--link', 'cable:x', '--', 'no-such-file.js']);
  expect(code).toBe(1);
  expect(stderr).toContain('no-such-file.js');
});

test('its help has the options that docs/node.md has', async () => {
  const { stdout } = await vpollnet(['run', '--help']);
  const docs = readFileSync(join(root, 'docs/node.md'), 'utf8');
  const table = docs.slice(docs.indexOf('## A whole program'));
  const known = new Set(table.slice(0, table.indexOf('\n## ')).match(/(?<=`)--[\w-]+/g));
  known.delete('--import');
  const shown = [...stdout.matchAll(/^ {2}.{4}(--[\w-]+)/gm)].map(([, name]) => name);
  expect(shown.filter((name) => !/^--(help|version)$/.test(name as string)).sort()).toEqual(
    [...known].sort(),
  );
});
