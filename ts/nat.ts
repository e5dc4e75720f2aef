// SPDX-License-Identifier: MIT
//
// Address translation between the links of a stack. docs/forwarding.md has the semantics.

import { BlockList, isIPv4 } from 'node:net';
import {
  checkAddress,
  checkArray,
  checkBoolean,
  checkCidr,
  checkObject,
  checkPort,
  checkString,
} from './check.js';
import { invalidValue, NetworkError } from './errors.js';
import {
  checkChoice,
  checkKeys,
  checkPorts,
  checkProtocol,
  familyOf,
  type InterfaceLookup,
  listOf,
  protocols,
} from './forwarding.js';
import type { NativeNatRules, NativeNetwork } from './native.js';

type OneOrMore<T> = T | readonly T[];
type Protocol = 'tcp' | 'udp' | 'icmp' | 'icmpv6' | number;

/** Flows that leave over `out` get another source address, and a port of their own. */
export interface SourceNatRule {
  type: 'source';
  /** For people who look at it. */
  name?: string;
  /** Name or id of the interface. */
  out: string | number;
  /** Addresses or prefixes of those who send; all if left out. */
  source?: OneOrMore<string>;
  /** Addresses or prefixes of those who are sent to; all if left out. */
  destination?: OneOrMore<string>;
  protocol?: Protocol;
  /** To choose from, the same for one sender always; those of `out` if left out ("masquerade"). */
  addresses?: OneOrMore<string>;
  /** A range such as '40000-49999'; 1024 to 65535, and below 1024 for ports from there, if left out. */
  ports?: number | string;
  /**
   * Who may send to a port that stands for somebody inside (RFC 4787 5): only ends that were sent to
   * ('address-and-port', if left out), or everybody ('endpoint-independent').
   */
  admission?: 'address-and-port' | 'endpoint-independent';
}

/** Flows to an outer address, of the interface `in`, go to an inner one. */
export interface DestinationNatRule {
  type: 'destination';
  name?: string;
  /** Name or id of the outer interface. */
  in: string | number;
  /** Outer addresses; all of `in` if left out. */
  address?: OneOrMore<string>;
  /** Addresses or prefixes of those who send; all if left out. */
  source?: OneOrMore<string>;
  /** 'tcp' and 'udp' if left out and there are ports; else all. */
  protocol?: Protocol;
  /** A port, or a range such as '9000-9010'; all if left out. */
  ports?: number | string;
  /** The inner address. */
  to: string;
  /** For the first of `ports`, the others follow; the same port if left out. */
  toPort?: number;
  /** Whether inner hosts may use the outer address too; true if left out (RFC 4787 REQ-9). */
  hairpin?: boolean;
}

/** One prefix stands for another of the same length, without state: NPTv6 (RFC 6296), and IPv4 one to one. */
export interface PrefixNatRule {
  type: 'prefix';
  name?: string;
  /** Name or id of the outer interface. */
  out: string | number;
  /** Such as 'fd00:1:2::/48' or '10.0.0.0/24'. */
  internal: string;
  external: string;
}

export type NatRule = SourceNatRule | DestinationNatRule | PrefixNatRule;

const admissions = ['address-and-port', 'endpoint-independent'];
const mostRules = 1024;
const longestMappedPrefix = 64;

/** What no host has, so that nothing gets there. */
const nowhere = new BlockList();
nowhere.addSubnet('0.0.0.0', 8, 'ipv4');
nowhere.addSubnet('224.0.0.0', 4, 'ipv4');
nowhere.addAddress('255.255.255.255', 'ipv4');
nowhere.addAddress('::', 'ipv6');
nowhere.addSubnet('ff00::', 8, 'ipv6');

type Given = Record<string, unknown>;

function checkHost(value: unknown, name: string): string {
  const address = checkAddress(value, name);
  if (nowhere.check(address, isIPv4(address) ? 'ipv4' : 'ipv6')) {
    throw invalidValue(name, value, 'must be an address that one host has');
  }
  return address;
}

const familiesOf = (cidrs: readonly string[]) => (cidrs.length > 0 ? cidrs.map(familyOf) : [4, 6]);
const { icmp, icmpv6 } = protocols;
const protocolFamilies = (protocol: number) =>
  protocol === icmp ? [4] : protocol === icmpv6 ? [6] : [4, 6];

/** That one flow can have all that a rule says. */
function checkFamilies(rule: Given, name: string, families: Record<string, number[]>): void {
  let possible = [4, 6];
  const before: string[] = [];
  for (const [key, those] of Object.entries(families)) {
    if (rule[key] === undefined) continue;
    possible = possible.filter((family) => those.includes(family));
    if (possible.length === 0) {
      const reason = `is of another family than ${before.join(' and ')}`;
      throw invalidValue(`${name}.${key}`, rule[key], reason);
    }
    before.push(key);
  }
}

function checkSource(rule: Given, name: string, idOf: InterfaceLookup, result: NativeNatRules) {
  checkKeys(rule, name, [
    ...['type', 'name', 'out', 'source', 'destination', 'protocol', 'addresses', 'ports'],
    'admission',
  ]);
  const list = (key: string, check: (one: unknown, itsName: string) => string) =>
    listOf(rule[key], `${name}.${key}`).map((one) => check(...one));
  const { admission = 'address-and-port' } = rule;
  const sources = list('source', checkCidr);
  const destinations = list('destination', checkCidr);
  const protocol =
    rule.protocol === undefined ? -1 : checkProtocol(rule.protocol, `${name}.protocol`);
  const addresses = list('addresses', checkHost);
  checkFamilies(rule, name, {
    source: familiesOf(sources),
    destination: familiesOf(destinations),
    protocol: protocolFamilies(protocol),
    addresses: familiesOf(addresses),
  });
  result.sources.push({
    out: idOf(rule.out, `${name}.out`),
    sources,
    destinations,
    protocol,
    addresses,
    ports: rule.ports === undefined ? [] : checkPorts(rule.ports, `${name}.ports`),
    open: checkChoice(admission, `${name}.admission`, admissions) === 1,
  });
}

function checkDestination(
  rule: Given,
  name: string,
  idOf: InterfaceLookup,
  result: NativeNatRules,
) {
  checkKeys(rule, name, [
    ...['type', 'name', 'in', 'address', 'source', 'protocol', 'ports', 'to', 'toPort', 'hairpin'],
  ]);
  const list = (key: string, check: (one: unknown, itsName: string) => string) =>
    listOf(rule[key], `${name}.${key}`).map((one) => check(...one));
  const to = checkHost(rule.to, `${name}.to`);
  const addresses = list('address', checkHost);
  for (const [i, address] of addresses.entries()) {
    if (isIPv4(address) !== isIPv4(to)) {
      throw invalidValue(`${name}.address`, addresses[i], `is of another family than ${to}`);
    }
  }
  const protocol =
    rule.protocol === undefined ? -1 : checkProtocol(rule.protocol, `${name}.protocol`);
  const sources = list('source', checkCidr);
  checkFamilies(rule, name, {
    to: familiesOf([to]),
    source: familiesOf(sources),
    protocol: protocolFamilies(protocol),
  });
  const ports = rule.ports === undefined ? [] : checkPorts(rule.ports, `${name}.ports`);
  if (ports.length > 0 && ![-1, 6, 17].includes(protocol)) {
    throw invalidValue(`${name}.ports`, rule.ports, "needs the protocol 'tcp' or 'udp'");
  }
  let toPort = 0;
  if (rule.toPort !== undefined) {
    toPort = checkPort(rule.toPort, `${name}.toPort`, 1);
    const [first, last] = ports;
    if (first === undefined || last === undefined) {
      throw invalidValue(`${name}.toPort`, rule.toPort, 'needs ports');
    }
    if (toPort + last - first > 65535) {
      throw invalidValue(`${name}.toPort`, toPort, `leaves no room for ${last - first + 1} ports`);
    }
  }
  result.destinations.push({
    in: idOf(rule.in, `${name}.in`),
    addresses,
    sources,
    protocol,
    ports,
    to,
    toPort,
    hairpin: checkBoolean(rule.hairpin ?? true, `${name}.hairpin`),
  });
}

function checkPrefix(rule: Given, name: string, idOf: InterfaceLookup, result: NativeNatRules) {
  checkKeys(rule, name, ['type', 'name', 'out', 'internal', 'external']);
  const internal = checkCidr(rule.internal, `${name}.internal`);
  const external = checkCidr(rule.external, `${name}.external`);
  const length = (cidr: string) => Number(cidr.split('/')[1] ?? (familyOf(cidr) === 4 ? 32 : 128));
  if (familyOf(internal) !== familyOf(external) || length(internal) !== length(external)) {
    throw invalidValue(`${name}.external`, external, `must be as long a prefix as ${internal}`);
  }
  if (length(internal) === 0) throw invalidValue(`${name}.internal`, internal, 'is no prefix');
  if (familyOf(internal) === 6 && length(internal) > longestMappedPrefix) {
    throw invalidValue(`${name}.internal`, internal, 'must be /64 or shorter (RFC 6296 3.5)');
  }
  result.prefixes.push({ out: idOf(rule.out, `${name}.out`), internal, external });
}

const checks = { source: checkSource, destination: checkDestination, prefix: checkPrefix };

/** The address translation of a stack: stack.nat. */
export class StackNat {
  readonly #network: NativeNetwork;
  readonly #open: (call: string) => void;
  readonly #idOf: InterfaceLookup;
  #rules: NatRule[] = [];

  /** @internal Use stack.nat. @param open throws if the stack is closed */
  constructor(network: NativeNetwork, open: (call: string) => void, idOf: InterfaceLookup) {
    this.#network = network;
    this.#open = open;
    this.#idOf = idOf;
  }

  /**
   * Puts these rules in the place of all that were, at once. Of each type, the first that fits a new flow
   * translates it; flows that are known go on as they were. Up to 1024 rules.
   * @throws {TypeError} ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE, which name the rule and the property; then
   *   the rules stay as they were
   */
  set(rules: readonly NatRule[]): void {
    this.#open('nat.set');
    const given = checkArray(rules, 'rules');
    if (given.length > mostRules) {
      throw invalidValue('rules', rules, `must have ${mostRules} rules or fewer`);
    }
    const result: NativeNatRules = { sources: [], destinations: [], prefixes: [] };
    for (const [i, one] of given.entries()) {
      const name = `rules[${i}]`;
      const rule = checkObject(one, name);
      const types = Object.keys(checks) as (keyof typeof checks)[];
      const type = types[checkChoice(rule.type, `${name}.type`, types)] as keyof typeof checks;
      if (rule.name !== undefined) checkString(rule.name, `${name}.name`);
      checks[type](rule, name, this.#idOf, result);
    }
    const failure = this.#network.setNat(result);
    if (failure < 0) throw new NetworkError('setNat', -failure);
    this.#rules = structuredClone(given) as NatRule[];
  }

  /** Takes the rules away; flows that are known are forgotten unless there is a filter. */
  clear(): void {
    this.set([]);
  }

  /** The rules, as they were set. */
  rules(): NatRule[] {
    this.#open('nat.rules');
    return structuredClone(this.#rules);
  }
}
