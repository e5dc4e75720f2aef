// SPDX-License-Identifier: MIT
//
// How a connection ends: by FIN, by RST, by destruction, from either side and at each stage.

import type { AddressInfo } from 'node:net';
import { area, untyped } from '../harness/scenario.js';

export const netClose = area('net', 'net: ends of connections');
const { scenario } = netClose;

scenario('end() of the client ends both sides', async (scene) => {
  const { log, closed } = scene;
  const { client, peer } = await scene.pair();
  peer.resume();
  client.resume();
  log.note('client', 'returns itself', client.end() === client);
  log.state(client, 'after end');
  await closed(client, peer);
  log.state(client, 'closed');
  log.state(peer, 'closed');
});

scenario('end() of the server ends both sides', async (scene) => {
  const { log, closed } = scene;
  const { client, peer } = await scene.pair();
  peer.resume();
  client.resume();
  peer.end('goodbye');
  await closed(client, peer);
  log.state(client, 'closed');
  log.state(peer, 'closed');
});

scenario('end() takes data, an encoding and a callback', async (scene) => {
  const { log, closed } = scene;
  const { client, peer } = await scene.pair();
  peer.end(() => log.note('peer', 'callback'));
  client.end('6869', 'hex', () => log.note('client', 'callback'));
  client.resume();
  peer.resume();
  await closed(client, peer);
});

scenario('a second end() is an error of its callback', async (scene) => {
  const { log, closed } = scene;
  const { client, peer } = await scene.pair();
  peer.resume();
  client.resume();
  client.end('once');
  untyped(client).end((error: unknown) => log.note('client', 'second', error));
  await closed(client, peer);
  untyped(client).end((error: unknown) => log.note('client', 'after close', error));
  await scene.turn();
});

scenario('write after end is an error', async (scene) => {
  const { log, closed } = scene;
  const { client, peer } = await scene.pair();
  peer.resume();
  client.end('once');
  log.note(
    'client',
    'write',
    client.write('more', (error) => log.note('client', 'cb', error)),
  );
  await closed(client);
  log.state(client, 'closed');
});

scenario('write after destroy is an error of its callback', async (scene) => {
  const { log, closed } = scene;
  const { client, peer } = await scene.pair();
  peer.resume();
  client.destroy();
  log.note(
    'client',
    'write',
    client.write('more', (error) => log.note('client', 'cb', error)),
  );
  await closed(client, peer);
  log.note(
    'client',
    'write',
    client.write('more', (error) => log.note('client', 'cb', error)),
  );
  await scene.turn();
});

scenario('write after the peer has ended, with both sides half open, arrives', async (scene) => {
  const { log, closed, seen } = scene;
  const { client, peer } = await scene.pair({ server: { allowHalfOpen: true } });
  client.resume();
  peer.resume();
  client.end('question');
  await seen(peer, 'end');
  log.state(peer, 'after the end of the other side');
  peer.end('answer');
  await closed(client, peer);
});

scenario('write after the peer has ended, without half open, is an error', async (scene) => {
  const { log, closed, seen } = scene;
  const { client, peer } = await scene.pair();
  client.resume();
  peer.resume();
  client.end();
  await seen(peer, 'end');
  log.note(
    'peer',
    'write',
    peer.write('late', (error) => log.note('peer', 'callback', error)),
  );
  await closed(client, peer);
});

scenario('a half open client reads on after its end', async (scene) => {
  const { log, closed, seen } = scene;
  const { client, peer } = await scene.pair({
    client: { allowHalfOpen: true },
    server: { allowHalfOpen: true },
  });
  client.end('all that I say');
  peer.resume();
  client.resume();
  await seen(peer, 'end');
  log.state(client, 'half open');
  peer.write('first ');
  peer.write('second');
  peer.end();
  await closed(client, peer);
  log.state(client, 'closed');
});

scenario('a half open socket stays until it ends itself', async (scene) => {
  const { log, closed, seen } = scene;
  const { client, peer } = await scene.pair({ client: { allowHalfOpen: true } });
  client.resume();
  peer.resume();
  peer.end();
  await seen(client, 'end');
  await scene.turn();
  log.state(client, 'after the end');
  client.end();
  await closed(client, peer);
});

scenario('allowHalfOpen can be switched after the connection', async (scene) => {
  const { log, closed, seen } = scene;
  const { client, peer } = await scene.pair();
  client.allowHalfOpen = true;
  client.resume();
  peer.resume();
  peer.end();
  await seen(client, 'end');
  await scene.turn();
  log.state(client, 'after the end');
  client.end('last');
  await closed(client, peer);
});

scenario('destroy without an error closes quietly', async (scene) => {
  const { log, closed } = scene;
  const { client, peer } = await scene.pair();
  peer.resume();
  log.note('client', 'returns itself', client.destroy() === client);
  log.state(client, 'destroyed');
  client.destroy();
  await closed(client, peer);
  log.state(client, 'closed');
});

scenario('destroy with an error tells it', async (scene) => {
  const { log, closed } = scene;
  const { client, peer } = await scene.pair();
  peer.resume();
  client.destroy(new Error('of my own'));
  client.destroy(new Error('too late'));
  await closed(client, peer);
  log.state(client, 'closed');
});

scenario('destroy before the connection is made leaves nothing', async (scene) => {
  const { net, host, watch, closed, log } = scene;
  const server = watch(net.createServer(), 'server', { without: ['connection'] });
  const port = await scene.listen(server);
  const client = watch(net.connect(port, host), 'client');
  client.write('never', (error) => log.note('client', 'callback', error));
  client.destroy();
  log.state(client, 'destroyed');
  await closed(client);
  log.state(client, 'closed');
});

scenario('destroy of a socket that was never connected closes it', async (scene) => {
  const { net, watch, closed, log } = scene;
  const client = watch(new net.Socket(), 'client');
  client.destroy();
  await closed(client);
  log.state(client, 'closed');
});

scenario('destroy in the listener of connect closes at once', async (scene) => {
  const { net, host, watch, closed } = scene;
  const server = watch(net.createServer(), 'server', { without: ['connection'] });
  const port = await scene.listen(server);
  const client = watch(net.connect(port, host), 'client');
  client.on('connect', () => client.destroy());
  await closed(client);
});

scenario('destroy in the listener of connection closes both sides', async (scene) => {
  const { net, host, watch, over } = scene;
  const server = scene.server();
  server.on('connection', (socket) => socket.destroy());
  const port = await scene.listen(server);
  watch(net.connect(port, host), 'client').resume();
  await over();
});

scenario('destroy in the listener of data stops reading', async (scene) => {
  const { log, closed } = scene;
  const { client, peer } = await scene.pair({ events: { without: ['error'] } });
  peer.on('data', () => peer.destroy());
  client.write('x');
  client.resume();
  await closed(client, peer);
  log.note('peer', 'read', peer.bytesRead);
});

scenario('destroySoon sends what is queued', async (scene) => {
  const { log, closed } = scene;
  const { client, peer } = await scene.pair();
  peer.resume();
  client.write('queued ');
  client.write('bytes');
  client.destroySoon();
  log.state(client, 'destroyed soon');
  await closed(client, peer);
  log.state(client, 'closed');
});

scenario('destroySoon after the end closes at once', async (scene) => {
  const { closed, seen } = scene;
  const { client, peer } = await scene.pair();
  peer.resume();
  client.end();
  await seen(client, 'finish');
  client.destroySoon();
  await closed(client, peer);
});

scenario('a reset by the server is an error of the client', async (scene) => {
  const { log, closed } = scene;
  const { client, peer } = await scene.pair();
  client.resume();
  log.note('peer', 'returns itself', peer.resetAndDestroy() === peer);
  log.state(peer, 'reset');
  await closed(client, peer);
  log.state(client, 'closed');
  log.state(peer, 'closed');
});

scenario('a reset by the client is an error of the server', async (scene) => {
  const { log, closed } = scene;
  const { client, peer } = await scene.pair();
  peer.resume();
  client.resetAndDestroy();
  await closed(client, peer);
  log.state(peer, 'closed');
});

scenario('a reset before the connection is made waits for it', async (scene) => {
  const { net, host, watch, closed, log } = scene;
  const server = watch(net.createServer(), 'server', { without: ['connection'] });
  server.on('connection', (socket) => {
    socket.on('error', () => {});
    socket.resume();
  });
  const port = await scene.listen(server);
  const client = watch(net.connect(port, host), 'client');
  client.resetAndDestroy();
  log.state(client, 'reset');
  await closed(client);
  log.state(client, 'closed');
});

scenario('a reset of a socket that was never connected is an error', async (scene) => {
  const { net, watch, closed, log } = scene;
  const client = watch(new net.Socket(), 'client');
  client.resetAndDestroy();
  await closed(client);
  log.state(client, 'closed');
});

scenario('a reset of a socket that has closed does nothing', async (scene) => {
  const { log, closed } = scene;
  const { client, peer } = await scene.pair();
  peer.resume();
  client.destroy();
  await closed(client, peer);
  log.outcome('client', 'reset', () => client.resetAndDestroy() === client);
  await scene.turn();
  log.state(client, 'after it');
});

scenario(
  'bytes that a reset follows are read before it, by a client that was paused',
  async (scene) => {
    const { log, closed } = scene;
    const { client, peer } = await scene.pair({
      // libuv may take the end of a connection that has been reset for that of its bytes.
      events: { without: ['data', 'end', 'prefinish', 'finish', 'error', 'close'] },
    });
    client.pause();
    peer.write('unread', () => peer.resetAndDestroy());
    await closed(peer);
    client.resume();
    await closed(client);
    log.note('client', 'read', client.bytesRead);
  },
);

scenario('writing to a peer that has reset fails', async (scene) => {
  const { closed, log, seen } = scene;
  const { client, peer } = await scene.pair();
  peer.resetAndDestroy();
  await closed(peer);
  const [error] = await seen(client, 'error');
  log.note('client', 'code', (error as NodeJS.ErrnoException).code);
  const written = new Promise((resolve) => client.write('x', resolve));
  log.note('client', 'callback', await written);
});

scenario('writing on and on to a peer that has gone ends in an error', async (scene) => {
  const { log } = scene;
  const { client, peer } = await scene.pair({ events: { without: ['error', 'close', 'drain'] } });
  peer.destroy();
  const codes = ['EPIPE', 'ECONNRESET'];
  const code = await new Promise<string | undefined>((resolve) => {
    client.on('error', (error: NodeJS.ErrnoException) => resolve(error.code));
    client.allowHalfOpen = true;
    const more = () => {
      if (!client.destroyed) client.write('x', () => setImmediate(more));
    };
    more();
  });
  log.note('client', 'is EPIPE or ECONNRESET', codes.includes(String(code)));
});

scenario('bytes that nobody has read make close a reset', async (scene) => {
  const { log, closed, seen } = scene;
  const { client, peer } = await scene.pair({ server: { pauseOnConnect: true } });
  client.resume();
  client.write('unread');
  await scene.turn();
  await scene.turn();
  peer.destroy();
  const [error] = await seen(client, 'error');
  log.note('client', 'code', (error as NodeJS.ErrnoException).code);
  await closed(client, peer);
});

scenario('both sides end at once', async (scene) => {
  const { closed, log } = scene;
  const { client, peer } = await scene.pair();
  client.resume();
  peer.resume();
  client.end('from the client');
  peer.end('from the server');
  await closed(client, peer);
  log.state(client, 'closed');
  log.state(peer, 'closed');
});

scenario('both sides are destroyed at once', async (scene) => {
  const { closed, log } = scene;
  const { client, peer } = await scene.pair();
  client.destroy();
  peer.destroy();
  await closed(client, peer);
  log.state(client, 'closed');
  log.state(peer, 'closed');
});

scenario('an unread end keeps the socket open', async (scene) => {
  const { closed, log, seen } = scene;
  const { client, peer } = await scene.pair();
  client.resume();
  client.end('unread');
  await seen(client, 'finish');
  await scene.turn();
  await scene.turn();
  log.note('peer', 'ended', log.count(peer, 'end'), log.count(peer, 'close'));
  peer.resume();
  await closed(client, peer);
});

scenario('an end is seen by a socket that only writes', async (scene) => {
  const { closed, seen, log } = scene;
  const { client, peer } = await scene.pair();
  peer.end();
  await seen(peer, 'finish');
  client.resume();
  await closed(client, peer);
  log.state(client, 'closed');
});

scenario('addresses of a closed socket are those that were asked before', async (scene) => {
  const { closed, log } = scene;
  const { client, peer } = await scene.pair();
  log.note('client', 'remote', client.remoteAddress, client.remoteFamily);
  client.destroy();
  peer.resume();
  await closed(client, peer);
  log.note('client', 'remote', client.remoteAddress, client.remoteFamily);
  log.note('client', 'local', client.localAddress, client.localFamily, client.localPort);
  log.note('peer', 'remote', peer.remoteAddress, peer.remoteFamily);
});

scenario('the server lives on when its connections are reset', async (scene) => {
  const { server, client, peer } = await scene.pair();
  const { net, watch, host, seen, closed, accepted } = scene;
  peer.resume();
  client.resetAndDestroy();
  await closed(client, peer);
  const { port } = server.address() as AddressInfo;
  const second = watch(net.connect(port, host), 'second');
  await seen(second, 'connect');
  const peer2 = await accepted(server, 2);
  peer2.end('hello');
  second.resume();
  await closed(second, peer2);
});

scenario('twenty connections open and close together', async (scene) => {
  const { net, host, watch, log, over } = scene;
  const server = watch(net.createServer(), 'server', { without: ['connection'] });
  server.on('connection', (socket) => socket.pipe(socket));
  const port = await scene.listen(server);
  for (let i = 0; i < 20; i += 1) {
    const client = watch(net.connect(port, host), `client ${String(i).padStart(2, '0')}`);
    client.resume();
    client.end(`number ${i}`);
  }
  await over();
  const count = await new Promise((resolve) => server.getConnections((_, n) => resolve(n)));
  log.note('server', 'has a count', typeof count);
});

scenario('a signal of the constructor destroys an idle socket', async (scene) => {
  const { net, watch, closed, log } = scene;
  const controller = new AbortController();
  const client = watch(new net.Socket({ signal: controller.signal }), 'client');
  controller.abort();
  await closed(client);
  log.state(client, 'closed');
});
