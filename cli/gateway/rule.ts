// SPDX-License-Identifier: MIT
//
// A rule that may know names, and which flows it fits. Those without names are the gateway's own, which decides by
// them without JavaScript; this says the same of them.

import { BlockList, isIP } from 'node:net';
import type { FlowInfo, GatewayRule, Reach } from './types.js';

export interface Rule extends Omit<GatewayRule, 'ports'> {
  /** '80,443,8000-8099'. */
  ports?: string;
  /**
   * 'deb.debian.org', or '*.debian.org' for all below it: fits addresses that the DNS forwarder has given for such a
   * name. Without `reach`, only public ones: whoever answers for a name must not open the host or its networks.
   */
  names?: string[];
}

export interface CompiledRule {
  readonly rule: Rule;
  /** @param names of the flow's destination */
  fits(flow: FlowInfo, names: readonly string[]): boolean;
}

/** '*.' and labels of letters, digits, '-' and '_'. */
export const namePattern =
  '^(\\*\\.)?([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\\.)*[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\\.?$';

/** As names are compared: lower case, without the root's dot. */
export const plainName = (name: string): string => name.toLowerCase().replace(/\.$/, '');

export function nameFits(pattern: string, name: string): boolean {
  const wanted = plainName(pattern);
  if (wanted.startsWith('*.')) return plainName(name).endsWith(wanted.slice(1));
  return plainName(name) === wanted;
}

/** '10.0.0.0/8' in parts; null if it is none. */
export function toNetwork(
  text: string,
): { address: string; prefix: number; family: 'ipv4' | 'ipv6' } | null {
  const [, address = '', length] = /^([^/%]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const version = isIP(address);
  const most = version === 4 ? 32 : 128;
  const prefix = Number(length ?? most);
  if (version === 0 || prefix > most) return null;
  return { address, prefix, family: version === 4 ? 'ipv4' : 'ipv6' };
}

/** '80,443,8000-8099' as ranges; null if it is none. */
export function toPorts(text: string): [first: number, last: number][] | null {
  const ranges: [number, number][] = [];
  for (const part of text.split(',')) {
    const [, from, to] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part.trim()) ?? [];
    const first = Number(from);
    const last = Number(to ?? from);
    if (!(first >= 1 && first <= last && last <= 65_535)) return null;
    ranges.push([first, last]);
  }
  return ranges;
}

const listOf = <T>(value: T | readonly T[] | undefined): readonly T[] =>
  value === undefined ? [] : Array.isArray(value) ? value : [value as T];

function toBlockList(networks: readonly string[]): BlockList | null {
  if (networks.length === 0) return null;
  const list = new BlockList();
  for (const text of networks) {
    const network = toNetwork(text);
    if (network !== null) list.addSubnet(network.address, network.prefix, network.family);
  }
  return list;
}

const contains = (list: BlockList, address: string): boolean =>
  list.check(address, isIP(address) === 4 ? 'ipv4' : 'ipv6');

/** Whether an address, which may be none, lies in a network. */
export function isWithin(address: string, network: string): boolean {
  const list = toBlockList([network]);
  return isIP(address) !== 0 && list !== null && contains(list, address);
}

export function compile(rule: Rule): CompiledRule {
  const source = toBlockList(listOf(rule.source));
  const destination = toBlockList(listOf(rule.destination));
  const ports = rule.ports === undefined ? null : (toPorts(rule.ports) ?? []);
  const byName = rule.names ?? [];
  const reach: readonly Reach[] =
    rule.reach === undefined && byName.length > 0 ? ['public'] : listOf(rule.reach);
  return {
    rule,
    fits(flow, names) {
      if (rule.protocol !== undefined && rule.protocol !== flow.protocol) return false;
      if (reach.length > 0 && !reach.includes(flow.reach)) return false;
      if (source !== null && !contains(source, flow.source.address)) return false;
      const { address, port } = flow.destination;
      if (destination !== null && !contains(destination, address)) return false;
      // Echo has no ports: a rule with some is for tcp and udp.
      if (
        ports !== null &&
        (flow.protocol === 'icmp' || !ports.some(([a, b]) => a <= port && port <= b))
      )
        return false;
      if (byName.length === 0) return true;
      return byName.some((pattern) => names.some((name) => nameFits(pattern, name)));
    },
  };
}

/** Without what the gateway does not know. */
export function toNative({ names: _, ...rule }: Rule): GatewayRule {
  return rule;
}
