// SPDX-License-Identifier: MIT
//
// A gateway between a stack's links and another stack. The bytes move in the pump; here flows are decided, told of
// and ended.

import { EventEmitter } from 'node:events';
import { constants } from 'node:os';
import { checkArray, checkFunction, checkInteger, checkKeys, checkObject } from './check.js';
import { UdpSocket } from './datagram-socket.js';
import {
  gatewayClosed,
  illegalConstructor,
  invalidType,
  invalidValue,
  NetworkError,
  policyFailed,
} from './errors.js';
import { type FlowInfo, readFlows, showFlow } from './gateway-flow.js';
import { checkForward, Forward, type ForwardOptions, forwardRefused } from './gateway-forward.js';
import {
  checkRedirect,
  compileRules,
  type GatewayRule,
  HostLoopback,
  type Redirect,
} from './gateway-rules.js';
import type { HostStack } from './host-stack.js';
import { whileListened } from './keeper.js';
import type { LoadedStack } from './loaded-stack.js';
import {
  type NativeDecision,
  type NativeFlowTarget,
  type NativeGateway,
  type NativeNetwork,
  type NativeVerdict,
  native,
} from './native.js';
import { type StackParts, stackParts } from './socket-stack.js';
import type { Stack } from './stack.js';
import { TcpSocket } from './tcp-socket.js';

/**
 * What becomes of a flow. 'refuse' is RST, or ICMP "prohibited"; 'drop' no answer. `take` gets it as a socket
 * of the gateway's stack, connected: its localAddress is the flow's destination, its remoteAddress the source.
 * If it throws or rejects, the socket is reset.
 */
export type Decision = 'allow' | 'refuse' | 'drop' | { redirect: Redirect } | { take: Take };

type Take = (socket: TcpSocket | UdpSocket, flow: FlowInfo) => void | Promise<void>;

/**
 * Decides a new flow; meanwhile nothing of it is answered. A throw, a wrong value and the time limit refuse it.
 * @param signal aborted when the flow is gone, or the time limit over
 */
export type Policy = (flow: FlowInfo, signal: AbortSignal) => Decision | Promise<Decision>;

export interface GatewayLimits {
  /** Flows at a time, up to 1,048,576; 16,384 if left out. */
  flows?: number;
  /** Flows at a time from one address; 8,192 if left out, or `flows` if that is less. */
  flowsPerSource?: number;
  /** Flows that wait for the policy, up to 4,096; 1,024 if left out. */
  asking?: number;
  /** Milliseconds without a datagram that end a UDP flow; 300,000 if left out (RFC 4787 4.3). */
  udpIdle?: number;
  /** The same for ports below 1024, such as DNS; 60,000 if left out. */
  udpServiceIdle?: number;
  /** Milliseconds without an echo that end an ICMP flow; 60,000 if left out (RFC 5508 REQ-1). */
  icmpIdle?: number;
}

export interface GatewayOptions {
  /** The stack that flows are carried to. */
  to: HostStack | Stack | LoadedStack;
  /** Links that it answers behind, by name or id; all that there are, if left out. */
  interfaces?: readonly (string | number)[];
  /** The first that fits a new flow decides it. */
  rules?: readonly GatewayRule[];
  /**
   * Decides what no rule does. If left out, with a HostStack flows to public addresses are allowed, with another
   * stack all but those to its own addresses; the rest is refused.
   */
  policy?: Policy;
  /** Milliseconds that the policy has, up to 86,400,000; 30,000 if left out. Then the flow is refused. */
  policyTimeout?: number;
  /**
   * Addresses that lead to the far stack's loopback (127.0.0.1, ::1), at the same port: any that the guests' routes
   * lead to the gateway, or the stack's own, whose ports without a socket then do. None if left out. Rules and
   * the policy decide about them too; without a policy they are allowed.
   */
  hostLoopback?: string | readonly string[];
  limits?: GatewayLimits;
}

export interface GatewayCounters {
  /** That have opened. */
  flows: number;
  /** Payload away from who began them, and towards them. */
  bytesOut: number;
  bytesIn: number;
  /** Now. */
  openFlows: number;
  /** Flows that wait for the policy now. */
  asking: number;
  /**
   * Why something got nowhere: flow_limit, source_limit, asking_limit, no_descriptors, denied, dropped,
   * undecided, refused, unreachable, datagram_queue_full, datagram_too_big, echo_not_allowed, events_lost.
   */
  drops: Record<string, number>;
}

export interface GatewayEvents {
  /** A flow waits for the policy. */
  ask: [FlowInfo];
  /** A flow has opened. */
  flow: [FlowInfo];
  /** A flow has ended, or will never begin: `end` says why. */
  end: [FlowInfo];
  /** The policy threw, or gave a wrong value (ERR_GATEWAY_POLICY); or a flow could not be taken. */
  error: [Error];
  /** The gateway was closed, by close() or with one of its stacks. */
  close: [];
}

/** What the gateway's stack knows of its interfaces. */
interface Interfaces {
  names(): ReadonlyMap<number, string>;
  idOf(link: unknown, name: string): number;
}

const { EBADF, ENOENT } = constants.errno;
const mostFlows = 2 ** 20;
const mostAsking = 4096;
/** Events for one turn of the loop: the program gets to its own work between them. */
const eventsPerTurn = 256;
/** Flows for one hold of the pump's lock. */
const flowsPerPart = 512;
const day = 86_400_000;

function checkLimits(value: unknown): Required<GatewayLimits> {
  const name = 'options.limits';
  const given = checkObject(value, name);
  const most = {
    flows: mostFlows,
    flowsPerSource: mostFlows,
    asking: mostAsking,
    udpIdle: day,
    udpServiceIdle: day,
    icmpIdle: day,
  };
  const defaults = {
    flows: 16_384,
    flowsPerSource: 8_192,
    asking: 1_024,
    udpIdle: 300_000,
    udpServiceIdle: 60_000,
    icmpIdle: 60_000,
  };
  checkKeys(given, name, Object.keys(most));
  const limits = Object.entries(most).map(([key, limit]) => {
    const otherwise = defaults[key as keyof GatewayLimits];
    return [key, checkInteger(given[key] ?? otherwise, `${name}.${key}`, 1, limit)];
  });
  return Object.fromEntries(limits);
}

/** The ids of the links; none stands for all. */
function checkLinks(value: unknown, name: string, { idOf }: Interfaces): number[] {
  if (value === undefined) return [];
  const links = checkArray(value, name);
  if (links.length === 0) {
    throw invalidValue(name, value, 'must not be empty: leave it out for all links');
  }
  return links.map((link, i) => idOf(link, `${name}[${i}]`));
}

const illegal = Symbol('only stack.gateway() has this');

/**
 * A gateway, from stack.gateway(). It works whenever it can, also while this thread is blocked; what has to be asked
 * waits for the event loop. It keeps the process alive, as a server does (see unref()), and stays open until its
 * close(), or that of one of its stacks.
 */
export class Gateway extends EventEmitter<GatewayEvents> {
  readonly #native: NativeGateway;
  readonly #near: StackParts;
  readonly #far: StackParts;
  readonly #interfaces: Interfaces;
  readonly #policy: Policy | undefined;
  readonly #loopback: HostLoopback;
  readonly #asking = new Map<number, AbortController>();
  #settled: NativeDecision[] = [];
  readonly #forwards = new Set<Forward>();
  readonly #stopTelling: () => void;
  readonly #closeWithStack = () => this.close();
  #rules: readonly GatewayRule[] = [];
  #closed = false;

  /** @internal Use stack.gateway(). */
  constructor(stack: Stack, options: unknown, interfaces: Interfaces, token: symbol) {
    super();
    if (token !== illegal) throw illegalConstructor('use stack.gateway()');
    const given = checkObject(options, 'options');
    checkKeys(given, 'options', [
      'to',
      'interfaces',
      'rules',
      'policy',
      'policyTimeout',
      'hostLoopback',
      'limits',
    ]);
    const { to, interfaces: links, rules = [], policy, policyTimeout = 30_000 } = given;
    const far = typeof to === 'object' && to !== null ? stackParts.get(to) : undefined;
    if (far === undefined) {
      throw invalidType('options.to', 'an instance of HostStack, Stack or LoadedStack', to);
    }
    if (to === stack) throw invalidValue('options.to', to, 'must be another stack');
    if ((to as Stack).closed) throw invalidValue('options.to', to, 'must be open, and is closed');
    if (policy !== undefined) checkFunction(policy, 'options.policy');
    this.#near = stackParts.get(stack) as StackParts;
    this.#far = far;
    this.#interfaces = interfaces;
    this.#policy = policy as Policy | undefined;
    this.#loopback = new HostLoopback(given.hostLoopback, 'options.hostLoopback');
    const compiled = this.#compile(rules, 'options.rules');
    const { flowsPerSource, ...limits } = checkLimits(given.limits ?? {});
    this.#native = new native.NativeGateway(
      this.#near.native as NativeNetwork,
      far.native,
      {
        interfaces: checkLinks(links, 'options.interfaces', interfaces),
        rules: compiled,
        otherwise: this.#otherwise,
        askTimeout: checkInteger(policyTimeout, 'options.policyTimeout', 1, day),
        ...limits,
        flowsPerSource: Math.min(flowsPerSource, limits.flows),
      },
      () => this.#onEvents(),
    );
    if (this.#native.failure !== undefined) {
      const [errno, syscall, detail] = this.#native.failure;
      throw new NetworkError(syscall || 'gateway', errno, { detail: detail || undefined });
    }
    this.#rules = rules as readonly GatewayRule[];
    this.#stopTelling = whileListened(this, ['flow', 'end'], (on) => this.#native.tellFlows(on));
    for (const { closing } of [this.#near, far]) closing.add(this.#closeWithStack);
  }

  /** @internal */
  static open(stack: Stack, options: GatewayOptions, interfaces: Interfaces): Gateway {
    return new Gateway(stack, options, interfaces, illegal);
  }

  /** Other rules, for flows that begin from now on. Those that are open stay. Errors as stack.gateway(). */
  setRules(rules: readonly GatewayRule[]): void {
    this.#check('setRules');
    const compiled = this.#compile(rules, 'rules');
    this.#done('setRules', this.#native.setRules(compiled, this.#otherwise));
    this.#rules = rules;
  }

  get rules(): readonly GatewayRule[] {
    return this.#rules;
  }

  /**
   * The flows that there are, oldest first. A program that has more to do lists a large table in parts.
   * @param options `after`: those with a greater id alone; `limit`: so many at most
   */
  flows(options: { after?: number; limit?: number } = {}): FlowInfo[] {
    this.#check('flows');
    const given = checkObject(options, 'options');
    checkKeys(given, 'options', ['after', 'limit']);
    let last = checkInteger(given.after ?? 0, 'options.after', 0, Number.MAX_SAFE_INTEGER);
    const limit = checkInteger(given.limit ?? mostFlows, 'options.limit', 1, mostFlows);
    const names = this.#interfaces.names();
    const all: FlowInfo[] = [];
    for (;;) {
      const wanted = Math.min(flowsPerPart, limit - all.length);
      const part = readFlows(this.#native.flowsAfter(last, wanted), names);
      for (const { flow } of part) all.push(flow);
      if (part.length < flowsPerPart || all.length === limit) return all;
      last = all.at(-1)?.id ?? 0;
    }
  }

  /** Ends a flow, with a reset to both sides. False if there is none. */
  kill(id: number): boolean {
    this.#check('kill');
    return this.#native.kill(checkInteger(id, 'id', 1, Number.MAX_SAFE_INTEGER));
  }

  counters(): GatewayCounters {
    this.#check('counters');
    return this.#native.counters();
  }

  /**
   * Opens ports of one side that lead to the other. They are open until the forward's close(), or the gateway's.
   * @throws {NetworkError} EADDRINUSE, EADDRNOTAVAIL, EACCES, ..., with the port; nothing of a range is left open
   */
  forward(options: ForwardOptions): Forward {
    this.#check('forward');
    const checked = checkForward(options, 'options');
    const id = this.#native.addForward(checked);
    if (typeof id !== 'number') throw forwardRefused(checked, id);
    const forward: Forward = new Forward(id, structuredClone(options), this.#native, () =>
      this.#forwards.delete(forward),
    );
    this.#forwards.add(forward);
    return forward;
  }

  /** The forwards that are open. */
  forwards(): Forward[] {
    return [...this.#forwards];
  }

  /** The process stays alive while the gateway is open, which it does from the start. Returns the gateway. */
  ref(): this {
    if (!this.#closed) this.#native.keepAlive(true);
    return this;
  }

  /** The process may end although the gateway is open. Returns the gateway. */
  unref(): this {
    if (!this.#closed) this.#native.keepAlive(false);
    return this;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Ends all flows with a reset, and all forwards. Done when the call returns. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stopTelling();
    for (const { closing } of [this.#near, this.#far]) closing.delete(this.#closeWithStack);
    for (const forward of this.#forwards) forward.close();
    this.#native.close();
    const asking = [...this.#asking.values()];
    this.#asking.clear();
    for (const controller of asking) controller.abort();
    this.#tell('close');
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  #check(call: string): void {
    if (this.#closed) throw gatewayClosed(`${call}()`);
  }

  #done(call: string, result: number): void {
    if (result < 0) throw new NetworkError(call, -result);
  }

  get #otherwise(): 'ask' | 'refuse' {
    return this.#policy === undefined ? 'refuse' : 'ask';
  }

  #compile(rules: unknown, name: string) {
    return compileRules(rules, name, {
      hasPolicy: this.#policy !== undefined,
      loopback: this.#loopback,
      toHost: this.#far.kind === 'host',
    });
  }

  #onEvents(): void {
    if (this.#closed) return;
    const events = this.#native.takeEvents(eventsPerTurn);
    for (const { what, flow } of readFlows(events, this.#interfaces.names())) {
      if (this.#closed) return;
      if (what === 'asked') this.#ask(flow);
      else if (what === 'opened') this.#tell('flow', flow);
      else this.#ended(flow);
    }
  }

  #ask(flow: FlowInfo): void {
    const controller = new AbortController();
    this.#asking.set(flow.id, controller);
    this.#tell('ask', { ...flow });
    try {
      const decision: unknown = this.#policy?.(flow, controller.signal);
      if (!isThenable(decision)) {
        this.#decided(flow, decision);
        return;
      }
      Promise.resolve(decision).then(
        (value) => this.#decided(flow, value),
        (error) => this.#failed(flow, 'threw', error),
      );
    } catch (error) {
      this.#failed(flow, 'threw', error);
    }
  }

  /** Nothing is decided any more once the flow is gone, or the gateway closed. */
  #decided(flow: FlowInfo, decision: unknown): void {
    if (!this.#asking.has(flow.id)) return;
    try {
      if (decision === 'allow' || decision === 'refuse' || decision === 'drop') {
        this.#decide(flow, decision, null);
        return;
      }
      const { take, redirect } = checkDecision(decision);
      if (take !== undefined) this.#take(flow, take);
      else this.#decide(flow, 'allow', checkRedirect(redirect, 'redirect', flow.protocol));
    } catch (error) {
      this.#failed(flow, `gave a wrong value (${(error as Error).message})`, error);
    }
  }

  #decide(
    { id, destination }: FlowInfo,
    verdict: 'allow' | 'refuse' | 'drop',
    target: NativeFlowTarget | null,
  ): void {
    this.#asking.delete(id);
    const led = verdict === 'allow' ? this.#loopback.target(destination.address, target) : null;
    this.#settle(id, verdict, led);
  }

  /** Decisions of one turn go to the pump together: each call would wait for its lock. */
  #settle(id: number, verdict: NativeVerdict, target: NativeFlowTarget | null): void {
    if (this.#settled.push([id, verdict, target]) > 1) return;
    process.nextTick(() => {
      const settled = this.#settled;
      this.#settled = [];
      if (!this.#closed) this.#native.decideAll(settled);
    });
  }

  #take(flow: FlowInfo, take: Take): void {
    this.#asking.delete(flow.id);
    const taken = this.#native.take(flow.id);
    if (typeof taken === 'number') {
      if (taken === -ENOENT || taken === -EBADF) return;
      this.#settle(flow.id, 'refuse', null);
      this.#tellError(new NetworkError('take', -taken, { detail: showFlow(flow) }));
      return;
    }
    const { owner } = this.#near;
    const socket =
      flow.protocol === 'udp' ? new UdpSocket(taken, owner) : new TcpSocket(taken, owner);
    const failed = (error: unknown) => {
      if (socket.type === 'tcp' && !socket.closed) socket.setOption('linger', 0);
      socket.close();
      // What it throws because its socket ended with the gateway is no news.
      if (!this.#closed) this.#tellError(policyFailed(showFlow(flow), 'threw in take()', error));
    };
    try {
      const done: unknown = take(socket, flow);
      if (isThenable(done)) Promise.resolve(done).then(undefined, failed);
    } catch (error) {
      failed(error);
    }
  }

  #failed(flow: FlowInfo, what: string, cause: unknown): void {
    // Also what a policy throws because its signal was aborted.
    if (!this.#asking.delete(flow.id)) return;
    this.#settle(flow.id, 'refuse', null);
    this.#tellError(policyFailed(showFlow(flow), what, cause));
  }

  #ended(flow: FlowInfo): void {
    const controller = this.#asking.get(flow.id);
    this.#asking.delete(flow.id);
    controller?.abort();
    this.#tell('end', flow);
  }

  /** An 'error' that nobody listens for is no reason to end the program: the flow is refused, and counted. */
  #tellError(error: Error): void {
    if (this.listenerCount('error') > 0) this.#tell('error', error);
  }

  /** What a listener throws is the program's error, and must not keep events from others. */
  #tell<Event extends keyof GatewayEvents>(event: Event, ...args: GatewayEvents[Event]): void {
    try {
      (this as EventEmitter).emit(event, ...args);
    } catch (error) {
      process.nextTick(() => {
        throw error;
      });
    }
  }
}

function isThenable(value: unknown): boolean {
  return typeof (value as { then?: unknown } | null | undefined)?.then === 'function';
}

/** One that is no word. */
function checkDecision(value: unknown): { take?: Take; redirect?: unknown } {
  const expected = "'allow', 'refuse', 'drop', { redirect } or { take }";
  if (typeof value !== 'object' || value === null) {
    throw invalidValue('decision', value, `must be ${expected}`);
  }
  const given = checkObject(value, 'decision');
  checkKeys(given, 'decision', ['redirect', 'take']);
  if ((given.take === undefined) === (given.redirect === undefined)) {
    throw invalidValue('decision', value, `must be ${expected}`);
  }
  if (given.take !== undefined) checkFunction(given.take, 'decision.take');
  return given;
}
