// SPDX-License-Identifier: MIT
//
// The kernel parts of vpoll under emulated kernels (kernel/qemu/README.md): Debian's with the module,
// and a small patched one with KASAN and lockdep. Each guest runs its programs and is then read: what
// they said, and what its kernel complained of.

import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildEventLoops } from './event-loops.mjs';
import {
  buildModule,
  buildModuleTests,
  buildStatic,
  ci,
  debianKernel,
  findMissing,
  say,
  smallKernel,
} from './kernel-build.mjs';
import {
  boot,
  findComplaints,
  Initramfs,
  readOutcome,
  shell,
  tail,
  withWorkFolder,
} from './kernel-guest.mjs';
import { readLines, readSuite } from './kernel-results.mjs';
import { buildAddon, compileTypeScript, install } from './setup.mjs';
import { root, run, runMain, StepError } from './steps.mjs';
import { printCounts } from './test-counts.mjs';

/** @typedef {import('./test-counts.mjs').Count} Count */
/** @typedef {import('./kernel-guest.mjs').Program} Program */
/** @typedef {import('./kernel-guest.mjs').Result} Result */
/** @typedef {import('./kernel-build.mjs').Kernel} Kernel */

const usage = `Usage: node scripts/kernel-tests.mjs [--only NAME[,NAME]] [--keep-logs] [--bench] [--shell NAME]

Boots emulated kernels and runs the tests of the module, the patch and the vpoll library in them.

  --only NAME    the guests named, of
                   debian-6.1, debian-6.12         Debian's kernel with the module
                   small-6.1, small-6.12           the patched kernel, with KASAN and lockdep
                   terminal-debian, terminal-small the terminal example on the module, on the patch
                   terminal                        both of them
                 or dkms: the module built by DKMS, which needs no guest
  --keep-logs    leaves consoles, results and initramfs behind, and says where
  --bench        measures instead of testing: JSON lines, from Debian's 6.1 with the module
  --shell NAME   boots a guest with a shell on its console instead
  --help         this text
`;

/** What a guest is: the programs that it runs, and what reads their output. */
/**
 * @typedef {object} Scenario
 * @property {() => Promise<Kernel>} kernel
 * @property {(guest: { files: Initramfs, work: string, kernel: Kernel }) => Promise<Step[]>} fill
 *   puts what the guest needs into it
 * @property {number} slow how many times longer than Debian's kernel it may take for each program
 * @property {boolean} [module] the module is built for it and loaded
 */

/** @typedef {Program & { read: (name: string, result: Result) => Count }} Step */

/** Programs that all guests share, made once. */
class Shared {
  #work;
  /** @type {Promise<string> | undefined} */
  #suite;
  /** @type {Promise<string[]> | undefined} */
  #moduleTests;
  /** @type {Promise<string[]> | undefined} */
  #loops;
  /** @type {Promise<string> | undefined} */
  #terminal;

  /** @param {string} work */
  constructor(work) {
    this.#work = work;
  }

  suite() {
    this.#suite ??= buildStatic(['test_vpoll']).then(([path = '']) => path);
    return this.#suite;
  }

  moduleTests() {
    this.#moduleTests ??= buildModuleTests(join(this.#work, 'module-tests'));
    return this.#moduleTests;
  }

  loops() {
    this.#loops ??= buildEventLoops();
    return this.#loops;
  }

  /** The terminal example and its test, as a folder /app. */
  terminal() {
    this.#terminal ??= compileTerminal(join(this.#work, 'app'));
    return this.#terminal;
  }
}

/**
 * Each poll of a FUSE file is a message to a process and its answer: under emulation, the cases with
 * thousands of fds and processes take minutes, and say nothing of the kernel's version.
 */
const withoutCrowds =
  "-sfe='*fuse_test.cpp,*lifetime_test.cpp,*threads_test.cpp' -tce='any sequence*,*many times*'";

/**
 * The guests' own way of reporting (kernel/qemu/report.sh): each line arrives, though the shell that reports hears all
 * the while that children ended. Long lines, since the shell then waits for the serial line to take them.
 * @type {Step}
 */
const reporting = {
  name: 'reporting',
  seconds: 100,
  command:
    '. /report.sh; exec 3>&1; (while :; do kill -CHLD $$; done) & sleep 1; for i in $(seq 60); do report "line %d%500s\\n" $i .; done; kill $!',
  read: (name, { output, code }) => {
    const lines = output.match(/^line \d+ +\.$/gm)?.length ?? 0;
    const good = code === 0 && lines === 60;
    const failures = good ? {} : { failures: [`${lines} of 60 lines arrived`] };
    return { name, passed: good ? 1 : 0, failed: good ? 0 : 1, skipped: 0, ...failures };
  },
};

/**
 * The vpoll suite on each of the back ends, every event loop on the first of them, the module's own tests and the patch's.
 * @param {string[]} backends
 * @param {Shared} shared
 * @returns {Scenario['fill']}
 */
function suites(backends, shared) {
  return async ({ files, kernel }) => {
    files.file('/tests/test_vpoll', await shared.suite(), 0o755);
    files.file('/tests/unload.sh', join(root, 'kernel/qemu/unload.sh'), 0o755);
    const programs = await shared.moduleTests();
    for (const program of programs) files.file(`/tests/${basename(program)}`, program, 0o755);
    /** @type {Step[]} */
    const steps = backends.map((backend) => ({
      name: backend,
      seconds: 250,
      command: `VPOLL_BACKEND=${backend} /tests/test_vpoll --no-colors=true ${backend === 'fuse' ? withoutCrowds : ''}`,
      read: (name, result) => readSuite(name, result, backend, backend === 'fuse'),
    }));
    const loops = await shared.loops();
    for (const loop of loops) await files.program(`/tests/${basename(loop)}`, loop);
    steps.push({
      name: `loops-${backends[0]}`,
      seconds: 120,
      command: `export VPOLL_BACKEND=${backends[0]}; code=0; for loop in /tests/loops_*; do $loop || code=$?; done; exit $code`,
      read: readLines,
    });
    for (const program of programs) {
      const name = basename(program);
      steps.push({ name, seconds: 200, command: `/tests/${name}`, read: readLines });
    }
    if (kernel.selftest !== null) {
      files.file('/tests/selftest', kernel.selftest, 0o755);
      steps.push({ name: 'selftest', seconds: 200, command: '/tests/selftest', read: readLines });
    }
    // The last: it leaves a module that nobody has used.
    const command = '/tests/unload.sh';
    return [reporting, ...steps, { name: 'unload', seconds: 60, command, read: readLines }];
  };
}

/** @param {string[]} backends @param {string[]} missing @param {Shared} shared @returns {Scenario['fill']} */
function terminals(backends, missing, shared) {
  return async ({ files, work }) => {
    const app = await shared.terminal();
    files.folder('/app', app);
    for (const program of ['bash', 'script', 'stty']) {
      const { code, output } = await run(['sh', '-c', `command -v ${program}`]);
      if (code !== 0) throw new StepError(`vpollnet: the terminal's test needs ${program}`);
      await files.program(`/usr/bin/${program}`, output.trim());
    }
    await files.program('/usr/bin/node', process.execPath);
    await files.libraries(join(app, 'build/Release/vpollnet.node'));
    mkdirSync(work, { recursive: true });
    return backends.flatMap((backend) => [
      {
        name: `tap-${backend}`,
        seconds: 200,
        command: `VPOLL_BACKEND=${backend} node /app/test/kernel/terminal/tap.mjs ${missing.join(' ')}`,
        read: readLines,
      },
      {
        name: `example-${backend}`,
        seconds: 450,
        command: `VPOLL_BACKEND=${backend} node /app/test/kernel/terminal/example.mjs`,
        read: readLines,
      },
    ]);
  };
}

/** The slowest first. @param {Shared} shared @returns {Record<string, Scenario>} */
function scenarios(shared) {
  const onModule = ['table', 'dev', 'socketpair', 'fuse'];
  // KASAN and lockdep are slow, and have nothing of ours to find behind the other back ends.
  const onPatch = ['eventfd', 'table', 'dev'];
  return {
    'small-6.12': {
      kernel: () => smallKernel('6.12'),
      fill: suites(onPatch, shared),
      slow: 3,
      module: true,
    },
    'small-6.1': {
      kernel: () => smallKernel('6.1'),
      fill: suites(onPatch, shared),
      slow: 3,
      module: true,
    },
    'terminal-small': {
      kernel: () => smallKernel('6.1'),
      fill: terminals(['eventfd'], ['table', 'dev'], shared),
      slow: 3,
    },
    'terminal-debian': {
      kernel: () => debianKernel('6.1'),
      fill: terminals(['table', 'dev'], ['eventfd'], shared),
      slow: 1,
      module: true,
    },
    'debian-6.12': {
      kernel: () => debianKernel('6.12'),
      fill: suites(onModule, shared),
      slow: 1,
      module: true,
    },
    'debian-6.1': {
      kernel: () => debianKernel('6.1'),
      fill: suites(onModule, shared),
      slow: 1,
      module: true,
    },
  };
}

/**
 * The terminal example, the package, and test/ts/09-terminal.test.ts compiled, with our own few lines
 * in vitest's place.
 * @param {string} app the folder to be made
 * @returns {Promise<string>} the folder
 */
async function compileTerminal(app) {
  await install();
  await buildAddon({ werror: ci });
  await compileTypeScript();
  for (const part of ['package.json', 'dist', 'build/Release/vpollnet.node']) {
    cpSync(join(root, part), join(app, part), { recursive: true });
  }
  // What the package needs at run time.
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  for (const [path, { dev }] of Object.entries(packages)) {
    if (path !== '' && !dev) cpSync(join(root, path), join(app, path), { recursive: true });
  }
  for (const name of ['example.mjs', 'tap.mjs']) {
    cpSync(join(root, 'test/kernel/terminal', name), join(app, 'test/kernel/terminal', name));
  }
  cpSync(join(root, 'test/kernel/terminal/vitest.mjs'), join(app, 'node_modules/vitest/index.js'));
  writeFileSync(
    join(app, 'node_modules/vitest/package.json'),
    '{"name":"vitest","type":"module","exports":"./index.js"}\n',
  );
  const config = join(app, 'tsconfig.json');
  const compilerOptions = {
    rootDir: root,
    outDir: app,
    typeRoots: [join(root, 'node_modules/@types')],
    declaration: false,
    declarationMap: false,
    sourceMap: false,
  };
  const include = [join(root, 'test/ts/09-terminal.test.ts')];
  writeFileSync(
    config,
    JSON.stringify({ extends: join(root, 'tsconfig.json'), compilerOptions, include }),
  );
  const { code, output } = await run([
    process.execPath,
    'node_modules/typescript/bin/tsc',
    '-p',
    config,
  ]);
  if (code === 0) return app;
  process.stderr.write(output);
  throw new StepError(`vpollnet: the terminal's test does not compile (exit code ${code})`);
}

/**
 * Packs a guest.
 * @param {string} name
 * @param {Scenario} scenario
 * @param {string} work a folder of its own
 */
async function prepare(name, scenario, work) {
  const kernel = await scenario.kernel();
  mkdirSync(work, { recursive: true });
  const modules = [...kernel.modules];
  if (scenario.module) modules.push(await buildModule(kernel.headers, join(work, 'kernel')));
  const files = new Initramfs(join(work, 'tree'));
  const steps = (await scenario.fill({ files, work, kernel })).map((step) => ({
    ...step,
    seconds: step.seconds * scenario.slow,
  }));
  files.list(modules, steps);
  const initramfs = join(work, 'initramfs');
  await files.pack(initramfs);
  const memory = scenario.slow > 1 ? 2048 : 1024;
  return { name, kernel: kernel.image, initramfs, memory, steps };
}

/**
 * One guest, from its boot to its counts.
 * @param {Awaited<ReturnType<typeof prepare>>} guest
 * @param {Scenario} scenario
 * @param {string} work
 * @returns {Promise<Count[]>}
 */
async function runGuest({ name, kernel, initramfs, memory, steps }, scenario, work) {
  const started = Date.now();
  const console_ = join(work, 'console.log');
  const file = join(work, 'results.log');
  const bootSeconds = 120 * scenario.slow;
  const ended = await boot({
    ...{ kernel, initramfs, memory, bootSeconds },
    ...{ console: console_, results: file, programs: steps },
    onResult: (result) => say(`${name}: ${result.name} ended, ${result.seconds} s`),
  });
  const outcome = readOutcome(readFileSync(file, 'latin1'));
  const heardOf = new Set(outcome.results.map((result) => result.name));
  const unheard = steps.filter((step) => !heardOf.has(step.name));
  const complaints = findComplaints(readFileSync(console_, 'latin1'), outcome.tainted);
  /** @type {Count[]} */
  const counts = [];
  /** @type {string[]} */
  const trouble = [];

  for (const result of outcome.results) {
    const step = steps.find((one) => one.name === result.name);
    if (step === undefined) {
      // A module; only one that can't be loaded is worth a line.
      if (result.code === 0) continue;
      counts.push({ name: `${name} ${result.name}`, passed: 0, failed: 1, skipped: 0 });
      trouble.push(`${result.name}: exit code ${result.code}\n${result.output}`);
      continue;
    }
    const count = step.read(`${name} ${result.name}`, result);
    counts.push({ ...count, seconds: result.seconds });
    for (const line of result.output.match(/^(\[skip\]|\[backend\]|not ok|.*# SKIP).*$/gm) ?? []) {
      if (count.failed === 0) process.stdout.write(`${name}: ${result.name}: ${line}\n`);
    }
    if (count.failed === 0) continue;
    const why =
      result.code === 137 ? `stopped after ${step.seconds} s` : `exit code ${result.code}`;
    trouble.push(`${result.name}: ${why}\n${result.output.trim()}`);
  }
  if (outcome.underWay !== null) {
    const what = outcome.underWay === '' ? 'no program' : outcome.underWay;
    const how = ended.hung ? 'hung and was stopped' : 'died';
    trouble.push(`the guest ${how} while ${what} was under way\n${outcome.partial.trim()}`);
    if (ended.error !== '') trouble.push(ended.error);
  }
  for (const { name: missing } of unheard) {
    const why = `${missing}: no result; the last that arrived: ${JSON.stringify(tail(file, 8))}`;
    trouble.push(why);
    const count = { name: `${name} ${missing}`, passed: 0, failed: 1, skipped: 0, failures: [why] };
    counts.push(count);
  }
  const isClean = complaints.length === 0 && outcome.underWay === null;
  counts.push({
    name: `${name} log`,
    passed: isClean ? 1 : 0,
    failed: isClean ? 0 : 1,
    skipped: 0,
    // One is enough to know it by; the others are told below.
    ...(isClean
      ? {}
      : { failures: [complaints[0]?.line ?? `${outcome.underWay || 'no program'}: no end`] }),
  });
  for (const { line, during } of complaints.slice(0, 20)) trouble.push(`(${during}) ${line}`);
  if (trouble.length > 0 || counts.some((count) => count.failed > 0)) {
    process.stdout.write(`\n${name} failed:\n${trouble.join('\n')}\n`);
    if (unheard.length > 0) {
      process.stdout.write(`${name}, the end of what arrived:\n${tail(file, 60)}\n`);
    }
    process.stdout.write(`${name}, the end of its console:\n${tail(console_, 60)}\n\n`);
  }
  const failed = counts.reduce((sum, count) => sum + count.failed, 0);
  const words = failed === 0 ? 'all well' : `${failed} failed`;
  say(`${name}: ${words}, ${((Date.now() - started) / 1000).toFixed(0)} s`);
  return counts;
}

/** The names that --only may have. @param {string} only @returns {string[]} */
function chosen(only) {
  const known = [...Object.keys(scenarios(new Shared(''))), 'dkms'];
  const names = only.split(',').flatMap((name) => {
    return name === 'terminal' ? ['terminal-small', 'terminal-debian'] : [name];
  });
  const wrong = names.find((name) => !known.includes(name));
  if (wrong === undefined) return known.filter((name) => names.includes(name));
  throw new StepError(`vpollnet: no guest '${wrong}'; there are ${known.join(', ')}, terminal`);
}

/**
 * test/kernel/dkms_test.sh for each of Debian's kernels.
 * @returns {Promise<Count[]>}
 */
async function testDkms() {
  /** @type {Count[]} */
  const counts = [];
  for (const version of ['6.1', '6.12']) {
    const started = Date.now();
    const { headers } = await debianKernel(version);
    const { code, output } = await run(['bash', 'test/kernel/dkms_test.sh', headers]);
    const seconds = (Date.now() - started) / 1000;
    const name = `dkms ${version}`;
    const count = readLines(name, { name, output, code, seconds });
    if (count.failed > 0) process.stdout.write(`\n${name} failed:\n${output}\n`);
    counts.push({ ...count, seconds });
  }
  return counts;
}

/**
 * Runs the guests, two at once.
 * @param {{ only?: string, keepLogs?: boolean }} [options]
 * @returns {Promise<Count[]>}
 */
export async function runKernelTests({ only, keepLogs = false } = {}) {
  const missing = await findMissing();
  if (missing.length > 0) {
    say(`the tests of the kernel parts are skipped; missing: ${missing.join('; ')}`);
    return [{ name: 'kernel', passed: 0, failed: 0, skipped: 1 }];
  }
  return withWorkFolder(keepLogs, async (work) => {
    const all = scenarios(new Shared(work));
    const names = only === undefined ? ['dkms', ...Object.keys(all)] : chosen(only);
    /** @type {(() => Promise<Count[]>)[]} */
    const guests = [];
    /** @type {Count[]} */
    const counts = names.includes('dkms') ? await testDkms() : [];
    for (const name of names.filter((each) => each !== 'dkms')) {
      const scenario = /** @type {Scenario} */ (all[name]);
      const folder = join(work, name);
      try {
        const guest = await prepare(name, scenario, folder);
        guests.push(() => runGuest(guest, scenario, folder));
      } catch (error) {
        // What can't be built is a failure to count, and the others still have their turn.
        if (!(error instanceof StepError)) throw error;
        process.stderr.write(`${error.message}\n`);
        counts.push({ name: `${name} build`, passed: 0, failed: 1, skipped: 0 });
      }
    }
    const worker = async () => {
      for (let next = guests.shift(); next !== undefined; next = guests.shift()) {
        counts.push(...(await next()));
      }
    };
    await Promise.all([worker(), worker()]);
    return counts;
  });
}

/**
 * bench/vpoll_cost.c in a guest with the module: what it printed, a JSON object a line.
 * @param {{ keepLogs?: boolean }} [options]
 * @returns {Promise<string>}
 */
export async function runKernelBench({ keepLogs = false } = {}) {
  const missing = await findMissing();
  if (missing.length > 0) {
    throw new StepError(`vpollnet: no kernel can be measured; missing: ${missing.join('; ')}`);
  }
  return withWorkFolder(keepLogs, async (work) => {
    let lines = '';
    /** @type {Scenario} */
    const scenario = {
      kernel: () => debianKernel('6.1'),
      slow: 1,
      module: true,
      fill: async ({ files }) => {
        const [program = ''] = await buildStatic(['bench_vpoll_cost']);
        files.file('/tests/bench', program, 0o755);
        return ['table', 'dev'].map((backend) => ({
          name: backend,
          seconds: 300,
          command: `VPOLL_BACKEND=${backend} /tests/bench`,
          read: (name, { output, code }) => {
            const rows = output.match(/^\{.*\}$/gm) ?? [];
            lines += rows.map((row) => `${row}\n`).join('');
            const good = code === 0 && rows.length > 0;
            return { name, passed: good ? 1 : 0, failed: good ? 0 : 1, skipped: 0 };
          },
        }));
      },
    };
    const guest = await prepare('bench', scenario, join(work, 'bench'));
    const counts = await runGuest(guest, scenario, join(work, 'bench'));
    if (counts.every((count) => count.failed === 0)) return lines;
    throw new StepError('vpollnet: the measurement in a guest failed');
  });
}

/** @param {string} name @returns {Promise<number>} */
async function runShell(name) {
  const [known = ''] = chosen(name);
  return withWorkFolder(false, async (work) => {
    const scenario = /** @type {Scenario} */ (scenarios(new Shared(work))[known]);
    const guest = await prepare(known, scenario, join(work, known));
    return shell(guest);
  });
}

function parse() {
  try {
    return parseArgs({
      options: {
        only: { type: 'string' },
        'keep-logs': { type: 'boolean', default: false },
        bench: { type: 'boolean', default: false },
        shell: { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }).values;
  } catch (error) {
    process.stderr.write(`vpollnet: ${/** @type {Error} */ (error).message}\n${usage}`);
    return null;
  }
}

async function main() {
  const options = parse();
  if (options === null) return 2;
  if (options.help) {
    process.stdout.write(usage);
    return 0;
  }
  try {
    for (const names of [options.only, options.shell]) if (names !== undefined) chosen(names);
    if (options.shell === 'dkms') throw new StepError("vpollnet: 'dkms' is no guest: no shell");
  } catch (error) {
    process.stderr.write(`${/** @type {Error} */ (error).message}\n`);
    return 2;
  }
  const keepLogs = options['keep-logs'];
  if (options.shell !== undefined) return runShell(options.shell);
  if (options.bench) {
    process.stdout.write(await runKernelBench({ keepLogs }));
    return 0;
  }
  const { only } = options;
  const counts = await runKernelTests(only === undefined ? { keepLogs } : { only, keepLogs });
  const total = printCounts(counts);
  return total.failed > 0 || (ci && total.skipped > 0) ? 1 : 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await runMain(main);
