// SPDX-License-Identifier: MIT
//
// vpollnet run: the program in a Node of its own, with vpollnet/register before it.

import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { parseStackWords, StackLineError } from '../ts/register/stack-line.js';
import { CommandFailure, UsageError } from './command.js';

const register = new URL('../ts/register/register.js', import.meta.url).href;

/** Of these a terminal sends its own to the program too. */
const ofTerminal: readonly NodeJS.Signals[] = ['SIGINT', 'SIGQUIT', 'SIGHUP'];

/**
 * @param words the stack, as VPOLLNET has it
 * @param command the program and its arguments; before it may stand options of Node's
 * @returns the program's exit code, as a shell counts it
 */
export function runProgram(words: string[], command: string[]): Promise<number> {
  try {
    parseStackWords(words);
  } catch (error) {
    throw error instanceof StackLineError ? new UsageError(error.message) : error;
  }
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--import', register, ...command], {
      stdio: 'inherit',
      env: { ...process.env, VPOLLNET: JSON.stringify(words) },
    });
    for (const signal of [...ofTerminal, 'SIGTERM'] as const) {
      // The program decides what it does.
      process.on(signal, () => {
        if (!process.stdin.isTTY || !ofTerminal.includes(signal)) child.kill(signal);
      });
    }
    child.on('error', (error) => {
      reject(new CommandFailure(`cannot start ${process.execPath}: ${error.message}`, 1));
    });
    child.on('exit', (code, signal) => {
      resolve(code ?? 128 + constants.signals[signal as NodeJS.Signals]);
    });
  });
}
