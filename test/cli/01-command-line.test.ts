// SPDX-License-Identifier: MIT
//
// What is the same for every command: help, errors, exit codes, completion.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { root } from '../ts/support.js';
import { has, main, vpollnet } from './support.js';

const commands = readFileSync(join(root, 'docs/cli.md'), 'utf8').match(
  /(?<=^## vpollnet )[\w-]+/gm,
);

test('--version tells the package’s version', async () => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  for (const option of ['--version', '-V']) {
    expect(await vpollnet([option])).toMatchObject({ code: 0, stdout: `${version}\n`, stderr: '' });
  }
});

describe('help', () => {
  test('lists every command that docs/cli.md explains', async () => {
    const { code, stdout, stderr } = await vpollnet(['--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect([...stdout.matchAll(/^ {2}vpollnet ([\w-]+)/gm)].map(([, name]) => name)).toEqual(
      commands,
    );
    expect(stdout).toContain('Exit codes:');
  });

  test.each(commands ?? [])('of %s has examples that name the command', async (name) => {
    const { code, stdout, stderr } = await vpollnet([name, '--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain(`Usage: vpollnet ${name}`);
    expect(stdout).toMatch(new RegExp(`Examples:[^]*vpollnet ${name}`));
  });
});

describe('a wrong command line is one line on stderr, with a hint, and code 2', () => {
  test.each([
    [[], /^vpollnet: no command is given \(see 'vpollnet --help'\)\n$/],
    [
      ['pong'],
      /^vpollnet: unknown command 'pong'; did you mean ping\? \(see 'vpollnet --help'\)\n$/,
    ],
    [['a\x1b[31m'], /^vpollnet: unknown command 'a\ufffd\[31m' \(see 'vpollnet --help'\)\n$/],
    [['--what'], /^vpollnet: no command is given/],
    [
      ['ping'],
      /^vpollnet ping: an argument is missing \(0 given, 1 needed\) \(see 'vpollnet ping --help'\)\n$/,
    ],
    [['ping', '::1'], /^vpollnet ping: --link is missing/],
    [['ping', '::1', '--lnk', 'x'], /^vpollnet ping: unknown argument: lnk/],
    [['ping', '::1', '--link'], /^vpollnet ping: --link needs a value/],
    [['capture'], /^vpollnet capture: --link is missing/],
    [
      ['ping', '10.0.0.1', '--link', 'cable:x', '--address', '10.0.0.2'],
      /^vpollnet ping: --address must be ADDRESS\/PREFIX, such as 10\.0\.0\.2\/24, not '10\.0\.0\.2'/,
    ],
    [
      ['ping', 'example.org', '--link', 'cable:x'],
      /must be an IPv4 or IPv6 address .* 'example\.org'/,
    ],
    [
      ['ping', '::1', '--link', 'cable:x', '-c', 'few'],
      /--count must be a whole number from 1 to .* 'few'/,
    ],
    [['ping', '::1', '--link', 'cable:x', '-c', '1.5'], /--count must be a whole number/],
    [
      ['ping', '::1', '--link', 'cable:x', '-s', '65508'],
      /--size must be .* to 65507, not '65508'/,
    ],
    [['ping', '::1', '--link', 'cable:x', '-i', ''], /--interval must be a number/],
    [
      ['stacks', '--sort', 'colour'],
      /^vpollnet stacks: wrong value; sort cannot be "colour"; there are "process", "type"/,
    ],
    [
      ['stacks', '--state', 'asleep'],
      /^vpollnet stacks: --state cannot be 'asleep'; there are closed, listen, syn-sent/,
    ],
    [['stacks', 'more'], /^vpollnet stacks: unknown argument: more/],
    [['terminal', '--link', 'cable:x'], /--link and --connect belong together/],
    [['gateway'], /^vpollnet gateway: there must be one of: -- COMMAND, --link URL, --pid PID/],
    [['gateway', '--'], /^vpollnet gateway: no command follows '--'/],
    [['gateway', 'ls'], /^vpollnet gateway: unknown argument: ls/],
    [['gateway', '--pid', '1', '--', 'ls', '--all'], /^vpollnet gateway: there must be one of/],
    [
      ['gateway', '--allow', 'tcp:x:y', '--', 'ls'],
      /^vpollnet gateway: --allow: 'y' in 'tcp:x:y' is not a list of ports/,
    ],
    [
      ['gateway', '--ask', 'all', '--', 'ls'],
      /^vpollnet gateway: --ask needs --ui or --control: somebody has to answer/,
    ],
    [
      ['gateway', '--default', 'maybe', '--', 'ls'],
      /default cannot be "maybe"; there are "allow-public", "deny", "ask", "allow-all"/,
    ],
    [
      ['gateway', '--network', '10.0.2.0/30', '--', 'ls'],
      /--network must have a prefix from \/8 to \/25, not '10\.0\.2\.0\/30'/,
    ],
    [
      ['gateway', '--network6', '10.0.2.0/24', '--', 'ls'],
      /--network6 must be a network of IPv6, such as fd00::\/64, not/,
    ],
    [['gateway', '-p', '80', '--', 'ls'], /^vpollnet gateway: --publish: '80' is not of the form/],
    [['gateway', '--ui', '8080', '--', 'ls'], /--ui must be ADDRESS:PORT, .* not '8080'/],
    [['gateway', '--ui', '0:80', '--', 'ls'], /--ui must have one address, such as .* not '0:80'/],
    [['gateway', '--mtu', '100', '--', 'ls'], /--mtu must be a whole number from 1280 to 65520/],
    [['gateway-control', 'x'], /^vpollnet gateway-control: an argument is missing/],
    [['gateway-control', 'x', 'kil', '1'], /action cannot be "kil"; there are "flows"/],
    [
      ['gateway-control', 'x', 'answer', '1'],
      /it is 'answer ID allow\|deny\|drop', and 1 arguments are given/,
    ],
    [
      ['completion', 'fish'],
      /^vpollnet completion: .*shell cannot be "fish"; there are "bash", "zsh"/,
    ],
  ])('%j', async (args, message) => {
    const { code, stdout, stderr } = await vpollnet(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(message);
    expect(stderr.split('\n')).toHaveLength(2);
  });
});

test('a reader that has seen enough ends the program as a signal would, without a word', async () => {
  const shell = `'${process.execPath}' '${main}' stacks --help | head -1; echo "\${PIPESTATUS[0]}"`;
  const { stdout, stderr } = spawnSync('bash', ['-c', shell], { encoding: 'utf8' });
  expect(stdout).toMatch(/^Usage: vpollnet stacks.*\n(0|141)\n$/);
  expect(stderr).toBe('');
});

describe('completion', () => {
  const asked: [words: string[], found: string[], not: string[]][] = [
    [[''], commands ?? [], ['--json']],
    [['st'], ['stacks'], ['ping']],
    [['ping', '--co'], ['--count'], ['--interval']],
    [['ru'], ['run'], ['ping']],
    [['run', '--ho'], ['--host', '--host-dns'], ['--link']],
    [['stacks', '--sort', ''], ['recv-q', 'local'], ['stacks']],
    [['completion', ''], ['bash', 'zsh'], ['ping']],
  ];

  test.each(asked)('bash: %j', (words, found, not) => {
    const list = ['vpollnet', ...words].map((word) => `'${word}'`).join(' ');
    const shell = `
      vpollnet() { '${process.execPath}' '${main}' "$@"; }
      source <(vpollnet completion bash)
      complete -p vpollnet
      COMP_WORDS=(${list}) COMP_CWORD=${words.length}
      _vpollnet
      printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr } = spawnSync('bash', ['--norc', '-c', shell], { encoding: 'utf8' });
    const [registered, ...lines] = stdout.trimEnd().split('\n');
    expect(stderr).toBe('');
    expect(registered).toMatch(/complete .*-F _vpollnet vpollnet/);
    expect(lines).toEqual(expect.arrayContaining(found));
    for (const word of not) expect(lines).not.toContain(word);
  });

  test.skipIf(!has('zsh', '--version'))('zsh: Tab at the prompt of a real shell', async () => {
    const { Terminal } = await import('./support.js');
    const setUp = [
      `vpollnet() { '${process.execPath}' '${main}' "$@" }`,
      'autoload -U compinit && compinit -u -D',
      'source <(vpollnet completion zsh)',
      'clear',
    ];
    const terminal = new Terminal('zsh -f -i');
    for (const line of setUp) terminal.keys('-l', `${line}\n`);
    terminal.keys('-l', 'vpollnet stacks --sort re');
    await terminal.shows(/^\S* *vpollnet stacks --sort re$/m);
    terminal.keys('Tab');
    const screen = await terminal.shows('recv-q');
    expect(screen).toContain('remote');
    terminal.keys('C-u');
    terminal.keys('-l', 'vpollnet pi');
    terminal.keys('Tab');
    await terminal.shows(/^\S* *vpollnet ping *$/m);
  });
});
