// SPDX-License-Identifier: MIT
//
// Runs in a network namespace of its own (see tap.ts) and prints a row a line.
//
//   this namespace: tap0 10.9.0.1 ── stack 10.9.0.2       veth0 10.8.0.1 ── veth1 10.8.0.2 of a second one

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { POLLIN, POLLOUT, poll, Stack, type TcpSocket, WOULD_BLOCK } from 'vpollnet';
import { compare, gigabits, type Row, secondsSince } from './measure.js';
import { capture, program } from './native.js';

const bulkBytes = 1024 * 1024 * 1024;
const roundTrips = 10_000;
const chunk = Buffer.alloc(64 * 1024, 1);
const kernel = 'kernel to kernel over veth';
const peer = program('peer');

const ip = (...args: string[]) =>
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'inherit'] });

async function serve(
  mode: string,
  address: string,
  port: number,
  inside?: number,
): Promise<ChildProcess> {
  const args = [mode, address, String(port), String(bulkBytes)];
  const command =
    inside === undefined ? [peer, ...args] : ['nsenter', '-t', String(inside), '-n', peer, ...args];
  const child = spawn(command[0] as string, command.slice(1), {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(child.stdout as NodeJS.ReadableStream, 'data');
  return child;
}

async function stop(child: ChildProcess): Promise<void> {
  const exit = once(child, 'exit');
  child.stdin?.end();
  await exit;
}

function connect(stack: Stack, port: number): TcpSocket {
  const socket = stack.socket('tcp');
  socket.connect({ host: '10.9.0.1', port });
  poll([{ fd: socket.fd, events: POLLOUT }], 5000);
  if (socket.error !== null) throw socket.error;
  socket.setOption('noDelay', true);
  return socket;
}

function send(stack: Stack): number {
  const socket = connect(stack, 1);
  const begin = process.hrtime.bigint();
  const writable = [{ fd: socket.fd, events: POLLOUT }];
  for (let sent = 0; sent < bulkBytes; ) {
    const taken = socket.send(chunk, 0, Math.min(chunk.length, bulkBytes - sent));
    if (taken === WOULD_BLOCK) poll(writable, 5000);
    else sent += taken;
  }
  socket.shutdown('write');
  drain(socket);
  const seconds = secondsSince(begin);
  socket.close();
  return gigabits(bulkBytes, seconds);
}

function drain(socket: TcpSocket): number {
  const buffer = Buffer.allocUnsafe(128 * 1024);
  const readable = [{ fd: socket.fd, events: POLLIN }];
  for (let received = 0; ; ) {
    const got = socket.recv(buffer);
    if (got === 0) return received;
    if (got === WOULD_BLOCK) poll(readable, 5000);
    else received += got;
  }
}

function receive(stack: Stack): number {
  const socket = connect(stack, 2);
  const begin = process.hrtime.bigint();
  const received = drain(socket);
  const seconds = secondsSince(begin);
  socket.close();
  return gigabits(received, seconds);
}

function roundTrip(stack: Stack): number {
  const socket = connect(stack, 3);
  const byte = Buffer.alloc(1);
  const readable = [{ fd: socket.fd, events: POLLIN }];
  const begin = process.hrtime.bigint();
  for (let i = 0; i < roundTrips; i += 1) {
    socket.send(byte);
    while (socket.recv(byte) === WOULD_BLOCK) poll(readable, 5000);
  }
  const seconds = secondsSince(begin);
  socket.close();
  return (seconds / roundTrips) * 1e6;
}

const inside = spawn('unshare', ['-n', 'sleep', '3600'], { stdio: 'ignore' });
const servers: ChildProcess[] = [];
let stack: Stack | undefined;
try {
  ip('link', 'set', 'lo', 'up');
  ip('tuntap', 'add', 'dev', 'tap0', 'mode', 'tap', 'vnet_hdr');
  ip('address', 'add', '10.9.0.1/24', 'dev', 'tap0');
  ip('link', 'set', 'tap0', 'up');
  await new Promise((resolve) => setTimeout(resolve, 200)); // unshare has to make its namespace
  const second = inside.pid as number;
  ip('link', 'add', 'veth0', 'type', 'veth', 'peer', 'name', 'veth1', 'netns', String(second));
  ip('address', 'add', '10.8.0.1/24', 'dev', 'veth0');
  ip('link', 'set', 'veth0', 'up');
  const there = (...args: string[]) =>
    execFileSync('nsenter', ['-t', String(second), '-n', 'ip', ...args]);
  there('address', 'add', '10.8.0.2/24', 'dev', 'veth1');
  there('link', 'set', 'veth1', 'up');

  servers.push(await serve('sink', '10.9.0.1', 1));
  servers.push(await serve('source', '10.9.0.1', 2));
  servers.push(await serve('echo', '10.9.0.1', 3));
  servers.push(await serve('sink', '10.8.0.2', 1, second));
  servers.push(await serve('echo', '10.8.0.2', 3, second));
  const open = await Stack.open({ links: [{ url: 'tap://tap0', addresses: ['10.9.0.2/24'] }] });
  stack = open;

  const veth = async (mode: string, port: number, amount: number) =>
    Number(await capture(peer, [mode, '10.8.0.2', String(port), String(amount)]));
  const vethBulk = async () => gigabits(bulkBytes, await veth('bulk', 1, bulkBytes));
  const vethRoundTrip = async () => ((await veth('rtt', 3, roundTrips)) / roundTrips) * 1e6;
  const print = (row: Row) => process.stdout.write(`${JSON.stringify(row)}\n`);
  print(await compare('tcp-bulk-tap-tx', 'Gbit/s', kernel, () => send(open), vethBulk));
  print(await compare('tcp-bulk-tap-rx', 'Gbit/s', kernel, () => receive(open), vethBulk));
  print(await compare('tcp-rtt-tap', 'us', kernel, () => roundTrip(open), vethRoundTrip));
} finally {
  await stack?.close();
  for (const server of servers) await stop(server);
  inside.kill();
}
