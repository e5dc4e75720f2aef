// SPDX-License-Identifier: MIT
//
// Connections as Web streams: stack.connect() and stack.listen(). Bytes go from the stack into the reader's own
// buffer (a BYOB reader's, or the one that the stream makes), with no copy between.

import { isIP } from 'node:net';
import { constants } from 'node:os';
import { ReadableStream, WritableStream } from 'node:stream/web';
import { checkEndpoint, checkInteger, checkObject } from './check.js';
import { invalidType, NetworkError } from './errors.js';
import { type NativeSocket, native } from './native.js';
import type { NetStack } from './node/net.js';
import { isLost, type Served, socketLoop } from './node/socket-loop.js';
import { type SocketAddress, toSocketAddress } from './socket.js';
import { TcpSocket } from './tcp-socket.js';

const { EAGAIN, EBADF, ECONNABORTED, EFAULT, EINPROGRESS } = constants.errno;
const { POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT } = native.constants;
const readSize = 64 * 1024;

/** Where to connect to. */
export interface ConnectOptions {
  /** An address, or a name that stack.dns resolves: its addresses are tried in order. */
  host: string;
  port: number;
  /** Aborts while it connects: connect() rejects with the signal's reason, and nothing stays open. */
  signal?: AbortSignal;
}

/** Where to listen. */
export interface ListenOptions {
  /** An address of the stack; all of both families if left out. */
  host?: string;
  /** A free one if left out, or 0. */
  port?: number;
  /** Connections that may wait for accept(); 511 if left out. */
  backlog?: number;
}

/** A socket that waits for events by promises. */
class Waiter implements Served {
  readonly #socket: NativeSocket;
  readonly #place: number;
  readonly #waits = new Map<number, { resolve: () => void; reject: (error: unknown) => void }>();
  readonly #handles: Set<{ lost(): void }> | undefined;
  #closed = false;
  onlost: () => void = () => undefined;

  constructor(socket: NativeSocket, { handles }: NetStack) {
    this.#socket = socket;
    this.#handles = handles;
    this.#place = socketLoop().add(socket, this);
    if (this.#place < 0) {
      // Another thread has closed the stack meanwhile.
      socket.close();
      throw new NetworkError('socket', -this.#place);
    }
    handles?.add(this);
  }

  /** Resolves when one of `events` is there, or an error or a hang-up. Keeps the loop alive until then. */
  wait(events: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waits.set(events, { resolve, reject });
      socketLoop().hold();
      this.#want();
    });
  }

  ready(events: number): number {
    if ((events & POLLNVAL) !== 0) {
      this.lost();
      return 0;
    }
    for (const [wanted, { resolve }] of [...this.#waits]) {
      if ((events & (wanted | POLLERR | POLLHUP)) === 0) continue;
      this.#end(wanted);
      resolve();
    }
    this.#want();
    return 0;
  }

  /** Tells the loop of all that is waited for. */
  #want(): void {
    this.#socket.want([...this.#waits.keys()].reduce((all, one) => all | one, 0));
  }

  #end(events: number): void {
    this.#waits.delete(events);
    socketLoop().release();
  }

  /** The stack was closed. */
  lost(): void {
    this.close(new NetworkError('recv', ECONNABORTED, { detail: 'the stack was closed' }));
    this.onlost();
  }

  /** Ends the socket, and with `reason` what waits for it. */
  close(reason: unknown): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#handles?.delete(this);
    socketLoop().remove(this.#place);
    this.#socket.close();
    for (const [events, { reject }] of [...this.#waits]) {
      this.#end(events);
      reject(reason);
    }
  }

  get closed(): boolean {
    return this.#closed;
  }
}

const closedHere = () => new NetworkError('recv', ECONNABORTED, { detail: 'close() was called' });

/**
 * A TCP connection as two Web streams. `readable` is a byte stream, so that a BYOB reader has its own buffer filled.
 * It is closed when both have ended, or by close().
 */
export class StackConnection implements AsyncDisposable {
  readonly readable: ReadableStream<Uint8Array>;
  /** Closing it tells the peer that no more comes; aborting it resets the connection. */
  readonly writable: WritableStream<Uint8Array>;
  /** Resolves when the connection is closed, whatever closed it. */
  readonly closed: Promise<void>;
  readonly localAddress: SocketAddress;
  readonly remoteAddress: SocketAddress;
  /** The same connection with the calls of TcpSocket, for `fd`, options and the like. Bytes are the streams' own. */
  readonly socket: TcpSocket;
  readonly #native: NativeSocket;
  readonly #waiter: Waiter;
  #open = { readable: true, writable: true };
  #ended: () => void = () => undefined;
  #fail: (error: unknown) => void = () => undefined;

  /** @internal By stack.connect() and a listener. */
  constructor(socket: NativeSocket, waiter: Waiter, stack: NetStack) {
    this.#native = socket;
    this.#waiter = waiter;
    this.socket = new TcpSocket(socket, { ...stack.owner, keep() {}, forget() {} });
    this.localAddress = addressOf(socket.local());
    this.remoteAddress = addressOf(socket.peer());
    this.closed = new Promise((resolve) => {
      this.#ended = resolve;
    });
    this.readable = new ReadableStream({
      type: 'bytes',
      autoAllocateChunkSize: readSize,
      start: (controller) => {
        this.#fail = (error) => controller.error(error);
      },
      pull: (controller) => this.#pull(controller),
      cancel: () => {
        if (!this.#waiter.closed) this.#native.shutdown(0);
        this.#done('readable');
      },
    }) as ReadableStream<Uint8Array>;
    this.writable = new WritableStream<Uint8Array>({
      // abort() of the sink waits for a write that is under way; the signal does not.
      start: (controller) => {
        const { signal } = controller as unknown as { signal: AbortSignal };
        signal.addEventListener('abort', () => this.#reset(signal.reason), { once: true });
      },
      write: (chunk) => this.#write(chunk),
      close: () => {
        if (!this.#waiter.closed) this.#native.shutdown(1);
        this.#done('writable');
      },
      abort: (reason) => this.#reset(reason),
    });
    waiter.onlost = () => this.#lost(closedHere());
  }

  /** Later there is more; or the stack was closed just now, which is about to end what waits. */
  #waits(result: number): boolean {
    return result === -EAGAIN || (isLost(result) && !this.#waiter.closed);
  }

  async #pull(controller: ReadableByteStreamController): Promise<void> {
    const request = controller.byobRequest as ReadableStreamBYOBRequest;
    const view = request.view as ArrayBufferView;
    const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    for (;;) {
      const got = this.#native.recv(bytes, 0, bytes.length, 0);
      if (this.#waits(got)) {
        await this.#waiter.wait(POLLIN);
        continue;
      }
      if (got < 0) {
        const error = new NetworkError('recv', -got);
        this.#lost(error);
        throw error;
      }
      if (got === 0) {
        controller.close();
        request.respond(0);
        this.#done('readable');
        return;
      }
      request.respond(got);
      return;
    }
  }

  async #write(chunk: Uint8Array): Promise<void> {
    if (!(chunk instanceof Uint8Array))
      throw invalidType('chunk', 'an instance of Uint8Array', chunk);
    const { length } = chunk;
    for (let done = 0; done < length; ) {
      // One that is transferred to someone else while it waits is an empty one: the peer must not take what it got for all.
      const sent =
        chunk.length < length ? -EFAULT : this.#native.send(chunk, done, length - done, 0);
      if (sent >= 0) {
        done += sent;
        continue;
      }
      if (!this.#waits(sent)) {
        const error = new NetworkError('send', -sent);
        this.#reset(error);
        throw error;
      }
      await this.#waiter.wait(POLLOUT);
    }
  }

  #done(half: 'readable' | 'writable'): void {
    this.#open[half] = false;
    if (!this.#open.readable && !this.#open.writable) this.#lost(closedHere());
  }

  #reset(reason: unknown): void {
    if (!this.#waiter.closed) this.#native.setOption(native.options.linger as number, 0);
    this.#lost(reason);
    this.#fail(reason);
  }

  #lost(reason: unknown): void {
    this.#waiter.close(reason);
    this.#ended();
  }

  /** Closes both directions at once. What was written is still sent. Idempotent. */
  close(): void {
    if (this.#waiter.closed) return;
    const reason = closedHere();
    this.#lost(reason);
    if (this.#open.readable) this.#fail(reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

/** Takes connections: by accept(), or `for await (const connection of listener)`. */
export class StackListener implements AsyncDisposable {
  readonly address: SocketAddress;
  readonly #stack: NetStack;
  readonly #native: NativeSocket;
  readonly #waiter: Waiter;
  /** The last accept() that was asked for. */
  #turn: Promise<unknown> = Promise.resolve();

  /** @internal By stack.listen(). */
  constructor(stack: NetStack, socket: NativeSocket) {
    this.#stack = stack;
    this.#native = socket;
    this.#waiter = new Waiter(socket, stack);
    this.address = addressOf(socket.local());
  }

  /**
   * The next connection; null once the listener is closed. Calls are served in their order.
   * @throws {NetworkError} EMFILE and the like
   */
  accept(): Promise<StackConnection | null> {
    const next = this.#turn.then(() => this.#accept());
    this.#turn = next.catch(() => undefined);
    return next;
  }

  async #accept(): Promise<StackConnection | null> {
    while (!this.#waiter.closed) {
      const socket = this.#native.accept();
      if (typeof socket !== 'number') {
        return new StackConnection(socket, new Waiter(socket, this.#stack), this.#stack);
      }
      if (socket === -ECONNABORTED) continue;
      // The stack was closed, and has not told it yet.
      if (socket === -EBADF) break;
      if (socket !== -EAGAIN) throw new NetworkError('accept', -socket);
      try {
        await this.#waiter.wait(POLLIN);
      } catch (error) {
        if (!this.#waiter.closed) throw error;
      }
    }
    this.close();
    return null;
  }

  async *[Symbol.asyncIterator](): AsyncIterator<StackConnection, undefined> {
    try {
      for (;;) {
        const connection = await this.accept();
        if (connection === null) return;
        yield connection;
      }
    } finally {
      this.close();
    }
  }

  /** Takes no more. Connections that were accepted stay. Idempotent. */
  close(): void {
    this.#waiter.close(closedHere());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

function addressOf(end: ReturnType<NativeSocket['local']>): SocketAddress {
  if (typeof end === 'number') return { address: '::', family: 'IPv6', port: 0 };
  if (end[1] !== 0) return toSocketAddress(end);
  return { address: '::', family: 'IPv6', port: end[2] };
}

function zoneId(stack: NetStack, zone: string | undefined, host: string): number {
  if (zone === undefined) return 0;
  const id = stack.owner.interfaceId(zone);
  if (id !== undefined) return id;
  throw new NetworkError('connect', constants.errno.ENODEV, { address: `${host}%${zone}` });
}

/** `stack.connect()` */
export async function connectStream(
  stack: NetStack,
  options: ConnectOptions,
): Promise<StackConnection> {
  const { host, port, signal } = checkObject(options, 'options') as unknown as ConnectOptions;
  checkInteger(port, 'options.port', 1, 65535);
  if (typeof host !== 'string') throw invalidType('options.host', 'of type string', host);
  signal?.throwIfAborted();
  const addresses = isIP(host) === 0 ? await addressesOf(stack, host) : [host];
  let failure: unknown;
  for (const address of addresses) {
    signal?.throwIfAborted();
    try {
      return await connectTo(stack, address, port, signal);
    } catch (error) {
      signal?.throwIfAborted();
      failure = error;
    }
  }
  throw failure;
}

function addressesOf(stack: NetStack, host: string): Promise<string[]> {
  return new Promise((resolve, reject) => {
    stack.lookup(host, { all: true }, (error, found) => {
      if (error) reject(error);
      else resolve((found as unknown as { address: string }[]).map(({ address }) => address));
    });
  });
}

async function connectTo(
  stack: NetStack,
  host: string,
  port: number,
  signal: AbortSignal | undefined,
): Promise<StackConnection> {
  const target = checkEndpoint({ host, port }, 'options', { host: true, port: true });
  const scope = zoneId(stack, target.zone, target.host);
  const fail = (errno: number) => new NetworkError('connect', errno, { address: host, port });
  const socket = stack.open('tcp');
  if (typeof socket === 'number') throw new NetworkError('socket', -socket);
  const waiter = new Waiter(socket, stack);
  const abort = () => waiter.close(signal?.reason);
  signal?.addEventListener('abort', abort, { once: true });
  try {
    const result = socket.connect(target.host, port, scope);
    if (result !== 0 && result !== -EINPROGRESS) throw fail(-result);
    await waiter.wait(POLLOUT);
    const [, errno] = socket.option(native.options.error as number);
    if (errno !== 0) throw fail(errno);
    return new StackConnection(socket, waiter, stack);
  } catch (error) {
    waiter.close(error);
    throw error;
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}

/** `stack.listen()` */
export function listenStream(stack: NetStack, options: ListenOptions): StackListener {
  const { backlog = 511 } = checkObject(options, 'options') as ListenOptions;
  const checkedBacklog = checkInteger(backlog, 'options.backlog', 0, 0x7fffffff);
  const target = checkEndpoint(options, 'options', { host: false, port: false });
  const scope = zoneId(stack, target.zone, target.host);
  const socket = stack.open('tcp');
  if (typeof socket === 'number') throw new NetworkError('socket', -socket);
  try {
    const check = (syscall: string, result: number) => {
      if (result === 0) return;
      throw new NetworkError(syscall, -result, { address: target.host || '::', port: target.port });
    };
    check('setsockopt', socket.setOption(native.options.reuseAddress as number, 1));
    check('bind', socket.bind(target.host, target.port, scope));
    check('listen', socket.listen(checkedBacklog));
    return new StackListener(stack, socket);
  } catch (error) {
    socket.close();
    throw error;
  }
}
