// SPDX-License-Identifier: MIT
//
// stack.connect() and stack.listen(): connections as Web streams.

import { expect, onTestFinished, test } from 'vitest';
import type { Stack, StackConnection } from 'vpollnet';
import { openDescriptors, thrownBy, twoStacks, untyped } from '../support.js';
import { host } from './support.js';

const bytes = (text: string) => new TextEncoder().encode(text);
const textOf = (stream: ReadableStream) => new Response(stream).text();
const close = (one: { close(): void }) => onTestFinished(() => one.close());

async function connected(): Promise<{
  near: Stack;
  far: Stack;
  client: StackConnection;
  server: StackConnection;
}> {
  const { near, far } = await twoStacks();
  const listener = far.listen({ host, port: 7 });
  const client = await near.connect({ host, port: 7 });
  const server = (await listener.accept()) as StackConnection;
  listener.close();
  close(client);
  close(server);
  return { near, far, client, server };
}

test('both ends have their addresses, and bytes come both ways', async () => {
  const { client, server } = await connected();
  expect(client.remoteAddress).toEqual({ address: host, family: 'IPv4', port: 7 });
  expect(client.localAddress).toEqual(server.remoteAddress);
  const writers = [client, server].map(({ writable }) => writable.getWriter());
  await Promise.all(writers.map((writer, i) => writer.write(bytes(`from ${i}`))));
  await Promise.all(writers.map((writer) => writer.close()));
  expect(await Promise.all([textOf(server.readable), textOf(client.readable)])).toEqual([
    'from 0',
    'from 1',
  ]);
  await Promise.all([client.closed, server.closed]);
});

test("a BYOB reader's own buffer is filled", async () => {
  const { client, server } = await connected();
  await client.writable.getWriter().write(bytes('hello world'));
  const reader = server.readable.getReader({ mode: 'byob' });
  const first = await reader.read(new Uint8Array(new ArrayBuffer(16), 2, 5));
  expect(first.value).toMatchObject({ byteOffset: 2, byteLength: 5 });
  expect(String.fromCharCode(...(first.value as Uint8Array))).toBe('hello');
  const second = await reader.read(new Uint8Array(100));
  expect(String.fromCharCode(...(second.value as Uint8Array))).toBe(' world');
  client.close();
  expect(await reader.read(new Uint8Array(8))).toMatchObject({ done: true });
});

test('one direction ends, and the other goes on', async () => {
  const { client, server } = await connected();
  await client.writable.close();
  expect(await textOf(server.readable)).toBe('');
  const writer = server.writable.getWriter();
  await writer.write(bytes('late'));
  await writer.close();
  expect(await textOf(client.readable)).toBe('late');
});

test('a slow reader slows the writer, in both directions', async () => {
  const { client, server } = await connected();
  for (const [from, to] of [
    [client, server],
    [server, client],
  ] as const) {
    const total = 2 ** 25;
    let done = false;
    const writer = from.writable.getWriter();
    const writing = writer.write(new Uint8Array(total)).then(() => {
      done = true;
    });
    const reader = to.readable.getReader();
    let got = (await reader.read()).value?.length ?? 0;
    // It is more than the queues of both ends hold.
    expect(done).toBe(false);
    while (got < total) got += (await reader.read()).value?.length ?? 0;
    await writing;
    expect(got).toBe(total);
  }
});

test('what is piped through comes back whole', async () => {
  const { client, server } = await connected();
  void server.readable.pipeTo(server.writable);
  const data = new Uint8Array(2 ** 21).map((_, i) => (i * 2654435761) >>> 24);
  const [, back] = await Promise.all([
    new Blob([data]).stream().pipeTo(client.writable),
    new Response(client.readable).arrayBuffer(),
  ]);
  expect(Buffer.from(back).equals(data)).toBe(true);
});

test('abort resets: the peer reads ECONNRESET, and the own reader has the reason', async () => {
  const { client, server } = await connected();
  const reason = new Error('enough');
  const reads = [server, client].map(({ readable }) => readable.getReader().read());
  await client.writable.abort(reason);
  expect(await Promise.allSettled(reads)).toMatchObject([
    { reason: { code: 'ECONNRESET' } },
    { reason },
  ]);
  await Promise.all([client.closed, server.closed]);
});

test('cancel of both directions closes', async () => {
  const { client } = await connected();
  await client.readable.cancel();
  await client.writable.close();
  await client.closed;
});

test('a signal ends a connect under way with its reason, and nothing stays open', async () => {
  const { near } = await twoStacks();
  const before = near.sockets().length;
  const controller = new AbortController();
  const connecting = near.connect({ host: '10.0.0.77', port: 7, signal: controller.signal });
  controller.abort(new Error('mine'));
  await expect(connecting).rejects.toThrow('mine');
  const { signal } = controller;
  await expect(near.connect({ host, port: 7, signal })).rejects.toThrow('mine');
  expect(near.sockets()).toHaveLength(before);
});

test('nobody who listens is ECONNREFUSED', async () => {
  const { near } = await twoStacks();
  await expect(near.connect({ host, port: 9 })).rejects.toMatchObject({
    code: 'ECONNREFUSED',
    address: host,
    port: 9,
  });
});

test('names are resolved, and their addresses tried in order', async () => {
  const { near, far } = await twoStacks();
  near.dns.configure({ hosts: { 'far.test': ['10.0.0.1', host] } });
  close(far.listen({ host, port: 7 }));
  const client = await near.connect({ host: 'far.test', port: 7 });
  close(client);
  expect(client.remoteAddress.address).toBe(host);
  await expect(near.connect({ host: 'no.test', port: 7 })).rejects.toMatchObject({
    code: 'EAI_AGAIN',
  });
});

test('accepts are served in their order, and end with null when the listener is closed', async () => {
  const { near, far } = await twoStacks();
  const listener = far.listen({ host, port: 7 });
  const accepts = [listener.accept(), listener.accept(), listener.accept()];
  const first = await near.connect({ host, port: 7 });
  close(first);
  expect((await accepts[0])?.remoteAddress).toEqual(first.localAddress);
  const second = await near.connect({ host, port: 7 });
  close(second);
  expect((await accepts[1])?.remoteAddress).toEqual(second.localAddress);
  listener.close();
  expect(await accepts[2]).toBeNull();
  expect(await listener.accept()).toBeNull();
});

test('a loop over a listener that is left closes it; connections stay', async () => {
  const { near, far } = await twoStacks();
  const listener = far.listen({ host, port: 7 });
  const client = await near.connect({ host, port: 7 });
  close(client);
  for await (const connection of listener) {
    await connection.writable.getWriter().write(bytes('hi'));
    break;
  }
  expect(await listener.accept()).toBeNull();
  expect((await client.readable.getReader().read()).value).toEqual(bytes('hi'));
  await expect(near.connect({ host, port: 7 })).rejects.toMatchObject({ code: 'ECONNREFUSED' });
});

test('a stack that is closed ends what is read, what is accepted and what is opened', async () => {
  const { far, server } = await connected();
  const listener = far.listen({ host, port: 8 });
  const [accept, read] = [listener.accept(), server.readable.getReader().read()];
  far.close();
  expect(await accept).toBeNull();
  await expect(read).rejects.toMatchObject({ code: 'ECONNABORTED' });
  await server.closed;
  expect(thrownBy(() => far.listen())).toBeInstanceOf(Error);
});

test('a connection and a listener are disposed of, and no descriptor is left', async () => {
  const { near, far } = await twoStacks();
  const before = openDescriptors();
  const listener = far.listen({ host, port: 7 });
  const client = await near.connect({ host, port: 7 });
  expect(client.socket.fd).toBeGreaterThan(2);
  await client[Symbol.asyncDispose]();
  await client.closed;
  await listener[Symbol.asyncDispose]();
  expect(openDescriptors()).toBe(before);
  client.close();
});

test('wrong arguments are named', async () => {
  const { near, client } = await connected();
  for (const options of [null, {}, { host: 7, port: 7 }, { host, port: 0 }, { host, port: 'x' }]) {
    await expect(near.connect(untyped(options))).rejects.toMatchObject({ code: /^ERR_/ });
  }
  for (const options of [null, { port: -1 }, { backlog: 'x' }, { host: 'name' }]) {
    expect(thrownBy(() => near.listen(untyped(options))).code).toMatch(/^ERR_/);
  }
  expect(thrownBy(() => near.listen({ host: '10.9.9.9' })).code).toBe('EADDRNOTAVAIL');
  await expect(client.writable.getWriter().write(untyped('text'))).rejects.toMatchObject({
    code: 'ERR_INVALID_ARG_TYPE',
  });
});

test('abort() does not wait for a write that is blocked, and resets the connection', async () => {
  const { client, server } = await connected();
  const writer = client.writable.getWriter();
  const blocked = writer.write(new Uint8Array(64 << 20));
  blocked.catch(() => undefined);
  await new Promise((resolve) => setTimeout(resolve, 20));
  await writer.abort(new Error('enough'));
  await expect(blocked).rejects.toThrow('enough');
  await client.closed;
  const reading = new Response(server.readable).arrayBuffer();
  await expect(reading).rejects.toThrow(expect.objectContaining({ code: 'ECONNRESET' }));
});

test('a chunk that is transferred away while it waits resets the connection', async () => {
  const { client, server } = await connected();
  const chunk = new Uint8Array(64 << 20);
  const blocked = client.writable.getWriter().write(chunk);
  blocked.catch(() => undefined);
  await new Promise((resolve) => setTimeout(resolve, 20));
  structuredClone(chunk.buffer, { transfer: [chunk.buffer] });
  const reading = new Response(server.readable).arrayBuffer();
  await expect(blocked).rejects.toThrow(expect.objectContaining({ code: 'EFAULT' }));
  await expect(reading).rejects.toThrow(expect.objectContaining({ code: 'ECONNRESET' }));
});

test('a write to a peer that is gone closes the connection', async () => {
  const { client, server } = await connected();
  const aborted = server.writable.abort();
  const writer = client.writable.getWriter();
  await aborted;
  const writes = async () => {
    for (;;) await writer.write(bytes('x'));
  };
  await expect(writes()).rejects.toThrow(/ECONNRESET|EPIPE/);
  await client.closed;
});
