// SPDX-License-Identifier: MIT
//
// node:http2 over a stack.

import http2 from 'node:http2';
import type { NetConnectOpts } from 'node:net';
import { promisify } from 'node:util';
import { moduleOver } from './classes.js';
import { installServer, type NetStack, type StackNet } from './net.js';
import { connectOver, type StackTls } from './tls.js';

/** node:http2's interface, over a stack. */
export type StackHttp2 = typeof http2;

type Options = http2.ClientSessionOptions & { protocol?: string };
type Listener = (session: http2.ClientHttp2Session, socket: object) => void;
/** What authority may be, beside a string. */
interface Authority {
  protocol?: string;
  hostname?: string;
  host?: string;
  port?: string;
}

/** Of http2.connect()'s way without TLS: its options, with a connection over the stack. */
function withConnection(net: StackNet, given: unknown, options: Options | undefined) {
  const authority = (typeof given === 'string' ? new URL(given) : given) as Authority | undefined;
  const isPlain = (authority?.protocol || options?.protocol) === 'http:';
  if (!isPlain || typeof options?.createConnection === 'function') return options;
  const { hostname, host, port } = authority as Authority;
  const way = {
    port: port !== '' && port !== undefined ? port : 80,
    host: hostname?.replace(/^\[(.*)\]$/, '$1') || host || 'localhost',
  };
  return {
    ...options,
    createConnection: (_: unknown, more: object) =>
      net.connect({ ...way, ...more } as unknown as NetConnectOpts),
  };
}

/** `stack.http2`. */
export function createHttp2(stack: NetStack, net: StackNet, { TLSSocket }: StackTls): StackHttp2 {
  const connect = (authority: string, ...args: unknown[]) => {
    const listener = args.find((one) => typeof one === 'function') as Listener | undefined;
    const [options] = (typeof args[0] === 'function' ? [] : args) as [Options | undefined];
    const isGiven = options === undefined || (typeof options === 'object' && options !== null);
    const own = isGiven ? withConnection(net, authority, options) : options;
    const start = () => http2.connect(authority, own as http2.ClientSessionOptions, listener);
    return own?.createConnection ? start() : connectOver(TLSSocket.prototype, start);
  };
  Object.defineProperty(connect, promisify.custom, {
    value: (authority: string, options?: Options) =>
      new Promise((resolve, reject) => {
        const session = connect(authority, options, () => {
          session.removeListener('error', reject);
          resolve(session);
        });
        session.once('error', reject);
      }),
  });
  const listening = <Server extends object>(server: Server): Server => {
    installServer(server, stack);
    return server;
  };
  return moduleOver(http2, {
    connect,
    createServer: (...args: unknown[]) => listening(http2.createServer(...(args as []))),
    createSecureServer: (...args: unknown[]) =>
      listening(http2.createSecureServer(...(args as []))),
  });
}
