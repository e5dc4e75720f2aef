// SPDX-License-Identifier: MIT
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLNVAL,
  POLLOUT,
  POLLPRI,
  POLLRDHUP,
  type PollFd,
  poll,
  select,
} from 'vpollnet';
import { connectedPair, openStack, thrownBy, twoStacks } from './support.js';

/** A named pipe: what is written to `write` is read from `read`. */
function pipe(): { read: number; write: number } {
  const folder = mkdtempSync(join(tmpdir(), 'vpollnet-'));
  const path = join(folder, 'pipe');
  spawnSync('mkfifo', [path]);
  const both = openSync(path, 'r+');
  const ends = { read: openSync(path, 'r'), write: openSync(path, 'w') };
  closeSync(both);
  onTestFinished(() => {
    for (const fd of Object.values(ends)) closeSync(fd);
    rmSync(folder, { recursive: true });
  });
  return ends;
}

test('the numbers are those of poll.h', () => {
  expect([POLLIN, POLLPRI, POLLOUT, POLLERR, POLLHUP, POLLNVAL, POLLRDHUP]).toEqual([
    1, 2, 4, 8, 16, 32, 0x2000,
  ]);
});

test('poll fills in revents and counts the entries that have something', async () => {
  const { client, server } = await connectedPair();
  const fds: PollFd[] = [
    { fd: client.fd, events: POLLIN | POLLOUT },
    { fd: server.fd, events: POLLIN },
    { fd: -1, events: POLLIN },
  ];
  expect(poll(fds, 0)).toBe(1);
  expect(fds.map(({ revents }) => revents)).toEqual([POLLOUT, 0, 0]);
  client.send('x');
  expect(poll(fds, 20_000)).toBe(2);
  expect(fds.map(({ revents }) => revents)).toEqual([POLLOUT, POLLIN, 0]);
});

test('poll mixes a pipe, a kernel socket and stack sockets, and shows which', async () => {
  const { client, server } = await connectedPair();
  const { read, write } = pipe();
  const kernel = createServer();
  await new Promise<void>((resolve) => kernel.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void kernel.close());
  const { fd: kernelFd } = (kernel as unknown as { _handle: { fd: number } })._handle;
  const fds = [read, kernelFd, server.fd].map((fd) => ({ fd, events: POLLIN, revents: 0 }));
  const ready = () => {
    poll(fds, 20_000);
    return fds.map(({ revents }) => revents);
  };
  expect(poll(fds, 0)).toBe(0);
  writeSync(write, 'x');
  expect(ready()).toEqual([POLLIN, 0, 0]);
  client.send('x');
  expect(ready()).toEqual([POLLIN, 0, POLLIN]);
  readSync(read, Buffer.alloc(1));
  expect(ready()).toEqual([0, 0, POLLIN]);
  server.read();
  expect(poll(fds, 0)).toBe(0);
  const { port } = kernel.address() as { port: number };
  const script = `require('net').connect(${port}, '127.0.0.1').end()`;
  const child = spawn(process.execPath, ['-e', script]);
  onTestFinished(() => void child.kill());
  expect(ready()).toEqual([0, POLLIN, 0]);
  await new Promise<void>((resolve) => {
    kernel.once('connection', (socket: Socket) => socket.destroy());
    child.once('close', () => resolve());
  });
});

test('a blocking poll is woken by the other stack, and by the time', async () => {
  const { near, far } = await twoStacks();
  const server = far.socket('udp').bind({ port: 53 });
  const started = performance.now();
  expect(poll([{ fd: server.fd, events: POLLIN }], 50)).toBe(0);
  expect(performance.now() - started).toBeGreaterThanOrEqual(49);
  // Answered by the pump alone: this thread is blocked.
  const ping = near.socket('icmp');
  ping.sendTo('x', { host: '10.0.0.2' });
  expect(poll([{ fd: ping.fd, events: POLLIN }], 20_000)).toBe(1);
});

test('the end of a connection shows as in the C library', async () => {
  const { client, server } = await connectedPair();
  const entry: PollFd = { fd: server.fd, events: POLLIN | POLLRDHUP };
  client.shutdown('write');
  expect(poll([entry], 20_000)).toBe(1);
  expect(entry.revents).toBe(POLLIN | POLLRDHUP);
  server.shutdown('write');
  expect(poll([entry], 20_000)).toBe(1);
  expect(entry.revents).toBe(POLLIN | POLLRDHUP | POLLHUP);
});

test('a descriptor that is closed has POLLNVAL', async () => {
  const { client } = await connectedPair();
  const { fd } = client;
  client.close();
  const entries: PollFd[] = [
    { fd, events: POLLIN },
    { fd: 999_999, events: POLLIN },
  ];
  expect(poll(entries, -1)).toBe(2);
  expect(entries.map(({ revents }) => revents)).toEqual([POLLNVAL, POLLNVAL]);
});

test('a descriptor keeps its number while the socket lives, and a new socket has one of its own', async () => {
  const stack = await openStack();
  const one = stack.socket('udp');
  const two = stack.socket('udp');
  expect(one.fd).toBe(one.fd);
  expect(two.fd).not.toBe(one.fd);
});

test('regular files are always ready', () => {
  const fd = openSync('/etc/passwd', 'r');
  const entry: PollFd = { fd, events: POLLIN };
  expect(poll([entry], -1)).toBe(1);
  expect(entry.revents).toBe(POLLIN);
  closeSync(fd);
});

test('many entries are polled at once', async () => {
  const stack = await openStack();
  const sockets = Array.from({ length: 300 }, () => stack.socket('udp'));
  const fds: PollFd[] = sockets.map(({ fd }) => ({ fd, events: POLLOUT }));
  expect(poll(fds)).toBe(300);
  expect(poll([], 1)).toBe(0);
});

test('a wrong argument names itself', () => {
  const any = poll as (fds: unknown, timeout?: unknown) => number;
  const wrong: [() => unknown, string, string][] = [
    [() => any(5), 'ERR_INVALID_ARG_TYPE', 'The "fds" argument must be an instance of Array'],
    [() => any([5]), 'ERR_INVALID_ARG_TYPE', 'The "fds[0]" property must be of type object'],
    [() => any([{ fd: '0', events: 1 }]), 'ERR_INVALID_ARG_TYPE', 'The "fds[0].fd" property'],
    [() => any([{ fd: 0.5, events: 1 }]), 'ERR_OUT_OF_RANGE', '"fds[0].fd"'],
    [() => any([{ fd: 0 }]), 'ERR_INVALID_ARG_TYPE', 'The "fds[0].events" property'],
    [() => any([{ fd: 0, events: 1 << 20 }]), 'ERR_OUT_OF_RANGE', '"fds[0].events"'],
    [() => any([], 'soon'), 'ERR_INVALID_ARG_TYPE', 'The "timeoutMs" argument'],
    [() => any([], -2), 'ERR_OUT_OF_RANGE', '"timeoutMs" is out of range. It must be >= -1'],
    [() => any([], 2 ** 31), 'ERR_OUT_OF_RANGE', 'Received 2147483648'],
  ];
  for (const [call, code, message] of wrong) {
    expect(thrownBy(call)).toMatchObject({ code, message: expect.stringContaining(message) });
  }
});

describe('select', () => {
  test('gives the descriptors of each list that are ready', async () => {
    const { client, server } = await connectedPair();
    const { read, write } = pipe();
    writeSync(write, 'x');
    client.send('x');
    const sets = { read: [read, server.fd, client.fd], write: [client.fd], except: [server.fd] };
    expect(select(sets, 1000)).toEqual({
      read: [read, server.fd],
      write: [client.fd],
      except: [],
    });
    expect(select({ read: [client.fd] }, 5)).toEqual({ read: [], write: [], except: [] });
  });

  test('counts the end of a stream as readable', async () => {
    const { client, server } = await connectedPair();
    client.close();
    expect(select({ read: [server.fd] }, 1000).read).toEqual([server.fd]);
  });

  test('says EBADF for a descriptor that is closed, and names it', () => {
    expect(thrownBy(() => select({ read: [999_999] }))).toMatchObject({
      code: 'EBADF',
      syscall: 'select',
      message: 'select EBADF - descriptor 999999 is not open',
    });
  });

  test('names a wrong argument', () => {
    expect(thrownBy(() => select({ read: 5 } as never))).toMatchObject({
      message: expect.stringContaining('The "sets.read" property must be an instance of Array'),
    });
    expect(thrownBy(() => select({ write: [-1] }))).toMatchObject({ code: 'ERR_OUT_OF_RANGE' });
  });
});
