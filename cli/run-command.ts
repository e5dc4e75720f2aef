// SPDX-License-Identifier: MIT
//
// vpollnet run: its options. run.ts does it.

import type { Argv } from 'yargs';
import { stackWords } from '../ts/register/stack-line.js';
import { helpEnd, UsageError } from './command.js';

/** For help and completion; run.ts reads the words themselves, as their order says which link an address is of. */
const options = Object.fromEntries(
  stackWords.map(([name, kind, describe]) => [
    name,
    kind === 'boolean'
      ? ({ type: 'boolean', describe } as const)
      : ({ type: 'string', array: kind === 'list', requiresArg: true, describe } as const),
  ]),
);

/** @param words what stands before `--` @param command what stands behind it; undefined without a `--` */
export function addRun(cli: Argv, words: string[], command: string[] | undefined): Argv {
  return cli.command(
    'run',
    'run a Node program whose whole network is a stack',
    (own) =>
      own
        .usage(
          'Usage: $0 run --link URL --address ADDRESS/PREFIX [OPTIONS] -- PROGRAM.js [ARGUMENTS]',
        )
        .options(options)
        .epilogue(
          helpEnd(
            [
              [
                'vpollnet run --link tap://tap0 --address 10.0.0.2/24 --gateway 10.0.0.1 -- app.js',
                'over a TAP',
              ],
              [
                'vpollnet run --link vde:///run/switch --address 10.0.0.2/24 -- --enable-source-maps app.js',
                'with options of Node before the program',
              ],
              [
                "VPOLLNET='--link vde:///run/switch --address 10.0.0.2/24' node --import vpollnet/register app.js",
                'the same without this command',
              ],
            ],
            "Exit codes: the program's own, 128 + N for signal N; 2 a wrong command line, or a stack that\n" +
              'cannot be opened.',
          ),
        ),
    async () => {
      if (command === undefined || command.length === 0) {
        throw new UsageError("no program is given: put it behind '--'");
      }
      const { runProgram } = await import('./run.js');
      process.exitCode = await runProgram(words, command);
    },
  );
}
