#!/usr/bin/env node
// SPDX-License-Identifier: MIT
//
// vpollnet: the command line. A file for each command; what a command needs is loaded when it runs, so
// that help and completion are quick.

import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import yargs from 'yargs';
import { addCapture } from './capture-command.js';
import { CommandFailure, clean, exitCode, messageOf, UsageError } from './command.js';
import { addCompletion } from './completion.js';
import { addGateway } from './gateway-command.js';
import { addGatewayControl } from './gateway-control-command.js';
import { addPing } from './ping-command.js';
import { addRun } from './run-command.js';
import { addStacks } from './stacks-command.js';
import { addSwitch } from './switch-command.js';
import { addTerminal } from './terminal-command.js';

const { version } = JSON.parse(
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
) as { version: string };

const commands = [
  'terminal',
  'ping',
  'capture',
  'switch',
  'gateway',
  'gateway-control',
  'run',
  'stacks',
  'completion',
];

/** What follows `--` is a command of its own, whose options are none of ours. */
function cut(args: string[]): [own: string[], command: string[] | undefined] {
  const at = args.indexOf('--');
  const called = args.find((arg) => !arg.startsWith('-'));
  const takesCommand = called === 'gateway' || called === 'run';
  return takesCommand && at >= 0 ? [args.slice(0, at), args.slice(at + 1)] : [args, undefined];
}

async function main(given: string[]): Promise<number> {
  const [args, command] = cut(given);
  const cli = yargs(args)
    .scriptName('vpollnet')
    .locale('en')
    .usage('Usage: $0 COMMAND [OPTIONS]\n\nTCP/IP stacks in a process, at the command line.')
    .parserConfiguration({
      'greedy-arrays': false, // --address A HOST: HOST is no address
      'parse-numbers': false,
      'parse-positional-numbers': false,
      'dot-notation': false,
      'boolean-negation': false,
    })
    .demandCommand(1, 1, 'no command is given', 'one command at a time')
    .strict()
    .recommendCommands()
    .wrap(process.stdout.isTTY ? Math.min(100, process.stdout.columns) : 100)
    .help()
    .alias('help', 'h')
    .version(version)
    .alias('version', 'V')
    .exitProcess(false)
    .updateStrings({
      'Unknown argument: %s': { one: 'unknown argument: %s', other: 'unknown arguments: %s' },
      'Unknown command: %s': { one: 'unknown command: %s', other: 'unknown commands: %s' },
      'Not enough non-option arguments: got %s, need at least %s': {
        one: 'an argument is missing (%s given, %s needed)',
        other: 'an argument is missing (%s given, %s needed)',
      },
      'Missing required argument: %s': { one: '--%s is missing', other: 'missing: %s' },
      'Not enough arguments following: %s': '--%s needs a value',
      'Invalid values:': 'wrong value',
      'Argument: %s, Given: %s, Choices: %s': '%s cannot be %s; there are %s',
      'Did you mean %s?': 'did you mean %s?',
    } as unknown as Record<string, string>)
    .fail((message, error) => {
      // What yargs itself finds wrong, an option's check among it, is a YError or no error at all.
      if (error && error.name !== 'YError') throw error;
      throw new UsageError(error?.message ?? message);
    })
    .epilogue(
      'Exit codes: 0 done, 1 an error, 2 a wrong command line, 3 nothing found; ping has its own.\n' +
        "'vpollnet COMMAND --help' explains a command, with examples.",
    );
  addTerminal(cli);
  addPing(cli);
  addCapture(cli);
  addSwitch(cli);
  addGateway(cli, args, command);
  addGatewayControl(cli);
  addRun(cli, args.slice(1), command);
  addStacks(cli);
  addCompletion(cli);
  await cli.parseAsync();
  return Number(process.exitCode ?? exitCode.ok);
}

// A reader that has seen enough, as head(1): end as a program that the signal ends would.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(128 + constants.signals.SIGPIPE);
  throw error;
});

const args = process.argv.slice(2);
try {
  const code = await main(args);
  // What a pipe has not taken yet would be lost with the process.
  await new Promise((written) => process.stdout.write('', written));
  process.exit(code);
} catch (error) {
  const command = args.find((arg) => !arg.startsWith('-'));
  const known = command !== undefined && commands.includes(command);
  const about = known ? `vpollnet ${command}` : 'vpollnet';
  if (error instanceof UsageError) {
    let what = messageOf(error);
    if (command !== undefined && !known) {
      const similar = what.startsWith('did you mean') ? `; ${what}` : '';
      what = `unknown command '${clean(command)}'${similar}`;
    }
    process.stderr.write(`${about}: ${what} (see '${about} --help')\n`);
    process.exit(exitCode.usage);
  }
  process.stderr.write(`${about}: ${messageOf(error)}\n`);
  process.exit(error instanceof CommandFailure ? error.code : exitCode.failure);
}
