// SPDX-License-Identifier: MIT
//
// Debian's Chromium, without a window.

import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';

const path = '/usr/bin/chromium';

/** '' where it is missing, which is said, as tests are skipped for it. */
export const chromiumPath = existsSync(path) ? path : '';
if (chromiumPath === '') process.stderr.write(`vpollnet: tests skipped: there is no ${path}\n`);

export function launchChromium(): Promise<Browser> {
  // Root has no sandbox of Chromium's; it sees nothing but our own page.
  const args = ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'];
  // Under a sanitizer, its runtime is for our program alone.
  const { LD_PRELOAD: _, ...env } = process.env as Record<string, string>;
  return chromium.launch({ executablePath: path, args, env });
}
