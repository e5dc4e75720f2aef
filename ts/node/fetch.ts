// SPDX-License-Identifier: MIT
//
// Node's fetch over a stack: its dispatcher, undici's Agent as Node has it inside, with connections of the stack.
// The undici package takes the same connector.

import type { Socket } from 'node:net';
import { constants } from 'node:os';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { NetworkError } from '../errors.js';
import type { StackNet } from './net.js';
import type { StackTls } from './tls.js';

/** What undici asks of a connector. */
export interface ConnectorOptions {
  hostname: string;
  host?: string | undefined;
  protocol: string;
  port: string;
  servername?: string | undefined;
  localAddress?: string | null | undefined;
  /** A connection that is there, for TLS on it: a proxy's. */
  httpSocket?: Socket | undefined;
}

export type ConnectorCallback = (
  ...result: [error: null, socket: Socket | TLSSocket] | [error: Error, socket: null]
) => void;

/** What undici's Agent takes as `connect`. */
export type Connector = (options: ConnectorOptions, callback: ConnectorCallback) => void;

/** undici's Agent. */
export interface Dispatcher {
  dispatch(options: object, handler: object): boolean;
  close(): Promise<void>;
  destroy(error?: Error | null): Promise<void>;
}

const { ECONNABORTED } = constants.errno;

/** undici's own numbers: milliseconds to connect in, and before the first probe; sessions that are kept. */
const connectTimeout = 10_000;
const keepAliveDelay = 60_000;
const keptSessions = 100;

const globalDispatcher = Symbol.for('undici.globalDispatcher.1');

/** Connects for undici as its own connector does, over the stack. */
export function createConnector(net: StackNet, tls: StackTls): Connector {
  const sessions = new Map<string, Buffer>();
  const secure = (options: ConnectorOptions): TLSSocket => {
    const { hostname, servername, localAddress, httpSocket, port } = options;
    const key = servername || hostname;
    const socket = tls.connect({
      highWaterMark: 16 * 1024,
      ALPNProtocols: ['http/1.1'],
      host: hostname,
      port: Number(port || 443),
      ...(servername ? { servername } : {}),
      ...(localAddress ? { localAddress } : {}),
      ...(httpSocket ? { socket: httpSocket } : {}),
      ...(sessions.has(key) ? { session: sessions.get(key) } : {}),
    } as ConnectionOptions);
    socket.on('session', (session) => {
      sessions.delete(key);
      sessions.set(key, session);
      if (sessions.size > keptSessions) sessions.delete(sessions.keys().next().value as string);
    });
    return socket;
  };
  const plain = ({ hostname, localAddress, port }: ConnectorOptions): Socket =>
    net.connect({
      highWaterMark: 64 * 1024,
      host: hostname,
      port: Number(port || 80),
      ...(localAddress ? { localAddress } : {}),
    } as never);
  return (options, callback) => {
    const isSecure = options.protocol === 'https:';
    const socket = isSecure ? secure(options) : plain(options);
    const timer = setTimeout(() => {
      socket.destroy(connectTimeoutError(options));
    }, connectTimeout);
    let isDone = false;
    socket
      .setKeepAlive(true, keepAliveDelay)
      .setNoDelay(true)
      .once(isSecure ? 'secureConnect' : 'connect', () => {
        clearTimeout(timer);
        isDone = true;
        callback(null, socket);
      })
      .on('error', (error) => {
        clearTimeout(timer);
        if (!isDone) callback(error, null);
        isDone = true;
      })
      // A stack that is closed closes its sockets without an error.
      .once('close', () => {
        clearTimeout(timer);
        if (!isDone)
          callback(new NetworkError('connect', ECONNABORTED, { address: options.hostname }), null);
        isDone = true;
      });
    return socket;
  };
}

/** As undici's error of that name, which it does not hand out. */
function connectTimeoutError({ hostname, port }: ConnectorOptions): Error {
  const text = `Connect Timeout Error (attempted address: ${hostname}:${port}, timeout: ${connectTimeout}ms)`;
  return Object.assign(new Error(text), {
    name: 'ConnectTimeoutError',
    code: 'UND_ERR_CONNECT_TIMEOUT',
  });
}

/** The Agent of the undici that Node has inside, which is loaded at the first use of fetch's classes. */
function builtInAgent(): new (options: object) => Dispatcher {
  const all = globalThis as unknown as Record<symbol, Dispatcher | undefined>;
  const before = all[globalDispatcher];
  // It sets its own Agent where none is: what a program has set meanwhile may be another class.
  if (before !== undefined) all[globalDispatcher] = undefined;
  void globalThis.Request;
  const own = all[globalDispatcher];
  if (before !== undefined) all[globalDispatcher] = before;
  const agent = own ?? before;
  if (agent?.constructor.name !== 'Agent') {
    throw new Error(
      "vpollnet: another dispatcher has replaced Node's own: use stack.fetch once before setGlobalDispatcher()",
    );
  }
  return agent.constructor as new (
    options: object,
  ) => Dispatcher;
}

/** `stack.dispatcher`. */
export function createDispatcher(connect: Connector): Dispatcher {
  return new (builtInAgent())({ connect });
}

/** `stack.fetch`. */
export function createFetch(dispatcher: () => Dispatcher): typeof fetch {
  return (input, init) => fetch(input, { dispatcher: dispatcher(), ...init } as RequestInit);
}
