// SPDX-License-Identifier: MIT
//
// The packet filter of a stack. docs/forwarding.md has the semantics.

import { checkArray, checkCidr, checkInteger, checkObject, checkString } from './check.js';
import { invalidValue, NetworkError } from './errors.js';
import {
  checkChoice,
  checkKeys,
  checkPorts,
  checkProtocol,
  type Flow,
  familyOf,
  type InterfaceLookup,
  listOf,
  protocols,
  toFlow,
} from './forwarding.js';
import type { NativeNetwork, NativeRule } from './native.js';

type OneOrMore<T> = T | readonly T[];

/** 'forward': from one link to another; 'in': for the stack itself; 'out': from the stack itself. */
export type FilterDirection = 'forward' | 'in' | 'out';
/**
 * 'new': of a flow that has not been answered; 'established': of one that has; 'related': an ICMP error about a
 * flow; 'invalid': none of these, such as a TCP segment without a connection.
 */
export type FilterState = 'new' | 'established' | 'related' | 'invalid';
/**
 * 'reject' answers as if nobody were there: RST for TCP, ICMP port unreachable for the rest. 'prohibit' answers
 * with ICMP: administratively prohibited. 'count' and 'log' go on to the next rule.
 */
export type FilterAction = 'accept' | 'drop' | 'reject' | 'prohibit' | 'count' | 'log';
export type FilterPolicy = 'accept' | 'drop' | 'reject' | 'prohibit';

/** Fits a packet that all of its properties fit; of an array, one has to. */
export interface FilterRule {
  /** For people who look at it. */
  name?: string;
  direction?: OneOrMore<FilterDirection>;
  /** Name or id of the interface that it came over. */
  in?: OneOrMore<string | number>;
  /** Name or id of the interface that it leaves over. */
  out?: OneOrMore<string | number>;
  /** An address or prefix, as it is before the source is translated. */
  source?: OneOrMore<string>;
  /** An address or prefix, as it is after the destination was translated. */
  destination?: OneOrMore<string>;
  /** 'tcp', 'udp', 'icmp', 'icmpv6', or IANA's number. */
  protocol?: 'tcp' | 'udp' | 'icmp' | 'icmpv6' | number;
  /** A port, or a range such as '8000-8010'. Needs the protocol 'tcp' or 'udp'. */
  sourcePort?: OneOrMore<number | string>;
  destinationPort?: OneOrMore<number | string>;
  /** Needs the protocol 'icmp' or 'icmpv6'. */
  icmpType?: number;
  /** Needs an icmpType. */
  icmpCode?: number;
  state?: OneOrMore<FilterState>;
  action: FilterAction;
}

export interface FilterOptions {
  /** What becomes of packets that no rule decides about, by direction or for all: 'accept' if left out. */
  policy?: FilterPolicy | { forward?: FilterPolicy; in?: FilterPolicy; out?: FilterPolicy };
}

export interface FilterCount {
  packets: number;
  bytes: number;
}

export interface FilterRuleInfo extends FilterCount {
  rule: FilterRule;
}

export interface FilterInfo {
  /** In their order. A packet is counted for each rule that it fitted until one decided. */
  rules: FilterRuleInfo[];
  /** What was left to the policies. */
  policy: Record<FilterDirection, FilterCount & { action: FilterPolicy }>;
}

/** A packet that a rule with the action 'log' fitted. */
export interface FilterLogEntry {
  time: Date;
  /** The rule's place, from 0. */
  rule: number;
  direction: FilterDirection;
  /** Names; null where there is none. */
  in: string | null;
  out: string | null;
  state: FilterState;
  /** Bytes of the IP packet. */
  size: number;
  flow: Flow;
}

const directions = ['forward', 'in', 'out'] as const;
const states = ['new', 'established', 'related', 'invalid'] as const;
const actions = ['accept', 'drop', 'reject', 'prohibit', 'count', 'log'] as const;
const policies = actions.slice(0, 4);
const keys = [
  ...['name', 'direction', 'in', 'out', 'source', 'destination', 'protocol', 'sourcePort'],
  ...['destinationPort', 'icmpType', 'icmpCode', 'state', 'action'],
];
const mostRules = 1024;
const all = 0xff;
const { tcp, udp, icmp, icmpv6 } = protocols;

function maskOf(value: unknown, name: string, choices: readonly string[]): number {
  if (value === undefined) return all;
  return listOf(value, name).reduce((mask, one) => mask | (1 << checkChoice(...one, choices)), 0);
}

/** That all that a rule says can be true of one packet. */
function checkSense(rule: Record<string, unknown>, name: string, checked: NativeRule): void {
  const { protocol } = checked;
  const wrong = (key: string, reason: string) => invalidValue(`${name}.${key}`, rule[key], reason);
  for (const key of ['sourcePort', 'destinationPort']) {
    if (rule[key] !== undefined && protocol !== tcp && protocol !== udp) {
      throw wrong(key, "needs the protocol 'tcp' or 'udp'");
    }
  }
  if (checked.icmpType >= 0 && protocol !== icmp && protocol !== icmpv6) {
    throw wrong('icmpType', "needs the protocol 'icmp' or 'icmpv6'");
  }
  if (checked.icmpCode >= 0 && checked.icmpType < 0) throw wrong('icmpCode', 'needs an icmpType');
  const inBit = 1 << directions.indexOf('in');
  const outBit = 1 << directions.indexOf('out');
  if (checked.in.length > 0 && checked.directions === outBit) {
    throw wrong('in', "fits nothing with the direction 'out'");
  }
  if (checked.out.length > 0 && checked.directions === inBit) {
    throw wrong('out', "fits nothing with the direction 'in'");
  }
  const families = (cidrs: string[]) => new Set(cidrs.length > 0 ? cidrs.map(familyOf) : [4, 6]);
  const sources = families(checked.sources);
  const possible = [...families(checked.destinations)].filter((one) => sources.has(one));
  if (possible.length === 0) throw wrong('destination', 'is of another family than the source');
  const needed = protocol === icmp ? 4 : protocol === icmpv6 ? 6 : undefined;
  if (needed !== undefined && !possible.includes(needed)) {
    throw wrong('protocol', `fits nothing with addresses of IPv${needed === 4 ? 6 : 4}`);
  }
}

function checkRule(value: unknown, name: string, idOf: InterfaceLookup): NativeRule {
  const rule = checkObject(value, name);
  checkKeys(rule, name, keys);
  if (rule.name !== undefined) checkString(rule.name, `${name}.name`);
  const list = <T>(key: string, check: (one: unknown, itsName: string) => T) =>
    listOf(rule[key], `${name}.${key}`).map((one) => check(...one));
  const octet = (key: string) =>
    rule[key] === undefined ? -1 : checkInteger(rule[key], `${name}.${key}`, 0, 255);
  const checked = {
    directions: maskOf(rule.direction, `${name}.direction`, directions),
    in: list('in', idOf),
    out: list('out', idOf),
    sources: list('source', checkCidr),
    destinations: list('destination', checkCidr),
    protocol: rule.protocol === undefined ? -1 : checkProtocol(rule.protocol, `${name}.protocol`),
    sourcePorts: list('sourcePort', checkPorts).flat(),
    destinationPorts: list('destinationPort', checkPorts).flat(),
    icmpType: octet('icmpType'),
    icmpCode: octet('icmpCode'),
    states: maskOf(rule.state, `${name}.state`, states),
    action: checkChoice(rule.action, `${name}.action`, actions),
  };
  checkSense(rule, name, checked);
  return checked;
}

function checkPolicies(value: unknown): number[] {
  if (value === undefined) return [0, 0, 0];
  if (typeof value === 'string') {
    const policy = checkChoice(value, 'options.policy', policies);
    return [policy, policy, policy];
  }
  const given = checkObject(value, 'options.policy');
  checkKeys(given, 'options.policy', directions);
  return directions.map((one) =>
    checkChoice(given[one] ?? 'accept', `options.policy.${one}`, policies),
  );
}

/** The packet filter of a stack: stack.filter. */
export class StackFilter {
  readonly #network: NativeNetwork;
  readonly #open: (call: string) => void;
  readonly #idOf: InterfaceLookup;
  readonly #names: () => Map<number, string>;
  #rules: FilterRule[] = [];
  #policies = [0, 0, 0];

  /** @internal Use stack.filter. @param open throws if the stack is closed */
  constructor(
    network: NativeNetwork,
    open: (call: string) => void,
    idOf: InterfaceLookup,
    names: () => Map<number, string>,
  ) {
    this.#network = network;
    this.#open = open;
    this.#idOf = idOf;
    this.#names = names;
  }

  /**
   * Puts these rules in the place of all that were, at once; counts begin at 0. The first rule that fits
   * decides. Flows that are known stay known. Up to 1024 rules.
   * @throws {TypeError} ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE, which name the rule and the property; then
   *   the rules stay as they were
   */
  set(rules: readonly FilterRule[], options: FilterOptions = {}): void {
    this.#open('filter.set');
    const given = checkArray(rules, 'rules');
    if (given.length > mostRules) {
      throw invalidValue('rules', rules, `must have ${mostRules} rules or fewer`);
    }
    const checked = given.map((rule, i) => checkRule(rule, `rules[${i}]`, this.#idOf));
    const checkedOptions = checkObject(options, 'options');
    checkKeys(checkedOptions, 'options', ['policy']);
    const policy = checkPolicies(checkedOptions.policy);
    const result = this.#network.setFilter({ rules: checked, policies: policy });
    if (result < 0) throw new NetworkError('setFilter', -result);
    this.#rules = structuredClone(given) as FilterRule[];
    this.#policies = policy;
  }

  /** Takes the filter away: everything passes. */
  clear(): void {
    this.#open('filter.clear');
    this.#network.setFilter(null);
    this.#rules = [];
    this.#policies = [0, 0, 0];
  }

  /** The rules, and what each has counted. */
  info(): FilterInfo {
    this.#open('filter.info');
    const counted = this.#network.filterInfo();
    const none = { packets: 0, bytes: 0 };
    const policy = Object.fromEntries(
      directions.map((direction, i) => {
        const action = policies[this.#policies[i] ?? 0];
        return [direction, { action, ...(counted.policies[i] ?? none) }];
      }),
    ) as FilterInfo['policy'];
    const rules = this.#rules.map((rule, i) => ({
      rule: structuredClone(rule),
      ...(counted.rules[i] ?? none),
    }));
    return { rules, policy };
  }

  /** What rules with the action 'log' noted since the last call: the newest 256, the oldest first. */
  takeLog(): FilterLogEntry[] {
    this.#open('filter.takeLog');
    const names = this.#names();
    const now = Date.now();
    return this.#network.takeFilterLog().map((entry) => ({
      time: new Date(now - entry.age),
      rule: entry.rule,
      direction: directions[entry.direction] as FilterDirection,
      in: names.get(entry.in) ?? null,
      out: names.get(entry.out) ?? null,
      state: states[entry.state] as FilterState,
      size: entry.size,
      flow: toFlow(entry.flow),
    }));
  }
}
