// SPDX-License-Identifier: MIT
//
// A stack in one line of text, as VPOLLNET and `vpollnet run` have it.

import { parseArgs } from 'node:util';
import type { DnsOptions } from '../dns/dns-settings.js';
import type { LinkOptions } from '../link-options.js';
import type { StackOptions } from '../stack.js';

/** What the words of such a line are: 'list' may be repeated. For help texts, too. */
export const stackWords = [
  [
    'link',
    'list',
    'URL of a link, such as tap://tap0, vde:///run/switch or cable:lab; may be repeated',
  ],
  ['address', 'list', 'an address of ours on the link before it, with its prefix; may be repeated'],
  ['gateway', 'list', 'a router for what is not on the link before it; may be repeated'],
  ['dns', 'list', 'a server that names are asked of; may be repeated'],
  ['search', 'list', 'a domain that names are completed with; may be repeated'],
  ['host', 'list', "NAME=ADDRESS, a name of the stack's own; may be repeated"],
  ['host-dns', 'boolean', "without --dns: names are asked of the host's resolver"],
  ['name', 'one', 'what `vpollnet stacks` calls it'],
] as const;

const options = Object.fromEntries(
  stackWords.map(([name, kind]) => [
    name,
    kind === 'boolean'
      ? ({ type: 'boolean' } as const)
      : ({ type: 'string', multiple: kind === 'list' } as const),
  ]),
);

/** A wrong line: the message names the word. */
export class StackLineError extends Error {}

type Changeable<T> = { -readonly [Key in keyof T]: T[Key] };
type Link = Changeable<LinkOptions> & { addresses: string[]; gateways: string[] };

/**
 * The options of Stack.open() that such words stand for: `--link tap://tap0 --address 10.0.0.2/24 --dns 10.0.0.1`.
 * A line that begins with '{' is those options as JSON, and one with '[' is the words as JSON: then they may have spaces.
 * @throws {StackLineError}
 */
export function parseStackLine(line: string): StackOptions {
  const start = line.trimStart()[0];
  if (start === '{') return parseJson(line) as StackOptions;
  if (start !== '[') return parseStackWords(line.split(/\s+/).filter(Boolean));
  const words = parseJson(line) as unknown[];
  const wrong = words.find((word) => typeof word !== 'string');
  if (wrong === undefined) return parseStackWords(words as string[]);
  throw new StackLineError(`a list of words has ${JSON.stringify(wrong)}, which is none`);
}

/** As parseStackLine(), of words. @throws {StackLineError} */
export function parseStackWords(words: readonly string[]): StackOptions {
  const links: Link[] = [];
  const dns: Changeable<DnsOptions> & { servers: string[]; search: string[] } = {
    servers: [],
    search: [],
  };
  const hosts: Record<string, string[]> = {};
  let name: string | undefined;
  for (const token of tokensOf([...words])) {
    if (token.kind !== 'option') continue;
    const value = token.value ?? '';
    const link = links.at(-1);
    switch (token.name) {
      case 'link':
        links.push({ url: value, addresses: [], gateways: [] });
        break;
      case 'address':
      case 'gateway':
        if (link === undefined) {
          throw new StackLineError(`--${token.name} ${value}: no --link before it`);
        }
        // Without its prefix an address is a network of its own, and nobody is reached by it.
        if (token.name === 'address' && !value.includes('/')) {
          throw new StackLineError(
            `--address must be ADDRESS/PREFIX, such as 10.0.0.2/24, not '${value}'`,
          );
        }
        (token.name === 'address' ? link.addresses : link.gateways).push(value);
        break;
      case 'dns':
        dns.servers.push(value);
        break;
      case 'search':
        dns.search.push(value);
        break;
      case 'host': {
        const [host = '', address = ''] = value.split('=', 2);
        if (host === '' || address === '') {
          throw new StackLineError(`--host must be NAME=ADDRESS, not '${value}'`);
        }
        hosts[host] = [...(hosts[host] ?? []), address];
        break;
      }
      case 'host-dns':
        dns.fallback = 'host';
        break;
      default:
        name = value;
    }
  }
  if (links.length === 0)
    throw new StackLineError('no --link is given: the stack would reach nobody');
  return { links, dns: { ...dns, hosts }, ...(name === undefined ? {} : { name }) };
}

function tokensOf(words: string[]) {
  try {
    return parseArgs({ args: words, options, tokens: true, strict: true }).tokens;
  } catch (error) {
    // What follows are words for whom has positional arguments.
    const [first = ''] = (error as Error).message.split(/\. |\n/);
    throw new StackLineError(first);
  }
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch (error) {
    throw new StackLineError(`not JSON: ${(error as Error).message}`);
  }
}

const wordOf: Record<string, string> = {
  url: '--link',
  addresses: '--address',
  gateways: '--gateway',
  servers: '--dns',
  search: '--search',
  hosts: '--host',
  name: '--name',
};

/** What Stack.open() finds wrong with the options of such a line, in one line, and in the line's own words. */
export function inWords(message: string, line: string): string {
  const single = message.replace(/\s*\n\s*/g, '; ');
  if (line.trimStart().startsWith('{')) return single;
  return single.replace(
    /^The property 'options\.(?:links\[\d+\]\.|dns\.)?(\w+)(\[[^\]]+\])*'/,
    (property, key) => wordOf[key] ?? property,
  );
}
