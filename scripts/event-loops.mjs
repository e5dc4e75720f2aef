// SPDX-License-Identifier: MIT
//
// Runs test/loops: vpoll fds in the event loops of other libraries, for each back end that works here,
// and holds what they saw against the tables of docs/event-loops.md. `--help` has the options.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { jobs, root, run, runMain, StepError, step } from './steps.mjs';
import { printCounts } from './test-counts.mjs';

/** @typedef {import('./test-counts.mjs').Count} Count */
/** @typedef {Map<string, Map<string, string>>} Findings by loop, then by column */

const usage = `usage: node scripts/event-loops.mjs [--table] [--backend NAME]

  --backend NAME  the vpoll back end; may be given more than once. Without: socketpair and fuse
  --table         writes what was seen into docs/event-loops.md instead of testing
`;

const build = 'build/loops';
const document = 'docs/event-loops.md';
const programTimeout = 5 * 60_000;

const programs = [
  'poll',
  'select',
  'epoll',
  'io_uring',
  'libuv',
  'libevent',
  'glib',
  'sd_event',
  'python',
];
const columns = [
  'IN',
  'OUT',
  'PRI',
  'RDHUP',
  'HUP',
  'ERR',
  'level',
  'edge',
  'one-shot',
  'from another thread',
  'taken back',
];

/**
 * @param {{ backends?: string[] }} [options] without: socketpair and fuse
 * @returns {Promise<Count[]>} one for each back end, and one for the document
 */
export async function runEventLoops({ backends = ['socketpair', 'fuse'] } = {}) {
  const missing = await compile();
  /** @type {Count[]} */
  const counts = [];
  for (const backend of backends) {
    const started = Date.now();
    const count = { name: `loops ${backend}`, passed: 0, failed: 0, skipped: 0 };
    counts.push(count);
    const why = await whyNot(backend);
    if (why !== '') {
      count.skipped++;
      process.stdout.write(`[skip] event loops with ${backend}: ${why}\n`);
      continue;
    }
    for (const program of programs) await testProgram(program, backend, missing, count);
    const differences = compareTables(await look(backend, missing), tableName(backend));
    for (const difference of differences) process.stdout.write(`not ok ${difference}\n`);
    if (differences.length === 0) count.passed++;
    else addFailure(count, `the table of ${document}: ${differences[0]}`);
    Object.assign(count, { seconds: (Date.now() - started) / 1000 });
  }
  const lost = lostSnippets();
  for (const line of lost) process.stdout.write(`not ok ${document}: ${line}\n`);
  const count = { name: 'loops document', passed: 0, failed: 0, skipped: 0, seconds: 0 };
  if (lost.length === 0) count.passed++;
  else addFailure(count, `${document}: ${lost[0]}`);
  counts.push(count);
  return counts;
}

/** @param {Count} count @param {string} what */
function addFailure(count, what) {
  count.failed++;
  count.failures = [...(count.failures ?? []), what];
}

/**
 * Builds the programs of the loops whose libraries are here, without Python's.
 * @returns {Promise<string[]>} their absolute paths
 */
export async function buildEventLoops() {
  const missing = await compile();
  const native = programs.filter((name) => name !== 'python' && !missing.has(name));
  return native.map((name) => join(root, build, `loops_${name}`));
}

/** @returns {Promise<Map<string, string>>} why a program could not be built */
async function compile() {
  const configured = existsSync(join(root, build, 'CMakeCache.txt'));
  const ninja = !configured && (await run(['ninja', '--version'])).code === 0;
  const werror = process.env.VPOLLNET_CI === '1' ? 'ON' : 'OFF';
  const configure = ['cmake', '-S', 'test/loops', '-B', build, `-DVPOLLNET_WERROR=${werror}`];
  await step('compiling the event loops', [
    [...configure, ...(ninja ? ['-G', 'Ninja'] : [])],
    ['cmake', '--build', build, '--parallel', jobs],
  ]);
  /** @type {Map<string, string>} */
  const missing = new Map();
  for (const line of readFileSync(join(root, build, 'missing.txt'), 'utf8').split('\n')) {
    const [, program, why] = /^(\w+): (.*)$/.exec(line) ?? [];
    if (program !== undefined && why !== undefined) missing.set(program, why);
  }
  if ((await run(['python3', '--version'])).code !== 0) {
    missing.set('python', 'python3 not found: apt install python3');
  }
  return missing;
}

/** @param {string} program @param {string} backend @param {string[]} [options] */
function start(program, backend, options = []) {
  const command =
    program === 'python'
      ? ['python3', '-B', 'test/loops/python_loops.py']
      : [join(root, build, `loops_${program}`)];
  const env = {
    VPOLL_BACKEND: backend,
    VPOLL_LIBRARY: join(root, build, 'vpollnet/libvpoll.so.0'),
  };
  return run([...command, ...options], { env, timeout: programTimeout });
}

/** Why the back end cannot be had here; '' if it can. @param {string} backend */
async function whyNot(backend) {
  const { code, output } = await start('poll', backend, ['--table']);
  if (code === 0) return '';
  return /^not ok \S+ (vpoll_create: .*)$/m.exec(output)?.[1] ?? output.trim();
}

/**
 * Adds what a program says of itself to the count; one that says nothing, or ends otherwise than its
 * lines tell, has failed.
 * @param {string} program
 * @param {string} backend
 * @param {Map<string, string>} missing
 * @param {Count} count
 */
async function testProgram(program, backend, missing, count) {
  const absent = missing.get(program);
  if (absent !== undefined) {
    count.skipped++;
    process.stdout.write(`[skip] event loop ${absent}\n`);
    return;
  }
  const { code, signal, output } = await start(program, backend);
  const lines = output.split('\n').filter((line) => line !== '');
  const skipped = lines.filter((line) => line.startsWith('skip '));
  const passed = lines.filter((line) => line.startsWith('ok ')).length;
  const others = lines.filter((line) => !/^(ok|skip) /.test(line));
  const failed = others.filter((line) => line.startsWith('not ok '));
  for (const line of skipped) process.stdout.write(`[${backend}] ${line}\n`);
  count.passed += passed;
  count.skipped += skipped.length;
  for (const line of failed) addFailure(count, `loops_${program}: ${line.slice('not ok '.length)}`);
  if (code === 0 && others.length === 0 && lines.length > 0) return;
  const ending = signal ?? `exit code ${code}`;
  if (failed.length === 0) addFailure(count, `loops_${program}: ${ending}`);
  for (const line of others) process.stdout.write(`[${backend}] ${line}\n`);
  process.stdout.write(`loops_${program}, ${backend}: ${ending}\n`);
}

/**
 * What every loop saw.
 * @param {string} backend
 * @param {Map<string, string>} missing
 * @returns {Promise<Findings>}
 */
async function look(backend, missing) {
  /** @type {Findings} */
  const found = new Map();
  for (const program of programs.filter((name) => !missing.has(name))) {
    const { output } = await start(program, backend, ['--table']);
    for (const line of output.split('\n')) {
      const [loop, column, finding] = line.split('\t');
      if (loop === undefined || column === undefined || finding === undefined) continue;
      const row = found.get(loop) ?? new Map();
      found.set(loop, row.set(column, finding));
    }
  }
  return found;
}

/** All exact back ends share a table. @param {string} backend */
function tableName(backend) {
  return backend === 'socketpair' ? 'socketpair' : 'exact';
}

/** @param {string} name */
function markers(name) {
  return { begin: `<!-- seen: ${name} -->\n`, end: '<!-- end of what was seen -->\n' };
}

/** The part of the document between a table's markers. @param {string} text @param {string} name */
function findTable(text, name) {
  const { begin, end } = markers(name);
  const from = text.indexOf(begin);
  const to = text.indexOf(end, from);
  if (from < 0 || to < 0) throw new StepError(`vpollnet: ${document} has no line ${begin.trim()}`);
  return { from: from + begin.length, to };
}

/**
 * How the document differs from what was seen, in the rows of the loops that are here.
 * @param {Findings} found
 * @param {string} name
 */
function compareTables(found, name) {
  const text = readFileSync(join(root, document), 'utf8');
  const { from, to } = findTable(text, name);
  /** @type {Map<string, string[]>} */
  const written = new Map();
  for (const line of text.slice(from, to).split('\n')) {
    const [loop, ...cells] = line.split('|').slice(1, -1);
    if (loop !== undefined)
      written.set(
        loop.trim(),
        cells.map((cell) => cell.trim()),
      );
  }
  /** @type {string[]} */
  const differences = [];
  for (const [loop, row] of found) {
    for (const [index, column] of columns.entries()) {
      const seen = row.get(column) ?? 'no finding';
      const says = written.get(loop)?.[index] ?? 'nothing';
      if (seen === says) continue;
      differences.push(
        `${document}, ${name}, ${loop}, ${column}: it says '${says}', seen was '${seen}'; if that is right, run node scripts/event-loops.mjs --table`,
      );
    }
  }
  return differences;
}

/** @param {Findings} found */
function formatTable(found) {
  const rows = [
    ['loop', ...columns],
    ['---', ...columns.map(() => '---')],
  ];
  for (const [loop, row] of found) {
    rows.push([loop, ...columns.map((column) => row.get(column) ?? 'no finding')]);
  }
  return rows.map((cells) => `| ${cells.join(' | ')} |\n`).join('');
}

/** @param {string[]} backends */
async function writeTables(backends) {
  const missing = await compile();
  if (missing.size > 0) throw new StepError(`vpollnet: ${[...missing.values()].join('\n')}`);
  for (const backend of backends) {
    const why = await whyNot(backend);
    if (why !== '') {
      process.stderr.write(`vpollnet: the table of ${backend} stays as it is: ${why}\n`);
      continue;
    }
    const table = formatTable(await look(backend, missing));
    const text = readFileSync(join(root, document), 'utf8');
    const { from, to } = findTable(text, tableName(backend));
    writeFileSync(join(root, document), text.slice(0, from) + table + text.slice(to));
  }
}

/** Code of the document that is no longer in the file that it is said to be from. */
function lostSnippets() {
  const text = readFileSync(join(root, document), 'utf8');
  /** @param {string} code */
  const squeeze = (code) => code.replace(/\s+/g, ' ').trim();
  /** @type {string[]} */
  const lost = [];
  for (const [, file = '', code = ''] of text.matchAll(
    /^From `(test\/loops\/[\w.]+)`.*:\n\n((?: {4}.*\n|\n)+)/gm,
  )) {
    const source = squeeze(readFileSync(join(root, file), 'utf8'));
    // A line of dots stands for what was left out.
    for (const part of code.split(/^ *\.\.\.$/m)) {
      if (!source.includes(squeeze(part))) lost.push(`${file} has no such lines:\n${part}`);
    }
  }
  return lost;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  await runMain(async () => {
    const options = process.argv.slice(2);
    /** @type {string[]} */
    const asked = [];
    let table = false;
    for (let at = 0; at < options.length; at++) {
      const next = options[at + 1];
      if (options[at] === '--table') table = true;
      else if (options[at] === '--backend' && next !== undefined) asked.push(options[++at] ?? '');
      else {
        process.stdout.write(usage);
        return options[at] === '--help' ? 0 : 2;
      }
    }
    const backends = asked.length > 0 ? asked : ['socketpair', 'fuse'];
    if (table) {
      await writeTables(backends);
      return 0;
    }
    const counts = await runEventLoops({ backends });
    const { failed, skipped } = printCounts(counts);
    return failed > 0 || (skipped > 0 && process.env.VPOLLNET_CI === '1') ? 1 : 0;
  });
}
