// SPDX-License-Identifier: MIT
//
// What a process tells of its stacks (stack/host/inspector.hpp), and how it is asked.

import { readFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { getSystemErrorName } from 'node:util';
import { native } from '../ts/native.js';

export interface TrafficCounters {
  framesIn: number;
  bytesIn: number;
  framesOut: number;
  bytesOut: number;
  /** Those that are not 0. */
  drops: Record<string, number>;
}

export interface LinkSnapshot extends TrafficCounters {
  interface: number;
  url: string;
  /** 0 while it works. */
  errno: number;
}

export interface SocketSnapshot {
  type: 'tcp' | 'udp' | 'icmp';
  state: string;
  /** ADDRESS:PORT; ':0' while it has none. */
  local: string;
  remote: string;
  receiveQueue: number;
  sendQueue: number;
}

export interface StackSnapshot {
  kind: 'stack';
  /** Tells it from the others of its process. */
  id: number;
  name: string;
  memory: number;
  memoryLimit: number;
  interfaces: { id: number; name: string; mac: string; mtu: number; up: boolean }[];
  addresses: { interface: number; address: string; state: string }[];
  links: LinkSnapshot[];
  counters: {
    packetsIn: number;
    bytesIn: number;
    packetsOut: number;
    bytesOut: number;
    tcpSegmentsIn: number;
    tcpSegmentsOut: number;
    tcpRetransmits: number;
    tcpResetsOut: number;
    drops: Record<string, number>;
  };
  sockets: SocketSnapshot[];
}

export interface PortSnapshot extends TrafficCounters {
  name: string;
  url: string;
  /** 0 while its link works. */
  errno: number;
  /** 0: frames without a tag are dropped. */
  vlan: number;
  /** How many VLANs have tags here. */
  tagged: number;
  flooded: number;
  moved: number;
}

export interface SwitchSnapshot {
  kind: 'switch';
  id: number;
  name: string;
  /** How many it has learned. */
  addresses: number;
  evictions: number;
  ports: PortSnapshot[];
}

export interface ProcessSnapshot {
  pid: number;
  program: string;
  stacks: (StackSnapshot | SwitchSnapshot)[];
}

export interface Sight {
  /** In the order of their pids. */
  processes: ProcessSnapshot[];
  /** Processes of ours that gave no answer, and why. */
  silent: { pid: number; reason: string }[];
  /** How many processes of other users have stacks. */
  foreign: number;
}

interface Endpoint {
  /** Without the null byte that an abstract name begins with. */
  name: string;
  uid: number;
  pid: number;
}

const { EAGAIN, ECONNREFUSED } = constants.errno;
/** Milliseconds until an endpoint that is busy is tried again. */
const retryPause = 20;
const answerLimit = 256 * 2 ** 20;
/** SO_ACCEPTCON of linux/net.h: the socket listens. */
const accepting = 0x10000;

/** The endpoints in this network namespace, by a text in the form of /proc/net/unix. */
export function endpointsIn(table: string): Endpoint[] {
  const found: Endpoint[] = [];
  for (const line of table.split('\n')) {
    // Num RefCount Protocol Flags Type St Inode Path
    const [, flags, name, uid, pid] =
      /^\S+ \S+ \S+ ([0-9A-F]+) \S+ \S+ +\d+ @(vpollnet\/(\d+)\/(\d+)(?:\/\d+)?)$/.exec(line) ?? [];
    if (name === undefined || (Number.parseInt(flags as string, 16) & accepting) === 0) continue;
    found.push({ name, uid: Number(uid), pid: Number(pid) });
  }
  return found.sort((a, b) => a.pid - b.pid || (a.name < b.name ? -1 : 1));
}

/**
 * Asks every process that may be asked.
 * @param timeout milliseconds for each
 * @param pids only those; empty: all
 */
export async function look(timeout: number, pids: readonly number[]): Promise<Sight> {
  const me = process.geteuid?.() ?? 0;
  const all = endpointsIn(readFileSync('/proc/net/unix', 'latin1')).filter(
    ({ pid }) => pids.length === 0 || pids.includes(pid),
  );
  const mine = all.filter(({ uid }) => uid === me || me === 0);
  const sight: Sight = { processes: [], silent: [], foreign: all.length - mine.length };
  const answers = await Promise.allSettled(mine.map((endpoint) => ask(endpoint, timeout)));
  answers.forEach((answer, index) => {
    const { pid } = mine[index] as Endpoint;
    if (answer.status === 'fulfilled') {
      if (answer.value !== null) sight.processes.push(answer.value);
    } else {
      sight.silent.push({ pid, reason: (answer.reason as Error).message });
    }
  });
  return sight;
}

/** Null if the process has just ended. */
async function ask({ name, uid }: Endpoint, timeout: number): Promise<ProcessSnapshot | null> {
  const end = performance.now() + timeout;
  const silence = new Error(`no answer within ${timeout / 1000} s`);
  let dialled = native.dialInspector(name);
  while (dialled === -EAGAIN) {
    if (performance.now() > end) throw silence;
    await sleep(retryPause);
    dialled = native.dialInspector(name);
  }
  if (dialled === -ECONNREFUSED) return null;
  if (typeof dialled === 'number') throw new Error(getSystemErrorName(dialled));
  const [fd, , owner] = dialled;
  const socket = new Socket({ fd, readable: true, writable: false });
  const timer = setTimeout(() => socket.destroy(silence), Math.max(0, end - performance.now()));
  try {
    if (owner !== uid) throw new Error('the name belongs to another user');
    const parts: Buffer[] = [];
    let size = 0;
    for await (const part of socket) {
      parts.push(part);
      size += part.length;
      if (size > answerLimit) throw new Error(`more than ${answerLimit} bytes`);
    }
    if (size === 0) return null;
    return JSON.parse(Buffer.concat(parts).toString()) as ProcessSnapshot;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ECONNRESET') return null;
    if (error instanceof SyntaxError) throw new Error('its answer broke off');
    throw error;
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}
