// SPDX-License-Identifier: MIT
//
// vpollnet stacks: its options. stacks.ts runs it, stacks-view.ts makes the tables.

import type { Argv } from 'yargs';
import { helpEnd, last, number } from './command.js';

export const sections = ['stacks', 'links', 'ports', 'drops', 'sockets'] as const;
export type Section = (typeof sections)[number];

export const sortKeys = [
  'process',
  'type',
  'state',
  'recv-q',
  'send-q',
  'local',
  'remote',
] as const;
export type SortKey = (typeof sortKeys)[number];

export function addStacks(cli: Argv): Argv {
  return cli.command(
    'stacks',
    'the stacks, switches, links and sockets of running processes',
    (command) =>
      command
        .usage('Usage: $0 stacks [OPTIONS]')
        .options({
          once: {
            type: 'boolean',
            default: false,
            describe: 'print once and end; always so in a pipe',
          },
          json: { type: 'boolean', default: false, describe: 'print once, as JSON' },
          interval: {
            alias: 'n',
            type: 'string',
            requiresArg: true,
            default: '1',
            describe: 'seconds between two sights',
            coerce: number('interval', 0.1, 86_400),
          },
          pid: {
            alias: 'p',
            type: 'string',
            array: true,
            requiresArg: true,
            default: [] as string[],
            defaultDescription: 'all',
            describe: 'only these processes; may be repeated',
          },
          stack: {
            type: 'string',
            array: true,
            requiresArg: true,
            default: [] as string[],
            defaultDescription: 'all',
            describe: 'only the stacks of these names or ids; may be repeated',
          },
          state: {
            type: 'string',
            array: true,
            requiresArg: true,
            default: [] as string[],
            defaultDescription: 'all',
            describe: 'only sockets in these states, such as established; may be repeated',
          },
          listening: {
            alias: 'l',
            type: 'boolean',
            default: false,
            describe: 'only sockets that listen, or have no peer',
          },
          show: {
            type: 'string',
            array: true,
            requiresArg: true,
            choices: sections,
            default: [...sections],
            defaultDescription: 'all',
            describe: 'only these tables; may be repeated',
          },
          sort: {
            type: 'string',
            requiresArg: true,
            choices: sortKeys,
            default: 'process' as SortKey,
            coerce: last<SortKey>,
            describe: 'the order of the sockets',
          },
          timeout: {
            type: 'string',
            requiresArg: true,
            default: '2',
            describe: 'seconds to wait for the answer of a process',
            coerce: number('timeout', 0.01, 3600),
          },
        })
        .epilogue(
          helpEnd(
            [
              ['vpollnet stacks', 'a live table; q ends it, s sorts by another column'],
              ['vpollnet stacks --once --show sockets --state established', 'as ss -t shows them'],
              ["vpollnet stacks --json | jq '.[].stacks[].counters.drops'", 'for programs'],
            ],
            'Seen are the processes of this user, or of all users for root, in the network namespace of ' +
              'this one. A process is not seen if VPOLLNET_INSPECT=0 is in its environment.\n' +
              'Exit codes: 0 done, 1 a process gave no answer, 2 a wrong command line, 3 no stack was found.',
          ),
        ),
    async (given) => {
      const pid = number('pid', 1, 2 ** 31, true);
      const { checkStates } = await import('./stacks-view.js');
      checkStates(given.state);
      const { runStacks } = await import('./stacks.js');
      process.exitCode = await runStacks({
        once: given.once || given.json,
        json: given.json,
        interval: (given.interval as number) * 1000,
        timeout: (given.timeout as number) * 1000,
        pids: given.pid.map((text) => pid(text) as number),
        view: {
          sections: given.show,
          sort: given.sort,
          stacks: given.stack,
          states: given.state,
          listening: given.listening,
        },
      });
    },
  );
}
