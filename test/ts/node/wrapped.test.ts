// SPDX-License-Identifier: MIT
//
// Node's own TLS, HTTP and HTTP/2, put on sockets of a stack by who does not know what they are; and ends of each
// kind in each phase. C++ reads and writes these sockets: that nothing crashes is what is tested here.

import { once } from 'node:events';
import * as http from 'node:http';
import * as http2 from 'node:http2';
import type { Server, Socket } from 'node:net';
import { Duplex } from 'node:stream';
import * as tls from 'node:tls';
import { expect, test } from 'vitest';
import { type Pair, twoStacks, until, untyped } from '../support.js';
import { certificate, host, listening, textOf } from './support.js';

type Stacks = Pick<Pair, 'near' | 'far'>;

test('tls.connect({ socket }) takes a socket that is connected, one that connects, and one that does not yet', async () => {
  const { near, far } = await twoStacks();
  const { key, cert } = await certificate();
  const [, port] = await listening(
    far.net.createServer((raw) => {
      const socket = new tls.TLSSocket(raw, { isServer: true, key, cert });
      socket.on('error', () => {}).pipe(socket);
    }),
  );
  const connected = near.net.connect(port, host);
  await once(connected, 'connect');
  const connecting = near.net.connect(port, host);
  const later = new near.net.Socket();
  setImmediate(() => later.connect(port, host));
  for (const socket of [connected, connecting, later]) {
    const client = tls.connect({ socket, ca: cert, servername: 'far.test' });
    client.write('written at once, ');
    await once(client, 'secureConnect');
    client.end('and later');
    expect(await textOf(client)).toBe('written at once, and later');
    expect(client.authorized).toBe(true);
  }
});

test('TLS within TLS, and within a stream of JavaScript over a socket of the stack', async () => {
  const { near, far } = await twoStacks();
  const { key, cert } = await certificate();
  const [, port] = await listening(
    far.tls.createServer({ key, cert }, (outer) => {
      const inner = new tls.TLSSocket(outer, { isServer: true, key, cert });
      inner.on('error', () => {}).pipe(inner);
    }),
  );
  const outer = near.tls.connect({ host, port, ca: cert });
  for (const socket of [outer, undefined]) {
    const raw = near.tls.connect({ host, port, ca: cert });
    const way = socket ?? Duplex.from({ readable: raw, writable: raw });
    const client = tls.connect({ socket: untyped(way), ca: cert, servername: 'far.test' });
    client.end('twice');
    expect(await textOf(client)).toBe('twice');
    if (socket) raw.destroy();
  }
});

test('a server of HTTP that is given a socket reads what had come before', async () => {
  const { near, far } = await twoStacks();
  const server = http.createServer((request, response) => response.end(request.url));
  const [, port] = await listening(
    far.net.createServer((socket) => {
      socket.once('readable', () => {
        const first = socket.read();
        socket.unshift(first);
        server.emit('connection', socket);
      });
    }),
  );
  const client = near.net.connect(port, host);
  client.end('GET /unshifted HTTP/1.0\r\n\r\n');
  expect(await textOf(client)).toMatch(/\/unshifted$/);
});

test("a listener of 'data' on the socket of an HTTP server hears the bytes too", async () => {
  const { near, far } = await twoStacks();
  let heard = '';
  const server = far.http.createServer((_, response) => response.end('answer'));
  server.on('connection', (socket) => {
    socket.on('data', (data: Buffer) => {
      heard += data;
    });
  });
  const [, port] = await listening(server);
  const client = near.net.connect(port, host);
  client.end('GET /heard HTTP/1.0\r\n\r\n');
  expect(await textOf(client)).toMatch(/answer$/);
  expect(heard).toBe('GET /heard HTTP/1.0\r\n\r\n');
});

test('what comes for a TLS that is destroyed already goes nowhere', async () => {
  const { near, far } = await twoStacks();
  const [server, port] = await listening(far.tls.createServer(await certificate()));
  const client = quiet(near.tls.connect({ host, port, rejectUnauthorized: false }));
  const [[socket]] = await Promise.all([
    once(server, 'secureConnection'),
    once(client, 'secureConnect'),
  ]);
  untyped(client)._destroySSL();
  await new Promise((resolve) => quiet(socket).write('for nobody', resolve));
  for (let turn = 0; turn < 10; turn += 1) await new Promise(setImmediate);
  client.destroy();
  await once(client, 'close');
});

// Ends in each phase.

/** Numbers from a seed: xorshift32. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

interface Run {
  /** All that can be ended. */
  ends: { destroy(error?: Error): unknown }[];
  sockets: Socket[];
}

const rough = (pems: { key: string; cert: string }) => ({ ...pems, ca: pems.cert });
const body = Buffer.alloc(200_000, 'b');
const quiet = <Emitter extends NodeJS.EventEmitter>(emitter: Emitter): Emitter =>
  emitter.on('error', () => {});

/** Starts an exchange of one kind between two stacks. */
type Kind = (stacks: Stacks, server: Server, port: number, run: Run) => void;

const kinds: Record<
  string,
  { server: (stacks: Stacks, run: Run) => Promise<Server>; client: Kind }
> = {
  tls: {
    server: async ({ far }, run) =>
      far.tls.createServer(await certificate(), (socket) => {
        run.ends.push(quiet(socket));
        socket.pipe(socket);
      }),
    client: ({ near }, _, port, run) => {
      const client = quiet(near.tls.connect({ host, port, rejectUnauthorized: false }));
      run.ends.push(client);
      client.resume().write(body);
      client.end(body);
    },
  },
  wrapped: {
    server: async ({ far }, run) => {
      const pems = await certificate();
      return far.net.createServer((raw) => {
        const socket = quiet(new tls.TLSSocket(quiet(raw), { isServer: true, ...pems }));
        run.ends.push(raw, socket);
        socket.pipe(socket);
      });
    },
    client: ({ near }, _, port, run) => {
      const raw = quiet(near.net.connect(port, host));
      const client = quiet(tls.connect({ socket: raw, rejectUnauthorized: false }));
      run.ends.push(raw, client);
      client.resume().write(body);
      client.end(body);
    },
  },
  http: {
    server: async ({ far }, run) => {
      const server = far.http.createServer((request, response) => {
        run.ends.push(quiet(request), quiet(response), request.socket);
        request.pipe(response);
      });
      return server;
    },
    client: ({ near }, _, port, run) => {
      const agent = new near.http.Agent({ keepAlive: true });
      const request = quiet(near.http.request({ host, port, agent, method: 'POST' }));
      request.on('response', (response) => run.ends.push(quiet(response).resume()));
      run.ends.push(request, agent);
      request.end(body);
    },
  },
  http2: {
    server: async ({ far }, run) => {
      const server = far.http2.createSecureServer(rough(await certificate()));
      server.on('session', (session) => run.ends.push(quiet(session)));
      server.on('sessionError', () => {});
      server.on('stream', (stream) => {
        run.ends.push(quiet(stream));
        stream.respond();
        stream.pipe(stream);
      });
      return server;
    },
    client: ({ near }, _, port, run) => {
      const session = near.http2.connect(`https://${host}:${port}`, {
        rejectUnauthorized: false,
      });
      const stream = quiet(quiet(session).request({ ':method': 'POST' }));
      run.ends.push(session, stream);
      stream.resume().end(body);
    },
  },
  h2c: {
    server: async ({ far }, run) => {
      const server = http2.createServer();
      server.on('session', (session) => run.ends.push(quiet(session)));
      server.on('sessionError', () => {});
      server.on('stream', (stream) => {
        run.ends.push(quiet(stream));
        stream.respond();
        stream.pipe(stream);
      });
      return far.net.createServer((socket) => {
        run.ends.push(quiet(socket));
        server.emit('connection', socket);
      });
    },
    client: ({ near }, _, port, run) => {
      const raw = quiet(near.net.connect(port, host));
      const session = quiet(http2.connect('http://x', { createConnection: () => raw }));
      const stream = quiet(session.request({ ':method': 'POST' }));
      run.ends.push(raw, session, stream);
      stream.resume().end(body);
    },
  },
};

test.each(Object.keys(kinds))(
  '%s is ended at any moment, from either side, and all is closed',
  async (kind) => {
    const { server: serve, client: start } = kinds[kind] as (typeof kinds)[string];
    for (let seed = 1; seed <= 25; seed += 1) {
      const below = random(seed * 7919);
      const { near, far } = await twoStacks();
      const run: Run = { ends: [], sockets: [] };
      const server = await serve({ near, far }, run);
      server.on('connection', (socket) => run.sockets.push(quiet(socket)));
      server.on('tlsClientError', () => {});
      server.listen(0, host);
      await once(server, 'listening');
      start({ near, far }, server, untyped(server.address()).port, run);
      const moment = below(24);
      const act = () => {
        const way = below(5);
        const end = run.ends[below(run.ends.length)];
        const socket = run.sockets[0];
        if (way === 0 && socket !== undefined) socket.resetAndDestroy();
        else if (way === 1) end?.destroy(new Error('enough'));
        else if (way === 2) near.close();
        else if (way === 3 && socket !== undefined) socket.destroySoon();
        else end?.destroy();
      };
      for (let turn = 0; turn < moment; turn += 1) {
        await (below(3) === 0 ? Promise.resolve() : new Promise(setImmediate));
      }
      if (below(4) === 0) process.nextTick(act);
      else act();
      await new Promise(setImmediate);
      for (const end of run.ends) end.destroy();
      server.close();
      await Promise.all([near.close(), far.close()]);
      await until(() => run.sockets.every((socket) => socket.closed) && !server.listening);
    }
  },
);
