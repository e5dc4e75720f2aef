// SPDX-License-Identifier: MIT
//
// What stands for a TCP socket of the stack where Node has a TCPWrap: Node's own lib/net.js runs over it, so that
// events, errors and their order are Node's. What libuv does between the kernel's socket and a TCPWrap is done
// here, and named where its behaviour is followed.

import { AsyncResource } from 'node:async_hooks';
import { isIP } from 'node:net';
import { constants } from 'node:os';
import { setImmediate } from 'node:timers';
import type { NativeEndpoint, NativeSocket } from '../native.js';
import { native } from '../native.js';
import { MSG_MORE } from '../socket.js';
import { TcpSocket } from '../tcp-socket.js';
import { fillAddress, type NodeAddress, splitAddress } from './addresses.js';
import { channels } from './diagnostics.js';
import type { HandleStack } from './handle-stack.js';
import {
  endOfStream,
  JSStream,
  kArrayBufferOffset,
  kBytesWritten,
  kLastWriteError,
  kLastWriteWasAsync,
  kReadBytesOrError,
  ownerSymbol,
  type Request,
  streamState,
  type TlsWrap,
} from './internals.js';
import { isLost, readFirst, type Served, socketLoop } from './socket-loop.js';

const {
  EADDRINUSE,
  EAGAIN,
  EALREADY,
  EBADF,
  ECANCELED,
  ECONNABORTED,
  ECONNREFUSED,
  EFAULT,
  EINPROGRESS,
  EINVAL,
  ENOBUFS,
  ENOTCONN,
} = constants.errno;
const { POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT } = native.constants;
const toRead = POLLIN | POLLERR | POLLHUP;
const toWrite = POLLOUT | POLLERR | POLLHUP;

/** UV_TCP_IPV6ONLY */
const ipv6Only = 1;
/** What a read of less is copied out of the scratch, so that small chunks do not keep 64 KiB each. */
const keptRead = 32 * 1024;
/** Up to so many bytes the chunks of a writev() are put together first. */
const joinedWrite = 64 * 1024;

const option = native.options as Record<string, number> & {
  error: number;
  noDelay: number;
  keepAlive: number;
  keepIdle: number;
  keepInterval: number;
  keepCount: number;
  linger: number;
  reuseAddress: number;
  ipv6Only: number;
};

/** A request that is not done yet. */
interface Waiting {
  request: Request;
  /** Of the call that made it, as Node's requests have one; undefined if it came from C++, which has its own. */
  resource: AsyncResource | undefined;
}

interface Write extends Waiting {
  bytes: Uint8Array;
  /** How many they were: a buffer that is transferred to someone else meanwhile is an empty one. */
  left: number;
}

/**
 * -errno, or 0. Since 24.22 Node gives no request, and gets one instead of 0 for a write that is not done at once.
 */
type Written = number | Request;

/** What C++ calls where no reader of its own is before onread(). */
function forwardRead(this: StreamHandle, bytes?: ArrayBufferLike): unknown {
  return this.onread(bytes);
}

export class StreamHandle extends JSStream implements Served {
  /** Node's net.Socket sets and reads these. */
  reading = false;
  /** A field, where JSStream has an accessor of C++, which costs more: #readNatively() sees to that one. */
  override onread: (arrayBuffer?: ArrayBufferLike) => unknown = () => undefined;
  onconnection: ((status: number, client?: StreamHandle) => void) | undefined;
  bytesRead = 0;
  bytesWritten = 0;

  readonly #stack: HandleStack;
  readonly #native: NativeSocket;
  readonly #place: number;
  #wanted = 0;
  #reads = false;
  /** A reader of C++ (TLS, HTTP) may stand before onread(). */
  #readsNative = false;
  /** The TLSWrap among them. */
  #wrap: TlsWrap | undefined;
  #listens = false;
  #connecting: Waiting | undefined;
  #writes: Write[] | undefined;
  #shutdown: Waiting | undefined;
  #closing = false;
  /** ref() and unref() */
  #referenced = true;
  /** How often it holds the loop. */
  #holds = 0;
  #ipv6: boolean;
  /** It has been bound, connected or accepted: before that, libuv's has no socket, and so no address. */
  #exists = false;
  /** libuv tells of a port in use at listen() and connect(), not at bind(). */
  #delayedError = 0;
  #userBuffer: Uint8Array | undefined;
  #resource: AsyncResource;
  #view: TcpSocket | undefined;

  /** A new socket of the stack. @returns -errno if there can be none */
  static open(stack: HandleStack): StreamHandle | number {
    const socket = stack.open('tcp');
    if (typeof socket === 'number') return socket;
    const handle = new StreamHandle(stack, socket, false);
    return handle.#isServed() ? handle : -EBADF;
  }

  constructor(stack: HandleStack, socket: NativeSocket, ipv6: boolean) {
    super();
    this.#stack = stack;
    this.#native = socket;
    this.#ipv6 = ipv6;
    this.#resource = new AsyncResource('VPOLLNETTCP');
    this.#place = socketLoop().add(socket, this);
    stack.handles?.add(this);
  }

  /** Another thread may have closed the stack since the socket was made: then nobody would hear of it. */
  #isServed(): boolean {
    if (this.#place < 0) this.close();
    return this.#place >= 0;
  }

  /**
   * As of TCPWrap. Who asks puts a reader of C++ before onread(), and takes it away without a word: from here on
   * what is read goes by way of C++, which knows whose it is.
   */
  get isStreamBase(): boolean {
    this.#readNatively();
    return true;
  }

  #readNatively(): void {
    if (this.#readsNative) return;
    this.#readsNative = true;
    // To JSStream's accessor: C++ insists on there being a function.
    Reflect.set(JSStream.prototype, 'onread', forwardRead, this);
  }

  /** lib/_tls_wrap.js has put `wrap` on the handle. @returns the prototype of TLS sockets on the stack, if there is one */
  wrappedBy(wrap: TlsWrap): object | undefined {
    this.#wrap = wrap;
    return this.#stack.secure;
  }

  getAsyncId(): number {
    return this.#resource.asyncId();
  }

  /** lib/_http_agent.js: the socket serves another request now. */
  asyncReset(): void {
    this.#resource = new AsyncResource('VPOLLNETTCP');
  }

  /** The socket with the calls that sockets of a stack have. */
  get view(): TcpSocket {
    this.#view ??= new TcpSocket(this.#native, { ...this.#stack.owner, keep() {}, forget() {} });
    return this.#view;
  }

  get fd(): number {
    return this.#closing ? -1 : this.#native.fd();
  }

  // Addresses.

  bind(address: string, port: number): number {
    return this.#bind(address, port, false, 0);
  }

  bind6(address: string, port: number, flags: number): number {
    return this.#bind(address, port, true, flags);
  }

  #bind(address: string, port: number, ipv6: boolean, flags: number): number {
    this.#ipv6 = ipv6;
    if (isIP(address) !== (ipv6 ? 6 : 4)) return -EINVAL;
    const target = splitAddress(address, this.#stack.owner);
    if (typeof target === 'number') return target;
    this.#native.setOption(option.reuseAddress, 1);
    if ((flags & ipv6Only) !== 0) this.#native.setOption(option.ipv6Only, 1);
    this.#exists = true;
    const result = this.#native.bind(target[0], port | 0, target[1]); // lib/net.js may give undefined
    if (result !== -EADDRINUSE) return result;
    this.#delayedError = result;
    return 0;
  }

  getsockname(out: NodeAddress): number {
    return this.#address(this.#native.local(), out);
  }

  getpeername(out: NodeAddress): number {
    return this.#address(this.#native.peer(), out);
  }

  #address(end: NativeEndpoint | number, out: NodeAddress): number {
    if (this.#closing || !this.#exists) return -EBADF;
    if (typeof end === 'number') return end;
    fillAddress(out, end, this.#ipv6, this.#stack);
    return 0;
  }

  // Options.

  setNoDelay(on: boolean): number {
    return this.#native.setOption(option.noDelay, on ? 1 : 0);
  }

  /** As libuv: probes each second, ten of them. @param delay seconds */
  setKeepAlive(on: boolean, delay: number): number {
    const result = this.#native.setOption(option.keepAlive, on ? 1 : 0);
    if (result < 0 || !on || delay <= 0) return result;
    this.#native.setOption(option.keepInterval, 1);
    this.#native.setOption(option.keepCount, 10);
    return this.#native.setOption(option.keepIdle, delay);
  }

  // Connections.

  connect(request: Request, address: string, port: number): number {
    return this.#connect(request, address, port, false);
  }

  connect6(request: Request, address: string, port: number): number {
    return this.#connect(request, address, port, true);
  }

  #connect(request: Request, address: string, port: number, ipv6: boolean): number {
    if (this.#closing) return -EBADF;
    if (isIP(address) !== (ipv6 ? 6 : 4)) return -EINVAL;
    // The core would tell of a connection that it has, but the loop not.
    if (this.#connecting !== undefined) return -EALREADY;
    this.#ipv6 = ipv6;
    this.#exists = true;
    const target = splitAddress(address, this.#stack.owner);
    if (typeof target === 'number') return target;
    if (this.#delayedError === 0) {
      const result = this.#native.connect(target[0], port, target[1]);
      // libuv tells of that as of an answer that came later.
      if (result === -ECONNREFUSED) this.#delayedError = result;
      else if (result !== 0 && result !== -EINPROGRESS) return result;
    }
    this.#connecting = { request, resource: new AsyncResource('VPOLLNETTCPCONNECT') };
    this.#update();
    return 0;
  }

  #connected(events: number): void {
    const waiting = this.#connecting as Waiting;
    let status = this.#delayedError;
    if (status === 0 && (events & POLLERR) !== 0) {
      const [failed, error] = this.#native.option(option.error);
      if (isLost(failed)) return;
      status = -error;
    }
    this.#connecting = undefined;
    this.#delayedError = 0;
    this.#update();
    const outcome = status === 0 ? channels.connected : channels.failed;
    if (outcome.hasSubscribers)
      outcome.publish(this.#message(status === 0 ? {} : { errno: status }));
    this.#complete(waiting, status, waiting.request, true, true);
  }

  /** Tells of a request of JavaScript's. */
  #complete({ request, resource }: Waiting, status: number, ...more: unknown[]): void {
    if (request.oncomplete === undefined) return;
    resource?.runInAsyncScope(request.oncomplete, request, status, this, ...more);
  }

  listen(backlog: number): number {
    if (this.#delayedError !== 0) return this.#delayedError;
    const result = this.#native.listen(backlog);
    if (result !== 0) return result;
    this.#listens = true;
    this.#update();
    return 0;
  }

  /** Gives one connection to the server. False if there is none left. */
  #accept(): boolean {
    const socket = this.#native.accept();
    if (socket === -EAGAIN || isLost(socket)) return false;
    // A connection that was reset while it waited is none.
    if (socket === -ECONNABORTED) return true;
    if (typeof socket === 'number') {
      this.#resource.runInAsyncScope(this.onconnection as () => void, this, socket);
      return false;
    }
    const client = new StreamHandle(this.#stack, socket, this.#ipv6);
    if (!client.#isServed()) return false;
    client.#exists = true;
    if (channels.accepted.hasSubscribers) channels.accepted.publish(client.#message({}));
    this.#resource.runInAsyncScope(this.onconnection as () => void, this, 0, client);
    return true;
  }

  // Reading.

  /** For onread() of JavaScript. */
  readStart(): number {
    if (this.#closing) return endOfStream;
    this.#reads = true;
    this.#update();
    return 0;
  }

  readStop(): number {
    this.#reads = false;
    this.#update();
    return 0;
  }

  /** For a reader in C++. */
  onreadstart(): number {
    this.#readNatively();
    return this.readStart();
  }

  onreadstop(): number {
    return this.readStop();
  }

  /** net.Socket's `onread`: where bytes are to be put. */
  useUserBuffer(buffer: Uint8Array): void {
    this.#userBuffer = buffer;
    this.#update();
  }

  /**
   * One read and its callback. True if there may be more to read at once.
   * @param given what the loop has read into its scratch, if it has
   */
  #read(given: number | undefined): boolean {
    const loop = socketLoop();
    const buffer = this.#userBuffer ?? loop.scratch;
    // A buffer that takes nothing, as uv__read() has it: 0 bytes would be the end of the stream.
    const got =
      given ?? (buffer.length === 0 ? -ENOBUFS : this.#native.recv(buffer, 0, buffer.length, 0));
    if (got === -EAGAIN || isLost(got)) return false;
    if (got <= 0) {
      this.#reads = false;
      this.#update();
      if (this.#readsNative && got === 0) {
        this.#byNative(() => native.callAsLoop(this.emitEOF, this));
      } else {
        this.#tell(got === 0 ? endOfStream : got, undefined);
      }
      return false;
    }
    this.bytesRead += got;
    if (this.#readsNative) {
      const bytes = got === buffer.length ? buffer : buffer.subarray(0, got);
      this.#byNative(() => this.#hand(bytes));
    } else if (this.#userBuffer !== undefined) {
      const next = this.#tell(got, undefined);
      if (next instanceof Uint8Array) this.#userBuffer = next;
    } else if (got >= keptRead) {
      loop.renewScratch();
      this.#tell(got, buffer.buffer);
    } else {
      this.#tell(got, buffer.slice(0, got).buffer);
    }
    return got === buffer.length;
  }

  /** To the reader of C++. Since Node 22, readBuffer() keeps what its callbacks throw until its end, and the last only. */
  #hand(bytes: Uint8Array): void {
    const wrap = this.#wrap;
    if (wrap !== undefined) native.callAsLoop(wrap.receive, wrap, bytes);
    else native.callAsLoop(this.readBuffer, this, bytes);
  }

  /** What C++ makes of it has callbacks of its own, and may be closed by what comes before it. */
  #byNative(call: () => void): void {
    socketLoop().defer(() => {
      if (!this.#closing) call();
    });
  }

  #tell(countOrError: number, bytes: ArrayBufferLike | undefined): unknown {
    streamState[kReadBytesOrError] = countOrError;
    streamState[kArrayBufferOffset] = 0;
    // JSStream has no way to tell C++ of an error: HTTP's parser would hand it to onread(), and TLS to its own.
    const reader = this.#wrap ?? this;
    return this.#resource.runInAsyncScope(reader.onread, reader, bytes);
  }

  // Writing.

  writeBuffer(request: Request | null, bytes: Uint8Array): Written {
    return this.#write(request, bytes, false);
  }

  writeUtf8String(request: Request | null, text: string): Written {
    return this.#write(request, Buffer.from(text, 'utf8'), false);
  }

  writeAsciiString(request: Request | null, text: string): Written {
    return this.#write(request, Buffer.from(text, 'latin1'), false);
  }

  writeLatin1String(request: Request | null, text: string): Written {
    return this.#write(request, Buffer.from(text, 'latin1'), false);
  }

  writeUcs2String(request: Request | null, text: string): Written {
    return this.#write(request, Buffer.from(text, 'utf16le'), false);
  }

  /** @param chunks buffers; or, unless `allBuffers`, each chunk with its encoding behind it */
  writev(request: Request | null, chunks: unknown[], allBuffers: boolean): Written {
    if (allBuffers) return this.#writeAll(request, chunks as Uint8Array[], false);
    const buffers: Uint8Array[] = [];
    for (let i = 0; i < chunks.length; i += 2) {
      const chunk = chunks[i] as Uint8Array | string;
      buffers.push(
        typeof chunk === 'string' ? Buffer.from(chunk, chunks[i + 1] as BufferEncoding) : chunk,
      );
    }
    return this.#writeAll(request, buffers, false);
  }

  /** From C++: done when finishWrite() is called, which it must not be before this returns. */
  onwrite(request: Request, buffers: Uint8Array[]): number {
    const error = this.#writeAll(request, buffers, true) as number; // a request is not made, being given
    if (error !== 0) return error;
    if (streamState[kLastWriteWasAsync] === 0) {
      // As TLSWrap does over a socket of libuv's; and a tick may be run within this call, whose exception is its own.
      setImmediate(() => this.#finished({ request, resource: undefined }, 0));
    }
    return 0;
  }

  #writeAll(request: Request | null, buffers: Uint8Array[], byNative: boolean): Written {
    if (buffers.length === 1) return this.#write(request, buffers[0] as Uint8Array, byNative);
    const total = buffers.reduce((sum, one) => sum + one.length, 0);
    if (total <= joinedWrite || this.#writes !== undefined) {
      return this.#write(request, Buffer.concat(buffers, total), byNative);
    }
    const last = buffers.length - 1;
    for (const [index, bytes] of buffers.entries()) {
      const sent = this.#native.send(bytes, 0, bytes.length, index < last ? MSG_MORE : 0);
      if (sent === bytes.length) continue;
      if (sent < 0 && !this.#waits(sent)) return this.#writeFailed(sent);
      const rest = [bytes.subarray(Math.max(sent, 0)), ...buffers.slice(index + 1)];
      return this.#enqueue(request, Buffer.concat(rest), total, byNative);
    }
    return this.#written(total);
  }

  #write(request: Request | null, bytes: Uint8Array, byNative: boolean): Written {
    let sent = 0;
    if (this.#writes === undefined && this.#connecting === undefined) {
      if (bytes.length === 0) return this.#written(0);
      sent = this.#native.send(bytes, 0, bytes.length, 0);
      if (sent === bytes.length) return this.#written(sent);
      if (sent < 0) {
        if (!this.#waits(sent)) return this.#writeFailed(sent);
        sent = 0;
      }
    }
    return this.#enqueue(request, bytes.subarray(sent), bytes.length, byNative);
  }

  /** It is sent later; or the stack was closed, and lost() cancels it. */
  #waits(sent: number): boolean {
    return sent === -EAGAIN || (isLost(sent) && !this.#closing);
  }

  #writeFailed(error: number): number {
    streamState[kBytesWritten] = 0;
    streamState[kLastWriteWasAsync] = 0;
    return error;
  }

  #written(count: number): number {
    this.bytesWritten += count;
    streamState[kBytesWritten] = count;
    streamState[kLastWriteWasAsync] = 0;
    return 0;
  }

  #enqueue(given: Request | null, bytes: Uint8Array, total: number, byNative: boolean): Written {
    const request = given ?? { writeStatus: null };
    this.bytesWritten += total;
    streamState[kBytesWritten] = total;
    streamState[kLastWriteWasAsync] = 1;
    const resource = byNative ? undefined : new AsyncResource('VPOLLNETTCPWRITE');
    const write = { request, resource, bytes, left: bytes.length };
    if (this.#writes === undefined) this.#writes = [write];
    else this.#writes.push(write);
    this.#update();
    if (given !== null) return 0;
    if (kLastWriteError !== undefined) streamState[kLastWriteError] = 0;
    return request;
  }

  /** Bytes that wait for room; lib/net.js looks whether they become fewer. */
  get writeQueueSize(): number {
    return this.#writes?.reduce((sum, { left }) => sum + left, 0) ?? 0;
  }

  /** One step of what is to be sent: true if there is another one at once. */
  #flush(): boolean {
    const write = this.#writes?.[0];
    if (write === undefined) return this.#drained();
    const { bytes, left } = write;
    let sent = 0;
    if (bytes.length < left) {
      // The peer must not take what it got for all.
      this.#native.setOption(option.linger, 0);
      sent = -EFAULT;
    } else if (left > 0) sent = this.#native.send(bytes, 0, left, 0);
    if (this.#waits(sent)) return false;
    if (sent >= 0 && sent < left) {
      write.bytes = bytes.subarray(sent);
      write.left = left - sent;
      return true;
    }
    this.#writes?.shift();
    if (this.#writes?.length === 0) this.#writes = undefined;
    this.#update();
    const status = Math.min(sent, 0);
    this.#tellOf(write, () => this.#finished(write, status));
    return this.#writes !== undefined || this.#shutdown !== undefined;
  }

  /** What is told to C++ has a turn of its own. */
  #tellOf({ resource }: Waiting, tell: () => void): void {
    if (resource === undefined) socketLoop().defer(tell);
    else tell();
  }

  #finished(waiting: Waiting, status: number): void {
    if (waiting.resource !== undefined) this.#complete(waiting, status, undefined);
    else native.callAsLoop(this.finishWrite, this, waiting.request, status);
  }

  shutdown(request: Request): number {
    return this.#shutDown(request, false);
  }

  onshutdown(request: Request): number {
    return this.#shutDown(request, true);
  }

  /** As uv_shutdown(): done behind what is written, and told in a turn of the loop of its own. */
  #shutDown(request: Request, byNative: boolean): number {
    if (this.#closing || this.#shutdown !== undefined) return -ENOTCONN;
    const resource = byNative ? undefined : new AsyncResource('VPOLLNETTCPSHUTDOWN');
    this.#shutdown = { request, resource };
    this.#update();
    return 0;
  }

  #drained(): boolean {
    const shutdown = this.#shutdown;
    if (shutdown === undefined) return false;
    this.#shutdown = undefined;
    const status = this.#native.shutdown(1);
    this.#update();
    this.#tellOf(shutdown, () => this.#shutDownDone(shutdown, status));
    return false;
  }

  #shutDownDone(waiting: Waiting, status: number): void {
    if (waiting.resource !== undefined) this.#complete(waiting, status, undefined);
    else native.callAsLoop(this.finishShutdown, this, waiting.request, status);
  }

  // The loop.

  ready(events: number, got?: number): number {
    if ((events & POLLNVAL) !== 0) {
      this.lost();
      return 0;
    }
    if (this.#connecting !== undefined) {
      this.#connected(events);
      return 0;
    }
    if (this.#listens) return this.#accept() && !this.#closing ? events : 0;
    // libuv has a shutdown with nothing before it done when it polls: what comes meanwhile is read behind it.
    if (this.#shutdown !== undefined && this.#writes === undefined && (events & toWrite) !== 0) {
      this.#drained();
      return this.#reads ? events & toRead : 0;
    }
    if (this.#reads && (events & toRead) !== 0) {
      if (this.#read(got) && this.#reads) return events;
      return this.#sends ? events & toWrite : 0;
    }
    return (events & toWrite) !== 0 && this.#flush() ? POLLOUT : 0;
  }

  get #sends(): boolean {
    return this.#writes !== undefined || this.#shutdown !== undefined;
  }

  /** The stack was closed: what is on it is closed too, in order. */
  lost(): void {
    const owner = (this as unknown as Record<symbol, unknown>)[ownerSymbol] as
      | { destroy?(): void; close?(): void }
      | undefined;
    if (owner?.destroy !== undefined) owner.destroy();
    else if (owner?.close !== undefined) owner.close();
    else this.close();
  }

  /** What it waits for, and whether it keeps the loop alive: as libuv, by an active handle that is referenced, and by each request. */
  #update(): void {
    let wanted = 0;
    let holds = 0;
    if (!this.#closing) {
      if (this.#connecting !== undefined) wanted = POLLOUT;
      else if (this.#listens) wanted = POLLIN;
      else {
        wanted = (this.#reads ? POLLIN : 0) | (this.#sends ? POLLOUT : 0);
        // Only where ready() reads into the scratch before it does anything else.
        const readsNext = this.#userBuffer === undefined && this.#shutdown === undefined;
        if (this.#reads && readsNext) wanted |= readFirst;
      }
      if ((this.#reads || this.#listens) && this.#referenced) holds++;
      if (this.#connecting !== undefined || this.#sends) holds++;
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

  #message(more: object): object {
    const local: NodeAddress = {};
    const remote: NodeAddress = {};
    this.getsockname(local);
    this.getpeername(remote);
    return { handle: this, local, remote, ...more };
  }

  // The end.

  isClosing(): boolean {
    return this.#closing;
  }

  /** Sends a reset, then closes. */
  reset(callback?: () => void): number {
    if (this.#shutdown !== undefined) return -EINVAL;
    if (this.#closing) return 0;
    this.#native.setOption(option.linger, 0);
    this.close(callback);
    return 0;
  }

  close(callback?: () => void): void {
    if (this.#closing) return;
    if (channels.closed.hasSubscribers && !this.#listens) {
      const { bytesRead, bytesWritten } = this;
      channels.closed.publish(this.#message({ bytesRead, bytesWritten }));
    }
    this.#closing = true;
    this.#reads = false;
    this.#stack.handles?.delete(this);
    this.#update();
    const loop = socketLoop();
    loop.remove(this.#place);
    this.#native.close();
    // In libuv's order: requests first, as cancelled.
    const connecting = this.#connecting;
    if (connecting !== undefined) {
      loop.atClosePhase(() => this.#complete(connecting, -ECANCELED, connecting.request));
    }
    for (const write of this.#writes ?? []) {
      loop.atClosePhase(() => this.#finished(write, -ECANCELED));
    }
    const shutdown = this.#shutdown;
    if (shutdown !== undefined) {
      loop.atClosePhase(() => this.#shutDownDone(shutdown, -ECANCELED));
    }
    this.#connecting = this.#shutdown = this.#writes = undefined;
    loop.atClosePhase(() => {
      if (callback !== undefined) this.#resource.runInAsyncScope(callback, this);
    });
  }
}
