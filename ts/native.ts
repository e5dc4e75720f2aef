// SPDX-License-Identifier: MIT
//
// Finds and loads the native addon, and says what it exports (ts/binding/addon.cpp). Calls that can
// fail in the stack return -errno as a number; nothing here checks arguments.

import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TcpInfo } from './tcp-info.js';

/** [address, family (0, 4 or 6), port, scope] */
export type NativeEndpoint = [address: string, family: number, port: number, scope: number];

/** TcpInfo of tcp-info.ts, as the addon gives it. */
export interface NativeTcpInfo extends Omit<TcpInfo, 'windowScale'> {
  sendWindowScale: number | null;
  receiveWindowScale: number | null;
}

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
  setMembership(group: string, interfaceId: number, member: boolean): number;
  setSourceMembership(source: string, group: string, interfaceId: number, member: boolean): number;
  setOption(option: number, value: number | string): number;
  /** [-errno or 0, value] */
  option(option: number): [number, number];
  /** For options that are a text; or -errno. */
  textOption(option: number): string | number;
  local(): NativeEndpoint | number;
  peer(): NativeEndpoint | number;
  state(): string;
  /** Or -errno. */
  info(): NativeTcpInfo | number;
  record(spec: NativeRecordingSpec): NativeRecording | NativeFailure;
  readiness(): number;
  fd(): number;
  /** What its NativeLoop is to hear of: POLL* bits, NativeLoop::kReadFirst; 0 for nothing, not even errors. */
  want(events: number): number;
  close(): void;
  closed(): boolean;
}

/** ts/binding/loop.hpp: the sockets that this thread's event loop serves by callbacks. */
export interface NativeLoop {
  /** The place that stands for the socket in callbacks, or -errno. */
  add(socket: NativeSocket): number;
  remove(place: number): void;
  keepAlive(on: boolean): void;
  /** onClosed() is to be called in the loop's next phase of closed handles. False if libuv refuses. */
  closePhase(): boolean;
  /** Where it reads for sockets with NativeLoop::kReadFirst. */
  setScratch(scratch: Uint8Array): void;
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

/** RouterAdvertisementConfig of stack.hpp, with its units. */
export interface NativeAdvertisement {
  hopLimit: number;
  managed: boolean;
  other: boolean;
  preference: number;
  lifetime: number;
  reachableTime: number;
  retransmissionTime: number;
  mtu: number;
  prefixes: {
    prefix: string;
    onLink: boolean;
    autonomous: boolean;
    validLifetime: number;
    preferredLifetime: number;
  }[];
  dns: string[];
  search: string[];
  dnsLifetime: number;
  shortestInterval: number;
  longestInterval: number;
}

/** filter::FlowProgress */
export type ConnectionState =
  | 'opening'
  | 'answered'
  | 'established'
  | 'half-closed'
  | 'closed'
  | 'reset';

/** `interfaces` empty: all. `reversePath`: 0 strict, 1 loose, 2 off. */
export interface NativeForwarding {
  enabled: boolean;
  interfaces: number[];
  reversePath: number;
}

/** Masks have a bit for each direction or state; ports are [first, last, first, last, ...]; -1: any. */
export interface NativeRule {
  directions: number;
  in: number[];
  out: number[];
  sources: string[];
  destinations: string[];
  protocol: number;
  sourcePorts: number[];
  destinationPorts: number[];
  icmpType: number;
  icmpCode: number;
  states: number;
  action: number;
}

/** `policies` by direction: forward, in, out. */
export interface NativeRuleSet {
  rules: NativeRule[];
  policies: number[];
}

export interface NativeNatRules {
  sources: {
    out: number;
    sources: string[];
    destinations: string[];
    protocol: number;
    addresses: string[];
    ports: number[];
    open: boolean;
  }[];
  destinations: {
    in: number;
    addresses: string[];
    sources: string[];
    protocol: number;
    ports: number[];
    to: string;
    toPort: number;
    hairpin: boolean;
  }[];
  prefixes: { out: number; internal: string; external: string }[];
}

export interface NativeFlowTuple {
  protocol: number;
  source: string;
  sourcePort: number;
  destination: string;
  destinationPort: number;
}

export interface NativeRuleCount {
  packets: number;
  bytes: number;
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
  advertise(id: number, what: NativeAdvertisement): number;
  endAdvertising(id: number): number;
  setForwarding(config: NativeForwarding): number;
  forwarding(): NativeForwarding;
  setFilter(rules: NativeRuleSet | null): number;
  filterInfo(): { rules: NativeRuleCount[]; policies: NativeRuleCount[] };
  /** `age` in ms; `direction` and `state` as in the masks. */
  takeFilterLog(): {
    age: number;
    rule: number;
    direction: number;
    in: number;
    out: number;
    state: number;
    size: number;
    flow: NativeFlowTuple;
  }[];
  setNat(rules: NativeNatRules): number;
  /** `expires` in ms. */
  connections(): {
    original: NativeFlowTuple;
    reply: NativeFlowTuple;
    state: ConnectionState;
    packetsOriginal: number;
    packetsReply: number;
    bytesOriginal: number;
    bytesReply: number;
    expires: number;
  }[];
  setConnectionLimits(connections: number, perSource: number): number;
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
  share(): string;
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

/** host::FlowTarget: '' and 0 are none. */
export interface NativeFlowTarget {
  address: string;
  port: number;
  scope: number;
  path: string;
}

export type NativeVerdict = 'allow' | 'refuse' | 'drop' | 'ask';

export type NativeDecision = [id: number, verdict: NativeVerdict, target: NativeFlowTarget | null];

/** host::GatewayRule: '' is any. */
export interface NativeGatewayRule {
  protocol?: string;
  source: string;
  destination: string;
  firstPort: number;
  lastPort: number;
  /** If left out, any. */
  reach?: readonly string[];
  action: NativeVerdict;
  target: NativeFlowTarget | null;
}

/** host::GatewayConfig; times in milliseconds. */
export interface NativeGatewayConfig {
  /** Ids; empty: all. */
  interfaces: number[];
  rules: NativeGatewayRule[];
  otherwise: NativeVerdict;
  askTimeout: number;
  flows: number;
  flowsPerSource: number;
  asking: number;
  udpIdle: number;
  udpServiceIdle: number;
  icmpIdle: number;
}

/**
 * Flows, or events about them: for each a row of 24 numbers (what, id, protocol, direction, state, end, errno, interface, reach,
 * bytes out and in, packets out and in, age and idle in milliseconds; family, port and scope of source, destination and
 * target), and four texts that end with a null each: the addresses of those three, and the target's path.
 */
export interface NativeFlows {
  numbers: Float64Array;
  text: string;
}

/** host::ForwardSpec. */
export interface NativeForward {
  direction: 'inward' | 'outward';
  protocol: 'tcp' | 'udp';
  listen: NativeFlowTarget;
  count: number;
  to: NativeFlowTarget;
}

export interface NativeGateway {
  /** Why it could not be opened; then nothing else may be called. */
  failure?: NativeFailure;
  setRules(rules: NativeGatewayRule[], otherwise: NativeVerdict): number;
  /** Where it gives any, `onEvents` is called again. */
  takeEvents(limit: number): NativeFlows;
  tellFlows(on: boolean): void;
  keepAlive(on: boolean): void;
  /** What is gone is passed over. */
  decideAll(decisions: NativeDecision[]): void;
  take(id: number): NativeSocket | number;
  kill(id: number): boolean;
  flowsAfter(id: number, limit: number): NativeFlows;
  counters(): {
    flows: number;
    bytesOut: number;
    bytesIn: number;
    openFlows: number;
    asking: number;
    drops: Record<string, number>;
  };
  addForward(forward: NativeForward): number | NativeFailure;
  removeForward(id: number): boolean;
  /** `port` 0: of a path. */
  forwards(): { id: number; port: number; flows: number }[];
  close(): void;
}

export interface NativeWatch {
  ready(): boolean;
  start(): number;
  collect(entries: Int32Array, count: number): number;
  close(): void;
}

export interface Native {
  /** With a key that share() gave: the network of another thread. */
  NativeNetwork: new (
    memoryLimitOrKey: number | string,
    name?: string,
    congestion?: string,
  ) => NativeNetwork;
  /** Without a request: the host's kernel. */
  NativeBsdStack: new (
    request?: NativePluginRequest,
  ) => NativeBsdStack;
  NativeLoop: new (
    onReady: (place: number, events: number, got: number | undefined) => number,
    onClosed: () => number,
    onDeferred: () => void,
  ) => NativeLoop;
  NativeSocket: new () => NativeSocket;
  NativeGateway: new (
    network: NativeNetwork,
    to: NativeNetwork | NativeBsdStack,
    config: NativeGatewayConfig,
    onEvents: () => void,
  ) => NativeGateway;
  /** In seconds, addresses, and frames a second. */
  NativeSwitch: new (
    ageing: number,
    tableSize: number,
    stormLimit: number,
  ) => NativeSwitch;
  /** `entries`: fd, events, revents; `revents` is written back. How many have something. */
  poll(entries: Int32Array, count: number, timeoutMs: number): number;
  watch(entries: Int32Array, count: number, onReady: () => void): NativeWatch | number;
  /** ts/binding/loop_call.hpp: `call` is of Node's C++. What its callbacks throw is uncaught, and does not come out. */
  callAsLoop<Args extends unknown[]>(
    call: (...args: Args) => void,
    receiver: object,
    ...args: Args
  ): void;
  /** What some of the numbers of NativeFlows stand for, by their name there. */
  flowWords: Record<'what' | 'protocol' | 'direction' | 'state' | 'end' | 'reach', string[]>;
  /** A connection to an inspector's endpoint and whose that is, or -errno (EAGAIN: it is busy). */
  dialInspector(name: string): [fd: number, pid: number, uid: number] | number;
  /** Two ends of host::open_descriptor_channel(), or -errno. */
  openChannel(): [ours: number, theirs: number] | number;
  /** `text` '': the other end has gone. -errno: EAGAIN if there is nothing yet. */
  receiveMessage(channel: number): { text: string; descriptors: number[] } | number;
  sendMessage(channel: number, text: string): number;
  /** A descriptor, or -errno. */
  memoryFile(bytes: string): number;
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

/** Where a program stands that is built with the addon. */
export function programPath(name: string): string {
  return join(dirname(addonPath()), name);
}
