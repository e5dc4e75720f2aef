// SPDX-License-Identifier: MIT
//
// A guest of the kernel tests: what is packed for it, how qemu runs it, and what it said. Its other
// half is kernel/qemu/init.sh.

import { spawn } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { root, run, StepError } from './steps.mjs';

/**
 * A program that a guest runs.
 * @typedef {object} Program
 * @property {string} name one word
 * @property {number} seconds it is stopped after that
 * @property {string} command the guest's shell's
 */

/**
 * What came of one.
 * @typedef {object} Result
 * @property {string} name
 * @property {number} code as a shell counts it; 137 if it took too long
 * @property {string} output
 * @property {number} seconds
 */

/**
 * What a guest said.
 * @typedef {object} Outcome
 * @property {Result[]} results
 * @property {string | null} underWay the program that was running when the guest died; '' if none was
 * @property {string} partial what that program had said
 * @property {number} tainted /proc/sys/kernel/tainted at the end
 */

/** @typedef {{ line: string, during: string }} Complaint */

/** Files and processes that must not outlive us, whatever the way we end. */
const processes = new Set(/** @type {import('node:child_process').ChildProcess[]} */ ([]));
const folders = new Set(/** @type {string[]} */ ([]));

/**
 * Calls `body` with a folder for temporary files, and leaves nothing behind.
 * @template T
 * @param {boolean} keep the folder stays, and is named
 * @param {(folder: string) => Promise<T>} body
 * @returns {Promise<T>}
 */
export async function withWorkFolder(keep, body) {
  const folder = mkdtempSync(join(tmpdir(), 'vpollnet-kernel-'));
  if (keep) process.stderr.write(`vpollnet: the guests' files are kept in ${folder}\n`);
  else folders.add(folder);
  const onExit = () => {
    for (const child of processes) child.kill('SIGKILL');
    for (const one of folders) rmSync(one, { recursive: true, force: true });
    processes.clear();
    folders.clear();
  };
  const signals = /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP']);
  const onSignal = (/** @type {NodeJS.Signals} */ signal) => {
    process.exit(128 + constants.signals[signal]);
  };
  process.on('exit', onExit);
  for (const signal of signals) process.on(signal, onSignal);
  try {
    return await body(folder);
  } finally {
    onExit();
    process.off('exit', onExit);
    for (const signal of signals) process.off(signal, onSignal);
  }
}

/** The file system of a guest, on its way into an initramfs. */
export class Initramfs {
  #tree;

  /** @param {string} folder one that does not exist yet */
  constructor(folder) {
    this.#tree = folder;
    mkdirSync(join(folder, 'bin'), { recursive: true });
    this.file('/bin/busybox', '/bin/busybox', 0o755);
    this.file('/init', join(root, 'kernel/qemu/init.sh'), 0o755);
    this.file('/report.sh', join(root, 'kernel/qemu/report.sh'));
  }

  /**
   * @param {string} path in the guest
   * @param {string} source a file's absolute path
   * @param {number} [mode]
   */
  file(path, source, mode) {
    const to = join(this.#tree, path);
    mkdirSync(dirname(to), { recursive: true });
    copyFileSync(source, to);
    if (mode !== undefined) chmodSync(to, mode);
  }

  /**
   * @param {string} path in the guest
   * @param {string} content
   */
  text(path, content) {
    const to = join(this.#tree, path);
    mkdirSync(dirname(to), { recursive: true });
    writeFileSync(to, content);
  }

  /**
   * A folder with all that is in it.
   * @param {string} path in the guest
   * @param {string} source an absolute path
   */
  folder(path, source) {
    cpSync(source, join(this.#tree, path), { recursive: true });
  }

  /**
   * A program of this machine, with the shared libraries that it needs.
   * @param {string} path in the guest
   * @param {string} source a file's absolute path
   */
  async program(path, source) {
    this.file(path, source, 0o755);
    await this.libraries(source);
  }

  /** The shared libraries that ldd names. @param {string} source a program or library */
  async libraries(source) {
    const { output } = await run(['ldd', source]);
    for (const [library] of output.matchAll(/(?<=\s)\/\S+/g)) {
      this.file(library, realpathSync(library), 0o755);
    }
  }

  /**
   * @param {string[]} modules files, in the order of loading
   * @param {Program[]} programs
   */
  list(modules, programs) {
    const names = modules.map((module) => module.slice(module.lastIndexOf('/') + 1));
    names.forEach((name, index) => {
      this.file(`/modules/${name}`, /** @type {string} */ (modules[index]));
    });
    this.text('/modules/list', names.map((name) => `${name}\n`).join(''));
    const lines = programs.map(({ name, seconds, command }) => `${name} ${seconds} ${command}\n`);
    this.text('/run-list', lines.join(''));
  }

  /** Uncompressed: to unpack costs an emulated machine more than to read. @param {string} file */
  async pack(file) {
    const script = 'cd "$1" && find . | cpio -o -H newc --quiet -R 0:0 >"$2"';
    const { code, output } = await run(['sh', '-c', script, 'sh', this.#tree, file]);
    rmSync(this.#tree, { recursive: true, force: true });
    if (code !== 0) throw new StepError(`vpollnet: cpio failed for ${file}: ${output}`);
  }
}

/**
 * @param {{ kernel: string, initramfs: string, memory: number, devices?: string[] }} machine memory in
 *   MiB; `devices` are qemu's own options, such as network cards
 * @param {string} more for the kernel's command line
 */
function qemuArguments({ kernel, initramfs, memory, devices = [] }, more) {
  const commandLine = [
    'console=ttyS0',
    // A guest that can't go on ends at once.
    'panic=-1 oops=panic',
    // An emulated processor on a busy machine may well stand still for some seconds. One that does
    // for minutes hangs.
    'rcupdate.rcu_cpu_stall_timeout=150 watchdog_thresh=60',
    // Nobody attacks it, and it is slow as it is.
    'mitigations=off',
    more,
  ];
  return [
    // KVM is left out on purpose: the results are to be those of any machine. Two sockets: the table
    // that a kernel without ACPI finds its processors in has one entry a socket.
    ...['-accel', 'tcg,thread=multi', '-smp', '2,sockets=2', '-m', String(memory)],
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...['-kernel', kernel, '-initrd', initramfs, '-append', commandLine.join(' ').trim()],
    ...devices,
  ];
}

/**
 * Boots a guest and waits until it turns itself off, dies, or hangs.
 * @param {{ kernel: string, initramfs: string, memory: number, console: string, results: string,
 *   programs: Program[], bootSeconds: number, onResult: (result: Result) => void, devices?: string[],
 *   signal?: AbortSignal }} guest `console` and `results` are files to be written; `bootSeconds` is what
 *   it may take to begin with a program; `onResult` hears of a program that ended, unless the guest ends
 *   right then; `devices` are qemu's own options; `signal` ends it before its time
 * @returns {Promise<{ hung: boolean, error: string }>} `error`: what qemu said, or ''
 */
export function boot(guest) {
  writeFileSync(guest.console, '');
  writeFileSync(guest.results, '');
  const serial = (/** @type {string} */ file) => ['-serial', `file:${file}`];
  const args = [...qemuArguments(guest, ''), ...serial(guest.console), ...serial(guest.results)];
  const child = spawn('qemu-system-x86_64', args, {
    stdio: ['ignore', 'ignore', 'pipe'],
    // What is loaded into the tests, such as a sanitizer, is not for qemu.
    env: { ...process.env, LD_PRELOAD: '' },
    signal: guest.signal,
    killSignal: 'SIGKILL',
  });
  processes.add(child);
  let error = '';
  let hung = false;
  child.stderr.setEncoding('utf8').on('data', (text) => {
    error += text;
  });

  // init.sh stops a program that takes too long; if it does not, the whole machine hangs.
  let last = '';
  let told = 0;
  let since = performance.now();
  const watch = setInterval(() => {
    const text = readFileSync(guest.results, 'latin1');
    const now = text.match(/^(BEGIN|RESULT|END) .*$/gm)?.at(-1) ?? '';
    if (now !== last) {
      last = now;
      since = performance.now();
      const { results } = readOutcome(text);
      for (const result of results.slice(told)) guest.onResult(result);
      told = results.length;
    }
    const name = /^BEGIN (\S+)/.exec(now)?.[1];
    const program = guest.programs.find((one) => one.name === name);
    const seconds = last === '' ? guest.bootSeconds : (program?.seconds ?? 0) + 60;
    if (performance.now() - since < seconds * 1000) return;
    hung = true;
    child.kill('SIGKILL');
  }, 1000);

  return new Promise((resolve) => {
    const finish = (/** @type {string} */ said) => {
      clearInterval(watch);
      processes.delete(child);
      resolve({ hung, error: said });
    };
    child.on('error', (reason) => finish(`qemu-system-x86_64: ${reason.message}`));
    child.on('close', (code) => finish(code === 0 || hung ? '' : `${error}qemu's code: ${code}`));
  });
}

/**
 * A guest whose console is this terminal: a shell.
 * @param {{ kernel: string, initramfs: string, memory: number }} guest
 * @returns {Promise<number>} qemu's exit code
 */
export function shell(guest) {
  const args = [...qemuArguments(guest, 'vpollnet.shell'), '-serial', 'mon:stdio'];
  const child = spawn('qemu-system-x86_64', [...args, '-serial', 'null'], { stdio: 'inherit' });
  processes.add(child);
  return new Promise((resolve) => {
    child.on('error', () => resolve(127));
    child.on('close', (code) => {
      processes.delete(child);
      resolve(code ?? 128);
    });
  });
}

/** What init.sh wrote. @param {string} text @returns {Outcome} */
export function readOutcome(text) {
  /** @type {Result[]} */
  const results = [];
  const pattern = /^BEGIN (\S+)\n([\s\S]*?)^RESULT \1 (\d+) (-?\d+)$/gm;
  let rest = 0;
  for (const match of text.matchAll(pattern)) {
    const [whole, name = '', output = '', code, seconds] = match;
    results.push({ name, output, code: Number(code), seconds: Number(seconds) });
    rest = match.index + whole.length;
  }
  const remains = text.slice(rest);
  const end = /^END (\d+)$/m.exec(remains);
  if (end !== null) return { results, underWay: null, partial: '', tainted: Number(end[1]) };
  const begun = /^BEGIN (\S+)\n?([\s\S]*)$/m.exec(remains);
  return { results, underWay: begun?.[1] ?? '', partial: begun?.[2] ?? '', tainted: 0 };
}

/** What no kernel says that is well. */
const complaint = new RegExp(
  [
    'WARNING:',
    '\\bBUG:',
    'KASAN:',
    'UBSAN:',
    'possible (circular|recursive|irq lock inversion)',
    'inconsistent lock state',
    'suspicious RCU usage',
    'turning off the locking correctness validator',
    'sleeping function called from invalid context',
    'unreferenced object',
    'refcount_t:',
    'list_(add|del) corruption',
    '\\bOops\\b',
    'general protection fault[,:]',
    // A program that crashed, whether or not its test saw it.
    '\\bsegfault at\\b|\\btraps: ',
    'Kernel panic',
    'soft lockup',
    'hard LOCKUP',
    'rcu_\\w+ (self-)?detected .*stall',
    'blocked for more than',
    'Out of memory:',
  ].join('|'),
);

/** Bits of /proc/sys/kernel/tainted: a warning, a death, a bad page, a soft lockup. */
const taints = { 32: 'bad page', 128: 'died', 512: 'warned', 16384: 'soft lockup' };

/**
 * What the kernel complained of, and which program ran then.
 * @param {string} text the console's
 * @param {number} tainted
 * @returns {Complaint[]}
 */
export function findComplaints(text, tainted) {
  /** @type {Complaint[]} */
  const found = [];
  let during = 'the boot';
  for (const line of text.split(/\r?\n/)) {
    during = /vpollnet: begin (\S+)/.exec(line)?.[1] ?? during;
    if (complaint.test(line)) found.push({ line, during });
  }
  for (const [bit, word] of Object.entries(taints)) {
    if ((tainted & Number(bit)) === 0) continue;
    found.push({ line: `/proc/sys/kernel/tainted is ${tainted}: ${word}`, during: 'the run' });
  }
  return found;
}

/** A file's last lines; '' if there is none. @param {string} file @param {number} count */
export function tail(file, count) {
  if (!existsSync(file)) return '';
  return readFileSync(file, 'latin1').trimEnd().split(/\r?\n/).slice(-count).join('\n');
}
