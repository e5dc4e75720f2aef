// SPDX-License-Identifier: MIT
//
// In a guest: examples/terminal.ts talks to the guest's kernel, over a TAP, on the back end that
// VPOLL_BACKEND names.
//
//   echo server of node:net  10.0.0.1/24  fd00::1/64 ── tap0 ── 10.0.0.2/24  fd00::2/64  the example
//
// node tap.mjs MISSING...: back ends that this guest's kernel does not have.

import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import net from 'node:net';
import { expect, onTestFinished, runTests, test } from 'vitest';
import { root, runProgram, until } from '../../ts/support.js';

const backend = process.env.VPOLL_BACKEND;
const patience = 60_000;
const terminal = [process.execPath, `${root}dist/examples/terminal.js`];
const link = ['--link', 'tap://tap0', '--address', '10.0.0.2/24', '--address', 'fd00::2/64'];
const connect4 = ['--connect', '10.0.0.1:7'];

/** What /proc says that the descriptors of each back end are: a table's file, and the table itself. */
const files = {
  table: ['anon_inode:[vpoll]', '/dev/vpoll'],
  dev: ['/dev/vpoll'],
  eventfd: ['anon_inode:[eventfd-vpoll]'],
};

for (const command of [
  'tunctl -t tap0',
  'ip address add 10.0.0.1/24 dev tap0',
  'ip -6 address add fd00::1/64 dev tap0',
  'ip link set tap0 up',
]) {
  const { status, stderr } = spawnSync('sh', ['-c', command], { encoding: 'utf8' });
  if (status !== 0) console.log(`not ok ${command}: ${stderr}`);
}

/** Sends everything back, in capitals where it is a letter, and keeps what came. */
async function echoServer() {
  const peer = { text: '', ended: false };
  const server = net.createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (data) => {
      peer.text += data;
      socket.write(data.toString('latin1').toUpperCase());
    });
    socket.on('end', () => {
      peer.ended = true;
    });
  });
  server.listen(7, '::');
  await once(server, 'listening');
  onTestFinished(() => server.close());
  return peer;
}

/** What the descriptors of a process are. */
function descriptorsOf(pid) {
  return readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
}

test(`the terminal runs on ${backend}, and its socket is a file of that kind`, async () => {
  const peer = await echoServer();
  const child = spawn(terminal[0], [terminal[1], ...link, ...connect4]);
  onTestFinished(() => void child.kill('SIGKILL'));
  let shown = '';
  let said = '';
  child.stdout.on('data', (text) => {
    shown += text;
  });
  child.stderr.on('data', (text) => {
    said += text;
  });
  const ended = once(child, 'close');
  child.stdin.write('first\n');
  await until(() => shown === 'FIRST\n' || said !== '', patience);
  expect(said).toBe('');
  const known = new Set(Object.values(files).flat());
  const found = descriptorsOf(child.pid).filter((kind) => known.has(kind));
  expect([...new Set(found)].sort()).toEqual([...files[backend]].sort());
  child.stdin.write('second\n');
  await until(() => shown === 'FIRST\nSECOND\n', patience);
  expect(peer).toEqual({ text: 'first\nsecond\n', ended: false });
  child.stdin.end('third\n');
  expect(await ended).toEqual([0, null]);
  expect(shown).toBe('FIRST\nSECOND\nTHIRD\n');
  expect(peer).toEqual({ text: 'first\nsecond\nthird\n', ended: true });
});

test('over IPv6', async () => {
  const peer = await echoServer();
  const args = [...link, '--connect', '[fd00::1]:7'];
  const { code, stdout, stderr } = await runProgram([...terminal, ...args], { input: 'six\n' });
  expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: 'SIX\n', stderr: '' });
  expect(peer).toEqual({ text: 'six\n', ended: true });
});

test('a megabyte goes out and comes back whole', async () => {
  const peer = await echoServer();
  const input = randomBytes(512 * 1024).toString('hex');
  const ended = await runProgram([...terminal, ...link, ...connect4], { input });
  expect({ ...ended, stdout: '' }).toEqual({ code: 0, signal: null, stdout: '', stderr: '' });
  expect(ended.stdout === input.toUpperCase()).toBe(true);
  expect(peer.text === input && peer.ended).toBe(true);
});

test('a port where nobody listens is a clear error, and code 1', async () => {
  const args = [...link, '--connect', '10.0.0.1:9'];
  const { code, stderr } = await runProgram([...terminal, ...args], { hold: 2000 });
  expect({ code, stderr }).toEqual({
    code: 1,
    stderr: 'terminal: connect ECONNREFUSED 10.0.0.1:9\n',
  });
});

test('under a terminal keys go out as they are typed, and ~. disconnects', async () => {
  const peer = await echoServer();
  const command = `${[...terminal, ...link, ...connect4].join(' ')}; echo "code $?"; stty -a`;
  const child = spawn('script', ['-qfec', `stty rows 24 cols 80; ${command}`, '/dev/null'], {
    env: { ...process.env, SHELL: '/bin/sh', TERM: 'xterm' },
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  let screen = '';
  child.stdout.on('data', (text) => {
    screen += text;
  });
  const ended = once(child, 'close');
  await until(() => screen.includes('10.0.0.1 port 7 ESTABLISHED'), patience);
  child.stdin.write('keys');
  await until(() => screen.includes('KEYS'), patience);
  expect(peer.text).toBe('keys');
  child.stdin.write('\r');
  await until(() => peer.text === 'keys\r', patience);
  child.stdin.write('~.');
  await ended;
  expect(screen).toContain('Disconnected from 10.0.0.1.');
  expect(screen).toContain('code 0');
  expect(screen).toMatch(/code 0[\s\S]* icanon [\s\S]* echo /);
  expect(peer.text).toBe('keys\r');
});

for (const missing of process.argv.slice(2)) {
  test(`${missing}, which this kernel does not have, is refused`, async () => {
    await echoServer();
    const env = { VPOLL_BACKEND: missing };
    const ended = await runProgram([...terminal, ...link, ...connect4], { input: 'x\n', env });
    expect({ code: ended.code, stdout: ended.stdout }).toEqual({ code: 1, stdout: '' });
    expect(ended.stderr).toMatch(/^terminal: fd EOPNOTSUPP - \w+: (\/dev\/vpoll|eventfd)/);
  });
}

const failures = await runTests();
spawnSync('tunctl', ['-d', 'tap0']);
process.exit(failures > 0 ? 1 : 0);
