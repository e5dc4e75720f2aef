// SPDX-License-Identifier: MIT
//
// The network of these tests, in a namespace of its own (scripts/test.mjs, runInterop):
//
//   Linux kernel  10.0.0.1/24  fd00::1/64 ── tap0 ── 10.0.0.2/24  fd00::2/64  our stack
//
// The kernel's end is node:net, node:dgram and ping(8), in this process or a child.

import { execFile, execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import { promisify } from 'node:util';
import { POLLIN, POLLOUT, pollAsync, Stack, type TcpSocket, WOULD_BLOCK } from '../../ts/index.js';

export const kernel4 = '10.0.0.1';
export const kernel6 = 'fd00::1';
export const stack4 = '10.0.0.2';
export const stack6 = 'fd00::2';
export const families = [
  { family: 'IPv4', kernel: kernel4, stack: stack4 },
  { family: 'IPv6', kernel: kernel6, stack: stack6 },
] as const;

export function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'inherit'] });
}

/** A command to its end; what it printed. */
export async function sh(file: string, ...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(file, args, { timeout: 50_000 });
  return stdout;
}

/**
 * The kernel pings `host`: each of `count` requests is answered. One at a time: of several, ping(8) waits for the last
 * answer only twice as long as another one took.
 */
export async function pinged(host: string, count: number, ...options: string[]): Promise<void> {
  for (let i = 0; i < count; i += 1) {
    const output = await sh('ping', '-c', '1', '-W', '10', ...options, host);
    if (!output.includes('1 received')) throw new Error(output);
  }
}

/** Makes a TAP or TUN with the kernel's addresses on it, up. */
export function makeDevice(name: string, mode: 'tap' | 'tun', ...flags: string[]): void {
  if (process.env.VPOLLNET_NAMESPACE !== '1') {
    throw new Error('run these tests by `npm test`: they need a network namespace of their own');
  }
  ip('tuntap', 'add', 'dev', name, 'mode', mode, ...flags);
  ip('address', 'add', `${kernel4}/24`, 'dev', name);
  ip('address', 'add', `${kernel6}/64`, 'dev', name, 'nodad');
  ip('link', 'set', name, 'up');
  ip('link', 'set', 'lo', 'up');
}

export function removeDevice(name: string): void {
  ip('link', 'delete', name);
}

export function openStack(url: string, offloads = true): Promise<Stack> {
  return Stack.open({
    links: [
      {
        url,
        offloads,
        dad: false,
        addresses: [`${stack4}/24`, `${stack6}/64`],
        gateways: [kernel4],
      },
    ],
  });
}

/** A server of the kernel's; close it by the function returned. */
export async function kernelServer(
  host: string,
  onConnection: (socket: net.Socket) => void,
): Promise<{ port: number; close: () => Promise<void> }> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    onConnection(socket);
  });
  server.listen(0, host);
  await once(server, 'listening');
  return {
    port: (server.address() as net.AddressInfo).port,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Waits until the socket has one of `events`; which. */
export async function ready(
  socket: { fd: number },
  events: number,
  timeoutMs = 20_000,
): Promise<number> {
  const fds = [{ fd: socket.fd, events, revents: 0 }];
  if ((await pollAsync(fds, timeoutMs)) === 0) throw new Error('nothing came in time');
  return fds[0]?.revents ?? 0;
}

/** A connection of the stack's to the kernel, established. */
export async function connect(stack: Stack, host: string, port: number): Promise<TcpSocket> {
  const socket = stack.socket('tcp');
  socket.connect({ host, port });
  await ready(socket, POLLOUT);
  if (socket.error !== null) throw socket.error;
  return socket;
}

export async function sendAll(socket: TcpSocket, data: Uint8Array): Promise<void> {
  for (let sent = 0; sent < data.length; ) {
    const taken = socket.send(data, sent);
    if (taken === WOULD_BLOCK) await ready(socket, POLLOUT);
    else sent += taken;
  }
}

/** What comes until the end of the stream: each piece to `take`. */
export async function receiveAll(
  socket: TcpSocket,
  take: (piece: Buffer) => void,
): Promise<number> {
  const buffer = Buffer.allocUnsafe(256 * 1024);
  for (let total = 0; ; ) {
    const got = socket.recv(buffer);
    if (got === 0) return total;
    if (got === WOULD_BLOCK) await ready(socket, POLLIN);
    else {
      take(buffer.subarray(0, got));
      total += got;
    }
  }
}

/** 1 MiB of random bytes that are sent again and again, and the digest of `times` of them. */
export function material(times: number): { piece: Buffer; digest: string } {
  const piece = randomBytes(1024 * 1024);
  const hash = createHash('sha256');
  for (let i = 0; i < times; i += 1) hash.update(piece);
  return { piece, digest: hash.digest('hex') };
}
