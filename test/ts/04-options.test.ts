// SPDX-License-Identifier: MIT
import { describe, expect, test } from 'vitest';
import type { OptionName, SocketOptions } from 'vpollnet';
import { openStack, thrownBy } from './support.js';

const values: Record<string, Partial<SocketOptions>> = {
  tcp: {
    reuseAddress: true,
    keepAlive: true,
    keepIdle: 60,
    keepInterval: 10,
    keepCount: 3,
    linger: 5,
    noDelay: true,
    quickAck: true,
    cork: true,
    maxSegment: 1000,
    userTimeout: 30_000,
    oobInline: true,
    hopLimit: 32,
    trafficClass: 16,
    ipv6Only: true,
    bindInterface: 2,
  },
  udp: {
    reuseAddress: true,
    broadcast: true,
    hopLimit: 32,
    multicastHopLimit: 4,
    trafficClass: 16,
    ipv6Only: true,
    dontFragment: true,
    bindInterface: 2,
  },
  icmp: { hopLimit: 32, multicastHopLimit: 0, trafficClass: 16, dontFragment: true },
};

describe.each(['tcp', 'udp', 'icmp'] as const)('of a %s socket', (type) => {
  test.each(Object.entries(values[type] ?? {}))(
    '%s is set to %s and read back',
    async (name, value) => {
      const stack = await openStack();
      const socket = stack.socket(type as 'tcp');
      expect(socket.setOption(name as OptionName, value as never)).toBe(socket);
      expect(socket.getOption(name as OptionName)).toBe(value);
    },
  );

  test('buffer sizes are set, at least about', async () => {
    const stack = await openStack();
    const socket = stack.socket(type as 'tcp');
    for (const name of ['sendBuffer', 'receiveBuffer'] as const) {
      socket.setOption(name, 100_000);
      expect(socket.getOption(name)).toBeGreaterThanOrEqual(100_000);
    }
  });
});

test('the defaults are those of the RFCs and of Linux', async () => {
  const socket = (await openStack()).socket('tcp');
  expect(socket.getOption('keepAlive')).toBe(false);
  expect(socket.getOption('keepIdle')).toBe(7200);
  expect(socket.getOption('linger')).toBe(-1);
  expect(socket.getOption('noDelay')).toBe(false);
  expect(socket.getOption('hopLimit')).toBe(64);
  expect(socket.getOption('error')).toBe(0);
  expect(socket.getOption('unread')).toBe(0);
  expect(socket.getOption('listening')).toBe(false);
});

test('an option that a type of socket has not is ENOPROTOOPT', async () => {
  const socket = (await openStack()).socket('udp');
  expect(thrownBy(() => socket.setOption('noDelay', true))).toMatchObject({
    code: 'ENOPROTOOPT',
    syscall: 'setsockopt',
    message: 'setsockopt ENOPROTOOPT - noDelay of a udp socket',
  });
  expect(thrownBy(() => socket.getOption('keepIdle'))).toMatchObject({ code: 'ENOPROTOOPT' });
});

test('a wrong name, type or range names what is wrong', async () => {
  const socket = (await openStack()).socket('tcp');
  const set = socket.setOption.bind(socket) as (name: unknown, value: unknown) => void;
  expect(thrownBy(() => set('nodelay', true))).toMatchObject({
    code: 'ERR_INVALID_ARG_VALUE',
    message: expect.stringMatching(
      /^The argument 'name' must be one of reuseAddress, .*'nodelay'$/,
    ),
  });
  expect(thrownBy(() => set('noDelay', 1))).toMatchObject({
    code: 'ERR_INVALID_ARG_TYPE',
    message: 'The "value" argument must be of type boolean. Received type number (1)',
  });
  expect(thrownBy(() => set('hopLimit', 256))).toMatchObject({
    code: 'ERR_OUT_OF_RANGE',
    message: 'The value of "value" is out of range. It must be >= 1 and <= 255. Received 256',
  });
  expect(thrownBy(() => set('unread', 1))).toMatchObject({
    message: "The argument 'name' can only be read. Received 'unread'",
  });
  expect(thrownBy(() => set('toString', 1))).toMatchObject({ code: 'ERR_INVALID_ARG_VALUE' });
});
