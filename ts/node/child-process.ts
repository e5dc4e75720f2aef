// SPDX-License-Identifier: MIT
//
// What a child process cannot have: a socket of a stack, which is in this process only. Node's C++ takes any handle
// for one of libuv's, and `.fd` for where the bytes go, which only tells of readiness. Here Node refuses them.

import { ChildProcess } from 'node:child_process';
import dgram from 'node:dgram';
import net from 'node:net';
import { inspect } from 'node:util';
import { Socket, type SocketOwner } from '../socket.js';
import { define, methodsOf } from './classes.js';
import { DatagramHandle } from './datagram-handle.js';
import { activeHandles, type DatagramState, datagramSymbols } from './internals.js';
import { streamHandleOf } from './net.js';
import { StreamHandle } from './stream-handle.js';

/** What Node has no use for, in place of a socket of a stack: the error is Node's own. */
const refused = {
  [inspect.custom]: () => 'a socket of a stack, which this process has to read and write itself',
};

/** What can send: a ChildProcess or `process`, with a channel. */
interface Sender {
  send?: ((...args: unknown[]) => boolean) | undefined;
}

/** Node's own, whatever a program is given in its place later. */
const DatagramSocket = dgram.Socket;

function isOfStack(value: unknown): boolean {
  if (value instanceof DatagramSocket) {
    const { state } = datagramSymbols(value);
    const { handle } = (value as unknown as Record<symbol, DatagramState>)[state] as DatagramState;
    return handle instanceof DatagramHandle;
  }
  if (value instanceof net.Socket || value instanceof net.Server) {
    return streamHandleOf((value as { _handle?: object | null })._handle) !== undefined;
  }
  if (value instanceof Socket) {
    // Those of other stacks are descriptors of the system: a child may have them.
    const { owner } = value as unknown as { owner: SocketOwner };
    return owner.recordings !== undefined;
  }
  return value instanceof StreamHandle || value instanceof DatagramHandle;
}

const orRefused = (value: unknown) => (isOfStack(value) ? refused : value);

/** As child_process has it, a property of its own of each object that has a channel. */
function refuseToSend(sender: Sender): void {
  const { send } = sender;
  if (send === undefined) return;
  sender.send = function (message, handle, ...more) {
    return send.call(this, message, orRefused(handle), ...more);
  };
}

let isInstalled = false;

/** For all children of this thread that ask Node; with the first stack. */
export function refuseToChildren(): void {
  if (isInstalled) return;
  isInstalled = true;
  const base = methodsOf(ChildProcess.prototype, 'spawn');
  define(ChildProcess.prototype, {
    // Of spawn(), fork(), exec() and execFile().
    spawn(this: ChildProcess & Sender, options: { stdio?: unknown } | undefined) {
      const given = options?.stdio;
      const stdio = Array.isArray(given) && given.some(isOfStack) ? given.map(orRefused) : given;
      const result = base.spawn.call(this, stdio === given ? options : { ...options, stdio });
      refuseToSend(this);
      return result;
    },
  });
  refuseToSend(process as Sender);
  for (const one of activeHandles()) {
    if (one instanceof ChildProcess) refuseToSend(one as Sender);
  }
}
