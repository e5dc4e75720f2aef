// SPDX-License-Identifier: MIT
//
// Other machines: network namespaces beside the test's own, each held open by a process that sleeps.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';

export class Machine {
  readonly #holder: ChildProcess;

  private constructor(holder: ChildProcess) {
    this.#holder = holder;
  }

  /** A namespace of its own, with its loopback up. */
  static async start(): Promise<Machine> {
    const script = 'ip link set lo up && echo ready && exec sleep 600';
    const holder = spawn('unshare', ['-n', 'sh', '-c', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(holder.stdout as NodeJS.ReadableStream, 'data');
    return new Machine(holder);
  }

  get pid(): number {
    return this.#holder.pid as number;
  }

  /** A command there, to its end; what it printed. @throws with what it said, if it failed */
  run(...command: string[]): string {
    return execFileSync('nsenter', ['-t', `${this.pid}`, '-n', ...command], {
      encoding: 'utf8',
      timeout: 50_000,
    });
  }

  /** `ip ...` there, a line each. */
  ip(...lines: string[]): void {
    for (const line of lines) this.run('ip', ...line.trim().split(/\s+/));
  }

  /** A command there that goes on; end it. */
  spawn(...command: string[]): ChildProcess {
    return spawn('nsenter', ['-t', `${this.pid}`, '-n', ...command], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
  }

  /** Whether `host` answers one of three pings within ten seconds; a shorter time is in the options. */
  pings(host: string, ...options: string[]): boolean {
    try {
      this.run('ping', '-c', '3', '-i', '0.2', '-W', '10', ...options, host);
      return true;
    } catch {
      return false;
    }
  }

  /** The namespace goes, and with it all that is in it. */
  async stop(): Promise<void> {
    if (this.#holder.exitCode !== null) return;
    this.#holder.kill('SIGKILL');
    await once(this.#holder, 'close');
  }
}
