// SPDX-License-Identifier: MIT
//
// What Node's own lib/net.js, lib/_tls_wrap.js and lib/dgram.js have with the handles that they run over: the
// objects of C++ that stand for a socket of libuv. Here, and in the handles beside, is all that knows of it.
// docs/node.md says what of it is Node's public interface, and with which versions it is tested.

import * as net from 'node:net';

/** A request of Node's: its oncomplete() is called when it is done. */
export interface Request {
  oncomplete?: ((status: number, ...more: unknown[]) => void) | undefined;
  /** Node 24.22 and later, of a write: how it ended before there was an oncomplete(). */
  writeStatus?: number | null;
}

/** The class behind `JSStreamSocket`: a stream that JavaScript implements and C++ (TLS) can read and write. */
export interface JsStreamHandle {
  onread: (arrayBuffer?: ArrayBufferLike) => unknown;
  /** For a reader in C++: bytes came, or the end. */
  readBuffer(bytes: Uint8Array): void;
  emitEOF(): void;
  /** A request that came from C++ by onwrite() or onshutdown() is done. */
  finishWrite(request: Request, status: number): void;
  finishShutdown(request: Request, status: number): void;
}

/** The class behind a TLSSocket: what reads the handle that it is on. */
export interface TlsWrap {
  onread: (arrayBuffer?: ArrayBufferLike) => unknown;
  /** For bytes that JavaScript has read. */
  receive(bytes: Uint8Array): void;
}

interface Bindings {
  js_stream: { JSStream: new () => JsStreamHandle };
  stream_wrap: {
    streamBaseState: Int32Array;
    kReadBytesOrError: number;
    kArrayBufferOffset: number;
    kBytesWritten: number;
    kLastWriteWasAsync: number;
    /** Node 24.22 and later. */
    kLastWriteErr?: number;
  };
}

function binding<Name extends keyof Bindings>(name: Name): Bindings[Name] {
  try {
    return (process as unknown as { binding(name: string): Bindings[Name] }).binding(name);
  } catch (cause) {
    throw new Error(
      `vpollnet: this Node (${process.version}) does not let packages use its handles (process.binding('${name}')): stack.net and what stands on it cannot be had`,
      { cause },
    );
  }
}

const wrap = binding('stream_wrap');
export const { JSStream } = binding('js_stream');

/** Where the last call of a handle's method, or of onread(), has its numbers: indexes below. */
export const streamState: Int32Array = wrap.streamBaseState;
export const kReadBytesOrError: number = wrap.kReadBytesOrError;
export const kArrayBufferOffset: number = wrap.kArrayBufferOffset;
export const kBytesWritten: number = wrap.kBytesWritten;
export const kLastWriteWasAsync: number = wrap.kLastWriteWasAsync;
export const kLastWriteError: number | undefined = wrap.kLastWriteErr;

/** UV_EOF: what a handle "reads" at the end of its stream. */
export const endOfStream = -4095;

function symbolOf(object: object, description: string): symbol {
  const found = Object.getOwnPropertySymbols(object).find((one) => one.description === description);
  if (found === undefined) {
    throw new Error(
      `vpollnet: Node ${process.version} has no ${description} where 20 to 24 have it`,
    );
  }
  return found;
}

/** handle[ownerSymbol] is the net.Socket, net.Server or dgram.Socket that runs over the handle. */
export const ownerSymbol: symbol = (() => {
  const handle = new JSStream();
  new net.Socket({ handle } as net.SocketConstructorOpts);
  return symbolOf(handle, 'owner_symbol');
})();

/** socket[reinitialize](handle) gives it another handle, closing the one that it has. */
export const reinitialize: symbol = symbolOf(net.Socket.prototype, 'kReinitializeHandle');

/** What lib/dgram.js keeps of a socket. */
export interface DatagramState {
  handle: DatagramStateHandle | null;
  /** 0 unbound, 1 binding, 2 bound */
  bindState: number;
}

interface DatagramStateHandle {
  lookup?: unknown;
  getAsyncId(): number;
  hasRef(): boolean;
  unref(): void;
  close(): void;
  [key: symbol]: object | undefined;
}

let datagram: { state: symbol; asyncId: symbol } | undefined;

/** socket[state] is a dgram.Socket's DatagramState, socket[asyncId] what its handle has. @param socket any that there is */
export function datagramSymbols(socket: object): { state: symbol; asyncId: symbol } {
  datagram ??= {
    state: symbolOf(socket, 'state symbol'),
    asyncId: symbolOf(socket, 'async_id_symbol'),
  };
  return datagram;
}

/** What keeps the loop alive: sockets, servers, child processes. */
export const activeHandles = (): unknown[] =>
  (process as { _getActiveHandles?(): unknown[] })._getActiveHandles?.() ?? [];

/** net._normalizeArgs(): the arguments of connect() and listen() as [options, callback]. */
export const normalizeArguments = (
  net as unknown as {
    _normalizeArgs(args: unknown[]): [Record<string, unknown>, ((...args: never[]) => void) | null];
  }
)._normalizeArgs;
