// SPDX-License-Identifier: MIT
//
// What stands for a UDP socket of the stack where Node has a UDPWrap: Node's own lib/dgram.js runs over it, so that
// events, errors and their order are Node's. What libuv does between the kernel's socket and a UDPWrap is done here,
// and named where its behaviour is followed.

import { AsyncResource } from 'node:async_hooks';
import { isIPv4, isIPv6 } from 'node:net';
import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';
import { UdpSocket } from '../datagram-socket.js';
import { type NativeEndpoint, type NativeSocket, native } from '../native.js';
import { fillAddress, type NodeAddress, splitAddress } from './addresses.js';
import type { HandleStack } from './handle-stack.js';
import { ownerSymbol, type Request } from './internals.js';
import { isLost, type Served, socketLoop } from './socket-loop.js';

const {
  EADDRNOTAVAIL,
  EAFNOSUPPORT,
  EAGAIN,
  EBADF,
  ECANCELED,
  EDESTADDRREQ,
  EINVAL,
  EISCONN,
  ENETUNREACH,
  ENOBUFS,
  ENODEV,
  ENOPROTOOPT,
  ENOTCONN,
  ENOTSUP,
} = constants.errno;
const { POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT } = native.constants;
const toRead = POLLIN | POLLERR | POLLHUP;
const toWrite = POLLOUT | POLLERR | POLLHUP;

/** UV_UDP_IPV6ONLY, UV_UDP_REUSEADDR and UV_UDP_REUSEPORT */
const ipv6Only = 1;
const reuseAddress = 4;
const reusePort = 8;

const option = native.options as Record<string, number> & {
  broadcast: number;
  hopLimit: number;
  ipv6Only: number;
  multicastHopLimit: number;
  multicastInterface: number;
  multicastLoop: number;
  receiveBuffer: number;
  reuseAddress: number;
  sendBuffer: number;
};

/** Host, port and scope as the core takes them. */
type Target = [string, number, number];

/** A datagram that found no room; with the peer of a connection, no target. */
interface Send {
  request: Request;
  bytes: Uint8Array;
  target: Target | undefined;
  resource: AsyncResource;
}

/** Where bufferSize() says what was wrong, for ERR_SOCKET_BUFFER_SIZE. */
interface ErrorContext {
  errno?: number;
  code?: string;
  message?: string;
  syscall?: string;
}

const toBytes = (view: ArrayBufferView): Uint8Array =>
  view instanceof Uint8Array ? view : new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

const isNone = (address: string) => address === '0.0.0.0' || address === '::';

export class DatagramHandle implements Served {
  /** lib/dgram.js sets these. `status` below zero: an error in place of a datagram. */
  onmessage:
    | ((status: number, handle: this, bytes?: Buffer, from?: NodeAddress) => void)
    | undefined;
  onerror: ((status: number, handle: this, error: unknown) => void) | undefined;
  lookup: ((address: string, callback: (...args: never[]) => void) => void) | undefined;

  readonly #stack: HandleStack;
  readonly #native: NativeSocket;
  readonly #place: number;
  readonly #ipv6: boolean;
  readonly #resource = new AsyncResource('VPOLLNETUDP');
  #wanted = 0;
  /** libuv makes the kernel's socket at the first bind(): until then there is nothing to set or ask. */
  #made = false;
  #bound = false;
  #connected = false;
  #reads = false;
  #sends: Send[] = [];
  #closing = false;
  /** ref() and unref() */
  #referenced = true;
  /** How often it holds the loop. */
  #holds = 0;
  #view: UdpSocket | undefined;
  [key: symbol]: object | undefined;

  /** A new socket of the stack. @returns -errno if there can be none */
  static open(stack: HandleStack, ipv6: boolean): DatagramHandle | number {
    const socket = stack.open('udp');
    if (typeof socket === 'number') return socket;
    const handle = new DatagramHandle(stack, socket, ipv6);
    if (handle.#place >= 0) return handle;
    // Another thread has closed the stack meanwhile.
    handle.close();
    return -EBADF;
  }

  constructor(stack: HandleStack, socket: NativeSocket, ipv6: boolean) {
    this.#stack = stack;
    this.#native = socket;
    this.#ipv6 = ipv6;
    this.#place = socketLoop().add(socket, this);
    stack.handles?.add(this);
  }

  getAsyncId(): number {
    return this.#resource.asyncId();
  }

  /** The socket with the calls that sockets of a stack have. */
  get view(): UdpSocket {
    this.#view ??= new UdpSocket(this.#native, { ...this.#stack.owner, keep() {}, forget() {} });
    return this.#view;
  }

  get fd(): number {
    return this.#closing ? -EBADF : this.#native.fd();
  }

  // Addresses.

  bind(address: string, port: number, flags: number): number {
    if (this.#closing) return -EBADF;
    const target = this.#target(address, port);
    if (typeof target === 'number') return target;
    if ((flags & ipv6Only) !== 0 && !this.#ipv6) return -EINVAL;
    // As libuv where the system does not spread datagrams over the sockets of a port.
    if ((flags & reusePort) !== 0) return -ENOTSUP;
    return this.#bind(target, flags);
  }

  #bind([host, port, scope]: Target, flags: number): number {
    if (this.#bound) return -EINVAL;
    this.#made = true;
    if ((flags & reuseAddress) !== 0) this.#native.setOption(option.reuseAddress, 1);
    if ((flags & ipv6Only) !== 0) this.#native.setOption(option.ipv6Only, 1);
    const result = this.#native.bind(host, port, scope);
    this.#bound = result === 0;
    return result;
  }

  /** What binds by itself what needs it, as uv_udp_*() do. */
  #bindIfNew(flags: number): number {
    return this.#made ? 0 : this.#bind([this.#ipv6 ? '::' : '0.0.0.0', 0, 0], flags);
  }

  /** As uv_ip4_addr() and uv_ip6_addr(): an address of the handle's own family, and 16 bits of the port. */
  #target(address: string, port: number): Target | number {
    if (!(this.#ipv6 ? isIPv6(address) : isIPv4(address))) return -EINVAL;
    const split = splitAddress(address, this.#stack.owner);
    return typeof split === 'number' ? split : [split[0], (port >>> 0) & 0xffff, split[1]];
  }

  /** The same for a peer: who means no address means this host, as on Linux. */
  #peer(address: string, port: number): Target | number {
    const target = this.#target(address, port);
    if (typeof target === 'number' || !isNone(target[0])) return target;
    const local = this.#native.local();
    const own = typeof local !== 'number' && target[0] === '0.0.0.0' && local[1] === 4;
    if (own && !isNone(local[0])) target[0] = local[0];
    else target[0] = target[0] === '::' ? '::1' : '127.0.0.1';
    return target;
  }

  /** Of an IPv6 socket that may not speak IPv4, to a mapped address. */
  #asOnLinux(result: number): number {
    return result === -EAFNOSUPPORT && this.#ipv6 ? -ENETUNREACH : result;
  }

  connect(address: string, port: number): number {
    if (this.#closing) return -EBADF;
    const target = this.#peer(address, port);
    if (typeof target === 'number') return target;
    if (this.#connected) return -EISCONN;
    const result = this.#bindIfNew(0) || this.#asOnLinux(this.#native.connect(...target));
    this.#connected = result === 0;
    return result;
  }

  disconnect(): number {
    if (this.#closing) return -EBADF;
    if (!this.#connected) return -ENOTCONN;
    this.#connected = false;
    return this.#native.connect('', 0, 0);
  }

  getsockname(out: NodeAddress): number {
    return this.#address(this.#native.local(), out);
  }

  getpeername(out: NodeAddress): number {
    return this.#address(this.#native.peer(), out);
  }

  #address(end: NativeEndpoint | number, out: NodeAddress): number {
    if (this.#closing || !this.#made) return -EBADF;
    if (typeof end === 'number') return end;
    fillAddress(out, end, this.#ipv6, this.#stack);
    return 0;
  }

  // Options.

  #set(id: number, value: number): number {
    return this.#closing || !this.#made ? -EBADF : this.#native.setOption(id, value);
  }

  setBroadcast(on: number): number {
    return this.#set(option.broadcast, on);
  }

  setTTL(hops: number): number {
    const value = hops | 0;
    return value < 1 || value > 255 ? -EINVAL : this.#set(option.hopLimit, value);
  }

  setMulticastTTL(hops: number): number {
    const value = hops | 0;
    return value < 0 || value > 255 ? -EINVAL : this.#set(option.multicastHopLimit, value);
  }

  setMulticastLoopback(on: number): number {
    return this.#set(option.multicastLoop, on);
  }

  /** @param address of the interface, '0.0.0.0' for any; of IPv6, its zone says which one it is */
  setMulticastInterface(address: string): number {
    const v4 = isIPv4(address);
    if (!v4 && !isIPv6(address)) return -EINVAL;
    if (this.#closing || !this.#made) return -EBADF;
    if (!v4 && !this.#ipv6) return -ENOPROTOOPT;
    const id = v4 ? this.#interfaceWith(address) : this.#zone(address);
    return id === undefined ? -EADDRNOTAVAIL : this.#set(option.multicastInterface, id);
  }

  #interfaceWith(address: string): number | undefined {
    return address === '0.0.0.0' ? 0 : this.#stack.interfaceWith(address);
  }

  /** As libuv: any interface where the zone is none. */
  #zone(address: string): number {
    const split = splitAddress(address, this.#stack.owner);
    return typeof split === 'number' ? 0 : split[1];
  }

  /** @param size bytes, 0 to ask. @returns undefined where `context` says what was wrong */
  bufferSize(size: number, isReceive: boolean, context: ErrorContext): number | undefined {
    const syscall = isReceive ? 'uv_recv_buffer_size' : 'uv_send_buffer_size';
    const id = isReceive ? option.receiveBuffer : option.sendBuffer;
    let error = size > 0x7fffffff ? -EINVAL : 0;
    if (error === 0 && (this.#closing || !this.#made)) error = -EBADF;
    if (error === 0 && size === 0) {
      const [failure, value] = this.#native.option(id);
      if (failure === 0) return value;
      error = failure;
    }
    if (error === 0) error = this.#native.setOption(id, size);
    if (error === 0) return size;
    const [code, message] = getSystemErrorMap().get(error) ?? [];
    Object.assign(context, { errno: error, code, message, syscall });
    return undefined;
  }

  // Groups.

  addMembership(group: string, on?: string | null): number {
    return this.#setMembership(group, on, true);
  }

  dropMembership(group: string, on?: string | null): number {
    return this.#setMembership(group, on, false);
  }

  /** @param on an address of the interface; of IPv6, its zone says which one it is */
  #setMembership(given: unknown, on: string | null | undefined, member: boolean): number {
    const group = String(given);
    const v4 = isIPv4(group);
    if (!v4 && !isIPv6(group)) return -EINVAL;
    const id = this.#interfaceOfGroup(v4, on);
    if (id === undefined) return member ? -ENODEV : -EADDRNOTAVAIL;
    if (id < 0) return id;
    const result = this.#native.setMembership(withoutZone(group), id, member);
    // As Linux says it.
    if (result === -ENETUNREACH) return -ENODEV;
    return result === -EINVAL && v4 && !member ? -EADDRNOTAVAIL : result;
  }

  /** @returns 0 for any; -errno; undefined if none has the address. Binds the socket, as libuv does. */
  #interfaceOfGroup(v4: boolean, on: string | null | undefined): number | undefined {
    if (this.#closing) return -EBADF;
    const error = this.#bindIfNew(reuseAddress);
    if (error !== 0) return error;
    if (on != null && !(v4 ? isIPv4(on) : isIPv6(on))) return -EINVAL;
    if (!v4 && !this.#ipv6) return -ENOPROTOOPT;
    if (on == null) return 0;
    return v4 ? this.#interfaceWith(on) : this.#zone(on);
  }

  addSourceSpecificMembership(source: string, group: string, on?: string | null): number {
    return this.#setSource(source, group, on, true);
  }

  dropSourceSpecificMembership(source: string, group: string, on?: string | null): number {
    return this.#setSource(source, group, on, false);
  }

  #setSource(from: string, group: string, on: string | null | undefined, member: boolean): number {
    const v4 = isIPv4(group);
    const isAddress = v4 ? isIPv4 : isIPv6;
    if (!isAddress(group) || !isAddress(from)) return -EINVAL;
    const id = this.#interfaceOfGroup(v4, on) ?? -ENODEV;
    if (id < 0) return id;
    const source = withoutZone(from);
    const result = this.#native.setSourceMembership(source, withoutZone(group), id, member);
    return result === -ENETUNREACH ? -ENODEV : result;
  }

  // Receiving.

  recvStart(): number {
    if (this.#closing) return -EBADF;
    const error = this.#bindIfNew(0);
    if (error !== 0) return error;
    this.#reads = true;
    this.#update();
    return 0;
  }

  recvStop(): number {
    if (this.#closing) return -EBADF;
    this.#reads = false;
    this.#update();
    return 0;
  }

  /** One datagram and its callback. True if there may be another one at once. */
  #receive(): boolean {
    const { scratch } = socketLoop();
    const got = this.#native.recvFrom(scratch, 0, scratch.length, 0);
    if (got === -EAGAIN || isLost(got)) return false;
    if (typeof got === 'number') {
      this.#tell(got);
      return false;
    }
    const [count, , end] = got;
    const bytes = Buffer.allocUnsafeSlow(count);
    bytes.set(scratch.subarray(0, count));
    const from: NodeAddress = {};
    fillAddress(from, end, this.#ipv6, this.#stack);
    this.#tell(count, bytes, from);
    return true;
  }

  #tell(status: number, bytes?: Buffer, from?: NodeAddress): void {
    if (this.onmessage === undefined) return;
    this.#resource.runInAsyncScope(this.onmessage, this, status, this, bytes, from);
  }

  // Sending.

  /**
   * Sends one datagram of the buffers in `list`: behind it port and address, if it goes not to the peer of a
   * connection, and whether `request` has a callback.
   * @returns its length and 1 if it is sent; 0 if request.oncomplete() is going to tell; or -errno
   */
  send(request: Request, list: ArrayBufferView[], count: number, ...rest: unknown[]): number {
    if (this.#closing) return -EBADF;
    let target: Target | undefined;
    if (rest.length > 1) {
      const peer = this.#peer(rest[1] as string, rest[0] as number);
      if (typeof peer === 'number') return peer;
      target = peer;
    }
    if ((target === undefined) !== this.#connected) return target ? -EISCONN : -EDESTADDRREQ;
    const error = this.#bindIfNew(0);
    if (error !== 0) return error;
    const buffers = list.slice(0, count).map(toBytes);
    const bytes = buffers.length === 1 ? (buffers[0] as Uint8Array) : Buffer.concat(buffers);
    if (this.#sends.length === 0) {
      const sent = this.#transmit(bytes, target);
      if (sent >= 0) return sent + 1;
      if (!isFull(sent) && !isLost(sent)) return sent;
    }
    const resource = new AsyncResource('VPOLLNETUDPSEND');
    this.#sends.push({ request, bytes, target, resource });
    this.#update();
    return 0;
  }

  #transmit(bytes: Uint8Array, target: Target | undefined): number {
    const sent =
      target === undefined
        ? this.#native.send(bytes, 0, bytes.length, 0)
        : this.#native.sendTo(bytes, 0, bytes.length, 0, ...target);
    return this.#asOnLinux(sent);
  }

  /** One step of what waits: true if there is another one at once. */
  #flush(): boolean {
    const [send] = this.#sends;
    if (send === undefined) return false;
    const sent = this.#transmit(send.bytes, send.target);
    if (isFull(sent) || isLost(sent)) return false;
    this.#sends.shift();
    this.#update();
    finish(send, Math.min(sent, 0));
    return this.#sends.length > 0;
  }

  getSendQueueSize(): number {
    return this.#sends.reduce((sum, { bytes }) => sum + bytes.length, 0);
  }

  getSendQueueCount(): number {
    return this.#sends.length;
  }

  // The loop.

  ready(events: number): number {
    if ((events & POLLNVAL) !== 0) {
      this.lost();
      return 0;
    }
    if (this.#reads && (events & toRead) !== 0) {
      if (this.#receive() && this.#reads) return events;
      return this.#sends.length > 0 ? events & toWrite : 0;
    }
    return (events & toWrite) !== 0 && this.#flush() ? POLLOUT : 0;
  }

  /** The stack was closed: so is what is on it. */
  lost(): void {
    const owner = this[ownerSymbol] as { close(): void } | undefined;
    // A dgram.Socket that is about to bind puts its close off until then, which fails.
    owner?.close();
    this.close();
  }

  /** What it waits for, and whether it keeps the loop alive: as libuv, while it receives and is referenced, and by what is sent. */
  #update(): void {
    let wanted = 0;
    let holds = 0;
    if (!this.#closing) {
      const sends = this.#sends.length > 0;
      wanted = (this.#reads ? POLLIN : 0) | (sends ? POLLOUT : 0);
      holds = (this.#reads && this.#referenced ? 1 : 0) + (sends ? 1 : 0);
    }
    const loop = socketLoop();
    for (; this.#holds < holds; this.#holds++) loop.hold();
    for (; this.#holds > holds; this.#holds--) loop.release();
    if (wanted !== this.#wanted) {
      this.#wanted = wanted;
      this.#native.want(wanted);
    }
  }

  ref(): void {
    this.#referenced = true;
    this.#update();
  }

  unref(): void {
    this.#referenced = false;
    this.#update();
  }

  hasRef(): boolean {
    return this.#referenced && !this.#closing;
  }

  // The end.

  close(callback?: () => void): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#reads = false;
    const sends = this.#sends;
    this.#sends = [];
    this.#update();
    const loop = socketLoop();
    loop.remove(this.#place);
    this.#native.close();
    this.#stack.handles?.delete(this);
    for (const send of sends) loop.atClosePhase(() => finish(send, -ECANCELED));
    if (callback === undefined) return;
    loop.atClosePhase(() => this.#resource.runInAsyncScope(callback, this));
  }
}

const withoutZone = (address: string) => address.replace(/%.*/, '');

/** libuv waits for room in both cases. */
const isFull = (sent: number) => sent === -EAGAIN || sent === -ENOBUFS;

function finish({ request, bytes, resource }: Send, status: number): void {
  if (request.oncomplete === undefined) return;
  resource.runInAsyncScope(request.oncomplete, request, status, bytes.length);
}
