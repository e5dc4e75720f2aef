// SPDX-License-Identifier: MIT
//
// node --import vpollnet/register app.js: the whole program is on the stack that VPOLLNET describes. Node's own
// modules are changed in place, before any of the program runs, so that require() and import see the same, and
// what Node itself has on top of them (http, fetch) too. docs/node.md tells the use.

import { getEnvironmentData, isMainThread, setEnvironmentData } from 'node:worker_threads';
import { socketLoop } from '../node/socket-loop.js';
import { Stack } from '../stack.js';
import { replaceNodeModules } from './replace.js';
import { inWords, parseStackLine, StackLineError } from './stack-line.js';

/** Under this name workers find the stack of the main thread: { key, dns }. */
const environmentName = 'vpollnet';

/** How long the end of the process waits for what its connections have still to send, in ms. */
const linger = 2000;
const lingerStep = 10;

function fail(message: string): never {
  process.stderr.write(`vpollnet: ${message}\n`);
  process.exit(2);
}

async function openStack(): Promise<Stack> {
  const line = process.env.VPOLLNET;
  if (!line) {
    fail(
      "VPOLLNET is not set; it describes the stack: VPOLLNET='--link tap://tap0 --address 10.0.0.2/24'",
    );
  }
  try {
    const options = parseStackLine(line);
    const stack = await Stack.open(options);
    setEnvironmentData(environmentName, { key: stack.share(), dns: options.dns ?? {} });
    return stack;
  } catch (error) {
    const where = error instanceof StackLineError ? 'VPOLLNET: ' : '';
    return fail(where + inWords((error as Error).message, line));
  }
}

function attachStack(): Stack {
  const { key, dns } = getEnvironmentData(environmentName) as unknown as {
    key: string;
    dns: object;
  };
  const stack = Stack.attach(key);
  stack.dns.configure(dns);
  return stack;
}

/** Something that the peer has not got yet. */
function isUnsent({ type, state, sendQueue }: { type: string; state: string; sendQueue: number }) {
  return type === 'tcp' && (sendQueue > 0 || /^(FIN-WAIT-1|CLOSING|LAST-ACK)$/.test(state));
}

/** The kernel closes the sockets that a process leaves, and sends what is in them; a stack ends with its process. */
function lingerAtExit(stack: Stack): void {
  const pause = new Int32Array(new SharedArrayBuffer(4));
  process.prependListener('exit', () => {
    if (stack.closed) return;
    socketLoop().closeSockets();
    const end = Date.now() + linger;
    while (Date.now() < end && stack.sockets().some(isUnsent)) {
      Atomics.wait(pause, 0, 0, lingerStep);
    }
  });
}

const stack = isMainThread ? await openStack() : attachStack();
if (isMainThread) lingerAtExit(stack);
replaceNodeModules(stack);
