// SPDX-License-Identifier: MIT
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { twoStacks, untyped } from '../support.js';
import { certificate, host, listening } from './support.js';

async function serving(secure: boolean) {
  const { near, far } = await twoStacks();
  const pems = await certificate();
  const http = secure ? far.https.createServer(pems) : far.http.createServer();
  const server = new WebSocketServer({ server: http });
  server.on('connection', (socket) => {
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
  });
  const [, port] = await listening(http);
  return { near, server, port, ca: pems.cert, url: `ws${secure ? 's' : ''}://${host}:${port}` };
}

async function talk(socket: WebSocket): Promise<void> {
  await once(socket, 'open');
  socket.send('hello');
  expect(String((await once(socket, 'message'))[0])).toBe('hello');
  const large = Buffer.alloc(2 ** 20, 'large ');
  socket.send(large);
  expect((await once(socket, 'message'))[0].equals(large)).toBe(true);
  const ponged = once(socket, 'pong');
  socket.ping('now');
  expect(String((await ponged)[0])).toBe('now');
  socket.close(1000, 'done');
  const [code, reason] = await once(socket, 'close');
  expect([code, String(reason)]).toEqual([1000, 'done']);
}

test("a client with the stack's agent talks to a server of the stack", async () => {
  const { near, url } = await serving(false);
  await talk(new WebSocket(url, { agent: near.http.globalAgent }));
});

test('a client with a connection of the stack does so too', async () => {
  const { near, url } = await serving(false);
  const createConnection = near.net.connect;
  await talk(new WebSocket(url, untyped({ createConnection })));
});

test('over TLS', async () => {
  const { near, url, ca } = await serving(true);
  await talk(new WebSocket(url, { agent: new near.https.Agent({ ca }) }));
});

test('a client that vanishes closes the socket of the server', async () => {
  const { near, server, url } = await serving(false);
  const client = new WebSocket(url, { agent: near.http.globalAgent });
  const [socket] = (await once(server, 'connection')) as [WebSocket];
  client.on('error', () => {}).terminate();
  const [code] = await once(socket, 'close');
  expect(code).toBe(1006);
});
