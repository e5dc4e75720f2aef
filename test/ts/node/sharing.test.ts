// SPDX-License-Identifier: MIT
//
// Several stacks in a program, and one stack in several threads: stack.share() and Stack.attach().

import { once } from 'node:events';
import { join } from 'node:path';
import { setImmediate as immediate } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Stack } from 'vpollnet';
import { openStack, root, twoStacks } from '../support.js';

const program = join(root, 'test/ts/node/programs/sharing.mjs');

async function sharing(stack: Stack): Promise<Worker> {
  const worker = new Worker(program, { workerData: stack.share() });
  onTestFinished(async () => void (await worker.terminate()));
  expect(await next(worker)).toBe('listening');
  return worker;
}

const next = async (worker: Worker) => (await once(worker, 'message'))[0];

/** What port 8 says; the code of the error if it cannot be reached. */
async function ask(stack: Stack, host = '127.0.0.1'): Promise<string> {
  const socket = stack.net.connect(8, host).setEncoding('utf8');
  let text = '';
  socket.on('data', (more) => {
    text += more;
  });
  try {
    await once(socket, 'close');
    return text;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? '';
  }
}

describe('a stack that a worker has too', () => {
  test('is the same stack: the worker listens, and this thread connects', async () => {
    const stack = await openStack();
    await sharing(stack);
    expect(await ask(stack)).toBe('from the worker');
    expect(
      stack.sockets().some(({ state, local }) => state === 'LISTEN' && local?.port === 8),
    ).toBe(true);
  });

  test('stays open when the worker closes it there, without what the worker had on it', async () => {
    const stack = await openStack();
    const worker = await sharing(stack);
    worker.postMessage('close');
    const told = new Set([await next(worker), await next(worker), await next(worker)]);
    expect(told).toEqual(new Set(['server closed', 'then: EBADF', 'done: close']));
    expect(await ask(stack)).toBe('ECONNREFUSED');
    const server = stack.net.createServer((socket) => socket.end('from here')).listen(8);
    await once(server, 'listening');
    expect(await ask(stack)).toBe('from here');
  });

  test('closes what the worker has on it when this thread closes it', async () => {
    const stack = await openStack();
    const worker = await sharing(stack);
    const told = next(worker);
    await stack.close();
    expect(await told).toBe('server closed');
  });

  test.each(['exits', 'is terminated'])(
    'stays when the worker %s with open sockets',
    async (way) => {
      const stack = await openStack();
      stack.net.createServer((socket) => socket.on('error', () => {})).listen(7);
      const worker = await sharing(stack);
      worker.postMessage('hold');
      expect(await next(worker)).toBe('done: hold');
      const exited = once(worker, 'exit');
      if (way === 'ends') worker.postMessage('end');
      else void worker.terminate();
      if (way === 'ends') void worker.terminate();
      await exited;
      expect(await ask(stack)).toBe('ECONNREFUSED');
      expect(stack.closed).toBe(false);
    },
  );

  test('and the process outlive a worker that is terminated in the middle of its calls', async () => {
    const stack = await openStack();
    for (let round = 0; round < 8; round += 1) {
      const worker = new Worker(program, { workerData: stack.share() });
      expect(await next(worker)).toBe('listening');
      worker.postMessage('spin');
      await immediate();
      await worker.terminate();
    }
    expect(await ask(stack)).toBe('ECONNREFUSED');
  });

  test('cannot be had by a key that nobody gave, nor when it is closed', async () => {
    expect(() => Stack.attach('no such key')).toThrow(
      expect.objectContaining({ code: 'ENOENT', syscall: 'attach' }),
    );
    const stack = await openStack();
    const key = stack.share();
    await stack.close();
    expect(() => stack.share()).toThrow(expect.objectContaining({ code: 'ERR_STACK_CLOSED' }));
    await expect(async () => {
      const attached = Stack.attach(key);
      onTestFinished(() => attached.close());
      attached.socket('tcp');
    }).rejects.toThrow(/ENOENT|EBADF/);
  });
});

test('each stack of a program has modules of its own', async () => {
  const { near, far } = await twoStacks();
  expect(near.net).not.toBe(far.net);
  expect(near.net).toBe(near.net);
  for (const [stack, text] of [
    [near, 'near'],
    [far, 'far'],
  ] as const) {
    await once(stack.net.createServer((socket) => socket.end(text)).listen(8), 'listening');
  }
  expect([await ask(near), await ask(far), await ask(near, '10.0.0.2')]).toEqual([
    'near',
    'far',
    'far',
  ]);
});
