// SPDX-License-Identifier: MIT
//
// A command in a network namespace of its own whose network is a TAP that we hold: by vpollnet-enter
// (namespace/enter.c), since only a process with one thread may change its user namespace.

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import type { Readable, Writable } from 'node:stream';
import {
  checkAddress,
  checkArray,
  checkBoolean,
  checkCidr,
  checkInteger,
  checkObject,
  checkString,
} from './check.js';
import { illegalConstructor, invalidType, invalidValue, NetworkError } from './errors.js';
import { checkMac } from './link-options.js';
import { native, programPath } from './native.js';
import { POLLIN, pollAsync } from './poll.js';

/** The TAP as the namespace sees it. */
export interface NamespaceInterface {
  /** 'tap0' if left out. */
  name?: string;
  /** Random if left out. */
  mac?: string;
  /** Bytes, 68 to 65521; 1500 if left out. IPv6 needs 1280. */
  mtu?: number;
  /**
   * With their prefixes: '10.0.2.100/24'. They are used at once, without a look for duplicates. Without any,
   * the TAP is up and has a link-local address alone: the command asks by DHCP for more.
   */
  addresses?: readonly string[];
  /** Default routes, by routers in the networks of `addresses`. */
  gateways?: readonly string[];
  /** False: no link-local address either. */
  ipv6?: boolean;
}

/** Where the command's stdin, stdout and stderr lead: as of node:child_process, a number being a descriptor. */
export type NamespaceStdio = 'inherit' | 'ignore' | 'pipe' | number;

export interface NamespaceRunOptions {
  interface?: NamespaceInterface;
  /** What the command is to read in /etc/resolv.conf; the system's own if left out. */
  resolvConf?: string;
  /** And in /etc/hosts. */
  hosts?: string;
  /** True: the command is root in its namespace, over nothing but that. Else it is the user that we are. */
  mapRoot?: boolean;
  cwd?: string;
  /** The whole environment; ours if left out. */
  env?: NodeJS.ProcessEnv;
  /** 'inherit' if left out. */
  stdio?: NamespaceStdio | readonly [NamespaceStdio, NamespaceStdio, NamespaceStdio];
}

/** Whose namespace: a process's, or those of two files (`user` where `net` does not belong to ours). */
export type NamespaceJoinOptions = { interface?: NamespaceInterface } & (
  | { pid: number; net?: undefined; user?: undefined }
  | { net: string; user?: string; pid?: undefined }
);

/** How a command ended. */
export interface NamespaceEnd {
  /** 127: there is no such command; 126: it cannot be run. Null if a signal ended it. */
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** A TAP in a namespace of others. */
export interface JoinedNamespace {
  /** The TAP; the caller's to close. */
  readonly fd: number;
  /** For `links` of a stack or `ports` of a switch. */
  readonly link: { readonly url: string; readonly mtu: number };
}

const illegal = Symbol('only Namespace.run() has this');

/** An error of `call`, from a native function's -errno. */
const failed = (call: string, result: number) => new NetworkError(call, -result);

/** Arguments of vpollnet-enter. */
function interfaceArguments(value: unknown, name: string): string[] {
  const given = checkObject(value ?? {}, name);
  const args: string[] = [];
  const add = (option: string, key: string, check: (value: unknown, name: string) => unknown) => {
    if (given[key] !== undefined) args.push(option, String(check(given[key], `${name}.${key}`)));
  };
  const addAll = (
    option: string,
    key: string,
    check: (value: unknown, name: string) => string,
  ): void => {
    checkArray(given[key] ?? [], `${name}.${key}`).forEach((element, i) => {
      args.push(option, check(element, `${name}.${key}[${i}]`));
    });
  };
  add('--name', 'name', checkDeviceName);
  add('--mac', 'mac', (mac, key) => checkMac(mac, key).replaceAll('-', ':'));
  add('--mtu', 'mtu', (mtu, key) => checkInteger(mtu, key, 68, 65521));
  addAll('--address', 'addresses', checkPrefixed);
  addAll('--gateway', 'gateways', checkAddress);
  if (given.ipv6 !== undefined && !checkBoolean(given.ipv6, `${name}.ipv6`)) args.push('--no-ipv6');
  return args;
}

function checkDeviceName(value: unknown, name: string): string {
  const device = checkString(value, name);
  // dev_valid_name() of the kernel, and no '%', which asks it to make up a number.
  if (!/^[^/:%\s]{1,15}$/.test(device) || device === '.' || device === '..') {
    throw invalidValue(name, device, "must be 1 to 15 characters, without space, '/', ':' and '%'");
  }
  return device;
}

function checkPrefixed(value: unknown, name: string): string {
  const cidr = checkCidr(value, name);
  if (cidr.includes('/')) return cidr;
  throw invalidValue(name, value, "must be an address with a prefix, such as '10.0.0.2/24'");
}

function checkStdio(value: unknown, name: string): NamespaceStdio {
  if (typeof value === 'number') return checkInteger(value, name, 0, 2 ** 31 - 1);
  if (value === 'inherit' || value === 'ignore' || value === 'pipe') return value;
  if (typeof value !== 'string') throw invalidType(name, 'of type string or number', value);
  throw invalidValue(name, value, "must be 'inherit', 'ignore', 'pipe' or a descriptor");
}

function checkStdios(value: unknown): NamespaceStdio[] {
  const name = 'options.stdio';
  if (!Array.isArray(value)) return Array(3).fill(checkStdio(value ?? 'inherit', name));
  if (value.length !== 3) throw invalidValue(name, value, 'must have three elements');
  return value.map((element, i) => checkStdio(element, `${name}[${i}]`));
}

/** A process of vpollnet-enter, and our end of the socket to it. */
class Entering {
  readonly child: ChildProcess;
  readonly exited: Promise<NamespaceEnd>;
  #channel: number;

  private constructor(child: ChildProcess, channel: number, exited: Promise<NamespaceEnd>) {
    this.child = child;
    this.#channel = channel;
    this.exited = exited;
  }

  /** @param files option and content of what it is to read */
  static async start(
    args: string[],
    stdio: NamespaceStdio[],
    files: readonly [option: string, content: string][] = [],
    env: NodeJS.ProcessEnv = process.env,
  ): Promise<Entering> {
    const ends = native.openChannel();
    if (typeof ends === 'number') throw failed('socketpair', ends);
    const [ours, theirs] = ends;
    const passed = [theirs];
    try {
      const options = ['--socket', '3'];
      for (const [option, content] of files) {
        const file = native.memoryFile(content);
        if (file < 0) throw failed('memfd_create', file);
        options.push(option, String(passed.push(file) + 2));
      }
      const child = spawn(programPath('vpollnet-enter'), [...options, ...args], {
        stdio: [...stdio, ...passed],
        env,
      });
      const exited = new Promise<NamespaceEnd>((resolve) => {
        child.once('exit', (code, signal) => resolve({ code, signal }));
      });
      await new Promise((resolve, reject) => child.once('spawn', resolve).once('error', reject));
      child.on('error', () => {}); // a signal that cannot be sent: kill() tells that by its value
      return new Entering(child, ours, exited);
    } catch (error) {
      closeSync(ours);
      throw error;
    } finally {
      for (const fd of passed) closeSync(fd);
    }
  }

  /** Its next message; '' when there will be none. @throws what it failed by */
  async message(): Promise<{ text: string; descriptors: number[] }> {
    for (;;) {
      const got = native.receiveMessage(this.#channel);
      if (typeof got !== 'number') {
        const [, errno = '', call = '', detail] = /^error (\d+) (\S+) ?(.*)$/s.exec(got.text) ?? [];
        if (errno !== '') throw new NetworkError(call, Number(errno), { detail });
        return got;
      }
      if (got !== -constants.errno.EAGAIN) throw failed('recvmsg', got);
      await pollAsync([{ fd: this.#channel, events: POLLIN }], -1);
    }
  }

  /** The TAP that it makes. When that fails, it has ended. */
  async tap(): Promise<{ fd: number; mtu: number }> {
    try {
      const { text, descriptors } = await this.message();
      const [, mtu] = /^tap \S+ (\d+)$/.exec(text) ?? [];
      const [fd] = descriptors;
      if (mtu !== undefined && fd !== undefined) return { fd, mtu: Number(mtu) };
      const { code, signal } = await this.exited;
      throw new NetworkError('vpollnet-enter', constants.errno.ECONNRESET, {
        detail: `it ended before the namespace was there: ${signal ?? `exit code ${code}`}`,
      });
    } catch (error) {
      this.child.kill('SIGKILL');
      await this.exited;
      this.close();
      throw error;
    }
  }

  go(): void {
    const sent = native.sendMessage(this.#channel, 'go');
    // If it has ended, message() and `exited` tell.
    if (sent < 0 && sent !== -constants.errno.EPIPE) throw failed('sendmsg', sent);
  }

  close(): void {
    if (this.#channel >= 0) closeSync(this.#channel);
    this.#channel = -1;
  }
}

/**
 * A command in a user, network and mount namespace of its own, which needs no privilege. Its network is a loopback
 * and a TAP, whose other end is `fd`: give it to a stack or a switch as a link, then start() the command. When the
 * command ends, or this process does, the namespace goes. docs/namespace.md has more.
 *
 * The command is in our process group, as a child of any program is: Ctrl-C at the terminal is for both. A program
 * that is to outlive it ignores SIGINT while the command runs.
 */
export class Namespace implements AsyncDisposable {
  readonly #entering: Entering;
  readonly #mtu: number;
  readonly #exited: Promise<NamespaceEnd>;
  #fd: number;
  #started: Promise<void> | undefined;

  /** @internal Use Namespace.run(). */
  constructor(entering: Entering, tap: { fd: number; mtu: number }, token: symbol) {
    if (token !== illegal) throw illegalConstructor('use Namespace.run()');
    this.#entering = entering;
    this.#fd = tap.fd;
    this.#mtu = tap.mtu;
    this.#exited = entering.exited.then(async (end) => {
      await this.#started?.catch(() => {}); // it still reads its socket
      closeSync(this.#fd);
      this.#fd = -1;
      entering.close();
      return end;
    });
  }

  /**
   * Makes the namespace and its TAP, and holds the command back until start().
   * @param command looked for in PATH as a shell does
   * @throws NetworkError with what did not work and what to do; nothing is left then
   */
  static async run(
    command: string,
    args: readonly string[] = [],
    options: NamespaceRunOptions = {},
  ): Promise<Namespace> {
    checkString(command, 'command');
    checkArray(args, 'args').forEach((arg, i) => {
      checkString(arg, `args[${i}]`);
    });
    const given = checkObject(options, 'options');
    const entering = interfaceArguments(given.interface, 'options.interface');
    if (given.mapRoot !== undefined && checkBoolean(given.mapRoot, 'options.mapRoot')) {
      entering.push('--map-root');
    }
    if (given.cwd !== undefined) entering.push('--cwd', checkString(given.cwd, 'options.cwd'));
    const files: [string, string][] = [];
    for (const [key, option] of [
      ['resolvConf', '--resolv-conf'],
      ['hosts', '--hosts'],
    ] as const) {
      if (given[key] === undefined) continue;
      files.push([option, checkString(given[key], `options.${key}`)]);
    }
    const env = checkObject(given.env ?? process.env, 'options.env') as NodeJS.ProcessEnv;
    const stdio = checkStdios(given.stdio);
    const process_ = await Entering.start([...entering, '--', command, ...args], stdio, files, env);
    return new Namespace(process_, await process_.tap(), illegal);
  }

  /** Makes a TAP in the namespace of a process that runs already, or in one that has a name. */
  static async join(options: NamespaceJoinOptions): Promise<JoinedNamespace> {
    const given = checkObject(options, 'options');
    const args = interfaceArguments(given.interface, 'options.interface');
    if (given.pid !== undefined) {
      args.push('--pid', String(checkInteger(given.pid, 'options.pid', 1, 2 ** 31 - 1)));
      if (given.net !== undefined || given.user !== undefined) {
        throw invalidValue('options', options, "must have 'pid', or 'net' and perhaps 'user'");
      }
    } else {
      args.push('--net', checkString(given.net, 'options.net'));
      if (given.user !== undefined) args.push('--user', checkString(given.user, 'options.user'));
    }
    const entering = await Entering.start(args, ['ignore', 'inherit', 'inherit']);
    const { fd, mtu } = await entering.tap();
    await entering.exited;
    entering.close();
    return { fd, link: { url: `tap:?fd=${fd}`, mtu } };
  }

  /** The TAP. Closed, and -1, when the command has ended; a link that was opened on it has a duplicate. */
  get fd(): number {
    return this.#fd;
  }

  /** For `links` of a stack or `ports` of a switch. */
  get link(): { readonly url: string; readonly mtu: number } {
    return { url: `tap:?fd=${this.#fd}`, mtu: this.#mtu };
  }

  /** Of the command; of vpollnet-enter, which becomes it, before start(). */
  get pid(): number {
    return this.#entering.child.pid as number;
  }

  /** Null unless `stdio` says 'pipe'. */
  get stdin(): Writable | null {
    return this.#entering.child.stdin;
  }

  get stdout(): Readable | null {
    return this.#entering.child.stdout;
  }

  get stderr(): Readable | null {
    return this.#entering.child.stderr;
  }

  /** How the command ended, or vpollnet-enter before it. Never rejects. */
  get exited(): Promise<NamespaceEnd> {
    return this.#exited;
  }

  /**
   * Runs the command; resolves when it runs, or has ended already. Once: later calls tell of the first.
   * @throws NetworkError of `exec`: ENOENT (and the exit code is 127), EACCES, ENOEXEC, ... (126)
   */
  start(): Promise<void> {
    this.#started ??= this.#start();
    return this.#started;
  }

  async #start(): Promise<void> {
    if (this.#fd < 0) return;
    this.#entering.go();
    await this.#entering.message(); // its end: exec has closed it
  }

  /** Sends the command a signal; false if it has ended. */
  kill(signal: NodeJS.Signals | number = 'SIGTERM'): boolean {
    return this.#entering.child.kill(signal);
  }

  /** Ends the command if it still runs (SIGKILL), and closes `fd`. */
  async close(): Promise<void> {
    this.kill('SIGKILL');
    await this.#exited;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
