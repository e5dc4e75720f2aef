// SPDX-License-Identifier: MIT
import { once } from 'node:events';
import * as http2 from 'node:http2';
import type { Socket } from 'node:net';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { thrownBy, twoStacks, until, untyped } from '../support.js';
import { certificate, host, listening, textOf } from './support.js';

const mirror = async (request: http2.Http2ServerRequest, response: http2.Http2ServerResponse) => {
  response.end(`${request.method} ${request.url} ${await textOf(request)}`);
};

async function serving(secure: boolean) {
  const { near, far } = await twoStacks();
  const pems = await certificate();
  const server = secure
    ? far.http2.createSecureServer({ ...pems, allowHTTP1: true }, mirror)
    : far.http2.createServer(mirror);
  const [, port] = await listening(server);
  const url = `http${secure ? 's' : ''}://${host}:${port}`;
  return { near, far, server, port, url, ca: pems.cert };
}

async function exchange(session: http2.ClientHttp2Session, path = '/', body?: Buffer) {
  const stream = session.request({ ':path': path, ':method': body ? 'POST' : 'GET' });
  stream.end(body);
  return textOf(stream);
}

describe.each([
  ['with TLS', true],
  ['without TLS', false],
])('%s', (_, secure) => {
  test('streams of one session are answered', async () => {
    const { near, url, ca } = await serving(secure);
    const session = near.http2.connect(url, { ca });
    const answers = ['/1', '/2', '/3'].map((path) => exchange(session, path));
    expect(await Promise.all(answers)).toEqual(['GET /1 ', 'GET /2 ', 'GET /3 ']);
    expect([session.encrypted, session.alpnProtocol]).toEqual([secure, secure ? 'h2' : 'h2c']);
    expect(session.socket.remoteAddress).toBe(host);
    session.close();
    await once(session, 'close');
  });

  test("'response' comes before the first 'data'", async () => {
    const { near, url, ca } = await serving(secure);
    const session = near.http2.connect(url, { ca });
    const stream = session.request({ ':path': '/order', ':method': 'POST' });
    const seen: string[] = [];
    for (const event of ['response', 'data', 'end']) stream.on(event, () => seen.push(event));
    stream.end('body');
    await once(stream, 'close');
    expect([seen[0], seen.at(-1)]).toEqual(['response', 'end']);
    session.close();
  });

  test('bodies of megabytes pass unharmed', async () => {
    const { near, url, ca } = await serving(secure);
    const session = near.http2.connect(url, { ca });
    const body = Buffer.alloc(3 * 2 ** 20, 'what is sent ');
    expect(await exchange(session, '/', body)).toBe(`POST / ${body}`);
    session.destroy();
  });

  test('a session whose connection is reset ends with ECONNRESET', async () => {
    const { near, server, url, ca } = await serving(secure);
    const raws: Socket[] = [];
    server.on('connection', (raw) => raws.push(raw));
    server.on('sessionError', () => {});
    const session = near.http2.connect(url, { ca });
    await exchange(session);
    raws[0]?.resetAndDestroy();
    const [error] = await once(session, 'error');
    expect(error.code).toBe('ECONNRESET');
    await until(() => session.destroyed);
  });

  test('a refused connection is an error of the session', async () => {
    const { near } = await twoStacks();
    const session = near.http2.connect(`http${secure ? 's' : ''}://${host}:9`);
    const [error] = await once(session, 'error');
    expect(error).toMatchObject({ code: 'ECONNREFUSED', address: host, port: 9 });
  });

  test('when the stack closes, sessions end', async () => {
    const { near, far, server, url, ca } = await serving(secure);
    const session = near.http2.connect(url, { ca });
    await exchange(session);
    session.on('error', () => {});
    await near.close();
    await until(() => session.destroyed);
    await far.close();
    await until(() => !server.listening);
  });
});

test('connect() takes a function behind the authority, a promise, and a connection of its own', async () => {
  const { near, port, url } = await serving(false);
  const first = await new Promise<http2.ClientHttp2Session>((resolve) => {
    near.http2.connect(url, resolve);
  });
  expect(await exchange(first)).toBe('GET / ');
  first.close();
  const second = (await promisify(near.http2.connect)(url)) as http2.ClientHttp2Session;
  expect(await exchange(second)).toBe('GET / ');
  second.close();
  const third = near.http2.connect('http://elsewhere.test', {
    createConnection: () => near.net.connect(port, host),
  });
  expect(await exchange(third)).toBe('GET / ');
  third.close();
});

test("Node's own http2 takes sockets of the stack, on both ends", async () => {
  const { near, far } = await twoStacks();
  const server = http2.createServer(mirror);
  const [, port] = await listening(
    far.net.createServer((socket) => {
      server.emit('connection', socket);
    }),
  );
  const session = http2.connect(`http://${host}:${port}`, {
    createConnection: () => near.net.connect(port, host),
  });
  expect(await exchange(session, '/own')).toBe('GET /own ');
  session.close();
  await once(session, 'close');
});

test('a secure server speaks HTTP/1.1 with who asks for it', async () => {
  const { near, url, ca } = await serving(true);
  const request = near.https.get(url, { ca, agent: false });
  const [response] = await once(request, 'response');
  expect(await textOf(response)).toBe('GET / ');
});

test('wrong arguments are as wrong as in node:http2', async () => {
  const { near } = await twoStacks();
  for (const args of [['no url'], ['ftp://a.test'], ['http://a.test', 5], [5]]) {
    const known = thrownBy(() => untyped(http2).connect(...args));
    const own = thrownBy(() => untyped(near.http2).connect(...args));
    expect([own.code, own.message]).toEqual([known.code, known.message]);
  }
});
