// SPDX-License-Identifier: MIT
//
// Finds and loads the native addon, and says what it exports (ts/binding/addon.cpp). Calls that can
// fail in the stack return -errno as a number; nothing here checks arguments.

import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** [address, family (0, 4 or 6), port, scope] */
export type NativeEndpoint = [address: string, family: number, port: number, scope: number];

export interface NativeSocket {
  bind(host: string, port: number, scope: number): number;
  connect(host: string, port: number, scope: number): number;
  listen(backlog: number): number;
  accept(): NativeSocket | number;
  send(bytes: Uint8Array, offset: number, length: number, flags: number): number;
  sendTo(
    bytes: Uint8Array,
    offset: number,
    length: number,
    flags: number,
    host: string,
    port: number,
    scope: number,
  ): number;
  recv(bytes: Uint8Array, offset: number, length: number, flags: number): number;
  /** [bytes copied, bytes of the whole datagram, from whom] */
  recvFrom(
    bytes: Uint8Array,
    offset: number,
    length: number,
    flags: number,
  ): [number, number, NativeEndpoint] | number;
  shutdown(how: number): number;
  setOption(option: number, value: number): number;
  /** [-errno or 0, value] */
  option(option: number): [number, number];
  local(): NativeEndpoint | number;
  peer(): NativeEndpoint | number;
  state(): string;
  readiness(): number;
  fd(): number;
  close(): void;
  closed(): boolean;
}

export interface NativeInterface {
  id: number;
  name: string;
  mac: string;
  mtu: number;
  up: boolean;
  packetsIn: number;
  bytesIn: number;
  packetsOut: number;
  bytesOut: number;
}

/** How a link is described, checked: what link-options.ts makes of LinkOptions. */
export interface NativeLink {
  url: string;
  name: string;
  mac: string;
  mtu: number;
  ipv6: boolean;
  offloads: boolean;
  /** Null: as is usual for this kind of link. */
  reconnect: boolean | null;
  dad: boolean;
  addresses: string[];
  gateways: string[];
  impair: NativeImpairments;
}

/** Milliseconds, shares, bits a second; seed -1: as it is. */
export interface NativeImpairment {
  delay: number;
  jitter: number;
  loss: number;
  duplicate: number;
  reorder: number;
  corrupt: number;
  rate: number;
  queue: number;
  seed: number;
}

/** A direction that is not there stays as it is. */
export interface NativeImpairments {
  in?: NativeImpairment;
  out?: NativeImpairment;
}

export interface NativeImpairmentState extends NativeImpairment {
  waiting: number;
  frames: number;
  lost: number;
  duplicated: number;
  reordered: number;
  corrupted: number;
  queueFull: number;
}

export interface NativeLinkImpairment {
  in: NativeImpairmentState | null;
  out: NativeImpairmentState | null;
}

/** `descriptor` -1: the path. Without `links`: all. */
export interface NativeRecordingSpec {
  path: string;
  descriptor: number;
  snapLength: number;
  /** 0: any number. */
  frameLimit: number;
  links?: number[];
}

export interface NativeRecording {
  /** [frames, bytes, dropped] */
  totals(): [number, number, number];
  failure(): NativeFailure | undefined;
  stop(): void;
  ended(): boolean;
  /** Blocks until ended(), or for that long. */
  wait(milliseconds: number): boolean;
}

/** `syscall` is empty where none failed; `detail` may be too. */
export type NativeFailure = [errno: number, syscall: string, detail: string];

export interface NativeLinkCounters {
  framesIn: number;
  bytesIn: number;
  framesOut: number;
  bytesOut: number;
  drops: Record<string, number>;
}

export interface NativeNetwork {
  /** [errno, message] if it could not be opened; then nothing else may be called. */
  failure?: [number, string];
  /** The interface's id, or why not. */
  addLink(link: NativeLink): number | NativeFailure;
  removeLink(id: number): number;
  addAddress(id: number, cidr: string): number;
  removeAddress(id: number, address: string): number;
  addRoute(destination: string, gateway: string, id: number, metric: number): number;
  removeRoute(destination: string, gateway: string, id: number, metric: number): number;
  socket(type: string): NativeSocket | number;
  interfaces(): NativeInterface[];
  addresses(): {
    interface: number;
    address: string;
    prefix: number;
    state: 'tentative' | 'preferred' | 'duplicated';
  }[];
  routes(): { destination: string; gateway?: string; interface: number; metric: number }[];
  neighbours(): { interface: number; address: string; mac: string; state: string }[];
  sockets(): {
    type: 'tcp' | 'udp' | 'icmp';
    state: string;
    local: NativeEndpoint;
    remote: NativeEndpoint;
    receiveQueue: number;
    sendQueue: number;
  }[];
  counters(): {
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
  memoryUsed(): number;
  links(): {
    interface: number;
    url: string;
    errno: number;
    counters: NativeLinkCounters;
    impairment: NativeLinkImpairment;
  }[];
  impair(id: number, impairments: NativeImpairments): number;
  record(spec: NativeRecordingSpec): NativeRecording | NativeFailure;
  /** errno 0: the link is up again. */
  takeLinkChanges(): { interface: number; url: string; errno: number }[];
  close(): void;
}

/** How a port is described, checked. */
export interface NativeSwitchPort extends NativeLink {
  /** 0: none */
  vlan: number;
  trunk: number[];
}

export interface NativeSwitch {
  /** As NativeNetwork's. */
  failure?: [number, string];
  addPort(port: NativeSwitchPort): null | NativeFailure;
  removePort(name: string): number;
  ports(): {
    number: number;
    name: string;
    url: string;
    vlan: number;
    trunk: number[];
    mtu: number;
    errno: number;
    counters: NativeLinkCounters & { flooded: number; moved: number };
    impairment: NativeLinkImpairment;
  }[];
  impair(number: number, impairments: NativeImpairments): number;
  /** The links are ports, by number. */
  record(spec: NativeRecordingSpec): NativeRecording | NativeFailure;
  /** `age` in seconds. */
  table(): { mac: string; vlan: number; port: string; age: number }[];
  evictions(): number;
  /** `echo` is '' unless there is a loop; else errno 0 says that the link is up again. */
  takeChanges(): {
    port: string;
    url: string;
    errno: number;
    echo: string;
    mac: string;
    vlan: number;
  }[];
  close(): void;
}

/** A link of a plug-in, checked: host::PluginLink. */
export interface NativePluginLink {
  url: string;
  configured: boolean;
  addresses: string[];
  gateways: string[];
}

/** What plug-in is wanted: host::PluginRequest. */
export interface NativePluginRequest {
  name: string;
  home: string;
  links: NativePluginLink[];
  options: string;
  licenses: string[];
}

export interface NativeBsdStack {
  /** Why a plug-in could not be loaded; then nothing else may be called. */
  failure?: NativeFailure;
  /** Of a plug-in. */
  path?: string;
  license?: string;
  socket(type: string): NativeSocket | number;
  /** The number of the interface, or -errno. */
  interfaceIndex(name: string): number;
  close(): number;
}

export interface NativeWatch {
  ready(): boolean;
  start(): number;
  collect(entries: Int32Array, count: number): number;
  close(): void;
}

export interface Native {
  NativeNetwork: new (memoryLimit: number, name: string) => NativeNetwork;
  /** Without a request: the host's kernel. */
  NativeBsdStack: new (
    request?: NativePluginRequest,
  ) => NativeBsdStack;
  NativeSocket: new () => NativeSocket;
  /** In seconds, addresses, and frames a second. */
  NativeSwitch: new (
    ageing: number,
    tableSize: number,
    stormLimit: number,
  ) => NativeSwitch;
  /** `entries`: fd, events, revents; `revents` is written back. How many have something. */
  poll(entries: Int32Array, count: number, timeoutMs: number): number;
  watch(entries: Int32Array, count: number, onReady: () => void): NativeWatch | number;
  /** A connection to an inspector's endpoint and whose that is, or -errno (EAGAIN: it is busy). */
  dialInspector(name: string): [fd: number, pid: number, uid: number] | number;
  /** Why the last `fd()` that failed did, in words; '' if that is not known. */
  fdError(): string;
  /** The core's option numbers by their JavaScript names. */
  options: Record<string, number>;
  constants: Record<
    | 'POLLIN'
    | 'POLLPRI'
    | 'POLLOUT'
    | 'POLLERR'
    | 'POLLHUP'
    | 'POLLNVAL'
    | 'POLLRDHUP'
    | 'MSG_OOB'
    | 'MSG_PEEK'
    | 'MSG_MORE',
    number
  >;
}

const built = 'build/Release/vpollnet.node';

/** VPOLLNET_ADDON, or the addon of the package that this file is in: it runs from ts/ or dist/ts/. */
function addonPath(): string {
  const chosen = process.env.VPOLLNET_ADDON;
  if (chosen) return chosen;
  const here = dirname(fileURLToPath(import.meta.url));
  for (const up of ['..', '../..']) {
    const path = join(here, up, built);
    if (existsSync(path)) return path;
  }
  throw new Error(
    `vpollnet: the native addon is not built (no ${built}); run 'npm run setup' in its folder`,
  );
}

function load(): Native {
  const path = addonPath();
  try {
    return createRequire(import.meta.url)(path) as Native;
  } catch (cause) {
    const reason = (cause as Error).message.split('\n')[0];
    throw new Error(`vpollnet: cannot load the native addon ${path}: ${reason}`, { cause });
  }
}

export const native: Native = load();
