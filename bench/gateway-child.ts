// SPDX-License-Identifier: MIT
//
// Runs in a user and network namespace of its own (see gateway.ts), which is the host here, and prints a row a line.
// A second namespace has three ways to it, each with a device of its own, and is measured over each in turn:
//
//   ours: tap1 10.5.2.100, the host is 10.5.2.2      slirp4netns: tap0 10.0.2.100, the host is 10.0.2.2
//   pasta: veth0 192.0.2.10 as on the host, which is 192.0.2.1

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { HostStack, Namespace, Stack } from 'vpollnet';
import { compare, type Row, row } from './measure.js';
import { capture, program } from './native.js';
import { stop } from './peer.js';

const mtu = 65520;
const seconds = 2;
const connections = 2000;
const held = 5000;
const datagram = 1400;
const ours = '10.5.2.2';
const slirp = '10.0.2.2';
const pasta = '192.0.2.1';
const iperfPort = 5201;
const flowsPort = 5202;

const ip = (...args: string[]) =>
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'inherit'] });
const children: ChildProcess[] = [];

function start(command: string, args: readonly string[]): ChildProcess {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'ignore'] });
  children.push(child);
  return child;
}

const inside = start('unshare', ['-Urn', 'sleep', '3600']);
let entered: string[] = [];
const there = (...command: string[]) => [...entered, ...command];

/** What a program in the second namespace prints. */
async function inNamespace(...command: string[]): Promise<string> {
  const [file, ...args] = there(...command);
  return capture(file as string, args);
}

/** Until `command` succeeds in the second namespace. */
async function appears(...command: string[]): Promise<void> {
  for (let tries = 0; ; tries += 1) {
    try {
      await inNamespace(...command);
      return;
    } catch (error) {
      if (tries === 50) throw error;
      await sleep(100);
    }
  }
}

interface Iperf {
  end: {
    sum: { bytes: number; seconds: number; packets: number; lost_packets: number };
    sum_received: { bits_per_second: number };
  };
}

async function iperf(address: string, ...options: string[]): Promise<Iperf> {
  const text = await inNamespace(
    'iperf3',
    ...['-c', address, '-p', String(iperfPort), '-t', String(seconds), '-J', ...options],
  );
  return JSON.parse(text) as Iperf;
}

async function tcp(address: string, ...options: string[]): Promise<number> {
  return (await iperf(address, ...options)).end.sum_received.bits_per_second / 1e9;
}

/** Of what came, not of what was sent. */
async function udp(address: string): Promise<number> {
  const { sum } = (await iperf(address, '-u', '-b', '0', '-l', String(datagram))).end;
  const arrived = 1 - sum.lost_packets / Math.max(sum.packets, 1);
  return (sum.bytes * 8 * arrived) / sum.seconds / 1e9;
}

async function connect(address: string): Promise<number> {
  const flows = program('flows');
  const count = String(connections);
  return (
    connections / Number(await inNamespace(flows, 'connect', address, String(flowsPort), count))
  );
}

function print(line: Row): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** Milliseconds by which the event loop was late, at the 99th percentile, during `work`. */
async function lateness(work: () => Promise<unknown>): Promise<number> {
  const delay = monitorEventLoopDelay({ resolution: 5 });
  delay.enable();
  await work();
  delay.disable();
  return (delay.percentile(99) - 5e6) / 1e6;
}

let stack: Stack | undefined;
let host: HostStack | undefined;
try {
  ip('link', 'set', 'lo', 'up');
  ip('link', 'add', 'veth0', 'type', 'veth', 'peer', 'name', 'veth1');
  ip('address', 'add', '192.0.2.10/24', 'dev', 'veth0');
  ip('link', 'set', 'veth0', 'up');
  ip('link', 'set', 'veth1', 'up');
  ip('route', 'add', 'default', 'via', pasta, 'dev', 'veth0');
  await sleep(300); // unshare has to make its namespace
  const pid = inside.pid as number;
  entered = ['nsenter', '-t', String(pid), '-U', '-n', '--preserve-credentials'];

  // Connections come by the thousand, each with a port that is then in TIME-WAIT.
  await inNamespace('sysctl', '-qw', 'net.ipv4.ip_local_port_range=1024 65535');
  await inNamespace('sysctl', '-qw', 'net.ipv4.tcp_tw_reuse=1');
  start('pasta', ['--foreground', '--config-net', '--mtu', String(mtu), String(pid)]);
  await appears('ip', 'route', 'get', pasta);
  start('slirp4netns', ['--mtu', String(mtu), String(pid), 'tap0']);
  await appears('ip', 'address', 'add', '10.0.2.100/24', 'dev', 'tap0');
  await inNamespace('ip', 'link', 'set', 'tap0', 'up', 'mtu', String(mtu));
  const joined = await Namespace.join({
    pid,
    interface: { name: 'tap1', mtu, addresses: ['10.5.2.100/24'] },
  });
  stack = await Stack.open({ links: [{ ...joined.link, addresses: [`${ours}/24`] }] });
  host = await HostStack.open();
  const gateway = stack.gateway({ to: host, hostLoopback: ours });

  start('iperf3', ['-s', '-p', String(iperfPort)]);
  const keeper = start(program('flows'), ['keep', '127.0.0.1', String(flowsPort)]);
  await once(keeper.stdout as NodeJS.ReadableStream, 'data');
  await sleep(300); // iperf3 says nothing when it listens

  for (const [direction, options] of [
    ['tx', []],
    ['rx', ['-R']],
  ] as const) {
    for (const [name, address] of [
      ['slirp4netns', slirp],
      ['pasta', pasta],
    ] as const) {
      print(
        await compare(
          `gateway-tcp-${direction}-${name}`,
          'Gbit/s',
          name,
          () => tcp(ours, ...options),
          () => tcp(address, ...options),
        ),
      );
    }
  }
  const against = 'slirp4netns';
  print(
    await compare(
      'gateway-udp-slirp4netns',
      'Gbit/s',
      against,
      () => udp(ours),
      () => udp(slirp),
    ),
  );
  print(
    await compare(
      'gateway-connect-slirp4netns',
      '1/s',
      against,
      () => connect(ours),
      () => connect(slirp),
    ),
  );

  const alone: number[] = [];
  const crowded: number[] = [];
  const perConnection = async () => 1e6 / (await connect(ours));
  // Not while a crowd comes or goes: then its own packets are under way, and what a full queue of the device loses comes
  // again after a second.
  const settled = async (flows: number) => {
    for (let tries = 0; tries < 100; tries += 1) {
      await sleep(500);
      if (gateway.flows().filter(({ protocol }) => protocol === 'tcp').length <= flows) return;
    }
    throw new Error(`more than ${flows} flows are left 50 s after the last ended`);
  };
  for (let round = 0; round < 5; round += 1) {
    await settled(0);
    alone.push(await perConnection());
    const [file, ...args] = there(
      program('flows'),
      ...['hold', ours, String(flowsPort), String(held)],
    );
    const holder = spawn(file as string, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    await once(holder.stdout, 'data');
    await settled(held);
    crowded.push(await perConnection());
    await stop(holder);
  }
  print(row('gateway-connect-5000-flows', 'us', 'the same without them', crowded, alone));

  const busy: number[] = [];
  const idle: number[] = [];
  for (let round = 0; round < 5; round += 1) {
    busy.push(await lateness(() => tcp(ours, ...(round % 2 === 0 ? [] : ['-R']))));
    idle.push(await lateness(() => sleep(seconds * 1000)));
  }
  print(row('gateway-loop-p99', 'ms', 'the idle process', busy, idle));
} finally {
  await stack?.close();
  await host?.close();
  for (const child of children.reverse()) child.kill();
}
