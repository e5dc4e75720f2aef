// SPDX-License-Identifier: MIT
//
// Sockets of a stack and child processes: none can be given to a child, and whoever tries is told so.

import { type ChildProcess, spawn } from 'node:child_process';
import dgram from 'node:dgram';
import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { HostStack, POLLIN, pollAsync, Stack } from 'vpollnet';
import { start } from '../../cli/support.js';
import { commonJs, lab, module, registered } from './child.js';
import { textOf } from './support.js';

const untyped = (value: unknown): never => value as never;

/** What a child says of each message, and of whether something came with it. */
const echo = commonJs(`process.on('message', (message, handle) => {
  process.send([message, handle !== undefined]);
  handle?.close?.();
  handle?.destroy?.();
});`);

function echoing(serialization: 'json' | 'advanced' = 'json'): ChildProcess {
  const child = spawn(process.execPath, echo, {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    serialization,
  });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  return child;
}

/** The next `count` things that the child says. */
async function answers(child: ChildProcess, count: number): Promise<unknown[]> {
  const all: unknown[] = [];
  const done = new Promise<void>((resolve) => {
    child.on('message', (message) => {
      if (all.push(message) === count) resolve();
    });
  });
  await done;
  return all;
}

/** Each kind of socket, on one stack. */
const kinds = [
  'a connected socket',
  'an accepted socket',
  'a server',
  'a socket under TLS',
  "a socket of Node's TLS over it",
  'a socket of UDP',
] as const;
type Kind = (typeof kinds)[number];
const sockets = {} as Record<Kind, object>;

beforeAll(async () => {
  const stack = await Stack.open({});
  const server = stack.net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  const client = stack.net.connect(port, '127.0.0.1');
  const [[accepted]] = await Promise.all([once(server, 'connection'), once(client, 'connect')]);
  const under = stack.net.connect(port, '127.0.0.1');
  await once(under, 'connect');
  const over = tls.connect({ socket: under });
  const datagrams = stack.dgram.createSocket('udp4');
  await new Promise<void>((resolve) => datagrams.bind(0, '127.0.0.1', resolve));
  for (const one of [client, accepted, under, over]) one.on('error', () => undefined);
  Object.assign(sockets, {
    'a connected socket': client,
    'an accepted socket': accepted,
    'a server': server,
    'a socket under TLS': under,
    "a socket of Node's TLS over it": over,
    'a socket of UDP': datagrams,
  });
  return () => stack.close();
});

describe('a message to a child', () => {
  test.each(kinds)('with %s is refused, and those behind it arrive', async (kind) => {
    const child = echoing();
    const send = () => child.send('refused', untyped(sockets[kind]));
    expect(send).toThrow(expect.objectContaining({ code: 'ERR_INVALID_HANDLE_TYPE' }));
    child.send('first');
    child.send('second');
    expect(await answers(child, 2)).toEqual([
      ['first', false],
      ['second', false],
    ]);
  });

  test('is refused while another handle is on its way, and of any serialization', async () => {
    const child = echoing('advanced');
    const server = net.createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    child.send('a server of the host', server);
    for (const kind of kinds) {
      const send = () => child.send('refused', untyped(sockets[kind]));
      expect(send, kind).toThrow(expect.objectContaining({ code: 'ERR_INVALID_HANDLE_TYPE' }));
    }
    child.send('after');
    expect(await answers(child, 2)).toEqual([
      ['a server of the host', true],
      ['after', false],
    ]);
    server.close();
  });

  test("takes the host's sockets as before, with options and a callback", async () => {
    const child = echoing();
    const socket = dgram.createSocket('udp4');
    await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
    const sent = new Promise((resolve) => {
      child.send('x', socket, { keepOpen: true }, resolve);
    });
    expect(await answers(child, 1)).toEqual([['x', true]]);
    expect(await sent).toBeNull();
    const alone = new Promise((resolve) => {
      child.send('y', resolve);
    });
    expect(await answers(child, 1)).toEqual([['y', false]]);
    expect(await alone).toBeNull();
    socket.close();
  });

  const tries = `
    try { sender.send('x', server) } catch (error) { console.log(error.code) }
    server.close();`;
  const opened = `
    const { Stack } = await import('vpollnet');
    const stack = await Stack.open({});
    const server = stack.net.createServer().listen(0);`;

  test.each([
    [
      'a child that was there before the stack',
      `import { spawn } from 'node:child_process';
       const sender = spawn('sleep', ['60'], { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
       ${opened} ${tries} sender.kill(); stack.close();`,
    ],
    [
      'the parent',
      `import { spawn } from 'node:child_process';
       const program = ${JSON.stringify(`const sender = process; ${opened} ${tries} stack.close(); process.disconnect();`)};
       spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });`,
    ],
  ])('is refused to %s', async (_, program) => {
    const { code, stderr, stdout } = await start(module(program)).ended;
    expect({ code, stderr, stdout }).toEqual({
      code: 0,
      stderr: '',
      stdout: 'ERR_INVALID_HANDLE_TYPE\n',
    });
  });
});

describe('the stdio of a child', () => {
  test.each(kinds)('is not %s', (kind) => {
    const stdio = untyped(['ignore', sockets[kind], 'inherit']);
    expect(() => spawn('true', { stdio })).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_ARG_VALUE' }),
    );
  });

  test('is not a socket of stack.socket() either', async () => {
    await using stack = await Stack.open({});
    const stdio = untyped(['ignore', stack.socket('tcp'), 'inherit']);
    expect(() => spawn('true', { stdio })).toThrow(/stdio.*a socket of a stack/);
  });

  test('may be a socket of the host stack', async () => {
    await using stack = await HostStack.open();
    const listener = stack.socket('tcp').bind({ host: '127.0.0.1' }).listen();
    const client = net.connect(listener.localAddress?.port as number, '127.0.0.1');
    await once(client, 'connect');
    await pollAsync([{ fd: listener.fd, events: POLLIN }], 5000);
    const accepted = listener.accept();
    spawn('echo', ['hello'], { stdio: untyped(['ignore', accepted, 'inherit']) });
    accepted?.close();
    expect(await textOf(client)).toBe('hello\n');
  });

  test("may be the host's socket, over which the child writes", async () => {
    const server = net.createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => {
      server.close();
    });
    const { port } = server.address() as net.AddressInfo;
    server.on('connection', (socket) => {
      spawn('echo', ['hello'], { stdio: ['ignore', socket, 'inherit'] }).on('exit', () =>
        socket.end(),
      );
    });
    expect(await textOf(net.connect(port, '127.0.0.1'))).toBe('hello\n');
  });

  test('may be a pipe to another child in a program that is on a stack', async () => {
    const { words } = await lab();
    const program = `
      const { spawn } = require('child_process');
      const one = spawn('echo', ['hello'], { stdio: ['ignore', 'pipe', 'inherit'] });
      spawn('tr', ['a-z', 'A-Z'], { stdio: [one.stdout, 'inherit', 'inherit'] });`;
    const { code, stderr, stdout } = await registered(commonJs(program), words).ended;
    expect({ code, stderr, stdout }).toEqual({ code: 0, stderr: '', stdout: 'HELLO\n' });
  });
});
