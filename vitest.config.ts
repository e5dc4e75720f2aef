// SPDX-License-Identifier: MIT
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

// A sanitizer makes every process several times slower, and some tests start ten of them.
const timeout = process.env.VPOLLNET_SANITIZED ? 180_000 : 60_000;
const root = fileURLToPath(new URL('.', import.meta.url));

export default defineConfig({
  root,
  resolve: {
    // The tests run from the sources, so the package's own name means them too.
    alias: [{ find: /^vpollnet$/, replacement: `${root}ts/index.ts` }],
  },
  test: {
    include: [
      'test/ts/**/*.test.ts',
      'test/interop/**/*.test.ts',
      'test/links/**/*.test.ts',
      'test/cli/**/*.test.ts',
      'test/layout/**/*.test.ts',
      'test/vpoll/**/*.test.ts',
      'test/conformance/**/*.test.ts',
    ],
    // A process for each file: a crash in the addon takes down one file, and is seen.
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: timeout,
    hookTimeout: timeout,
  },
});
