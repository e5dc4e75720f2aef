// SPDX-License-Identifier: MIT
import { once } from 'node:events';
import * as nodeHttp from 'node:http';
import * as nodeNet from 'node:net';
import { expect, test } from 'vitest';
import { thrownBy, twoStacks, until, untyped } from '../support.js';
import { host, listening, textOf } from './support.js';

/** Answers with the method, the path and the body of the request. */
const mirror: nodeHttp.RequestListener = async (request, response) => {
  response.end(`${request.method} ${request.url} ${await textOf(request)}`);
};

async function serving(listener: nodeHttp.RequestListener = mirror, options = {}) {
  const { near, far } = await twoStacks();
  const [server, port] = await listening(far.http.createServer(options, listener));
  return { near, far, server, port, url: `http://${host}:${port}` };
}

async function answerTo(request: nodeHttp.ClientRequest): Promise<string> {
  const [response] = (await once(request, 'response')) as [nodeHttp.IncomingMessage];
  return textOf(response);
}

test('get() and request() take each of their forms', async () => {
  const { near, port, url } = await serving();
  const { http } = near;
  expect(await answerTo(http.get(`${url}/text`))).toBe('GET /text ');
  expect(await answerTo(http.get(new URL(`${url}/url`)))).toBe('GET /url ');
  expect(await answerTo(http.get({ host, port, path: '/options' }))).toBe('GET /options ');
  expect(await answerTo(http.request(url, { method: 'PUT' }).end('body'))).toBe('PUT / body');
  const called = new Promise<string>((resolve) => {
    http.get(url, { path: '/called' }, (response) => resolve(textOf(response)));
  });
  expect(await called).toBe('GET /called ');
  const alone = new Promise<string>((resolve) => {
    http.get(url, (response) => resolve(textOf(response)));
  });
  expect(await alone).toBe('GET / ');
  const made = new http.ClientRequest({ host, port, path: '/class' });
  made.end();
  expect(made).toBeInstanceOf(http.ClientRequest);
  expect(await answerTo(made)).toBe('GET /class ');
});

test('sockets of a server and of an agent are those of stack.net', async () => {
  const { near, far, server, url } = await serving();
  const request = near.http.get(url);
  const answer = answerTo(request);
  const [accepted] = await once(server, 'connection');
  expect(accepted).toBeInstanceOf(far.net.Socket);
  expect(request.socket).toBeInstanceOf(near.net.Socket);
  await answer;
  expect(server).toBeInstanceOf(nodeHttp.Server);
  expect(untyped(far.http).Server()).toBeInstanceOf(far.http.Server);
});

test('an agent keeps connections and uses them again', async () => {
  const { near, server, url } = await serving();
  let connections = 0;
  server.on('connection', () => {
    connections += 1;
  });
  const agent = new near.http.Agent({ keepAlive: true, maxSockets: 1 });
  const answers = ['/1', '/2', '/3'].map((path) => answerTo(near.http.get(url + path, { agent })));
  expect(await Promise.all(answers)).toEqual(['GET /1 ', 'GET /2 ', 'GET /3 ']);
  expect(connections).toBe(1);
  await until(() => Object.keys(agent.freeSockets).length === 1);
  agent.destroy();
});

test('without an agent, and with createConnection, a request has a connection of its own', async () => {
  const { near, port, url } = await serving();
  const one = near.http.get(url, { agent: false });
  expect(one).toMatchObject({ shouldKeepAlive: false });
  expect(untyped(one).agent).toBeInstanceOf(near.http.Agent);
  expect(await answerTo(one)).toBe('GET / ');
  let asked = 0;
  const own = near.http.get(url, {
    createConnection: () => {
      asked += 1;
      return near.net.connect(port, host);
    },
  });
  expect(await answerTo(own)).toBe('GET / ');
  expect(asked).toBe(1);
});

test("Node's own http takes the stack's agent, and its own server a socket of the stack", async () => {
  const { near, far, url } = await serving();
  expect(await answerTo(nodeHttp.get(url, { agent: near.http.globalAgent }))).toBe('GET / ');
  const server = nodeHttp.createServer(mirror);
  const [, port] = await listening(
    far.net.createServer((socket) => {
      server.emit('connection', socket);
    }),
  );
  expect(await answerTo(near.http.get({ host, port, path: '/emitted' }))).toBe('GET /emitted ');
});

test("a server of the stack serves a socket of the host that it is given, which stays the host's", async () => {
  const { far } = await twoStacks();
  const server = far.http.createServer(mirror);
  const relay = nodeNet.createServer((socket) => {
    server.emit('connection', socket);
    expect(Object.getPrototypeOf(socket)).toBe(nodeNet.Socket.prototype);
  });
  relay.listen(0, '127.0.0.1');
  await once(relay, 'listening');
  const { port } = relay.address() as nodeNet.AddressInfo;
  const request = nodeHttp.get({ host: '127.0.0.1', port, path: '/host', agent: false });
  expect(await answerTo(request)).toBe('GET /host ');
  relay.close();
});

test('bodies of megabytes pass unharmed both ways', async () => {
  const { near, url } = await serving((request, response) => {
    request.pipe(response);
  });
  const sent = Buffer.alloc(5 * 2 ** 20).map((_, i) => (i * 2654435761) >>> 24);
  const request = near.http.request(url, { method: 'POST' }).end(sent);
  const [response] = (await once(request, 'response')) as [nodeHttp.IncomingMessage];
  const parts: Buffer[] = [];
  for await (const part of response) {
    parts.push(part);
    await new Promise(setImmediate);
  }
  expect(Buffer.concat(parts).equals(sent)).toBe(true);
});

test('requests in one write are answered in order', async () => {
  const { near, port } = await serving();
  const client = near.net.connect(port, host);
  client.end('GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n');
  const text = await textOf(client);
  expect(text.match(/GET \/\d/g)).toEqual(['GET /1', 'GET /2']);
});

test('an upgrade gives both their sockets, with what came behind the request', async () => {
  const { near, server, port } = await serving();
  server.on('upgrade', (_request, socket, head) => {
    socket.write('HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
    socket.write(head);
    socket.pipe(socket);
  });
  const client = near.net.connect(port, host);
  client.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nfirst');
  let text = '';
  client.setEncoding('latin1').on('data', (data) => {
    text += data;
  });
  await until(() => text.endsWith('first'));
  client.end(', second');
  await once(client, 'end');
  expect(text.endsWith('\r\n\r\nfirst, second')).toBe(true);
});

test('a client upgrades and is heard', async () => {
  const { near, server, url } = await serving();
  server.on('upgrade', (_request, socket) => {
    socket.write('HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nwelcome');
    socket.pipe(socket);
  });
  const request = near.http.get(url, { headers: { connection: 'upgrade', upgrade: 'echo' } });
  const [, socket, head] = (await once(request, 'upgrade')) as [unknown, nodeNet.Socket, Buffer];
  expect(String(head)).toBe('welcome');
  socket.end('and back');
  expect(await textOf(socket)).toBe('and back');
});

test('a server hears of a client that is gone, and a client of a server', async () => {
  let requests = 0;
  const { near, server, url } = await serving((request, response) => {
    requests += 1;
    if (request.url === '/reset') (request.socket as nodeNet.Socket).resetAndDestroy();
    else response.write('begun');
  });
  const reset = near.http.get(`${url}/reset`);
  const [error] = await once(reset, 'error');
  expect(error).toMatchObject({ code: 'ECONNRESET' });
  const request = near.http.get(url);
  const closed = new Promise((resolve) => {
    server.once('request', (one) => one.once('close', resolve));
  });
  await once(request, 'response');
  request.on('error', () => {}).destroy();
  await closed;
  expect(requests).toBe(2);
});

test('what is no HTTP is answered with 400', async () => {
  const { near, port } = await serving();
  const client = near.net.connect(port, host);
  client.end('nonsense\r\n\r\n');
  expect(await textOf(client)).toMatch(/^HTTP\/1.1 400 /);
});

test('a connection that is refused is an error of the request', async () => {
  const { near } = await twoStacks();
  const [error] = await once(near.http.get({ host, port: 9 }), 'error');
  expect(error).toMatchObject({ code: 'ECONNREFUSED', address: host, port: 9 });
});

test('wrong options are as wrong as in node:http', async () => {
  const { near } = await twoStacks();
  const all = [
    { protocol: 'https:' },
    { host, port: 9, path: '/a b' },
    { agent: 5 },
    { method: 'a b' },
  ];
  for (const options of all) {
    const known = thrownBy(() => nodeHttp.get(untyped(options)));
    const own = thrownBy(() => near.http.get(untyped(options)));
    expect([own.code, own.message]).toEqual([known.code, known.message]);
  }
  expect(thrownBy(() => near.http.get('no url')).code).toBe('ERR_INVALID_URL');
});

test("settings are those of node:http, the global agent the stack's own", async () => {
  const { near } = await twoStacks();
  expect(near.http.maxHeaderSize).toBe(nodeHttp.maxHeaderSize);
  expect(near.http.METHODS).toBe(nodeHttp.METHODS);
  const { Agent, globalAgent } = near.http;
  expect(globalAgent).toBeInstanceOf(Agent);
  expect(untyped(globalAgent).options).toEqual(untyped(nodeHttp.globalAgent).options);
  near.http.globalAgent = new Agent({ maxSockets: 1 });
  const request = near.http.get({ host, port: 9 });
  request.on('error', () => {});
  expect(untyped(request).agent).toBe(near.http.globalAgent);
});

test('when the stack closes, agents have no sockets left and servers are closed', async () => {
  const { near, far, server, url } = await serving();
  await answerTo(near.http.get(url));
  const agent = near.http.globalAgent;
  const count = () => Object.keys(agent.sockets).length + Object.keys(agent.freeSockets).length;
  await until(() => count() === 1);
  await near.close();
  await until(() => count() === 0);
  await far.close();
  await until(() => !server.listening);
});
