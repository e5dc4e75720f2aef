// SPDX-License-Identifier: MIT
//
// How a net.Socket is connected: the forms of the call, what is refused, and what a socket is on the way.

import { mkdtempSync, rmSync } from 'node:fs';
import type { NetConnectOpts, Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { area, type Scene, untyped } from '../harness/scenario.js';

export const netConnect = area('net', 'net: connecting');
const { scenario } = netConnect;

/** A server that ends each connection after a greeting. */
async function greeter(scene: Scene, host = scene.host): Promise<{ server: Server; port: number }> {
  const server = scene.server();
  server.on('connection', (socket) => socket.end('hello'));
  const port = await scene.listen(server, host);
  return { server, port };
}

/** A path for a Unix socket, in a folder that goes with the scenario. */
function freshPath({ log, track }: Scene): string {
  const folder = mkdtempSync(join(tmpdir(), 'conformance-'));
  track({ close: () => rmSync(folder, { recursive: true, force: true }) });
  log.nameText(folder, '<folder>');
  return join(folder, 'socket');
}

scenario('a client connects by port and host', async (scene) => {
  const { net, host, watch, log } = scene;
  const { port } = await greeter(scene);
  const client = watch(net.connect(port, host), 'client');
  client.resume();
  log.note('client', 'isSocket', client instanceof net.Socket, client.constructor === net.Socket);
  await scene.over();
});

scenario('the modules have the names of Node, and no others', async ({ world, log }) => {
  for (const name of ['net', 'dgram', 'tls', 'http', 'https', 'http2'] as const) {
    log.note(name, 'names', Object.keys(world[name]).sort().join(' '));
  }
});

scenario('a client connects by options', async (scene) => {
  const { net, host, watch } = scene;
  const { port } = await greeter(scene);
  const client = watch(net.connect({ port, host }), 'client');
  client.resume();
  await scene.over();
});

scenario('createConnection is another name of connect', async (scene) => {
  const { net, host, watch, log } = scene;
  const { port } = await greeter(scene);
  log.note('names', 'same', net.createConnection === net.connect);
  const client = watch(
    net.createConnection({ port, host }, () => log.note('client', 'connected')),
    'client',
  );
  client.resume();
  await scene.over();
});

scenario('a port may be a string of digits', async (scene) => {
  const { net, host, watch } = scene;
  const { port } = await greeter(scene);
  const client = watch(
    net.connect(untyped({ port: String(port), host }) as NetConnectOpts),
    'client',
  );
  client.resume();
  await scene.over();
});

scenario('a port alone means localhost', async (scene) => {
  const { net, watch, seen, log } = scene;
  const { port } = await greeter(scene, '::');
  const client = watch(
    untyped(net.connect)(port, () => log.note('client', 'listener called')) as Socket,
    'client',
    { without: ['lookup', 'connectionAttempt', 'connectionAttemptFailed'] },
  );
  client.resume();
  await seen(client, 'connect');
  await scene.over();
});

scenario('a client connects over IPv6', async (scene) => {
  const { net, host6, watch, log, seen } = scene;
  const { port } = await greeter(scene, host6);
  const client = watch(net.connect({ port, host: host6 }), 'client');
  client.resume();
  await seen(client, 'connect');
  log.state(client, 'connected');
  await scene.over();
});

scenario('a socket that was made before is connected by its method', async (scene) => {
  const { net, host, watch, log } = scene;
  const { port } = await greeter(scene);
  const client = watch(new net.Socket(), 'client');
  const returned = client.connect(port, host, () => log.note('client', 'listener called'));
  log.note('client', 'returns itself', returned === client);
  client.resume();
  await scene.over();
});

scenario('connect takes an array of arguments as net.connect normalises them', async (scene) => {
  const { net, host, watch, closed, log, accepted } = scene;
  const { server, port } = await greeter(scene);
  const client = watch(new net.Socket(), 'client');
  log.outcome('client', 'array', () => client.connect(untyped([port, host])));
  const other = watch(new net.Socket(), 'other');
  other.connect({ port, host });
  other.resume();
  await closed(other, await accepted(server));
});

scenario('a socket is pending, then connecting, then open, then closed', async (scene) => {
  const { net, host, watch, log, seen } = scene;
  const { port } = await greeter(scene);
  const client = watch(new net.Socket(), 'client');
  log.state(client, 'when made');
  client.connect(port, host);
  log.state(client, 'after the call');
  await scene.turn();
  await seen(client, 'connect');
  log.namePort(client.localPort as number, 'client');
  log.state(client, 'connected');
  client.resume();
  await scene.over();
  log.state(client, 'closed');
});

scenario('ready follows connect', async (scene) => {
  const { net, host, watch, seen, log } = scene;
  const { port } = await greeter(scene);
  const client = watch(net.connect(port, host), 'client');
  client.on('connect', () => log.note('client', 'in connect', client.pending, client.connecting));
  client.on('ready', () => log.note('client', 'in ready', client.pending, client.connecting));
  await seen(client, 'ready');
  client.resume();
  await scene.over();
});

for (const form of ['a string', 'options'] as const) {
  scenario(`a client connects to the path of a Unix socket by ${form}`, async (scene) => {
    const { net, watch, closed, seen, log, accepted } = scene;
    const path = freshPath(scene);
    const server = scene.server();
    server.on('connection', (socket) => socket.end('hello'));
    server.listen(form === 'options' ? { path } : (path as unknown as object));
    await seen(server, 'listening');
    log.note('server', 'address', server.address());
    const client = watch(form === 'options' ? net.connect({ path }) : net.connect(path), 'client');
    client.resume();
    const peer = await accepted(server);
    await seen(client, 'connect');
    log.note('client', 'address', client.address(), client.remoteAddress);
    await closed(client, peer);
    server.close();
    await closed(server);
  });
}

scenario('the path of no Unix socket is not found', async (scene) => {
  const { net, watch, closed } = scene;
  const client = watch(net.connect({ path: freshPath(scene) }), 'client');
  await closed(client);
});

scenario('a path longer than a Unix address is invalid', async (scene) => {
  const { net, watch, closed, log, track } = scene;
  const path = `/tmp/${'x'.repeat(200)}`;
  log.nameText(path, '<long path>');
  log.outcome('call', 'connect', () => {
    track(watch(net.connect({ path }), 'client'));
  });
  const late = watch(new net.Socket(), 'late');
  log.outcome('late', 'connect', () => late.connect({ path }) === late);
  await closed(late);
});

scenario('a refused connection over IPv4 says where', async ({ net, host, watch, closed, log }) => {
  const client = watch(net.connect({ port: 1, host }), 'client');
  await closed(client);
  log.state(client, 'closed');
});

scenario(
  'a refused connection over IPv6 says where',
  async ({ net, host6, watch, closed, log }) => {
    const client = watch(net.connect({ port: 1, host: host6 }), 'client');
    await closed(client);
    log.state(client, 'closed');
  },
);

scenario('a refused connection from a local address says both ends', async (scene) => {
  const { net, host, watch, closed } = scene;
  const client = watch(net.connect({ port: 1, host, localAddress: host }), 'client');
  await closed(client);
});

scenario('a refused connection from a local port says both ends', async (scene) => {
  const { net, host, watch, closed } = scene;
  const server = scene.server();
  const port = await scene.listen(server);
  server.close();
  await closed(server);
  const client = watch(
    net.connect({ port: 1, host, localAddress: host, localPort: port }),
    'client',
  );
  await closed(client);
});

scenario(
  'a connection comes from the local address and port that were asked for',
  async (scene) => {
    const { net, host, watch, closed, log, seen, accepted } = scene;
    const { server, port } = await greeter(scene);
    const spare = scene.server({}, 'spare');
    const localPort = await scene.listen(spare, host, 'asked');
    spare.close();
    await closed(spare);
    const client = watch(net.connect({ port, host, localAddress: host, localPort }), 'client');
    client.resume();
    await seen(client, 'connect');
    log.note('client', 'from', client.localAddress, client.localPort === localPort);
    const peer = await accepted(server);
    log.note('peer', 'from', peer.remoteAddress, peer.remotePort === localPort);
    await scene.over();
  },
);

scenario('a connection comes from another address of the loopback', async (scene) => {
  const { net, host, watch, log, seen, accepted } = scene;
  const { server, port } = await greeter(scene);
  const client = watch(net.connect({ port, host, localAddress: '127.0.0.5' }), 'client');
  client.resume();
  await seen(client, 'connect');
  log.note('client', 'from', client.localAddress);
  const peer = await accepted(server);
  log.note('peer', 'from', peer.remoteAddress);
  await scene.over();
});

scenario('a local address of somebody else cannot be bound', async (scene) => {
  const { net, host, watch } = scene;
  const { port } = await greeter(scene);
  watch(net.connect({ port, host, localAddress: '192.0.2.9' }), 'client');
  await scene.over();
});

scenario('a local address of the other family cannot be bound', async (scene) => {
  const { net, host, host6, watch } = scene;
  const { port } = await greeter(scene);
  watch(net.connect({ port, host, localAddress: host6 }), 'client');
  await scene.over();
});

scenario('a local port that a listener holds is in use', async (scene) => {
  const { net, host, watch } = scene;
  const { port } = await greeter(scene);
  watch(net.connect({ port, host, localAddress: host, localPort: port }), 'client');
  await scene.over();
});

scenario('a second connect while the first is under way is told so', async (scene) => {
  const { net, host, watch, closed } = scene;
  const { port } = await greeter(scene);
  const client = watch(net.connect(port, host), 'client');
  client.connect(port, host);
  await closed(client);
});

scenario('wrong arguments of connect are thrown', async ({ net, log, track }) => {
  const wrong: Record<string, unknown[]> = {
    nothing: [],
    'an empty object': [{}],
    null: [null],
    'a negative port': [-1],
    'a port that is too large': [65536],
    'a port that is no number': [{ port: {} }],
    'a port that is a boolean': [{ port: true }],
    'a port with a fraction': [{ port: 1.5 }],
    'a port that is an empty string': [{ port: '' }],
    'a port that is not a number in a string': [{ port: 'http' }],
    'a host that is a number': [{ port: 1, host: 5 }],
    'a local address that is none': [{ port: 1, host: '127.0.0.1', localAddress: 'there' }],
    'a local port that is a string': [{ port: 1, host: '127.0.0.1', localPort: '80' }],
    'a lookup that is no function': [{ port: 1, lookup: 'dns' }],
    'hints that are unknown': [{ port: 1, host: 'x', hints: 1 << 30 }],
    'a family attempt timeout below one': [{ port: 1, autoSelectFamilyAttemptTimeout: 0 }],
    'autoSelectFamily that is no boolean': [{ port: 1, autoSelectFamily: 'yes' }],
    'a path that is a number': [{ path: 5 }],
  };
  for (const [what, args] of Object.entries(wrong)) {
    log.outcome('calls', what, () => {
      const socket = track(untyped(net.connect)(...args));
      socket.on('error', () => {});
      socket.destroy();
    });
  }
});

scenario('wrong options of a socket are thrown', async ({ net, log, track }) => {
  const wrong: Record<string, unknown> = {
    'a descriptor below zero': { fd: -1 },
    'a descriptor that is a string': { fd: '3' },
    'object mode': { objectMode: true },
    'object mode of the reading side': { readableObjectMode: true },
    'object mode of the writing side': { writableObjectMode: true },
    'a signal that is none': { signal: 5 },
    'a number in place of options': 'x',
  };
  for (const [what, options] of Object.entries(wrong)) {
    log.outcome('calls', what, () => void track(new net.Socket(untyped(options))));
  }
});

scenario('a socket may be called without new', async ({ net, log, track }) => {
  const socket = track(untyped(net.Socket)());
  log.note('socket', 'is a Socket', socket instanceof net.Socket);
});

scenario('a socket that has closed connects again', async (scene) => {
  const { net, host, watch, seen, log } = scene;
  const { port } = await greeter(scene);
  const client = watch(new net.Socket(), 'client');
  client.resume();
  client.connect(port, host);
  await seen(client, 'close');
  log.state(client, 'closed');
  client.connect(port, host);
  log.state(client, 'connecting again');
  client.resume();
  await seen(client, 'close', 2);
  await scene.over();
});

scenario('a socket that was refused connects again', async (scene) => {
  const { net, host, watch, seen } = scene;
  const { port } = await greeter(scene);
  const client = watch(new net.Socket(), 'client');
  client.connect(1, host);
  await seen(client, 'close');
  client.connect(port, host);
  client.resume();
  await seen(client, 'close', 2);
  await scene.over();
});

scenario('options of connect set no delay and keep-alive', async (scene) => {
  const { net, host, watch, log } = scene;
  const { port } = await greeter(scene);
  const client = watch(
    net.connect({ port, host, noDelay: true, keepAlive: true, keepAliveInitialDelay: 5000 }),
    'client',
  );
  client.resume();
  await scene.over();
  log.state(client, 'closed');
});

scenario('the timeout option of connect arms the idle timer', async (scene) => {
  const { net, host, watch, seen, log } = scene;
  const server = watch(net.createServer(), 'server', { without: ['connection'] });
  const port = await scene.listen(server);
  const client = watch(net.connect({ port, host, timeout: 50 }), 'client', {
    without: ['connect', 'ready'], // before the timeout, or after it
  });
  log.note('client', 'timeout', client.timeout);
  await seen(client, 'timeout');
});

scenario('a signal that has aborted before leaves nothing to connect', async (scene) => {
  const { net, host, watch, log } = scene;
  const { port } = await greeter(scene);
  const client = watch(net.connect({ port, host, signal: AbortSignal.abort() }), 'client');
  await scene.over();
  log.state(client, 'closed');
});

scenario('a signal ends an attempt to connect', async (scene) => {
  const { net, host, watch, log } = scene;
  const { port } = await greeter(scene);
  const controller = new AbortController();
  const client = watch(net.connect({ port, host, signal: controller.signal }), 'client');
  controller.abort(new Error('enough'));
  await scene.over();
  log.state(client, 'closed');
});

scenario('a signal ends a connection', async (scene) => {
  const { watch, closed, log, net, host, seen, accepted } = scene;
  const server = scene.server();
  const port = await scene.listen(server);
  const controller = new AbortController();
  const client = watch(net.connect({ port, host, signal: controller.signal }), 'client');
  await seen(client, 'connect');
  const peer = await accepted(server);
  peer.resume();
  controller.abort();
  log.state(client, 'aborted');
  await closed(client, peer);
});
