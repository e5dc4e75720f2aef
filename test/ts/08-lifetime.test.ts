// SPDX-License-Identifier: MIT
//
// What could go wrong if: the garbage collector runs in the middle of a call, memory is taken away, a
// worker ends with sockets open, the process does, a signal comes, a descriptor is closed by number.

import { closeSync, openSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { POLLIN, POLLNVAL, POLLOUT, type PollFd, poll, pollAsync, Socket, Stack } from 'vpollnet';
import {
  connectedPair,
  freshCable,
  openDescriptors,
  openStack,
  root,
  runProgram,
  thrownBy,
  until,
  untyped,
  waitFor,
} from './support.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const program = (name: string, ...args: string[]) =>
  runProgram([process.execPath, join(root, 'test/ts/programs', `${name}.mjs`), ...args]);

describe('the garbage collector', () => {
  test('does not close a socket that is still open', async () => {
    const stack = await openStack({ addresses: ['10.0.0.1/24'] });
    const { fd } = stack.socket('udp').bind({ port: 53 });
    for (let i = 0; i < 5; i += 1) {
      collectGarbage();
      await sleep(1);
    }
    const entry: PollFd = { fd, events: POLLOUT };
    expect(poll([entry], 0)).toBe(1);
    expect(entry.revents).toBe(POLLOUT);
  });

  test('may run while a promise waits', async () => {
    const { client, server } = await connectedPair();
    const waiting = pollAsync([{ fd: server.fd, events: POLLIN }], 5000);
    for (let i = 0; i < 5; i += 1) {
      collectGarbage();
      await sleep(1);
    }
    client.send('x');
    expect(await waiting).toBe(1);
  });

  test('may run in the middle of every call', async () => {
    const { client, server } = await connectedPair();
    const trap = { get: () => collectGarbage() };
    const options = Object.defineProperty({ host: '10.0.0.1' }, 'port', trap);
    expect(thrownBy(() => client.bind(options))).toMatchObject({ code: 'EINVAL' });
    const fds = [
      Object.defineProperty({ fd: server.fd, events: 1 }, 'revents', { set: collectGarbage }),
    ];
    for (let i = 0; i < 20; i += 1) {
      client.send(Buffer.alloc(1000));
      poll(fds, 1000);
      collectGarbage();
      server.read();
    }
  });

  test('takes a closed stack away with everything on it', async () => {
    const before = openDescriptors();
    const round = async () => {
      const stack = await Stack.open({ links: [{ url: freshCable(), dad: false }] });
      for (let i = 0; i < 10; i += 1) expect(stack.socket('tcp').fd).toBeGreaterThan(2);
      await stack.close();
    };
    for (let i = 0; i < 10; i += 1) await round();
    collectGarbage();
    await until(() => openDescriptors() <= before + 4);
  });
});

describe('memory', () => {
  test('that was transferred away is an empty buffer', async () => {
    const { client, server } = await connectedPair();
    const bytes = new Uint8Array(100);
    structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
    expect(bytes.length).toBe(0);
    expect(thrownBy(() => client.send(bytes, 0, 100))).toMatchObject({ code: 'ERR_OUT_OF_RANGE' });
    client.send('x');
    waitFor(server, POLLIN);
    expect(server.recv(bytes)).toBe(0);
    expect(server.read()?.toString()).toBe('x');
  });

  test('that shrank is no longer written to', async () => {
    const { client, server } = await connectedPair();
    const buffer = new (untyped(ArrayBuffer))(1000, { maxByteLength: 1000 });
    const bytes = new Uint8Array(buffer);
    client.send(Buffer.alloc(1000, 'x'));
    waitFor(server, POLLIN);
    untyped(buffer).resize(10);
    expect(server.recv(bytes)).toBe(10);
    expect(thrownBy(() => server.recv(bytes, 0, 1000))).toMatchObject({ code: 'ERR_OUT_OF_RANGE' });
  });

  test('that is shared or a part of something larger is taken as it is', async () => {
    const { client, server } = await connectedPair();
    const shared = new Uint8Array(new SharedArrayBuffer(8), 2, 4).fill(0x61);
    expect(client.send(shared)).toBe(4);
    waitFor(server, POLLIN);
    const whole = Buffer.alloc(8, '.');
    expect(server.recv(whole.subarray(2, 6))).toBe(4);
    expect(whole.toString()).toBe('..aaaa..');
  });
});

test('the addon takes whatever it is called with', async () => {
  const addon = createRequire(import.meta.url)(
    process.env.VPOLLNET_ADDON ?? join(root, 'build/Release/vpollnet.node'),
  );
  const stack = new addon.NativeNetwork(1 << 20, 'strange', 'cubic');
  const socket = stack.socket('tcp');
  const strange = [
    undefined,
    null,
    -1,
    Number.NaN,
    2 ** 40,
    'x',
    {},
    [],
    () => {},
    Symbol('s'),
    5n,
  ];
  const attempt = (call: () => unknown) => {
    try {
      return call();
    } catch (error) {
      return error;
    }
  };
  for (const object of [stack, socket, addon]) {
    const names = [
      ...Object.getOwnPropertyNames(Object.getPrototypeOf(object)),
      ...Object.keys(object),
    ].filter((name) => typeof object[name] === 'function' && !/^(close|constructor)$/.test(name));
    for (const name of names) {
      for (const value of strange) {
        const args = Array(9).fill(value);
        if (name !== 'poll') attempt(() => object[name](...args));
        if (!/^Native/.test(name)) attempt(() => object[name].call(value, ...args));
      }
      attempt(() => object[name].call(Object.create(object)));
      attempt(() => object[name].call(object === stack ? socket : stack));
    }
  }
  for (const value of strange) {
    attempt(() => addon.poll(value, 1, 0));
    attempt(() => addon.poll(new Int32Array(3), value, 0));
    attempt(() => socket.send(new Uint8Array(8), value, 8, 0));
    attempt(() => socket.send(new Uint8Array(8), 0, value, 0));
    attempt(() => socket.recv(new Uint8Array(8), 0, 8, value));
  }
  expect(addon.poll(new Int32Array(3), 2, 0)).toBeLessThan(0);
  expect(attempt(() => new addon.NativeSocket())).toMatchObject({ message: 'Illegal constructor' });
  expect(attempt(() => new addon.NativeWatch())).toMatchObject({ message: 'Illegal constructor' });
  expect(attempt(() => new (untyped(Socket))({}, {}))).toBeInstanceOf(TypeError);
  stack.close();
  expect(socket.send(new Uint8Array(1), 0, 1, 0)).toBe(-9);
});

test('a descriptor that was closed by number, and given to somebody else, is not touched', async () => {
  const { client, server } = await connectedPair();
  const { fd } = server;
  closeSync(fd);
  const file = openSync('/dev/null', 'r');
  expect(file).toBe(fd);
  client.send('x');
  expect(server.read()?.toString() ?? '').toMatch(/^x?$/);
  server.close();
  const entry: PollFd = { fd: file, events: POLLIN };
  expect(poll([entry], 0)).toBe(1);
  expect(entry.revents).not.toBe(POLLNVAL);
  closeSync(file);
});

describe('a worker', () => {
  test.each(['returns', 'exits', 'throws', 'is-terminated', 'is-terminated-in-poll'])(
    'that %s with sockets open leaves nothing behind',
    async (way) => {
      const { code, signal, stdout, stderr } = await program('worker-ends', way);
      expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' });
      expect(stdout).toBe('no descriptor left\n');
    },
    60_000,
  );

  test('shares a cable with the main thread', async () => {
    const { code, stdout, stderr } = await program('worker-cable');
    expect({ code, stderr, stdout }).toEqual({
      code: 0,
      stderr: '',
      stdout: 'hello from a worker\n',
    });
  });
});

describe('a process', () => {
  test.each([
    ['returns', 0],
    ['exits', 7],
    ['throws', 1],
  ])('that %s with sockets open ends with code %i', async (way, expected) => {
    for (let i = 0; i < 3; i += 1) {
      const { code, signal } = await program('process-ends', way);
      expect({ code, signal }).toEqual({ code: expected, signal: null });
    }
  });

  test('gets EINTR out of poll when a signal comes, and its handler runs', async () => {
    const { code, stdout, stderr } = await program('signal');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toBe('poll EINTR SIGUSR2\nselect EINTR SIGUSR2\n');
  });
});

test('an addon that is not there is an error of one line', async () => {
  const { code, stderr } = await runProgram(
    [process.execPath, '--input-type=module', '-e', "await import('vpollnet')"],
    { env: { VPOLLNET_ADDON: '/no/such/addon.node' } },
  );
  expect(code).toBe(1);
  expect(stderr).toMatch(
    /^Error: vpollnet: cannot load the native addon \/no\/such\/addon\.node: .*$/m,
  );
});
