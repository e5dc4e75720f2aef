// SPDX-License-Identifier: MIT
//
// What the commands share: exit codes, the options that describe a link, and how an error is told.

import type { LinkOptions } from 'vpollnet';
import type { Argv } from 'yargs';

/** docs/cli.md explains them; ping has codes of its own. */
export const exitCode = { ok: 0, failure: 1, usage: 2, nothing: 3 } as const;

/** A wrong command line: told in one line with a hint, and exit code 2. */
export class UsageError extends Error {}

/** Ends the command with a code of its own. */
export class CommandFailure extends Error {
  readonly code: number;
  constructor(message: string, code: number) {
    super(message);
    this.code = code;
  }
}

/** The last of an option that was given more than once. */
export const last = <T>(value: T | T[]): T => (Array.isArray(value) ? value.at(-1) : value) as T;

/** A check for an option that is a number. */
export function number(name: string, least: number, most: number, whole = false) {
  return (value: string | string[] | undefined): number | undefined => {
    if (value === undefined) return undefined;
    const text = last(value);
    const given = text.trim() === '' ? Number.NaN : Number(text);
    if (given >= least && given <= most && (!whole || Number.isInteger(given))) return given;
    const kind = whole ? 'a whole number' : 'a number';
    throw new UsageError(`--${name} must be ${kind} from ${least} to ${most}, not '${text}'`);
  };
}

/** Without its prefix an address is a network of its own, and nobody is reached by it. */
function withPrefixes(addresses: string[]): string[] {
  const bare = addresses.find((address) => !address.includes('/'));
  if (bare === undefined) return addresses;
  throw new UsageError(`--address must be ADDRESS/PREFIX, such as 10.0.0.2/24, not '${bare}'`);
}

const linkOptions = {
  link: {
    type: 'string',
    requiresArg: true,
    coerce: last<string | undefined>,
    describe: 'URL of the link, such as tap://tap0, vde:///run/switch or cable:lab',
  },
  address: {
    type: 'string',
    array: true,
    requiresArg: true,
    default: [] as string[],
    defaultDescription: 'none',
    describe: 'an address of ours on the link, with its prefix; may be repeated',
    coerce: withPrefixes,
  },
  gateway: {
    type: 'string',
    array: true,
    requiresArg: true,
    default: [] as string[],
    defaultDescription: 'none',
    describe: 'a router for what is not on the link; may be repeated',
  },
} as const;

/** Adds --link, --address and --gateway. */
export const withLink = <T>(cli: Argv<T>) => cli.options(linkOptions);

interface LinkArguments {
  link: string | undefined;
  address: string[];
  gateway: string[];
}

export function toLink({ link, address, gateway }: LinkArguments): LinkOptions {
  if (link === undefined) throw new UsageError('--link is missing');
  return { url: link, addresses: address, gateways: gateway };
}

/** The end of a help text: examples, each with what it does, and then more text. */
export function helpEnd(examples: [command: string, does: string][], text: string): string {
  const lines = examples.map(([command, does]) => `  ${does}:\n    ${command}`);
  return ['Examples:', ...lines, '', text].join('\n');
}

const optionOf: Record<string, string> = {
  'links.url': '--link',
  'links.addresses': '--address',
  'links.gateways': '--gateway',
  'ports.url': '--port',
};

/** The error's message in one line, in the words of the command line. */
export function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message
    .replace(
      /^The property 'options\.(links|ports)\[\d+\]\.(url|addresses|gateways)(\[\d+\])?'/,
      (property, list, key) => optionOf[`${list}.${key}`] ?? property,
    )
    .replace(/^The property 'options\.hostLoopback(\[\d+\])?'/, '--host-loopback')
    .replace(/\s*\n\s*/g, '; ');
}

/** Text from elsewhere, without what would move the cursor or colour the screen. */
export const clean = (text: string): string =>
  text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '\ufffd');

/** Resolves at the first SIGINT, SIGTERM or SIGHUP, with its name. */
export function endOfUse(): { signal: AbortSignal; name: () => NodeJS.Signals | undefined } {
  const controller = new AbortController();
  let name: NodeJS.Signals | undefined;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      name ??= signal;
      controller.abort();
    });
  }
  return { signal: controller.signal, name: () => name };
}
