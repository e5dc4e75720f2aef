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
  /**
   * A descriptor to wait for, as of TcpSocket; -1 when there is no socket of the stack. It is closed with the socket.
   * (A net.Socket of the host has none, as in Node.)
   */
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

/**
 * The properties of StackCalls, for a prototype.
 * @param viewOf the stack's own socket under one of Node's, if any
 * @param isOfHost whether it is a socket of the host, which Node knows by its having no `.fd`
 */
export function stackCalls(
  viewOf: (socket: object) => Socket | undefined,
  isOfHost: (socket: object) => boolean = () => false,
): object {
  return {
    get fd(): number | undefined {
      const view = viewOf(this);
      if (view !== undefined) return view.fd;
      return isOfHost(this) ? undefined : -1;
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
