// SPDX-License-Identifier: MIT
//
// What Node's own sockets lack and those of a stack have.

import { constants } from 'node:os';
import { NetworkError } from '../errors.js';
import type {
  OptionName,
  ReadableOptionName,
  ReadOnlySocketOptions,
  SocketOptions,
} from '../options.js';
import type { Socket } from '../socket.js';
import { define } from './classes.js';

const { EBADF } = constants.errno;

export interface StackCalls {
  /** A descriptor to wait for, as of TcpSocket; -1 when there is no socket of the stack. It is closed with the socket. */
  readonly fd: number;
  /** As of TcpSocket. @throws {NetworkError} EBADF without a socket of the stack */
  setOption<Name extends OptionName>(name: Name, value: SocketOptions[Name]): this;
  /** As of TcpSocket. @throws {NetworkError} EBADF without a socket of the stack */
  getOption<Name extends ReadableOptionName>(
    name: Name,
  ): (SocketOptions & ReadOnlySocketOptions)[Name];
}

/** @throws {NetworkError} EBADF where there is no socket of the stack */
export function openView<View extends Socket>(view: View | undefined, syscall: string): View {
  if (view !== undefined) return view;
  throw new NetworkError(syscall, EBADF, { detail: 'the socket has no connection over a stack' });
}

/** The properties of StackCalls, for a prototype. @param viewOf the stack's own socket under one of Node's, if any */
export function stackCalls(viewOf: (socket: object) => Socket | undefined): object {
  return {
    get fd() {
      return viewOf(this)?.fd ?? -1;
    },
    // Node's own: those of process.stdin, stdout and stderr have their numbers.
    set fd(value: number) {
      define(this, { fd: value });
    },
    setOption(name: OptionName, value: never) {
      openView(viewOf(this), 'setsockopt').setOption(name, value);
      return this;
    },
    getOption(name: ReadableOptionName) {
      return openView(viewOf(this), 'getsockopt').getOption(name);
    },
  };
}
