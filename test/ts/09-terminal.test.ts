// SPDX-License-Identifier: MIT
//
// examples/terminal.ts as people run it: with pipes, and under a terminal that script(1) makes.

import { spawn, spawnSync } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { EscapeFilter } from '../../examples/raw-terminal.js';
import { root, runProgram, until } from './support.js';

const compiled = join(root, 'dist/examples/terminal.js');
const terminal = [process.execPath, compiled];

describe('with pipes', () => {
  test('lines go to the host, its answers come back, and the code is 0', async () => {
    const ended = await runProgram(terminal, { input: 'echo hello\nquit\n' });
    expect(ended).toEqual({ code: 0, signal: null, stdout: 'hello\nbye\n', stderr: '' });
  });

  test('the end of stdin ends the conversation, also without a last newline', async () => {
    const { code, stdout } = await runProgram(terminal, { input: 'echo one\r\necho two' });
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'one\ntwo\n' });
    expect((await runProgram(terminal)).code).toBe(0);
  });

  test('every command of the host answers', async () => {
    const input = 'help\nhosts\nstats\nwhat\n\n~.\nquit\n';
    const { code, stdout } = await runProgram(terminal, { input });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^echo TEXT, hosts, stats, help, quit\n/);
    expect(stdout).toContain('10.0.0.1 (this host)\n');
    expect(stdout).toContain('10.0.0.2\n');
    expect(stdout).toMatch(/packets \d+ in, \d+ out; dropped: /);
    expect(stdout).toContain("unknown command 'what'");
    expect(stdout).toContain("unknown command '~.'");
    expect(stdout).toMatch(/bye\n$/);
  });

  test('much comes back as it was sent, through a slow reader', async () => {
    const lines = Array.from({ length: 20_000 }, (_, i) => `line ${i} ${'x'.repeat(50)}`);
    const input = lines.map((line) => `echo ${line}\n`).join('');
    const slow = ['sh', '-c', `${terminal.join(' ')} | (sleep 0.5; cat)`];
    const { code, stdout, stderr } = await runProgram(slow, { input });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toBe(lines.map((line) => `${line}\n`).join(''));
  });

  test('a reader that went away is an error and not a crash', async () => {
    const piped = `yes 'echo hello' | head -20000 | ${terminal.join(' ')} | head -1; echo done`;
    const { stdout, stderr } = await runProgram(['bash', '-c', piped]);
    expect(stdout).toBe('hello\ndone\n');
    expect(stderr).toMatch(/^(terminal: .*EPIPE.*\n)?$/);
  });

  test('an answer comes while stdin stays open', async () => {
    const child = spawn(process.execPath, [compiled]);
    onTestFinished(() => void child.kill());
    let stdout = '';
    child.stdout.on('data', (text) => {
      stdout += text;
    });
    child.stdin.write('echo first\n');
    await until(() => stdout === 'first\n');
    child.stdin.write('echo second\n');
    await until(() => stdout === 'first\nsecond\n');
  });
});

describe('with options', () => {
  test('--help explains them', async () => {
    const { code, stdout } = await runProgram([...terminal, '--help']);
    expect(code).toBe(0);
    expect(stdout).toContain('--link tap://tap0 --address 10.0.0.2/24 --connect 10.0.0.1:7');
  });

  test.each([
    [['--lnk', 'x'], /Unknown option '--lnk'/],
    [['--link', 'cable:x'], /--link and --connect belong together/],
    [['--link', 'cable:x', '--connect', '10.0.0.1'], /--connect must be ADDRESS:PORT/],
    [['--timeout', 'soon'], /--timeout must be seconds, not 'soon'/],
  ])('%j is refused with code 2', async (args, message) => {
    const { code, stderr } = await runProgram([...terminal, ...args]);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
  });

  const lonely = ['--link', 'cable:lonely', '--address', '10.0.0.2/24'];

  test.each([
    [
      'a port where nobody listens',
      '10.0.0.2:9',
      /^terminal: connect ECONNREFUSED 10\.0\.0\.2:9$/m,
    ],
    [
      'a host that is not there',
      '10.0.0.1:7',
      /^terminal: connect E\w+ 10\.0\.0\.1:7 - no answer/m,
    ],
    ['a network without a route', '192.0.2.1:7', /^terminal: connect ENETUNREACH 192\.0\.2\.1:7/m],
    ['a name', 'example.com:7', /names are not looked up here\. Received 'example\.com'/],
  ])('%s is a clear error, and code 1', async (_, peer, message) => {
    const args = [...lonely, '--connect', peer, '--timeout', '1'];
    const { code, stdout, stderr } = await runProgram([...terminal, ...args], { hold: 10_000 });
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(message);
    expect(stderr.split('\n').length).toBe(2);
  });

  test('a link that cannot be opened is a clear error, and code 1', async () => {
    const args = ['--link', 'foo:bar', '--connect', '10.0.0.1:7'];
    const { code, stderr } = await runProgram([...terminal, ...args]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^terminal: .*unknown link 'foo:bar'/);
  });
});

const hasScript = spawnSync('script', ['--version']).status === 0;

/** A step of a person at the terminal: what the screen has to show first, and what is done then. */
type Step = [shown: string | RegExp, act: string | ((pid: number) => void)];

/** Everything that the screen shows, until the terminal has ended and said how the tty is left. */
async function sitDown(steps: Step[]): Promise<string> {
  const program = `sh -c 'echo "pid $$"; exec ${terminal.join(' ')}'`;
  const command = `stty rows 24 cols 80; ${program}; echo "code $?"; stty -a`;
  const child = spawn('script', ['-qfec', command, '/dev/null'], {
    env: { ...process.env, SHELL: '/bin/sh', TERM: 'xterm' },
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  // The host ends its lines with \r\n, and the tty makes that \r\r\n.
  let screen = '';
  let seen = 0;
  child.stdout.setEncoding('utf8').on('data', (text) => {
    screen += text;
  });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  for (const [shown, act] of steps) {
    const isShown = () => {
      const fresh = screen.slice(seen).replaceAll('\r\r\n', '\r\n');
      return typeof shown === 'string' ? fresh.includes(shown) : shown.test(fresh);
    };
    await until(isShown).catch(() => {
      throw new Error(`${shown} is not on the screen: ${JSON.stringify(screen.slice(seen))}`);
    });
    seen = screen.length;
    if (typeof act === 'string') child.stdin.write(act);
    else act(Number(/pid (\d+)/.exec(screen)?.[1]));
  }
  await ended;
  return screen.replaceAll('\r\r\n', '\r\n');
}

/** That the tty edits lines and echoes again. */
function expectRestored(screen: string): void {
  expect(screen.slice(screen.lastIndexOf('code '))).toMatch(/ icanon [\s\S]* echo /);
}

describe.skipIf(!hasScript)('under a terminal (skipped without script of util-linux)', () => {
  test('the host echoes, edits lines and says goodbye', async () => {
    const screen = await sitDown([
      ['> ', 'echo helXX'],
      ['helXX', '\x7f\x7flo\r'],
      ['lo\r\nhello\r\n> ', 'nonsense\x03'],
      [/\^C\r\n> /, 'quit\r'],
    ]);
    expect(screen).toContain('vpollnet line host: echo TEXT');
    expect(screen).toContain('bye\r\n');
    expect(screen).toContain('Connection closed by 10.0.0.1.');
    expect(screen).toContain('code 0');
  });

  test('the last row shows the connection, and is given back', async () => {
    const screen = await sitDown([['> ', 'quit\r']]);
    expect(screen).toContain('\x1b[1;23r');
    expect(screen).toContain('\x1b[24;1H\x1b[7m 10.0.0.1 port 7 ESTABLISHED');
    expect(screen).toContain('\x1b[r\x1b[24;1H\x1b[2K');
  });

  test('~. disconnects, ~? helps, ~~ is a tilde, and the terminal is as before', async () => {
    const screen = await sitDown([
      ['> ', 'echo a~.b\r'],
      ['\na~.b\r\n> ', '~?'],
      ['send a tilde', '~~\r'],
      ["unknown command '~'", '~.'],
    ]);
    expect(screen).toContain('Disconnected from 10.0.0.1.');
    expect(screen).toContain('code 0');
    expectRestored(screen);
  });

  test('Ctrl-D on an empty line ends the conversation', async () => {
    const screen = await sitDown([['> ', '\x04']]);
    expect(screen).toContain('Connection closed by 10.0.0.1.');
    expect(screen).toContain('code 0');
  });

  test.each([
    ['SIGTERM', 143],
    ['SIGHUP', 129],
    ['SIGINT', 130],
  ])('%s restores the terminal and ends with code %i', async (signal, code) => {
    const screen = await sitDown([['> ', (pid) => process.kill(pid, signal)]]);
    expect(screen).toContain(`code ${code}`);
    expectRestored(screen);
  });

  test('a change of the window moves the last row', async () => {
    const resize = (pid: number) => {
      const tty = readlinkSync(`/proc/${pid}/fd/0`);
      spawnSync('stty', ['-F', tty, 'rows', '30', 'cols', '100']);
    };
    const screen = await sitDown([
      ['> ', resize],
      ['[30;1H', 'quit\r'],
    ]);
    expect(screen).toContain('\x1b[1;29r');
    expectRestored(screen);
  });
});

describe('the escapes', () => {
  const take = (text: string, filter = new EscapeFilter(true)) => {
    const { bytes, notice, disconnect } = filter.take(Buffer.from(text));
    return { bytes: bytes.toString(), notice: notice !== '', disconnect };
  };

  test('are found only at the beginnings of lines', () => {
    expect(take('a~.b')).toEqual({ bytes: 'a~.b', notice: false, disconnect: false });
    expect(take('~.b')).toEqual({ bytes: '', notice: false, disconnect: true });
    expect(take('a\r~.')).toEqual({ bytes: 'a\r', notice: false, disconnect: true });
    expect(take('a\n~?b')).toEqual({ bytes: 'a\nb', notice: true, disconnect: false });
    expect(take('~~.')).toEqual({ bytes: '~.', notice: false, disconnect: false });
    expect(take('~x')).toEqual({ bytes: '~x', notice: false, disconnect: false });
  });

  test('are found when they come in pieces', () => {
    const filter = new EscapeFilter(true);
    expect(take('~', filter)).toEqual({ bytes: '', notice: false, disconnect: false });
    expect(take('.', filter)).toEqual({ bytes: '', notice: false, disconnect: true });
  });

  test('are data where nobody types', () => {
    expect(take('~.', new EscapeFilter(false)).bytes).toBe('~.');
  });
});
