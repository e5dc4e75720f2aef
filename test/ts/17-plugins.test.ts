// SPDX-License-Identifier: MIT
//
// Stack.load(): plug-ins of the libioth kind. Those here are test/plugins/ioth_kernel.c, over the kernel's
// sockets, compiled in as many ways as a plug-in can be right or wrong.

import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  type LoadedStack,
  type LoadOptions,
  POLLIN,
  POLLOUT,
  poll,
  Stack,
  type TcpSocket,
  UdpSocket,
} from 'vpollnet';
import {
  everyCall,
  hasCompiler,
  logOf,
  makePlugin,
  type PluginSource,
  useHome,
} from './plugins.js';
import {
  freshCable,
  openDescriptors,
  openStack,
  root,
  runProgram,
  untyped,
  waitFor,
} from './support.js';

const home = useHome();
const compiler = hasCompiler();

async function load(name: string, options: LoadOptions = {}): Promise<LoadedStack> {
  const stack = await Stack.load(name, options);
  onTestFinished(() => stack.close());
  return stack;
}

/** A plug-in of its own for a test, and a stack of it. */
async function loadNew(name: string, plugin: PluginSource, options: LoadOptions = {}) {
  makePlugin(home, name, plugin);
  const log = join(home.path, `${name}.log`);
  writeFileSync(log, '');
  const stack = await load(name, { ...options, options: `log=${log},${options.options ?? ''}` });
  const calls = () => logOf(log).map((line) => line.split(' ')[0]);
  return { stack, log, calls };
}

async function failure(name: string, options: LoadOptions = {}) {
  const stack = await Stack.load(name, options).catch((error) => error);
  if (stack instanceof Error) return stack as NodeJS.ErrnoException;
  await stack.close();
  throw new Error('it was loaded');
}

function connect(stack: LoadedStack): { client: TcpSocket; server: TcpSocket } {
  const listener = stack.socket('tcp').bind({ host: '127.0.0.1' }).listen();
  const client = stack.socket('tcp');
  client.connect({ host: '127.0.0.1', port: listener.localAddress!.port });
  waitFor(client, POLLOUT);
  waitFor(listener, POLLIN);
  const server = listener.accept()!;
  listener.close();
  return { client, server };
}

describe.skipIf(!compiler)('a plug-in', () => {
  test('serves the sockets of a stack', async () => {
    const path = makePlugin(home, 'plain');
    const stack = await load('plain');
    expect(stack).toMatchObject({ name: 'plain', path, license: 'MIT', closed: false });
    const { client, server } = connect(stack);
    expect(client.state).toBe('ESTABLISHED');
    expect(client.remoteAddress).toMatchObject({ address: '127.0.0.1', family: 'IPv4' });
    client.send('there');
    waitFor(server, POLLIN);
    expect(server.read()?.toString()).toBe('there');
    expect(client.setOption('noDelay', true).getOption('noDelay')).toBe(true);
    const one = stack.socket('udp').bind({ host: '::1' });
    const other = stack.socket('udp');
    expect(other).toBeInstanceOf(UdpSocket);
    other.sendTo('a datagram', { host: '::1', port: one.localAddress!.port });
    waitFor(one, POLLIN);
    expect(one.recvFrom(Buffer.alloc(4))).toMatchObject({ bytes: 4, size: 10, address: '::1' });
  });

  test('stands in one poll loop with a stack of ours', async () => {
    const { stack } = await loadNew('mixed', {});
    const url = freshCable();
    const near = await openStack({ url, addresses: ['10.0.0.1/24'] });
    const far = await openStack({ url, addresses: ['10.0.0.2/24'] });
    const ours = far.socket('udp').bind({ port: 7 });
    const theirs = stack.socket('udp').bind({ host: '127.0.0.1' });
    const fds = [ours, theirs].map(({ fd }) => ({ fd, events: POLLIN, revents: 0 }));
    expect(poll(fds, 0)).toBe(0);
    near.socket('udp').sendTo('x', { host: '10.0.0.2', port: 7 });
    expect([poll(fds, 20_000), fds.map(({ revents }) => revents)]).toEqual([1, [POLLIN, 0]]);
    stack.socket('udp').sendTo('x', { host: '127.0.0.1', port: theirs.localAddress!.port });
    expect([poll(fds, 20_000), fds.map(({ revents }) => revents)]).toEqual([2, [POLLIN, POLLIN]]);
  });

  test('may fill in its table itself, as those of libioth do', async () => {
    const { stack, calls } = await loadNew('filling', { calls: ['socket'], flags: ['-DFILLS_IN'] });
    const { client, server } = connect(stack);
    client.send('x');
    waitFor(server, POLLIN);
    expect(server.read()?.toString()).toBe('x');
    expect(new Set(calls())).toEqual(new Set(['newstack', 'socket']));
  });

  test('that does not know SOCK_NONBLOCK is made not to block all the same', async () => {
    const { stack } = await loadNew('blocking', { flags: ['-DNO_SOCK_NONBLOCK'] });
    const { client } = connect(stack);
    expect(client.read()).toBeNull();
    expect(stack.socket('udp').bind().recvFrom(Buffer.alloc(1))).toBeNull();
  });

  test('can be as short as docs/stacks.md shows it', async () => {
    const text = readFileSync(join(root, 'docs/stacks.md'), 'utf8');
    const [, code = ''] = /( {4}#include <unistd.h>\n[\s\S]*?)\n\n`cc/.exec(text) ?? [];
    const source = join(home.path, 'mine.c');
    writeFileSync(source, code);
    const path = join(home.path, '.ioth/ioth_mine-r.so');
    const folder = join(root, 'stack/host/sockets');
    execFileSync('cc', ['-shared', '-fPIC', `-I${folder}`, '-o', path, source]);
    const stack = await load('mine');
    const to = stack.socket('udp').bind({ host: '127.0.0.1', port: 50_123 });
    stack.socket('udp').sendTo('hello', { host: '127.0.0.1', port: 50_123 });
    waitFor(to, POLLIN);
    expect(to.recvFrom(Buffer.alloc(9))).toMatchObject({ size: 5, address: '127.0.0.1' });
  });

  test('gets locators and options', async () => {
    const { log } = await loadNew(
      'told',
      {},
      { links: ['vde:///a', 'tap://b'], options: 'number=9' },
    );
    expect(logOf(log)).toEqual(['newstack 1', 'vde:///a 0', 'tap://b 1']);
  });
});

describe.skipIf(!compiler)('a call that is missing falls back:', () => {
  const without = (...missing: string[]) => everyCall.filter((call) => !missing.includes(call));

  test.each([
    ['read', [], 'read'],
    ['read', ['read'], 'recv'],
    ['read', ['read', 'recv'], 'recvfrom'],
    ['read', ['read', 'recv', 'recvfrom'], 'recvmsg'],
    ['read', ['read', 'recv', 'recvfrom', 'recvmsg'], 'readv'],
    ['read', ['recv', 'recvfrom', 'recvmsg', 'readv'], 'read'],
    ['send', [], 'send'],
    ['send', ['send'], 'sendto'],
    ['send', ['send', 'sendto'], 'sendmsg'],
    ['send', ['send', 'sendto', 'sendmsg'], 'write'],
    ['send', ['send', 'sendto', 'sendmsg', 'write'], 'writev'],
  ] as const)('%s without %j is %s', async (what, missing, expected) => {
    const name = `fall_${what}_${missing.join('_')}`;
    const { stack, calls } = await loadNew(name, { calls: without(...missing) });
    const { client, server } = connect(stack);
    expect(client.send('some bytes')).toBe(10);
    waitFor(server, POLLIN);
    expect(server.read()?.toString()).toBe('some bytes');
    expect(server.read()).toBeNull();
    const transfers = calls().filter((call) => /^(read|recv|send|write)/.test(call ?? ''));
    const side = what === 'read' ? /^(read|recv)/ : /^(send|write)/;
    const used = new Set(transfers.filter((call) => side.test(call ?? '')));
    expect(used).toEqual(new Set([expected]));
  });

  test('recvmsg and sendmsg alone carry streams and datagrams, with their senders', async () => {
    const transfers = everyCall.filter((call) => /^(read|recv|send|write)/.test(call));
    const others = without(...transfers);
    const { stack } = await loadNew('messages', { calls: [...others, 'recvmsg', 'sendmsg'] });
    const { client, server } = connect(stack);
    client.send('x');
    waitFor(server, POLLIN);
    expect(server.read()?.toString()).toBe('x');
    const to = stack.socket('udp').bind({ host: '127.0.0.1' });
    const from = stack.socket('udp').bind({ host: '127.0.0.1' });
    from.sendTo('datagram', { host: '127.0.0.1', port: to.localAddress!.port });
    waitFor(to, POLLIN);
    expect(to.recvFrom(Buffer.alloc(3))).toEqual({ bytes: 3, size: 8, ...from.localAddress });
  });

  test('what nothing can stand for is ENOSYS', async () => {
    const { stack } = await loadNew('poor', { calls: ['socket', 'close', 'bind'] });
    const socket = stack.socket('tcp').bind({ host: '127.0.0.1' });
    expect(() => socket.listen()).toThrow(expect.objectContaining({ code: 'ENOSYS' }));
    expect(() => socket.send('x')).toThrow(expect.objectContaining({ code: 'ENOSYS' }));
    expect(() => socket.read()).toThrow(expect.objectContaining({ code: 'ENOSYS' }));
    expect(() => socket.setOption('noDelay', true)).toThrow(
      expect.objectContaining({ code: 'ENOSYS' }),
    );
    expect(() => socket.shutdown('both')).toThrow(expect.objectContaining({ code: 'ENOSYS' }));
    expect(socket.localAddress).toBeNull();
  });
});

describe.skipIf(!compiler)('getstackdata', () => {
  test('is set before each call, but not before close', async () => {
    const { stack: one, log } = await loadNew('data', {}, { options: 'number=1' });
    const two = await load('data', { options: `log=${log},number=2` });
    const sockets = [one.socket('udp'), two.socket('udp')];
    const before = logOf(log).length;
    sockets[0]!.bind({ host: '127.0.0.1' });
    sockets[1]!.bind({ host: '127.0.0.1' });
    sockets[0]!.close();
    sockets[0] = one.socket('udp').bind({ host: '127.0.0.1' });
    sockets[1]!.close();
    const told = logOf(log).slice(before);
    const of = (call: string) => told.filter((line) => line.startsWith(`${call} `));
    expect(of('bind')).toEqual(['bind 1', 'bind 2', 'bind 1']);
    // The sockets that were made to see whether one can be had are closed too: by the stack whose call it was.
    const closes = of('close');
    expect(told[told.indexOf('bind 2') + 1]).toBe('close 2');
    expect(closes.at(-1)).toBe('close 1');
  });

  test('is per thread', async () => {
    makePlugin(home, 'threads');
    const log = join(home.path, 'threads.log');
    const program = join(root, 'test/ts/programs/worker-plugin.mjs');
    const ended = await runProgram([process.execPath, program, log], { env: { HOME: home.path } });
    expect(ended).toMatchObject({ code: 0, stderr: '' });
    const lines = new Set(logOf(log).filter((line) => /^(bind|recvfrom|sendto) /.test(line)));
    expect(ended.stdout).toBe('100 datagrams in each of 2 threads\n');
    expect(lines).toEqual(
      new Set(['bind 1', 'bind 2', 'recvfrom 1', 'recvfrom 2', 'sendto 1', 'sendto 2']),
    );
  });
});

describe.skipIf(!compiler)('the two kinds', () => {
  test('-r comes first, and is one copy for all its stacks', async () => {
    const path = makePlugin(home, 'both');
    makePlugin(home, 'both', { reentrant: false });
    const log = join(home.path, 'both.log');
    const one = await load('both', { options: `log=${log}` });
    const two = await load('both', { options: `log=${log}` });
    expect([one.path, two.path]).toEqual([path, path]);
    expect(logOf(log)).toEqual(['newstack 1', 'newstack 2']);
  });

  test('the other kind is loaded once more for each stack', async () => {
    makePlugin(home, 'single', { reentrant: false });
    const log = join(home.path, 'single.log');
    const stacks = [];
    for (let i = 0; i < 3; i += 1) stacks.push(await load('single', { options: `log=${log}` }));
    expect(logOf(log)).toEqual(['newstack 1', 'newstack 1', 'newstack 1']);
    for (const stack of stacks) {
      const { client, server } = connect(stack);
      client.send('x');
      waitFor(server, POLLIN);
      expect(server.read()?.toString()).toBe('x');
      // Its errno is another variable than ours.
      expect(server.read()).toBeNull();
      expect(() => stack.socket('tcp').shutdown('both')).toThrow(/ENOTCONN/);
    }
  });

  test('they can be loaded again and again', async () => {
    makePlugin(home, 'again', { reentrant: false });
    for (let i = 0; i < 40; i += 1) await (await Stack.load('again')).close();
  });
});

describe.skipIf(!compiler)('the end of a stack', () => {
  test('closes its sockets, and then calls delstack once', async () => {
    const { stack, log } = await loadNew('ending', {}, { options: 'number=4' });
    const before = openDescriptors();
    const socket = stack.socket('udp').bind({ host: '127.0.0.1' });
    const { client } = connect(stack);
    await stack.close();
    await stack.close();
    expect([stack.closed, socket.closed, client.closed]).toEqual([true, true, true]);
    expect(openDescriptors()).toBe(before);
    expect(logOf(log).filter((line) => line.startsWith('delstack'))).toEqual(['delstack 4']);
    expect(logOf(log).at(-1)).toBe('delstack 4');
    expect(() => stack.socket('udp')).toThrow(
      expect.objectContaining({ code: 'ERR_STACK_CLOSED' }),
    );
    expect(() => socket.send('x')).toThrow(expect.objectContaining({ code: 'EBADF' }));
  });

  test('says so if delstack fails', async () => {
    const { stack } = await loadNew('undying', {}, { options: 'delfail=16' });
    await expect(stack.close()).rejects.toMatchObject({ code: 'EBUSY', syscall: 'delstack' });
    await stack.close();
  });
});

describe.skipIf(!compiler)('licences', () => {
  test.each([
    ['MIT'],
    ['SPDX-License-Identifier: MIT'],
    ['LGPL-2.1-or-later'],
    ['SPDX-License-Identifier: LGPL-2.1-or-later'],
    ['GPL-3.0-only OR Apache-2.0'],
    ['(GPL-2.0-only OR MIT) AND BSD-3-Clause'],
    ['apache-2.0 WITH LLVM-exception'],
  ])('%s is accepted', async (license) => {
    makePlugin(home, 'licensed', { license });
    const stack = await load('licensed');
    expect(stack.license).toBe(license.replace('SPDX-License-Identifier: ', ''));
  });

  test('that is exported as an array is read too', async () => {
    makePlugin(home, 'array', { license: 'GPL-2.0', flags: ['-DLICENSE_ARRAY'] });
    expect((await failure('array')).message).toContain("is under 'GPL-2.0'");
    expect((await load('array', { licenses: ['GPL-2.0-only'] })).license).toBe('GPL-2.0');
  });

  test.each([
    ['GPL-2.0-or-later', 'GPL-2.0-or-later'],
    ['GPL-2.0-or-later', 'GPL-2.0-only'],
    ['GPL-2.0-only WITH Classpath-exception-2.0', 'GPL-2.0-only WITH Classpath-exception-2.0'],
    ['MIT AND GPL-3.0-only', 'gpl-3.0-only'],
  ])('%s needs %s in `licenses`', async (license, id) => {
    makePlugin(home, 'copyleft', { license });
    const error = await failure('copyleft');
    expect(error).toMatchObject({ code: 'EPERM', syscall: 'load' });
    expect(error.message).toMatch(
      `is under '${license}', which is not accepted; to load it all the`,
    );
    expect((await load('copyleft', { licenses: [id] })).license).toBe(license);
  });

  test('"only" is not met by "or later"', async () => {
    makePlugin(home, 'copyleft', { license: 'GPL-2.0-only' });
    expect((await failure('copyleft', { licenses: ['GPL-2.0-or-later'] })).code).toBe('EPERM');
  });

  test.each([
    ['free for all'],
    ['MIT AND'],
    ['(MIT'],
    ['MIT)'],
    ['AND'],
    ['MIT OR OR MIT'],
    ['a/b'],
  ])('%j is none', async (license) => {
    makePlugin(home, 'nonsense', { license });
    const error = await failure('nonsense', { licenses: [license] });
    expect(error.code).toBe('EPERM');
    expect(error.message).toContain(`a licence that is no SPDX expression: '${license}'`);
  });

  test('a plug-in without one must be asked for', async () => {
    const path = makePlugin(home, 'silent', { license: null });
    const error = await failure('silent');
    expect(error.message).toBe(
      `load EPERM - ${path} names no licence in ioth_silent_license; to load it all the same, add ` +
        "'NOASSERTION' to `licenses`",
    );
    expect((await load('silent', { licenses: ['NOASSERTION'] })).license).toBe('');
  });
});

describe('what cannot be loaded:', () => {
  test('no such plug-in: the error has the paths', async () => {
    const error = await failure('missing');
    expect(error).toMatchObject({ code: 'ENOENT', syscall: 'load' });
    const user = join(home.path, '.ioth');
    expect(error.message).toContain(
      `load ENOENT - no such plug-in; looked at ${user}/ioth_missing-r.so, ${user}/ioth_missing.so, ` +
        '/usr/local/lib/ioth/ioth_missing-r.so',
    );
  });

  test.each([['../x'], ['a/b'], [''], ['x-r'], ['a b'], ['x'.repeat(65)], ['.'], ['é'], ['x\0y']])(
    'the name %j',
    async (name) => {
      const error = await failure(name);
      expect(error.code).toBe('ERR_INVALID_ARG_VALUE');
      expect(error.message).toContain("must be made of letters, digits and '_'");
    },
  );

  test('wrong arguments', async () => {
    for (const call of [
      () => Stack.load(untyped(1)),
      () => Stack.load('x', untyped(null)),
      () => Stack.load('x', { links: untyped('vde://') }),
      () => Stack.load('x', { licenses: [untyped(1)] }),
    ]) {
      await expect(call()).rejects.toMatchObject({ code: 'ERR_INVALID_ARG_TYPE' });
    }
    await expect(Stack.load('x', { options: 'a\0b' })).rejects.toThrow('without null bytes');
  });

  test('no library', async () => {
    const path = join(home.path, '.ioth/ioth_text-r.so');
    writeFileSync(path, 'I am no library. '.repeat(1000));
    const error = await failure('text');
    expect(error).toMatchObject({ code: 'ENOEXEC', syscall: 'dlopen' });
    expect(error.message).toContain(`cannot load ${path}: `);
    expect(error.message).toContain('invalid ELF header');
  });

  test('a folder of that name', async () => {
    mkdirSync(join(home.path, '.ioth/ioth_folder-r.so'));
    expect((await failure('folder')).message).toContain('Is a directory');
  });

  test.skipIf(!compiler)('a library that is something else', async () => {
    const path = makePlugin(home, 'other', { flags: ['-DNO_NEWSTACK'] });
    const error = await failure('other');
    expect(error).toMatchObject({ code: 'EOPNOTSUPP' });
    expect(error.message).toContain(
      `${path} is no plug-in of this kind: it has no ioth_other_newstack`,
    );
  });

  test.skipIf(!compiler)('a library that needs what this system has not', async () => {
    const source = join(home.path, 'needy.c');
    writeFileSync(source, 'extern int not_there(void); int needs_it(void) { return not_there(); }');
    makePlugin(home, 'needy', { flags: [source] });
    const error = await failure('needy');
    expect(error.code).toBe('ENOEXEC');
    expect(error.message).toContain('undefined symbol: not_there');
  });

  test.skipIf(!compiler)('a plug-in without socket or close', async () => {
    makePlugin(home, 'nosocket', { calls: ['close'] });
    expect((await failure('nosocket')).message).toContain('it has no ioth_nosocket_socket');
    makePlugin(home, 'noclose', { calls: ['socket'] });
    expect((await failure('noclose')).message).toContain('it has no ioth_noclose_close');
  });

  test.skipIf(!compiler)('newstack fails, with its errno', async () => {
    const path = makePlugin(home, 'failing');
    const error = await failure('failing', { options: 'fail=19' });
    expect(error).toMatchObject({ code: 'ENODEV', syscall: 'ioth_failing_newstack' });
    expect(error.message).toContain(`${path} could not open its stack`);
    expect((await failure('failing', { options: 'fail=0' })).message).toContain('gave no errno');
  });

  test.skipIf(!compiler)('newstack fails in a namespace of its own', async () => {
    makePlugin(home, 'apart', { reentrant: false });
    expect(await failure('apart', { options: 'fail=19' })).toMatchObject({ code: 'ENODEV' });
  });

  test.skipIf(!compiler)('nothing is left of those', async () => {
    makePlugin(home, 'failing');
    await failure('failing', { options: 'fail=19' });
    const before = openDescriptors();
    for (let i = 0; i < 20; i += 1) {
      await failure('failing', { options: 'fail=19' });
      await failure('text');
    }
    expect(openDescriptors()).toBe(before);
  });
});
