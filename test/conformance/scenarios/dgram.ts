// SPDX-License-Identifier: MIT
//
// node:dgram: how sockets are bound and connected, what they send and receive, and what they refuse.

import type { Socket } from 'node:dgram';
import type { AddressInfo } from 'node:net';
import { inherits } from 'node:util';
import { area, type Scene, untyped } from '../harness/scenario.js';

export const datagrams = area('dgram', 'dgram');
const { scenario } = datagrams;

/** A watched socket of that name, bound to the loopback. Its port has its name. */
async function bound(scene: Scene, name: string, type: 'udp4' | 'udp6' = 'udp4'): Promise<Socket> {
  const socket = scene.watch(scene.dgram.createSocket(type), name);
  socket.bind(0, type === 'udp4' ? scene.host : scene.host6);
  await scene.seen(socket, 'listening');
  scene.log.namePort(socket.address().port, name);
  return socket;
}

const portOf = (socket: Socket) => socket.address().port;

scenario('a socket is bound by port and address', async ({ dgram, watch, seen, log, host }) => {
  const socket = watch(dgram.createSocket('udp4'), 'socket');
  const returned = socket.bind(0, host, () => log.note('socket', 'callback'));
  log.note('socket', 'returns itself', returned === socket);
  await seen(socket, 'listening');
  log.note('socket', 'address', socket.address());
});

scenario('a socket is bound by options', async ({ dgram, watch, seen, log, host, host6 }) => {
  const four = watch(dgram.createSocket({ type: 'udp4' }), 'four');
  four.bind({ port: 0, address: host, exclusive: true });
  const six = watch(dgram.createSocket({ type: 'udp6' }), 'six');
  six.bind({ port: 0, address: host6 });
  await Promise.all([seen(four, 'listening'), seen(six, 'listening')]);
  log.note('four', 'address', four.address());
  log.note('six', 'address', six.address());
});

scenario('a socket is bound to all addresses by default', async ({ dgram, watch, seen, log }) => {
  const four = watch(dgram.createSocket('udp4'), 'four');
  four.bind();
  const six = watch(dgram.createSocket('udp6'), 'six');
  six.bind(() => log.note('six', 'callback'));
  await Promise.all([seen(four, 'listening'), seen(six, 'listening')]);
  log.note('four', 'address', four.address());
  log.note('six', 'address', six.address());
});

scenario('a socket is bound to localhost', async ({ dgram, watch, seen, log }) => {
  const socket = watch(dgram.createSocket('udp4'), 'socket');
  socket.bind(0, 'localhost');
  await seen(socket, 'listening');
  log.note('socket', 'address', socket.address());
});

scenario('a subclass of before ES6 calls the constructor on its own object', async (scene) => {
  const { dgram, watch, seen, log, host } = scene;
  function Own(this: object) {
    untyped(dgram.Socket).call(this, 'udp4');
  }
  inherits(Own, dgram.Socket);
  const socket = watch(new (untyped(Own))() as Socket, 'socket');
  socket.bind(0, host);
  await seen(socket, 'listening');
  log.note('socket', 'is its own', socket instanceof Own, socket.constructor === Own);
});

scenario('a listener of the constructor gets the messages', async (scene) => {
  const { dgram, watch, seen, log, host } = scene;
  const receiver = watch(
    dgram.createSocket('udp4', (message, from) => {
      log.note('listener', 'message', message, from.address, from.size);
    }),
    'receiver',
  );
  receiver.bind(0, host);
  await seen(receiver, 'listening');
  const sender = await bound(scene, 'sender');
  sender.send('hello', portOf(receiver), host);
  await seen(receiver, 'message');
});

scenario('a message says where it is from', async (scene) => {
  const { seen, host, host6 } = scene;
  const receiver = await bound(scene, 'receiver');
  const sender = await bound(scene, 'sender');
  sender.send(Buffer.from('to IPv4'), portOf(receiver), host);
  await seen(receiver, 'message');
  const receiver6 = await bound(scene, 'receiver 6', 'udp6');
  const sender6 = await bound(scene, 'sender 6', 'udp6');
  sender6.send(Buffer.from('to IPv6'), portOf(receiver6), host6);
  await seen(receiver6, 'message');
});

scenario('messages keep their order and their limits', async (scene) => {
  const { seen, host } = scene;
  const receiver = await bound(scene, 'receiver');
  const sender = await bound(scene, 'sender');
  for (const text of ['one', 'two', '', 'four', 'x'.repeat(1000)]) {
    await new Promise((resolve) => sender.send(text, portOf(receiver), host, resolve));
  }
  await seen(receiver, 'message', 5);
});

scenario('send takes each of its forms', async (scene) => {
  const { log, seen, host } = scene;
  const receiver = await bound(scene, 'receiver');
  const sender = await bound(scene, 'sender');
  const port = portOf(receiver);
  const forms: unknown[][] = [
    ['a string', port, host],
    [Buffer.from('a buffer'), port, host],
    [new Uint8Array([0x75, 0x38]), port, host],
    [new Uint16Array([1, 2]), port, host],
    [new DataView(new ArrayBuffer(3)), port, host],
    [['an ', 'array ', Buffer.from('of parts')], port, host],
    [[], port, host],
    [Buffer.from('offset and length'), 7, 3, port, host],
    ['offset and length', 7, 3, port, host],
    [Buffer.from('to localhost by default'), port],
    [Buffer.from('with an offset to localhost'), 0, 4, port],
  ];
  let count = 0;
  for (const form of forms) {
    await new Promise<void>((resolve) => {
      untyped(sender).send(...form, (error: Error | null, bytes: number) => {
        log.note('sender', 'sent', error, bytes);
        resolve();
      });
    });
    count += 1;
    await seen(receiver, 'message', count);
  }
});

scenario('send binds a socket that is not bound', async (scene) => {
  const { dgram, watch, seen, log, host } = scene;
  const receiver = await bound(scene, 'receiver');
  const sender = watch(dgram.createSocket('udp4'), 'sender');
  log.outcome('sender', 'address before', () => sender.address());
  sender.send('one', portOf(receiver), host);
  sender.send('two', portOf(receiver), host);
  await seen(receiver, 'message', 2);
  log.note('sender', 'bound to', sender.address().address, sender.address().port > 0);
});

scenario('a connected socket sends without an address', async (scene) => {
  const { seen, log, host } = scene;
  const receiver = await bound(scene, 'receiver');
  const sender = await bound(scene, 'sender');
  log.outcome('sender', 'remoteAddress before', () => sender.remoteAddress());
  sender.connect(portOf(receiver), host, () => log.note('sender', 'callback'));
  await seen(sender, 'connect');
  log.note('sender', 'remoteAddress', sender.remoteAddress());
  sender.send('plain');
  await seen(receiver, 'message');
  sender.send(Buffer.from('with a length'), 0, 4);
  await seen(receiver, 'message', 2);
  sender.send(['in ', 'parts'], (error, bytes) => log.note('sender', 'sent', error, bytes));
  await seen(receiver, 'message', 3);
});

scenario('a connected socket may not be given an address', async (scene) => {
  const { seen, log, host } = scene;
  const receiver = await bound(scene, 'receiver');
  const sender = await bound(scene, 'sender');
  sender.connect(portOf(receiver), host);
  log.outcome('sender', 'connect while connecting', () => sender.connect(1, host));
  await seen(sender, 'connect');
  log.outcome('sender', 'connect again', () => sender.connect(1, host));
  log.outcome('sender', 'send to', () => sender.send('x', 1, host));
  sender.disconnect();
  log.outcome('sender', 'remoteAddress', () => sender.remoteAddress());
  log.outcome('sender', 'disconnect again', () => sender.disconnect());
  sender.send('free again', portOf(receiver), host);
  await seen(receiver, 'message');
});

scenario('a connected socket hears its peer alone', async (scene) => {
  const { seen, host } = scene;
  const peer = await bound(scene, 'peer');
  const other = await bound(scene, 'other');
  const socket = await bound(scene, 'socket');
  socket.connect(portOf(peer), host);
  await seen(socket, 'connect');
  await new Promise((resolve) => other.send('not heard', portOf(socket), host, resolve));
  await new Promise((resolve) => peer.send('heard', portOf(socket), host, resolve));
  await seen(socket, 'message');
});

scenario('a connected socket is told that nobody is there', async (scene) => {
  const { seen, host } = scene;
  const gone = await bound(scene, 'gone');
  const port = portOf(gone);
  gone.close();
  const socket = await bound(scene, 'socket');
  socket.connect(port, host);
  await seen(socket, 'connect');
  socket.send('anybody?');
  await seen(socket, 'error');
});

scenario('connect to a name that is not found is an error', async (scene) => {
  const { log, seen } = scene;
  const lookup = untyped((_host: string, _options: object, callback: CallableFunction) => {
    setImmediate(() => callback(Object.assign(new Error('not found'), { code: 'ENOTFOUND' })));
  });
  const socket = scene.watch(scene.dgram.createSocket({ type: 'udp4', lookup }), 'socket');
  socket.connect(1, 'a.example');
  await seen(socket, 'error');
  log.outcome('socket', 'remoteAddress', () => socket.remoteAddress());
});

scenario('send uses the lookup of the options', async (scene) => {
  const { log, seen, host } = scene;
  const receiver = await bound(scene, 'receiver');
  const lookup = untyped((name: string, options: object, callback: CallableFunction) => {
    log.note('lookup', 'asked', name, options);
    setImmediate(() => callback(null, host, 4));
  });
  const sender = scene.watch(scene.dgram.createSocket({ type: 'udp4', lookup }), 'sender');
  sender.send('by name', portOf(receiver), 'a.example');
  await seen(receiver, 'message');
});

scenario('a lookup that fails is an error of send', async (scene) => {
  const { seen } = scene;
  const lookup = untyped((_name: string, _options: object, callback: CallableFunction) => {
    setImmediate(() => callback(Object.assign(new Error('not found'), { code: 'ENOTFOUND' })));
  });
  const sender = scene.watch(scene.dgram.createSocket({ type: 'udp4', lookup }), 'sender');
  sender.send('x', 1, 'a.example');
  await seen(sender, 'error');
});

scenario('an empty message arrives', async (scene) => {
  const { seen, host } = scene;
  const receiver = await bound(scene, 'receiver');
  const sender = await bound(scene, 'sender');
  sender.send('', portOf(receiver), host);
  sender.send(Buffer.alloc(0), portOf(receiver), host);
  await seen(receiver, 'message', 2);
});

scenario('the largest message arrives', async (scene) => {
  const { seen, log, host } = scene;
  const receiver = await bound(scene, 'receiver');
  const sender = await bound(scene, 'sender');
  const large = Buffer.alloc(65507, 'large');
  sender.send(large, portOf(receiver), host, (...args) => log.note('sender', 'sent', ...args));
  await seen(receiver, 'message');
});

scenario('a message that is too large is refused', async (scene) => {
  const { log, host } = scene;
  const receiver = await bound(scene, 'receiver');
  const sender = await bound(scene, 'sender');
  const large = Buffer.alloc(65508);
  await new Promise<void>((resolve) => {
    sender.send(large, portOf(receiver), host, (error) => {
      log.note('sender', 'callback', error);
      resolve();
    });
  });
});

scenario('a port that another socket has is in use', async (scene) => {
  const { dgram, watch, seen, log, host } = scene;
  const first = await bound(scene, 'first');
  const second = watch(dgram.createSocket('udp4'), 'second');
  second.bind(portOf(first), host, () => log.note('second', 'callback'));
  await seen(second, 'error');
  log.outcome('second', 'address', () => second.address());
});

scenario('a port is shared by reuseAddr', async (scene) => {
  const { dgram, watch, seen, log, host } = scene;
  const first = watch(dgram.createSocket({ type: 'udp4', reuseAddr: true }), 'first');
  first.bind(0, host);
  await seen(first, 'listening');
  const second = watch(dgram.createSocket({ type: 'udp4', reuseAddr: true }), 'second');
  second.bind(portOf(first), host);
  await seen(second, 'listening');
  log.note('second', 'same port', portOf(first) === portOf(second));
});

scenario('an address of somebody else is not available', async ({ dgram, watch, seen }) => {
  const socket = watch(dgram.createSocket('udp4'), 'socket');
  socket.bind(0, '192.0.2.9');
  await seen(socket, 'error');
});

scenario('ipv6Only leaves IPv4 to another socket', async (scene) => {
  const { dgram, watch, seen, log } = scene;
  const six = watch(dgram.createSocket({ type: 'udp6', ipv6Only: true }), 'six');
  six.bind(0, '::');
  await seen(six, 'listening');
  const four = watch(dgram.createSocket('udp4'), 'four');
  four.bind(portOf(six), '0.0.0.0');
  await seen(four, 'listening');
  log.note('four', 'same port', portOf(four) === portOf(six));
});

scenario('a udp6 socket on :: hears IPv4 under a mapped address', async (scene) => {
  const { dgram, watch, seen, host } = scene;
  const six = watch(dgram.createSocket('udp6'), 'six');
  six.bind(0, '::');
  await seen(six, 'listening');
  const sender = await bound(scene, 'sender');
  sender.send('mapped', portOf(six), host);
  await seen(six, 'message');
});

scenario('wrong arguments of createSocket are thrown', async ({ dgram, log, track }) => {
  const wrong: unknown[] = ['udp5', undefined, null, 5, {}, { type: 'udp' }];
  const options = { type: 'udp4' };
  wrong.push({ ...options, recvBufferSize: 'x' }, { ...options, sendBufferSize: 'x' });
  wrong.push({ ...options, lookup: 'x' }, { ...options, signal: 'x' });
  for (const value of wrong) {
    log.outcome('calls', JSON.stringify(value) ?? 'undefined', () => {
      return track(dgram.createSocket(untyped(value))) instanceof dgram.Socket;
    });
  }
});

scenario('wrong arguments of bind are thrown', async ({ dgram, log, watch, seen, host }) => {
  const wrong: Record<string, unknown[]> = {
    'a negative port': [-1, host],
    'a port that is too large': [65536, host],
    'a port that is a word': ['http', host],
  };
  for (const [what, args] of Object.entries(wrong)) {
    const socket = watch(dgram.createSocket('udp4'), what);
    log.outcome(what, 'bind', () => untyped(socket).bind(...args) === socket);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const socket = watch(dgram.createSocket('udp4'), 'twice');
  socket.bind(0, host);
  log.outcome('twice', 'bind while binding', () => socket.bind(0, host) === socket);
  await seen(socket, 'listening');
  log.outcome('twice', 'bind again', () => socket.bind(0, host) === socket);
});

scenario('wrong arguments of send are thrown', async (scene) => {
  const { log, host } = scene;
  const socket = await bound(scene, 'socket');
  const bytes = Buffer.from('hello');
  const wrong: Record<string, unknown[]> = {
    nothing: [],
    'a number': [5, 1, host],
    'an object': [{}, 1, host],
    'an array of numbers': [[1, 2], 1, host],
    'no port': [bytes],
    'port zero': [bytes, 0, host],
    'a negative port': [bytes, -1, host],
    'a port that is too large': [bytes, 65536, host],
    'an offset that is too large': [bytes, 10, 1, 1, host],
    'a length that is too large': [bytes, 0, 10, 1, host],
    'a negative offset': [bytes, -1, 1, 1, host],
    'an address that is a number': [bytes, 1, 5],
    'an address that is an object': [bytes, 1, {}],
  };
  for (const [what, args] of Object.entries(wrong)) {
    log.outcome('socket', what, () => untyped(socket).send(...args));
  }
});

scenario('wrong ports of connect are thrown', async (scene) => {
  const { log, host } = scene;
  const socket = await bound(scene, 'socket');
  for (const port of [0, -1, 65536, 'http', undefined, null]) {
    log.outcome('socket', `connect ${port}`, () => socket.connect(untyped(port), host));
  }
});

scenario('a closed socket does nothing more', async (scene) => {
  const { log, closed, host } = scene;
  const socket = await bound(scene, 'socket');
  log.note(
    'socket',
    'returns itself',
    socket.close(() => log.note('socket', 'callback')) === socket,
  );
  const calls: Record<string, () => unknown> = {
    close: () => socket.close(),
    address: () => socket.address(),
    remoteAddress: () => socket.remoteAddress(),
    send: () => socket.send('x', 1, host),
    bind: () => socket.bind(),
    connect: () => socket.connect(1, host),
    disconnect: () => socket.disconnect(),
    setBroadcast: () => socket.setBroadcast(true),
    setTTL: () => socket.setTTL(5),
    getRecvBufferSize: () => socket.getRecvBufferSize(),
    ref: () => socket.ref() === socket,
    unref: () => socket.unref() === socket,
  };
  for (const [what, call] of Object.entries(calls)) log.outcome('socket', what, call);
  await closed(socket);
  for (const [what, call] of Object.entries(calls)) log.outcome('socket', `${what} later`, call);
});

scenario('a socket that was never bound closes', async ({ dgram, watch, closed }) => {
  const socket = watch(dgram.createSocket('udp4'), 'socket');
  socket.close();
  await closed(socket);
});

scenario('close in the turn of bind emits no listening', async ({ dgram, watch, closed, host }) => {
  const socket = watch(dgram.createSocket('udp4'), 'socket');
  socket.bind(0, host);
  socket.close();
  await closed(socket);
});

scenario('close in the listener of message ends the messages', async (scene) => {
  const { closed, host, log } = scene;
  const receiver = await bound(scene, 'receiver');
  const sender = await bound(scene, 'sender');
  receiver.on('message', () => receiver.close());
  const port = portOf(receiver);
  sender.send('one', port, host);
  sender.send('two', port, host);
  await closed(receiver);
  await scene.turn();
  log.note('receiver', 'messages', log.count(receiver, 'message'));
});

scenario('options need a bound socket, and the right values', async (scene) => {
  const { dgram, log, watch } = scene;
  const fresh = watch(dgram.createSocket('udp4'), 'fresh');
  const ready = await bound(scene, 'bound');
  for (const [where, socket] of [
    ['fresh', fresh],
    ['bound', ready],
  ] as const) {
    const calls: [string, unknown[]][] = [
      ['setBroadcast', [true]],
      ['setBroadcast', [false]],
      ['setTTL', [64]],
      ['setTTL', [0]],
      ['setTTL', [256]],
      ['setTTL', ['x']],
      ['setTTL', []],
      ['setMulticastTTL', [1]],
      ['setMulticastTTL', [256]],
      ['setMulticastTTL', ['x']],
      ['setMulticastLoopback', [true]],
      ['setMulticastLoopback', [false]],
      ['setMulticastInterface', ['127.0.0.1']],
      ['setMulticastInterface', ['x']],
      ['setMulticastInterface', [5]],
    ];
    for (const [method, args] of calls) {
      log.outcome(where, `${method} ${args}`, () => untyped(socket)[method](...args));
    }
  }
});

scenario('membership of a group needs its address', async (scene) => {
  const { log } = scene;
  const socket = await bound(scene, 'socket');
  for (const method of ['addMembership', 'dropMembership']) {
    for (const args of [[], ['x'], ['127.0.0.1'], [5], ['224.0.0.114', 'x']]) {
      log.outcome('socket', `${method} ${args}`, () => untyped(socket)[method](...args));
    }
  }
  for (const method of ['addSourceSpecificMembership', 'dropSourceSpecificMembership']) {
    for (const args of [
      [],
      ['x'],
      ['127.0.0.1', 'x'],
      ['::1', '224.0.0.114'],
      [5, 'x'],
      ['x', 5],
    ]) {
      log.outcome('socket', `${method} ${args}`, () => untyped(socket)[method](...args));
    }
  }
});

scenario('a group is joined once and left once', async (scene) => {
  const { log, host } = scene;
  const socket = await bound(scene, 'socket');
  const group = '224.0.0.114';
  log.outcome('socket', 'leave', () => socket.dropMembership(group, host));
  log.outcome('socket', 'join', () => socket.addMembership(group, host));
  log.outcome('socket', 'join again', () => socket.addMembership(group, host));
  log.outcome('socket', 'leave', () => socket.dropMembership(group, host));
  log.outcome('socket', 'leave again', () => socket.dropMembership(group, host));
});

scenario('a source of a group is joined once and left once', async (scene) => {
  const { log, host, host6 } = scene;
  for (const [name, type, group, source, by] of [
    ['four', 'udp4', '232.1.1.114', host, host],
    ['six', 'udp6', 'ff3e::114', host6, '::%lo'],
  ] as const) {
    const socket = await bound(scene, name, type);
    const join = () => socket.addSourceSpecificMembership(source, group, by);
    const leave = () => socket.dropSourceSpecificMembership(source, group, by);
    log.outcome(name, 'leave', leave);
    log.outcome(name, 'join', join);
    log.outcome(name, 'join again', join);
    log.outcome(name, 'join all', () => socket.addMembership(group, by));
    log.outcome(name, 'leave', leave);
    log.outcome(name, 'leave again', leave);
    log.outcome(name, 'join all', () => socket.addMembership(group, by));
    log.outcome(name, 'join', join);
    log.outcome(name, 'leave all', () => socket.dropMembership(group, by));
    log.outcome(name, 'leave', leave);
  }
});

scenario('a group is heard from the sources that were named', async (scene) => {
  const { dgram, watch, seen, host } = scene;
  const group = '232.1.1.114';
  const receiver = watch(dgram.createSocket('udp4'), 'receiver');
  receiver.bind(0);
  await seen(receiver, 'listening');
  const sender = await bound(scene, 'sender');
  sender.setMulticastInterface(host);
  const send = (text: string) =>
    new Promise((resolve) => {
      sender.send(text, portOf(receiver), group, resolve);
    });
  receiver.addSourceSpecificMembership('127.0.0.99', group, host);
  await send('before');
  receiver.addSourceSpecificMembership(host, group, host);
  await send('named');
  receiver.dropSourceSpecificMembership(host, group, host);
  await send('dropped');
  receiver.dropMembership(group, host);
  receiver.addMembership(group, host);
  await send('all');
  await seen(receiver, 'message', 2);
});

scenario('buffer sizes need a bound socket and a number', async (scene) => {
  const { dgram, log, watch } = scene;
  const fresh = watch(dgram.createSocket('udp4'), 'fresh');
  const ready = await bound(scene, 'bound');
  for (const [where, socket] of [
    ['fresh', fresh],
    ['bound', ready],
  ] as const) {
    log.outcome(where, 'getRecvBufferSize', () => socket.getRecvBufferSize() > 0);
    log.outcome(where, 'getSendBufferSize', () => socket.getSendBufferSize() > 0);
    for (const size of [-1, 'x', 1.5, Infinity, undefined]) {
      log.outcome(where, `setRecvBufferSize ${size}`, () =>
        socket.setRecvBufferSize(untyped(size)),
      );
      log.outcome(where, `setSendBufferSize ${size}`, () =>
        socket.setSendBufferSize(untyped(size)),
      );
    }
    log.outcome(where, 'set', () => {
      socket.setRecvBufferSize(20_000);
      return socket.getRecvBufferSize() >= 20_000;
    });
  }
});

scenario('buffer sizes of the options hold', async ({ dgram, watch, seen, log, host }) => {
  const options = { type: 'udp4', recvBufferSize: 30_000, sendBufferSize: 40_000 } as const;
  const socket = watch(dgram.createSocket(options), 'socket');
  socket.bind(0, host);
  await seen(socket, 'listening');
  log.note('socket', 'holds', socket.getRecvBufferSize() >= 30_000);
  log.note('socket', 'holds', socket.getSendBufferSize() >= 40_000);
});

scenario('the send queue is empty when all is sent', async (scene) => {
  const { log, host, seen } = scene;
  const receiver = await bound(scene, 'receiver');
  const sender = await bound(scene, 'sender');
  log.note('sender', 'queue', sender.getSendQueueSize(), sender.getSendQueueCount());
  await new Promise((resolve) => sender.send('x', portOf(receiver), host, resolve));
  log.note('sender', 'queue', sender.getSendQueueSize(), sender.getSendQueueCount());
  await seen(receiver, 'message');
});

scenario('a signal closes a socket', async ({ dgram, watch, seen, closed, host, log }) => {
  const controller = new AbortController();
  const options = { type: 'udp4', signal: controller.signal } as const;
  const socket = watch(dgram.createSocket(options), 'socket');
  socket.bind(0, host);
  await seen(socket, 'listening');
  controller.abort();
  await closed(socket);
  log.outcome('socket', 'address', () => socket.address());
});

scenario('a signal that has aborted before closes the socket', async ({ dgram, watch, closed }) => {
  const options = { type: 'udp4', signal: AbortSignal.abort() } as const;
  await closed(watch(dgram.createSocket(options), 'socket'));
});

scenario('a socket is disposed of by closing it', async (scene) => {
  const { log } = scene;
  const socket = await bound(scene, 'socket');
  const dispose = Symbol.asyncDispose ?? Symbol.for('nodejs.asyncDispose');
  await untyped(socket)[dispose]();
  log.outcome('socket', 'address', () => socket.address());
});

scenario('ref and unref give the socket back', async ({ dgram, watch, log, host, seen }) => {
  const socket = watch(dgram.createSocket('udp4'), 'socket');
  log.note('socket', 'before', socket.unref() === socket, socket.ref() === socket);
  socket.bind(0, host);
  await seen(socket, 'listening');
  log.note('socket', 'after', socket.unref() === socket, socket.ref() === socket);
});

scenario('sends that overlap arrive with their callbacks', async (scene) => {
  const { log, host, seen } = scene;
  const receiver = await bound(scene, 'receiver');
  const sender = await bound(scene, 'sender');
  for (let i = 0; i < 20; i += 1) {
    sender.send(`message ${i}`, portOf(receiver), host, (error, bytes) => {
      log.note(`callback ${i}`, 'sent', error, bytes);
    });
  }
  await seen(receiver, 'message', 20);
  await scene.turn();
});

scenario('an echo answers to the address of its message', async (scene) => {
  const { seen, host } = scene;
  const server = await bound(scene, 'server');
  server.on('message', (message, from) => server.send(message, from.port, from.address));
  const client = await bound(scene, 'client');
  client.send('echo', (server.address() as AddressInfo).port, host);
  await seen(client, 'message');
});
