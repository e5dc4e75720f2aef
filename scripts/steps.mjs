// SPDX-License-Identifier: MIT
//
// How the scripts run a command: one line of progress on stderr, and its output only if it fails.
// Nothing here prints to stdout or reads stdin: both belong to the program that `npm start` runs.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));
export const jobs = String(availableParallelism());

/** A failure that is already explained in full: the scripts print its message and nothing else. */
export class StepError extends Error {}

/**
 * Runs a command to its end.
 * @param {string[]} command program and arguments
 * @param {{ env?: Record<string, string>, echo?: boolean, timeout?: number }} [options]
 *   `echo` passes the output on to stdout as it comes; `timeout`, in milliseconds, ends it with SIGTERM
 * @returns {Promise<{ code: number, signal: string | null, output: string }>}
 *   `code` is 127 if the program is not there, and 128 or more if a signal ended it
 */
export function run([program = '', ...args], { env = {}, echo = false, timeout = 0 } = {}) {
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      cwd: root,
      timeout,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    /** @type {Buffer[]} */
    const chunks = [];
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => {
        chunks.push(chunk);
        if (echo) process.stdout.write(chunk);
      });
    }
    child.on('error', (error) => {
      resolve({ code: 127, signal: null, output: `${program}: ${error.message}\n` });
    });
    child.on('close', (code, signal) => {
      resolve({ code: code ?? 128, signal, output: Buffer.concat(chunks).toString() });
    });
  });
}

/**
 * One step of the set-up, with a progress line. Throws a StepError after showing the whole log.
 * @param {string} title what is done, as a participle: "compiling the addon"
 * @param {string[][]} commands run in turn, up to the first that fails
 * @param {{ env?: Record<string, string> }} [options]
 */
export async function step(title, commands, options) {
  const started = Date.now();
  process.stderr.write(`vpollnet: ${title} ...`);
  for (const command of commands) {
    const { code, output } = await run(command, options);
    if (code === 0) continue;
    process.stderr.write(` failed\n${output}`);
    throw new StepError(`vpollnet: ${title} failed: ${command.join(' ')} (exit code ${code})`);
  }
  process.stderr.write(` ${((Date.now() - started) / 1000).toFixed(1)} s\n`);
}

/**
 * Every file below the given files and folders, sorted; those that do not exist are left out.
 * @param {string[]} paths relative to the repository
 * @param {RegExp} [name] which file names count
 * @returns {string[]} paths relative to the repository
 */
export function filesUnder(paths, name = /./) {
  /** @type {string[]} */
  const found = [];
  for (const path of paths) {
    const full = join(root, path);
    if (!existsSync(full)) continue;
    const entries = readdirSyncOrNull(full);
    if (entries === null) found.push(path);
    else found.push(...filesUnder(entries.map((entry) => join(path, entry))));
  }
  return found.filter((file) => name.test(file)).sort();
}

/** @param {string} path */
function readdirSyncOrNull(path) {
  try {
    return readdirSync(path);
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'ENOTDIR') return null;
    throw error;
  }
}

/**
 * Runs `build` unless the inputs are the same as when it last succeeded.
 * @param {string} output a file that `build` makes; the stamp stands beside it
 * @param {string[]} inputs files, relative to the repository
 * @param {() => Promise<void>} build
 * @param {{ force?: boolean }} [options]
 */
export async function whenChanged(output, inputs, build, { force = false } = {}) {
  const hash = createHash('sha256');
  for (const file of inputs) {
    const text = readFileSync(join(root, file));
    hash.update(`${file}\0${text.length}\0`).update(text);
  }
  const digest = hash.digest('hex');
  const stamp = join(root, `${output}.stamp`);
  const fresh =
    existsSync(join(root, output)) && existsSync(stamp) && readFileSync(stamp, 'utf8') === digest;
  if (fresh && !force) return;
  await build();
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, digest);
}

/**
 * Runs a script's main function and turns a StepError into one line and exit code 1.
 * @param {() => Promise<number | undefined>} main returns the exit code
 */
export async function runMain(main) {
  try {
    process.exitCode = (await main()) ?? 0;
  } catch (error) {
    if (!(error instanceof StepError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }
}
