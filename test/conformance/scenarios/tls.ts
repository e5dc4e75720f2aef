// SPDX-License-Identifier: MIT
//
// node:tls over a connection of a world: handshakes, names, certificates, sessions, ends.

import type { Server, TLSSocket, TlsOptions } from 'node:tls';
import { createSecureContext } from 'node:tls';
import { certificates } from '../harness/certificates.js';
import { area, type Scene, untyped } from '../harness/scenario.js';

export const secure = area('tls', 'tls');
const { scenario } = secure;

/** When sessions and keys come, how often there is room to write again, and whether what is written is done before the other side's end, is left open. */
const without = [
  'prefinish',
  'finish',
  'drain',
  'session',
  'keylog',
  'newSession',
  'resumeSession',
  'connection',
  '_tlsError',
];

/** What a server sees of a client that refuses its certificate comes before the client has closed, or after it. */
const ofRefusal = ['secureConnection', 'tlsClientError'];

/** A TLS server on the loopback, whose sockets are watched as `peer`. */
async function serve(
  scene: Scene,
  options: TlsOptions = {},
  more: readonly string[] = [],
): Promise<{ server: Server; port: number }> {
  const { tls, watch, listen } = scene;
  const server = watch(tls.createServer({ ...certificates().server, ...options }), 'server', {
    without: [...without, ...more],
  });
  let count = 0;
  server.on('secureConnection', (socket) => {
    socket.on('error', () => {});
    if (more.length > 0) return;
    count += 1;
    watch(socket, count === 1 ? 'peer' : `peer ${count}`, { without });
  });
  const port = await listen(server);
  return { server, port };
}

const trusted = () => ({ ca: certificates().authority.cert });

scenario('bytes go both ways over TLS', async (scene) => {
  const { tls, watch, host, over, log, seen } = scene;
  const { server, port } = await serve(scene);
  server.on('secureConnection', (socket) => socket.end('hello from the server'));
  const client = watch(tls.connect({ port, host, ...trusted() }), 'client', { without });
  client.end('hello from the client');
  client.resume();
  const [peer] = await seen(server, 'secureConnection');
  (peer as TLSSocket).resume();
  await over();
  log.note('client', 'is a socket', client instanceof scene.tls.TLSSocket, client.encrypted);
});

scenario('a secure socket says what was agreed', async (scene) => {
  const { tls, watch, host, over, log, seen } = scene;
  const { server, port } = await serve(scene);
  server.on('secureConnection', (socket) => socket.end());
  const client = watch(
    tls.connect(port, host, trusted(), () => log.note('client', 'callback')),
    'client',
    { without },
  );
  await seen(client, 'secureConnect');
  log.note('client', 'authorized', client.authorized, client.authorizationError);
  log.note('client', 'agreed', client.getProtocol(), client.getCipher());
  log.note('client', 'certificate', client.getPeerCertificate().subject);
  log.note('client', 'ends', client.remoteAddress, client.remoteFamily, client.localAddress);
  client.resume();
  await over();
});

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  scenario(`half a megabyte goes through ${version}`, async (scene) => {
    const { tls, watch, host, over, log } = scene;
    const bytes = Buffer.alloc(500_000, version);
    const { server, port } = await serve(scene, { minVersion: version, maxVersion: version });
    server.on('secureConnection', (socket) => socket.pipe(socket));
    const client = watch(tls.connect({ port, host, ...trusted() }), 'client', {
      without,
    });
    client.resume();
    client.end(bytes);
    await over();
    log.note('client', 'agreed', client.bytesWritten, client.bytesRead);
  });
}

scenario('a certificate of an unknown authority is refused', async (scene) => {
  const { tls, watch, host, closed, log } = scene;
  const { port } = await serve(scene, {}, ofRefusal);
  const client = watch(tls.connect({ port, host }), 'client', { without });
  await closed(client);
  log.note('client', 'authorized', client.authorized);
});

scenario('a certificate that has signed itself is refused', async (scene) => {
  const { tls, watch, host, closed } = scene;
  const { port } = await serve(scene, certificates().alone, ofRefusal);
  await closed(watch(tls.connect({ port, host }), 'client', { without }));
});

scenario('a certificate is not asked for with rejectUnauthorized off', async (scene) => {
  const { tls, watch, host, over, log, seen } = scene;
  const { server, port } = await serve(scene, certificates().alone);
  server.on('secureConnection', (socket) => socket.end());
  const options = { port, host, rejectUnauthorized: false };
  const client = watch(tls.connect(options), 'client', { without });
  client.resume();
  await seen(client, 'secureConnect');
  log.note('client', 'authorized', client.authorized, client.authorizationError);
  await over();
});

scenario('a certificate for another name is refused', async (scene) => {
  const { tls, watch, host, closed } = scene;
  const { port } = await serve(scene, certificates().other, ofRefusal);
  const options = { port, host, servername: 'a.example', ...trusted() };
  const client = watch(tls.connect(options), 'client', { without: [...without, 'error'] });
  client.on('error', (error: NodeJS.ErrnoException) => {
    scene.log.note('client', 'code', error.code, untyped(error).reason);
  });
  await closed(client);
});

scenario('the server chooses its certificate by name', async (scene) => {
  const { tls, watch, host, over, log, seen } = scene;
  const { server, port } = await serve(scene, {
    SNICallback: (name, done) => {
      log.note('server', 'asked for', name);
      done(null, createSecureContext(certificates().other));
    },
  });
  server.on('secureConnection', (socket) => {
    log.note('server', 'name', untyped(socket).servername);
    socket.end();
  });
  const options = { port, host, servername: 'b.example', ...trusted() };
  const client = watch(tls.connect(options), 'client', { without });
  client.resume();
  await seen(client, 'secureConnect');
  log.note('client', 'certificate', client.getPeerCertificate().subject);
  await over();
});

scenario('both sides agree on a protocol by ALPN', async (scene) => {
  const { tls, watch, host, over, log, seen } = scene;
  const { server, port } = await serve(scene, { ALPNProtocols: ['first', 'second'] });
  server.on('secureConnection', (socket) => {
    log.note('server', 'agreed', socket.alpnProtocol);
    socket.end();
  });
  const options = { port, host, ALPNProtocols: ['second', 'third'], ...trusted() };
  const client = watch(tls.connect(options), 'client', { without });
  client.resume();
  await seen(client, 'secureConnect');
  log.note('client', 'agreed', client.alpnProtocol);
  await over();
});

scenario('no common protocol by ALPN fails the handshake', async (scene) => {
  const { tls, watch, host, closed, seen } = scene;
  const { server, port } = await serve(scene, { ALPNProtocols: ['first'] });
  const options = { port, host, ALPNProtocols: ['other'], ...trusted() };
  const client = watch(tls.connect(options), 'client', { without: [...without, 'error'] });
  client.on('error', (error: NodeJS.ErrnoException) => {
    scene.log.note('client', 'code', error.code);
  });
  await closed(client);
  await seen(server, 'tlsClientError');
});

scenario('a session is resumed', async (scene) => {
  const { tls, watch, host, log, seen, over } = scene;
  const { server, port } = await serve(scene, { maxVersion: 'TLSv1.2' });
  server.on('secureConnection', (socket) => socket.end('x'));
  const options = { port, host, ...trusted() };
  const first = watch(tls.connect(options), 'first', { without });
  const [session] = await new Promise<Buffer[]>((resolve) => {
    first.on('session', (...args) => resolve(args));
  });
  first.resume();
  await seen(first, 'close');
  log.note('first', 'reused', first.isSessionReused());
  const again = untyped({ ...options, session });
  const second = watch(tls.connect(again) as TLSSocket, 'second', { without });
  second.resume();
  await seen(second, 'secureConnect');
  log.note('second', 'reused', second.isSessionReused());
  await over();
});

scenario('the server knows a client by its certificate', async (scene) => {
  const { tls, watch, host, over, log } = scene;
  const { server, port } = await serve(scene, { requestCert: true, ...trusted() });
  server.on('secureConnection', (socket) => {
    log.note('server', 'knows', socket.authorized, socket.getPeerCertificate().subject);
    socket.end();
  });
  const options = { port, host, ...trusted(), ...certificates().client };
  watch(tls.connect(options), 'client', { without }).resume();
  await over();
});

scenario('a client without a certificate is refused', async (scene) => {
  const { tls, watch, host, closed, seen, log } = scene;
  const options = { requestCert: true, maxVersion: 'TLSv1.2', ...trusted() } as const;
  const { server, port } = await serve(scene, options);
  const client = watch(tls.connect({ port, host, ...trusted() }), 'client', {
    without: [...without, 'error'], // an alert, or the end of the connection before it
  });
  client.resume();
  await closed(client);
  const [error] = await seen(server, 'tlsClientError');
  log.note('server', 'code', (error as NodeJS.ErrnoException).code);
});

scenario('a client that speaks no TLS is an error of the server', async (scene) => {
  const { net, watch, host, seen, closed, log } = scene;
  const { server, port } = await serve(scene);
  const client = watch(net.connect({ port, host }), 'client', { without: ['data', 'error'] });
  client.write('GET / HTTP/1.0\r\n\r\n');
  client.resume();
  const [error] = await seen(server, 'tlsClientError');
  log.note('server', 'code', (error as NodeJS.ErrnoException).code);
  await closed(client);
});

scenario('a server that hangs up during the handshake is an error of the client', async (scene) => {
  const { tls, watch, host, closed } = scene;
  const server = scene.server({}, 'server', 'peer', { without: ['data'] });
  server.on('connection', (socket) => {
    socket.once('data', () => socket.end());
  });
  const port = await scene.listen(server);
  const client = watch(tls.connect({ port, host, ...trusted() }), 'client', { without });
  await closed(client);
});

scenario('a refused connection is an error of the secure socket', async (scene) => {
  const { tls, watch, host, closed } = scene;
  const client = watch(tls.connect({ port: 1, host }), 'client', { without });
  await closed(client);
});

scenario('TLS runs over a socket that is connected', async (scene) => {
  const { net, tls, watch, host, over, seen, log } = scene;
  const { server, port } = await serve(scene);
  server.on('secureConnection', (socket) => socket.end('inside'));
  const plain = watch(net.connect({ port, host }), 'plain', { without: ['data'] });
  await seen(plain, 'connect');
  const options = { socket: plain, servername: 'localhost', ...trusted() };
  const client = watch(tls.connect(options), 'client', { without });
  client.resume();
  await seen(client, 'secureConnect');
  log.note('client', 'authorized', client.authorized);
  await over();
});
