// SPDX-License-Identifier: MIT
//
// The compiled program, as users run it: in pipes, in the background, on a terminal.

import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { onTestFinished } from 'vitest';
import { type Ended, root, runProgram, until } from '../ts/support.js';

export { until } from '../ts/support.js';

export const main = join(root, 'dist/cli/main.js');
const node = process.execPath;

/** Runs the program in a pipe, to its end. */
export const vpollnet = (args: string[], options: Parameters<typeof runProgram>[1] = {}) =>
  runProgram([node, main, ...args], options);

/** Starts it in the background; it is killed at the end of the test if it still runs. */
export function start(args: string[], env: NodeJS.ProcessEnv = {}): Running {
  return new Running(spawn(node, args, { env: { ...process.env, ...env } }));
}

export class Running {
  stdout = '';
  stderr = '';
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;

  constructor(child: ChildProcess) {
    this.child = child;
    for (const name of ['stdout', 'stderr'] as const) {
      child[name]?.setEncoding('utf8').on('data', (text: string) => {
        this[name] += text;
      });
    }
    this.ended = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        resolve({ code, signal, stdout: this.stdout, stderr: this.stderr });
      });
    });
    onTestFinished(async () => {
      child.kill('SIGKILL');
      await this.ended;
    });
  }

  get pid(): number {
    return this.child.pid as number;
  }

  async shows(text: string | RegExp, ms = 20_000): Promise<void> {
    const isShown = () =>
      typeof text === 'string' ? this.stdout.includes(text) : text.test(this.stdout);
    await until(isShown, ms).catch(() => {
      throw new Error(`${text} does not come: ${JSON.stringify([this.stdout, this.stderr])}`);
    });
  }
}

/** test/cli/programs/NAME in the background, when it has said that it is ready. */
export async function program(
  name: string,
  args: string[] = [],
  env: NodeJS.ProcessEnv = {},
): Promise<Running> {
  const running = start([join(root, 'test/cli/programs', name), ...args], env);
  await running.shows('ready\n');
  return running;
}

/** Whether the command works here; if not, it is said, as tests are skipped for it. */
export function has(command: string, ...args: string[]): boolean {
  if (spawnSync(command, args).status === 0) return true;
  process.stderr.write(`vpollnet: tests skipped: ${command} is missing, or does not work here\n`);
  return false;
}
export const hasTmux = has('tmux', '-V');

/** The URLs of the two ends of a link of Ethernet in UDP, on ports that were free just now. */
export async function udpPair(): Promise<[near: string, far: string]> {
  const sockets = [createSocket('udp4'), createSocket('udp4')];
  await Promise.all(sockets.map((socket) => once(socket.bind(0, '127.0.0.1'), 'listening')));
  const [near, far] = sockets.map((socket) => `127.0.0.1:${socket.address().port}`);
  for (const socket of sockets) socket.close();
  return [`udp://${far}?local=${near}`, `udp://${near}?local=${far}`];
}

/** A terminal of its own, by tmux, that is gone at the end of the test. */
export class Terminal {
  readonly #folder = mkdtempSync(join(tmpdir(), 'vpollnet-tmux-'));

  /** @param command for a shell; the terminal stays after it, and shows its exit code */
  constructor(command: string, { columns = 120, rows = 30 } = {}) {
    // Ctrl-C is for the command: the shell goes on.
    const shell = `trap : INT; ${command}; echo "code $?"; stty -a | grep -c -- ' echo '; sleep 60`;
    const size = ['-x', `${columns}`, '-y', `${rows}`];
    this.#tmux('-f', '/dev/null', 'new-session', '-d', ...size, 'sh', '-c', shell);
    onTestFinished(() => {
      this.#tmux('kill-server');
      rmSync(this.#folder, { recursive: true }); // tmux leaves its socket
    });
  }

  keys(...keys: string[]): void {
    this.#tmux('send-keys', ...keys);
  }

  resize(columns: number, rows: number): void {
    this.#tmux('resize-window', '-x', `${columns}`, '-y', `${rows}`);
  }

  screen(...options: string[]): string {
    return this.#tmux('capture-pane', '-p', ...options);
  }

  /** Waits until the screen has it, and returns the screen. */
  async shows(text: string | RegExp, ms = 20_000): Promise<string> {
    const end = performance.now() + ms;
    for (;;) {
      const screen = this.screen();
      if (typeof text === 'string' ? screen.includes(text) : text.test(screen)) return screen;
      if (performance.now() > end) throw new Error(`${text} is not on the screen:\n${screen}`);
      await sleep(50);
    }
  }

  #tmux(...args: string[]): string {
    return execFileSync('tmux', ['-S', join(this.#folder, 'socket'), ...args], {
      encoding: 'utf8',
    });
  }
}

export const command = (...args: string[]) =>
  [node, main, ...args].map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
