// SPDX-License-Identifier: MIT
//
// vpollnet terminal: examples/terminal-session.ts as a command.

import type { Argv } from 'yargs';
import { helpEnd, last, number, UsageError, withLink } from './command.js';

/** ADDRESS:PORT or [ADDRESS]:PORT. */
function toPeer(text: string): { host: string; port: number } {
  const [, v6, v4, port] = /^(?:\[(.+)\]|([^:]+)):(\d+)$/.exec(text) ?? [];
  if (port === undefined || Number(port) < 1 || Number(port) > 65535) {
    throw new UsageError(`--connect must be ADDRESS:PORT or [ADDRESS]:PORT, not '${text}'`);
  }
  return { host: v6 ?? v4 ?? '', port: Number(port) };
}

export function addTerminal(cli: Argv): Argv {
  return cli.command(
    'terminal',
    'a raw TCP terminal on a stack of its own',
    (command) =>
      withLink(command.usage('Usage: $0 terminal [--link URL --address A/P --connect A:PORT]'))
        .options({
          connect: {
            type: 'string',
            requiresArg: true,
            coerce: last<string | undefined>,
            describe: 'the peer, as ADDRESS:PORT or [ADDRESS]:PORT',
          },
          timeout: {
            type: 'string',
            requiresArg: true,
            default: '15',
            describe: 'seconds to wait for the connection',
            coerce: number('timeout', 0.001, 86_400),
          },
          cooked: {
            type: 'boolean',
            default: false,
            describe: 'leave line editing and echo to this terminal: Enter sends a line',
          },
        })
        .epilogue(
          helpEnd(
            [
              ['vpollnet terminal', 'a line host at the far end of a cable in memory'],
              [
                'vpollnet terminal --link tap://tap0 --address 10.0.0.2/24 --connect 10.0.0.1:7',
                'a host out there',
              ],
              ["echo hello | vpollnet terminal --link ... --connect '[fd00::1]:7'", 'in a pipe'],
            ],
            'At a terminal, ~. at the beginning of a line disconnects, and ~? lists the escapes.\n' +
              'Exit codes: 0 both sides are done, 1 an error, 2 a wrong command line, 128 + N after signal N.',
          ),
        ),
    async (given) => {
      const { link, address: addresses, gateway: gateways, connect, timeout, cooked } = given;
      if ((link === undefined) !== (connect === undefined)) {
        throw new UsageError('--link and --connect belong together');
      }
      const peer = toPeer(connect ?? '10.0.0.1:7');
      const { runTerminal } = await import('../examples/terminal-session.js');
      await runTerminal({
        link,
        addresses,
        gateways,
        peer,
        timeout: (timeout as number) * 1000,
        cooked,
        help: false,
      });
    },
  );
}
