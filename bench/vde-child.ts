// SPDX-License-Identifier: MIT
//
// Runs in a network namespace of its own (see vde.ts) and prints a row a line.
//
//   this process: stack 10.9.1.1 ──┐           ┌── stack 10.9.1.2 of another process
//                                  vde_switch
//   tap0 10.9.2.1, vde_plug2tap ───┘           └── vde_plug2tap, tap0 10.9.2.2 of a second namespace

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Stack } from 'vpollnet';
import { compare, gigabits } from './measure.js';
import { capture, program } from './native.js';
import { serve, stop } from './peer.js';
import { connect, sendBulk } from './streams.js';

const bulkBytes = 128 * 1024 * 1024;
const folder = mkdtempSync(join(tmpdir(), 'vde-bench-'));
const path = join(folder, 'switch');
const url = `vde://${path}`;
const ended: (() => Promise<void> | void)[] = [];

/** A program that is killed at the end. */
function start(
  command: string,
  args: string[],
  output: 'ignore' | 'pipe' = 'ignore',
): ChildProcess {
  const child = spawn(command, args, { stdio: ['pipe', output, 'ignore'] });
  ended.push(() => {
    child.kill();
  });
  return child;
}

/** A kernel on the switch, by a TAP in the namespace of `inside`. */
async function attach(inside: number, address: string): Promise<void> {
  const there = ['nsenter', '-t', String(inside), '-n'];
  const run = (...args: string[]) => execFileSync('nsenter', [...there.slice(1), ...args]);
  run('ip', 'tuntap', 'add', 'dev', 'tap0', 'mode', 'tap');
  run('ip', 'link', 'set', 'tap0', 'up');
  run('ip', 'address', 'add', address, 'dev', 'tap0');
  start('nsenter', [...there.slice(1), 'vde_plug2tap', '-s', path, 'tap0']);
  const carries = () => run('ip', 'link', 'show', 'dev', 'tap0').includes('LOWER_UP');
  while (!carries()) await sleep(20);
}

try {
  start('vde_switch', ['-s', path]);
  while (!existsSync(join(path, 'ctl'))) await sleep(20);
  const second = start('unshare', ['-n', 'sleep', '3600']).pid as number;
  await sleep(200); // unshare has to make its namespace
  await attach(process.pid, '10.9.2.1/24');
  await attach(second, '10.9.2.2/24');
  const kernelSink = await serve('sink', '10.9.2.2', 1, bulkBytes, second);
  ended.push(() => stop(kernelSink));

  const sinkProgram = fileURLToPath(new URL('./vde-sink.js', import.meta.url));
  const sink = spawn(process.execPath, [sinkProgram, url, '10.9.1.2/24', '1'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  ended.push(() => stop(sink));
  await once(sink.stdout, 'data');
  const links = [{ url, addresses: ['10.9.1.1/24'], ipv6: false }];
  const stack = await Stack.open({ links });
  ended.push(() => stack.close());

  const send = () => {
    const socket = connect(stack, '10.9.1.2', 1);
    const seconds = sendBulk(socket, bulkBytes);
    socket.close();
    return gigabits(bulkBytes, seconds);
  };
  const bulk = ['bulk', '10.9.2.2', '1', String(bulkBytes)];
  const kernel = async () => gigabits(bulkBytes, Number(await capture(program('peer'), bulk)));
  const row = await compare(
    'tcp-bulk-vde',
    'Gbit/s',
    'kernel to kernel by vde_plug2tap, same switch',
    send,
    kernel,
  );
  process.stdout.write(`${JSON.stringify(row)}\n`);
} finally {
  for (const end of ended.reverse()) await end();
  rmSync(folder, { recursive: true, force: true });
}
