// SPDX-License-Identifier: MIT
//
// What may pass a gateway: rules and decisions, checked, and as the pump takes them.

import { BlockList, isIPv4 } from 'node:net';
import {
  checkAddress,
  checkArray,
  checkCidr,
  checkKeys,
  checkObject,
  checkOneOf,
  checkPort,
  checkSocketPath,
} from './check.js';
import { invalidType, invalidValue } from './errors.js';
import type { NativeFlowTarget, NativeGatewayRule } from './native.js';

/**
 * Where an address lies, seen from the far stack: 'private' is RFC 1918, 6598 and 4193 and what is on its links;
 * 'link-local' 169.254.0.0/16, where clouds keep their secrets; 'host' its own addresses, loopback among them;
 * 'special' what no host has.
 */
export type Reach = (typeof reaches)[number];

const reaches = ['public', 'private', 'link-local', 'host', 'special'] as const;

/** Another target: what is left out stays as the source wants it. Or a Unix stream socket of the host (tcp). */
export type Redirect = { address?: string; port?: number } | { path: string };

/** What it names must all be so for a new flow. */
export interface GatewayRule {
  protocol?: 'tcp' | 'udp' | 'icmp';
  /** Address, or with a prefix. */
  source?: string;
  /** Addresses, or with a prefix. */
  destination?: string | readonly string[];
  /** Of the destination: 443, or '80,443,8000-8099'. */
  ports?: string | number;
  /** Of the destination. */
  reach?: Reach | readonly Reach[];
  /** 'refuse': RST, or ICMP "prohibited"; 'drop': no answer; 'ask': the policy decides. */
  action: 'allow' | 'refuse' | 'drop' | 'ask';
  /** With 'allow'. */
  redirect?: Redirect;
}

const actions = ['allow', 'refuse', 'drop', 'ask'] as const;
const protocols = ['tcp', 'udp', 'icmp'] as const;
/** Each new flow is compared with one after the other. */
const mostNativeRules = 4096;
const mostLoopbacks = 16;

/** A redirect of a rule or a decision. */
export function checkRedirect(
  value: unknown,
  name: string,
  protocol: string | undefined,
): NativeFlowTarget {
  const given = checkObject(value, name);
  if (given.path !== undefined) {
    checkKeys(given, name, ['path']);
    if (protocol !== 'tcp') throw invalidValue(name, value, "with a path needs protocol 'tcp'");
    return { address: '', port: 0, scope: 0, path: checkSocketPath(given.path, `${name}.path`) };
  }
  checkKeys(given, name, ['address', 'port', 'path']);
  const { address, port } = given;
  if (address === undefined && port === undefined) {
    throw invalidValue(name, value, 'must have an address, a port, or a path');
  }
  if (port !== undefined && protocol === 'icmp') {
    throw invalidValue(`${name}.port`, port, 'is not for icmp, which has none');
  }
  return {
    address: address === undefined ? '' : checkAddress(address, `${name}.address`),
    port: port === undefined ? 0 : checkPort(port, `${name}.port`, 1),
    scope: 0,
    path: '',
  };
}

type PortRange = [first: number, last: number];

function checkPorts(value: unknown, name: string): PortRange[] {
  if (typeof value === 'number') {
    const port = checkPort(value, name, 1);
    return [[port, port]];
  }
  if (typeof value !== 'string') throw invalidType(name, 'of type string or number', value);
  return value.split(',').map((part) => {
    const [, first, last = first] = /^\s*(\d{1,5})(?:\s*-\s*(\d{1,5}))?\s*$/.exec(part) ?? [];
    const range: PortRange = [Number(first), Number(last)];
    if (!(range[0] >= 1 && range[0] <= range[1] && range[1] <= 65535)) {
      throw invalidValue(name, value, "must be ports from 1 to 65535, such as '80,443,8000-8099'");
    }
    return range;
  });
}

function checkReach(value: unknown, name: string): Reach[] {
  if (!Array.isArray(value)) return [checkOneOf(value, name, reaches)];
  if (value.length === 0) throw invalidValue(name, value, 'must name one at least');
  return value.map((one, i) => checkOneOf(one, `${name}[${i}]`, reaches));
}

function checkDestinations(value: unknown, name: string): string[] {
  if (value === undefined) return [''];
  if (!Array.isArray(value)) return [checkCidr(value, name)];
  if (value.length === 0) throw invalidValue(name, value, 'must have one at least');
  return value.map((one, i) => checkCidr(one, `${name}[${i}]`));
}

/** One rule; as many native ones as it has destinations and ranges of ports. */
function checkRule(value: unknown, name: string, hasPolicy: boolean): NativeGatewayRule[] {
  const given = checkObject(value, name);
  checkKeys(given, name, [
    'protocol',
    'source',
    'destination',
    'ports',
    'reach',
    'action',
    'redirect',
  ]);
  const action = checkOneOf(given.action, `${name}.action`, actions);
  if (action === 'ask' && !hasPolicy) {
    throw invalidValue(`${name}.action`, action, "needs a policy, which is asked: 'policy'");
  }
  const protocol =
    given.protocol === undefined
      ? undefined
      : checkOneOf(given.protocol, `${name}.protocol`, protocols);
  if (protocol === 'icmp' && given.ports !== undefined) {
    throw invalidValue(`${name}.ports`, given.ports, 'is not for icmp, which has none');
  }
  if (given.redirect !== undefined && action !== 'allow') {
    throw invalidValue(`${name}.redirect`, given.redirect, "needs action 'allow'");
  }
  const common = {
    ...(protocol === undefined ? {} : { protocol }),
    source: given.source === undefined ? '' : checkCidr(given.source, `${name}.source`),
    ...(given.reach === undefined ? {} : { reach: checkReach(given.reach, `${name}.reach`) }),
    action,
    target:
      given.redirect === undefined
        ? null
        : checkRedirect(given.redirect, `${name}.redirect`, protocol),
  };
  const ranges: PortRange[] =
    given.ports === undefined ? [[0, 65535]] : checkPorts(given.ports, `${name}.ports`);
  return checkDestinations(given.destination, `${name}.destination`).flatMap((destination) =>
    ranges.map(([firstPort, lastPort]) => ({ ...common, destination, firstPort, lastPort })),
  );
}

/** The addresses that lead to the host's own loopback. */
export class HostLoopback {
  readonly #addresses: readonly string[];
  readonly #list = new BlockList();

  constructor(value: unknown, name: string) {
    const given =
      value === undefined ? [] : Array.isArray(value) ? checkArray(value, name) : [value];
    if (given.length > mostLoopbacks) {
      throw invalidValue(name, value, `must have ${mostLoopbacks} addresses at most`);
    }
    this.#addresses = given.map((one, i) => {
      const place = Array.isArray(value) ? `${name}[${i}]` : name;
      const address = checkAddress(one, place);
      this.#list.addAddress(address, familyOf(address));
      return address;
    });
  }

  /** Where a flow to `destination` leads that is allowed with `target`. */
  target(destination: string, target: NativeFlowTarget | null): NativeFlowTarget | null {
    if (target !== null && (target.address !== '' || target.path !== '')) return target;
    if (!this.#list.check(destination, familyOf(destination))) return target;
    return loopbackOf(destination, target?.port ?? 0);
  }

  /** What stands before a rule that may allow flows to such addresses, and does not say where they lead. */
  expand(rule: NativeGatewayRule): NativeGatewayRule[] {
    const { action, destination, target } = rule;
    if (action !== 'allow') return [rule];
    const special = this.#addresses
      .filter((address) => destination === '' || isWithin(address, destination))
      .map((address) => ({ ...rule, destination: address, target: this.target(address, target) }))
      .filter((one) => one.target !== target);
    return [...special, rule];
  }

  /** What allows all flows to such addresses. */
  rules(): NativeGatewayRule[] {
    return this.#addresses.map((address) => ({
      ...everything,
      destination: address,
      action: 'allow',
      target: loopbackOf(address, 0),
    }));
  }
}

const everything = { source: '', destination: '', firstPort: 0, lastPort: 65535, target: null };
const familyOf = (address: string) => (isIPv4(address) ? 'ipv4' : 'ipv6');

function loopbackOf(address: string, port: number): NativeFlowTarget {
  return { address: isIPv4(address) ? '127.0.0.1' : '::1', port, scope: 0, path: '' };
}

function isWithin(address: string, cidr: string): boolean {
  const [network = '', prefix] = cidr.split('/');
  const family = familyOf(network);
  if (family !== familyOf(address)) return false;
  const list = new BlockList();
  list.addSubnet(network, Number(prefix ?? (family === 'ipv4' ? 32 : 128)), family);
  return list.check(address, family);
}

/**
 * All rules of a gateway, with what follows them where nobody is asked: what is public, or with a far stack that
 * is not the host's, what is not that stack itself.
 */
export function compileRules(
  value: unknown,
  name: string,
  { hasPolicy, loopback, toHost }: { hasPolicy: boolean; loopback: HostLoopback; toHost: boolean },
): NativeGatewayRule[] {
  const rules = checkArray(value, name)
    .flatMap((rule, i) => checkRule(rule, `${name}[${i}]`, hasPolicy))
    .flatMap((rule) => loopback.expand(rule));
  if (rules.length > mostNativeRules) {
    const reason = `must be ${mostNativeRules} at most, each destination and range of ports counted; these are ${rules.length}`;
    throw invalidValue(name, value, reason);
  }
  if (hasPolicy) return rules;
  const reach = toHost ? ['public'] : reaches.filter((one) => one !== 'host');
  return [...rules, ...loopback.rules(), { ...everything, reach, action: 'allow' }];
}
