// SPDX-License-Identifier: MIT
//
// node scripts/test.mjs [--only NAME[,NAME]]: runs the test runners and counts what they did.
//
//   vitest      the TypeScript tests, with the addon
//   interop     against this machine's kernel on a TAP, in a network namespace of its own
//   links       every kind of link against its real peer, in a namespace too (switches, guests, tools)
//   native      the C++ and C tests of every folder
//   vpoll       the vpoll library's own tests, on each back end that works here
//   kernel      module, patch and library in guests under qemu (about ten minutes)
//   loops       every event loop of test/loops, over vpoll descriptors
//   asan        the native tests under AddressSanitizer and UndefinedBehaviorSanitizer
//   tsan        pump, readiness and vpoll under ThreadSanitizer
//   addon-asan  the TypeScript tests once more, with the addon under AddressSanitizer
//   sanitize    the last three
//   node-versions  what stands on Node's own handles, under the other versions of Node that it is meant for
//
// With VPOLLNET_CI=1, warnings are errors and nothing may be skipped. With VPOLLNET_TALLY=FILE the counts
// are added to that file, a JSON object a line; scripts/tally.mjs sums them.

import { appendFileSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { runEventLoops } from './event-loops.mjs';
import { debianKernel } from './kernel-build.mjs';
import { runKernelTests } from './kernel-tests.mjs';
import { buildAddon, compileTypeScript, install, requireTools } from './setup.mjs';
import { filesUnder, jobs, root, run, runMain, StepError, step } from './steps.mjs';
import { printCounts, readDoctest, readVitest } from './test-counts.mjs';

/** @typedef {import('./test-counts.mjs').Count} Count */

const ci = process.env.VPOLLNET_CI === '1';
const programTimeout = 15 * 60_000;

/** @type {Record<string, () => Promise<Count[]>>} */
const runners = {
  vitest: () =>
    runVitest('vitest', ['test/ts', 'test/conformance', 'test/cli', 'test/layout', 'test/vpoll']),
  interop: () => runInterop('interop', ['test/interop']),
  links: runLinks,
  native: () => runNative('native', '', ['stack', 'sim', 'host', 'vpoll']),
  vpoll: runVpoll,
  kernel: () => runKernelTests({}),
  loops: () => runEventLoops({}),
  asan: () => runNative('asan', 'address,undefined', ['stack', 'sim', 'host', 'vpoll']),
  tsan: () => runNative('tsan', 'thread', ['host', 'vpoll']),
  'addon-asan': runAddonAsan,
  'node-versions': runNodeVersions,
};

/** @type {Record<string, string[]>} */
const groups = {
  default: ['vitest', 'interop', 'native'],
  sanitize: ['asan', 'tsan', 'addon-asan'],
};

await runMain(async () => {
  const at = process.argv.indexOf('--only');
  const asked = at < 0 ? ['default'] : (process.argv[at + 1] ?? '').split(',');
  const names = asked.flatMap((name) => groups[name] ?? [name]);
  /** @type {Count[]} */
  const counts = [];
  for (const name of names) {
    const runner = runners[name];
    if (runner === undefined) {
      const known = [...Object.keys(runners), 'sanitize'].join(', ');
      throw new StepError(`vpollnet: no test runner '${name}'; there are ${known}`);
    }
    const started = Date.now();
    /** @type {Count[]} */
    let found;
    try {
      found = await runner();
    } catch (error) {
      // A build that fails is a failure to count, and the other runners still have their turn.
      if (!(error instanceof StepError)) throw error;
      process.stderr.write(`${error.message}\n`);
      const [why = ''] = error.message.split('\n');
      found = [{ name, passed: 0, failed: 1, skipped: 0, failures: [why] }];
    }
    const seconds = (Date.now() - started) / 1000;
    for (const count of found) counts.push({ ...count, seconds: count.seconds ?? seconds });
  }

  const { VPOLLNET_TALLY } = process.env;
  if (VPOLLNET_TALLY) {
    appendFileSync(VPOLLNET_TALLY, counts.map((count) => `${JSON.stringify(count)}\n`).join(''));
  }
  const total = printCounts(counts);
  return total.failed > 0 || (ci && total.skipped > 0) || total.passed === 0 ? 1 : 0;
});

/**
 * @param {string} name
 * @param {string[]} [arguments_] the folders of the tests that are run, all of them if none is named; and options
 * @param {Record<string, string>} [env]
 * @param {string[]} [prefix] a command to run it by
 * @param {string} [node] the Node that runs it
 * @returns {Promise<Count[]>}
 */
async function runVitest(name, arguments_ = [], env = {}, prefix = [], node = process.execPath) {
  await install();
  await buildAddon({ werror: ci });
  await compileTypeScript();
  const report = join(root, `build/test/${name}.json`);
  mkdirSync(join(root, 'build/test'), { recursive: true });
  rmSync(report, { force: true });
  const { code } = await run(
    [
      ...prefix,
      node,
      'node_modules/vitest/vitest.mjs',
      'run',
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${report}`,
      ...arguments_,
    ],
    { echo: true, env },
  );
  const text = existsSync(report) ? readFileSync(report, 'utf8') : null;
  return [readVitest(name, text, code)];
}

/**
 * Tests in a user and network namespace that ends with them: they make devices and addresses as they
 * like, and the kernel that they talk to is this machine's. One file after the other: two at once would
 * have devices, routes and ports of the same name there, and take them from each other.
 * @param {string} name
 * @param {string[]} folders those of the tests
 * @param {Record<string, string>} [env]
 * @returns {Promise<Count[]>}
 */
async function runInterop(name, folders, env = {}) {
  const prefix = ['unshare', '-Urn'];
  const probe = await run([...prefix, 'ip', 'tuntap', 'add', 'dev', 'probe', 'mode', 'tap']);
  if (probe.code !== 0) {
    const why = probe.output.trim() || 'unshare or ip is missing (util-linux, iproute2)';
    process.stderr.write(
      `vpollnet: tests against the kernel skipped: no TAP in a namespace: ${why}\n`,
    );
    return [{ name, passed: 0, failed: 0, skipped: 1 }];
  }
  const oneByOne = ['--no-file-parallelism', ...folders];
  return runVitest(name, oneByOne, { VPOLLNET_NAMESPACE: '1', ...env }, prefix);
}

/**
 * test/links boots guests, and fetches no kernel for them from inside of the namespace.
 * @returns {Promise<Count[]>}
 */
async function runLinks() {
  await fetchGuestKernel();
  return runInterop('links', ['test/links']);
}

async function fetchGuestKernel() {
  if (process.arch !== 'x64' || (await run(['qemu-system-x86_64', '--version'])).code !== 0) return;
  try {
    await debianKernel('6.1');
  } catch (error) {
    if (!(error instanceof StepError)) throw error;
    process.stderr.write(`${error.message}\n`); // the tests that need it fail, the others are run
  }
}

/**
 * The versions of test/node-versions/package.json, which Debian and this machine do not have.
 * @returns {Promise<Count[]>}
 */
async function runNodeVersions() {
  const lists = 'test/node-versions';
  const folder = 'build/node-versions';
  const names = Object.keys(
    JSON.parse(readFileSync(join(root, lists, 'package.json'), 'utf8')).dependencies,
  );
  if (process.arch !== 'x64') {
    process.stderr.write(`vpollnet: ${names.join(' and ')} skipped: they are for x64\n`);
    return [{ name: 'node-versions', passed: 0, failed: 0, skipped: names.length }];
  }
  cpSync(join(root, lists), join(root, folder), { recursive: true });
  await step('fetching other versions of Node', [
    [
      'npm',
      'ci',
      '--prefix',
      folder,
      '--ignore-scripts',
      '--no-audit',
      '--no-fund',
      '--loglevel=error',
    ],
  ]);
  /** @type {Count[]} */
  const counts = [];
  for (const name of names) {
    const node = join(root, folder, 'node_modules', name, 'bin/node');
    counts.push(...(await runVitest(name, ['test/conformance', 'test/ts/node'], {}, [], node)));
  }
  return counts;
}

/** The addon in a build folder of its own, and the sanitizer's runtime loaded before Node itself. */
async function runAddonAsan() {
  await install();
  const out = 'build/addon-asan';
  await buildAddon({ out, sanitize: 'address', werror: ci });
  const { output } = await run(['gcc', '-print-file-name=libasan.so']);
  const env = {
    LD_PRELOAD: output.trim(),
    // Node itself leaks by design at exit, and overcommits.
    ASAN_OPTIONS: 'detect_leaks=0:abort_on_error=1',
    VPOLLNET_ADDON: join(root, out, 'Release/vpollnet.node'),
    VPOLLNET_SANITIZED: 'address',
  };
  // libvdeplug loads its modules with RTLD_DEEPBIND, at which the sanitizer's runtime ends the process; editcap and
  // its like do not come to an end with the runtime loaded into them. The recorder has native tests under it.
  const excluded = ['vde*', 'pcapng'].flatMap((name) => [
    '--exclude',
    `test/links/${name}.test.ts`,
  ]);
  const links = ['test/interop', 'test/links', ...excluded];
  await fetchGuestKernel();
  return [
    ...(await runVitest('addon-asan', ['test/ts'], env)),
    ...(await runInterop('addon-asan interop', links, env)),
  ];
}

/**
 * @param {string} name also the build folder's name
 * @param {string} sanitize
 * @param {string[]} folders those of test/ that are run
 * @returns {Promise<Count[]>}
 */
async function runNative(name, sanitize, folders) {
  const label = sanitize ? name : 'native';
  const programs = await buildNative(name, sanitize, folders);
  if (programs === null) return [{ name: label, passed: 0, failed: 0, skipped: 1 }];
  // ThreadSanitizer of older compilers cannot map its shadow where a new kernel puts things; where
  // address randomisation may not be turned off, it is tried as it is.
  const fixed = ['setarch', '-R'];
  const prefix = sanitize === 'thread' && (await run([...fixed, 'true'])).code === 0 ? fixed : [];
  /** @type {Count[]} */
  const counts = [];
  for (const [folder, program] of programs) {
    const env = {
      ASAN_OPTIONS: 'abort_on_error=1:detect_stack_use_after_return=1',
      UBSAN_OPTIONS: 'print_stacktrace=1',
      TSAN_OPTIONS: 'halt_on_error=1:second_deadlock_stack=1',
      ...(sanitize ? { VPOLLNET_SANITIZED: sanitize } : {}),
    };
    counts.push(await runProgram(`${label} ${folder}`, [...prefix, program], env));
  }
  return counts;
}

/**
 * The vpoll suite once for each back end, and a line for each: what is exact, and how many cases passed.
 * @returns {Promise<Count[]>}
 */
async function runVpoll() {
  const programs = await buildNative('native', '', ['vpoll']);
  if (programs === null) return [{ name: 'vpoll', passed: 0, failed: 0, skipped: 1 }];
  const program = /** @type {string} */ (programs[0]?.[1]);
  const listed = await run([program, '--no-run']);
  /** @type {Count[]} */
  const counts = [];
  for (const [, backend = '', text = ''] of listed.output.matchAll(/^\[backend\] (\w+) (.*)$/gm)) {
    if (!text.startsWith('exact:')) {
      process.stdout.write(`  ${backend.padEnd(12)}${text}\n`);
      continue;
    }
    const count = await runProgram(`vpoll ${backend}`, [program], { VPOLL_BACKEND: backend });
    const cases = `${count.passed} cases passed, ${count.failed} failed`;
    process.stdout.write(`  ${backend.padEnd(12)}${text.padEnd(36)}${cases}\n`);
    counts.push(count);
  }
  return counts;
}

/**
 * Builds the native tests.
 * @param {string} name of the build folder
 * @param {string} sanitize
 * @param {string[]} folders those of test/ that are wanted
 * @returns {Promise<[folder: string, program: string][] | null>} null where doctest is missing
 */
async function buildNative(name, sanitize, folders) {
  await requireTools();
  if (!(await hasDoctest())) {
    process.stderr.write('vpollnet: native tests skipped: doctest not found (doctest-dev)\n');
    return null;
  }
  const build = `build/${name}`;
  const present = folders.filter((folder) => {
    return filesUnder([`test/${folder}`], /\.(c|cpp)$/).length > 0;
  });
  if (present.length === 0) throw new StepError(`vpollnet: no native tests for ${name}`);
  const generator = (await run(['ninja', '--version'])).code === 0 ? ['-G', 'Ninja'] : [];
  const settings = [
    '-DCMAKE_BUILD_TYPE=Release',
    '-DVPOLLNET_TESTS=ON',
    `-DVPOLLNET_SANITIZE=${sanitize}`,
    `-DVPOLLNET_WERROR=${ci ? 'ON' : 'OFF'}`,
  ];
  const configured = existsSync(join(root, build, 'CMakeCache.txt'));
  await step(`compiling the native tests${sanitize ? ` (${sanitize})` : ''}`, [
    ['cmake', '-S', '.', '-B', build, ...(configured ? [] : generator), ...settings],
    ['cmake', '--build', build, '--parallel', jobs, '--target', ...present.map((f) => `test_${f}`)],
  ]);
  return present.map((folder) => [folder, join(root, build, `test_${folder}`)]);
}

/**
 * Runs a doctest program; shows what it said if anything failed, else what it skipped.
 * @param {string} name
 * @param {string[]} command
 * @param {Record<string, string>} env
 * @returns {Promise<Count>}
 */
async function runProgram(name, command, env) {
  const started = Date.now();
  const { code, signal, output } = await run(command, { timeout: programTimeout, env });
  const count = readDoctest(name, output, code);
  if (count.failed > 0) {
    const ending = signal === null ? `exit code ${code}` : signal;
    process.stdout.write(`${output}\n${name}: ${ending}\n`);
  } else {
    for (const line of output.match(/^\[skip\].*$/gm) ?? []) process.stdout.write(`${line}\n`);
  }
  return { ...count, seconds: (Date.now() - started) / 1000 };
}

async function hasDoctest() {
  const compiler = process.env.CXX ?? 'c++';
  const probe = ['-fsyntax-only', '-x', 'c++', '-include', 'doctest/doctest.h', '/dev/null'];
  return (await run([...compiler.split(' '), ...probe])).code === 0;
}
