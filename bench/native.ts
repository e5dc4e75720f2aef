// SPDX-License-Identifier: MIT
//
// The C and C++ programs of this folder: built once, run as children.

import { execFile, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export const root = fileURLToPath(new URL('../..', import.meta.url));
const build = `${root}build/bench`;
const programs = ['peer', 'flows', 'vpoll_cost', 'switch_forward', 'kernel_bridge'];

/** Builds the programs. Throws with the compiler's output if that fails. */
export function buildPrograms(): void {
  const steps = [
    ['-S', root, '-B', build, '-DVPOLLNET_BENCH=ON', '-DCMAKE_BUILD_TYPE=Release'],
    ['--build', build, '--parallel', '2', '--target', ...programs.map((name) => `bench_${name}`)],
  ];
  for (const step of steps) {
    const result = spawnSync('cmake', step, { encoding: 'utf8' });
    if (result.status !== 0)
      throw new Error(`cmake ${step.join(' ')}:\n${result.stdout}${result.stderr}`);
  }
}

export function program(name: string): string {
  return `${build}/bench_${name}`;
}

/** Runs a program to its end; what it printed. `timeout` is in milliseconds. */
export async function capture(
  file: string,
  args: readonly string[],
  timeout = 120_000,
): Promise<string> {
  const { stdout } = await promisify(execFile)(file, args, { timeout });
  return stdout;
}
