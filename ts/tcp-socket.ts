// SPDX-License-Identifier: MIT
//
// A stream socket: listen and accept, on top of what all sockets have.

import { constants } from 'node:os';
import { checkInteger } from './check.js';
import { Socket } from './socket.js';

const { EAGAIN, ECONNABORTED } = constants.errno;

/** A byte stream (RFC 9293). */
export class TcpSocket extends Socket {
  override readonly type = 'tcp';

  /**
   * Takes connections from now on; POLLIN says that accept() has one. Binds to a free port if the
   * socket is not bound. Called again, it changes the backlog. Returns the socket.
   * @param backlog connections that may wait for accept()
   * @throws {NetworkError} EADDRINUSE, EINVAL (connected)
   */
  listen(backlog = 511): this {
    this.check('listen', this.native.listen(checkInteger(backlog, 'backlog', 0, 0x7fffffff)));
    return this;
  }

  /**
   * The next connection, or null if none is there: wait for POLLIN.
   * @throws {NetworkError} EINVAL if the socket does not listen, EMFILE
   */
  accept(): TcpSocket | null {
    for (;;) {
      const accepted = this.native.accept();
      if (typeof accepted !== 'number') return new TcpSocket(accepted, this.owner);
      if (accepted === -EAGAIN) return null;
      // A connection that was reset while it waited is none.
      if (accepted !== -ECONNABORTED) this.check('accept', accepted);
    }
  }
}
