// SPDX-License-Identifier: MIT
//
// vpollnet ping: its options. ping.ts does it.

import type { Argv } from 'yargs';
import {
  CommandFailure,
  helpEnd,
  last,
  messageOf,
  number,
  toLink,
  UsageError,
  withLink,
} from './command.js';

/** As ping(8)'s. */
export const pingCode = { answered: 0, silence: 1, error: 2 } as const;

export function addPing(cli: Argv): Argv {
  return cli.command(
    'ping <host>',
    'ICMP echo from a stack of its own',
    (command) =>
      withLink(command.usage('Usage: $0 ping HOST --link URL --address ADDRESS/PREFIX'))
        .positional('host', {
          type: 'string',
          demandOption: true,
          coerce: last<string>,
          describe: 'an IPv4 or IPv6 address',
        })
        .options({
          count: {
            alias: 'c',
            type: 'string',
            requiresArg: true,
            describe: 'requests to send; without it, until Ctrl-C',
            coerce: number('count', 1, 2 ** 31, true),
          },
          interval: {
            alias: 'i',
            type: 'string',
            requiresArg: true,
            default: '1',
            describe: 'seconds between requests',
            coerce: number('interval', 0.001, 86_400),
          },
          wait: {
            alias: 'W',
            type: 'string',
            requiresArg: true,
            default: '1',
            describe: 'seconds to wait for the last answers',
            coerce: number('wait', 0, 86_400),
          },
          size: {
            alias: 's',
            type: 'string',
            requiresArg: true,
            default: '56',
            describe: 'bytes of data in a request',
            coerce: number('size', 0, 65_507, true),
          },
          quiet: {
            alias: 'q',
            type: 'boolean',
            default: false,
            describe: 'nothing but the first line and the statistics',
          },
        })
        .epilogue(
          helpEnd(
            [
              ['vpollnet ping 10.0.0.1 --link tap://tap0 --address 10.0.0.2/24 -c 3', 'over a TAP'],
              [
                'vpollnet ping fd00::1 --link vde:///run/switch --address fd00::2/64',
                'on a VDE switch',
              ],
            ],
            'Exit codes, as those of ping(8): 0 somebody answered, 1 nobody did, 2 an error.',
          ),
        ),
    async (given) => {
      try {
        const { ping } = await import('./ping.js');
        process.exitCode = await ping({
          host: given.host,
          link: toLink(given),
          count: given.count ?? Number.POSITIVE_INFINITY,
          interval: (given.interval as number) * 1000,
          wait: (given.wait as number) * 1000,
          size: given.size as number,
          quiet: given.quiet,
        });
      } catch (error) {
        if (error instanceof UsageError) throw error;
        throw new CommandFailure(messageOf(error), pingCode.error);
      }
    },
  );
}
