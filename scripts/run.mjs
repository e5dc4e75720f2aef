// SPDX-License-Identifier: MIT
//
// node scripts/run.mjs examples/terminal [arguments]: the set-up, then a compiled program in this
// process's place: its standard streams, its signals, its way of ending.

import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { join } from 'node:path';
import { setup } from './setup.mjs';
import { root, runMain } from './steps.mjs';

await runMain(async () => {
  const [program = '', ...args] = process.argv.slice(2);
  await setup();
  return exec(join(root, 'dist', `${program}.js`), args);
});

/**
 * @param {string} file
 * @param {string[]} args
 * @returns {Promise<number>} the exit code, as a shell counts it
 */
function exec(file, args) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['--enable-source-maps', file, ...args], {
      stdio: 'inherit',
    });
    for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'])) {
      process.on(signal, () => {
        // A terminal sends its own signals to the whole group: the child has this one already.
        const fromTerminal = process.stdin.isTTY && (signal === 'SIGINT' || signal === 'SIGQUIT');
        if (!fromTerminal) child.kill(signal);
      });
    }
    child.on('close', (code, signal) => {
      resolve(code ?? 128 + (signal ? constants.signals[signal] : 0));
    });
  });
}
