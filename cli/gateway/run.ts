// SPDX-License-Identifier: MIT
//
// vpollnet gateway: until its command ends, or somebody ends it.

import { closeSync, readFileSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import { HostStack, type Namespace, type NetworkError } from 'vpollnet';
import { CommandFailure, endOfUse, exitCode } from '../command.js';
import { assemble } from './assemble.js';
import { forwardText } from './forward-text.js';
import { Messages } from './messages.js';
import { NameTable } from './names.js';
import { type Behind, type BehindOptions, openBehind } from './network.js';
import { GatewayPolicy, type Otherwise } from './policy.js';
import { isWithin, type Rule } from './rule.js';
import { endpointText } from './rule-text.js';
import { serveControl, servePage } from './serve.js';
import { type DnsMode, resolvConf, startServices } from './services.js';
import type { ForwardOptions } from './types.js';

export interface GatewayRun extends Omit<BehindOptions, 'resolvConf'> {
  readyFd: number | undefined;
  rules: Rule[];
  otherwise: Otherwise;
  /** Milliseconds. */
  askTimeout: number;
  dns: DnsMode;
  forwards: ForwardOptions[];
  control: string | undefined;
  ui: { address: string; port: number } | undefined;
  record: string | undefined;
  json: boolean;
  verbose: boolean;
}

const { version } = JSON.parse(
  readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'),
) as { version: string };

/** Closes, at the end of the block, what was opened there: the last first. */
class CleanUp implements AsyncDisposable {
  readonly #opened: (Disposable | AsyncDisposable)[] = [];

  use<T extends Disposable | AsyncDisposable>(opened: T): T {
    this.#opened.push(opened);
    return opened;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const opened of this.#opened.reverse()) {
      if (Symbol.asyncDispose in opened) await opened[Symbol.asyncDispose]();
      else opened[Symbol.dispose]();
    }
  }
}

/** @returns the exit code */
export async function runGateway(options: GatewayRun): Promise<number> {
  const { v4, v6, hostLoopback, otherwise, askTimeout, verbose } = options;
  const messages = new Messages(jsonOutput(options));
  const names = new NameTable();
  // Where the loopback of the host leads to was opened by who asked for it.
  const opened: Rule[] =
    hostLoopback.length > 0 ? [{ action: 'allow', destination: hostLoopback }] : [];
  const policy = new GatewayPolicy({
    rules: [...options.rules, ...opened],
    otherwise,
    names,
    timeout: askTimeout,
  });
  await using cleanUp = new CleanUp();
  const behind = cleanUp.use(await openBehind({ ...options, resolvConf: resolvConf(v4) }));
  const { stack, namespace, mtu } = behind;
  if (options.record !== undefined) stack.record(options.record);
  const host = await HostStack.open();
  const gateway = stack.gateway({
    to: host,
    rules: policy.nativeRules,
    policy: policy.decide,
    policyTimeout: askTimeout,
    hostLoopback,
  });
  gateway.on('error', (error) => messages.say(error.message));
  policy.attach(gateway);
  startServices({ stack, host, v4, v6, mtu, names, policy, dns: options.dns });
  for (const forward of options.forwards) {
    try {
      gateway.forward(forward);
    } catch (error) {
      throw new Error(`${forwardText(forward)}: ${(error as Error).message}`);
    }
  }
  messages.follow(gateway, policy, names, verbose);
  if (options.control !== undefined || options.ui !== undefined) {
    const controlled = cleanUp.use(assemble(gateway, policy, names, { version, guest: v4.guest }));
    if (options.control !== undefined) {
      cleanUp.use(await serveControl(controlled, options.control));
    }
    if (options.ui !== undefined) {
      const { address, port } = options.ui;
      const { url } = cleanUp.use(await servePage(controlled, address, port));
      messages.tell('page', { url });
      messages.say(`page at ${url}`);
      if (!isWithin(address, '127.0.0.0/8') && !isWithin(address, '::1')) {
        messages.say(
          'the page is reachable from other machines, and its token passes without encryption',
        );
      }
    }
  }
  messages.tell('ready', { gateway: v4.gateway, dns: v4.dns, guest: v4.guest, mtu });
  tellReady(options.readyFd);
  if (namespace !== undefined) return await runCommand(namespace);
  return await untilEnd(behind, options, messages);
}

function jsonOutput({ json, command }: GatewayRun): NodeJS.WritableStream | undefined {
  if (!json) return undefined;
  return command === undefined ? process.stdout : process.stderr;
}

/** As slirp4netns does for its --ready-fd. */
function tellReady(fd: number | undefined): void {
  if (fd === undefined) return;
  try {
    writeSync(fd, '1');
    closeSync(fd);
  } catch (error) {
    throw new Error(`--ready-fd ${fd} cannot be written: ${(error as Error).message}`);
  }
}

async function runCommand(namespace: Namespace): Promise<number> {
  for (const signal of ['SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const) {
    process.on(signal, () => {
      // A terminal sends its own signals to the whole group: the command has these already.
      const fromTerminal = process.stdin.isTTY && (signal === 'SIGINT' || signal === 'SIGQUIT');
      if (!fromTerminal) namespace.kill(signal);
    });
  }
  try {
    await namespace.start();
  } catch (error) {
    const { code, message } = error as NetworkError;
    // As shells do.
    throw new CommandFailure(message, code === 'ENOENT' ? 127 : 126);
  }
  const { code, signal } = await namespace.exited;
  return code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
}

async function untilEnd(
  { stack }: Behind,
  { pid, links, v4, v6, json }: GatewayRun,
  messages: Messages,
): Promise<number> {
  const end = endOfUse();
  const gone = new AbortController();
  stack.on('linkdown', ({ url, error }) => {
    messages.tell('linkdown', { url, error: error.message });
    // The namespace has ended, and with it what this was for.
    if (pid !== undefined) gone.abort();
    else messages.say(`link down: ${error.message}`);
  });
  stack.on('linkup', ({ url }) => {
    messages.tell('linkup', { url });
    messages.say(`link up: ${url}`);
  });
  if (!json) {
    const families = v6 === undefined ? [v4] : [v4, v6];
    const own = families.map(
      ({ gateway, dns }) => `${endpointText({ address: gateway })} (DNS ${dns})`,
    );
    messages.say(
      `${own.join(' and ')} on ${pid === undefined ? links.join(', ') : `the network of process ${pid}`}`,
    );
  }
  const either = AbortSignal.any([end.signal, gone.signal]);
  if (!either.aborted)
    await new Promise((resolve) => either.addEventListener('abort', resolve, { once: true }));
  return exitCode.ok;
}
