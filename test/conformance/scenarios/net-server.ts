// SPDX-License-Identifier: MIT
//
// net.Server: how it listens, what it refuses, and how it ends.

import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { area, untyped } from '../harness/scenario.js';

export const netServer = area('net', 'net: servers');
const { scenario } = netServer;

scenario('a server listens by port and host', async ({ server: open, seen, log, host }) => {
  const server = open();
  log.state(server, 'when made');
  log.note('server', 'address', server.address());
  log.note('server', 'returns itself', server.listen(0, host) === server);
  log.note('server', 'at once', server.listening, server.address());
  await seen(server, 'listening');
  log.state(server, 'listening');
  log.note('server', 'address', server.address());
});

scenario('a server listens with a callback', async ({ server: open, seen, log, host }) => {
  const server = open();
  server.listen(0, host, function (this: unknown) {
    log.note('server', 'callback', this === server);
  });
  await seen(server, 'listening');
});

scenario('a server listens with a backlog', async ({ server: open, seen, log, host }) => {
  const one = open({}, 'one');
  one.listen(0, host, 5, () => log.note('one', 'callback'));
  const two = open({}, 'two');
  two.listen({ port: 0, host, backlog: 1 });
  await Promise.all([seen(one, 'listening'), seen(two, 'listening')]);
  log.note('two', 'address', two.address());
});

scenario('a server listens on all addresses by default', async (scene) => {
  const { server: open, net, watch, seen, log, over, host, host6 } = scene;
  const server = open();
  server.on('connection', (socket) => {
    log.note(`from ${socket.remoteFamily}`, 'ends', socket.remoteAddress, socket.localAddress);
    socket.end();
  });
  server.listen();
  await seen(server, 'listening');
  const { port } = server.address() as AddressInfo;
  log.note('server', 'address', server.address());
  watch(net.connect({ port, host }), 'client').resume();
  await seen(server, 'connection');
  watch(net.connect({ port, host: host6 }), 'client 6').resume();
  await seen(server, 'connection', 2);
  await over();
});

scenario('a server on :: for IPv6 only leaves IPv4 alone', async (scene) => {
  const { server: open, net, watch, seen, log, over, host, host6 } = scene;
  const server = open();
  server.on('connection', (socket) => socket.end());
  server.listen({ port: 0, host: '::', ipv6Only: true });
  await seen(server, 'listening');
  const { port } = server.address() as AddressInfo;
  log.namePort(port, 'server');
  log.note('server', 'address', server.address());
  watch(net.connect({ port, host }), 'client');
  watch(net.connect({ port, host: host6 }), 'client 6').resume();
  await over();
});

scenario('two servers share a port by family', async (scene) => {
  const { server: open, seen, log, host } = scene;
  const six = open({}, 'six');
  six.listen({ port: 0, host: '::', ipv6Only: true });
  await seen(six, 'listening');
  const four = open({}, 'four');
  four.listen((six.address() as AddressInfo).port, host);
  await seen(four, 'listening');
  log.note('four', 'family', (four.address() as AddressInfo).family);
});

scenario('a port that another server has is in use', async (scene) => {
  const { server: open, listen, seen, log, host } = scene;
  const first = open({}, 'first');
  const port = await listen(first);
  const second = open({}, 'second');
  second.listen(port, host);
  await seen(second, 'error');
  log.state(second, 'failed');
  log.note('second', 'address', second.address());
});

scenario('a port that another server has on all addresses is in use', async (scene) => {
  const { server: open, listen, seen, log, host } = scene;
  const first = open({}, 'first');
  const port = await listen(first, '::');
  const same = open({}, 'same');
  same.listen(port);
  const four = open({}, 'four');
  four.listen(port, host);
  const any = open({}, 'any');
  any.listen(port, '0.0.0.0');
  await Promise.all([seen(same, 'error'), seen(four, 'error'), seen(any, 'error')]);
  log.note('first', 'listening', first.listening);
});

scenario('a server that failed to listen listens on another port', async (scene) => {
  const { server: open, listen, seen, log, host } = scene;
  const first = open({}, 'first');
  const port = await listen(first);
  const second = open({}, 'second');
  second.listen(port, host);
  await seen(second, 'error');
  second.listen(0, host);
  await seen(second, 'listening');
  log.note('second', 'address', second.address());
});

scenario('the port of a closed server is free at once', async (scene) => {
  const { server: open, listen, seen, closed, log, host } = scene;
  const { server, client, peer } = await scene.pair();
  const { port } = server.address() as AddressInfo;
  client.resume();
  peer.end();
  await closed(client, peer);
  server.close();
  await closed(server);
  const again = open({}, 'again');
  again.listen(port, host);
  await seen(again, 'listening');
  log.note('again', 'address', again.address());
  void listen;
});

scenario('an address of somebody else is not available', async ({ server: open, seen }) => {
  const server = open();
  server.listen(0, '192.0.2.9');
  await seen(server, 'error');
});

scenario('an IPv6 address of somebody else is not available', async ({ server: open, seen }) => {
  const server = open();
  server.listen(0, '2001:db8::9');
  await seen(server, 'error');
});

scenario('a server listens on another address of the loopback', async (scene) => {
  const { server: open, listen, log, net, watch, seen } = scene;
  const server = open();
  const port = await listen(server, '127.0.0.7');
  log.note('server', 'address', server.address());
  const client = watch(net.connect(port, '127.0.0.7'), 'client');
  await seen(client, 'connect');
  log.note('client', 'ends', client.localAddress, client.remoteAddress);
});

scenario('a server listens on localhost', async ({ server: open, seen, log }) => {
  const server = open();
  server.listen(0, 'localhost');
  await seen(server, 'listening');
  log.note('server', 'has a port', (server.address() as AddressInfo).port > 0);
});

scenario('wrong arguments of listen are thrown', async ({ net, log, track }) => {
  const wrong: Record<string, unknown[]> = {
    'a negative port': [-1],
    'a port that is too large': [65536],
    'a port with a fraction': [1.5],
    'a port that is NaN': [Number.NaN],
    'a port that is an object in options': [{ port: {} }],
    'a port that is a boolean': [{ port: true }],
    'an empty object': [{}],
    'a host alone': [{ host: '127.0.0.1' }],
    'a descriptor below zero': [{ fd: -1 }],
    'a path that is a number': [{ path: 5 }],
    true: [true],
    'a signal that is none': [{ port: 0, signal: 'x' }],
  };
  for (const [what, args] of Object.entries(wrong)) {
    log.outcome('calls', what, () => {
      const server = track(net.createServer());
      server.on('error', () => {});
      untyped(server).listen(...args);
    });
  }
});

scenario('wrong arguments of createServer are thrown', async ({ net, log }) => {
  for (const options of ['path', 5, true, () => {}, null, undefined, {}]) {
    log.outcome('calls', String(options), () => {
      return net.createServer(untyped(options)) instanceof net.Server;
    });
  }
  log.outcome('calls', 'without new', () => untyped(net.Server)() instanceof net.Server);
});

scenario('a second listen throws', async ({ server: open, listen, log, host }) => {
  const server = open();
  await listen(server);
  log.outcome('server', 'listen', () => void server.listen(0, host));
});

scenario('a server listens again after it has closed', async (scene) => {
  const { server: open, listen, closed, seen, log, host } = scene;
  const server = open();
  await listen(server);
  server.close();
  log.note('server', 'address after close', server.address());
  await closed(server);
  server.listen(0, host);
  await seen(server, 'listening', 2);
  log.note('server', 'address', server.address());
});

scenario('a server is exclusive or not', async ({ server: open, seen, log, host }) => {
  for (const exclusive of [true, false]) {
    const server = open({}, `exclusive ${exclusive}`);
    server.listen({ port: 0, host, exclusive });
    await seen(server, 'listening');
    log.note(server, 'address', server.address());
  }
});

scenario('a server listens on the path of a Unix socket', async (scene) => {
  const { server: open, seen, closed, log, track } = scene;
  const folder = mkdtempSync(join(tmpdir(), 'conformance-'));
  track({ close: () => rmSync(folder, { recursive: true, force: true }) });
  log.nameText(folder, '<folder>');
  const path = join(folder, 'socket');
  const server = open();
  server.listen({ path, readableAll: true, writableAll: true });
  await seen(server, 'listening');
  log.note('server', 'mode', (statSync(path).mode & 0o777).toString(8));
  const second = open({}, 'second');
  second.listen(path);
  await seen(second, 'error');
  server.close();
  await closed(server);
});

scenario('what a server accepts on a path is a socket of the module', async (scene) => {
  const { server: open, net, watch, accepted, seen, over, log, track } = scene;
  const folder = mkdtempSync(join(tmpdir(), 'conformance-'));
  track({ close: () => rmSync(folder, { recursive: true, force: true }) });
  const server = open();
  server.listen(join(folder, 'socket'));
  await seen(server, 'listening');
  const client = watch(net.connect(join(folder, 'socket')), 'client');
  client.resume();
  const peer = await accepted(server);
  for (const one of [client, peer]) log.note(one, 'is one', one instanceof net.Socket);
  peer.end('hello');
  await over();
});

scenario('a server listens on the handle of another', async (scene) => {
  const { server: open, net, watch, listen, accepted, seen, over, log, track } = scene;
  const first = open({}, 'first');
  const port = await listen(first);
  const forms = {
    'the server': first,
    'its handle': untyped(first)._handle,
    'its handle as an option': { _handle: untyped(first)._handle },
  };
  for (const [form, given] of Object.entries(forms)) {
    const other = open({}, form, `peer of ${form}`);
    const told = (message: unknown) => {
      if (untyped(message).server === other) log.note(other, 'told of listen');
    };
    subscribe('tracing:net.server.listen:asyncStart', told);
    track({ close: () => unsubscribe('tracing:net.server.listen:asyncStart', told) });
    other.listen(given, 5, () => log.note(other, 'callback', other.listening));
    await seen(other, 'listening');
    log.note(other, 'address', other.address());
    log.outcome(other, 'again', () => other.listen(given));
    watch(net.connect(port, scene.host), `client of ${form}`).resume();
    const peer = await accepted(other);
    log.note(other, 'accepts', peer instanceof net.Socket);
    peer.end('hello');
  }
  first.close();
  await over();
});

scenario('close waits for the connections', async (scene) => {
  const { log, closed } = scene;
  const { server, client, peer } = await scene.pair();
  server.close((error) => log.note('server', 'callback', error));
  log.note('server', 'closing', server.listening, server.address());
  await scene.turn();
  log.note('server', 'closed yet', log.count(server, 'close'));
  client.resume();
  peer.resume();
  client.end();
  await closed(client, peer, server);
});

scenario('a server that is closing takes no more connections', async (scene) => {
  const { log, closed, net, watch, host } = scene;
  const { server, client, peer } = await scene.pair();
  const { port } = server.address() as AddressInfo;
  server.close();
  const late = watch(net.connect(port, host), 'late');
  await closed(late);
  client.destroy();
  peer.resume();
  await closed(client, peer, server);
  log.state(server, 'closed');
});

scenario('close of a server that does not listen is an error', async (scene) => {
  const { server: open, listen, closed, log } = scene;
  const server = open();
  server.close((error) => log.note('server', 'never listened', error));
  await closed(server);
  await listen(server);
  server.close((error) => log.note('server', 'first close', error));
  server.close((error) => log.note('server', 'second close', error));
  await scene.seen(server, 'close', 2);
  await scene.turn();
});

scenario('close in the turn of listen leaves no server', async (scene) => {
  const { server: open, closed, log, host } = scene;
  const server = open();
  server.listen(0, host);
  server.close((error) => log.note('server', 'callback', error));
  await closed(server);
  await scene.turn();
  log.state(server, 'closed');
});

scenario('getConnections counts the connections', async (scene) => {
  const { log, closed } = scene;
  const { server, client, peer } = await scene.pair();
  const count = () =>
    new Promise((resolve) => server.getConnections((error, number) => resolve([error, number])));
  log.note('server', 'connections', await count());
  client.destroy();
  peer.resume();
  await closed(client, peer);
  log.note('server', 'connections', await count());
  server.close();
  await closed(server);
  log.note('server', 'connections', await count());
});

scenario('connections beyond maxConnections are dropped and told', async (scene) => {
  const { server: open, listen, watch, seen, closed, log, host, net } = scene;
  const server = open({}, 'server');
  server.maxConnections = 1;
  const port = await listen(server);
  const first = watch(net.connect(port, host), 'first');
  await seen(first, 'connect');
  await seen(server, 'connection');
  const second = watch(net.connect({ port, host }), 'second');
  second.resume();
  const [data] = await seen(server, 'drop');
  log.note('server', 'dropped', Object.keys(data as object).sort());
  await closed(second);
});

scenario('maxConnections can be lowered and raised', async (scene) => {
  const { server: open, listen, watch, seen, closed, host, net, over } = scene;
  const server = open();
  server.on('connection', (socket) => socket.resume());
  server.maxConnections = 1;
  const port = await listen(server);
  const first = watch(net.connect(port, host), 'first');
  await seen(server, 'connection');
  const second = watch(net.connect(port, host), 'second');
  second.resume();
  await seen(server, 'drop');
  await closed(second);
  server.maxConnections = 2;
  const third = watch(net.connect(port, host), 'third');
  await seen(server, 'connection', 2);
  first.end();
  third.end();
  first.resume();
  third.resume();
  await over();
});

scenario('a signal closes a server', async (scene) => {
  const { server: open, seen, closed, log, host } = scene;
  const controller = new AbortController();
  const server = open();
  server.listen({ port: 0, host, signal: controller.signal });
  await seen(server, 'listening');
  controller.abort();
  await closed(server);
  log.state(server, 'closed');
});

scenario('a signal that has aborted before closes the server as it listens', async (scene) => {
  const { server: open, closed, log, host } = scene;
  const server = open();
  server.listen({ port: 0, host, signal: AbortSignal.abort() });
  await closed(server);
  log.state(server, 'closed');
});

scenario('a server is disposed of by closing it', async (scene) => {
  const { server: open, listen, log } = scene;
  const server = open();
  await listen(server);
  await untyped(server)[Symbol.asyncDispose ?? Symbol.for('nodejs.asyncDispose')]();
  log.state(server, 'disposed of');
  await untyped(server)[Symbol.asyncDispose ?? Symbol.for('nodejs.asyncDispose')]();
  log.state(server, 'disposed of again');
});

scenario('ref and unref give the server back', async ({ server: open, listen, log }) => {
  const server = open();
  log.note('server', 'before', server.unref() === server, server.ref() === server);
  server.unref();
  await listen(server);
  log.note('server', 'after', server.ref() === server, server.unref() === server);
});

scenario('a class of its own extends Server', async (scene) => {
  const { net, watch, listen, over, log, host, seen } = scene;
  class Greeting extends net.Server {
    greeted = 0;
    constructor() {
      super({ noDelay: true });
      this.on('connection', (socket: Socket) => {
        this.greeted += 1;
        socket.end('greetings');
      });
    }
  }
  const server = watch(new Greeting(), 'server');
  const port = await listen(server);
  const client = watch(net.connect(port, host), 'client');
  client.resume();
  await seen(client, 'connect');
  await over();
  log.note('server', 'greeted', server.greeted, server instanceof net.Server);
});

scenario('a server gets its options and its listener', async (scene) => {
  const { net, watch, listen, over, log, host } = scene;
  const server = watch(
    net.createServer({ allowHalfOpen: true, pauseOnConnect: true, keepAlive: true }, (socket) => {
      watch(socket, 'peer');
      log.state(socket, 'accepted');
      log.note('peer', 'its server', untyped(socket).server === server);
      socket.resume();
      socket.end();
    }),
    'server',
  );
  const port = await listen(server);
  const client = watch(net.connect(port, host), 'client');
  client.resume();
  await over();
});

scenario('wrong options of a server are thrown', async ({ net, log }) => {
  const wrong = {
    highWaterMark: [-1, 'x', 1.5],
    noDelay: ['x'],
    keepAlive: [5],
    keepAliveInitialDelay: ['x', -1],
    maxConnections: ['x'],
    blockList: ['x'],
  };
  for (const [name, values] of Object.entries(wrong)) {
    for (const value of values) {
      log.outcome('calls', `${name} ${value}`, () => {
        return net.createServer(untyped({ [name]: value })) instanceof net.Server;
      });
    }
  }
});
