// SPDX-License-Identifier: MIT
//
// What the guests of the kernel tests are made of: kernels, from the cache or into it; the module;
// static programs.

import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { jobs, root, run, StepError } from './steps.mjs';

export const ci = process.env.VPOLLNET_CI === '1';

/** Folder of the native tests, linked statically. */
const build = 'build/kernel-tests';

/** What this machine lacks for the tests to run at all; empty if nothing. @returns {Promise<string[]>} */
export async function findMissing() {
  const missing = [];
  if (process.platform !== 'linux' || process.arch !== 'x64') missing.push('Linux on x86-64');
  for (const [tool, probe] of Object.entries({
    'qemu-system-x86_64 (qemu-system-x86)': ['qemu-system-x86_64', '--version'],
    'cpio (cpio)': ['cpio', '--version'],
    'apt-get (apt)': ['apt-get', '--version'],
    'dpkg-deb (dpkg)': ['dpkg-deb', '--version'],
    'make (make)': ['make', '--version'],
    'dkms (dkms)': ['dkms', '--version'],
    'cmake (cmake)': ['cmake', '--version'],
    'gcc (gcc)': ['gcc', '--version'],
    'bc (bc)': ['bc', '--version'],
    'bison (bison)': ['bison', '--version'],
    'flex (flex)': ['flex', '--version'],
    'pahole (pahole)': ['pahole', '--version'],
    'patch (patch)': ['patch', '--version'],
    'xz (xz-utils)': ['xz', '--version'],
  })) {
    if ((await run(probe)).code !== 0) missing.push(tool);
  }
  const headers = ['doctest/doctest.h', 'gelf.h', 'openssl/opensslv.h'];
  const packages = ['doctest-dev', 'libelf-dev', 'libssl-dev'];
  for (const [index, header] of headers.entries()) {
    const probe = ['g++', '-fsyntax-only', '-x', 'c++', '-include', header, '/dev/null'];
    if ((await run(probe)).code !== 0) missing.push(`${header} (${packages[index]})`);
  }
  const busybox = '/bin/busybox';
  // ldd fails for a program that needs no library.
  const isStatic = existsSync(busybox) && (await run(['ldd', busybox])).code !== 0;
  if (!isStatic) missing.push(`a static ${busybox} (busybox-static)`);
  const keys = '/usr/share/keyrings/debian-archive-keyring.gpg';
  if (!existsSync(keys)) missing.push(`${keys} (debian-archive-keyring)`);
  return missing;
}

/**
 * Runs one of the scripts of kernel/qemu, which prints a folder; what it says beside goes on to stderr.
 * @param {string} script
 * @param {string} version
 * @returns {Promise<string>} the folder
 */
function folderOf(script, version) {
  const started = Date.now();
  return new Promise((resolve, reject) => {
    const child = spawn('bash', [join(root, 'kernel/qemu', script), version], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
    // It ends with us, and then removes what it had begun.
    const onExit = () => child.kill('SIGTERM');
    process.on('exit', onExit);
    child.on('error', reject);
    child.on('close', (code) => {
      process.off('exit', onExit);
      const folder = output.trim().split('\n').at(-1) ?? '';
      const seconds = (Date.now() - started) / 1000;
      if (code !== 0 || !existsSync(folder)) {
        reject(new StepError(`vpollnet: ${script} ${version} failed (exit code ${code})`));
      } else {
        if (seconds > 5) say(`${script} ${version}: ${seconds.toFixed(0)} s`);
        resolve(folder);
      }
    });
  });
}

/** @param {string} line */
export function say(line) {
  process.stderr.write(`vpollnet: ${line}\n`);
}

/**
 * A kernel to boot.
 * @typedef {object} Kernel
 * @property {string} image
 * @property {string} headers what a module is built against
 * @property {string[]} modules its own, in the order of loading
 * @property {string[]} network those of network cards, in the order of loading
 * @property {string | null} selftest the patch's
 */

/** Debian's kernel. @param {string} version @returns {Promise<Kernel>} */
export async function debianKernel(version) {
  const folder = await folderOf('fetch.sh', version);
  const modules = readdirSync(join(folder, 'modules')).map((name) => join(folder, 'modules', name));
  return {
    image: join(folder, 'vmlinuz'),
    headers: join(folder, 'headers'),
    modules: modules.sort(),
    network: readFileSync(join(folder, 'network/list'), 'utf8')
      .split('\n')
      .filter((name) => name !== '')
      .map((name) => join(folder, 'network', name)),
    selftest: null,
  };
}

/** The patched one, with KASAN and lockdep. @param {string} version @returns {Promise<Kernel>} */
export async function smallKernel(version) {
  const folder = await folderOf('build-small.sh', version);
  return {
    image: join(folder, 'vmlinuz'),
    headers: join(folder, 'build'),
    modules: [],
    network: [],
    selftest: join(folder, 'selftest'),
  };
}

/** Lines of kbuild that are about the compiler itself, which need not be the kernel's own. */
const compilerDiffers = /^warning: the compiler differs from the one used to build the kernel/;

/**
 * Builds kernel/module in a copy. A warning is a failure.
 * @param {string} headers
 * @param {string} folder for the copy
 * @returns {Promise<string>} vpoll.ko
 */
export async function buildModule(headers, folder) {
  if (!existsSync(join(root, 'kernel/module'))) {
    throw new StepError('vpollnet: there is no kernel/module');
  }
  // The module finds the header that it shares with the library beside it.
  for (const part of ['module', 'uapi']) {
    cpSync(join(root, 'kernel', part), join(folder, part), { recursive: true });
  }
  const { code, output } = await run([
    'make',
    '-C',
    headers,
    `M=${join(folder, 'module')}`,
    `-j${jobs}`,
    'modules',
  ]);
  const warning = output
    .split('\n')
    .find((line) => /warning:/i.test(line) && !compilerDiffers.test(line));
  const built = join(folder, 'module/vpoll.ko');
  if (code !== 0 || warning !== undefined || !existsSync(built)) {
    process.stderr.write(output);
    const why = warning ?? `exit code ${code}, ${existsSync(built) ? 'a' : 'no'} vpoll.ko`;
    throw new StepError(`vpollnet: the module was not built against ${headers}: ${why}`);
  }
  return built;
}

/**
 * The programs of the native build, linked statically.
 * @param {string[]} targets
 * @returns {Promise<string[]>} their absolute paths
 */
export async function buildStatic(targets) {
  const started = Date.now();
  const generator = (await run(['ninja', '--version'])).code === 0 ? ['-G', 'Ninja'] : [];
  const configured = existsSync(join(root, build, 'CMakeCache.txt'));
  for (const command of [
    [
      ...['cmake', '-S', '.', '-B', build, ...(configured ? [] : generator)],
      ...['-DCMAKE_BUILD_TYPE=Release', '-DVPOLLNET_TESTS=ON', '-DVPOLLNET_BENCH=ON'],
      ...['-DVPOLLNET_SHARED=OFF', '-DCMAKE_EXE_LINKER_FLAGS=-static'],
      `-DVPOLLNET_WERROR=${ci ? 'ON' : 'OFF'}`,
    ],
    ['cmake', '--build', build, '--parallel', jobs, '--target', ...targets],
  ]) {
    const { code, output } = await run(command);
    if (code === 0) continue;
    process.stderr.write(output);
    throw new StepError(`vpollnet: ${command.join(' ')} failed (exit code ${code})`);
  }
  say(`${targets.join(', ')} linked statically, ${((Date.now() - started) / 1000).toFixed(1)} s`);
  return targets.map((target) => join(root, build, target));
}

/**
 * test/kernel/module_*.c: one program each, linked statically.
 * @param {string} folder for the programs
 * @returns {Promise<string[]>} their paths
 */
export async function buildModuleTests(folder) {
  const tests = join(root, 'test/kernel');
  const sources = existsSync(tests)
    ? readdirSync(tests).filter((name) => /^module_.*\.c$/.test(name))
    : [];
  mkdirSync(folder, { recursive: true });
  /** @type {string[]} */
  const programs = [];
  for (const source of sources.sort()) {
    const program = join(folder, basename(source, '.c'));
    const { code, output } = await run([
      ...['gcc', '-std=c11', '-D_GNU_SOURCE=', '-O2', '-g1', '-static', '-pthread', '-I.'],
      ...['-Wall', '-Wextra', '-Wshadow', ...(ci ? ['-Werror'] : [])],
      ...['-o', program, join('test/kernel', source)],
    ]);
    process.stderr.write(output);
    if (code !== 0) throw new StepError(`vpollnet: test/kernel/${source} does not compile`);
    programs.push(program);
  }
  if (programs.length === 0) throw new StepError('vpollnet: there is no test/kernel/module_*.c');
  return programs;
}
