// SPDX-License-Identifier: MIT
//
// vpollnet capture: its options. capture.ts runs it.

import { isatty } from 'node:tty';
import type { Argv } from 'yargs';
import { helpEnd, last, number, UsageError } from './command.js';

export function addCapture(cli: Argv): Argv {
  return cli.command(
    'capture',
    'record a link as pcapng',
    (command) =>
      command
        .usage('Usage: $0 capture --link URL [-w FILE]')
        .options({
          link: {
            type: 'string',
            requiresArg: true,
            demandOption: true,
            coerce: last<string>,
            describe: 'URL of the link, such as tap://tap0, vde:///run/switch or cable:lab',
          },
          write: {
            alias: 'w',
            type: 'string',
            requiresArg: true,
            default: '-',
            defaultDescription: 'stdout',
            coerce: last<string>,
            describe: 'the file; - is stdout',
          },
          count: {
            alias: 'c',
            type: 'string',
            requiresArg: true,
            describe: 'end after so many frames',
            coerce: number('count', 1, Number.MAX_SAFE_INTEGER, true),
          },
          duration: {
            alias: 'd',
            type: 'string',
            requiresArg: true,
            describe: 'end after so many seconds',
            coerce: number('duration', 0.001, 1e6),
          },
          snap: {
            alias: 's',
            type: 'string',
            requiresArg: true,
            default: '262144',
            describe: 'bytes of each frame that are kept',
            coerce: number('snap', 1, 262_144, true),
          },
        })
        .epilogue(
          helpEnd(
            [
              [
                'vpollnet capture --link vde:///run/switch -w lab.pcapng',
                'to a file, until Ctrl-C',
              ],
              ['vpollnet capture --link tap://tap0 | tshark -r -', 'live, through a pipe'],
            ],
            'The link is only listened to. Where it brings frames for others (a cable, a hub, packet://), they are\n' +
              'recorded too; a switch sends on what is for all, and what it has no better place for.\n' +
              'Exit codes: 0 ended by -c, --duration, Ctrl-C or SIGTERM, 1 an error, 2 a wrong command line, 141 the\n' +
              'reader of the pipe has gone.',
          ),
        ),
    async ({ link, write, count, duration, snap }) => {
      const stdout = write === '-';
      if (stdout && isatty(1)) {
        throw new UsageError('a recording is not for a terminal: give -w FILE, or a pipe');
      }
      const { capture } = await import('./capture.js');
      process.exitCode = await capture({
        url: link,
        target: stdout ? 1 : write,
        count,
        duration: duration === undefined ? undefined : duration * 1000,
        snapLength: snap as number,
      });
    },
  );
}
