// SPDX-License-Identifier: MIT
import { join } from 'node:path';
import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { NetworkError, POLLERR, POLLIN, POLLNVAL, POLLOUT, Stack } from 'vpollnet';
import {
  connectedPair,
  freshCable,
  openStack,
  root,
  runProgram,
  thrownBy,
  twoStacks,
  untyped,
  waitFor,
} from './support.js';

describe('a connection that fails', () => {
  test.each(['10.0.0.2', 'fd00::2', '127.0.0.1'])(
    'is ECONNREFUSED where nobody listens: %s',
    async (host) => {
      const { near } = await twoStacks();
      const socket = near.socket('tcp');
      expect(socket.connect({ host, port: 7 })).toBe(false);
      expect(waitFor(socket, POLLOUT) & POLLERR).toBe(POLLERR);
      const error = socket.error as NetworkError;
      expect(error).toBeInstanceOf(NetworkError);
      expect(error).toMatchObject({
        code: 'ECONNREFUSED',
        errno: -111,
        syscall: 'connect',
        address: host,
        port: 7,
      });
      expect(`${error}`).toBe(
        `Error: connect ECONNREFUSED ${host.includes(':') ? `[${host}]` : host}:7`,
      );
      expect(socket.error).toBe(error);
    },
  );

  test('is told by recv() as well', async () => {
    const { near } = await twoStacks();
    const socket = near.socket('tcp');
    socket.connect({ host: '10.0.0.2', port: 7 });
    waitFor(socket, POLLOUT);
    expect(thrownBy(() => socket.read())).toMatchObject({
      code: 'ECONNREFUSED',
      syscall: 'connect',
      port: 7,
    });
    expect(socket.error).toMatchObject({ code: 'ECONNREFUSED' });
  });

  test('is ENETUNREACH without a route, with what to do', async () => {
    const { near } = await twoStacks();
    const socket = near.socket('tcp');
    expect(thrownBy(() => socket.connect({ host: '192.0.2.1', port: 7 })).message).toBe(
      'connect ENETUNREACH 192.0.2.1:7 - the stack has no route there: see stack.routes()',
    );
  });

  test('is EHOSTUNREACH where no host answers on the link', async () => {
    const { near } = await twoStacks();
    const socket = near.socket('tcp');
    socket.connect({ host: '10.0.0.99', port: 7 });
    waitFor(socket, POLLOUT, 20_000);
    expect(socket.error).toMatchObject({ code: 'EHOSTUNREACH', address: '10.0.0.99' });
  });

  test('is ETIMEDOUT after the user timeout where nothing comes back', async () => {
    const near = await openStack({ addresses: ['10.0.0.1/24'], gateways: ['10.0.0.254'] });
    const socket = near.socket('tcp').setOption('userTimeout', 300);
    socket.connect({ host: '192.0.2.1', port: 7 });
    waitFor(socket, POLLOUT, 20_000);
    expect(['ETIMEDOUT', 'EHOSTUNREACH']).toContain(socket.error?.code);
  });
});

describe('a connection that ends', () => {
  test('by a reset is ECONNRESET', async () => {
    const { client, server } = await connectedPair();
    server.setOption('linger', 0).close();
    expect(waitFor(client, POLLIN) & POLLERR).toBe(POLLERR);
    expect(thrownBy(() => client.read())).toMatchObject({
      code: 'ECONNRESET',
      errno: -104,
      syscall: 'recv',
      message: 'recv ECONNRESET',
    });
    expect(client.error).toMatchObject({ code: 'ECONNRESET' });
    expect(thrownBy(() => client.send('x'))).toMatchObject({ code: 'EPIPE' });
  });

  test('with its stack is ECONNRESET for the peer', async () => {
    const { client, far } = await connectedPair();
    await far.close();
    waitFor(client, POLLIN);
    expect(client.error).toMatchObject({ code: 'ECONNRESET' });
  });
});

describe('a call out of order', () => {
  test('bind: EADDRINUSE, EADDRNOTAVAIL, EINVAL', async () => {
    const { near } = await twoStacks();
    near.socket('tcp').bind({ host: '10.0.0.1', port: 80 }).listen();
    expect(thrownBy(() => near.socket('tcp').bind({ host: '10.0.0.1', port: 80 }))).toMatchObject({
      code: 'EADDRINUSE',
      syscall: 'bind',
      address: '10.0.0.1',
      port: 80,
      message: expect.stringMatching(/^bind EADDRINUSE 10\.0\.0\.1:80 - another socket/),
    });
    expect(thrownBy(() => near.socket('udp').bind({ host: '10.0.0.2', port: 0 }))).toMatchObject({
      code: 'EADDRNOTAVAIL',
      message: expect.stringContaining('not an address of this stack'),
    });
    const bound = near.socket('tcp').bind();
    expect(bound.localAddress?.port).toBeGreaterThan(0);
    expect(thrownBy(() => bound.bind({ port: 81 }))).toMatchObject({ code: 'EINVAL' });
  });

  test('connect: EISCONN and EALREADY', async () => {
    const { client, near } = await connectedPair();
    const peer = { host: '10.0.0.2', port: 7 };
    expect(thrownBy(() => client.connect(peer))).toMatchObject({ code: 'EISCONN', port: 7 });
    const socket = near.socket('tcp');
    socket.connect({ host: '10.0.0.99', port: 7 });
    expect(thrownBy(() => socket.connect({ host: '10.0.0.99', port: 7 }))).toMatchObject({
      code: 'EALREADY',
    });
  });

  test('before connect: ENOTCONN; accept without listen: EINVAL', async () => {
    const { near } = await twoStacks();
    const socket = near.socket('tcp');
    expect(thrownBy(() => socket.read())).toMatchObject({ code: 'ENOTCONN', syscall: 'recv' });
    expect(thrownBy(() => socket.shutdown('both'))).toMatchObject({ code: 'ENOTCONN' });
    expect(['ENOTCONN', 'EPIPE']).toContain(thrownBy(() => socket.send('x')).code);
    expect(thrownBy(() => socket.accept())).toMatchObject({ code: 'EINVAL', syscall: 'accept' });
    expect(socket.localAddress).toBeNull();
    expect(socket.remoteAddress).toBeNull();
    expect(socket.error).toBeNull();
  });
});

test.each(['socket', 'stack'])('after its %s was closed, a socket says EBADF', async (which) => {
  const { client, near } = await connectedPair();
  const udp = near.socket('udp');
  if (which === 'stack') await near.close();
  client.close();
  udp.close();
  const calls: Record<string, () => unknown> = {
    bind: () => client.bind({ port: 1 }),
    connect: () => client.connect({ host: '10.0.0.2', port: 1 }),
    listen: () => client.listen(),
    accept: () => client.accept(),
    send: () => client.send('x'),
    recv: () => client.recv(Buffer.alloc(1)),
    shutdown: () => client.shutdown('both'),
    setsockopt: () => client.setOption('noDelay', true),
    getsockopt: () => client.getOption('noDelay'),
    fd: () => client.fd,
    sendTo: () => udp.sendTo('x', { host: '10.0.0.2', port: 1 }),
    recvFrom: () => udp.recvFrom(Buffer.alloc(1)),
  };
  for (const [syscall, call] of Object.entries(calls)) {
    expect(thrownBy(call)).toMatchObject({
      code: 'EBADF',
      syscall,
      message: `${syscall} EBADF - the socket is closed`,
    });
  }
  expect(client.closed).toBe(true);
  expect(client.readiness).toBe(POLLNVAL);
  expect(client.localAddress).toBeNull();
  expect(client.error).toBeNull();
});

describe('a wrong argument', () => {
  const open = (options: unknown) => Stack.open(options as never);
  const link = (more: object) => open({ links: [{ url: 'cable:x', ...more }] });

  test.each([
    [() => open(1), 'The "options" argument must be of type object. Received type number (1)'],
    [
      () => open({ links: {} }),
      'The "options.links" property must be an instance of Array. Received an instance of Object',
    ],
    [
      () => open({ links: [{ url: 5 }] }),
      'The "options.links[0].url" property must be of type string. Received type number (5)',
    ],
    [
      () => link({ addresses: ['10.0.0.1/24', 7] }),
      'The "options.links[0].addresses[1]" property must be of type string. Received type number (7)',
    ],
    [
      () => link({ ipv6: 'no' }),
      'The "options.links[0].ipv6" property must be of type boolean. Received type string (\'no\')',
    ],
  ])('of Stack.open() is ERR_INVALID_ARG_TYPE %#', async (call, message) => {
    const error = await (call as () => Promise<unknown>)().catch((reason) => reason);
    expect(error).toBeInstanceOf(TypeError);
    expect(error).toMatchObject({ code: 'ERR_INVALID_ARG_TYPE', message });
    expect(inspect(error)).toContain('TypeError [ERR_INVALID_ARG_TYPE]: The "options');
  });

  test.each([
    [() => open({ links: [{ url: 'eth0' }] }), "must be the URL of a link, such as 'cable:lab'"],
    [() => open({ links: [{ url: 'foo:bar' }] }), "unknown link 'foo:bar'"],
    [() => link({ addresses: ['10.0.0.300/24'] }), "Received '10.0.0.300/24'"],
    [() => link({ addresses: ['10.0.0.1/33'] }), "Received '10.0.0.1/33'"],
    [() => link({ addresses: ['example.com'] }), "such as '10.0.0.2/24'. Received 'example.com'"],
    [() => link({ gateways: ['10.0.0.1/24'] }), "'options.links[0].gateways[0]' must be an IPv4"],
    [() => link({ mac: '01:00:00:00:00:00' }), 'must be a unicast MAC'],
  ])('of Stack.open() is ERR_INVALID_ARG_VALUE %#', async (call, message) => {
    const error = await (call as () => Promise<unknown>)().catch((reason) => reason);
    expect(error).toBeInstanceOf(TypeError);
    expect(error).toMatchObject({
      code: 'ERR_INVALID_ARG_VALUE',
      message: expect.stringContaining(message as string),
    });
  });

  test('is ERR_OUT_OF_RANGE for a number', async () => {
    await expect(link({ mtu: 67 })).rejects.toMatchObject({
      code: 'ERR_OUT_OF_RANGE',
      message:
        'The value of "options.links[0].mtu" is out of range. It must be >= 68 and <= 65535. Received 67',
    });
  });

  test('a name instead of an address says that names are not looked up', async () => {
    const { near } = await twoStacks();
    const error = thrownBy(() => near.socket('tcp').connect({ host: 'example.com', port: 7 }));
    expect(error).toBeInstanceOf(TypeError);
    expect(error).toMatchObject({
      code: 'ERR_INVALID_ARG_VALUE',
      message:
        "The property 'peer.host' must be an IPv4 or IPv6 address: names are not looked up here. " +
        "Received 'example.com'",
    });
  });

  test('of a socket names the argument', async () => {
    const { near } = await twoStacks();
    const tcp = untyped(near.socket('tcp'));
    const udp = untyped(near.socket('udp'));
    const wrong: [() => unknown, string, string][] = [
      [() => untyped(near).socket('sctp'), 'ERR_INVALID_ARG_VALUE', "'type' must be 'tcp'"],
      [() => untyped(near).socket({}), 'ERR_INVALID_ARG_VALUE', "'type' must be 'tcp'"],
      [() => tcp.connect('10.0.0.2', 7), 'ERR_INVALID_ARG_TYPE', '"peer" argument must be of type'],
      [() => tcp.connect({ host: '10.0.0.2' }), 'ERR_INVALID_ARG_TYPE', '"peer.port" property'],
      [() => tcp.connect({ host: '10.0.0.2', port: 0 }), 'ERR_SOCKET_BAD_PORT', 'peer.port should'],
      [() => tcp.connect({ port: 7 }), 'ERR_INVALID_ARG_TYPE', '"peer.host" property'],
      [() => tcp.bind({ port: 65536 }), 'ERR_SOCKET_BAD_PORT', '>= 0 and < 65536'],
      [() => tcp.bind({ port: '80' }), 'ERR_INVALID_ARG_TYPE', "Received type string ('80')"],
      [() => tcp.listen('many'), 'ERR_INVALID_ARG_TYPE', '"backlog" argument'],
      [() => tcp.send(5), 'ERR_INVALID_ARG_TYPE', '"data" argument'],
      [() => tcp.send('abc', 4), 'ERR_OUT_OF_RANGE', '"offset" is out of range'],
      [() => tcp.send('abc', 1, 3), 'ERR_OUT_OF_RANGE', '"length" is out of range'],
      [() => tcp.send('abc', Number.NaN), 'ERR_OUT_OF_RANGE', '"offset"'],
      [() => tcp.send('abc', 0, 3, 'x'), 'ERR_INVALID_ARG_TYPE', '"flags" argument'],
      [() => tcp.send('abc', 0, 3, 2), 'ERR_INVALID_ARG_VALUE', 'MSG_MORE and MSG_OOB'],
      [() => tcp.recv('abc'), 'ERR_INVALID_ARG_TYPE', 'an instance of Buffer or Uint8Array'],
      [() => tcp.recv(new Uint16Array(4)), 'ERR_INVALID_ARG_TYPE', 'instance of Uint16Array'],
      [() => tcp.recv(Buffer.alloc(4), -1), 'ERR_OUT_OF_RANGE', '"offset"'],
      [() => tcp.recv(Buffer.alloc(4), 0, 4, 1 << 20), 'ERR_INVALID_ARG_VALUE', 'MSG_PEEK'],
      [() => tcp.read(0), 'ERR_OUT_OF_RANGE', '"size"'],
      [() => tcp.shutdown('halfway'), 'ERR_INVALID_ARG_VALUE', "'how' must be 'read'"],
      [() => udp.sendTo('x', '10.0.0.2'), 'ERR_INVALID_ARG_TYPE', '"to" argument'],
      [() => udp.recvFrom(null), 'ERR_INVALID_ARG_TYPE', 'Received null'],
      [() => near.removeLink({} as never), 'ERR_INVALID_ARG_TYPE', '"link" argument'],
      [() => near.addRoute({ destination: '10.9.0.0/16' }), 'ERR_INVALID_ARG_VALUE', 'a gateway'],
      [() => near.removeAddress('eth0', 'x'), 'ERR_INVALID_ARG_VALUE', "'address' must be"],
    ];
    for (const [call, code, message] of wrong) {
      expect(thrownBy(call)).toMatchObject({ code, message: expect.stringContaining(message) });
    }
  });
});

test('a MAC that is on the cable already is EADDRINUSE', async () => {
  const url = freshCable();
  const mac = '02:00:00:00:00:01';
  await openStack({ url, mac });
  await expect(Stack.open({ links: [{ url, mac }] })).rejects.toMatchObject({
    code: 'EADDRINUSE',
    url,
    message: expect.stringContaining(mac),
  });
});

test.each(['tap://no/such/tap', 'tun://', 'tap://a-name-that-is-too-long'])(
  'a device name that Linux does not take is ERR_INVALID_ARG_VALUE: %s',
  async (url) => {
    await expect(Stack.open({ links: [{ url }] })).rejects.toMatchObject({
      code: 'ERR_INVALID_ARG_VALUE',
      message: expect.stringMatching(/is no device name: 1 to 15 characters.*Received 't[au][pn]:/),
    });
  },
);

test('without a descriptor left, open is EMFILE, and works again when there is one', async () => {
  const program = join(root, 'test/ts/programs/no-descriptors.mjs');
  const command = `ulimit -n 64; exec ${process.execPath} ${program}`;
  const { code, stdout, stderr } = await runProgram(['bash', '-c', command]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toBe('EMFILE open, then 1 interface\n');
});

test('a vpoll back end that is none is EINVAL from fd, with the names that there are', async () => {
  await using stack = await Stack.open({ links: [{ url: 'cable:errors-vpoll' }] });
  using socket = stack.socket('udp');
  process.env.VPOLL_BACKEND = 'kqueue';
  try {
    expect(() => socket.fd).toThrow(/^fd EINVAL - VPOLL_BACKEND=kqueue: .*socketpair/);
  } finally {
    delete process.env.VPOLL_BACKEND;
  }
  expect(socket.fd).toBeGreaterThanOrEqual(0);
});
