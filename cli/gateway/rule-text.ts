// SPDX-License-Identifier: MIT
//
// Rules as they are written: --allow 'tcp:*.debian.org:443'.

import { TextError } from './problem.js';
import { namePattern, type Rule, toNetwork, toPorts } from './rule.js';
import type { Protocol, Reach } from './types.js';

export const reaches: readonly Reach[] = ['public', 'private', 'link-local', 'host', 'special'];

const forms =
  "an address, a network (10.0.0.0/8), a name (deb.debian.org, *.debian.org), 'all', or one of " +
  reaches.join(', ');

/** What comes before and after the last ':' outside of brackets; an IPv6 address alone is not cut. */
function cutPorts(text: string): [where: string, ports: string | undefined] {
  const [, bracketed, after] = /^\[([^\]]*)\](?::(.*))?$/.exec(text) ?? [];
  if (bracketed !== undefined) return [bracketed, after];
  if (toNetwork(text) !== null) return [text, undefined];
  const at = text.lastIndexOf(':');
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}

/**
 * [PROTOCOL:]WHERE[:PORTS], or a protocol alone.
 * @throws {TextError} that says which part is wrong
 */
export function parseRule(text: string, action: Rule['action']): Rule {
  const rule: Rule = { action };
  const [, protocol, rest = text] = /^(tcp|udp|icmp)(?::(.*))?$/s.exec(text) ?? [];
  if (protocol !== undefined) rule.protocol = protocol as Protocol;
  if (text === protocol) return rule;
  const [where, ports] = cutPorts(rest);
  if (reaches.includes(where as Reach)) rule.reach = where as Reach;
  else if (toNetwork(where) !== null) rule.destination = where;
  else if (
    /[a-z_]/i.test(where) &&
    where.length <= 255 &&
    new RegExp(namePattern, 'u').test(where)
  ) {
    if (where !== 'all') rule.names = [where];
  } else throw new TextError(`'${where}' in '${text}' is not ${forms}`);
  if (ports !== undefined) {
    if (toPorts(ports) === null) {
      throw new TextError(
        `'${ports}' in '${text}' is not a list of ports, such as 80,443,8000-8099`,
      );
    }
    if (protocol === 'icmp') throw new TextError(`'${text}' has ports, and icmp has none`);
    rule.ports = ports;
  }
  return rule;
}

const joined = (value: string | readonly string[]) =>
  typeof value === 'string' ? value : value.join(',');

/** A rule in one line, as it is written on the command line where that can be. */
export function ruleText(rule: Rule): string {
  const { action, protocol, source, destination, names, ports, reach, redirect } = rule;
  const parts = [destination, names, names === undefined ? reach : undefined].filter(
    (part) => part !== undefined,
  );
  let where = parts.map(joined).join(' and ') || 'all';
  if (ports !== undefined && where.includes(':')) where = `[${where}]`;
  const what = [
    protocol,
    protocol !== undefined && where === 'all' && ports === undefined ? undefined : where,
    ports,
  ];
  const text = [action, what.filter((part) => part !== undefined).join(':')];
  if (names !== undefined && reach !== undefined) text.push(`at ${joined(reach)}`);
  if (source !== undefined) text.push(`from ${source}`);
  if (redirect !== undefined)
    text.push(`to ${'path' in redirect ? redirect.path : endpointText(redirect)}`);
  return text.join(' ');
}

/** '10.0.0.1:80', '[fd00::1]:80'; parts that are missing are left out. */
export function endpointText({ address = '', port }: { address?: string; port?: number }): string {
  if (port === undefined || port === 0) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
