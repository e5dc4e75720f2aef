// SPDX-License-Identifier: MIT
//
// node:dgram over a stack: Node's own class, whose sockets get a handle of the stack in place of libuv's.
// Descriptors and handles that are given stay with the host.

import dgram from 'node:dgram';
import type { LookupFunction } from 'node:net';
import { NetworkError } from '../errors.js';
import { define, inherit, type Method, moduleOver } from './classes.js';
import { DatagramHandle } from './datagram-handle.js';
import type { HandleStack } from './handle-stack.js';
import { type DatagramState, datagramSymbols, ownerSymbol } from './internals.js';
import { type StackCalls, stackCalls } from './stack-calls.js';

/** What dgram.Socket has on a stack, beside what it has in Node. */
export interface StackDatagramSocket extends dgram.Socket, StackCalls {}

/** Of messages. */
type Listener = NonNullable<Parameters<typeof dgram.createSocket>[1]>;

/** node:dgram's interface, over a stack. */
export type StackDgram = Omit<typeof dgram, 'Socket' | 'createSocket'> & {
  Socket: {
    new (type: dgram.SocketType | dgram.SocketOptions, listener?: Listener): StackDatagramSocket;
    prototype: StackDatagramSocket;
  };
  createSocket(
    type: dgram.SocketType | dgram.SocketOptions,
    listener?: Listener,
  ): StackDatagramSocket;
};

/** A stack, as node:dgram needs it. */
export interface DatagramStack extends HandleStack {
  lookup: LookupFunction;
}

/** A dgram.Socket with what lib/dgram.js keeps on it. */
interface NodeSocket extends dgram.Socket {
  type: string;
  [key: symbol]: unknown;
}

const BaseSocket = dgram.Socket as unknown as new (
  options: object,
  listener: unknown,
) => NodeSocket;

const unbound = 0;

const stateOf = (socket: NodeSocket) =>
  socket[datagramSymbols(socket).state as never] as DatagramState;

/** Gives the socket another handle, and closes the one that it has. */
function setHandle(socket: NodeSocket, handle: DatagramState['handle'] & object): void {
  const state = stateOf(socket);
  const old = state.handle;
  if (old !== null) {
    handle.lookup = old.lookup;
    if (!old.hasRef()) handle.unref();
    old.close();
  }
  handle[ownerSymbol] = socket;
  state.handle = handle;
  socket[datagramSymbols(socket).asyncId as never] = handle.getAsyncId() as never;
}

/** Back to a handle of libuv's. */
function leaveStack(socket: NodeSocket): void {
  const other = new BaseSocket({ type: socket.type, lookup() {} }, undefined);
  const state = stateOf(other);
  setHandle(socket, state.handle as DatagramState['handle'] & object);
  state.handle = null;
}

/** What bind() may be given in place of a port: something of the host's. */
function isOfHost(given: { recvStart?: unknown; fd?: unknown }): boolean {
  return (
    typeof given.recvStart === 'function' || (Number.isInteger(given.fd) && Number(given.fd) > 0)
  );
}

/**
 * `stack.dgram`. Its Socket and createSocket are what a program gets that uses them in place of node:dgram's: on
 * the module's object itself, for a whole program (which other modules import as `dgram`).
 */
export function createDgram(stack: DatagramStack): StackDgram {
  const lookup = (host: string, family: 4 | 6, callback: Parameters<LookupFunction>[2]) =>
    stack.lookup(host, { family }, callback);

  // A function, as Node's: subclasses of before ES6 call it on their own object.
  const Socket = inherit(function Socket(this: NodeSocket, given: unknown, listener: unknown) {
    const options: { type?: unknown; lookup?: unknown } =
      typeof given === 'object' && given !== null ? given : { type: given };
    // On the options that were given, as these may have properties that are not their own.
    const own = options.lookup === undefined ? { lookup: { value: lookup } } : {};
    (BaseSocket as unknown as Method).call(this, Object.create(options, own), listener);
    const state = stateOf(this);
    // A signal may have closed it.
    if (state.handle === null) return;
    const handle = DatagramHandle.open(stack, this.type === 'udp6');
    if (typeof handle !== 'number') {
      setHandle(this, handle);
      return;
    }
    this.close();
    throw new NetworkError('socket', -handle);
  }, BaseSocket);

  define(Socket.prototype, {
    bind(this: NodeSocket, ...args: unknown[]): unknown {
      const base = BaseSocket.prototype.bind as Method;
      const [first, second] = args;
      const given = typeof first === 'object' && first !== null ? first : undefined;
      const state = stateOf(this);
      if (given !== undefined && isOfHost(given)) {
        const isOurs = state.handle instanceof DatagramHandle && state.bindState === unbound;
        if (isOurs) leaveStack(this);
        return base.apply(this, args);
      }
      const address = typeof second === 'function' ? '' : second;
      const callback = args.at(-1);
      // A stack is of one process: none of a cluster's binds for it.
      const options = { ...(given ?? { port: first, address }), exclusive: true };
      const more = typeof callback === 'function' ? [callback] : [];
      return base.call(this, options, ...more);
    },
  });

  const viewOf = (socket: object) => {
    const { handle } = stateOf(socket as NodeSocket);
    return handle instanceof DatagramHandle ? handle.view : undefined;
  };
  define(Socket.prototype, stackCalls(viewOf));
  const createSocket = (type: object, listener: unknown) => new Socket(type, listener);
  return moduleOver<object>(dgram, { Socket, createSocket }) as StackDgram;
}
