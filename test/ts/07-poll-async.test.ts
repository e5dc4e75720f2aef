// SPDX-License-Identifier: MIT
import { spawn } from 'node:child_process';
import { openSync } from 'node:fs';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { POLLERR, POLLIN, POLLNVAL, POLLOUT, type PollFd, pollAsync, selectAsync } from 'vpollnet';
import { connectedPair, openDescriptors, openStack, until } from './support.js';

test('the promise resolves when a socket has something', async () => {
  const { client, server } = await connectedPair();
  const entry: PollFd = { fd: server.fd, events: POLLIN };
  const waiting = pollAsync([entry]);
  await sleep(20);
  client.send('x');
  expect(await waiting).toBe(1);
  expect(entry.revents).toBe(POLLIN);
});

test('it resolves at once if something is there', async () => {
  const { client } = await connectedPair();
  const entry: PollFd = { fd: client.fd, events: POLLOUT };
  expect(await pollAsync([entry])).toBe(1);
  expect(entry.revents).toBe(POLLOUT);
});

test('it mixes what the kernel has with what the stack has', async () => {
  const { client, server } = await connectedPair();
  const child = spawn('sleep', ['0.05'], { stdio: ['ignore', 'pipe', 'ignore'] });
  child.stdout.pause();
  const { fd } = (child.stdout as unknown as { _handle: { fd: number } })._handle;
  const fds: PollFd[] = [
    { fd, events: POLLIN },
    { fd: server.fd, events: POLLIN },
  ];
  expect(await pollAsync(fds, 20_000)).toBe(1);
  expect(fds[0]?.revents).not.toBe(0);
  client.send('x');
  expect(await pollAsync(fds, 20_000)).toBe(2);
  child.stdout.resume();
});

test('it resolves with 0 when the time is over', async () => {
  const { server } = await connectedPair();
  const entry: PollFd = { fd: server.fd, events: POLLIN };
  const started = performance.now();
  expect(await pollAsync([entry], 30)).toBe(0);
  expect(performance.now() - started).toBeGreaterThan(28);
  expect(entry.revents).toBe(0);
  expect(await pollAsync([entry], 0)).toBe(0);
});

test('an AbortSignal rejects it, before and meanwhile', async () => {
  const { server } = await connectedPair();
  const fds = [{ fd: server.fd, events: POLLIN }];
  const controller = new AbortController();
  const waiting = pollAsync(fds, -1, { signal: controller.signal });
  setTimeout(() => controller.abort(new Error('enough')), 20);
  await expect(waiting).rejects.toThrow('enough');
  await expect(pollAsync(fds, -1, { signal: AbortSignal.abort() })).rejects.toMatchObject({
    name: 'AbortError',
  });
  const timed = pollAsync(fds, -1, { signal: AbortSignal.timeout(10) });
  await expect(timed).rejects.toMatchObject({ name: 'TimeoutError' });
  await expect(pollAsync(fds, -1, { signal: 5 as never })).rejects.toMatchObject({
    code: 'ERR_INVALID_ARG_TYPE',
  });
});

test('a socket that is closed meanwhile has POLLNVAL', async () => {
  const { server } = await connectedPair();
  const entry: PollFd = { fd: server.fd, events: POLLIN };
  const waiting = pollAsync([entry], 20_000);
  setTimeout(() => server.close(), 20);
  expect(await waiting).toBe(1);
  expect(entry.revents).toBe(POLLNVAL);
});

test('a stack that is closed meanwhile ends the wait', async () => {
  const { server, far } = await connectedPair();
  const entry: PollFd = { fd: server.fd, events: POLLIN };
  const waiting = pollAsync([entry], 20_000);
  setTimeout(() => far.close(), 20);
  expect(await waiting).toBe(1);
  expect(entry.revents).toBe(POLLNVAL);
});

test('several promises wait for the same socket', async () => {
  const { client, server } = await connectedPair();
  const all = Promise.all(
    [1, 2, 3].map(() => pollAsync([{ fd: server.fd, events: POLLIN }], 20_000)),
  );
  client.setOption('linger', 0).close();
  expect(await all).toEqual([1, 1, 1]);
  const entry: PollFd = { fd: server.fd, events: 0 };
  expect(await pollAsync([entry])).toBe(1);
  expect((entry.revents ?? 0) & POLLERR).toBe(POLLERR);
});

test('files, closed descriptors and the same descriptor twice are taken', async () => {
  const file = openSync('/etc/passwd', 'r');
  const fds: PollFd[] = [
    { fd: file, events: POLLIN },
    { fd: 999_999, events: POLLIN },
    { fd: file, events: POLLOUT },
  ];
  expect(await pollAsync(fds)).toBe(3);
  expect(fds.map(({ revents }) => revents)).toEqual([POLLIN, POLLNVAL, POLLOUT]);
});

test('waiting leaves no descriptor behind', async () => {
  const stack = await openStack();
  const fds = [{ fd: stack.socket('udp').fd, events: POLLIN }];
  await pollAsync(fds, 1);
  for (let i = 0; i < 2; i += 1) await turn(); // libuv closes at the end of a turn
  const before = openDescriptors();
  for (let i = 0; i < 50; i += 1) await pollAsync(fds, 1);
  await until(() => openDescriptors() === before);
});

test('selectAsync is select as a promise', async () => {
  const { client, server } = await connectedPair();
  const waiting = selectAsync({ read: [server.fd], write: [] }, 20_000);
  client.send('x');
  expect(await waiting).toEqual({ read: [server.fd], write: [], except: [] });
  await expect(selectAsync({ read: [999_999] })).rejects.toMatchObject({ code: 'EBADF' });
});
