// SPDX-License-Identifier: MIT
//
// What decides about flows: rules, names, and somebody who is asked.

import { EventEmitter } from 'node:events';
import { compileRules, HostLoopback } from '../../ts/gateway-rules.js';
import type { NameTable } from './names.js';
import { Problem } from './problem.js';
import { type CompiledRule, compile, nameFits, type Rule, toNative } from './rule.js';
import { endpointText, ruleText } from './rule-text.js';
import type { Action, Decision, FlowInfo, Gateway, GatewayRule } from './types.js';

export const defaults = ['allow-public', 'deny', 'ask', 'allow-all'] as const;
/** What no rule fits. */
export type Otherwise = (typeof defaults)[number];

/** A flow that waits for an answer. */
export interface Asked {
  flow: FlowInfo;
  names: string[];
  /** Milliseconds until it is refused. */
  remaining: number;
}

export interface Answer {
  action: Action;
  /**
   * once: this flow alone. address, name: a rule in front of all others, for the same protocol and port. `once` if
   * left out.
   */
  for?: 'once' | 'address' | 'name';
  /** One of the destination's names; the newest if left out. */
  name?: string;
}

export interface PolicyEvents {
  ask: [Asked];
  /** The flow waits no longer; without an action nobody answered in time, or its source gave up. */
  answered: [{ id: number; action?: Action }];
  rules: [];
}

interface Waiting {
  flow: FlowInfo;
  until: number;
  resolve(decision: Decision): void;
}

/** Answers that are remembered, to tell why a flow is what it is. */
const mostAnswers = 20_000;

/** Rules that say the same as a default, for the gateway to decide by itself. */
const nativeDefault: Record<Otherwise, GatewayRule[]> = {
  'allow-public': [{ reach: 'public', action: 'allow' }, { action: 'refuse' }],
  deny: [{ action: 'refuse' }],
  ask: [{ action: 'ask' }],
  'allow-all': [{ action: 'allow' }],
};

/**
 * The gateway's own checks, also of the rules that it is not given: one that is wrong before a rule with names is
 * wrong behind it. @throws what the gateway throws, with the rule and its property
 */
function checkRules(rules: Rule[]): void {
  const loopback = new HostLoopback(undefined, 'hostLoopback');
  compileRules(rules.map(toNative), 'rules', { hasPolicy: true, loopback, toHost: true });
}

export class GatewayPolicy extends EventEmitter<PolicyEvents> {
  readonly #names: NameTable;
  readonly #timeout: number;
  readonly #otherwise: Otherwise;
  readonly #waiting = new Map<number, Waiting>();
  readonly #fallback: CompiledRule[];
  /** By flow, what somebody answered. */
  readonly #answers = new Map<number, Action>();
  #rules: CompiledRule[];
  #changed = performance.now();
  #gateway: Gateway | undefined;

  /** @param timeout of a question, ms: the gateway's own */
  constructor(options: { rules: Rule[]; otherwise: Otherwise; names: NameTable; timeout: number }) {
    super();
    this.#names = options.names;
    this.#timeout = options.timeout;
    this.#otherwise = options.otherwise;
    this.#rules = options.rules.map(compile);
    this.#fallback = nativeDefault[options.otherwise].map((rule) => compile(rule as Rule));
  }

  /** Rules change in it from now on. */
  attach(gateway: Gateway): void {
    this.#gateway = gateway;
  }

  get otherwise(): Otherwise {
    return this.#otherwise;
  }

  get rules(): Rule[] {
    return this.#rules.map(({ rule }) => rule);
  }

  /**
   * What the gateway decides by itself: all up to the first rule that knows names. From there on it asks decide(),
   * which goes through all of them.
   */
  get nativeRules(): GatewayRule[] {
    const first = this.#rules.findIndex(({ rule }) => rule.names !== undefined);
    if (first >= 0) return this.#rules.slice(0, first).map(({ rule }) => toNative(rule));
    return [...this.rules.map(toNative), ...nativeDefault[this.#otherwise]];
  }

  /** For new flows, and for those that wait. @throws as the gateway for a wrong rule; nothing changes then */
  setRules(rules: Rule[]): void {
    checkRules(rules);
    const before = this.#rules;
    this.#rules = rules.map(compile);
    try {
      this.#gateway?.setRules(this.nativeRules);
    } catch (error) {
      this.#rules = before;
      throw error;
    }
    this.#changed = performance.now();
    this.emit('rules');
    for (const { flow } of [...this.#waiting.values()]) {
      const decision = this.#byRules(flow);
      if (decision !== 'ask') this.#finish(flow.id, decision);
    }
  }

  /** For the gateway. */
  readonly decide = (flow: FlowInfo, signal: AbortSignal): Decision | Promise<Decision> => {
    const decision = this.#byRules(flow);
    if (decision !== 'ask') return decision;
    return new Promise((resolve) => {
      this.#waiting.set(flow.id, { flow, until: performance.now() + this.#timeout, resolve });
      signal.addEventListener('abort', () => this.#finish(flow.id), { once: true });
      this.emit('ask', this.#asked(flow));
    });
  };

  asking(): Asked[] {
    return [...this.#waiting.values()].map(({ flow }) => this.#asked(flow));
  }

  /** @throws {Problem} 404 if the flow does not wait, 409 if it has no such name */
  answer(id: number, { action, for: scope = 'once', name }: Answer): Rule | null {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) throw new Problem(404, `flow ${id} does not wait for an answer`);
    const { flow } = waiting;
    if (scope === 'once') {
      this.#answer(id, action);
      return null;
    }
    const rule: Rule = { action, protocol: flow.protocol };
    if (flow.protocol !== 'icmp') rule.ports = `${flow.destination.port}`;
    if (scope === 'address') rule.destination = flow.destination.address;
    else {
      const names = this.#names.of(flow.destination.address);
      const chosen = name ?? names[0];
      if (chosen === undefined || !names.includes(chosen)) {
        const { address } = flow.destination;
        const known =
          names.length > 0
            ? `the names of ${address} are ${names.join(', ')}, not '${name}'`
            : `no name of ${address} is known`;
        throw new Problem(409, `flow ${id} cannot be decided by name: ${known}`);
      }
      rule.names = [chosen];
      if (flow.reach !== 'public') rule.reach = flow.reach;
    }
    this.setRules([rule, ...this.rules]);
    this.#answer(id, action);
    return rule;
  }

  /** Whether the first rule that knows the name lets its flows pass, or asks about them. */
  mayAsk(name: string): boolean {
    const knows = ({ rule }: CompiledRule) => rule.names?.some((one) => nameFits(one, name));
    const action = this.#rules.find(knows)?.rule.action;
    return action === 'allow' || action === 'ask';
  }

  /** Why a flow is what it is, as the rules stand. @param began when, of performance.now() */
  reason(flow: FlowInfo, began: number): string {
    if (flow.direction === 'inward') return 'forward';
    const answer = this.#answers.get(flow.id);
    if (answer !== undefined) return `answer ${answer}`;
    if (began < this.#changed) return 'earlier rules';
    const names = this.#names.of(flow.destination.address);
    const fitting = this.#rules.find((rule) => rule.fits(flow, names));
    return fitting === undefined ? `default ${this.#otherwise}` : ruleText(fitting.rule);
  }

  #asked(flow: FlowInfo): Asked {
    const until = this.#waiting.get(flow.id)?.until ?? 0;
    const remaining = Math.max(0, Math.round(until - performance.now()));
    return { flow, names: this.#names.of(flow.destination.address), remaining };
  }

  #byRules(flow: FlowInfo): Decision | 'ask' {
    const names = this.#names.of(flow.destination.address);
    const fits = (rule: CompiledRule) => rule.fits(flow, names);
    const { rule } = this.#rules.find(fits) ?? (this.#fallback.find(fits) as CompiledRule);
    if (rule.action === 'allow' && rule.redirect !== undefined) return { redirect: rule.redirect };
    return rule.action;
  }

  #answer(id: number, action: Action): void {
    this.#answers.set(id, action);
    if (this.#answers.size > mostAnswers) {
      const [oldest] = this.#answers.keys();
      this.#answers.delete(oldest as number);
    }
    this.#finish(id, action);
  }

  #finish(id: number, decision?: Decision): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    this.#waiting.delete(id);
    const action = typeof decision === 'object' ? 'allow' : decision;
    this.emit('answered', action === undefined ? { id } : { id, action });
    // What nobody answered the gateway has refused already.
    waiting.resolve(decision ?? 'refuse');
  }
}

/** 'tcp 10.0.2.100:40000 to deb.debian.org (151.101.2.132:443)', for people. */
export function flowText(
  { protocol, source, destination }: FlowInfo,
  names: readonly string[],
): string {
  const to = endpointText(destination);
  return `${protocol} ${endpointText(source)} to ${names[0] === undefined ? to : `${names[0]} (${to})`}`;
}
