// SPDX-License-Identifier: MIT
//
// A raw TCP terminal on a stack of its own: command line and exit code. terminal-session.ts has the
// loop.

import { say, writeOutput } from './stdio.js';
import { readOptions, type TerminalOptions, usage } from './terminal-options.js';
import { runTerminal } from './terminal-session.js';

async function main(): Promise<number> {
  let options: TerminalOptions;
  try {
    options = readOptions();
  } catch (error) {
    say(`terminal: ${(error as Error).message} (--help explains)`);
    return 2;
  }
  try {
    if (options.help) writeOutput(Buffer.from(usage));
    else await runTerminal(options);
    return 0;
  } catch (error) {
    say(`terminal: ${(error as Error).message}`);
    return 1;
  }
}

process.exit(await main());
