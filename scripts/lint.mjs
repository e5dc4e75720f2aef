// SPDX-License-Identifier: MIT
//
// node scripts/lint.mjs [--fix]: biome, clang-format and the TypeScript compiler over all sources.

import { install } from './setup.mjs';
import { filesUnder, run, runMain } from './steps.mjs';

// Versions of clang-format disagree; this is the one that decides.
const clangFormatMajor = 14;

await runMain(async () => {
  const fix = process.argv.includes('--fix');
  await install();
  const node = process.execPath;
  const checks = [
    {
      name: 'biome',
      command: [
        node,
        'node_modules/@biomejs/biome/bin/biome',
        'check',
        '--error-on-warnings',
        ...(fix ? ['--write'] : []),
      ],
    },
    {
      name: 'tsc',
      command: [node, 'node_modules/typescript/bin/tsc', '-p', 'tsconfig.check.json'],
    },
    {
      name: 'tsc page',
      command: [node, 'node_modules/typescript/bin/tsc', '-p', 'cli/gateway/page/tsconfig.json'],
    },
  ];
  const format = await clangFormat();
  // kernel/ keeps the kernel's own style.
  const native = filesUnder(
    ['stack', 'vpoll', 'namespace', 'ts/binding', 'test', 'examples', 'bench', 'cmake'],
    /\.(c|h|cpp|hpp)$/,
  );
  if (format === null) {
    process.stderr.write(`clang-format ${clangFormatMajor} not found: C and C++ not checked\n`);
    if (process.env.VPOLLNET_CI) return 1;
  } else if (native.length > 0) {
    const mode = fix ? ['-i'] : ['--dry-run', '-Werror'];
    checks.push({ name: 'clang-format', command: [format, ...mode, ...native] });
  }
  let failures = 0;
  for (const { name, command } of checks) {
    const { code, output } = await run(command);
    process.stdout.write(`${name.padEnd(14)}${code === 0 ? 'ok' : 'FAILED'}\n`);
    if (code !== 0) {
      failures += 1;
      process.stdout.write(output);
    }
  }
  return failures > 0 ? 1 : 0;
});

async function clangFormat() {
  for (const name of [`clang-format-${clangFormatMajor}`, 'clang-format']) {
    const { code, output } = await run([name, '--version']);
    if (code === 0 && output.includes(`version ${clangFormatMajor}.`)) return name;
  }
  return null;
}
