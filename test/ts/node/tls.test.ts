// SPDX-License-Identifier: MIT
import { once } from 'node:events';
import type { Socket } from 'node:net';
import * as nodeTls from 'node:tls';
import { expect, test } from 'vitest';
import { thrownBy, twoStacks, until, untyped } from '../support.js';
import { certificate, host, listening, recorded, textOf } from './support.js';

const events = [
  'lookup',
  'connectionAttempt',
  'connect',
  'ready',
  'secureConnect',
  'end',
  'error',
  'close',
];

/** Waits for 'close' among what recorded() gave. */
const hasClosed = (seen: string[]) => until(() => seen.some((one) => one.startsWith('close')));

/** An echoing server on the far stack. */
async function echo(options: nodeTls.TlsOptions = {}) {
  const { near, far } = await twoStacks();
  const pems = await certificate();
  const server = far.tls.createServer({ ...pems, ...options }, (socket) => {
    socket.on('error', () => {}).pipe(socket);
  });
  const [, port] = await listening(server);
  return { near, far, server, port, ca: pems.cert };
}

test('a client that knows the certificate is authorized, and what it sends comes back', async () => {
  const { near, port, ca } = await echo();
  const client = near.tls.connect({ host, port, ca, servername: 'far.test' });
  const seen = recorded(client, ...events);
  expect(client).toBeInstanceOf(near.tls.TLSSocket);
  expect(client).toBeInstanceOf(nodeTls.TLSSocket);
  expect(client.connecting).toBe(true);
  client.write('before it is connected; ');
  await once(client, 'secureConnect');
  expect(client).toMatchObject({ authorized: true, authorizationError: null, encrypted: true });
  expect([client.localAddress, client.remoteAddress, client.remotePort]).toEqual([
    '10.0.0.1',
    host,
    port,
  ]);
  expect(untyped(client).fd).toBeGreaterThan(2);
  client.end('after');
  expect(await textOf(client)).toBe('before it is connected; after');
  await hasClosed(seen);
  expect(client.bytesWritten).toBe('before it is connected; after'.length);
  expect(seen).toEqual([
    'connectionAttempt',
    'connect',
    'ready',
    'secureConnect',
    'end',
    'close(false)',
  ]);
});

test('a client that does not know the certificate is told why', async () => {
  const { near, port } = await echo();
  const client = near.tls.connect(port, host);
  const seen = recorded(client, 'secureConnect', 'error', 'close');
  await hasClosed(seen);
  expect(seen).toEqual(['error(DEPTH_ZERO_SELF_SIGNED_CERT)', 'close(true)']);
  expect(client.authorizationError).toBe('DEPTH_ZERO_SELF_SIGNED_CERT');
});

test('a name that the certificate does not have is refused', async () => {
  const { near, port, ca } = await echo();
  const client = near.tls.connect({ host, port, ca, servername: 'other.test' });
  const [error] = await once(client, 'error');
  expect(error.code).toBe('ERR_TLS_CERT_ALTNAME_INVALID');
});

test('a connection that is refused, and its error, are as those of node:tls', async () => {
  const { near } = await twoStacks();
  const client = near.tls.connect({ host, port: 9, timeout: 60_000 });
  const kernel = nodeTls.connect({ host: '127.0.0.1', port: 9, timeout: 60_000 });
  const [seen, expected] = [client, kernel].map((one) => recorded(one, ...events));
  const [[error], [known]] = await Promise.all([once(client, 'error'), once(kernel, 'error')]);
  await Promise.all([seen, expected].map((one) => hasClosed(one as string[])));
  expect(seen).toEqual(expected);
  expect(error).toMatchObject({ code: 'ECONNREFUSED', syscall: 'connect', address: host, port: 9 });
  expect(Object.keys(error)).toEqual(Object.keys(known));
  expect(client.timeout).toBe(60_000);
});

test('names are looked up, by the lookup that is given', async () => {
  const { near, port, ca } = await echo();
  const client = near.tls.connect({
    host: 'far.test',
    port,
    ca,
    lookup: (_name, _options, callback) => {
      setImmediate(callback, null, [{ address: host, family: 4 }]);
    },
  });
  const seen = recorded(client, ...events);
  await once(client, 'secureConnect');
  expect(seen.slice(0, 2)).toEqual(['lookup', 'connectionAttempt']);
  expect(client.authorized).toBe(true);
  client.destroy();
});

test('of several addresses, the one that answers is taken', async () => {
  const { near, port, ca } = await echo();
  const client = near.tls.connect({
    host: 'far.test',
    servername: 'far.test',
    port,
    ca,
    autoSelectFamily: true,
    lookup: (_name, _options, callback) =>
      callback(null, [
        { address: 'fd00::2', family: 6 },
        { address: host, family: 4 },
      ]),
  } as nodeTls.ConnectionOptions);
  await once(client, 'secureConnect');
  expect(client.remoteAddress).toBe(host);
  expect(client.authorized).toBe(true);
  client.end('twice');
  expect(await textOf(client)).toBe('twice');
});

test('a session is taken up again', async () => {
  const { near, port, ca } = await echo();
  const first = near.tls.connect({ host, port, ca });
  const [session] = await once(first, 'session');
  first.destroy();
  const second = near.tls.connect({ host, port, ca, session });
  await once(second, 'secureConnect');
  expect(second.isSessionReused()).toBe(true);
  second.destroy();
});

test('both agree on a protocol by ALPN, and the server sees the name', async () => {
  const { near, far, server, port, ca } = await echo({ ALPNProtocols: ['b', 'c'] });
  const options = { host, port, ca, servername: 'far.test', ALPNProtocols: ['a', 'b'] };
  const client = near.tls.connect(options);
  const [[accepted]] = await Promise.all([
    once(server, 'secureConnection'),
    once(client, 'secureConnect'),
  ]);
  expect([client.alpnProtocol, accepted.alpnProtocol, accepted.servername]).toEqual([
    'b',
    'b',
    'far.test',
  ]);
  expect(accepted).toBeInstanceOf(far.tls.TLSSocket);
  expect(accepted.fd).toBeGreaterThan(2);
  client.destroy();
});

test('a reset by the peer is an error of both ends of TLS', async () => {
  const { near, server, port, ca } = await echo();
  const raws: Socket[] = [];
  server.on('connection', (raw) => raws.push(raw));
  const client = near.tls.connect({ host, port, ca });
  const [[accepted]] = await Promise.all([
    once(server, 'secureConnection'),
    once(client, 'secureConnect'),
  ]);
  const ends = recorded(client, 'end', 'error', 'close');
  raws[0]?.resetAndDestroy();
  await hasClosed(ends);
  await until(() => accepted.closed);
  expect(ends).toEqual(['error(ECONNRESET)', 'close(true)']);

  const other = near.net.connect(port, host);
  const over = near.tls.connect({ socket: other, ca, servername: 'far.test' });
  over.on('error', () => {});
  const [[second]] = await Promise.all([
    once(server, 'secureConnection'),
    once(over, 'secureConnect'),
  ]);
  const seen = recorded(second, 'end', 'error', 'close');
  // At once, it would be an end before the reset, as with node:tls.
  over.write('hello');
  await once(over, 'data');
  other.resetAndDestroy();
  await hasClosed(seen);
  await until(() => over.closed);
  expect(seen).toEqual(['error(ECONNRESET)', 'close(true)']);
});

test('a connection that ends before TLS is there fails with ECONNRESET', async () => {
  const { near, far } = await twoStacks();
  const [, port] = await listening(far.net.createServer((socket) => socket.resume().end()));
  const client = near.tls.connect({ host, port });
  const [error] = await once(client, 'error');
  expect(error).toMatchObject({ code: 'ECONNRESET', host, port });
  expect(error.message).toMatch('before secure TLS connection was established');
});

test('a server tells of a client that does not speak TLS', async () => {
  const { near, server, port } = await echo();
  const client = near.net.connect(port, host);
  client.on('error', () => {});
  client.write('GET / HTTP/1.0\r\n\r\n');
  const [error] = await once(server, 'tlsClientError');
  expect(error.code).toBe('ERR_SSL_HTTP_REQUEST');
  client.destroy();
});

test('megabytes pass unharmed both ways, through a reader that stops', async () => {
  const { near, port, ca } = await echo();
  const client = near.tls.connect({ host, port, ca });
  const sent = Buffer.alloc(6 * 2 ** 20).map((_, i) => (i * 2654435761) >>> 24);
  client.end(sent);
  const parts: Buffer[] = [];
  client.on('data', (part: Buffer) => {
    parts.push(part);
    client.pause();
    setImmediate(() => client.resume());
  });
  await once(client, 'end');
  expect(Buffer.concat(parts).equals(sent)).toBe(true);
});

test('a half-open connection is written to after its end', async () => {
  const { near, far } = await twoStacks();
  const pems = await certificate();
  const server = far.tls.createServer({ ...pems, allowHalfOpen: true } as object, (socket) => {
    socket.resume().on('end', () => setImmediate(() => socket.end('late')));
  });
  const [, port] = await listening(server);
  const options = { host, port, ca: pems.cert, allowHalfOpen: true };
  const client = near.tls.connect(options);
  client.end('early');
  expect(await textOf(client)).toBe('late');
});

test('paths stay with the host', async () => {
  const { near } = await twoStacks();
  const client = near.tls.connect({ path: '/nowhere/of/the/host' });
  const [error] = await once(client, 'error');
  expect(error).toMatchObject({ code: 'ENOENT', syscall: 'connect' });
  expect(client).not.toBeInstanceOf(near.tls.TLSSocket);
});

test("node:tls keeps its own connections, also while a stack's lookup is at work", async () => {
  const { near } = await twoStacks();
  const kernel: nodeTls.TLSSocket[] = [];
  const client = near.tls.connect({
    host: 'far.test',
    port: 9,
    lookup: (_name, _options, callback) => {
      kernel.push(nodeTls.connect({ host: '127.0.0.1', port: 9 }));
      callback(null, [{ address: host, family: 4 }]);
    },
  });
  const [own, other] = await Promise.all([
    once(client, 'error'),
    once(kernel[0] as nodeTls.TLSSocket, 'error'),
  ]);
  expect([own[0].address, other[0].address]).toEqual([host, '127.0.0.1']);
  expect(kernel[0]).not.toBeInstanceOf(near.tls.TLSSocket);
});

test('wrong options are as wrong as in node:tls', async () => {
  const { near } = await twoStacks();
  for (const options of [{ port: 70_000 }, { port: 1, lookup: 5 }, { port: 1, ALPNProtocols: 5 }]) {
    const known = thrownBy(() => nodeTls.connect(untyped(options)).on('error', () => {}));
    const own = thrownBy(() => near.tls.connect(untyped(options)).on('error', () => {}));
    expect([own.code, own.message]).toEqual([known.code, known.message]);
  }
});

test('when the stack closes, sockets and servers of TLS do', async () => {
  const { near, far, server, port, ca } = await echo();
  const client = near.tls.connect({ host, port, ca });
  await once(client, 'secureConnect');
  const connecting = near.tls.connect({ host: '10.0.0.77', port });
  connecting.on('error', () => {});
  await near.close();
  await until(() => client.closed && connecting.closed);
  await far.close();
  await until(() => !server.listening);
});

test('settings of the whole process are those of node:tls', async () => {
  const { near } = await twoStacks();
  expect(near.tls.rootCertificates).toBe(nodeTls.rootCertificates);
  expect(near.tls.DEFAULT_MIN_VERSION).toBe(nodeTls.DEFAULT_MIN_VERSION);
  expect(near.tls.createSecureContext).toBe(nodeTls.createSecureContext);
});

test("each 'data' is a turn of its own for nextTick and promises, whoever decrypts", async () => {
  const { near, port, ca } = await echo();
  const client = near.tls.connect({ host, port, ca, servername: 'far.test' });
  await once(client, 'secureConnect');
  let order = '';
  let received = 0;
  const all = new Promise<void>((resolve) => {
    client.on('data', (data) => {
      received += data.length;
      order += 'd';
      process.nextTick(() => {
        order += 't';
      });
      void Promise.resolve().then(() => {
        order += 'p';
        if (received === 200_000) resolve();
      });
    });
  });
  client.write(Buffer.alloc(200_000));
  await all;
  expect(order).toMatch(/^(dtp)+$/);
  client.destroy();
});
