// SPDX-License-Identifier: MIT
//
// The same program on three stacks: two of ours on a cable, one of ours by itself, and the host's kernel.
// What it sees must be the same: results, error codes, readiness bits, order.

import { closeSync, fstatSync, openSync, readdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  HostStack,
  type IcmpSocket,
  MSG_MORE,
  MSG_OOB,
  MSG_PEEK,
  NetworkError,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLNVAL,
  POLLOUT,
  POLLPRI,
  POLLRDHUP,
  poll,
  pollAsync,
  type SocketStack,
  TcpSocket,
  type UdpSocket,
} from 'vpollnet';
import {
  freshCable,
  openDescriptors,
  openStack,
  readAll,
  root,
  runProgram,
  thrownBy,
  until,
  untyped,
  waitFor,
} from './support.js';

interface Place {
  near: SocketStack;
  far: SocketStack;
  /** An address of `far` that `near` reaches. */
  host: string;
  /** Of the same family, and nobody's. */
  foreign: string;
}

async function openHost(): Promise<HostStack> {
  const stack = await HostStack.open();
  onTestFinished(() => stack.close());
  return stack;
}

const hasIpv6 = readdirSync('/proc/sys/net').includes('ipv6') && (await kernelTakes('::1'));

async function kernelTakes(host: string): Promise<boolean> {
  const server = createServer();
  const taken = new Promise<boolean>((resolve) => {
    server.once('listening', () => resolve(true)).once('error', () => resolve(false));
  });
  server.listen(0, host);
  const result = await taken;
  server.close();
  return result;
}

const families = [
  { family: 'IPv4', loopback: '127.0.0.1', far: '10.0.0.2', foreign: '198.51.100.1' },
  { family: 'IPv6', loopback: '::1', far: 'fd00::2', foreign: '2001:db8::1' },
];
type FamilyRow = (typeof families)[number];

const places: Record<string, (row: FamilyRow) => Promise<Place>> = {
  'two stacks on a cable': async ({ far: host, foreign }) => {
    const url = freshCable();
    const near = await openStack({ url, addresses: ['10.0.0.1/24', 'fd00::1/64'] });
    const far = await openStack({ url, addresses: ['10.0.0.2/24', 'fd00::2/64'] });
    return { near, far, host, foreign };
  },
  'a stack by itself': async ({ loopback: host, foreign }) => {
    const stack = await openStack();
    return { near: stack, far: stack, host, foreign };
  },
  'the host': async ({ loopback: host, foreign }) => {
    const stack = await openHost();
    return { near: stack, far: stack, host, foreign };
  },
};

const bitNames: [string, number][] = [
  ['IN', POLLIN],
  ['PRI', POLLPRI],
  ['OUT', POLLOUT],
  ['ERR', POLLERR],
  ['HUP', POLLHUP],
  ['RDHUP', POLLRDHUP],
  ['NVAL', POLLNVAL],
];

/** The bits that hold, by poll() and by the property: they must be the same. */
function bits(socket: { fd: number; readiness: number; closed: boolean }): string {
  const name = (mask: number) =>
    bitNames.flatMap(([text, bit]) => ((mask & bit) === 0 ? [] : [text])).join(' ');
  if (socket.closed) return name(socket.readiness);
  const events = POLLIN | POLLPRI | POLLOUT | POLLRDHUP;
  const entry = { fd: socket.fd, events, revents: 0 };
  poll([entry], 0);
  expect(name(socket.readiness)).toBe(name(entry.revents));
  return name(entry.revents);
}

const code = (call: () => unknown) => {
  const error = thrownBy(call);
  expect(error).toBeInstanceOf(NetworkError);
  return `${error.syscall} ${error.code}`;
};

function listen({ far, host }: Place, backlog?: number): { listener: TcpSocket; port: number } {
  const listener = far.socket('tcp').bind({ host }).listen(backlog);
  return { listener, port: listener.localAddress!.port };
}

async function pair(place: Place): Promise<{ client: TcpSocket; server: TcpSocket }> {
  const { listener, port } = listen(place);
  const client = place.near.socket('tcp');
  expect(client.connect({ host: place.host, port })).toBe(false);
  waitFor(client, POLLOUT);
  waitFor(listener, POLLIN);
  const server = listener.accept();
  if (server === null) throw new Error('no connection to accept');
  listener.close();
  return { client, server };
}

/** Waits until the socket shows exactly these bits. */
const settle = (socket: TcpSocket | UdpSocket, wanted: string) =>
  until(() => bits(socket) === wanted).catch(() => {
    throw new Error(`'${bits(socket)}', not '${wanted}'`);
  });

const scenarios: Record<string, (place: Place) => Promise<unknown>> = {
  'a fresh socket': async ({ near }) => {
    const tcp = near.socket('tcp');
    const udp = near.socket('udp');
    return {
      tcp: [bits(tcp), tcp.state, tcp.localAddress, tcp.remoteAddress, tcp.error],
      udp: [bits(udp), udp.state, udp.localAddress, udp.remoteAddress, udp.error],
      errors: [
        code(() => tcp.send('x')),
        code(() => tcp.read()),
        code(() => tcp.accept()),
        code(() => tcp.shutdown('write')),
        code(() => udp.send('x')),
        code(() => udp.shutdown('write')),
      ],
      nothing: udp.recvFrom(Buffer.alloc(1)),
    };
  },
  'a connection, from both ends': async (place) => {
    const { client, server } = await pair(place);
    const seen = {
      states: [client.state, server.state],
      bits: [bits(client), bits(server)],
      hosts: [client.remoteAddress, server.localAddress].map((end) => end?.address === place.host),
      families: [client.localAddress?.family, server.remoteAddress?.family],
      ports: server.remoteAddress?.port === client.localAddress?.port,
      class: server instanceof TcpSocket,
      error: [client.error, server.error],
      nothing: [client.read(), client.recv(Buffer.alloc(1))],
      sent: client.send('0123456789', 2, 5),
    };
    waitFor(server, POLLIN);
    return {
      ...seen,
      unread: server.getOption('unread'),
      peeked: [server.recv(Buffer.alloc(3), 0, 3, MSG_PEEK), bits(server)],
      read: [server.read(3)?.toString(), server.read()?.toString(), server.read(), bits(server)],
      empty: [client.send(''), server.read()],
    };
  },
  'a refused connection': async (place) => {
    const { listener, port } = listen(place);
    listener.close();
    const client = place.near.socket('tcp');
    const connected = client.connect({ host: place.host, port });
    const events = waitFor(client, POLLOUT) & (POLLOUT | POLLERR | POLLHUP);
    const before = bits(client);
    const error = client.error;
    return {
      connected,
      events,
      before,
      message: error?.message.replace(`${port}`, 'PORT').replace(place.host, 'HOST'),
      fields: [error?.code, error?.syscall, error?.address === place.host, error?.port === port],
      again: client.getOption('error'),
      state: client.state,
      after: bits(client),
      send: code(() => client.send('x')),
    };
  },
  'a refused connection, found by recv': async (place) => {
    const { listener, port } = listen(place);
    listener.close();
    const client = place.near.socket('tcp');
    client.connect({ host: place.host, port });
    waitFor(client, POLLOUT);
    return [code(() => client.read()), client.error?.code, bits(client)];
  },
  'a connection that is half closed': async (place) => {
    const { client, server } = await pair(place);
    client.send('question');
    client.shutdown('write');
    await settle(server, 'IN OUT RDHUP');
    const question = readAll(server).toString();
    await until(() => client.state === 'FIN-WAIT-2'); // the ACK may be a delayed one
    const half = [bits(client), bits(server), client.state, server.state];
    const epipe = code(() => client.send('x'));
    const answer = server.send('answer');
    waitFor(client, POLLIN);
    const read = client.read()?.toString();
    server.shutdown('write');
    await settle(client, 'IN OUT HUP RDHUP');
    await settle(server, 'IN OUT HUP RDHUP');
    return { question, half, epipe, answer, read, end: client.read()?.length };
  },
  'the end of a connection': async (place) => {
    const { client, server } = await pair(place);
    server.send('last words');
    server.close();
    await settle(client, 'IN OUT RDHUP');
    return {
      state: client.state,
      read: readAll(client).toString(),
      closed: [
        server.closed,
        server.state,
        server.localAddress,
        bits(server),
        code(() => server.send('x')),
        code(() => server.fd),
        code(() => server.bind()),
        code(() => server.getOption('linger')),
      ],
    };
  },
  'a connection that is reset': async (place) => {
    const { client, server } = await pair(place);
    server.setOption('linger', 0).close();
    await settle(client, 'IN OUT ERR HUP RDHUP');
    return {
      error: [code(() => client.read()), client.error?.code],
      after: [bits(client), client.state],
      send: code(() => client.send('x')),
    };
  },
  'urgent data': async (place) => {
    const { client, server } = await pair(place);
    const none = code(() => server.recv(Buffer.alloc(1), 0, 1, MSG_OOB));
    client.send('before');
    client.send('!', 0, 1, MSG_OOB);
    client.send('after');
    await settle(server, 'IN PRI OUT');
    const byte = Buffer.alloc(1);
    const got = [server.recv(byte, 0, 1, MSG_OOB), byte.toString(), bits(server)];
    await until(() => server.getOption('unread') > 0);
    const first = server.read()?.toString();
    waitFor(server, POLLIN);
    return { none, got, first, second: server.read()?.toString(), inline: bits(server) };
  },
  'urgent data in line': async (place) => {
    const { client, server } = await pair(place);
    server.setOption('oobInline', true);
    client.send('a!', 0, 2, MSG_OOB);
    waitFor(server, POLLPRI);
    const error = code(() => server.recv(Buffer.alloc(1), 0, 1, MSG_OOB));
    const parts = [server.read()?.toString(), server.read()?.toString() ?? ''];
    return { error, all: parts.join('') };
  },
  'a full send buffer': async (place) => {
    const { client, server } = await pair(place);
    const chunk = Buffer.alloc(1 << 20);
    let sent = 0;
    // Until nothing more goes on its way to the peer.
    for (let quiet = 0; quiet < 5; await sleep(20)) {
      quiet += 1;
      for (let n = client.send(chunk); n > 0; n = client.send(chunk)) {
        sent += n;
        quiet = 0;
      }
    }
    const full = [client.readiness & POLLOUT, client.getOption('unsent') > 0];
    let got = 0;
    while (got < sent) {
      waitFor(server, POLLIN);
      got += server.read(1 << 20)?.length ?? 0;
    }
    waitFor(client, POLLOUT);
    await until(() => client.getOption('unsent') === 0);
    return { full, all: got === sent };
  },
  'the accept queue': async (place) => {
    const { listener, port } = listen(place, 3);
    const before = [bits(listener), listener.accept(), listener.state, listener.remoteAddress];
    const clients = [0, 1, 2].map(() => place.near.socket('tcp'));
    const order: (number | undefined)[] = [];
    for (const client of clients) {
      client.connect({ host: place.host, port });
      waitFor(client, POLLOUT);
      order.push(client.localAddress?.port);
    }
    waitFor(listener, POLLIN);
    const accepted = [listener.accept(), listener.accept(), listener.accept()];
    return {
      before,
      order: accepted.map((socket) => order.indexOf(socket?.remoteAddress?.port)),
      after: [listener.accept(), bits(listener)],
      again: listener.listen(10) === listener,
      errors: [
        code(() => listener.read()),
        code(() => listener.connect({ host: place.host, port })),
      ],
      options: [
        listener.getOption('listening'),
        accepted[0]?.getOption('listening'),
        listener.getOption('unread'),
      ],
    };
  },
  'connections that nobody accepted are reset with the listener': async (place) => {
    const { listener, port } = listen(place);
    const client = place.near.socket('tcp');
    client.connect({ host: place.host, port });
    waitFor(client, POLLOUT);
    waitFor(listener, POLLIN);
    listener.close();
    await settle(client, 'IN OUT ERR HUP RDHUP');
    return code(() => client.read());
  },
  'bind errors': async ({ near, far, host, foreign }) => {
    const one = far.socket('tcp').bind({ host }).listen();
    const { port } = one.localAddress!;
    const datagrams = far.socket('udp').bind({ host });
    const udpPort = datagrams.localAddress!.port;
    return [
      code(() => far.socket('tcp').bind({ host, port })),
      code(() => far.socket('tcp').bind({ port })),
      code(() => far.socket('udp').bind({ host, port: udpPort })),
      code(() => far.socket('udp').bind({ port: udpPort })),
      code(() => near.socket('tcp').bind({ host: foreign })),
      code(() => near.socket('udp').bind({ host: foreign })),
      code(() => one.bind({ host })),
      code(() => datagrams.bind({ host })),
      code(() => datagrams.setOption('ipv6Only', true)),
      code(() => one.connect({ host, port: 9 })),
    ];
  },
  datagrams: async ({ near, far, host }) => {
    const to = far.socket('udp').bind({ host });
    const { port } = to.localAddress!;
    const from = near.socket('udp');
    const sent = [from.sendTo('first', { host, port }), from.sendTo('', { host, port })];
    from.sendTo(Buffer.from('a long one'), { host, port });
    await settle(to, 'IN OUT');
    await until(() => to.getOption('unread') === 5);
    const buffer = Buffer.alloc(6);
    const peeked = to.recvFrom(buffer, 0, 2, MSG_PEEK);
    const received = [to.recvFrom(buffer), to.recvFrom(buffer), to.recvFrom(buffer)];
    const sender = received[0]?.port === from.localAddress?.port;
    const sizes = [peeked, ...received].map((one) => [one?.bytes, one?.size, one?.family]);
    to.sendTo('answer', { host: received[0]!.address, port: received[0]!.port });
    await settle(from, 'IN OUT');
    const answer = from.recvFrom(buffer, 1);
    return {
      sent,
      sizes,
      sender,
      text: buffer.toString(),
      answer: [answer?.address === host, answer?.bytes, answer?.size],
      none: [to.recvFrom(buffer), bits(to), to.getOption('unread')],
      bound: from.localAddress?.address,
    };
  },
  'a datagram socket with a peer': async ({ near, far, host }) => {
    const to = far.socket('udp').bind({ host });
    const { port } = to.localAddress!;
    const from = near.socket('udp');
    const connected = [from.connect({ host, port }), from.remoteAddress?.address === host];
    from.send('x');
    await settle(to, 'IN OUT');
    const { address, port: back } = to.recvFrom(Buffer.alloc(1))!;
    const stranger = far.socket('udp').bind({ host });
    stranger.sendTo('not from the peer', { host: address, port: back });
    to.sendTo('from the peer', { host: address, port: back });
    await settle(from, 'IN OUT');
    const heard = from.read()?.toString();
    const more = from.read();
    return { connected, heard, more, state: from.state };
  },
  'a datagram that nobody takes': async ({ near, far, host }) => {
    const gone = far.socket('udp').bind({ host });
    const { port } = gone.localAddress!;
    gone.close();
    const from = near.socket('udp');
    from.connect({ host, port });
    from.send('x');
    await settle(from, 'OUT ERR');
    const first = code(() => from.read());
    from.send('x');
    await settle(from, 'OUT ERR');
    return [first, from.error?.code, bits(from)];
  },
  'too long a datagram': async ({ near, host }) =>
    code(() => near.socket('udp').sendTo(Buffer.alloc(66000), { host, port: 9 })),
  'urgent datagrams': async ({ near, host }) => {
    const socket = near.socket('udp').bind();
    return [
      code(() => socket.sendTo('x', { host, port: 9 }, MSG_OOB)),
      code(() => socket.recvFrom(Buffer.alloc(1), 0, 1, MSG_OOB)),
    ];
  },
  'both families at once': async ({ far }) => {
    const listener = far.socket('udp').bind();
    const { port } = listener.localAddress!;
    const only = far.socket('udp').setOption('ipv6Only', true).bind();
    const v4 = far.socket('udp').bind({ host: '0.0.0.0' });
    return {
      any: listener.localAddress?.address,
      port: port > 0,
      only: [
        only.localAddress?.address,
        only.getOption('ipv6Only'),
        code(() => only.sendTo('x', { host: '127.0.0.1', port })),
      ],
      v4: [v4.localAddress?.address, code(() => v4.sendTo('x', { host: '::1', port }))],
    };
  },
  options: async (place) => {
    const { client, server } = await pair(place);
    const udp = place.near.socket('udp');
    const set = (socket: TcpSocket | UdpSocket, name: string, value: unknown) => {
      try {
        return untyped(socket).setOption(name, value).getOption(name);
      } catch (error) {
        return (error as NetworkError).message;
      }
    };
    const values: [string, unknown][] = [
      ['reuseAddress', true],
      ['broadcast', true],
      ['keepAlive', true],
      ['keepIdle', 100],
      ['keepInterval', 10],
      ['keepCount', 3],
      ['linger', 5],
      ['linger', -1],
      ['noDelay', true],
      ['cork', true],
      ['userTimeout', 1234],
      ['oobInline', true],
      ['sendBuffer', 40_000],
      ['receiveBuffer', 40_000],
      ['hopLimit', 17],
      ['multicastHopLimit', 3],
      ['trafficClass', 0x20],
      ['dontFragment', true],
      ['dontFragment', false],
      ['bindInterface', 0],
      ['multicastLoop', false],
      ['multicastInterface', 1],
      ['multicastInterface', 0],
    ];
    return {
      defaults: ['reuseAddress', 'keepAlive', 'keepIdle', 'keepCount', 'linger', 'hopLimit'].map(
        (name) => untyped(server).getOption(name),
      ),
      tcp: values.map(([name, value]) => [name, set(client, name, value)]),
      udp: values.map(([name, value]) => [name, set(udp, name, value)]),
      readOnly: [
        udp.getOption('error'),
        udp.getOption('unread'),
        code(() => udp.getOption('unsent')),
        code(() => udp.getOption('listening')),
      ],
    };
  },
};

describe.each(families)('over $family', (row) => {
  for (const [name, scenario] of Object.entries(scenarios)) {
    test.skipIf(row.family === 'IPv6' && !hasIpv6)(name, async () => {
      const seen: Record<string, unknown> = {};
      for (const [place, open] of Object.entries(places))
        seen[place] = await scenario(await open(row));
      expect(seen['the host']).toEqual(seen['two stacks on a cable']);
      expect(seen['a stack by itself']).toEqual(seen['two stacks on a cable']);
    });
  }
});

/** The lines of docs/stacks.md, "Where they differ". */
const differences: Record<string, [(place: Place) => Promise<unknown>, unknown, unknown]> = {
  'connect() on a socket whose connecting has just ended well': [
    async (place) => {
      const { client } = await pair(place);
      const again = () => {
        const peer = { host: place.host, port: client.remoteAddress!.port };
        try {
          return client.connect(peer);
        } catch (error) {
          return (error as NetworkError).code;
        }
      };
      return [again(), again()];
    },
    ['EISCONN', 'EISCONN'],
    [true, 'EISCONN'],
  ],
  'shutdown() on a listener': [
    async (place) => {
      const { listener } = listen(place);
      try {
        listener.shutdown('read');
      } catch (error) {
        return (error as NetworkError).code;
      }
      return listener.state;
    },
    'ENOTCONN',
    'CLOSED',
  ],
  'MSG_MORE on datagrams': [
    async ({ near, far, host }) => {
      const to = far.socket('udp').bind({ host });
      const target = { host, port: to.localAddress!.port };
      const from = near.socket('udp');
      try {
        from.sendTo('one ', target, MSG_MORE);
      } catch (error) {
        return (error as NetworkError).code;
      }
      from.sendTo('datagram', target);
      await settle(to, 'IN OUT');
      return to.read()?.toString();
    },
    'EOPNOTSUPP',
    'one datagram',
  ],
};

describe('the stacks differ in', () => {
  test.each(Object.entries(differences))('%s', async (_, [scenario, ours, theirs]) => {
    const row = families[0]!;
    expect(await scenario(await places['two stacks on a cable']!(row))).toEqual(ours);
    expect(await scenario(await places['the host']!(row))).toEqual(theirs);
  });
});

describe('the host as a stack', () => {
  test('shares one poll loop with a stack of ours', async () => {
    const host = await openHost();
    const url = freshCable();
    const near = await openStack({ url, addresses: ['10.0.0.1/24'] });
    const far = await openStack({ url, addresses: ['10.0.0.2/24'] });
    const sockets = [host.socket('udp').bind({ host: '127.0.0.1' }), far.socket('udp').bind()];
    const fds = sockets.map(({ fd }) => ({ fd, events: POLLIN, revents: 0 }));
    const round = (timeout: number) => [poll(fds, timeout), ...fds.map(({ revents }) => revents)];
    expect(round(0)).toEqual([0, 0, 0]);
    const [hostPort, farPort] = sockets.map((socket) => socket.localAddress!.port) as [
      number,
      number,
    ];
    host.socket('udp').sendTo('x', { host: '127.0.0.1', port: hostPort });
    expect(round(1000)).toEqual([1, POLLIN, 0]);
    near.socket('udp').sendTo('x', { host: '10.0.0.2', port: farPort });
    expect(round(-1)).toEqual([2, POLLIN, POLLIN]);
    for (const socket of sockets) socket.read();
    const waiting = pollAsync(fds, 20_000);
    near.socket('udp').sendTo('y', { host: '10.0.0.2', port: farPort });
    expect([await waiting, ...fds.map(({ revents }) => revents)]).toEqual([1, 0, POLLIN]);
  });

  test('has no objects but its own', async () => {
    expect(() => new HostStack(untyped({}), untyped(1))).toThrow('use HostStack.open()');
    const host = await openHost();
    expect(thrownBy(() => host.socket(untyped('raw'))).code).toBe('ERR_INVALID_ARG_VALUE');
    expect(thrownBy(() => host.socket(untyped('constructor'))).code).toBe('ERR_INVALID_ARG_VALUE');
  });

  test('gives advice about the host, not about a stack of ours', async () => {
    const host = await openHost();
    const message = (call: () => unknown) => thrownBy(call).message;
    expect(message(() => host.socket('udp').bind({ host: '198.51.100.1', port: 9 }))).toBe(
      'bind EADDRNOTAVAIL 198.51.100.1:9 - not an address of the host: see addresses()',
    );
    const { port } = host.socket('tcp').bind({ host: '127.0.0.1' }).listen().localAddress!;
    expect(message(() => host.socket('tcp').bind({ host: '127.0.0.1', port }))).toContain(
      'another socket of the host has it',
    );
  });

  test('shows its addresses, and takes interfaces as zones', async () => {
    const host = await openHost();
    expect(host.addresses()).toContainEqual({
      id: 1,
      interface: 'lo',
      address: '127.0.0.1',
      prefix: 8,
      state: 'preferred',
    });
    const error = thrownBy(() => host.socket('udp').bind({ host: 'fe80::1%nowhere' }));
    expect(error.code).toBe('ERR_INVALID_ARG_VALUE');
    if (hasIpv6)
      expect(host.socket('udp').bind({ host: '::1%lo' }).localAddress?.address).toBe('::1');
  });

  test('takes single sources of a group as a stack of ours does', async () => {
    const group = '232.1.1.16';
    const stacks = [await openHost(), await openStack({ addresses: ['10.0.0.1/24'] })];
    for (const stack of stacks) {
      const socket = stack.socket('udp').bind({ host: '0.0.0.0', port: 0 });
      const sender = stack.socket('udp').bind({ host: '127.0.0.1', port: 0 });
      sender.setOption('multicastInterface', 1);
      const port = socket.localAddress?.port as number;
      const calls = {
        add: (source: string) => socket.addSourceSpecificMembership(source, group, 'lo'),
        drop: (source: string) => socket.dropSourceSpecificMembership(source, group, 'lo'),
      };
      calls.add('127.0.0.99');
      sender.sendTo('not named', { host: group, port });
      calls.add('127.0.0.1');
      sender.sendTo('named', { host: group, port });
      await waitFor(socket, POLLIN);
      expect(String(socket.read())).toBe('named');
      const codes = [
        ['add', '127.0.0.1'],
        ['drop', '127.0.0.2'],
        ['add', '::1'],
      ].map(([call, source]) => {
        const error = thrownBy(() => calls[call as 'add' | 'drop'](source as string));
        return (error as NodeJS.ErrnoException).code;
      });
      expect(codes).toEqual(['EADDRNOTAVAIL', 'EADDRNOTAVAIL', 'EINVAL']);
      calls.drop('127.0.0.1').close();
      sender.close();
    }
  });

  test('sends ICMP echoes, or says what forbids it', async () => {
    const host = await openHost();
    let socket: IcmpSocket;
    try {
      socket = host.socket('icmp');
    } catch (error) {
      expect(error).toMatchObject({ code: 'EACCES', syscall: 'socket' });
      expect((error as Error).message).toContain('net.ipv4.ping_group_range');
      return;
    }
    socket.sendTo('ping', { host: '127.0.0.1' });
    waitFor(socket, POLLIN);
    expect(socket.recvFrom(Buffer.alloc(8))).toMatchObject({ bytes: 4, size: 4 });
  });

  test('closes what it has, once, and leaves no descriptor', async () => {
    const before = openDescriptors();
    const host = await HostStack.open();
    const listener = host.socket('tcp').bind({ host: '127.0.0.1' }).listen();
    const client = host.socket('tcp');
    client.connect({ host: '127.0.0.1', port: listener.localAddress!.port });
    waitFor(listener, POLLIN);
    const server = listener.accept()!;
    const closed = host.socket('udp');
    closed.close();
    closed.close();
    expect(openDescriptors()).toBe(before + 3);
    await host.close();
    await host.close();
    expect(openDescriptors()).toBe(before);
    expect([client.closed, server.closed, host.closed]).toEqual([true, true, true]);
    expect(thrownBy(() => host.socket('udp')).code).toBe('ERR_STACK_CLOSED');
    expect(thrownBy(() => host.addresses()).code).toBe('ERR_STACK_CLOSED');
    expect(thrownBy(() => client.send('x')).message).toBe('send EBADF - the socket is closed');
  });

  test('resets its connections when it closes', async () => {
    const host = await HostStack.open();
    const other = await openHost();
    const listener = other.socket('tcp').bind({ host: '127.0.0.1' }).listen();
    host.socket('tcp').connect({ host: '127.0.0.1', port: listener.localAddress!.port });
    waitFor(listener, POLLIN);
    const server = listener.accept()!;
    await host.close();
    waitFor(server, POLLIN);
    expect(thrownBy(() => server.read()).code).toBe('ECONNRESET');
  });

  test('does not wait for SO_LINGER in close()', async () => {
    const { client, server } = await pair(await places['the host']!(families[0]!));
    while (client.send(Buffer.alloc(1 << 20)) > 0);
    const started = performance.now();
    client.setOption('linger', 30).close();
    expect(performance.now() - started).toBeLessThan(10_000);
    expect(readAll(server).length).toBeGreaterThan(1 << 16);
  });
});

describe('a descriptor of the host', () => {
  test('that is closed while somebody waits for it shows POLLNVAL', async () => {
    const host = await openHost();
    const socket = host.socket('udp').bind({ host: '127.0.0.1' });
    const entry = { fd: socket.fd, events: POLLIN, revents: 0 };
    const waiting = pollAsync([entry], 20_000);
    await sleep(10);
    socket.close();
    expect([await waiting, entry.revents]).toEqual([1, POLLNVAL]);
    expect(poll([entry], 0)).toBe(1);
  });

  test('that somebody else has closed is not touched again', async () => {
    const host = await openHost();
    const socket = host.socket('tcp');
    const { fd } = socket;
    closeSync(fd);
    const file = openSync('/dev/null', 'r');
    expect(file).toBe(fd);
    socket.close();
    expect(fstatSync(file).isCharacterDevice()).toBe(true);
    closeSync(file);
  });

  test('whose number serves another socket now is EBADF for the first', async () => {
    const host = await openHost();
    const socket = host.socket('udp');
    const { fd } = socket;
    closeSync(fd);
    const second = host.socket('udp').bind({ host: '127.0.0.1' });
    expect(second.fd).toBe(fd);
    expect(thrownBy(() => socket.fd).code).toBe('EBADF');
    expect(thrownBy(() => socket.sendTo('x', { host: '127.0.0.1', port: 9 })).code).toBe('EBADF');
    expect(socket.readiness).toBe(POLLNVAL);
    socket.close();
    expect(poll([{ fd, events: POLLOUT }], 0)).toBe(1);
    expect(second.localAddress).not.toBeNull();
  });
});

describe('without a close()', () => {
  const program = (way: string) =>
    runProgram([process.execPath, join(root, 'test/ts/programs/host-ends.mjs'), way]);

  test.each([['returns'], ['exits'], ['is-terminated']])(
    'a worker that %s leaves nothing',
    async (way) => {
      expect(await program(way)).toMatchObject({ code: 0, stdout: 'nothing left\n', stderr: '' });
    },
  );

  test('process.exit() resets connections', async () => {
    expect(await program('process')).toMatchObject({ code: 0, stdout: 'ECONNRESET\n', stderr: '' });
  });
});
