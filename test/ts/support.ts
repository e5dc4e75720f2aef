// SPDX-License-Identifier: MIT
//
// What the tests of the package share: two stacks on a cable, and short ways to wait.

import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { type LinkOptions, POLLIN, POLLOUT, poll, Stack, type TcpSocket } from 'vpollnet';

export const root = fileURLToPath(new URL('../..', import.meta.url));

let cables = 0;

/** A cable that no other test uses. */
export function freshCable(): string {
  cables += 1;
  return `cable:test-${process.pid}-${cables}`;
}

/** A stack that is closed at the end of the test. */
export async function openStack(link: Partial<LinkOptions> = {}): Promise<Stack> {
  const stack = await Stack.open({ links: [{ url: freshCable(), dad: false, ...link }] });
  onTestFinished(() => stack.close());
  return stack;
}

/** 10.0.0.1 (fd00::1) and 10.0.0.2 (fd00::2) on one cable. */
export async function twoStacks(): Promise<{ near: Stack; far: Stack; url: string }> {
  const url = freshCable();
  const near = await openStack({ url, addresses: ['10.0.0.1/24', 'fd00::1/64'] });
  const far = await openStack({ url, addresses: ['10.0.0.2/24', 'fd00::2/64'] });
  return { near, far, url };
}

export interface Pair {
  near: Stack;
  far: Stack;
  /** On `near`, connected to `server`. */
  client: TcpSocket;
  server: TcpSocket;
}

/** A connection between two stacks. */
export async function connectedPair(host = '10.0.0.2'): Promise<Pair> {
  const { near, far } = await twoStacks();
  const listener = far.socket('tcp').bind({ host, port: 7 }).listen();
  const client = near.socket('tcp');
  client.connect({ host, port: 7 });
  waitFor(client, POLLOUT);
  waitFor(listener, POLLIN);
  const server = listener.accept();
  if (server === null) throw new Error('no connection to accept');
  listener.close();
  return { near, far, client, server };
}

/** Blocks until the socket has one of `events`; fails after `ms`. Returns what it has. */
export function waitFor(socket: { fd: number }, events: number, ms = 20_000): number {
  const entry = { fd: socket.fd, events, revents: 0 };
  if (poll([entry], ms) === 0) throw new Error(`no event of ${events} after ${ms} ms`);
  return entry.revents;
}

/** All bytes up to the end of the stream. */
export function readAll(socket: TcpSocket): Buffer {
  const parts: Buffer[] = [];
  for (;;) {
    waitFor(socket, POLLIN);
    const part = socket.read();
    if (part?.length === 0) return Buffer.concat(parts);
    if (part !== null) parts.push(part);
  }
}

/** The error that a call throws. */
export function thrownBy(call: () => unknown): NodeJS.ErrnoException & { [key: string]: unknown } {
  try {
    call();
  } catch (error) {
    return error as NodeJS.ErrnoException & { [key: string]: unknown };
  }
  throw new Error('the call was expected to throw');
}

/** Descriptors that this process has open, without the one that lists them. */
export const openDescriptors = () => readdirSync('/proc/self/fd').length - 1;

/** Waits until `condition` holds; fails after `ms`. */
export async function until(condition: () => boolean, ms = 20_000): Promise<void> {
  const end = performance.now() + ms;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not so after ${ms} ms: ${condition}`);
    await sleep(5);
  }
}

/** `value` as a program without types sees it, for calls with wrong arguments. */
// biome-ignore lint/suspicious/noExplicitAny: the point of it
export const untyped = (value: unknown): any => value;

export interface Ended {
  code: number | null;
  signal: string | null;
  stdout: string;
  stderr: string;
}

/** Runs a program with `input` on its stdin. `hold`: stdin stays open for that many milliseconds. */
export function runProgram(
  [program = '', ...args]: string[],
  {
    input = '',
    hold = 0,
    env = {},
  }: { input?: string; hold?: number; env?: NodeJS.ProcessEnv } = {},
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd: root, env: { ...process.env, ...env } });
    const output = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (text: string) => {
        output[name] += text;
      });
    }
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, ...output }));
    child.stdin.on('error', () => {});
    child.stdin.write(input);
    setTimeout(() => child.stdin.end(), hold);
  });
}
