// SPDX-License-Identifier: MIT
//
// vpollnet stacks: what other processes' stacks show of themselves, on a screen, in a pipe, as JSON.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { Stack } from 'vpollnet';
import {
  endpointsIn,
  type ProcessSnapshot,
  type Sight,
  type StackSnapshot,
} from '../../cli/snapshot.js';
import { plain, Rates, select, short, view } from '../../cli/stacks-view.js';
import { untyped } from '../ts/support.js';
import { command, has, hasTmux, main, program, Terminal, vpollnet } from './support.js';

const of = (pid: number) => ['--pid', `${pid}`];

describe('a program that is blocked in poll()', () => {
  test('is seen, with its stacks, links, drops and sockets', async () => {
    const { pid } = await program('blocked.mjs');
    const { code, stdout, stderr } = await vpollnet(['stacks', ...of(pid)]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout.split('\n').filter((line) => / $/.test(line))).toEqual([]);
    expect(stdout).toMatch(new RegExp(`^${pid}  node blocked\\.mjs  server +3 `, 'm'));
    expect(stdout).toMatch(/eth0 +up .* cable:lab +fe80::\S+\/64 10\.0\.0\.1\/24 fd00::1\/64$/m);
    expect(stdout).toMatch(/server +stack +udp_no_socket +1$/m);
    expect(stdout).toMatch(/server +tcp +LISTEN +0 +0 +\*:80 +\*:\*$/m);
    expect(stdout).toMatch(/server +tcp +ESTABLISHED +1234 +0 +10\.0\.0\.1:80 +10\.0\.0\.2:\d+$/m);
    expect(stdout).toMatch(/server +udp +UNCONN +0 +0 +\[fd00::1\]:53 +\*:\*$/m);
    // A name cannot write to the terminal of who looks.
    expect(stdout).toContain('a "quoted"\ufffd\ufffd[31m name');
    expect(stdout).not.toContain('\x1b');
  });

  test('filters leave what they name', async () => {
    const { pid } = await program('blocked.mjs');
    const sockets = async (...args: string[]) => {
      const { code, stdout } = await vpollnet(['stacks', ...of(pid), '--show', 'sockets', ...args]);
      expect(code).toBe(0);
      return stdout.trimEnd().split('\n').slice(1);
    };
    expect(await sockets()).toHaveLength(5);
    expect(await sockets('--state', 'established')).toHaveLength(2);
    expect(await sockets('--state', 'estab', '--state', 'LISTEN')).toHaveLength(3);
    expect(await sockets('-l')).toHaveLength(3);
    expect(await sockets('--stack', 'server')).toHaveLength(3);
    expect((await sockets('--sort', 'recv-q'))[0]).toContain(' 1234 ');
  });

  test('--json is for programs', async () => {
    const { pid } = await program('blocked.mjs');
    const { code, stdout } = await vpollnet(['stacks', '--json', ...of(pid)]);
    expect(code).toBe(0);
    const [process] = JSON.parse(stdout) as ProcessSnapshot[];
    expect(process).toMatchObject({
      pid,
      program: 'node blocked.mjs',
      stacks: [{ kind: 'stack', name: 'server' }, { name: 'a "quoted"\n\x1b[31m name' }],
    });
    const server = process?.stacks[0] as StackSnapshot | undefined;
    expect(server?.links[0]?.framesIn).toBeGreaterThan(0);
  });
});

test('what the library says of a stack and what is seen from outside are the same', async () => {
  await using stack = await Stack.open({
    name: 'inside',
    links: [{ url: 'cable:inside', addresses: ['10.1.2.3/24'] }],
  });
  stack.socket('tcp').bind({ host: '10.1.2.3', port: 99 }).listen();
  const { stdout } = await vpollnet(['stacks', '--json', ...of(process.pid), '--stack', 'inside']);
  const [{ stacks } = { stacks: [] }] = JSON.parse(stdout) as ProcessSnapshot[];
  expect(stacks).toHaveLength(1);
  const [seen] = stacks as StackSnapshot[];
  // The announcements of addresses go on meanwhile: what is counted is left out.
  const standing = stack
    .interfaces()
    .map(({ id, name, mac, mtu, up }) => ({ id, name, mac, mtu, up }));
  expect(seen?.interfaces).toMatchObject(standing);
  expect(seen?.sockets).toEqual([
    {
      type: 'tcp',
      state: 'LISTEN',
      local: '10.1.2.3:99',
      remote: '',
      receiveQueue: 0,
      sendQueue: 0,
    },
  ]);
});

test('thousands of sockets are all listed', async () => {
  const { pid } = await program('many-sockets.mjs', ['20000']);
  const { code, stdout } = await vpollnet(['stacks', '--show', 'sockets', ...of(pid)]);
  expect(code).toBe(0);
  expect(new Set(stdout.trimEnd().split('\n')).size).toBe(20_001);
});

test('without a stack the code is 3', async () => {
  const none = 'vpollnet stacks: no running stack was found\n';
  expect(await vpollnet(['stacks', '--pid', '1'])).toMatchObject({
    code: 3,
    stdout: '',
    stderr: none,
  });
  expect(await vpollnet(['stacks', '--json', '--pid', '1'])).toMatchObject({
    code: 3,
    stdout: '[]\n',
  });
});

test('VPOLLNET_INSPECT=0 hides a process', async () => {
  const { pid } = await program('blocked.mjs', [], { VPOLLNET_INSPECT: '0' });
  expect(await vpollnet(['stacks', ...of(pid)])).toMatchObject({ code: 3 });
});

test('a process that stands still is named, and holds up nothing but its own line', async () => {
  const stopped = await program('blocked.mjs');
  const running = await program('blocked.mjs');
  stopped.child.kill('SIGSTOP');
  const { code, stdout, stderr } = await vpollnet(['stacks', '--timeout', '0.5']);
  expect(code).toBe(1);
  expect(stdout).toContain(`${running.pid}  node blocked.mjs`);
  expect(stderr).toContain(`vpollnet stacks: process ${stopped.pid}: no answer within 0.5 s\n`);
});

test('a process that is killed leaves no endpoint', async () => {
  const running = await program('blocked.mjs');
  const endpoints = () => endpointsIn(readFileSync('/proc/net/unix', 'latin1'));
  expect(endpoints().map(({ pid }) => pid)).toContain(running.pid);
  running.child.kill('SIGKILL');
  await running.ended;
  expect(endpoints().map(({ pid }) => pid)).not.toContain(running.pid);
});

const isRoot = process.geteuid?.() === 0;
const asNobody = ['--reuid', '65534', '--regid', '65534', '--clear-groups'];
const canBeNobody = isRoot && has('setpriv', ...asNobody, '/usr/bin/python3', '-c', '');

describe.skipIf(!canBeNobody)('another user', () => {
  test('sees that there are stacks, and nothing of them', async () => {
    const { pid } = await program('blocked.mjs');
    const { stdout, stderr, status } = spawnSync(
      'setpriv',
      [...asNobody, process.execPath, main, 'stacks', ...of(pid)],
      { encoding: 'utf8' },
    );
    expect({ status, stdout }).toEqual({ status: 3, stdout: '' });
    expect(stderr).toMatch(/of other users not shown/);
  });

  test('cannot pass for the endpoint of a process of ours', async () => {
    const name = `vpollnet/0/${process.pid}77`;
    const listen = [
      'import socket, sys, time',
      's = socket.socket(socket.AF_UNIX)',
      `s.bind(b"\\0${name}")`,
      's.listen(1)',
      'print("ready", flush=True)',
      'c, _ = s.accept()',
      'c.send(b"{}")',
      'c.close()',
    ].join('\n');
    const { Running } = await import('./support.js');
    const { spawn } = await import('node:child_process');
    const forger = new Running(spawn('setpriv', [...asNobody, '/usr/bin/python3', '-c', listen]));
    await forger.shows('ready');
    const { code, stderr } = await vpollnet(['stacks', ...of(Number(`${process.pid}77`))]);
    expect(code).toBe(1);
    expect(stderr).toContain(`process ${process.pid}77: the name belongs to another user`);
  });
});

describe.skipIf(!hasTmux)('on a terminal', () => {
  test('the table lives, sorts, follows the size of the screen, and q puts everything back', async () => {
    const { pid } = await program('blocked.mjs');
    const terminal = new Terminal(command('stacks', ...of(pid), '-n', '0.2'));
    await terminal.shows('sorted by process   q quits, s sorts');
    const screen = await terminal.shows(/In\/s .*Retrans +Drops\n.* server +3 /);
    expect(screen).toMatch(/server +tcp +ESTABLISHED +1234/);
    const clock = /\d\d:\d\d:\d\d/.exec(screen)?.[0] as string;
    terminal.keys('s');
    const later = await terminal.shows('sorted by type');
    await terminal.shows(new RegExp(`^(?!.*${clock})`));
    expect(later).toContain('In/s');
    terminal.resize(60, 8);
    await terminal.shows(/\.\.\. \d+ lines more\n$/);
    terminal.keys('q');
    const end = await terminal.shows(/code 0\n1$/m);
    expect(end).not.toContain('vpollnet stacks');
  });

  test('headings are bold, and with NO_COLOR they are not', async () => {
    const { pid } = await program('blocked.mjs');
    const bold = new Terminal(`env -u NO_COLOR ${command('stacks', ...of(pid))}`);
    await bold.shows('LISTEN');
    expect(bold.screen('-e')).toContain('\x1b[1m');
    const bare = new Terminal(`NO_COLOR=1 ${command('stacks', ...of(pid))}`);
    await bare.shows('LISTEN');
    expect(bare.screen('-e')).not.toContain('\x1b[1m');
  });

  test.each(['C-c', 'SIGTERM'])('%s ends it, and the cursor and the echo are back', async (how) => {
    const terminal = new Terminal(
      `sh -c 'echo "pid $$"; sleep 1; exec ${command('stacks').replaceAll("'", '"')}'`,
    );
    const [, pid] = /pid (\d+)/.exec(await terminal.shows(/pid \d+/)) ?? [];
    await terminal.shows('q quits');
    if (how === 'C-c') terminal.keys('C-c');
    else process.kill(Number(pid), 'SIGTERM');
    await terminal.shows(how === 'C-c' ? /code [03]\n1$/m : /code 143\n1$/m);
  });

  test('a process that ends leaves the table', async () => {
    const running = await program('blocked.mjs');
    const terminal = new Terminal(command('stacks', ...of(running.pid), '-n', '0.2'));
    await terminal.shows('LISTEN');
    running.child.kill('SIGKILL');
    await terminal.shows('no running stack was found');
    await sleep(300);
    terminal.keys('q');
    await terminal.shows('code 0');
  });
});

describe('the tables', () => {
  const counters = {
    ...{ packetsIn: 10, bytesIn: 1000, packetsOut: 0, bytesOut: 0 },
    ...{ tcpSegmentsIn: 0, tcpSegmentsOut: 0, tcpRetransmits: 0, tcpResetsOut: 0 },
    drops: {} as Record<string, number>,
  };
  const sight = (bytesIn: number, drops: Record<string, number>): Sight => ({
    processes: [
      {
        pid: 7,
        program: 'p',
        stacks: [
          {
            ...{ kind: 'stack', id: 1, name: '', memory: 0, memoryLimit: 1 },
            interfaces: [{ id: 2, name: 'eth0', mac: '', mtu: 1500, up: false }],
            addresses: [{ interface: 2, address: '10.0.0.1/24', state: 'tentative' }],
            links: [
              {
                ...{ interface: 2, url: 'tap://t', errno: 77, framesIn: 5, bytesIn: 1 },
                ...{ framesOut: 0, bytesOut: 0, drops: { down: 3 } },
              },
            ],
            counters: { ...counters, bytesIn, drops },
            sockets: [],
          },
        ],
      },
    ],
    silent: [],
    foreign: 0,
  });
  const all = {
    sections: ['stacks', 'links', 'drops', 'sockets'],
    sort: 'process',
    stacks: [],
    states: [],
    listening: false,
  } as const;

  test('rates are what has changed since the sight before, by the time between them', () => {
    const rates = new Rates();
    rates.take(sight(1000, {}).processes, 10_000);
    expect(rates.of('7/1/bytesIn')).toBeUndefined();
    const second = select(sight(5000, { arp_ignored: 4 }), all);
    rates.take(second, 12_000);
    expect(rates.of('7/1/bytesIn')).toBe(2000);
    const lines = view(second, all, rates, plain);
    expect(lines.find((line) => line.includes('arp_ignored'))).toMatch(/stack +arp_ignored +4 +2$/);
  });

  test('a link that is down says why, and an address that is not usable what it is', () => {
    const lines = view(select(sight(0, {}), all), all, undefined, plain);
    expect(lines.find((line) => line.includes('tap://t'))).toMatch(
      /EBADFD.*10\.0\.0\.1\/24 \(tentative\)$/,
    );
    expect(lines.find((line) => line.includes('down'))).toMatch(/#1 +eth0 +down +3$/);
  });

  test.each([
    [0, '0'],
    [999, '999'],
    [1000, '1.0K'],
    [123_456, '123K'],
    [2.5e9, '2.5G'],
  ])('%d is %s', (value, text) => {
    expect(short(value)).toBe(text);
  });

  test('only listening endpoints with our names are asked', () => {
    const header = 'Num       RefCount Protocol Flags    Type St Inode Path';
    const lines = [
      '0000000000000000: 00000002 00000000 00010000 0001 01 12 @vpollnet/0/395',
      '0000000000000000: 00000003 00000000 00000000 0001 03 13 @vpollnet/0/396',
      '0000000000000000: 00000002 00000000 00010000 0001 01     7 @vpollnet/1000/12/2',
      '0000000000000000: 00000002 00000000 00010000 0001 01 14 /tmp/@vpollnet/0/397',
      '0000000000000000: 00000002 00000000 00010000 0001 01 15 @vpollnet/0/398/x',
    ];
    expect(endpointsIn([header, ...lines, ''].join('\n'))).toEqual([
      { name: 'vpollnet/1000/12/2', uid: 1000, pid: 12 },
      { name: 'vpollnet/0/395', uid: 0, pid: 395 },
    ]);
    expect(endpointsIn(untyped(''))).toEqual([]);
  });
});
