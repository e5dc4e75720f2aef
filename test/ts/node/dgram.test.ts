// SPDX-License-Identifier: MIT
//
// stack.dgram: what node:dgram does over the kernel, it does over two stacks on a cable.

import { AsyncLocalStorage } from 'node:async_hooks';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { constants } from 'node:os';
import { inherits } from 'node:util';
import { describe, expect, onTestFinished, test } from 'vitest';
import { POLLIN, poll, Stack, type StackDatagramSocket } from 'vpollnet';
import {
  freshCable,
  openStack,
  root,
  runProgram,
  thrownBy,
  twoStacks,
  until,
  untyped,
} from '../support.js';

/** A socket that is closed at the end of the test, if it is not before. */
function keep<Socket extends dgram.Socket>(socket: Socket): Socket {
  onTestFinished(() => {
    try {
      socket.close();
    } catch {
      // It is.
    }
  });
  return socket;
}

async function bound(
  { dgram: on }: { dgram: Pick<typeof dgram, 'createSocket'> },
  options: dgram.SocketType | dgram.SocketOptions = 'udp4',
  port = 0,
  address?: string,
): Promise<StackDatagramSocket> {
  const socket = keep(on.createSocket(options as dgram.SocketOptions) as StackDatagramSocket);
  socket.bind(port, address);
  await once(socket, 'listening');
  return socket;
}

interface Heard {
  text: string;
  from: dgram.RemoteInfo;
}

async function heard(socket: dgram.Socket): Promise<Heard> {
  const [message, from] = await once(socket, 'message');
  return { text: String(message), from };
}

const sent = (socket: dgram.Socket, ...args: unknown[]) =>
  new Promise((resolve) => {
    untyped(socket).send(...args, (error: Error | null, bytes: number) => resolve(error ?? bytes));
  });

/** What a call comes to: what it returns, or what it throws. */
function outcome(call: () => unknown): unknown {
  try {
    return call();
  } catch (error) {
    const { message, code, errno, syscall } = error as NodeJS.ErrnoException;
    return { message, code, errno, syscall };
  }
}

describe.each([
  { type: 'udp4' as const, near: '10.0.0.1', far: '10.0.0.2', family: 'IPv4' },
  { type: 'udp6' as const, near: 'fd00::1', far: 'fd00::2', family: 'IPv6' },
])('$type', ({ type, near: nearAddress, far: farAddress, family }) => {
  test('messages go both ways, and say from whom they are', async () => {
    const { near, far } = await twoStacks();
    const server = await bound(far, type, 7000);
    server.on('message', (message, { port, address }) => server.send(message, port, address));
    const client = await bound(near, type);
    const answer = heard(client);
    expect(await sent(client, Buffer.from('hello'), 7000, farAddress)).toBe(5);
    expect(await answer).toEqual({
      text: 'hello',
      from: { address: farAddress, family, port: 7000, size: 5 },
    });
    expect(client.address()).toEqual({
      address: type === 'udp4' ? '0.0.0.0' : '::',
      family,
      port: expect.any(Number),
    });
  });

  test('a connected socket knows its two ends, sends without an address and hears its peer alone', async () => {
    const { near, far } = await twoStacks();
    const server = await bound(far, type, 7000);
    const other = await bound(far, type, 7001);
    const client = keep(near.dgram.createSocket(type));
    client.connect(7000, farAddress);
    await once(client, 'connect');
    expect(client.remoteAddress()).toEqual({ address: farAddress, family, port: 7000 });
    expect(client.address().address).toBe(nearAddress);
    const arrived = heard(server);
    expect(await sent(client, 'x')).toBe(1);
    const { from } = await arrived;
    expect(from).toMatchObject({ address: nearAddress, port: client.address().port });
    const answer = heard(client);
    await sent(other, 'not heard', from.port, from.address);
    await sent(server, 'heard', from.port, from.address);
    expect((await answer).text).toBe('heard');
    client.disconnect();
    expect(thrownBy(() => client.remoteAddress()).code).toBe('ERR_SOCKET_DGRAM_NOT_CONNECTED');
    const later = heard(client);
    await sent(other, 'heard too', client.address().port, nearAddress);
    expect((await later).text).toBe('heard too');
  });

  test('a connected socket hears of a port where nobody is', async () => {
    const { near } = await twoStacks();
    const client = keep(near.dgram.createSocket(type));
    client.connect(9, farAddress);
    await once(client, 'connect');
    client.send('anybody?');
    const [error] = await once(client, 'error');
    expect(error).toMatchObject({
      message: 'recvmsg ECONNREFUSED',
      code: 'ECONNREFUSED',
      syscall: 'recvmsg',
    });
  });

  test('the largest message arrives, and one byte more is EMSGSIZE', async () => {
    const { near, far } = await twoStacks();
    const server = await bound(far, { type, recvBufferSize: 1 << 20 }, 7000);
    const client = await bound(near, type);
    const largest = type === 'udp4' ? 65507 : 65527;
    const message = once(server, 'message');
    expect(await sent(client, Buffer.alloc(largest, 'abc'), 7000, farAddress)).toBe(largest);
    expect((await message)[0].equals(Buffer.alloc(largest, 'abc'))).toBe(true);
    expect(await sent(client, Buffer.alloc(largest + 1), 7000, farAddress)).toMatchObject({
      code: 'EMSGSIZE',
      syscall: 'send',
      address: farAddress,
      port: 7000,
    });
  });
});

test('a udp6 socket on :: shows IPv4 as mapped, sends to it so, and leaves it with ipv6Only', async () => {
  const { near, far } = await twoStacks();
  const both = await bound(far, 'udp6', 7000);
  const client = await bound(near, 'udp4', 7001);
  const message = heard(both);
  client.send('v4', 7000, '10.0.0.2');
  expect((await message).from).toMatchObject({ address: '::ffff:10.0.0.1', family: 'IPv6' });
  const answer = heard(client);
  expect(await sent(both, 'mapped', 7001, '::ffff:10.0.0.1')).toBe(6);
  expect((await answer).from.address).toBe('10.0.0.2');
  const alone = await bound(far, { type: 'udp6', ipv6Only: true }, 7002);
  await bound(far, 'udp4', 7002);
  expect(await sent(alone, 'x', 7001, '::ffff:10.0.0.1')).toMatchObject({ code: 'ENETUNREACH' });
});

test('a link-local address has its zone by name', async () => {
  const url = freshCable();
  const near = await openStack({ url, name: 'lan0', addresses: ['fe80::1/64'] });
  const far = await openStack({ url, name: 'lan9', addresses: ['fe80::2/64'] });
  const server = await bound(far, 'udp6', 7000);
  const client = await bound(near, 'udp6');
  const message = heard(server);
  expect(await sent(client, 'x', 7000, 'fe80::2%lan0')).toBe(1);
  expect((await message).from.address).toMatch(/^fe80::.*%lan9$/);
});

test('no address means this host', async () => {
  const stack = await openStack({ addresses: ['10.0.0.1/24', 'fd00::1/64'] });
  for (const [type, none] of [
    ['udp4', '0.0.0.0'],
    ['udp6', '::'],
  ] as const) {
    const socket = await bound(stack, type);
    const message = heard(socket);
    expect(await sent(socket, 'me', socket.address().port, none)).toBe(2);
    expect((await message).from.address).toBe(type === 'udp4' ? '127.0.0.1' : '::1');
  }
});

test('names are looked up by the stack, or by what the options say', async () => {
  const { near, far } = await twoStacks();
  const server = await bound(far, 'udp4', 7000);
  const asked: unknown[] = [];
  const lookup = untyped((name: string, options: unknown, callback: CallableFunction) => {
    asked.push([name, options]);
    setImmediate(untyped(callback), null, name === 'far.example' ? '10.0.0.2' : name, 4);
  });
  const client = await bound(near, { type: 'udp4', lookup });
  const message = heard(server);
  client.send('by name', 7000, 'far.example');
  expect((await message).text).toBe('by name');
  expect(asked).toContainEqual(['far.example', 4]);
});

test('of several buffers one message is made, of each kind of view', async () => {
  const { near, far } = await twoStacks();
  const server = await bound(far, 'udp4', 7000);
  const client = await bound(near);
  for (const [message, expected] of [
    [['a', Buffer.from('b'), new Uint8Array([99])], 'abc'],
    [new DataView(Uint8Array.from([120, 121, 122]).buffer, 1), 'yz'],
    [new Uint16Array([0x6161]), 'aa'],
    [[], ''],
    ['', ''],
  ]) {
    const arrived = heard(server);
    expect(await sent(client, message, 7000, '10.0.0.2')).toBe((expected as string).length);
    expect((await arrived).text).toBe(expected);
  }
});

test.each([
  { type: 'udp4' as const, group: '239.1.2.3' },
  { type: 'udp6' as const, group: 'ff05::1:3' },
])(
  '$group is heard by each member until it leaves, by the sender too as it likes',
  async ({ type, group }) => {
    const url = freshCable();
    const hosts = [];
    for (const number of [1, 2, 3]) {
      const addresses = [`10.0.0.${number}/24`, `fd00::${number}/64`];
      hosts.push(await openStack({ url, name: 'eth0', addresses }));
    }
    const [own, first, second] = hosts as [Stack, Stack, Stack];
    const members: StackDatagramSocket[] = [];
    const texts: string[][] = [[], [], []];
    for (const [index, host] of [own, first, second].entries()) {
      const member = await bound(host, { type, reuseAddr: true }, 7000);
      member.addMembership(group, type === 'udp4' ? `10.0.0.${index + 1}` : '::%eth0');
      member.on('message', (message) => texts[index]?.push(String(message)));
      members.push(member);
    }
    const sender = await bound(own, type);
    await sent(sender, 'all', 7000, group);
    await until(() => texts.every((one) => one.length === 1));
    sender.setMulticastLoopback(false);
    members[2]?.dropMembership(group);
    await sent(sender, 'one', 7000, group);
    await until(() => texts[1]?.length === 2);
    sender.setMulticastLoopback(true);
    members[2]?.addMembership(group);
    await sent(sender, 'again', 7000, group);
    await until(() => texts.every((one) => one.at(-1) === 'again'));
    expect(texts).toEqual([
      ['all', 'again'],
      ['all', 'one', 'again'],
      ['all', 'again'],
    ]);
  },
);

test.each([
  { type: 'udp4' as const, group: '232.1.2.3', hosts: ['10.0.0.1', '10.0.0.2', '10.0.0.3'] },
  { type: 'udp6' as const, group: 'ff3e::1:3', hosts: ['fd00::1', 'fd00::2', 'fd00::3'] },
])(
  'of $group those sources are heard that were named, by a socket of either kind',
  async ({ type, group, hosts }) => {
    const url = freshCable();
    const stacks: Stack[] = [];
    for (const host of hosts) {
      stacks.push(await openStack({ url, name: 'eth0', addresses: [`${host}/24`] }));
    }
    const [own, first, second] = stacks as [Stack, Stack, Stack];
    const member = await bound(own, type, 7000);
    const texts: string[] = [];
    member.on('message', (message) => texts.push(String(message)));
    const senders = [await bound(first, type), await bound(second, type)];
    const says = async (text: string) => {
      for (const [index, sender] of senders.entries()) {
        await sent(sender, `${text} ${index + 1}`, 7000, group);
      }
    };
    const [, one, two] = hosts as [string, string, string];
    const filtered = () => own.counters().drops.udp_source_filtered ?? 0;
    member.addSourceSpecificMembership(one, group, type === 'udp4' ? hosts[0] : '::%eth0');
    await says('named');
    await until(() => texts.length === 1 && filtered() === 1);
    member.addSourceSpecificMembership(two, group);
    await says('both');
    await until(() => texts.length === 3);
    member.dropSourceSpecificMembership(one, group);
    await says('other');
    await until(() => texts.length === 4 && filtered() === 2);
    expect(texts.sort()).toEqual(['both 1', 'both 2', 'named 1', 'other 2']);
    member.close();

    const socket = own.socket('udp').bind({ port: 7000 });
    expect(socket.addSourceSpecificMembership(two, group, 'eth0')).toBe(socket);
    await says('socket');
    await poll([{ fd: socket.fd, events: POLLIN }], 5000);
    expect(socket.recvFrom(Buffer.alloc(100))).toMatchObject({ bytes: 8, address: two });
    await until(() => filtered() === 3);
    expect(socket.recvFrom(Buffer.alloc(100))).toBe(null);
    expect(thrownBy(() => socket.addSourceSpecificMembership(two, group))).toMatchObject({
      code: 'EADDRNOTAVAIL',
      syscall: 'addSourceSpecificMembership',
      message: expect.stringContaining(`source ${two} of group ${group}`),
    });
    socket.dropSourceSpecificMembership(two, group);
    expect(thrownBy(() => socket.dropSourceSpecificMembership(two, group))).toMatchObject({
      code: 'EINVAL',
      syscall: 'dropSourceSpecificMembership',
    });
    socket.close();
  },
);

test('a group goes out by the interface that is chosen for groups', async () => {
  const [left, right] = [freshCable(), freshCable()];
  const stack = await Stack.open({
    links: [
      { url: left, name: 'left', dad: false, addresses: ['10.1.0.1/24', 'fd01::1/64'] },
      { url: right, name: 'right', dad: false, addresses: ['10.2.0.1/24', 'fd02::1/64'] },
    ],
  });
  onTestFinished(() => stack.close());
  const there = await openStack({ url: right, addresses: ['10.2.0.2/24', 'fd02::2/64'] });
  for (const [type, group, by, port] of [
    ['udp4', '239.1.2.3', '10.2.0.1', 7004],
    ['udp6', 'ff05::1:3', '::%right', 7006],
  ] as const) {
    const member = await bound(there, type, port);
    member.addMembership(group);
    const sender = await bound(stack, type);
    sender.setMulticastInterface(by);
    sender.setMulticastTTL(3);
    const message = heard(member);
    sender.send('right', port, group);
    expect((await message).from.address).toBe(type === 'udp4' ? '10.2.0.1' : 'fd02::1');
  }
});

test('a broadcast needs setBroadcast(), and then all hear it', async () => {
  const { near, far } = await twoStacks();
  const server = await bound(far, 'udp4', 7000);
  const client = await bound(near);
  expect(await sent(client, 'x', 7000, '255.255.255.255')).toMatchObject({ code: 'EACCES' });
  client.setBroadcast(true);
  for (const to of ['255.255.255.255', '10.0.0.255']) {
    const message = heard(server);
    expect(await sent(client, 'all', 7000, to)).toBe(3);
    expect((await message).text).toBe('all');
  }
});

/** Calls about sources of a group in every state that a membership has, and up to its limit. */
function sourceCalls(
  group: string,
  by: string,
  source: (number: number) => string,
): [string, ...unknown[]][] {
  const add = (number: number) =>
    ['addSourceSpecificMembership', source(number), group, by] as [string, ...unknown[]];
  const drop = (number: number) =>
    ['dropSourceSpecificMembership', source(number), group, by] as [string, ...unknown[]];
  const join: [string, ...unknown[]] = ['addMembership', group, by];
  const leave: [string, ...unknown[]] = ['dropMembership', group, by];
  const many = Array.from({ length: 66 }, (_, index) => add(index + 1));
  return [
    drop(1),
    ...[add(1), add(1), add(2), join, drop(9), drop(1), drop(1), drop(2), drop(2)],
    // The whole group, then a source of it.
    ...[join, drop(1), add(1), join, drop(1), drop(1), leave],
    ...[join, add(1), leave, leave, drop(1)],
    ...[...many, drop(1), add(70), add(71), leave],
  ];
}

test('what is refused, and how, is as over the kernel', async () => {
  const stack = await openStack({ addresses: ['10.0.0.1/24'] });
  const calls: [string, ...unknown[]][] = [
    ['address'],
    ['setBroadcast', true],
    ['setTTL', 0],
    ['setTTL', 256],
    ['setTTL', 5],
    ['setTTL', 'x'],
    ['setMulticastTTL', -1],
    ['setMulticastTTL', 256],
    ['setMulticastTTL', 0],
    ['setMulticastLoopback', false],
    ['setMulticastInterface', 'x'],
    ['setMulticastInterface', ''],
    ['setMulticastInterface', '127.0.0.1'],
    ['setMulticastInterface', '0.0.0.0'],
    ['setMulticastInterface', '192.0.2.9'],
    ['setMulticastInterface', '::'],
    ['setRecvBufferSize', 2 ** 31],
    ['setSendBufferSize', 2 ** 32],
    ['setRecvBufferSize', 10_000],
    ['getSendQueueSize'],
    ['getSendQueueCount'],
    ['addSourceSpecificMembership', 'x', '224.0.0.114'],
    ['addSourceSpecificMembership', '::1', '224.0.0.114'],
    ['dropSourceSpecificMembership', '127.0.0.1', 'x'],
    ['addMembership', 'x'],
    ['addMembership', '127.0.0.1'],
    ['dropMembership', '127.0.0.1'],
    ['dropMembership', '224.0.0.114', '127.0.0.1'],
    ['addMembership', '224.0.0.114', 'x'],
    ['addMembership', '224.0.0.114', ''],
    ['addMembership', '224.0.0.114', '192.0.2.9'],
    ['dropMembership', '224.0.0.114', '192.0.2.9'],
    ['addMembership', '224.0.0.114', '127.0.0.1'],
    ['addMembership', '224.0.0.114', '127.0.0.1'],
    ['dropMembership', '224.0.0.114', '127.0.0.1'],
    ['dropMembership', '224.0.0.114', '127.0.0.1'],
    ['addMembership', '::1'],
    ['addMembership', 'ff02::114', '::%lo'],
    ['addMembership', 'ff02::114', '::%lo'],
    ['dropMembership', 'ff02::114', '::%lo'],
    ['dropMembership', 'ff02::114', '::%lo'],
    ...sourceCalls('232.1.1.1', '127.0.0.1', (number) => `127.0.0.${number}`),
    ...sourceCalls('ff3e::114', '::%lo', (number) => `fd00::${number}`),
    ['addSourceSpecificMembership', '127.0.0.1', '127.0.0.1', '127.0.0.1'],
    ['dropSourceSpecificMembership', '127.0.0.1', '127.0.0.1', '127.0.0.1'],
    ['addSourceSpecificMembership', '::1', '::1', '::%lo'],
    ['dropSourceSpecificMembership', '::1', '::1', '::%lo'],
    ['addSourceSpecificMembership', '127.0.0.1', '232.1.1.1', '192.0.2.9'],
    ['dropSourceSpecificMembership', '127.0.0.1', '232.1.1.1', '192.0.2.9'],
    ['addSourceSpecificMembership', '127.0.0.1', '232.1.1.1', '::1'],
    ['addSourceSpecificMembership', '127.0.0.1', 'ff3e::114', '::%lo'],
    ['addSourceSpecificMembership', '0.0.0.0', '232.1.1.1', '127.0.0.1'],
    ['dropSourceSpecificMembership', '0.0.0.0', '232.1.1.1', '127.0.0.1'],
    ['addSourceSpecificMembership', 'fe80::1%lo', 'ff3e::114%lo', '::%lo'],
    ['dropSourceSpecificMembership', 'fe80::1', 'ff3e::114', '::%lo'],
  ];
  const run = async (on: { dgram: Pick<typeof dgram, 'createSocket'> }) => {
    const places = {
      'not bound': keep(on.dgram.createSocket('udp4')),
      udp4: await bound(on, 'udp4', 0, '127.0.0.1'),
      udp6: await bound(on, 'udp6', 0, '::1'),
    };
    const results: unknown[] = [];
    for (const [place, socket] of Object.entries(places)) {
      for (const [method, ...args] of calls) {
        const result = outcome(() => untyped(socket)[method](...args));
        // Ports differ, and in the end each call has bound a socket.
        const known = method === 'address' ? (result as { code?: string }).code : result;
        results.push([place, method, args, known]);
      }
    }
    return results;
  };
  expect(await run(stack)).toEqual(await run({ dgram }));
});

test('what cannot be sent, bound or connected says so as over the kernel', async () => {
  const stack = await openStack({ addresses: ['10.0.0.1/24'] });
  const run = async (on: { dgram: Pick<typeof dgram, 'createSocket'> }) => {
    const four = await bound(on, 'udp4', 0, '127.0.0.1');
    const six = await bound(on, 'udp6', 0, '::1');
    const failure = async (start: (socket: dgram.Socket) => void, options = untyped('udp4')) => {
      const socket = keep(on.dgram.createSocket(options));
      start(socket);
      const [error] = await once(socket, 'error');
      const { port } = four.address();
      const { message, code, errno, syscall, address } = error as NodeJS.ErrnoException & {
        address?: string;
      };
      return [
        message.replace(`${port}`, 'PORT'),
        code,
        errno,
        syscall,
        address,
        outcome(() => socket.address().address),
      ];
    };
    const cleaned = async (socket: dgram.Socket, ...args: unknown[]) => {
      const { message, code, errno, syscall } = (await sent(
        socket,
        ...args,
      )) as NodeJS.ErrnoException;
      return { message, code, errno, syscall };
    };
    return [
      await cleaned(four, 'x', 9, '::1'),
      await cleaned(six, 'x', 9, '127.0.0.1'),
      await cleaned(six, 'x', 9, '::ffff:127.0.0.1'),
      await cleaned(await bound(on), 'x', 9, '255.255.255.255'),
      await cleaned(four, Buffer.alloc(65508), 9, '127.0.0.1'),
      await failure((socket) => socket.bind(four.address().port, '127.0.0.1')),
      await failure((socket) => socket.bind(0, '192.0.2.9')),
      await failure((socket) => socket.bind(0), { type: 'udp4', ipv6Only: true }),
      await failure((socket) => socket.bind(0, '::1')),
      await failure((socket) => socket.connect(9, '255.255.255.255')),
      // Joining a group binds.
      await failure((socket) => {
        socket.addMembership('224.0.0.114', '127.0.0.1');
        socket.bind(0);
      }).then((all) => all.slice(0, 5)),
    ];
  };
  expect(await run(stack)).toEqual(await run({ dgram }));
});

test('reusePort is not to be had', async () => {
  const stack = await openStack({ addresses: ['10.0.0.1/24'] });
  const { _handle } = untyped(stack.dgram.createSocket('udp4'));
  expect(_handle.bind('0.0.0.0', 0, 8)).toBe(-constants.errno.ENOTSUP);
  _handle.close();
});

test('buffer sizes of options and calls hold, and what does not fit is dropped and counted', async () => {
  const { near, far } = await twoStacks();
  const server = await bound(
    far,
    { type: 'udp4', recvBufferSize: 4096, sendBufferSize: 8192 },
    7000,
  );
  expect([server.getRecvBufferSize(), server.getSendBufferSize()]).toEqual([4096, 8192]);
  expect(server.getOption('receiveBuffer')).toBe(4096);
  const client = await bound(near);
  let count = 0;
  server.on('message', () => count++);
  const before = far.counters().drops.udp_queue_full ?? 0;
  for (let i = 0; i < 20; i++) client.send(Buffer.alloc(1000), 7000, '10.0.0.2');
  await until(() => (far.counters().drops.udp_queue_full ?? 0) > before);
  await until(
    () => count > 0 && count + (far.counters().drops.udp_queue_full ?? 0) - before === 20,
  );
  server.setRecvBufferSize(100_000);
  expect(server.getRecvBufferSize()).toBe(100_000);
});

test('many messages come in order, promises and ticks between any two', async () => {
  const { near, far } = await twoStacks();
  const server = await bound(far, 'udp4', 7000);
  const client = await bound(near);
  const order: string[] = [];
  server.on('message', (message) => {
    order.push(`${message}`);
    process.nextTick(() => order.push(`tick ${message}`));
    Promise.resolve().then(() => order.push(`promise ${message}`));
  });
  for (let i = 0; i < 100; i++) client.send(`${i}`, 7000, '10.0.0.2');
  await until(() => order.length === 300);
  expect(order).toEqual(
    Array.from({ length: 100 }, (_, i) => [`${i}`, `tick ${i}`, `promise ${i}`]).flat(),
  );
});

test('close in a message ends the messages', async () => {
  const { near, far } = await twoStacks();
  const server = await bound(far, 'udp4', 7000);
  const client = await bound(near);
  let count = 0;
  server.on('message', () => {
    count++;
    server.close();
  });
  client.send('one', 7000, '10.0.0.2');
  client.send('two', 7000, '10.0.0.2');
  await once(server, 'close');
  await new Promise((resolve) => setImmediate(resolve));
  expect(count).toBe(1);
  expect(thrownBy(() => server.close()).code).toBe('ERR_SOCKET_DGRAM_NOT_RUNNING');
  expect(server.fd).toBe(-1);
  expect(thrownBy(() => server.getOption('hopLimit')).code).toBe('EBADF');
});

test("a socket's descriptor can be waited for, and its options are those of the stack", async () => {
  const { near, far } = await twoStacks();
  const server = far.dgram.createSocket('udp4');
  keep(server);
  server.bind(7000);
  await once(server, 'listening');
  server.removeAllListeners('message');
  const client = await bound(near);
  client.setTTL(9);
  expect(client.getOption('hopLimit')).toBe(9);
  expect(client.setOption('trafficClass', 16)).toBe(client);
  client.send('x', 7000, '10.0.0.2');
  await new Promise<void>((resolve) => process.nextTick(resolve));
  const entry = { fd: server.fd, events: POLLIN, revents: 0 };
  expect(poll([entry], 20_000)).toBe(1);
  expect(entry.revents).toBe(POLLIN);
});

test('a signal closes a socket, also one that has aborted before', async () => {
  const stack = await openStack({ addresses: ['10.0.0.1/24'] });
  const controller = new AbortController();
  const socket = await bound(stack, { type: 'udp4', signal: controller.signal });
  controller.abort();
  await once(socket, 'close');
  const early = stack.dgram.createSocket({ type: 'udp4', signal: AbortSignal.abort() });
  await once(early, 'close');
  expect(stack.sockets()).toEqual([]);
});

test.runIf(untyped(dgram.Socket.prototype)[Symbol.asyncDispose] !== undefined)(
  'a socket is disposed of by closing it',
  async () => {
    const stack = await openStack({ addresses: ['10.0.0.1/24'] });
    const socket = await bound(stack);
    await untyped(socket)[Symbol.asyncDispose]();
    expect(thrownBy(() => socket.address()).code).toBe('ERR_SOCKET_DGRAM_NOT_RUNNING');
  },
);

test('async context is that in which a socket was made, as over the kernel', async () => {
  const { near, far } = await twoStacks();
  const storage = new AsyncLocalStorage<string>();
  const run = async (server: dgram.Socket, client: dgram.Socket, address: string) => {
    const seen: unknown[] = [];
    const message = new Promise<void>((resolve) => {
      server.on('message', () => {
        seen.push(storage.getStore());
        resolve();
      });
    });
    storage.run('send', () => {
      client.send('x', server.address().port, address, () => seen.push(storage.getStore()));
    });
    await message;
    await until(() => seen.length === 2);
    return seen.sort();
  };
  const over = async (on: { dgram: Pick<typeof dgram, 'createSocket'> }, address?: string) =>
    storage.run('made', () => bound(on, 'udp4', 0, address));
  const stacks = await run(await over(far), await over(near), '10.0.0.2');
  const kernel = await run(
    await over({ dgram }, '127.0.0.1'),
    await over({ dgram }, '127.0.0.1'),
    '127.0.0.1',
  );
  expect(stacks).toEqual(['made', 'send']);
  expect(stacks).toEqual(kernel);
});

test('the close of a stack closes its sockets', async () => {
  const stack = await openStack({ addresses: ['10.0.0.1/24'] });
  const one = await bound(stack);
  const idle = stack.dgram.createSocket('udp4');
  const closed = [once(one, 'close'), once(idle, 'close')];
  await stack.close();
  await Promise.all(closed);
  expect(thrownBy(() => one.address()).code).toBe('ERR_SOCKET_DGRAM_NOT_RUNNING');
  expect(thrownBy(() => stack.dgram.createSocket('udp4'))).toMatchObject({
    code: 'EBADF',
    syscall: 'socket',
  });
});

test('a stack that closes in a listener, while more datagrams wait and with more to send, is no error', async () => {
  const stack = await openStack({ addresses: ['10.0.0.1/24'] });
  const one = await bound(stack);
  const { port } = one.address();
  const errors: Error[] = [];
  one.on('error', (error) => errors.push(error));
  const sent = new Promise<Error | null>((resolve) => {
    one.once('message', () => {
      void stack.close();
      one.send('late', port, '10.0.0.1', resolve);
    });
  });
  const closed = once(one, 'close');
  for (const text of ['first', 'second']) one.send(text, port, '10.0.0.1');
  await closed;
  expect(errors).toEqual([]);
  expect(await sent).toMatchObject({ code: 'ECANCELED' });
});

test('wrong arguments are refused as by node:dgram', async () => {
  const stack = await openStack();
  for (const value of ['udp5', undefined, null, 5, {}, { type: 'udp4', lookup: 5 }]) {
    const call = (on: { createSocket: unknown }) => outcome(() => untyped(on).createSocket(value));
    expect(call(stack.dgram)).toEqual(call(dgram));
  }
  expect(stack.sockets()).toEqual([]);
});

test('a stack.dgram.Socket is a dgram.Socket, with no more properties to be seen', async () => {
  const stack = await openStack();
  const socket = keep(new stack.dgram.Socket('udp4'));
  expect(socket).toBeInstanceOf(dgram.Socket);
  expect(Object.keys(socket)).toEqual(Object.keys(keep(dgram.createSocket('udp4'))));
  expect(Object.keys(Object.getPrototypeOf(socket))).toEqual([]);
});

test('subclasses of before ES6 and of ES6 are sockets of the stack', async () => {
  const stack = await openStack();
  const { dgram: on } = stack;
  type Open = (this: object, type: string) => void;
  function Old(this: object) {
    (on.Socket as unknown as Open).call(this, 'udp4');
  }
  inherits(Old, on.Socket);
  class New extends on.Socket {}
  const old = keep(new (Old as unknown as new () => StackDatagramSocket)());
  const one = keep(new New('udp4'));
  for (const [socket, Class] of [
    [old, Old],
    [one, New],
  ] as const) {
    expect(socket).toBeInstanceOf(Class);
    expect(socket).toBeInstanceOf(dgram.Socket);
    socket.bind(0);
    await once(socket, 'listening');
  }
  expect(stack.sockets()).toHaveLength(2);
  expect([on.Socket.name, on.Socket.length]).toEqual([dgram.Socket.name, dgram.Socket.length]);
});

test("a handle or descriptor that is given stays with the host's sockets", async () => {
  const stack = await openStack({ addresses: ['10.0.0.1/24'] });
  const host = await bound({ dgram }, 'udp4', 0, '127.0.0.1');
  const socket = keep(stack.dgram.createSocket('udp4'));
  const address = host.address();
  const state = Object.getOwnPropertySymbols(host).find(
    (one) => one.description === 'state symbol',
  );
  const { handle } = untyped(host)[state as symbol];
  untyped(host)[state as symbol].handle = null;
  const listening = once(socket, 'listening');
  socket.bind(handle);
  await listening;
  expect(socket.address()).toEqual(address);
  expect(socket.fd).toBe(-1);
  const message = heard(socket);
  expect(await sent(socket, 'x', address.port, '127.0.0.1')).toBe(1);
  expect((await message).text).toBe('x');
  const other = keep(stack.dgram.createSocket('udp4'));
  expect(thrownBy(() => other.bind(untyped({ fd: 1 }))).code).toBe('ERR_INVALID_FD_TYPE');
});

test('a socket keeps the process until unref() or close()', async () => {
  const run = (end: string) => runProgram(['node', `${root}/test/ts/programs/dgram-ends.mjs`, end]);
  expect(await run('close')).toMatchObject({ code: 0, stdout: 'listening\nclosed\n' });
  expect(await run('unref')).toMatchObject({ code: 0, stdout: 'listening\n' });
  expect(await run('unbound')).toMatchObject({ code: 0, stdout: 'unbound\n' });
  expect(await run('message')).toMatchObject({ code: 0, stdout: 'listening\nmessage x\n' });
});

test("with vpollnet/register, a program's node:dgram is the stack's", async () => {
  const program = `${root}/test/ts/programs/dgram-registered.mjs`;
  const env = { VPOLLNET: `--link ${freshCable()} --address 10.0.0.2/24` };
  const ended = await runProgram(['node', '--import', 'vpollnet/register', program], { env });
  expect(ended).toMatchObject({ code: 0, stdout: 'true true\nhello from 10.0.0.2\n' });
});
