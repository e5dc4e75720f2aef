// SPDX-License-Identifier: MIT
//
// The program peer (peer.c) as a server of the kernel's sockets.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { program } from './native.js';

/**
 * Starts it: 'sink', 'source' of `bytes`, or 'echo'. Resolves when it listens.
 * @param inside a process whose network namespace it is to be in
 */
export async function serve(
  mode: string,
  address: string,
  port: number,
  bytes: number,
  inside?: number,
): Promise<ChildProcess> {
  const peer = [program('peer'), mode, address, String(port), String(bytes)];
  const command = inside === undefined ? peer : ['nsenter', '-t', String(inside), '-n', ...peer];
  const child = spawn(command[0] as string, command.slice(1), {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(child.stdout as NodeJS.ReadableStream, 'data');
  return child;
}

/** Ends a program that runs until its standard input ends. */
export async function stop(child: ChildProcess): Promise<void> {
  const exit = once(child, 'exit');
  child.stdin?.end();
  await exit;
}
