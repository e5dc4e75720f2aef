// SPDX-License-Identifier: MIT
//
// node:net over a stack: Node's own classes, whose sockets get handles of the stack instead of libuv's. Paths of
// Unix sockets, descriptors and handles that are given stay with the host.

import { channel } from 'node:diagnostics_channel';
import type { LookupFunction } from 'node:net';
import net from 'node:net';
import { NetworkError } from '../errors.js';
import type { Recording, SocketRecordOptions } from '../recording.js';
import type { TcpInfo } from '../tcp-info.js';
import { construct, define, inherit, type Method, methodsOf } from './classes.js';
import type { HandleStack } from './handle-stack.js';
import { normalizeArguments, ownerSymbol, reinitialize } from './internals.js';
import { openView, type StackCalls, stackCalls } from './stack-calls.js';
import { StreamHandle } from './stream-handle.js';

/** Node's own channels: lib/net.js tells them in its own connect() and listen(), and when it has accepted. */
const clientSockets = channel('net.client.socket');
const serverSockets = channel('net.server.socket');
const listens = channel('tracing:net.server.listen:asyncStart');

/** What net.Socket has on a stack, beside what it has in Node. */
export interface StackNetSocket extends net.Socket, StackCalls {
  /** What TCP knows of the connection, as of TcpSocket. @throws {NetworkError} EBADF without a connection */
  info(): TcpInfo;
  /** Records the packets of the connection, as of TcpSocket. @throws {NetworkError} EBADF without a connection */
  record(target: string | number, options?: SocketRecordOptions): Recording;
}

/** node:net's interface, over a stack. */
export type StackNet = Omit<typeof net, 'Socket' | 'Stream' | 'connect' | 'createConnection'> & {
  Socket: SocketConstructor;
  Stream: SocketConstructor;
  connect: Connect;
  createConnection: Connect;
};

interface SocketConstructor {
  new (options?: net.SocketConstructorOpts): StackNetSocket;
  (options?: net.SocketConstructorOpts): StackNetSocket;
  prototype: StackNetSocket;
}

interface Connect {
  (options: net.NetConnectOpts, connected?: () => void): StackNetSocket;
  (port: number, host?: string, connected?: () => void): StackNetSocket;
  (path: string, connected?: () => void): StackNetSocket;
}

/** A stack, as node:net needs it. */
export interface NetStack extends HandleStack {
  lookup: LookupFunction;
  /** The class of accepted connections, where that is not Node's net.Socket. */
  Socket?: SocketConstructor;
}

interface Options extends Record<string, unknown> {
  port?: unknown;
  host?: unknown;
  path?: unknown;
  lookup?: unknown;
}

/** What lib/net.js keeps on its objects without documenting it. */
interface NetSocket extends net.Socket {
  _handle: object | null;
  /** That accepted it. */
  server?: NetServer | null;
  _parent?: { connecting: boolean } | null;
  _reset(): void;
}

interface NetServer extends net.Server {
  _handle: object | null;
  _listeningId: number;
  _listen2(address: null, port: -1, addressType: -1, backlog: unknown): void;
  _connections: number;
  allowHalfOpen: boolean;
  pauseOnConnect: boolean;
  noDelay: boolean;
  keepAlive: boolean;
  /** Seconds. */
  keepAliveInitialDelay: number;
  highWaterMark: number;
  /** Node 22 and later. */
  blockList?: net.BlockList;
}

/** The handle of the stack that a handle is or, as TLS has it, stands on. */
export function streamHandleOf(handle: object | null | undefined): StreamHandle | undefined {
  if (handle instanceof StreamHandle) return handle;
  const parent = (handle as { _parent?: unknown } | null | undefined)?._parent;
  return parent instanceof StreamHandle ? parent : undefined;
}

/** A new handle, as that of `socket`. @throws {NetworkError} EMFILE, as socket(2) */
export function openHandle(stack: HandleStack, socket: object): StreamHandle {
  const handle = StreamHandle.open(stack);
  if (typeof handle === 'number') throw new NetworkError('socket', -handle);
  (handle as unknown as Record<symbol, object>)[ownerSymbol] = socket;
  return handle;
}

/** The handle's socket with the stack's own calls. */
const viewOf = (socket: object) => streamHandleOf((socket as NetSocket)._handle)?.view;
const isOfHost = (socket: object) => (socket as NetSocket)._handle != null && !viewOf(socket);

/** Has sockets of `prototype`, which is net.Socket's or inherits from it, connect over the stack. */
export function installSocket(prototype: object, stack: NetStack): void {
  const base = methodsOf(net.Socket.prototype, 'connect', 'resetAndDestroy');
  const setHandle = (prototype as Record<symbol, Method>)[reinitialize] as Method;
  // What cannot be opened is told by lib/net.js, as what its connect() came to.
  const renew = (socket: NetSocket) => {
    const handle = StreamHandle.open(stack);
    setHandle.call(socket, typeof handle === 'number' ? failing(handle) : handle);
  };
  define(prototype, {
    connect(this: NetSocket, ...args: unknown[]) {
      const given = args[0] as unknown[] & { [key: symbol]: boolean };
      // lib/net.js and its users may have normalized them already.
      const isNormalized = Array.isArray(given) && Object.getOwnPropertySymbols(given).length > 0;
      const [options, connected] = isNormalized
        ? (given as unknown as [Options, unknown])
        : (normalizeArguments(args) as [Options, unknown]);
      const toHost = options.path != null || options.port === undefined;
      if (toHost || this._parent?.connecting) return base.connect.apply(this, args);
      if (this._handle == null || this.destroyed) renew(this);
      const own = options.lookup == null ? { ...options, lookup: stack.lookup } : options;
      return base.connect.call(this, normalizeArguments([own, connected]));
    },
    // The next attempt of autoSelectFamily: lib/net.js has made a handle of libuv for it.
    [reinitialize](this: NetSocket, handle: { close(): void }) {
      if (streamHandleOf(handle) !== undefined || streamHandleOf(this._handle) === undefined) {
        setHandle.call(this, handle);
        return;
      }
      handle.close();
      renew(this);
    },
    // lib/net.js insists on a TCPWrap.
    resetAndDestroy(this: NetSocket) {
      if (!(this._handle instanceof StreamHandle)) return base.resetAndDestroy.call(this);
      if (this.connecting) this.once('connect', () => this._reset());
      else this._reset();
      return this;
    },
    info() {
      return openView(viewOf(this), 'getsockopt').info();
    },
    record(target: string | number, options?: SocketRecordOptions) {
      return openView(viewOf(this), 'record').record(target, options);
    },
  });
  define(prototype, stackCalls(viewOf, isOfHost));
}

/** A handle that is bound, and to what; or one that fails with what went wrong, for lib/net.js to tell. */
function boundHandle(
  stack: HandleStack,
  address: string | null,
  port: number,
  addressType: number,
  flags: number,
): { handle: object; address: string | null; addressType: number } {
  const bind = (host: string, ipv6: boolean) => {
    const handle = StreamHandle.open(stack);
    if (typeof handle === 'number') return handle;
    const error = ipv6 ? handle.bind6(host, port, flags) : handle.bind(host, port);
    if (error === 0) return handle;
    handle.close();
    return error;
  };
  const result = (handle: StreamHandle | number, host: string, type: number) => ({
    handle: typeof handle === 'number' ? failing(handle) : handle,
    address: host,
    addressType: type,
  });
  if (address) return result(bind(address, addressType === 6), address, addressType);
  // As lib/net.js: all addresses of both families, if there is IPv6.
  const both = bind('::', true);
  if (typeof both !== 'number') return result(both, '::', 6);
  return result(bind('0.0.0.0', false), '0.0.0.0', 4);
}

/** A handle that nothing can be done with: each call says why. @param error negative */
function failing(error: number): object {
  const fail = () => error;
  return {
    ...{ listen: fail, bind: fail, bind6: fail, connect: fail, connect6: fail, getsockname: fail },
    ...{ ref() {}, unref() {}, readStart: () => 0, bytesRead: 0, bytesWritten: 0 },
    close(closed?: () => void) {
      if (closed !== undefined) setImmediate(closed);
    },
  };
}

/**
 * Has connections that `handle` accepts become sockets of `Socket` from the start. A net.Socket that is given another
 * prototype afterwards gets a hidden class of its own with the next property, and each access to it is slow.
 */
function acceptAs(Socket: SocketConstructor, handle: StreamHandle): void {
  const nodes = handle.onconnection;
  handle.onconnection = function (this: StreamHandle, status, client) {
    const server = (this as unknown as Record<symbol, NetServer>)[ownerSymbol] as NetServer;
    const mayRefuse = server._connections >= server.maxConnections || server.blockList;
    // What lib/net.js refuses, or cannot have, it tells of itself.
    if (client === undefined || mayRefuse) return nodes?.call(this, status, client);
    const { noDelay, keepAlive, keepAliveInitialDelay } = server;
    const options = {
      handle: client,
      allowHalfOpen: server.allowHalfOpen,
      pauseOnCreate: server.pauseOnConnect,
      readable: true,
      writable: true,
      readableHighWaterMark: server.highWaterMark,
      writableHighWaterMark: server.highWaterMark,
      noDelay,
      keepAlive,
      keepAliveInitialDelay: keepAliveInitialDelay * 1000,
    };
    const socket = new Socket(options) as StackNetSocket & Record<'server' | '_server', NetServer>;
    if (noDelay) client.setNoDelay(true);
    if (keepAlive) client.setKeepAlive(true, keepAliveInitialDelay);
    server._connections++;
    socket.server = socket._server = server;
    server.emit('connection', socket);
    if (serverSockets.hasSubscribers) serverSockets.publish({ socket });
  };
}

function isPort(value: unknown): boolean {
  if (typeof value !== 'number' && (typeof value !== 'string' || value.trim() === '')) return false;
  return Number(value) >>> 0 === Number(value) && Number(value) <= 65535;
}

/** Has servers of `prototype`, which is net.Server's or inherits from it, listen on the stack. */
export function installServer(prototype: object, stack: NetStack): void {
  const base = methodsOf(prototype, 'listen', '_listen2', 'emit');
  const { Socket } = stack;
  if (Socket !== undefined) {
    define(prototype, {
      // What lib/net.js has made of a connection itself. (Beside that, a program may give the server a socket of the
      // host, which stays the host's.)
      emit(this: NetServer, event: unknown, ...args: unknown[]) {
        const socket = event === 'connection' ? (args[0] as NetSocket | undefined) : undefined;
        const isNodes = socket != null && Object.getPrototypeOf(socket) === net.Socket.prototype;
        if (isNodes && (socket.server === this || socket._handle instanceof StreamHandle)) {
          Object.setPrototypeOf(socket, Socket.prototype);
        }
        return base.emit.call(this, event, ...args);
      },
    });
  }
  define(prototype, {
    listen(this: NetServer, ...args: unknown[]) {
      const [given, listening] = normalizeArguments(args) as [Options, (() => void) | null];
      const withoutPort = args.length === 0 || typeof args[0] === 'function';
      const backlog = given.backlog || Number(args[1]) || Number(args[2]) || undefined;
      // Node takes such a thing for a descriptor of the host's, as it has `.fd`.
      const shared = given._handle || given.handle || given;
      if (shared instanceof StreamHandle && !this._handle) {
        if (listens.hasSubscribers) listens.publish({ server: this, options: given });
        if (listening !== null) this.once('listening', listening);
        this._listeningId++;
        this._handle = shared;
        this._listen2(null, -1, -1, backlog);
        return this;
      }
      const { host, path } = given;
      const port = withoutPort || ('port' in given && given.port == null) ? 0 : given.port;
      const ours = given._handle == null && given.handle == null && typeof given.fd !== 'number';
      if (!ours || this._handle || !isPort(port) || (path != null && port === undefined)) {
        return base.listen.apply(this, args);
      }
      // A stack is of one process: none of a cluster's listens for it.
      const options = { ...given, port, backlog, exclusive: true };
      const start = (more: object) =>
        base.listen.apply(this, [{ ...options, ...more }, ...(listening ? [listening] : [])]);
      if (typeof host !== 'string' || host === '' || net.isIP(host) !== 0) return start({});
      const id = ++this._listeningId;
      stack.lookup(host, {}, (error, address) => {
        if (id !== this._listeningId) return;
        if (error) this.emit('error', error);
        else start({ host: address });
      });
      return this;
    },
    _listen2(
      this: NetServer,
      address: string | null,
      port: number,
      addressType: number,
      backlog: unknown,
      fd: unknown,
      flags = 0,
    ) {
      let shown = { address, addressType };
      if (!this._handle && typeof fd !== 'number' && addressType !== -1) {
        const bound = boundHandle(stack, address, port, addressType, flags);
        this._handle = bound.handle;
        shown = bound;
      }
      base._listen2.call(this, shown.address, port, shown.addressType, backlog, fd, flags);
      if (Socket !== undefined && this._handle instanceof StreamHandle) {
        acceptAs(Socket, this._handle);
      }
    },
  });
}

/** `stack.net`, and the stack whose accepted connections are of its class. */
export function createNet(stack: NetStack): [StackNet, NetStack] {
  // Functions with these names, so that stack traces and console.log() show Node's.
  const Socket = inherit(function Socket(this: unknown, ...args: unknown[]) {
    return construct(Socket, net.Socket, this, args);
  }, net.Socket);
  const Server = inherit(function Server(this: unknown, ...args: unknown[]) {
    return construct(Server, net.Server, this, args);
  }, net.Server);
  const own: NetStack = { ...stack, Socket: Socket as unknown as SocketConstructor };
  installSocket(Socket.prototype, own);
  installServer(Server.prototype, own);
  const connect = (...args: unknown[]) => {
    const normalized = normalizeArguments(args);
    const options = normalized[0] as net.SocketConstructorOpts & { timeout?: number };
    const socket = new Socket(options);
    if (clientSockets.hasSubscribers) clientSockets.publish({ socket });
    if (options.timeout) socket.setTimeout(options.timeout);
    return socket.connect(normalized as never);
  };
  const module = {
    ...net,
    Socket,
    Stream: Socket,
    Server,
    connect,
    createConnection: connect,
    createServer: (...args: unknown[]) =>
      new (Server as new (...args: unknown[]) => net.Server)(...args),
  } as unknown as StackNet;
  return [module, own];
}
