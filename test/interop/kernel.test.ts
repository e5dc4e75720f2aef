// SPDX-License-Identifier: MIT
//
// Our stack and the Linux kernel on two ends of a TAP: with its offloads, without, and on a TUN.

import { createHash } from 'node:crypto';
import dgram from 'node:dgram';
import { once } from 'node:events';
import net from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { POLLERR, POLLHUP, POLLIN, POLLOUT, Stack, WOULD_BLOCK } from '../../ts/index.js';
import {
  connect,
  families,
  ip,
  kernelServer,
  makeDevice,
  material,
  openStack,
  pinged,
  ready,
  receiveAll,
  removeDevice,
  sendAll,
  sh,
} from './support.js';

const megabytes = process.env.VPOLLNET_SANITIZED ? 10 : 100;

const settings = [
  { name: 'a TAP with offloads', device: 'tap0', mode: 'tap', offloads: true },
  { name: 'a TAP without offloads', device: 'tap1', mode: 'tap', offloads: false },
  { name: 'a TUN', device: 'tun0', mode: 'tun', offloads: true },
] as const;

describe.each(settings)('on $name', ({ device, mode, offloads }) => {
  let stack: Stack;
  beforeAll(async () => {
    makeDevice(device, mode);
    stack = await openStack(`${mode}://${device}`, offloads);
  });
  afterAll(async () => {
    await stack.close();
    removeDevice(device);
  });

  describe.each(families)('over $family', ({ kernel, stack: own }) => {
    test('the kernel pings us', async () => {
      await pinged(own, 3);
    });

    test('large pings come back in fragments', async () => {
      await pinged(own, 2, '-s', '4000');
    });

    test('we ping the kernel', async () => {
      const socket = stack.socket('icmp');
      socket.connect({ host: kernel });
      socket.send('are you there?');
      await ready(socket, POLLIN);
      expect(socket.read()?.toString()).toBe('are you there?');
      socket.close();
    });

    test(`${megabytes} MB go to the kernel whole`, async () => {
      const { piece, digest } = material(megabytes);
      const hash = createHash('sha256');
      let finished = (_: string) => {};
      const result = new Promise<string>((resolve) => {
        finished = resolve;
      });
      const server = await kernelServer(kernel, (socket) => {
        socket.on('data', (data) => hash.update(data));
        socket.on('end', () => {
          finished(hash.digest('hex'));
          socket.end();
        });
      });
      const socket = await connect(stack, kernel, server.port);
      for (let i = 0; i < megabytes; i += 1) await sendAll(socket, piece);
      socket.shutdown('write');
      expect(await result).toBe(digest);
      expect(await receiveAll(socket, () => {})).toBe(0);
      socket.close();
      await server.close();
    });

    test(`${megabytes} MB come from the kernel whole`, async () => {
      const { piece, digest } = material(megabytes);
      const listener = stack.socket('tcp').bind({ host: own, port: 7001 }).listen();
      const client = net.connect({ host: own, port: 7001 });
      await ready(listener, POLLIN);
      const socket = listener.accept();
      if (socket === null) throw new Error('no connection');
      const hash = createHash('sha256');
      const received = receiveAll(socket, (data) => hash.update(data));
      for (let i = 0; i < megabytes; i += 1) {
        if (!client.write(piece)) await once(client, 'drain');
      }
      client.end();
      expect(await received).toBe(megabytes * piece.length);
      expect(hash.digest('hex')).toBe(digest);
      socket.close();
      listener.close();
      client.destroy();
    });

    test('datagrams go both ways, large ones in fragments', async () => {
      const peer = dgram.createSocket(kernel.includes(':') ? 'udp6' : 'udp4');
      peer.bind(0, kernel);
      await once(peer, 'listening');
      const socket = stack.socket('udp').bind({ host: own, port: 5353 });
      for (const size of [0, 1, 1400, 1500, 9000, 60_000]) {
        const data = Buffer.alloc(size, size & 0xff);
        const arrived = once(peer, 'message');
        socket.sendTo(data, { host: kernel, port: peer.address().port });
        const [message, from] = (await arrived) as [Buffer, dgram.RemoteInfo];
        expect(message.equals(data)).toBe(true);
        expect(from.address).toBe(own);
        expect(from.port).toBe(5353);
        peer.send(data, 5353, own);
        await ready(socket, POLLIN);
        const back = socket.recvFrom(Buffer.alloc(65536));
        expect(back).toMatchObject({ size });
      }
      socket.close();
      peer.close();
    });

    test('stack.dgram and node:dgram hear each other, by address and in a group', async () => {
      const isIpv6 = kernel.includes(':');
      const group = isIpv6 ? 'ff05::1:3' : '239.1.2.3';
      const options = { type: isIpv6 ? 'udp6' : 'udp4', reuseAddr: true } as const;
      const theirs = dgram.createSocket(options);
      const ours: dgram.Socket = stack.dgram.createSocket(options);
      const ends = [
        { socket: theirs, address: kernel, by: isIpv6 ? `::%${device}` : kernel },
        { socket: ours, address: own, by: isIpv6 ? '::' : own },
      ];
      for (const { socket, by } of ends) {
        const listening = once(socket, 'listening');
        socket.bind(7000);
        await listening;
        socket.setMulticastInterface(by);
        socket.setMulticastLoopback(false);
        socket.addMembership(group, by);
      }
      for (const [from, to] of [ends, [...ends].reverse()] as (typeof ends)[]) {
        for (const destination of [to?.address, group]) {
          const arrived = once(to?.socket as dgram.Socket, 'message');
          from?.socket.send('hello', 7000, destination);
          const [message, sender] = await arrived;
          expect([`${message}`, sender]).toMatchObject(['hello', { port: 7000, size: 5 }]);
          // To a group, the kernel may prefer its link-local address.
          if (destination !== group) expect(sender.address).toBe(from?.address);
        }
      }
      theirs.close();
      ours.close();
    });

    test('a port that nobody listens on refuses, in both directions', async () => {
      const socket = stack.socket('tcp');
      socket.connect({ host: kernel, port: 9 });
      expect(await ready(socket, POLLOUT)).toBeGreaterThan(0);
      expect(socket.error).toMatchObject({ code: 'ECONNREFUSED', syscall: 'connect', port: 9 });
      socket.close();
      const client = net.connect({ host: own, port: 9 });
      const [error] = (await once(client, 'error')) as [NodeJS.ErrnoException];
      expect(error.code).toBe('ECONNREFUSED');
      const datagram = stack.socket('udp');
      datagram.connect({ host: kernel, port: 9 });
      datagram.send('anyone?');
      expect((await ready(datagram, POLLIN)) & POLLERR).toBe(POLLERR);
      expect(() => datagram.recv(Buffer.alloc(1))).toThrow(
        expect.objectContaining({ code: 'ECONNREFUSED' }),
      );
      datagram.close();
    });

    test('half-close: each side ends its direction by itself', async () => {
      const server = await kernelServer(kernel, (socket) => {
        const pieces: Buffer[] = [];
        socket.on('data', (data) => pieces.push(data));
        socket.on('end', () => socket.end(`you said ${Buffer.concat(pieces)}`));
      });
      const socket = await connect(stack, kernel, server.port);
      socket.send('hello');
      socket.shutdown('write');
      const pieces: Buffer[] = [];
      await receiveAll(socket, (piece) => pieces.push(Buffer.from(piece)));
      expect(Buffer.concat(pieces).toString()).toBe('you said hello');
      expect(() => socket.send('more')).toThrow(expect.objectContaining({ code: 'EPIPE' }));
      socket.close();
      await server.close();
    });

    test('a reset from the kernel is ECONNRESET, and one of ours is too', async () => {
      const server = await kernelServer(kernel, (socket) => {
        socket.once('data', () => socket.resetAndDestroy());
      });
      const socket = await connect(stack, kernel, server.port);
      socket.send('now');
      expect((await ready(socket, POLLIN)) & (POLLERR | POLLHUP)).toBe(POLLERR | POLLHUP);
      expect(() => socket.recv(Buffer.alloc(1))).toThrow(
        expect.objectContaining({ code: 'ECONNRESET' }),
      );
      socket.close();
      await server.close();

      const listener = stack.socket('tcp').bind({ host: own, port: 7002 }).listen();
      const client = net.connect({ host: own, port: 7002 });
      await ready(listener, POLLIN);
      const accepted = listener.accept();
      accepted?.setOption('linger', 0).close();
      const [error] = (await once(client, 'error')) as [NodeJS.ErrnoException];
      expect(error.code).toBe('ECONNRESET');
      listener.close();
    });

    test('a full window stops the sender, and opens again', async () => {
      let peer: net.Socket | undefined;
      const server = await kernelServer(kernel, (socket) => {
        peer = socket;
        socket.pause();
      });
      const socket = await connect(stack, kernel, server.port);
      const piece = Buffer.alloc(64 * 1024, 7);
      let sent = 0;
      for (let idle = 0; idle < 3; ) {
        const taken = socket.send(piece);
        if (taken === WOULD_BLOCK) {
          idle += 1;
          await new Promise((resolve) => setTimeout(resolve, 100));
        } else {
          sent += taken;
          idle = 0;
        }
        expect(sent).toBeLessThan(64 * 1024 * 1024);
      }
      await new Promise((resolve) => setTimeout(resolve, 500)); // some zero-window probes
      let received = 0;
      peer?.on('data', (data) => {
        received += data.length;
      });
      peer?.resume();
      await ready(socket, POLLOUT);
      socket.shutdown('write');
      await once(peer as net.Socket, 'end');
      expect(received).toBe(sent);
      socket.close();
      await server.close();
    });

    test('200 connections at once, all echoed', async () => {
      const server = await kernelServer(kernel, (socket) => socket.pipe(socket));
      const sockets = await Promise.all(
        Array.from({ length: 200 }, () => connect(stack, kernel, server.port)),
      );
      sockets.forEach((socket, index) => {
        socket.send(`number ${index}`);
        socket.shutdown('write');
      });
      const answers = await Promise.all(
        sockets.map(async (socket) => {
          let text = '';
          await receiveAll(socket, (piece) => {
            text += piece;
          });
          socket.close();
          return text;
        }),
      );
      expect(answers).toEqual(sockets.map((_, index) => `number ${index}`));
      await server.close();
    });
  });

  test('a host that is not there is EHOSTUNREACH', async () => {
    const socket = stack.socket('tcp');
    socket.connect({ host: '10.0.0.77', port: 80 });
    if (mode === 'tun') {
      // Without an address resolution nobody can say so; the connection is still on its way.
      expect(socket.state).toBe('SYN-SENT');
    } else {
      await ready(socket, POLLOUT);
      expect(socket.error).toMatchObject({ code: 'EHOSTUNREACH', address: '10.0.0.77' });
    }
    socket.close();
  });
});

describe('a peer that vanishes', () => {
  test('is ETIMEDOUT after the user timeout', async () => {
    makeDevice('tap2', 'tap');
    const stack = await openStack('tap://tap2');
    try {
      const server = await kernelServer('10.0.0.1', (socket) => socket.resume());
      const socket = await connect(stack, '10.0.0.1', server.port);
      socket.setOption('userTimeout', 800);
      await sh('ip', 'link', 'set', 'tap2', 'down');
      socket.send('into the void');
      await ready(socket, POLLIN);
      expect(socket.error?.code).toMatch(/ETIMEDOUT|EHOSTUNREACH/);
      socket.close();
      await server.close();
    } finally {
      await stack.close();
      removeDevice('tap2');
    }
  });

  test('a device that is deleted takes down its link, not the process', async () => {
    makeDevice('tap3', 'tap');
    const stack = await openStack('tap://tap3');
    const down = once(stack, 'linkdown');
    removeDevice('tap3');
    const [event] = await down;
    expect(event).toMatchObject({ url: 'tap://tap3' });
    await stack.close();
  });

  test('a device that is deleted is made anew where `reconnect` asks for it', async () => {
    makeDevice('tap4', 'tap');
    const stack = await Stack.open({
      links: [{ url: 'tap://tap4', addresses: ['10.0.4.2/24'], reconnect: true, ipv6: false }],
    });
    try {
      const down = once(stack, 'linkdown');
      const up = once(stack, 'linkup');
      removeDevice('tap4');
      await down;
      await up;
      ip('address', 'add', '10.0.4.1/24', 'dev', 'tap4');
      ip('link', 'set', 'tap4', 'up');
      await pinged('10.0.4.2', 2);
    } finally {
      await stack.close();
    }
  });
});
