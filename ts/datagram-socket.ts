// SPDX-License-Identifier: MIT
//
// Datagram sockets: UDP, and ICMP echo, which share all calls.

import { constants } from 'node:os';
import { checkBytes, checkRange, toBytes } from './check.js';
import { checkFlags, Socket, type SocketAddress, toSocketAddress, WOULD_BLOCK } from './socket.js';

const { EAGAIN } = constants.errno;

/** What recvFrom() gives. */
export interface ReceivedFrom extends SocketAddress {
  /** Bytes in the buffer. */
  bytes: number;
  /** Bytes of the whole datagram: more than `bytes` if the buffer was too small. */
  size: number;
}

abstract class DatagramSocket extends Socket {
  /**
   * Sends one datagram.
   * @param data the payload; a string is sent as UTF-8
   * @param to where to
   * @param flags MSG_MORE
   * @returns its length in bytes, or WOULD_BLOCK: wait for POLLOUT
   * @throws {NetworkError} EMSGSIZE, ENETUNREACH, EACCES (broadcast), or an error that ICMP brought
   */
  sendTo(data: Uint8Array | string, to: { host: string; port?: number }, flags = 0): number {
    const bytes = toBytes(data, 'data');
    const target = this.target(to, 'to', { host: true, port: this.needsPort });
    if (flags !== 0) checkFlags('send', flags);
    const sent = this.native.sendTo(bytes, 0, bytes.length, flags, ...target);
    if (sent >= 0) return sent;
    if (sent === -EAGAIN) return WOULD_BLOCK;
    throw this.fail('sendTo', -sent, { target });
  }

  /**
   * Reads the next datagram into `buffer` and says from whom it is.
   * @param flags MSG_PEEK
   * @returns null if there is none: wait for POLLIN
   * @throws {NetworkError} an error that ICMP brought, such as ECONNREFUSED
   */
  recvFrom(buffer: Uint8Array, offset = 0, length?: number, flags = 0): ReceivedFrom | null {
    checkBytes(buffer, 'buffer');
    const count = length ?? buffer.length - offset;
    checkRange(offset, count, buffer.length);
    if (flags !== 0) checkFlags('recv', flags);
    const got = this.native.recvFrom(buffer, offset, count, flags);
    if (typeof got === 'number') {
      if (got === -EAGAIN) return null;
      throw this.fail('recvFrom', -got);
    }
    const [bytes, size, from] = got;
    return { bytes, size, ...toSocketAddress(from) };
  }
}

/** Datagrams (RFC 768). */
export class UdpSocket extends DatagramSocket {
  override readonly type = 'udp';
}

/**
 * ICMP and ICMPv6 echo. What is sent goes out as an echo request's data, and the data of the replies to
 * it comes back. The port is the echo identifier.
 */
export class IcmpSocket extends DatagramSocket {
  override readonly type = 'icmp';

  protected override get needsPort(): boolean {
    return false;
  }
}
