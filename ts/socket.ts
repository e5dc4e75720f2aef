// SPDX-License-Identifier: MIT
//
// What all sockets of a stack have: BSD's calls, non-blocking. tcp-socket.ts and datagram-socket.ts
// add what only those have.

import { constants } from 'node:os';
import { checkBytes, checkEndpoint, checkInteger, checkRange, toBytes } from './check.js';
import { illegalConstructor, invalidValue, NetworkError } from './errors.js';
import { type NativeEndpoint, type NativeSocket, native } from './native.js';
import {
  type OptionName,
  type ReadableOptionName,
  type ReadOnlySocketOptions,
  readableOption,
  type SocketOptions,
  settableOption,
} from './options.js';
import type { Recording, Recordings, SocketRecordOptions } from './recording.js';

const { EAGAIN, EBADF, EINPROGRESS, ENOPROTOOPT, ENOTCONN, ECONNRESET, EOPNOTSUPP, EPIPE } =
  constants.errno;

/** What send() and recv() return instead of a count where a blocking socket would wait. */
export const WOULD_BLOCK = -1;

/** Flag of recv() and recvFrom(): leave the data where it is. */
export const MSG_PEEK: number = native.constants.MSG_PEEK;
/** Flag of send() and recv(): urgent data, one byte. */
export const MSG_OOB: number = native.constants.MSG_OOB;
/** Flag of send() and sendTo(): more comes at once. */
export const MSG_MORE: number = native.constants.MSG_MORE;

/** One end of a connection, or of an association. */
export interface SocketAddress {
  /** With the zone, if it is link-local: 'fe80::1%2'. */
  address: string;
  family: 'IPv4' | 'IPv6';
  /** icmp: the echo identifier. */
  port: number;
}

/** Where to bind: without `host` all addresses of both families, with port 0 a free port. */
export interface BindOptions {
  /** An address of the stack; a link-local one may name its interface: 'fe80::1%eth0'. */
  host?: string;
  port?: number;
}

/** What a socket needs of its stack. */
export interface SocketOwner {
  /** The id of the interface with that name or number; undefined if there is none. */
  interfaceId(nameOrId: string): number | undefined;
  /** Keeps an open socket from being collected. */
  keep(socket: Socket): void;
  forget(socket: Socket): void;
  /** Where recordings of its sockets belong; a stack that is not the core's has none. */
  readonly recordings?: Recordings;
  /** What its errors say instead of the general advice: ErrorPlace.advice. */
  readonly advice?: Readonly<Record<string, string>>;
}

/** Null for the unspecified end of a socket that is not bound. */
export function toSocketAddress([address, family, port, scope]: NativeEndpoint): SocketAddress {
  return {
    address: scope > 0 && /^fe[89ab]/.test(address) ? `${address}%${scope}` : address,
    family: family === 6 ? 'IPv6' : 'IPv4',
    port,
  };
}

/** A host and port, checked, as the addon takes them. */
export type Target = [host: string, port: number, scope: number];

/**
 * A socket of a stack. It stays open until its close(), or its stack's; being garbage does not close
 * it. All calls return at once. After close() they throw EBADF.
 */
export abstract class Socket {
  /** For the subclasses and the stack. */
  protected readonly native: NativeSocket;
  protected readonly owner: SocketOwner;
  #error: NetworkError | null = null;
  /** The peer of a connect() that may still fail. */
  #connecting: { host: string; port: number } | null = null;

  /** @internal Sockets come from stack.socket() and accept(). */
  constructor(nativeSocket: NativeSocket, owner: SocketOwner) {
    if (!(nativeSocket instanceof native.NativeSocket)) {
      throw illegalConstructor('use stack.socket()');
    }
    this.native = nativeSocket;
    this.owner = owner;
    owner.keep(this);
  }

  /** 'tcp', 'udp' or 'icmp'. */
  abstract readonly type: 'tcp' | 'udp' | 'icmp';

  /** Whether a connect() needs a port. */
  protected get needsPort(): boolean {
    return true;
  }

  /**
   * Gives the socket its own address and port (icmp: the echo identifier). Returns the socket.
   * @throws {NetworkError} EADDRINUSE, EADDRNOTAVAIL, EINVAL (bound already)
   */
  bind(options: BindOptions = {}): this {
    const target = this.target(options, 'options', { host: false, port: false });
    this.check('bind', this.native.bind(...target), target);
    return this;
  }

  /**
   * Starts to connect. With tcp, POLLOUT comes when that has ended; then `error` says how.
   * udp and icmp get a default peer, and hear only of it.
   * @returns true if the socket is connected, false if that is under way
   * @throws {NetworkError} ENETUNREACH, EADDRNOTAVAIL, EISCONN, EALREADY
   */
  connect(peer: { host: string; port?: number }): boolean {
    const target = this.target(peer, 'peer', { host: true, port: this.needsPort });
    const result = this.native.connect(...target);
    if (result === -EINPROGRESS) {
      this.#connecting = { host: target[0], port: target[1] };
      return false;
    }
    this.check('connect', result, target);
    return true;
  }

  /**
   * Hands over bytes to be sent: part of them, if there is not room for all.
   * @param data a string is sent as UTF-8, and counted in bytes
   * @param offset where in `data` to begin, in bytes
   * @param length how many bytes, at most
   * @param flags MSG_MORE, MSG_OOB
   * @returns how many bytes were taken, at least 1 if there are any; or WOULD_BLOCK: wait for POLLOUT
   * @throws {NetworkError} EPIPE after shutdown('write'), ECONNRESET, ENOTCONN, EMSGSIZE, EDESTADDRREQ,
   *   or the reason why the connection failed
   */
  send(data: Uint8Array | string, offset = 0, length?: number, flags = 0): number {
    const bytes = toBytes(data, 'data');
    const count = length ?? bytes.length - offset;
    checkRange(offset, count, bytes.length);
    if (flags !== 0) checkFlags('send', flags);
    const sent = this.native.send(bytes, offset, count, flags);
    if (sent >= 0) return sent;
    if (sent === -EAGAIN) return WOULD_BLOCK;
    throw this.fail('send', -sent);
  }

  /**
   * Reads into `buffer` what is there.
   * @param flags MSG_PEEK, MSG_OOB
   * @returns how many bytes were read; or WOULD_BLOCK: wait for POLLIN. With tcp, 0 is the end of the
   *   stream (for a buffer that is not empty); with udp and icmp, what does not fit is cut off.
   * @throws {NetworkError} ECONNRESET, ENOTCONN, or the reason why the connection failed
   */
  recv(buffer: Uint8Array, offset = 0, length?: number, flags = 0): number {
    checkBytes(buffer, 'buffer');
    const count = length ?? buffer.length - offset;
    checkRange(offset, count, buffer.length);
    if (flags !== 0) checkFlags('recv', flags);
    const got = this.native.recv(buffer, offset, count, flags);
    if (got >= 0) return got;
    if (got === -EAGAIN) return WOULD_BLOCK;
    throw this.fail('recv', -got);
  }

  /**
   * recv() into a buffer of its own.
   * @param size bytes to read at most
   * @returns what was there, empty at the end of a tcp stream; null where recv() says WOULD_BLOCK
   */
  read(size = 65536): Buffer | null {
    const buffer = Buffer.allocUnsafe(checkInteger(size, 'size', 1, 0x40000000));
    const got = this.recv(buffer);
    return got === WOULD_BLOCK ? null : buffer.subarray(0, got);
  }

  /**
   * Ends one direction, or both: 'write' tells the peer that no more comes.
   * @throws {NetworkError} ENOTCONN
   */
  shutdown(how: 'read' | 'write' | 'both'): void {
    const index = ['read', 'write', 'both'].indexOf(how);
    if (index < 0) throw invalidValue('how', how, "must be 'read', 'write' or 'both'");
    this.check('shutdown', this.native.shutdown(index));
  }

  /** Closes the socket and its descriptor. A tcp connection ends on its own. Idempotent. */
  close(): void {
    this.native.close();
    this.owner.forget(this);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** True after close(), and after the stack's. */
  get closed(): boolean {
    return this.native.closed();
  }

  /**
   * Sets an option and returns the socket.
   * @throws {NetworkError} ENOPROTOOPT if this type of socket has it not; ENOENT for a congestion control that
   *   the stack has not, EPERM for one that this user may not choose (tcp_allowed_congestion_control of a host)
   */
  setOption<Name extends OptionName>(name: Name, value: SocketOptions[Name]): this {
    const option = settableOption(name, value);
    const result = this.native.setOption(option.id, option.value);
    if (result < 0) {
      const given = typeof value === 'string' && result !== -ENOPROTOOPT ? ` '${value}'` : '';
      const detail = `${name}${given} of a ${this.type} socket`;
      throw this.fail('setsockopt', -result, { detail });
    }
    return this;
  }

  /** @throws {NetworkError} ENOPROTOOPT if this type of socket has it not */
  getOption<Name extends ReadableOptionName>(
    name: Name,
  ): (SocketOptions & ReadOnlySocketOptions)[Name] {
    type Value = (SocketOptions & ReadOnlySocketOptions)[Name];
    const { id, type } = readableOption(name);
    if (type === 'string') {
      const text = this.native.textOption(id);
      if (typeof text === 'string') return text as Value;
      throw this.#notReadable(name, -text);
    }
    const [error, value] = this.native.option(id);
    if (error < 0) throw this.#notReadable(name, -error);
    return (type === 'boolean' ? value !== 0 : value) as Value;
  }

  #notReadable(name: string, errno: number): NetworkError {
    return this.fail('getsockopt', errno, { detail: `${name} of a ${this.type} socket` });
  }

  /** Address and port of this end; null while it is not bound, or closed. */
  get localAddress(): SocketAddress | null {
    const local = this.native.local();
    if (typeof local === 'number' || (local[1] === 0 && local[2] === 0)) return null;
    if (local[1] === 0) return { address: '::', family: 'IPv6', port: local[2] };
    return toSocketAddress(local);
  }

  /** Address and port of the peer; null while there is none. */
  get remoteAddress(): SocketAddress | null {
    const peer = this.native.peer();
    return typeof peer === 'number' || peer[1] === 0 ? null : toSocketAddress(peer);
  }

  /**
   * tcp: the state of RFC 9293 3.3.2, such as 'LISTEN', 'SYN-SENT', 'ESTABLISHED', 'TIME-WAIT'.
   * Otherwise 'OPEN' or 'CLOSED'.
   */
  get state(): string {
    return this.native.state();
  }

  /**
   * The last error that came by itself (a refused or reset connection, a host that is not there), or
   * null. Stays readable; the next recv() or send() is not told of it again.
   */
  get error(): NetworkError | null {
    const [failure, errno] = this.native.option(native.options.error as number);
    if (failure === 0 && errno !== 0) this.fail('recv', errno);
    return this.#error;
  }

  /**
   * A descriptor of the operating system that poll, select, epoll and every event loop can wait for,
   * with this socket's POLLIN, POLLOUT, POLLPRI, POLLRDHUP, POLLHUP and POLLERR. It can only be
   * waited for, and is closed with the socket: close it by `close()`, never as a number.
   * Of a HostStack and a LoadedStack it is the socket itself. Of a Stack, behind it is the vpoll library, whose environment variables VPOLL_BACKEND and VPOLL_EXACT say how it
   * is made (`man 3 vpoll`).
   * @throws {NetworkError} EBADF when closed, EMFILE when the process has no more descriptors;
   *   EOPNOTSUPP, EACCES or EINVAL where the environment asks for what cannot be had
   */
  get fd(): number {
    const fd = this.native.fd();
    if (fd === -EBADF) throw this.fail('fd', EBADF);
    if (fd < 0) throw this.fail('fd', -fd, { detail: native.fdError() });
    return fd;
  }

  /** The POLL* bits that hold now; POLLNVAL when closed. */
  get readiness(): number {
    return this.native.readiness();
  }

  /** Checks { host, port } and resolves the zone of a link-local address. */
  protected target(
    value: unknown,
    name: string,
    requires: { host: boolean; port: boolean },
  ): Target {
    const { host, port, zone } = checkEndpoint(value, name, requires);
    if (zone === undefined) return [host, port, 0];
    const scope = this.owner.interfaceId(zone);
    if (scope === undefined) {
      throw invalidValue(`${name}.host`, `${host}%${zone}`, 'names no interface of the stack');
    }
    return [host, port, scope];
  }

  /** record() of a socket that has it. */
  protected startRecording(target: string | number, options: SocketRecordOptions): Recording {
    const { recordings } = this.owner;
    if (recordings !== undefined) return recordings.startSocket(this.native, target, options);
    const detail = "only a Stack's sockets can be recorded";
    throw new NetworkError('record', EOPNOTSUPP, { detail });
  }

  /** Throws if `result` is a negative errno. */
  protected check(syscall: string, result: number, target?: Target): void {
    if (result < 0) throw this.fail(syscall, -result, { target });
  }

  /** Makes the error of a failed call, and remembers it if it is the connection that failed. */
  protected fail(
    syscall: string,
    errno: number,
    { target, detail }: { target?: Target | undefined; detail?: string } = {},
  ): NetworkError {
    if (errno === EBADF && this.native.closed()) {
      return new NetworkError(syscall, errno, { detail: 'the socket is closed' });
    }
    const { advice } = this.owner;
    if (target !== undefined) {
      const [host, port] = target;
      const address = host === '' ? '::' : host;
      return new NetworkError(syscall, errno, { address, port, detail, advice });
    }
    const transfer = syscall === 'send' || syscall === 'recv';
    const connecting = transfer && errno !== ENOTCONN && errno !== EPIPE && this.#connecting;
    if (connecting && errno !== ECONNRESET) {
      const { host: address, port } = connecting;
      this.#error = new NetworkError('connect', errno, { address, port, advice });
      return this.#error;
    }
    const error = new NetworkError(syscall, errno, { detail, advice });
    if (transfer && errno !== ENOTCONN && errno !== EPIPE) this.#error = error;
    return error;
  }
}

/** That `flags` has none but those of the call. */
export function checkFlags(call: 'send' | 'recv', flags: unknown): void {
  const other = call === 'recv' ? MSG_PEEK : MSG_MORE;
  if ((checkInteger(flags, 'flags', 0, 0x7fffffff) & ~(other | MSG_OOB)) !== 0) {
    const name = call === 'recv' ? 'MSG_PEEK' : 'MSG_MORE';
    throw invalidValue('flags', flags, `must be made of ${name} and MSG_OOB`);
  }
}
