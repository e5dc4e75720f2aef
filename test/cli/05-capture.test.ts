// SPDX-License-Identifier: MIT
//
// vpollnet capture: on a link of Ethernet in UDP, whose other end is a stack of this test.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Stack } from 'vpollnet';
import {
  command,
  has,
  hasTmux,
  main,
  start,
  Terminal,
  udpPair,
  until,
  vpollnet,
} from './support.js';

const hasTshark = has('tshark', '--version');

function file(): string {
  const folder = mkdtempSync(join(tmpdir(), 'vpollnet-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return join(folder, 'a.pcapng');
}

/** A stack that sends to the far end of `url` until the test ends. */
async function talker(url: string): Promise<void> {
  const link = { url, addresses: ['10.0.0.1/24'], ipv6: false };
  const stack = await Stack.open({ links: [link] });
  const socket = stack.socket('udp').setOption('broadcast', true);
  const timer = setInterval(() => socket.sendTo('hello', { host: '10.0.0.255', port: 9 }), 20);
  onTestFinished(() => {
    clearInterval(timer);
    return stack.close();
  });
}

/** Number, source and comment of each frame, by tshark. */
function frames(path: string): string[][] {
  const fields = ['-T', 'fields', '-e', 'frame.number', '-e', 'ip.src', '-e', 'frame.comment'];
  const { stdout, status } = spawnSync('tshark', ['-r', path, ...fields], { encoding: 'utf8' });
  expect(status).toBe(0);
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => line.split('\t'));
}

describe.skipIf(!hasTshark)('a recording', () => {
  test('has as many frames as -c says, none of them marked as dropped', async () => {
    const [near, far] = await udpPair();
    await talker(far);
    const path = file();
    const ended = await vpollnet(['capture', '--link', near, '-w', path, '-c', '12']);
    expect(ended).toMatchObject({ code: 0, stdout: '' });
    expect(ended.stderr).toMatch(/12 frames, [\d.]+K? bytes, 0 dropped\n$/);
    const found = frames(path).filter(([, source]) => source === '10.0.0.1');
    expect(frames(path)).toHaveLength(12);
    expect(found.length).toBeGreaterThan(5);
    expect(found.map(([, , comment]) => comment ?? '').join('')).toBe('');
  });

  test('goes to stdout for a pipe, and the reader may leave', async () => {
    const [near, far] = await udpPair();
    await talker(far);
    const node = `'${process.execPath}' '${main}'`;
    const pipe = `${node} capture --link '${near}' 2>/dev/null | tshark -r - -c 3 -T fields -e ip.src`;
    const shell = spawnPipe(`${pipe}; echo "\${PIPESTATUS[0]}"`);
    expect((await shell).trim().split('\n').at(-1)).toBe('141');
  });

  test.each(['SIGINT', 'SIGTERM'] as const)('is whole after %s', async (signal) => {
    const [near, far] = await udpPair();
    await talker(far);
    const path = file();
    const running = start([main, 'capture', '--link', near, '-w', path]);
    await until(() => running.stderr.includes('listening on'));
    await until(() => readFileSync(path).length > 1000);
    running.child.kill(signal);
    const { code, stderr } = await running.ended;
    expect(code).toBe(0);
    const [, count] = /(\d+) frames/.exec(stderr) ?? [];
    expect(frames(path)).toHaveLength(Number(count));
  });

  test('--duration ends it, and --snap cuts the frames', async () => {
    const [near, far] = await udpPair();
    await talker(far);
    const path = file();
    const args = ['capture', '--link', near, '-w', path, '--duration', '0.5', '--snap', '14'];
    expect(await vpollnet(args)).toMatchObject({ code: 0 });
    expect(frames(path)[0]?.[1] ?? '').toBe('');
  });
});

function spawnPipe(shell: string): Promise<string> {
  const running = start([
    '-e',
    `require('child_process').spawn('bash', ['-c', process.argv[1]], { stdio: 'inherit' })`,
    shell,
  ]);
  return running.ended.then(({ stdout }) => stdout);
}

test.each([
  [['--link', 'foo://x', '-w', 'x'], 1, /^vpollnet capture: --link cannot be opened: unknown link/],
  [['--link', 'cable:x', '-w', '/no/such/folder/x'], 1, /ENOENT.*\/no\/such\/folder\/x/],
  [['--link', 'cable:x', '-c', '0'], 2, /--count must be a whole number from 1/],
  [['-w', 'x'], 2, /link/],
])('%j is an error in one line', async (args, code, message) => {
  const ended = await vpollnet(['capture', ...args]);
  expect(ended).toMatchObject({ code, stdout: '' });
  expect(ended.stderr).toMatch(message);
});

describe.skipIf(!hasTmux)('on a terminal', () => {
  test('nothing is written to it', async () => {
    const terminal = new Terminal(command('capture', '--link', 'cable:x'));
    await terminal.shows(/a recording is not for a terminal/);
    await terminal.shows('code 2');
  });

  test('stderr shows how it goes, and Ctrl-C sums up', async () => {
    const [near, far] = await udpPair();
    await talker(far);
    const terminal = new Terminal(command('capture', '--link', near, '-w', file()));
    await terminal.shows(/^[1-9]\d* frames, [\d.]+K? bytes, 0 dropped, \d+ s {3}Ctrl-C ends$/m);
    terminal.keys('C-c');
    await terminal.shows(/^[1-9]\d* frames, [\d.]+K? bytes, 0 dropped\ncode 0\n1$/m);
  });
});
