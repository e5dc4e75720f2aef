// SPDX-License-Identifier: MIT
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import * as nodeHttps from 'node:https';
import type { TLSSocket } from 'node:tls';
import { expect, test } from 'vitest';
import { twoStacks, until, untyped } from '../support.js';
import { certificate, host, listening, textOf } from './support.js';

async function serving() {
  const { near, far } = await twoStacks();
  const pems = await certificate();
  const server = far.https.createServer(pems, (request, response) => {
    response.end(`over ${(request.socket as TLSSocket).getProtocol()}`);
  });
  const [, port] = await listening(server);
  return { near, far, server, port, ca: pems.cert, url: `https://${host}:${port}` };
}

async function answerTo(request: ReturnType<typeof nodeHttps.get>): Promise<[string, TLSSocket]> {
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  const socket = response.socket as TLSSocket;
  return [await textOf(response), socket];
}

test('a request is answered over TLS, with a socket of stack.tls', async () => {
  const { near, server, url, port, ca } = await serving();
  const [text, socket] = await answerTo(near.https.get(url, { ca }));
  expect(text).toBe('over TLSv1.3');
  expect(socket).toBeInstanceOf(near.tls.TLSSocket);
  expect(server).toBeInstanceOf(nodeHttps.Server);
  const byOptions = near.https.request({ host, port, ca, agent: false });
  byOptions.end();
  expect((await answerTo(byOptions))[0]).toBe('over TLSv1.3');
});

test('a certificate that nobody knows is an error of the request', async () => {
  const { near, url } = await serving();
  const [error] = await once(near.https.get(url), 'error');
  expect(error.code).toBe('DEPTH_ZERO_SELF_SIGNED_CERT');
});

test('an agent keeps sessions for the next connection', async () => {
  const { near, url, ca } = await serving();
  const agent = new near.https.Agent({ maxCachedSessions: 5 });
  const reused: boolean[] = [];
  for (let i = 0; i < 2; i += 1) {
    const [, socket] = await answerTo(near.https.get(url, { ca, agent }));
    reused.push(socket.isSessionReused());
    await until(() => socket.destroyed);
  }
  expect(reused).toEqual([false, true]);
});

test("Node's own https takes the stack's agent", async () => {
  const { near, url, ca } = await serving();
  const request = nodeHttps.get(url, { ca, agent: near.https.globalAgent });
  expect((await answerTo(request))[0]).toBe('over TLSv1.3');
  near.https.globalAgent.destroy();
});

test('when the stack closes, agents have no sockets left', async () => {
  const { near, url, ca } = await serving();
  const agent = new near.https.Agent({ keepAlive: true });
  const request = near.https.get(url, { ca, agent });
  const [, socket] = await answerTo(request);
  await near.close();
  await until(() => socket.destroyed && Object.keys(untyped(agent).freeSockets).length === 0);
});
