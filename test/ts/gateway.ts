// SPDX-License-Identifier: MIT
//
// What the tests of gateways share:
//
//   guest 10.0.0.2 -- cable -- router 10.0.0.1 [gateway] far 203.0.113.2 -- cable -- server 203.0.113.9
//         fd00::2                     fd00::1                2001:db8::2                    2001:db8::9
//
// or, instead of far and server, the host's kernel.

import { createHash } from 'node:crypto';
import { onTestFinished } from 'vitest';
import {
  type FlowInfo,
  type Gateway,
  type GatewayOptions,
  HostStack,
  type LoadedStack,
  POLLIN,
  POLLOUT,
  poll,
  pollAsync,
  type SocketStack,
  type Stack,
  type TcpSocket,
  type UdpSocket,
} from 'vpollnet';
import { freshCable, openStack } from './support.js';

export interface Guest {
  guest: Stack;
  router: Stack;
  /** Where the guest is. */
  url: string;
}

/** A network with nobody but a guest and its router. */
export async function openGuest(): Promise<Guest> {
  const url = freshCable();
  const router = await openStack({ url, addresses: ['10.0.0.1/24', 'fd00::1/64'] });
  const guest = await openStack({
    url,
    addresses: ['10.0.0.2/24', 'fd00::2/64'],
    gateways: ['10.0.0.1', 'fd00::1'],
  });
  return { guest, router, url };
}

export function openGateway(router: Stack, options: GatewayOptions): Gateway {
  const gateway = router.gateway(options);
  onTestFinished(() => gateway.close());
  return gateway;
}

export async function openHost(): Promise<HostStack> {
  const stack = await HostStack.open();
  onTestFinished(() => stack.close());
  return stack;
}

export interface Place extends Guest {
  gateway: Gateway;
  /** The stack that flows are carried to. */
  far: Stack | HostStack | LoadedStack;
  /** The stack that the servers are on. */
  server: SocketStack;
}

/** With another stack of ours on the far side. */
export async function toStack(options: Partial<GatewayOptions> = {}): Promise<Place> {
  const near = await openGuest();
  const url = freshCable();
  const far = await openStack({ url, addresses: ['203.0.113.2/24', '2001:db8::2/64'] });
  const server = await openStack({ url, addresses: ['203.0.113.9/24', '2001:db8::9/64'] });
  const gateway = openGateway(near.router, { to: far, ...options });
  return { ...near, far, server, gateway };
}

/** With the host on the far side. Its 127.0.0.1 is 10.7.0.1 unless `options` say otherwise. */
export async function toHost(options: Partial<GatewayOptions> = {}): Promise<Place> {
  const near = await openGuest();
  const far = await openHost();
  const gateway = openGateway(near.router, { to: far, hostLoopback: '10.7.0.1', ...options });
  return { ...near, far, server: far, gateway };
}

/** Until the socket has one of `events`, with the event loop running. */
export async function ready(socket: { fd: number }, events: number, ms = 20_000): Promise<number> {
  const entry = { fd: socket.fd, events, revents: 0 };
  if ((await pollAsync([entry], ms)) === 0) throw new Error(`no event of ${events} in ${ms} ms`);
  return entry.revents;
}

/** Connects; throws what came of it. */
export async function connected(
  from: SocketStack,
  host: string,
  port: number,
  ms?: number,
): Promise<TcpSocket> {
  const socket = from.socket('tcp');
  socket.connect({ host, port });
  await ready(socket, POLLOUT, ms);
  if (socket.error !== null) throw socket.error;
  return socket;
}

/** The code of the error that connecting gives. */
export async function refusal(
  from: SocketStack,
  host: string,
  port: number,
  ms?: number,
): Promise<string> {
  try {
    (await connected(from, host, port, ms)).close();
    return 'connected';
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

export function listening(on: SocketStack, host: string, port = 0): [TcpSocket, number] {
  const listener = on.socket('tcp').bind({ host, port }).listen();
  return [listener, listener.localAddress!.port];
}

export async function accepted(listener: TcpSocket): Promise<TcpSocket> {
  await ready(listener, POLLIN);
  const socket = listener.accept();
  if (socket === null) throw new Error('no connection to accept');
  return socket;
}

/** Both ends of a connection to `host` that arrives at `listener`. */
export async function pair(
  from: SocketStack,
  host: string,
  port: number,
  listener: TcpSocket,
): Promise<[client: TcpSocket, server: TcpSocket]> {
  const [client, server] = await Promise.all([connected(from, host, port), accepted(listener)]);
  return [client, server];
}

/** What comes until the end of the stream. */
export async function rest(socket: TcpSocket): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (;;) {
    await ready(socket, POLLIN);
    const part = socket.read();
    if (part?.length === 0) return Buffer.concat(parts);
    if (part !== null) parts.push(part);
  }
}

/** The next bytes, or the next datagram. */
export async function next(socket: TcpSocket | UdpSocket, ms = 20_000): Promise<string> {
  await ready(socket, POLLIN, ms);
  return socket.read()?.toString() ?? '';
}

/** Sends `data` each way at the same time; the digests of what arrived, `to`'s first. Blocks. */
export function exchange(from: TcpSocket, to: TcpSocket, data: Buffer): string[] {
  const ends = [from, to].map((socket) => ({
    socket,
    sent: 0,
    got: 0,
    hash: createHash('sha256'),
  }));
  const buffer = Buffer.allocUnsafe(256 * 1024);
  while (ends.some(({ got }) => got < data.length)) {
    const wanted = ends.map(({ socket, sent, got }) => ({
      fd: socket.fd,
      events: (sent < data.length ? POLLOUT : 0) | (got < data.length ? POLLIN : 0),
    }));
    if (poll(wanted, 10_000) === 0) throw new Error(`stuck at ${ends.map(({ got }) => got)}`);
    for (const end of ends) {
      if (end.sent < data.length) end.sent += Math.max(end.socket.send(data, end.sent), 0);
      for (let got = end.socket.recv(buffer); got > 0; got = end.socket.recv(buffer)) {
        end.hash.update(buffer.subarray(0, got));
        end.got += got;
      }
    }
  }
  return ends.reverse().map(({ hash }) => hash.digest('hex'));
}

/** The next event of that name. */
export function once(gateway: Gateway, event: 'ask' | 'flow' | 'end'): Promise<FlowInfo> {
  return new Promise((resolve) => gateway.once(event, resolve));
}
