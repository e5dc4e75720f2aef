// SPDX-License-Identifier: MIT
//
// libvpoll as a C programmer gets it: installed, found by pkg-config, and loaded in the place of Debian's.

import { execFile, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const run = promisify(execFile);

/** A tool that is missing skips a test, but not in CI. */
function lacks(tool: string): boolean {
  if (process.env.VPOLLNET_CI === '1' || spawnSync(tool, ['--version']).error === undefined)
    return false;
  process.stderr.write(`[skip] a test of the installed libvpoll: ${tool} is missing\n`);
  return true;
}

let scratch: string;
let prefix: string;
let library: string;

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'vpollnet-install-'));
  prefix = join(scratch, 'prefix');
  const build = join(scratch, 'build');
  await run('cmake', ['-S', root, '-B', build, `-DCMAKE_INSTALL_PREFIX=${prefix}`]);
  await run('cmake', ['--build', build, '--target', 'vpoll', 'vpoll_static']);
  await run('cmake', ['--install', build]);
  const found = readdirSync(prefix, { recursive: true, encoding: 'utf8' });
  const shared = found.find((name) => name.endsWith('libvpoll.so.0'));
  library = join(prefix, shared ?? 'libvpoll.so.0 was not installed', '..');
}, 120_000);

afterAll(() => rmSync(scratch, { recursive: true, force: true }));

async function pkgConfig(...args: string[]): Promise<string[]> {
  const env = { ...process.env, PKG_CONFIG_PATH: join(library, 'pkgconfig') };
  const { stdout } = await run('pkg-config', args, { env });
  return stdout.trim().split(/\s+/);
}

/** Compiles a C program; what it is called. */
async function compile(name: string, source: string, flags: string[]): Promise<string> {
  const program = join(scratch, name);
  await run('cc', ['-Wall', '-Wextra', '-Werror', source, '-o', program, ...flags]);
  return program;
}

function withOurs(env: Record<string, string> = {}): NodeJS.ProcessEnv {
  return { ...process.env, LD_LIBRARY_PATH: library, ...env };
}

describe('cmake --install', () => {
  it('puts libraries, headers, manual pages and the example where they belong', () => {
    const files = readdirSync(prefix, { recursive: true, encoding: 'utf8' });
    for (const name of [
      'libvpoll.so',
      'libvpoll.a',
      'pkgconfig/vpoll.pc',
      'include/vpoll.h',
      'include/linux/vpoll.h',
      'man3/vpoll.3',
      'man3/vpoll_create.3',
      'man4/vpoll.4',
      'stdin.c',
    ]) {
      expect(
        files.filter((file) => file.endsWith(name)),
        name,
      ).toHaveLength(1);
    }
  });

  it('exports the functions of vpoll.h and nothing else', async () => {
    const { stdout } = await run('nm', ['-D', '--defined-only', join(library, 'libvpoll.so.0')]);
    const exported = stdout.match(/\S+$/gm)?.sort();
    const header = readFileSync(join(root, 'vpoll/vpoll.h'), 'utf8');
    const declared = [...header.matchAll(/^(?:int|const char\*) (vpoll_\w+)\(/gm)].map((m) => m[1]);
    expect(exported).toEqual(declared.sort());
  });

  it.skipIf(lacks('groff'))('shows a manual page without a warning', async () => {
    for (const page of ['vpoll.3', 'vpoll.4']) {
      const { stderr } = await run('groff', [
        '-man',
        '-ww',
        '-Tutf8',
        '-z',
        join(root, 'vpoll/man', page),
      ]);
      expect(stderr).toBe('');
    }
  });

  it.skipIf(lacks('pkg-config'))(
    'lets the example mix stdin and a vpoll fd, linked to the shared and to the static library',
    async () => {
      const source = join(prefix, 'share/doc/vpollnet/vpoll/stdin.c');
      const shared = await compile(
        'shared',
        source,
        await pkgConfig('--cflags', '--libs', 'vpoll'),
      );
      const statically = await compile('static', source, [
        '-static',
        ...(await pkgConfig('--static', '--cflags', '--libs', 'vpoll')),
      ]);
      for (const program of [shared, statically]) {
        const child = spawn(program, { env: withOurs(), stdio: ['pipe', 'pipe', 'inherit'] });
        const ended = new Promise((resolve) => child.on('exit', resolve));
        let output = '';
        child.stdout.on('data', (data) => {
          output += data;
          if (/heard 1\n$/.test(output) && !output.includes('typed')) child.stdin.write('hello\n');
          else if (/typed hello\nheard 1\n/.test(output)) child.stdin.end();
        });
        expect(await ended).toBe(0);
        expect(output).toMatch(/^heard 1\ntyped hello\nheard 1\n/);
      }
    },
  );
});

describe("a program built against Debian's libvpoll-dev", () => {
  const header = '/usr/include/vpoll.h';
  const manual = '/usr/share/man/man3/vpoll_create.3.gz';
  const obstacle = [header, manual].find((file) => !existsSync(file));
  if (obstacle !== undefined && process.env.VPOLLNET_CI !== '1') {
    process.stderr.write(`[skip] programs of libvpoll-dev: no ${obstacle}\n`);
  }

  /** The demo of its manual page, as it stands there. */
  function demo(): string {
    const page = gunzipSync(readFileSync(manual)).toString();
    const text = /\.SH "EXAMPLE"\n\.nf\n([\s\S]*?)\n\.fi/.exec(page)?.[1];
    expect(text).toContain('int main');
    return (text as string).replaceAll(/\\([.-])/g, '$1').replaceAll('\\e', '\\');
  }

  async function canBeExact(): Promise<boolean> {
    const source = join(scratch, 'exact.c');
    const text =
      '#include <vpoll.h>\nint main(void) { return vpoll_create(0, VPOLL_EXACT) < 0; }\n';
    writeFileSync(source, text);
    const flags = [`-I${join(prefix, 'include')}`, `-L${library}`, '-lvpoll'];
    const program = await compile('exact', source, flags);
    return await run(program, [], { env: withOurs() }).then(
      () => true,
      () => false,
    );
  }

  it.skipIf(obstacle !== undefined && process.env.VPOLLNET_CI !== '1')(
    'runs unchanged when ours is loaded in its place: the demo of its manual page',
    async () => {
      const source = join(scratch, 'demo.c');
      writeFileSync(source, demo());
      const program = join(scratch, 'demo');
      await run('gcc', ['-w', '-I/usr/include', source, '-o', program, '-lvpoll']);
      const loaded = await run('ldd', [program], { env: withOurs() });
      expect(loaded.stdout).toContain(join(library, 'libvpoll.so.0'));

      const events = async (env: Record<string, string>) => {
        const options = { env: withOurs(env), timeout: 40_000 };
        const { stdout } = await run(program, [], options);
        return { got: stdout.match(/GOT event \w+/g), timeouts: stdout.match(/timeout/g)?.length };
      };
      // What its manual page says that the emulation prints, and what a kernel with vpoll does.
      const before = ['GOT event 1', 'GOT event 1', 'GOT event 4'];
      const expected: Record<string, string[]> = { socketpair: [...before, 'GOT event 2011'] };
      if (await canBeExact()) expected.exact = [...before, 'GOT event 10'];
      await Promise.all(
        Object.entries(expected).map(async ([name, got]) => {
          const env = name === 'exact' ? { VPOLL_EXACT: '1' } : { VPOLL_BACKEND: name };
          const seen = await events(env as Record<string, string>);
          expect(seen.got, name).toEqual(got);
          expect(seen.timeouts, name).toBeGreaterThanOrEqual(4);
        }),
      );
    },
    60_000,
  );
});
