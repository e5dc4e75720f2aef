// SPDX-License-Identifier: MIT
//
// A stream socket: listen and accept, on top of what all sockets have.

import { constants } from 'node:os';
import { checkInteger } from './check.js';
import type { Recording, SocketRecordOptions } from './recording.js';
import { Socket } from './socket.js';
import { type TcpInfo, toTcpInfo } from './tcp-info.js';

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
   * How the connection does: round-trip time, windows, losses and what has been sent. A snapshot, made for the call.
   * @throws {NetworkError} EOPNOTSUPP for a plug-in that has no TCP_INFO
   */
  info(): TcpInfo {
    const info = this.native.info();
    if (typeof info !== 'number') return toTcpInfo(info);
    throw this.fail('getsockopt', -info, { detail: 'TCP_INFO' });
  }

  /**
   * Records the packets of this socket, as pcapng: of its connection, from the SYN on if it is called before
   * connect(), or, of a listener, all of its port.
   * Both directions, with the ICMP errors about them; what a stack sends to itself passes no link and is not in it.
   * Ends by itself, written, when the connection is gone (after TIME-WAIT), or the listener closed; and with stop(), and the stack's close().
   * @param target a path; or an open descriptor of a file, pipe or socket, which stays the caller's
   * @throws {NetworkError} as stack.record(); EBADF for a closed socket; EOPNOTSUPP for one that is not a Stack's
   */
  record(target: string | number, options: SocketRecordOptions = {}): Recording {
    return this.startRecording(target, options);
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
