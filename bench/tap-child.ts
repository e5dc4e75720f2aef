// SPDX-License-Identifier: MIT
//
// Runs in a network namespace of its own (see tap.ts) and prints a row a line.
//
//   this namespace: tap0 10.9.0.1 ── stack 10.9.0.2       veth0 10.8.0.1 ── veth1 10.8.0.2 of a second one

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { POLLIN, poll, Stack, WOULD_BLOCK } from 'vpollnet';
import { compare, gigabits, type Row, secondsSince } from './measure.js';
import { capture, program } from './native.js';
import { serve as servePeer, stop } from './peer.js';
import { connect, drain, sendBulk } from './streams.js';

const bulkBytes = 1024 * 1024 * 1024;
const roundTrips = 10_000;
const kernel = 'kernel to kernel over veth';
const peer = program('peer');

const ip = (...args: string[]) =>
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'inherit'] });

const serve = (mode: string, address: string, port: number, inside?: number) =>
  servePeer(mode, address, port, bulkBytes, inside);

const host = '10.9.0.1';

function send(stack: Stack): number {
  const socket = connect(stack, host, 1);
  const seconds = sendBulk(socket, bulkBytes);
  socket.close();
  return gigabits(bulkBytes, seconds);
}

function receive(stack: Stack): number {
  const socket = connect(stack, host, 2);
  const begin = process.hrtime.bigint();
  const received = drain(socket);
  const seconds = secondsSince(begin);
  socket.close();
  return gigabits(received, seconds);
}

function roundTrip(stack: Stack): number {
  const socket = connect(stack, host, 3);
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
