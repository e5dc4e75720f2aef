// SPDX-License-Identifier: MIT
//
// node:http and node:https: requests and responses, agents, upgrades, and how each side gives up.

import type { ClientRequest, IncomingMessage, Server, ServerResponse } from 'node:http';
import { certificates } from '../harness/certificates.js';
import { area, type Scene, untyped } from '../harness/scenario.js';

export const web = area('http', 'http and https');
const { scenario } = web;

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** When a request gets its socket is a matter of its agent's. */
const without = ['socket', 'finish', 'prefinish', 'drain', 'free', 'agentRemove'];

async function serve(scene: Scene, answer: Answer, options = {}): Promise<[Server, number]> {
  const server = scene.watch(scene.http.createServer(options, answer), 'server', {
    without: ['connection', 'request'],
  });
  const port = await scene.listen(server);
  return [server, port];
}

/** What a response says, in the part of that name. */
async function tell(scene: Scene, name: string, response: IncomingMessage): Promise<void> {
  const parts: Buffer[] = [];
  for await (const part of response) parts.push(part as Buffer);
  const { date: _date, ...headers } = response.headers;
  scene.log.note(name, 'status', response.statusCode, response.statusMessage, headers);
  scene.log.note(name, 'body', Buffer.concat(parts), response.complete);
}

async function answerTo(request: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.on('response', resolve);
    request.on('error', reject);
  });
}

scenario('a GET is answered', async (scene) => {
  const { http, host, watch, log, track } = scene;
  const [, port] = await serve(scene, (request, response) => {
    const { host: _host, ...headers } = request.headers;
    log.note('server side', 'request', request.method, request.url, headers);
    log.note('server side', 'from', request.socket.remoteAddress);
    response.setHeader('x-test', 'yes');
    response.end('the answer');
  });
  const agent = track(new http.Agent());
  const request = watch(http.get({ port, host, path: '/a?b=c', agent }), 'request', { without });
  await tell(scene, 'response', await answerTo(request));
  await scene.closed(request);
});

scenario('a POST carries its body', async (scene) => {
  const { http, host, watch, log, track } = scene;
  const [, port] = await serve(scene, async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    log.note('server side', 'body', Buffer.concat(parts), request.headers['content-length']);
    response.writeHead(201, 'Made', { 'content-type': 'text/plain' });
    response.end('made');
  });
  const agent = track(new http.Agent());
  const body = Buffer.alloc(300_000, 'body');
  const headers = { 'content-length': body.length };
  const options = { port, host, method: 'POST', headers, agent };
  const request = watch(http.request(options), 'request', { without });
  request.end(body);
  await tell(scene, 'response', await answerTo(request));
});

scenario('chunked bodies go both ways, with trailers', async (scene) => {
  const { http, host, watch, log, track } = scene;
  const [, port] = await serve(scene, (request, response) => {
    response.setHeader('trailer', 'x-sum');
    request.on('data', (part: Buffer) => response.write(part));
    request.on('end', () => {
      log.note('server side', 'trailers', request.trailers, request.headers['transfer-encoding']);
      response.addTrailers({ 'x-sum': '6' });
      response.end();
    });
  });
  const agent = track(new http.Agent());
  const headers = { trailer: 'x-end' };
  const options = { port, host, method: 'PUT', headers, agent };
  const request = watch(http.request(options), 'request', { without });
  request.write('one ');
  request.write('two ');
  request.addTrailers({ 'x-end': 'yes' });
  request.end('three');
  const response = await answerTo(request);
  await tell(scene, 'response', response);
  log.note('response', 'trailers', response.trailers);
});

scenario('an agent keeps a connection and uses it again', async (scene) => {
  const { http, host, watch, log, track, seen } = scene;
  const ports: (number | undefined)[] = [];
  const [server, port] = await serve(scene, (request, response) => {
    ports.push(request.socket.remotePort);
    response.end('ok');
  });
  const agent = track(new http.Agent({ keepAlive: true, maxSockets: 1 }));
  for (const name of ['first', 'second', 'third']) {
    const request = watch(http.get({ port, host, agent }), name, { without });
    await tell(scene, `${name} response`, await answerTo(request));
    await seen(request, 'close'); // right behind the end of the body, or a turn later
    log.note(name, 'reused', request.reusedSocket);
    await scene.turn();
  }
  log.note('server side', 'connections', new Set(ports).size);
  log.note('agent', 'free', Object.values(agent.freeSockets).flat().length);
  void server;
});

scenario('requests wait for an agent of one socket', async (scene) => {
  const { http, host, watch, log, track, seen } = scene;
  const [, port] = await serve(scene, (request, response) => response.end(request.url));
  const agent = track(new http.Agent({ keepAlive: true, maxSockets: 1 }));
  const answers = ['/1', '/2', '/3'].map(async (path) => {
    const request = watch(http.get({ port, host, agent, path }), `request ${path}`, { without });
    await tell(scene, `response ${path}`, await answerTo(request));
    await seen(request, 'close');
    log.note(`request ${path}`, 'reused', request.reusedSocket);
  });
  log.note('agent', 'waiting', Object.values(agent.requests).flat().length);
  await Promise.all(answers);
});

scenario('a request without an agent closes its connection', async (scene) => {
  const { http, host, watch } = scene;
  const [server, port] = await serve(scene, (_request, response) => response.end('bye'));
  const request = watch(http.get({ port, host, agent: false }), 'request', { without });
  await tell(scene, 'response', await answerTo(request));
  await scene.closed(request);
  void server;
});

scenario('a refused connection is an error of the request', async (scene) => {
  const { http, host, watch, track } = scene;
  const agent = track(new http.Agent());
  const request = watch(http.get({ port: 1, host, agent }), 'request', { without });
  await scene.closed(request);
});

scenario('a server that hangs up is an error of the request', async (scene) => {
  const { http, host, watch, track } = scene;
  const [, port] = await serve(scene, (request) => void request.socket.destroy());
  const agent = track(new http.Agent());
  const request = watch(http.get({ port, host, agent }), 'request', { without });
  await scene.closed(request);
});

scenario('a server that resets is an error of the request', async (scene) => {
  const { http, host, watch, track } = scene;
  const [, port] = await serve(scene, (request) => void request.socket.resetAndDestroy());
  const agent = track(new http.Agent());
  const request = watch(http.get({ port, host, agent }), 'request', { without });
  await scene.closed(request);
});

scenario('a response that breaks off is aborted', async (scene) => {
  const { http, host, watch, track, log } = scene;
  const [, port] = await serve(scene, (request, response) => {
    response.writeHead(200, { 'content-length': 100 });
    response.write('a part', () => request.socket.destroy());
  });
  const agent = track(new http.Agent());
  const request = watch(http.get({ port, host, agent }), 'request', { without });
  const response = await answerTo(request);
  watch(response, 'response');
  response.resume();
  await scene.closed(response);
  log.note('response', 'complete', response.complete, response.aborted);
});

scenario('a request that is destroyed is aborted at the server', async (scene) => {
  const { http, host, watch, track, log, seen } = scene;
  let arrived: (request: IncomingMessage) => void = () => {};
  const first = new Promise<IncomingMessage>((resolve) => {
    arrived = resolve;
  });
  const [, port] = await serve(scene, (request, response) => {
    watch(request, 'incoming', { without: ['error'] });
    watch(response, 'outgoing', { without: ['finish', 'prefinish'] });
    request.on('error', (error: NodeJS.ErrnoException) => {
      log.note('incoming', 'code', error.code);
    });
    arrived(request);
  });
  const agent = track(new http.Agent());
  const request = watch(http.request({ port, host, agent, method: 'POST' }), 'request', {
    without,
  });
  request.write('a part');
  const incoming = await first;
  incoming.resume();
  request.destroy();
  await seen(request, 'close');
  await seen(incoming, 'close');
});

scenario('a signal ends a request', async (scene) => {
  const { http, host, watch, track, seen } = scene;
  const controller = new AbortController();
  const [, port] = await serve(scene, () => controller.abort());
  const agent = track(new http.Agent());
  const options = { port, host, agent, signal: controller.signal };
  const request = watch(http.get(options), 'request', { without });
  await seen(request, 'close');
});

scenario('an upgrade hands over the socket', async (scene) => {
  const { http, host, watch, track, seen, log } = scene;
  const [server, port] = await serve(scene, () => {});
  server.on('upgrade', (request, socket, head) => {
    log.note('server side', 'asked for', request.headers.upgrade, head);
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n',
    );
    socket.pipe(socket);
  });
  const agent = track(new http.Agent());
  const headers = { connection: 'Upgrade', upgrade: 'echo' };
  const request = watch(http.get({ port, host, agent, headers }), 'request', { without });
  request.on('upgrade', () => {}); // without a listener the connection would be closed
  const [response, socket, head] = (await seen(request, 'upgrade')) as [
    IncomingMessage,
    import('node:net').Socket,
    Buffer,
  ];
  log.note('response', 'status', response.statusCode, response.headers, head.length);
  watch(socket, 'socket', { without: ['agentRemove', 'free', 'prefinish'] });
  socket.end('echoed');
  socket.resume();
  await seen(socket, 'close');
});

scenario('CONNECT makes a tunnel', async (scene) => {
  const { http, host, watch, track, seen, log } = scene;
  const [server, port] = await serve(scene, () => {});
  server.on('connect', (request, socket) => {
    log.note('server side', 'asked for', request.url);
    socket.write('HTTP/1.1 200 Connection Established\r\n\r\n');
    socket.pipe(socket);
  });
  const agent = track(new http.Agent());
  const options = { port, host, agent, method: 'CONNECT', path: 'a.example:80' };
  const request = watch(http.request(options), 'request', { without });
  request.on('connect', () => {}); // without a listener the connection would be closed
  request.end();
  const [, socket] = (await seen(request, 'connect')) as [unknown, import('node:net').Socket];
  watch(socket, 'socket', { without: ['agentRemove', 'free', 'prefinish'] });
  socket.end('through');
  socket.resume();
  await seen(socket, 'close');
});

scenario('100-continue comes before the body', async (scene) => {
  const { http, host, watch, track, seen, log } = scene;
  const [server, port] = await serve(scene, () => {});
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    log.note('server side', 'expects', request.headers.expect);
    response.writeContinue();
    request.resume();
    request.on('end', () => response.end('continued'));
  });
  const agent = track(new http.Agent());
  const options = { port, host, agent, method: 'POST', headers: { expect: '100-continue' } };
  const request = watch(http.request(options), 'request', { without });
  request.flushHeaders();
  await seen(request, 'continue');
  request.end('the body');
  await tell(scene, 'response', await answerTo(request));
});

scenario('an information comes before the response', async (scene) => {
  const { http, host, watch, track } = scene;
  const [, port] = await serve(scene, (_request, response) => {
    response.writeEarlyHints({ link: '</style.css>; rel=preload' });
    response.end('after the hint');
  });
  const agent = track(new http.Agent());
  const request = watch(http.get({ port, host, agent }), 'request', { without });
  await tell(scene, 'response', await answerTo(request));
});

scenario('pipelined requests are answered in order', async (scene) => {
  const { net, host, watch, closed } = scene;
  const [, port] = await serve(scene, (request, response) => {
    response.sendDate = false;
    if (request.url === '/slow') setTimeout(() => response.end('slow'), 20);
    else response.end(request.url);
  });
  const client = watch(net.connect({ port, host }), 'client');
  const line = (path: string, more = '') => `GET ${path} HTTP/1.1\r\nHost: x\r\n${more}\r\n`;
  client.write(line('/slow') + line('/second') + line('/third', 'Connection: close\r\n'));
  client.resume();
  await closed(client);
});

scenario('a request that is no HTTP gets 400', async (scene) => {
  const { net, host, watch, closed } = scene;
  const [, port] = await serve(scene, () => {});
  const client = watch(net.connect({ port, host }), 'client');
  client.write('nonsense\r\n\r\n');
  client.resume();
  await closed(client);
});

scenario('a server waits for headers no longer than its timeout', async (scene) => {
  const { net, host, watch, closed } = scene;
  const options = { headersTimeout: 50, requestTimeout: 100, connectionsCheckingInterval: 25 };
  const [, port] = await serve(scene, () => {}, options);
  const client = watch(net.connect({ port, host }), 'client', {
    // On a slow machine the time is over before the server has read, and what it closes is reset.
    without: ['data', 'end', 'prefinish', 'finish', 'error', 'close'],
  });
  client.write('GET / HTTP/1.1\r\n');
  client.resume();
  await closed(client);
});

scenario('an idle connection is closed after the keep-alive timeout', async (scene) => {
  const { net, host, watch, closed } = scene;
  const [, port] = await serve(
    scene,
    (_request, response) => {
      response.sendDate = false;
      response.end('ok');
    },
    { keepAliveTimeout: 30 },
  );
  const client = watch(net.connect({ port, host }), 'client');
  client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  client.resume();
  await closed(client);
});

scenario('a request times out, and is destroyed', async (scene) => {
  const { http, host, watch, track, seen } = scene;
  const [, port] = await serve(scene, () => {});
  const agent = track(new http.Agent());
  const request = watch(http.get({ port, host, agent, timeout: 50 }), 'request', { without });
  request.on('timeout', () => request.destroy(new Error('waited enough')));
  await seen(request, 'close');
});

scenario('a closing server ends its idle connections', async (scene) => {
  const { http, host, watch, track, closed } = scene;
  const [server, port] = await serve(scene, (_request, response) => response.end('last'));
  const agent = track(new http.Agent({ keepAlive: true }));
  const request = watch(http.get({ port, host, agent }), 'request', { without });
  await tell(scene, 'response', await answerTo(request));
  await closed(request);
  server.close();
  server.closeIdleConnections();
  await closed(server);
});

scenario('closeAllConnections ends the busy ones', async (scene) => {
  const { http, host, watch, track, closed } = scene;
  const [server, port] = await serve(scene, () => {
    server.close();
    server.closeAllConnections();
  });
  const agent = track(new http.Agent());
  const request = watch(http.get({ port, host, agent }), 'request', { without });
  await closed(request, server);
});

scenario('a GET over https is answered', async (scene) => {
  const { https, host, watch, track, log } = scene;
  const server = watch(
    https.createServer(certificates().server, (request, response) => {
      log.note('server side', 'request', request.url, untyped(request.socket).encrypted);
      response.end('secret');
    }),
    'server',
    { without: ['connection', 'request', 'secureConnection', 'keylog', 'newSession'] },
  );
  const port = await scene.listen(server);
  const agent = track(new https.Agent());
  const ca = certificates().authority.cert;
  const request = watch(https.get({ port, host, path: '/s', ca, agent }), 'request', { without });
  await tell(scene, 'response', await answerTo(request));
});

scenario('an agent of https keeps its connections', async (scene) => {
  const { https, host, watch, track, log, seen } = scene;
  const server = watch(
    https.createServer(certificates().server, (_request, response) => response.end('secret')),
    'server',
    { without: ['connection', 'request', 'secureConnection', 'keylog', 'newSession'] },
  );
  const port = await scene.listen(server);
  const ca = certificates().authority.cert;
  const agent = track(new https.Agent({ keepAlive: true, ca }));
  for (const name of ['first', 'second']) {
    const request = watch(https.get({ port, host, agent }), name, { without });
    await tell(scene, `${name} response`, await answerTo(request));
    await seen(request, 'close'); // right behind the end of the body, or a turn later
    log.note(name, 'reused', request.reusedSocket);
    await scene.turn();
  }
});

scenario('https refuses a certificate that it does not know', async (scene) => {
  const { https, host, watch, track, closed } = scene;
  const server = watch(https.createServer(certificates().alone), 'server', {
    without: [
      'connection',
      'request',
      'secureConnection',
      'keylog',
      'newSession',
      'tlsClientError',
    ],
  });
  const port = await scene.listen(server);
  const agent = track(new https.Agent());
  const request = watch(https.get({ port, host, agent }), 'request', { without });
  await closed(request);
});
