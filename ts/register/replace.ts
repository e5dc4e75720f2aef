// SPDX-License-Identifier: MIT
//
// Node's network modules, for the whole thread, over a stack.

import dgram from 'node:dgram';
import dns from 'node:dns';
import { syncBuiltinESMExports } from 'node:module';
import net from 'node:net';
import tls from 'node:tls';
import workerThreads, { type WorkerOptions } from 'node:worker_threads';
import { keepHostDns } from '../dns/host-dns.js';
import { type NodeModules, nodeModules } from '../node/modules.js';
import { installServer, installSocket } from '../node/net.js';
import { installTlsSocket } from '../node/tls.js';
import type { Stack } from '../stack.js';

/** Changes net, tls, dgram and dns in place; http, https, http2 and fetch stand on these. There is no way back. */
export function replaceNodeModules(stack: Stack): void {
  const { over } = nodeModules.get(stack) as NodeModules;
  const { Socket, createSocket } = stack.dgram;
  Object.assign(dgram, { Socket, createSocket });
  installSocket(net.Socket.prototype, over);
  installServer(net.Server.prototype, over);
  installTlsSocket(tls.TLSSocket.prototype, over);
  keepHostDns();
  const { promises, ...functions } = stack.dns;
  Object.assign(dns.promises, promises);
  Object.assign(dns, functions);
  replaceWorker();
  syncBuiltinESMExports();
}

const register = new URL('./register.js', import.meta.url).href;

/**
 * Workers load what --import names, but for those with an execArgv of their own, and those whose program is a
 * string. Loading it twice does nothing.
 */
function replaceWorker(): void {
  workerThreads.Worker = class Worker extends workerThreads.Worker {
    constructor(program: string | URL, options?: WorkerOptions) {
      const own = Array.isArray(options?.execArgv)
        ? { ...options, execArgv: ['--import', register, ...options.execArgv] }
        : options;
      const isText = options?.eval === true && typeof program === 'string';
      const words = options?.execArgv ?? process.execArgv;
      super(isText ? evaluated(program, words) : program, own);
    }
  };
}

/** A program in a string that runs `program` as Node does with such a one, when register has been loaded. */
function evaluated(program: string, words: readonly string[]): string {
  const file = JSON.stringify(register);
  if (words.includes('--input-type=module')) return `import ${file}; ${program}`;
  // (Not by node:vm: there import() needs a loader, which is experimental.)
  const text = JSON.stringify(`${program}\n//# sourceURL=[worker eval]`);
  return `import(${file}).then(() => { (0, eval)(${text}); })`;
}
