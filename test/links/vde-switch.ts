// SPDX-License-Identifier: MIT
//
// Debian's vde_switch, and what the tests of its links share:
//
//   stacks 10.77.0.2, .3 ── vde:///... ── vde_switch ── vde_plug2tap ── TAP 10.77.0.1  Linux kernel

import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ip } from '../interop/support.js';

/** Without what is loaded into the tests, such as a sanitizer: some tools do not come to their end with it. */
export const hasTool = (name: string) =>
  spawnSync(name, ['--version'], { env: { ...process.env, LD_PRELOAD: '' } }).error === undefined;

/** Why the tests of VDE cannot run here; null if they can. */
export function vdeObstacle(): string | null {
  if (process.env.VPOLLNET_NAMESPACE !== '1') return 'run by `node scripts/test.mjs --only links`';
  for (const [tool, where] of [
    ['vde_switch', 'vde-switch'],
    ['vde_plug2tap', 'vde2'],
    ['vde_plug', 'vdeplug'],
  ] as const) {
    if (!hasTool(tool)) return `${tool} is missing (${where})`;
  }
  return null;
}

/** Waits up to twenty seconds. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
): Promise<void> {
  for (const limit = Date.now() + 20_000; !(await condition()); await sleep(10)) {
    if (Date.now() > limit) throw new Error(`not within twenty seconds: ${what}`);
  }
}

export async function end(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill(signal);
  await ended;
}

/** A switch that is there until stop(), in a folder that goes with remove(). */
export class VdeSwitch {
  readonly folder = mkdtempSync(join(tmpdir(), 'vde-'));
  readonly path = join(this.folder, 'switch');
  readonly url = `vde://${this.path}`;
  readonly #children: ChildProcess[] = [];
  #process: ChildProcess | undefined;

  async start(): Promise<this> {
    // It ends with its standard input.
    const stdio = ['pipe', 'ignore', 'ignore'] as const;
    this.#process = spawn('vde_switch', ['-s', this.path], { stdio: [...stdio] });
    await until('the switch answers', () => this.#answers());
    return this;
  }

  /** SIGKILL, unless another signal is named: it leaves its socket behind. */
  async stop(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (this.#process !== undefined) await end(this.#process, signal);
  }

  /** In the place of the switch that was stopped: takes connections, and says nothing. */
  async pretend(): Promise<{ clients: () => number; close: () => Promise<void> }> {
    const sockets = new Set<net.Socket>();
    const server = net.createServer((socket) => {
      sockets.add(socket.on('error', () => {}));
    });
    const control = join(this.path, 'ctl');
    rmSync(control, { force: true });
    server.listen(control);
    await once(server, 'listening');
    return {
      clients: () => sockets.size,
      close: async () => {
        for (const socket of sockets) socket.destroy();
        server.close();
        await once(server, 'close');
      },
    };
  }

  /** A TAP of the kernel's on this switch, up. */
  async attachTap(name: string, address: string, mtu = 1500): Promise<void> {
    ip('tuntap', 'add', 'dev', name, 'mode', 'tap');
    ip('link', 'set', name, 'mtu', `${mtu}`, 'up');
    ip('address', 'add', address, 'dev', name);
    this.#children.push(spawn('vde_plug2tap', ['-s', this.path, name], { stdio: 'ignore' }));
    await until(`${name} has a carrier`, () => {
      return execFileSync('ip', ['link', 'show', 'dev', name], { encoding: 'utf8' }).includes(
        'LOWER_UP',
      );
    });
  }

  async remove(): Promise<void> {
    for (const child of this.#children) await end(child);
    await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Its control socket takes connections: a file alone may be a former switch's. */
  #answers(): Promise<boolean> {
    const socket = net.connect(join(this.path, 'ctl'));
    return new Promise((resolve) => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    }).then((answered) => {
      socket.destroy();
      return answered as boolean;
    });
  }
}
