// SPDX-License-Identifier: MIT
//
// node scripts/terminal-picture.mjs: plays a session of the terminal in tmux and draws what the screen
// shows as docs/terminal.svg. Run it when the terminal's looks change.

import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { setup } from './setup.mjs';
import { root, runMain } from './steps.mjs';

const columns = 78;
const rows = 16;
const session = ['npm start', 'help', 'echo one poll, two stacks, no root', 'hosts', 'stats'];

/** @param {string[]} args */
const tmux = (...args) =>
  execFileSync('tmux', ['-L', 'vpollnet-picture', ...args], { encoding: 'utf8' });

await runMain(async () => {
  await setup();
  const program = `${process.execPath} ${join(root, 'dist/examples/terminal.js')}`;
  tmux('-f', '/dev/null', 'new-session', '-d', '-x', `${columns}`, '-y', `${rows}`, program);
  tmux('set', 'status', 'off');
  try {
    await sleep(1500);
    for (const line of session.slice(1)) {
      tmux('send-keys', line, 'Enter');
      await sleep(400);
    }
    await sleep(1200); // the status line follows within a second
    writeFileSync(join(root, 'docs/terminal.svg'), draw(tmux('capture-pane', '-e', '-p')));
  } finally {
    tmux('kill-server');
  }
  return 0;
});

/** @param {string} screen text with escape sequences, of which inverse video (7) is drawn */
function draw(screen) {
  const [width, height] = [columns * 8.43 + 40, (rows + 1) * 19 + 48];
  const lines = ['$ npm start', ...screen.trimEnd().split('\n')];
  const text = lines.map((line, index) => {
    const y = 54 + index * 19;
    const inverse = line.includes('\u001b[7m');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are made of them
    const plain = line.replace(/\u001b\[[0-9;]*m/g, '').trimEnd();
    const escaped = plain.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
    const bar = `<rect x="12" y="${y - 14}" width="${width - 24}" height="19" fill="#c9d1d9"/>`;
    const colour = inverse ? '#0d1117' : /^[>$]/.test(plain) ? '#7ee787' : '#c9d1d9';
    return `${inverse ? bar : ''}<text x="20" y="${y}" fill="${colour}">${escaped}</text>`;
  });
  const dots = ['#ff5f56', '#ffbd2e', '#27c93f'].map(
    (colour, index) => `<circle cx="${22 + index * 18}" cy="20" r="6" fill="${colour}"/>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="A session of the terminal">
<rect width="100%" height="100%" rx="8" fill="#0d1117"/>
${dots.join('')}
<g font-family="ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="14" xml:space="preserve">
${text.join('\n')}
</g>
</svg>
`;
}
