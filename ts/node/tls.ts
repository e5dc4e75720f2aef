// SPDX-License-Identifier: MIT
//
// node:tls over a stack. Node's own TLSSocket stands on a handle of the stack where it has a TCPWrap otherwise, so
// that it connects, fails and ends as it does over the kernel.

import tls from 'node:tls';
import { construct, define, inherit, type Method, methodsOf, moduleOver } from './classes.js';
import type { TlsWrap } from './internals.js';
import { installServer, installSocket, type NetStack, openHandle } from './net.js';
import { StreamHandle } from './stream-handle.js';

/** node:tls's interface, over a stack. */
export type StackTls = typeof tls;

/** What lib/_tls_wrap.js keeps on its sockets without documenting it. */
interface WrappingSocket {
  _tlsOptions: { pipe?: boolean };
  _wrapHandle(wrap: object | null, handle: object | null, ...more: unknown[]): TlsWrap;
}

/** Of what the next TLSSocket without a socket of its own is to be: set while a function of Node's makes it. */
let opening: object | undefined;
let isHooked = false;

/** Two lines in Node's TLSSocket: where connectOver() takes hold, and where a handle learns what is on it. */
export function hookTls(): void {
  if (isHooked) return;
  isHooked = true;
  const base = methodsOf(tls.TLSSocket.prototype, '_wrapHandle');
  define(tls.TLSSocket.prototype, {
    _wrapHandle(
      this: WrappingSocket,
      wrap: object | null,
      handle: object | null,
      ...more: unknown[]
    ) {
      const prototype = opening;
      opening = undefined;
      if (prototype !== undefined && !handle && !this._tlsOptions.pipe) {
        Object.setPrototypeOf(this, prototype);
        return this._wrapHandle(wrap, handle, ...more);
      }
      const result = base._wrapHandle.call(this, wrap, handle, ...more) as TlsWrap;
      const own = handle instanceof StreamHandle ? handle.wrappedBy(result) : undefined;
      if (own !== undefined && Object.getPrototypeOf(this) === tls.TLSSocket.prototype) {
        Object.setPrototypeOf(this, own);
      }
      return result;
    },
  });
}

/** Calls a function of Node's that makes one TLSSocket and connects it: with a socket of `prototype` instead. */
export function connectOver<Result>(prototype: object, call: () => Result): Result {
  opening = prototype;
  try {
    return call();
  } finally {
    opening = undefined;
  }
}

/** Has sockets of `prototype`, which is tls.TLSSocket's or inherits from it, connect over the stack. */
export function installTlsSocket(prototype: object, stack: NetStack): void {
  hookTls();
  const base = methodsOf(prototype, '_wrapHandle') as { _wrapHandle: Method };
  installSocket(prototype, stack);
  define(prototype, {
    _wrapHandle(
      this: WrappingSocket,
      wrap: object | null,
      handle: object | null,
      ...more: unknown[]
    ) {
      const own = handle || this._tlsOptions.pipe ? handle : openHandle(stack, this);
      return base._wrapHandle.call(this, wrap, own, ...more);
    },
  });
}

/** `stack.tls`. */
export function createTls(stack: NetStack): StackTls {
  const TLSSocket = inherit(function TLSSocket(this: unknown, ...args: unknown[]) {
    return construct(TLSSocket, tls.TLSSocket, this, args);
  }, tls.TLSSocket);
  const Server = inherit(function Server(this: unknown, ...args: unknown[]) {
    return construct(Server, tls.Server, this, args);
  }, tls.Server);
  installTlsSocket(TLSSocket.prototype, stack);
  // What a server accepts becomes Node's TLSSocket in lib/_tls_wrap.js.
  stack.secure = TLSSocket.prototype;
  installServer(Server.prototype, stack);
  return moduleOver(tls, {
    TLSSocket,
    Server,
    connect: (...args: unknown[]) =>
      connectOver(TLSSocket.prototype, () => tls.connect(...(args as [tls.ConnectionOptions]))),
    createServer: (...args: unknown[]) => new Server(...(args as [tls.TlsOptions])),
  });
}
