// SPDX-License-Identifier: MIT
//
// node:http2: sessions and streams, in the clear and over TLS.

import type { ClientHttp2Session, ClientHttp2Stream, Http2Server } from 'node:http2';
import { certificates } from '../harness/certificates.js';
import { area, type Scene } from '../harness/scenario.js';

export const streams = area('http2', 'http2');
const { scenario } = streams;

/** Which settings have come when, and how streams are cut into frames, is not of a scenario's. */
const without = ['localSettings', 'remoteSettings', 'stream', 'session', 'connection', 'connect'];
const ofStream = { without: ['prefinish', 'ready', 'continue'] };

async function serve(scene: Scene): Promise<[Http2Server, number]> {
  const server = scene.watch(scene.http2.createServer(), 'server', {
    without: [...without, 'request', 'checkContinue'],
  });
  // What is still open when the other side goes has an error of its own.
  server.on('session', (session) => session.on('error', () => {}));
  server.on('stream', (stream) => stream.on('error', () => {}));
  const port = await scene.listen(server);
  return [server, port];
}

function open(scene: Scene, port: number): ClientHttp2Session {
  const session = scene.http2.connect(`http://${scene.host}:${port}`);
  return scene.watch(session, 'session', { without });
}

/** Its status and its body, in the part of that name. */
async function tell(scene: Scene, name: string, stream: ClientHttp2Stream): Promise<void> {
  stream.on('response', (headers) => scene.log.note(name, 'status', headers[':status']));
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part as Buffer);
  scene.log.note(name, 'body', Buffer.concat(parts));
}

scenario('a request over http2 is answered', async (scene) => {
  const { closed, log } = scene;
  const [server, port] = await serve(scene);
  server.on('stream', (stream, headers) => {
    log.note('server side', 'request', headers[':method'], headers[':path']);
    stream.respond({ ':status': 200 });
    stream.end('by http2');
  });
  const session = open(scene, port);
  await tell(scene, 'response', session.request({ ':path': '/a' }));
  session.close();
  await closed(session);
});

scenario('a body goes up and comes back', async (scene) => {
  const { closed } = scene;
  const [server, port] = await serve(scene);
  server.on('stream', (stream) => {
    stream.respond({ ':status': 200 });
    stream.pipe(stream);
  });
  const session = open(scene, port);
  const stream = session.request({ ':method': 'POST', ':path': '/echo' });
  stream.end(Buffer.alloc(300_000, 'body'));
  await tell(scene, 'response', stream);
  session.close();
  await closed(session);
});

scenario('ten streams share a session', async (scene) => {
  const { closed } = scene;
  const [server, port] = await serve(scene);
  server.on('stream', (stream, headers) => {
    stream.respond({ ':status': 200 });
    stream.end(`answer to ${headers[':path']}`);
  });
  const session = open(scene, port);
  const paths = [...'0123456789'].map((digit) => `/${digit}`);
  const answers = paths.map((path) =>
    tell(scene, `response ${path}`, session.request({ ':path': path })),
  );
  await Promise.all(answers);
  session.close();
  await closed(session);
});

scenario('a stream is reset with its code', async (scene) => {
  const { closed, watch, http2, log } = scene;
  const [server, port] = await serve(scene);
  server.on('stream', (stream) => {
    stream.on('error', () => {});
    stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
  });
  const session = open(scene, port);
  const stream = watch(session.request({ ':path': '/' }), 'stream', ofStream);
  stream.resume();
  await closed(stream);
  log.note('stream', 'code', stream.rstCode);
  session.close();
  await closed(session);
});

scenario('a ping is answered with its payload', async (scene) => {
  const { closed, log, seen } = scene;
  const [, port] = await serve(scene);
  const session = open(scene, port);
  await new Promise((resolve) => session.once('connect', resolve));
  const payload = Buffer.from('12345678');
  await new Promise<void>((resolve) => {
    session.ping(payload, (error, duration, back) => {
      log.note('session', 'answered', error, duration >= 0, back);
      resolve();
    });
  });
  session.close();
  await closed(session);
  void seen;
});

scenario('goaway tells the other side', async (scene) => {
  const { log, seen } = scene;
  const [server, port] = await serve(scene);
  server.on('stream', (stream) => {
    stream.respond({ ':status': 200 });
    stream.session?.goaway(0, 0, Buffer.from('enough'));
    stream.end('the last answer');
  });
  const session = open(scene, port);
  await tell(scene, 'response', session.request({ ':path': '/' }));
  await seen(session, 'goaway');
  log.note('session', 'closed', session.closed);
});

scenario('a session that is destroyed takes its streams with it', async (scene) => {
  const { closed, watch } = scene;
  const [, port] = await serve(scene);
  const session = open(scene, port);
  await new Promise((resolve) => session.once('connect', resolve));
  const stream = watch(session.request({ ':path': '/' }), 'stream', ofStream);
  session.destroy(new Error('of my own'));
  await closed(session, stream);
});

scenario('a refused connection is an error of the session', async (scene) => {
  const { closed } = scene;
  await closed(open(scene, 1));
});

scenario('http2 is agreed on over TLS, with http/1.1 beside it', async (scene) => {
  const { http2, https, host, watch, closed, log, track } = scene;
  const options = { ...certificates().server, allowHTTP1: true };
  const server = watch(
    http2.createSecureServer(options, (request, response) => {
      response.end(`version ${request.httpVersion}`);
    }),
    'server',
    { without: [...without, 'request', 'secureConnection', 'keylog', 'newSession'] },
  );
  const port = await scene.listen(server);
  const ca = certificates().authority.cert;
  const session = watch(http2.connect(`https://${host}:${port}`, { ca }), 'session', { without });
  await tell(scene, 'http2 response', session.request({ ':path': '/' }));
  log.note('session', 'agreed', session.alpnProtocol, session.encrypted);
  session.close();
  await closed(session);
  const agent = track(new https.Agent());
  const answer = await new Promise<string>((resolve, reject) => {
    const request = https.get({ port, host, ca, agent }, (response) => {
      let text = '';
      response.on('data', (part) => {
        text += part;
      });
      response.on('end', () => resolve(text));
    });
    request.on('error', reject);
  });
  log.note('http1', 'answer', answer);
});
