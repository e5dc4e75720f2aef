// SPDX-License-Identifier: MIT
import { describe, expect, test } from 'vitest';
import { MSG_PEEK, POLLERR, POLLIN, WOULD_BLOCK } from 'vpollnet';
import { openStack, thrownBy, twoStacks, waitFor } from './support.js';

describe.each([
  ['10.0.0.1', '10.0.0.2', 'IPv4'],
  ['fd00::1', 'fd00::2', 'IPv6'],
])('from %s to %s', (source, host, family) => {
  test('a datagram arrives with its sender', async () => {
    const { near, far } = await twoStacks();
    const server = far.socket('udp').bind({ port: 53 });
    const client = near.socket('udp').bind({ host: source, port: 1053 });
    expect(client.sendTo('question', { host, port: 53 })).toBe(8);
    waitFor(server, POLLIN);
    const buffer = Buffer.alloc(100);
    expect(server.recvFrom(buffer)).toEqual({
      bytes: 8,
      size: 8,
      address: source,
      family,
      port: 1053,
    });
    expect(buffer.toString('utf8', 0, 8)).toBe('question');
    expect(server.recvFrom(buffer)).toBeNull();
    expect(server.recv(buffer)).toBe(WOULD_BLOCK);
  });

  test('an echo request is answered', async () => {
    const { near } = await twoStacks();
    const ping = near.socket('icmp');
    expect(ping.sendTo('ping', { host })).toBe(4);
    waitFor(ping, POLLIN);
    const buffer = Buffer.alloc(64);
    expect(ping.recvFrom(buffer)).toMatchObject({ bytes: 4, address: host, family });
    expect(buffer.toString('utf8', 0, 4)).toBe('ping');
  });

  test('a port where nobody listens is refused', async () => {
    const { near } = await twoStacks();
    const client = near.socket('udp');
    expect(client.connect({ host, port: 9 })).toBe(true);
    client.send('x');
    expect(waitFor(client, POLLIN) & POLLERR).toBe(POLLERR);
    expect(thrownBy(() => client.read())).toMatchObject({ code: 'ECONNREFUSED' });
    expect(client.error).toMatchObject({ code: 'ECONNREFUSED' });
  });
});

test('a datagram longer than the buffer is cut, and its size told', async () => {
  const { near, far } = await twoStacks();
  const server = far.socket('udp').bind({ port: 53 });
  near.socket('udp').sendTo(Buffer.alloc(3000, 'x'), { host: '10.0.0.2', port: 53 });
  waitFor(server, POLLIN);
  const buffer = Buffer.alloc(10);
  expect(server.recvFrom(buffer, 0, 10, MSG_PEEK)).toMatchObject({ bytes: 10, size: 3000 });
  expect(server.recvFrom(buffer)).toMatchObject({ bytes: 10, size: 3000 });
  expect(server.read()).toBeNull();
});

test('a connected socket hears only of its peer', async () => {
  const { near, far } = await twoStacks();
  const server = far.socket('udp').bind({ port: 53 });
  const other = far.socket('udp').bind({ port: 54 });
  const client = near.socket('udp').bind({ port: 1053 });
  client.connect({ host: '10.0.0.2', port: 53 });
  expect(client.remoteAddress).toMatchObject({ address: '10.0.0.2', port: 53 });
  other.sendTo('no', { host: '10.0.0.1', port: 1053 });
  server.sendTo('yes', { host: '10.0.0.1', port: 1053 });
  waitFor(client, POLLIN);
  expect(client.read()?.toString()).toBe('yes');
  expect(client.read()).toBeNull();
});

test('a link-local address names its interface', async () => {
  const url = 'cable:link-local';
  const near = await openStack({ url });
  const far = await openStack({ url });
  const { address } = far.addresses().find((one) => one.address.startsWith('fe80')) ?? {};
  const ping = near.socket('icmp');
  ping.sendTo('ping', { host: `${address}%eth0` });
  waitFor(ping, POLLIN);
  expect(ping.recvFrom(Buffer.alloc(8))).toMatchObject({ address: `${address}%2`, bytes: 4 });
  expect(thrownBy(() => ping.sendTo('ping', { host: `${address}%eth7` }))).toMatchObject({
    code: 'ERR_INVALID_ARG_VALUE',
    message: expect.stringContaining('names no interface of the stack'),
  });
});

test('broadcast needs its option', async () => {
  const { near, far } = await twoStacks();
  const server = far.socket('udp').bind({ port: 67 });
  const client = near.socket('udp');
  const to = { host: '10.0.0.255', port: 67 };
  expect(thrownBy(() => client.sendTo('x', to))).toMatchObject({
    code: 'EACCES',
    syscall: 'sendTo',
    message: expect.stringContaining("setOption('broadcast', true)"),
  });
  client.setOption('broadcast', true).sendTo('x', to);
  waitFor(server, POLLIN);
  expect(server.read()?.toString()).toBe('x');
});

test('too long a datagram is refused', async () => {
  const { near } = await twoStacks();
  const to = { host: '10.0.0.2', port: 9 };
  expect(thrownBy(() => near.socket('udp').sendTo(Buffer.alloc(65536), to))).toMatchObject({
    code: 'EMSGSIZE',
    address: '10.0.0.2',
    port: 9,
  });
  expect(thrownBy(() => near.socket('udp').send('x'))).toMatchObject({ code: 'EDESTADDRREQ' });
});
