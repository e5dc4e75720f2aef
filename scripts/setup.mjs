// SPDX-License-Identifier: MIT
//
// Brings a clone to where it can run: packages, native addon, compiled TypeScript. Each step is
// done only if its inputs changed. Needs Node alone, so that it works before anything is installed.

import { cpSync, existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { filesUnder, jobs, root, run, runMain, StepError, step, whenChanged } from './steps.mjs';

const nativeSource = /\.(c|h|cpp|hpp|cmake|in|map)$/;

/** All of the set-up. @param {{ force?: boolean }} [options] `force` builds even if nothing changed */
export async function setup({ force = false } = {}) {
  await install();
  await buildAddon({ force });
  await compileTypeScript({ force });
}

/** The packages of package-lock.json, without running any of their scripts. */
export async function install() {
  const marker = join(root, 'node_modules/.package-lock.json');
  const lock = join(root, 'package-lock.json');
  if (existsSync(marker) && statSync(marker).mtimeMs >= statSync(lock).mtimeMs) return;
  await step('installing packages', [
    ['npm', 'ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'],
  ]);
}

/**
 * The addon, by way of cmake-js: `<out>/Release/vpollnet.node`, and beside it the program vpollnet-enter.
 * @param {{ force?: boolean, out?: string, sanitize?: string, werror?: boolean }} [options]
 */
export async function buildAddon({
  force = false,
  out = 'build',
  sanitize = '',
  werror = false,
} = {}) {
  const inputs = [
    'CMakeLists.txt',
    'package-lock.json',
    ...filesUnder(
      ['cmake', 'stack', 'vpoll', 'kernel/uapi', 'namespace', 'ts/binding'],
      nativeSource,
    ),
  ];
  const output = `${out}/Release/vpollnet.node`;
  await whenChanged(
    output,
    inputs,
    async () => {
      await requireTools();
      const cache = join(root, out, 'CMakeCache.txt');
      // A tree that was moved, or configured without cmake-js, cannot be built on.
      if (existsSync(cache) && !isOurCache(readFileSync(cache, 'utf8'))) {
        rmSync(cache);
        rmSync(join(root, out, 'CMakeFiles'), { recursive: true, force: true });
      }
      const cmakeJs = [process.execPath, 'node_modules/cmake-js/bin/cmake-js'];
      const common = ['--out', out, '--config', 'Release', '--log-level', 'warn'];
      const settings = [
        `--CDVPOLLNET_SANITIZE=${sanitize}`,
        `--CDVPOLLNET_WERROR=${werror ? 'ON' : 'OFF'}`,
      ];
      await step(sanitize ? `compiling the addon (${sanitize})` : 'compiling the addon', [
        [...cmakeJs, 'configure', ...common, ...settings],
        [...cmakeJs, 'build', ...common, '--parallel', jobs],
      ]);
      if (!existsSync(join(root, output))) {
        throw new StepError(`vpollnet: the build made no ${output}`);
      }
    },
    { force },
  );
}

/** @param {string} cache the text of a CMakeCache.txt */
function isOurCache(cache) {
  const home = /^CMAKE_HOME_DIRECTORY:INTERNAL=(.*)$/m.exec(cache)?.[1];
  return home !== undefined && join(home, '/') === root && /^CMAKE_JS_VERSION:/m.test(cache);
}

/** ts/, examples/, bench/ and cli/ into dist/, the gateway's page as it is. @param {{ force?: boolean }} [options] */
export async function compileTypeScript({ force = false } = {}) {
  const page = 'cli/gateway/page';
  const inputs = [
    'tsconfig.json',
    'package.json',
    'package-lock.json',
    ...filesUnder(['ts', 'examples', 'bench', 'cli'], /\.ts$/),
    ...filesUnder([page], /./),
  ];
  await whenChanged(
    'dist/ts/index.js',
    inputs,
    async () => {
      rmSync(join(root, 'dist'), { recursive: true, force: true });
      await step('compiling TypeScript', [
        [process.execPath, 'node_modules/typescript/bin/tsc', '-p', 'tsconfig.json'],
      ]);
      cpSync(join(root, page), join(root, 'dist', page), { recursive: true });
    },
    { force },
  );
}

/** Throws a StepError of one line that names every missing tool and how to get it. */
export async function requireTools() {
  /** @type {string[]} */
  const missing = [];
  /** @type {string[]} */
  const packages = [];
  if (!(await works(['cmake', '--version']))) {
    missing.push('cmake');
    packages.push('cmake');
  }
  if (!(await works(['make', '--version'])) && !(await works(['ninja', '--version']))) {
    missing.push('make');
    packages.push('make');
  }
  if (!(await hasCompiler())) {
    missing.push('a C++20 compiler');
    packages.push('g++');
  }
  if (missing.length > 0) {
    const list = missing.join(' and ');
    throw new StepError(
      `vpollnet: ${list} not found; on Debian or Ubuntu: apt install ${packages.join(' ')}`,
    );
  }
}

async function hasCompiler() {
  const program = ['-std=c++20', '-fsyntax-only', '-x', 'c++', '-include', 'span', '/dev/null'];
  for (const compiler of process.env.CXX ? [process.env.CXX] : ['c++', 'g++', 'clang++']) {
    if (await works([...compiler.split(' '), ...program])) return true;
  }
  return false;
}

/** @param {string[]} command */
async function works(command) {
  return (await run(command)).code === 0;
}

const major = Number(process.versions.node.split('.')[0]);
if (major < 20) {
  process.stderr.write(`vpollnet: Node 20 or newer is needed; this is ${process.version}\n`);
  process.exit(1);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await runMain(async () => {
    await setup({ force: process.argv.includes('--force') });
    return 0;
  });
}
