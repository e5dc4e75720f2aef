// SPDX-License-Identifier: MIT
//
// Bytes over a connection: writes, reads, encodings, backpressure, counts.

import { AsyncLocalStorage } from 'node:async_hooks';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { area, type Scene, untyped } from '../harness/scenario.js';

export const netData = area('net', 'net: data');
const { scenario } = netData;

/** Bytes that are not all alike. */
function pattern(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i += 1) bytes[i] = (i * 31 + (i >> 8)) & 0xff;
  return bytes;
}

/** Ends both sides and waits for it. */
async function finish(scene: Scene, ...sockets: Socket[]): Promise<void> {
  for (const socket of sockets) {
    socket.resume();
    socket.end();
  }
  await scene.closed(...sockets);
}

scenario('bytes go both ways', async (scene) => {
  const { client, peer } = await scene.pair();
  client.write('to the server');
  peer.write('to the client');
  await finish(scene, client, peer);
  scene.log.state(client, 'closed');
  scene.log.state(peer, 'closed');
});

scenario('a megabyte arrives whole', async (scene) => {
  const { client, peer } = await scene.pair();
  peer.resume();
  client.resume();
  client.end(pattern(1 << 20));
  await scene.closed(client, peer);
  scene.log.state(client, 'closed');
  scene.log.state(peer, 'closed');
});

scenario('megabytes cross each other', async (scene) => {
  const { client, peer } = await scene.pair({
    events: { without: ['prefinish', 'finish'] }, // before the end of the other side, or after it
  });
  peer.resume();
  client.resume();
  peer.end(pattern(3 << 20));
  client.end(pattern(2 << 20));
  await scene.closed(client, peer);
  scene.log.state(client, 'closed');
});

scenario('what is written before the connection is made is sent after', async (scene) => {
  const { net, host, watch, over, log } = scene;
  const server = scene.server();
  server.on('connection', (socket) => socket.resume());
  const port = await scene.listen(server);
  const client = watch(new net.Socket(), 'client');
  client.connect(port, host);
  log.note(
    'client',
    'write',
    client.write('héllo', () => log.note('client', 'written 1')),
  );
  log.state(client, 'after a string');
  log.note(
    'client',
    'write',
    client.write(Buffer.from('bytes'), () => log.note('client', '2')),
  );
  log.note(
    'client',
    'write',
    client.write('aGk=', 'base64', () => log.note('client', '3')),
  );
  log.state(client, 'after three');
  client.end('last');
  log.state(client, 'after end');
  client.resume();
  await over();
  log.state(client, 'closed');
});

scenario('callbacks of writes come in order', async (scene) => {
  const { log } = scene;
  const { client, peer } = await scene.pair();
  peer.resume();
  for (let i = 1; i <= 5; i += 1) {
    client.write(`part ${i} `, (error) => log.note('client', `written ${i}`, error));
  }
  client.end('end', () => log.note('client', 'ended'));
  client.resume();
  await scene.closed(client, peer);
});

scenario('a write of nothing has its callback', async (scene) => {
  const { log } = scene;
  const { client, peer } = await scene.pair();
  await new Promise<void>((resolve) => {
    log.note(
      'client',
      'write',
      client.write('', () => resolve()),
    );
  });
  log.note('client', 'empty string written');
  await new Promise<void>((resolve) => {
    log.note(
      'client',
      'write',
      client.write(Buffer.alloc(0), () => resolve()),
    );
  });
  log.note('client', 'empty bytes written');
  await finish(scene, client, peer);
  log.state(peer, 'closed');
});

scenario('strings are written in their encoding', async (scene) => {
  const { log } = scene;
  const { client, peer } = await scene.pair();
  const texts: [string, BufferEncoding][] = [
    ['grüße €', 'utf8'],
    ['grüße', 'latin1'],
    ['grüße', 'binary'],
    ['grüße', 'ascii'],
    ['grüße €', 'utf16le'],
    ['grüße', 'ucs2'],
    ['deadbeef', 'hex'],
    ['aGVsbG8=', 'base64'],
    ['aGVsbG8', 'base64url'],
  ];
  for (const [text, encoding] of texts) client.write(text, encoding);
  log.state(client, 'written');
  await finish(scene, client, peer);
  log.state(peer, 'closed');
});

scenario('the default encoding of writes can be set', async (scene) => {
  const { client, peer } = await scene.pair();
  client.setDefaultEncoding('latin1');
  client.write('grüße');
  scene.log.outcome('client', 'an unknown one', () => {
    client.setDefaultEncoding(untyped('nothing'));
  });
  await finish(scene, client, peer);
});

scenario('wrong chunks are thrown', async (scene) => {
  const { log } = scene;
  const { client, peer } = await scene.pair();
  for (const chunk of [null, undefined, 5, {}, [], true, () => {}]) {
    log.outcome('client', `write ${String(chunk)}`, () => client.write(untyped(chunk)));
  }
  log.outcome('client', 'encoding', () => client.write('x', untyped('nothing')));
  log.state(client, 'after the wrong ones');
  await finish(scene, client, peer);
});

scenario('typed arrays are written as bytes', async (scene) => {
  const { client, peer } = await scene.pair();
  client.write(new Uint8Array([1, 2, 3]));
  scene.log.outcome('client', 'Uint16Array', () => client.write(untyped(new Uint16Array([1]))));
  scene.log.outcome('client', 'DataView', () => {
    return client.write(untyped(new DataView(new ArrayBuffer(2))));
  });
  scene.log.outcome('client', 'ArrayBuffer', () => client.write(untyped(new ArrayBuffer(2))));
  await finish(scene, client, peer);
});

scenario('setEncoding makes strings of whole characters', async (scene) => {
  const { log } = scene;
  const { client, peer } = await scene.pair();
  peer.setEncoding('utf8');
  const euro = Buffer.from('€uro and more');
  client.write(euro.subarray(0, 2));
  await scene.turn();
  client.write(euro.subarray(2));
  await finish(scene, client, peer);
  log.state(peer, 'closed');
});

for (const encoding of ['hex', 'base64', 'latin1', 'utf16le'] as const) {
  scenario(`data is read as ${encoding}`, async (scene) => {
    const { client, peer } = await scene.pair();
    peer.setEncoding(encoding);
    client.write(pattern(1000));
    await finish(scene, client, peer);
  });
}

scenario('an unknown encoding of reads is thrown', async (scene) => {
  const { client, peer } = await scene.pair();
  scene.log.outcome('client', 'setEncoding', () => client.setEncoding(untyped('nothing')));
  await finish(scene, client, peer);
});

scenario('a paused socket reads nothing until it is resumed', async (scene) => {
  const { log, watch, net, host, seen, accepted, closed } = scene;
  const server = scene.server({}, 'server', 'peer', { with: ['pause', 'resume'] });
  const port = await scene.listen(server);
  const client = watch(net.connect(port, host), 'client');
  const peer = await accepted(server);
  peer.pause();
  peer.on('data', () => {});
  client.end('while paused');
  await seen(client, 'finish');
  await scene.turn();
  log.note('peer', 'paused', peer.isPaused(), log.count(peer, 'data'));
  peer.resume();
  client.resume();
  await closed(client, peer);
});

scenario('a server may pause each connection', async (scene) => {
  const { log, watch, net, host, seen, accepted, closed } = scene;
  const server = scene.server({ pauseOnConnect: true });
  const port = await scene.listen(server);
  const client = watch(net.connect(port, host), 'client');
  client.end('for later');
  client.resume();
  await seen(client, 'finish');
  const peer = await accepted(server);
  peer.on('data', () => {});
  await scene.turn();
  log.state(peer, 'paused');
  peer.resume();
  await closed(client, peer);
  log.state(peer, 'closed');
});

scenario('readable sockets are read by read()', async (scene) => {
  const { log, closed } = scene;
  const { client, peer } = await scene.pair();
  const parts: Buffer[] = [];
  peer.on('readable', () => {
    for (let part = peer.read(); part !== null; part = peer.read()) parts.push(part);
  });
  client.end('read by hand');
  client.resume();
  await closed(client, peer);
  log.note('peer', 'read', Buffer.concat(parts));
  log.note('peer', 'after the end', peer.read());
});

scenario('read(n) gives exactly n bytes', async (scene) => {
  const { log, closed, seen } = scene;
  const { client, peer } = await scene.pair({ events: { without: ['data'] } });
  client.end('0123456789');
  client.resume();
  await seen(client, 'finish');
  while (peer.readableLength < 10) await once(peer, 'readable');
  log.note('peer', 'read', peer.read(4), peer.readableLength);
  log.note('peer', 'read', peer.read(100));
  log.note('peer', 'read', peer.read(6));
  peer.resume();
  await closed(client, peer);
});

scenario('a full write buffer returns false, then drains', async (scene) => {
  const { log, seen } = scene;
  const { client, peer } = await scene.pair({ events: { without: ['data'] } });
  log.note('client', 'mark', client.writableHighWaterMark, client.readableHighWaterMark);
  let writes = 0;
  while (client.write(pattern(1 << 16))) {
    writes += 1;
    if (writes > 10_000) throw new Error('never full');
  }
  log.note('client', 'needs drain', client.writableNeedDrain, client.writableLength > 0);
  peer.on('data', () => {}); // how much comes depends on the buffers
  await seen(client, 'drain');
  log.note('client', 'drained', client.writableNeedDrain, client.writableLength);
  client.destroy();
  peer.destroy();
});

scenario('writes that return false lose nothing', async (scene) => {
  const { log, closed } = scene;
  const { client, peer } = await scene.pair({ events: { without: ['drain'] } });
  let isFull = false;
  for (let i = 0; i < 100; i += 1) isFull = !client.write(pattern(50_000 + i)) || isFull;
  log.note('client', 'was full', isFull);
  client.end();
  peer.resume();
  client.resume();
  await closed(client, peer);
  log.note('client', 'written', client.bytesWritten);
  log.note('peer', 'read', peer.bytesRead);
});

scenario('the marks of both directions are set by the options', async (scene) => {
  const { net, log, track } = scene;
  for (const options of [{ highWaterMark: 1 }, { readableHighWaterMark: 5 }, {}]) {
    const socket = track(new net.Socket(untyped(options)));
    const marks = [socket.readableHighWaterMark, socket.writableHighWaterMark];
    log.note('socket', JSON.stringify(options), marks);
  }
});

scenario('the mark of a server is that of its sockets', async (scene) => {
  const options = untyped({ highWaterMark: 1234 });
  const { client, peer } = await scene.pair({ server: options });
  scene.log.note('peer', 'marks', peer.readableHighWaterMark, peer.writableHighWaterMark);
  await finish(scene, client, peer);
});

scenario('corked writes go together', async (scene) => {
  const { log } = scene;
  const { client, peer } = await scene.pair();
  client.cork();
  for (const part of ['a', 'b', 'c']) {
    client.write(part, () => log.note('client', `written ${part}`));
  }
  client.write(Buffer.from('d'));
  client.write('00ff', 'hex');
  log.note('client', 'corked', client.writableCorked, client.writableLength, client.bytesWritten);
  client.uncork();
  log.note('client', 'uncorked', client.writableCorked, client.bytesWritten);
  await finish(scene, client, peer);
  log.state(client, 'closed');
});

scenario('end uncorks', async (scene) => {
  const { client, peer } = await scene.pair();
  client.cork();
  client.cork();
  client.write('one ');
  client.write('two ');
  await finish(scene, client, peer);
});

scenario('many small writes are one stream', async (scene) => {
  const { client, peer } = await scene.pair();
  for (let i = 0; i < 2000; i += 1) client.write(`${i},`);
  await finish(scene, client, peer);
  scene.log.state(client, 'closed');
});

scenario('bytes are counted at each stage', async (scene) => {
  const { log, seen } = scene;
  const { client, peer } = await scene.pair();
  log.note('client', 'at first', client.bytesRead, client.bytesWritten);
  client.write('12345');
  log.note('client', 'written', client.bytesWritten);
  peer.resume();
  await seen(peer, 'data');
  log.note('peer', 'read', peer.bytesRead);
  client.cork();
  client.write('67');
  client.write('ü', 'latin1');
  log.note('client', 'corked', client.bytesWritten);
  client.uncork();
  client.end('x');
  client.resume();
  await scene.closed(client, peer);
  log.note('client', 'closed', client.bytesRead, client.bytesWritten);
  log.note('peer', 'closed', peer.bytesRead, peer.bytesWritten);
});

scenario('onread reads into one buffer', async (scene) => {
  const { net, host, watch, log, over } = scene;
  const server = scene.server();
  server.on('connection', (socket) => socket.end(pattern(5000)));
  const port = await scene.listen(server);
  const buffer = Buffer.alloc(1000);
  const parts: Buffer[] = [];
  let isSame = true;
  const onread = {
    buffer,
    callback(length: number, given: Uint8Array) {
      isSame &&= given === buffer && length <= 1000;
      parts.push(Buffer.from(given.subarray(0, length)));
      return true;
    },
  };
  const client = watch(net.connect({ port, host, onread }), 'client');
  client.resume();
  await over();
  log.note('client', 'read', isSame, Buffer.concat(parts));
  log.note('client', 'count', client.bytesRead);
});

scenario('onread asks for a buffer each time', async (scene) => {
  const { net, host, watch, log, over } = scene;
  const server = scene.server();
  server.on('connection', (socket) => socket.end(pattern(3000)));
  const port = await scene.listen(server);
  const parts: Buffer[] = [];
  let asked = 0;
  const onread = {
    buffer: () => {
      asked += 1;
      return Buffer.alloc(100 * asked);
    },
    callback(length: number, given: Uint8Array) {
      parts.push(Buffer.from(given.subarray(0, length)));
      return true;
    },
  };
  const client = watch(net.connect({ port, host, onread: untyped(onread) }), 'client');
  client.resume();
  await over();
  log.note('client', 'read', asked > 1, Buffer.concat(parts));
});

scenario('onread pauses by false', async (scene) => {
  const { net, host, watch, log, seen, over } = scene;
  const server = scene.server();
  server.on('connection', (socket) => socket.end('0123456789'));
  const port = await scene.listen(server);
  let calls = 0;
  const parts: Buffer[] = [];
  const onread = {
    buffer: Buffer.alloc(4),
    callback(length: number, given: Uint8Array) {
      calls += 1;
      parts.push(Buffer.from(given.subarray(0, length)));
      if (calls === 1) setImmediate(() => client.emit('stopped'));
      return calls > 1;
    },
  };
  const client = watch(net.connect({ port, host, onread }), 'client');
  client.resume();
  await seen(client, 'stopped');
  await scene.turn();
  log.note('client', 'stopped', calls, client.bytesRead);
  client.read(0);
  client.resume();
  await over();
  log.note('client', 'read', Buffer.concat(parts));
});

scenario('a socket is iterated over', async (scene) => {
  const { log } = scene;
  const { client, peer } = await scene.pair();
  client.end('by iteration');
  client.resume();
  const parts: Buffer[] = [];
  for await (const part of peer) parts.push(part);
  log.note('peer', 'read', Buffer.concat(parts));
  await scene.closed(client, peer);
});

scenario('leaving an iteration destroys the socket', async (scene) => {
  const { log } = scene;
  const { client, peer } = await scene.pair({ events: { without: ['error'] } });
  client.write('a part');
  client.resume();
  for await (const part of peer) {
    log.note('peer', 'got', (part as Buffer).length > 0);
    break;
  }
  await scene.closed(peer);
  log.state(peer, 'left');
});

scenario('a pipeline into a socket ends it', async (scene) => {
  const { client, peer, server } = await scene.pair();
  peer.resume();
  client.resume();
  await pipeline(Readable.from(['one ', 'two ', 'three']), client);
  await scene.closed(client, peer);
  void server;
});

scenario('a pipeline through an echo gives everything back', async (scene) => {
  const { net, host, watch, log, over } = scene;
  const server = scene.server();
  server.on('connection', (socket) => socket.pipe(socket));
  const port = await scene.listen(server);
  const client = watch(net.connect(port, host), 'client');
  const parts: Buffer[] = [];
  const sink = new Writable({
    write(chunk, _encoding, done) {
      parts.push(chunk);
      done();
    },
  });
  client.end(pattern(300_000));
  await pipeline(client, sink);
  log.note('client', 'echo', Buffer.concat(parts));
  await over();
});

scenario('a pipeline reports a connection that ends early', async (scene) => {
  const { log } = scene;
  const { client, peer } = await scene.pair({ events: { without: ['error', 'close'] } });
  const sink = new Writable({ write: (_chunk, _encoding, done) => done() });
  const ended = pipeline(client, sink).then(
    () => log.note('pipeline', 'ended well'),
    (error: unknown) => log.note('pipeline', 'failed', error),
  );
  peer.resetAndDestroy();
  await ended;
});

scenario('the idle timer fires, and may be cleared', async (scene) => {
  const { log, seen } = scene;
  const { client, peer } = await scene.pair();
  log.note('client', 'before', client.timeout);
  const returned = client.setTimeout(20, () => log.note('client', 'callback'));
  log.note('client', 'returns itself', returned === client, client.timeout);
  await seen(client, 'timeout');
  client.setTimeout(0);
  log.note('client', 'cleared', client.timeout);
  log.state(client, 'after the timeout');
  await finish(scene, client, peer);
});

scenario(
  'a timeout is told again only after the timer is set or there is activity',
  async (scene) => {
    const { seen } = scene;
    const { client, peer } = await scene.pair();
    client.setTimeout(20);
    await seen(client, 'timeout');
    client.setTimeout(20);
    await seen(client, 'timeout', 2);
    client.setTimeout(0);
    await finish(scene, client, peer);
  },
);

scenario('wrong timeouts are thrown', async ({ net, log, track }) => {
  const socket = track(new net.Socket());
  for (const value of ['x', -1, Number.NaN, Infinity, null, undefined, {}]) {
    log.outcome('socket', String(value), () => socket.setTimeout(untyped(value)) === socket);
  }
  log.outcome('socket', 'callback', () => socket.setTimeout(5, untyped('x')) === socket);
});

scenario('no delay, keep-alive, ref and unref take any form', async (scene) => {
  const { net, log, track } = scene;
  const idle = track(new net.Socket());
  const { client, peer } = await scene.pair();
  for (const socket of [idle, client]) {
    const where = socket === idle ? 'idle' : 'client';
    for (const args of [[], [true], [false], [undefined], ['x'], [0]]) {
      const shown = `setNoDelay ${args}`;
      log.outcome(where, shown, () => untyped(socket).setNoDelay(...args) === socket);
    }
    for (const args of [[], [true], [true, 1000], [false, 5], [true, 'x'], [true, -1]]) {
      const shown = `setKeepAlive ${args}`;
      log.outcome(where, shown, () => untyped(socket).setKeepAlive(...args) === socket);
    }
    log.outcome(where, 'ref', () => socket.ref() === socket);
    log.outcome(where, 'unref', () => socket.unref() === socket && socket.ref() === socket);
    log.outcome(where, 'buffer sizes', () => 'setRecvBufferSize' in socket);
  }
  await finish(scene, client, peer);
});

scenario('address() and the addresses of both ends agree', async (scene) => {
  const { log } = scene;
  const { server, client, peer } = await scene.pair();
  log.note('server', 'address', server.address());
  log.note('client', 'address', client.address());
  log.note('peer', 'address', peer.address());
  const agree = [
    client.localPort === peer.remotePort,
    client.remotePort === peer.localPort,
    client.localAddress === peer.remoteAddress,
    client.remoteFamily === peer.localFamily,
  ];
  log.note('ends', 'agree', agree);
  await finish(scene, client, peer);
  log.note('client', 'closed', client.address(), client.remoteAddress, client.localAddress);
  log.note('peer', 'closed', peer.address(), peer.remoteAddress, peer.localPort);
});

scenario('data that comes before a listener is kept', async (scene) => {
  const { log, seen, closed } = scene;
  const { client, peer } = await scene.pair();
  client.end('early');
  client.resume();
  await seen(client, 'finish');
  await scene.turn();
  await scene.turn();
  const parts: Buffer[] = [];
  peer.on('data', (part) => parts.push(part));
  await closed(client, peer);
  log.note('peer', 'kept', Buffer.concat(parts));
});

scenario('unshift puts bytes back', async (scene) => {
  const { log, closed } = scene;
  const { client, peer } = await scene.pair({ events: { without: ['data'] } });
  const parts: Buffer[] = [];
  peer.once('data', (part: Buffer) => {
    peer.pause();
    peer.unshift(Buffer.from(`<${part}>`));
    peer.on('data', (again: Buffer) => parts.push(again));
    peer.resume();
  });
  client.end('back');
  client.resume();
  await closed(client, peer);
  log.note('peer', 'read', Buffer.concat(parts));
});

scenario('async context is that of the call which is told of', async (scene) => {
  const { net, host, watch, log, accepted, seen, closed } = scene;
  const storage = new AsyncLocalStorage<string>();
  // How much of the write that is cancelled has come is nobody's promise.
  const server = scene.server({}, 'server', 'peer', { without: ['data'] });
  const port = await scene.listen(server);
  const tells = (what: string) => () => log.note('context', what, storage.getStore());
  const client = watch(
    storage.run('made', () => new net.Socket()),
    'client',
  );
  const early = watch(
    storage.run('made', () => new net.Socket()),
    'early',
  );
  storage.run('connect', () => client.connect(port, host, tells('connect')));
  const [peer] = await Promise.all([accepted(server), seen(client, 'connect')]);
  storage.run('first', () => client.write(pattern(20 << 20), tells('a write that waits')));
  storage.run('second', () => client.write('x', tells('a write behind it')));
  storage.run('end', () => client.end(tells('end')));
  peer.resume();
  peer.end();
  await closed(client, peer);
  storage.run('connect', () => early.connect(port, host));
  storage.run('write', () => early.write('x', tells('a write before the connection')));
  const [other] = await Promise.all([accepted(server, 2), seen(early, 'connect')]);
  storage.run('write', () => early.write(pattern(20 << 20), tells('a write that is cancelled')));
  early.destroy();
  await closed(early, other.resume());
});
