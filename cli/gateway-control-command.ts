// SPDX-License-Identifier: MIT
//
// vpollnet gateway-control: its actions. gateway/client.ts carries them out.

import type { Argv } from 'yargs';
import { helpEnd, number, UsageError } from './command.js';
import { sortKeys } from './gateway/flow-list.js';
import { mostFlows } from './gateway/openapi.js';

/** How many arguments each has, and what they are. */
export const actions = {
  flows: [],
  ended: [],
  kill: ['ID'],
  forwards: [],
  publish: ['FORWARD'],
  outward: ['FORWARD'],
  remove: ['ID'],
  rules: [],
  allow: ['RULE'],
  deny: ['RULE'],
  ask: ['RULE'],
  asking: [],
  answer: ['ID', 'allow|deny|drop'],
  counters: [],
  events: [],
} as const satisfies Record<string, readonly string[]>;

export type ControlAction = keyof typeof actions;

export function addGatewayControl(cli: Argv): Argv {
  return cli.command(
    'gateway-control <path> <action> [arguments..]',
    'look at a running gateway, and change it',
    (command) =>
      command
        .usage('Usage: $0 gateway-control PATH ACTION [ARGUMENTS]')
        .positional('path', {
          type: 'string',
          demandOption: true,
          describe: 'the Unix socket that was given to --control',
        })
        .positional('action', {
          choices: Object.keys(actions) as ControlAction[],
          demandOption: true,
          describe: 'what to do',
        })
        .positional('arguments', {
          type: 'string',
          array: true,
          default: [] as string[],
          describe: 'of the action',
        })
        .options({
          json: { type: 'boolean', default: false, describe: 'print what the gateway answers' },
          limit: {
            type: 'string',
            requiresArg: true,
            default: '100',
            describe: 'flows at most',
            coerce: number('limit', 1, mostFlows, true),
          },
          sort: {
            type: 'string',
            requiresArg: true,
            choices: sortKeys,
            default: 'newest',
            describe: 'which flows come first',
          },
          filter: {
            type: 'string',
            requiresArg: true,
            default: '',
            defaultDescription: 'none',
            describe: 'words that flows have in addresses, names, protocol or state',
          },
          for: {
            type: 'string',
            requiresArg: true,
            choices: ['once', 'address', 'name'],
            default: 'once',
            describe: 'answer: this flow, or its address or name from now on',
          },
        })
        .epilogue(
          helpEnd(
            [
              ['vpollnet gateway-control /run/user/1000/gw flows --sort rate', 'who moves most'],
              ['vpollnet gateway-control gw answer 7 allow --for name', 'answer what was asked'],
              ["vpollnet gateway-control gw deny 'tcp:all:25'", 'a rule in front of all others'],
              [
                'vpollnet gateway-control gw publish 8080:80',
                'a forward; forwards lists them, remove ID ends one',
              ],
            ],
            'flows, ended, kill ID; forwards, publish FORWARD, outward FORWARD, remove ID; rules, allow RULE, deny RULE,\n' +
              'ask RULE; asking, answer ID allow|deny|drop; counters; events. Rules and forwards are written as for\n' +
              "'vpollnet gateway'. events prints a line of JSON for what happens, until Ctrl-C.\n" +
              'Exit codes: 0 done, 1 an error, 2 a wrong command line, 3 there is none of that number.',
          ),
        ),
    async (given) => {
      const wanted = actions[given.action];
      if (given.arguments.length !== wanted.length) {
        const form = [given.action, ...wanted].join(' ');
        throw new UsageError(`it is '${form}', and ${given.arguments.length} arguments are given`);
      }
      const { runControl } = await import('./gateway/client.js');
      process.exitCode = await runControl({
        path: given.path,
        action: given.action,
        args: given.arguments,
        json: given.json,
        query: { limit: `${given.limit}`, sort: given.sort, filter: given.filter },
        scope: given.for,
      });
    },
  );
}
