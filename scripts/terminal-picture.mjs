// SPDX-License-Identifier: MIT
//
// node scripts/terminal-picture.mjs: plays a session of the terminal, and the live table of the stacks, in
// tmux and draws what the screen shows as docs/terminal.svg and docs/stacks.svg. Run it when their looks change.

import { execFileSync, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { setup } from './setup.mjs';
import { root, runMain } from './steps.mjs';

const program = (/** @type {string} */ file) => `${process.execPath} ${join(root, 'dist', file)}`;

/** @param {string[]} args */
const tmux = (...args) =>
  execFileSync('tmux', ['-L', 'vpollnet-picture', ...args], { encoding: 'utf8' });

await runMain(async () => {
  await setup();
  await picture(
    { file: 'terminal.svg', title: 'A session of the terminal', prompt: 'npm start' },
    [78, 16],
    program('examples/terminal.js'),
    async () => {
      for (const line of ['help', 'echo one poll, two stacks, no root', 'hosts', 'stats']) {
        tmux('send-keys', line, 'Enter');
        await sleep(400);
      }
      await sleep(1200); // the status line follows within a second
    },
  );
  const busy = spawn(process.execPath, [join(root, 'scripts/terminal-picture-stacks.mjs')], {
    stdio: 'ignore',
  });
  try {
    await sleep(1500);
    await picture(
      { file: 'stacks.svg', title: 'The live table of the stacks', prompt: 'vpollnet stacks' },
      [126, 32],
      `${program('cli/main.js')} stacks --pid ${busy.pid} -n 0.5`,
      () => sleep(2500),
    );
  } finally {
    busy.kill();
  }
  return 0;
});

/**
 * @param {{ file: string, title: string, prompt: string }} what
 * @param {[columns: number, rows: number]} size
 * @param {string} command
 * @param {() => Promise<unknown>} play what is done before the screen is drawn
 */
async function picture(what, [columns, rows], command, play) {
  tmux('-f', '/dev/null', 'new-session', '-d', '-x', `${columns}`, '-y', `${rows}`, command);
  tmux('set', 'status', 'off');
  try {
    await sleep(1500);
    await play();
    const screen = tmux('capture-pane', '-e', '-p');
    writeFileSync(join(root, 'docs', what.file), draw(screen, what, columns, rows));
  } finally {
    tmux('kill-server');
  }
}

/**
 * @param {string} screen text with escape sequences, of which inverse (7), bold (1) and faint (2) are drawn
 * @param {{ title: string, prompt: string }} what
 * @param {number} columns
 * @param {number} rows
 */
function draw(screen, { title, prompt }, columns, rows) {
  const [width, height] = [columns * 8.43 + 40, (rows + 1) * 19 + 48];
  const lines = [`$ ${prompt}`, ...screen.trimEnd().split('\n')];
  const text = lines.map((line, index) => {
    const y = 54 + index * 19;
    const inverse = line.includes('\u001b[7m');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are made of them
    const bold = /\u001b\[(0;)?1m/.test(line) ? ' font-weight="bold"' : '';
    const faint = line.includes('\u001b[2m');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are made of them
    const plain = line.replace(/\u001b\[[0-9;]*m/g, '').trimEnd();
    const escaped = plain.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
    const bar = `<rect x="12" y="${y - 14}" width="${width - 24}" height="19" fill="#c9d1d9"/>`;
    let colour = faint ? '#8b949e' : '#c9d1d9';
    if (inverse) colour = '#0d1117';
    else if (/^[>$]/.test(plain)) colour = '#7ee787';
    return `${inverse ? bar : ''}<text x="20" y="${y}" fill="${colour}"${bold}>${escaped}</text>`;
  });
  const dots = ['#ff5f56', '#ffbd2e', '#27c93f'].map(
    (colour, index) => `<circle cx="${22 + index * 18}" cy="20" r="6" fill="${colour}"/>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}">
<rect width="100%" height="100%" rx="8" fill="#0d1117"/>
${dots.join('')}
<g font-family="ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="14" xml:space="preserve">
${text.join('\n')}
</g>
</svg>
`;
}
