// SPDX-License-Identifier: MIT
//
// Plug-ins of the libioth kind, compiled for the tests into a home folder of their own.

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import { root } from './support.js';

export const everyCall =
  `socket close bind connect listen accept getsockname getpeername setsockopt getsockopt
  shutdown ioctl fcntl read readv recv recvfrom recvmsg write writev send sendto sendmsg`.split(
    /\s+/,
  );

export interface PluginSource {
  /** What it says of its licence; null: nothing. */
  license?: string | null;
  /** The calls that it exports. */
  calls?: readonly string[];
  /** More of what ioth_kernel.c can be told, such as '-DFILLS_IN'. */
  flags?: readonly string[];
  /** False: `ioth_NAME.so`, not `ioth_NAME-r.so`. */
  reentrant?: boolean;
  source?: string;
}

/** A home folder for the tests of a file, which HOME names meanwhile. */
export function useHome(): { path: string } {
  const home = { path: '' };
  const before = process.env.HOME;
  beforeAll(() => {
    home.path = mkdtempSync(join(tmpdir(), 'vpollnet-plugins-'));
    mkdirSync(join(home.path, '.ioth'));
    process.env.HOME = home.path;
  });
  afterAll(() => {
    process.env.HOME = before;
    rmSync(home.path, { recursive: true });
  });
  return home;
}

export function hasCompiler(): boolean {
  try {
    execFileSync('cc', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    process.stderr.write('vpollnet: tests of plug-ins skipped: cc is missing (gcc)\n');
    return false;
  }
}

/** Compiles a plug-in into the home folder; its path. */
export function makePlugin(
  home: { path: string },
  name: string,
  plugin: PluginSource = {},
): string {
  const { license = 'SPDX-License-Identifier: MIT', calls = everyCall, flags = [] } = plugin;
  const { reentrant = true, source = 'ioth_kernel.c' } = plugin;
  const path = join(home.path, '.ioth', `ioth_${name}${reentrant ? '-r' : ''}.so`);
  execFileSync('cc', [
    ...['-std=gnu11', '-Wall', '-Wextra', '-Werror', '-shared', '-fPIC', `-DNAME=${name}`],
    ...(license === null ? [] : [`-DLICENSE="${license}"`]),
    ...calls.map((call) => `-DHAS_${call}`),
    ...[`-I${join(root, 'stack/host/sockets')}`, '-o', path, join(root, 'test/plugins', source)],
    ...flags,
  ]);
  return path;
}

/** The lines that a plug-in has written to its log: 'CALL STACK'. */
export function logOf(path: string): string[] {
  return readFileSync(path, 'utf8').trimEnd().split('\n');
}
