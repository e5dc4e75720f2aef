// SPDX-License-Identifier: MIT
import { readFileSync } from 'node:fs';
import { describe, expect, onTestFinished, test } from 'vitest';
import { HostStack, type OptionName, type SocketOptions, Stack } from 'vpollnet';
import { connectedPair, openStack, thrownBy, untyped } from './support.js';

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
    congestion: 'newreno',
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
    multicastLoop: false,
    multicastInterface: 2,
  },
  icmp: {
    hopLimit: 32,
    multicastHopLimit: 0,
    trafficClass: 16,
    dontFragment: true,
    multicastLoop: false,
    multicastInterface: 2,
  },
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
  expect(socket.getOption('congestion')).toBe('cubic');
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

describe('congestion control', () => {
  test('is what the stack was opened with', async () => {
    const stack = await Stack.open({ congestion: 'newreno' });
    onTestFinished(() => stack.close());
    expect(stack.socket('tcp').getOption('congestion')).toBe('newreno');
    const other = untyped({ congestion: 'bbr' });
    await expect(Stack.open(other)).rejects.toMatchObject({
      code: 'ERR_INVALID_ARG_VALUE',
      message: "The property 'options.congestion' must be 'cubic' or 'newreno'. Received 'bbr'",
    });
  });

  test('is changed on a connection that is open', async () => {
    const { client, server } = await connectedPair();
    for (const name of ['newreno', 'cubic', 'newreno'] as const) {
      expect(client.setOption('congestion', name).getOption('congestion')).toBe(name);
    }
    expect(server.getOption('congestion')).toBe('cubic');
  });

  test('that the stack has not is ENOENT, and leaves the one before', async () => {
    const socket = (await openStack()).socket('tcp');
    expect(thrownBy(() => socket.setOption('congestion', 'bbr'))).toMatchObject({
      code: 'ENOENT',
      syscall: 'setsockopt',
      message: "setsockopt ENOENT - congestion 'bbr' of a tcp socket",
    });
    expect(socket.getOption('congestion')).toBe('cubic');
  });

  test('must be a name', async () => {
    const stack = await openStack();
    const socket = stack.socket('tcp');
    expect(thrownBy(() => socket.setOption('congestion', untyped(1)))).toMatchObject({
      code: 'ERR_INVALID_ARG_TYPE',
    });
    for (const name of ['', 'a name', 'reno\0', 'x'.repeat(16)]) {
      expect(thrownBy(() => socket.setOption('congestion', name))).toMatchObject({
        code: 'ERR_INVALID_ARG_VALUE',
      });
    }
    const udp = stack.socket('udp');
    expect(thrownBy(() => udp.setOption('congestion', 'cubic'))).toMatchObject({
      message: 'setsockopt ENOPROTOOPT - congestion of a udp socket',
    });
    expect(thrownBy(() => udp.getOption('congestion'))).toMatchObject({ code: 'ENOPROTOOPT' });
  });

  test("of the host is its kernel's, with reno under its name here", async () => {
    const host = await HostStack.open();
    onTestFinished(() => host.close());
    const socket = host.socket('tcp');
    const file = '/proc/sys/net/ipv4/tcp_allowed_congestion_control';
    const names = readFileSync(file, 'utf8').trim().split(' ');
    expect(names).toContain('reno'); // the kernel always has it
    for (const name of names) {
      const ours = name === 'reno' ? 'newreno' : name;
      expect(socket.setOption('congestion', ours).getOption('congestion')).toBe(ours);
    }
    expect(thrownBy(() => socket.setOption('congestion', 'nonesuch'))).toMatchObject({
      code: 'ENOENT',
      syscall: 'setsockopt',
    });
  });
});
