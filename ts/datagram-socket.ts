// SPDX-License-Identifier: MIT
//
// Datagram sockets: UDP, and ICMP echo, which share all calls.

import { constants } from 'node:os';
import { checkAddress, checkBytes, checkRange, toBytes } from './check.js';
import { invalidType, invalidValue } from './errors.js';
import type { Recording, SocketRecordOptions } from './recording.js';
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

  /**
   * Takes what is sent to a multicast group, as IP_ADD_MEMBERSHIP. Returns the socket. Bind it to the group's
   * port, and to no address or to the group's. Ends with dropMembership() and close().
   * @param link the interface's name or number; if left out, the one that packets to the group leave by
   * @throws {NetworkError} EADDRINUSE: a member already; EINVAL: no multicast address; ENODEV; ENOBUFS: more
   *   than 64 groups
   */
  addMembership(group: string, link?: string | number): this {
    return this.#setMembership('addMembership', group, link, true);
  }

  /**
   * Records the packets of this socket, as pcapng: those of its port, and once it is connected those
   * between it and its peer.
   * Both directions, with the ICMP errors about them; what a stack sends to itself passes no link and is not in it.
   * Ends by itself, written, when the socket is closed; and with stop(), and the stack's close().
   * @param target a path; or an open descriptor of a file, pipe or socket, which stays the caller's
   * @throws {NetworkError} as stack.record(); EBADF for a closed socket; EOPNOTSUPP for one that is not a Stack's
   */
  record(target: string | number, options: SocketRecordOptions = {}): Recording {
    return this.startRecording(target, options);
  }

  /** @throws {NetworkError} EADDRNOTAVAIL: no member */
  dropMembership(group: string, link?: string | number): this {
    return this.#setMembership('dropMembership', group, link, false);
  }

  /**
   * Takes what `source` alone sends to a multicast group, as IP_ADD_SOURCE_MEMBERSHIP; and what the other sources
   * send that were named so. Of a socket that is in the group by addMembership(), the first source ends that. Returns
   * the socket. Ends with dropSourceSpecificMembership(), for all sources with dropMembership(), and with close().
   * @param source the sender's address, of the group's family
   * @param link the interface's name or number; if left out, the one that packets to the group leave by
   * @throws {NetworkError} EADDRNOTAVAIL: the source is one already; EINVAL: no multicast address, or a source of the
   *   other family; ENODEV; ENOBUFS: more than 64 groups, 10 sources of an IPv4 group or 64 of an IPv6 one
   */
  addSourceSpecificMembership(source: string, group: string, link?: string | number): this {
    return this.#setSource('addSourceSpecificMembership', source, group, link, true);
  }

  /** @throws {NetworkError} EADDRNOTAVAIL: no source; EINVAL: no member */
  dropSourceSpecificMembership(source: string, group: string, link?: string | number): this {
    return this.#setSource('dropSourceSpecificMembership', source, group, link, false);
  }

  #setMembership(call: string, group: string, link: unknown, member: boolean): this {
    const address = checkAddress(group, 'group');
    const result = this.native.setMembership(address, this.#interfaceId(link), member);
    if (result < 0) throw this.fail(call, -result, { detail: `group ${address}` });
    return this;
  }

  #setSource(call: string, from: string, group: string, link: unknown, member: boolean): this {
    const source = checkAddress(from, 'source');
    const address = checkAddress(group, 'group');
    const id = this.#interfaceId(link);
    const result = this.native.setSourceMembership(source, address, id, member);
    if (result < 0) {
      throw this.fail(call, -result, { detail: `source ${source} of group ${address}` });
    }
    return this;
  }

  /** 0 for none. */
  #interfaceId(link: unknown): number {
    if (link !== undefined && typeof link !== 'string' && typeof link !== 'number') {
      throw invalidType('link', 'of type string or number', link);
    }
    const id = link === undefined ? 0 : this.owner.interfaceId(`${link}`);
    if (id === undefined) throw invalidValue('link', link, 'names no interface of the stack');
    return id;
  }
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
