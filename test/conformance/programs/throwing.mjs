// SPDX-License-Identifier: MIT
//
// node throwing.mjs node|stack CASE: a listener that throws while C++ (TLS, HTTP/2, the parser of HTTP) reads, in a
// process that handles it and goes on, and in one that does not. VPOLLNET_TEST_KEYS has the keys: { key, cert, ca }.

import { AsyncLocalStorage } from 'node:async_hooks';
import * as http from 'node:http';
import * as http2 from 'node:http2';
import * as https from 'node:https';
import * as net from 'node:net';
import * as tls from 'node:tls';

const [world, name] = process.argv.slice(2);
const host = '127.0.0.1';
const keys = JSON.parse(process.env.VPOLLNET_TEST_KEYS ?? '{}');
const mods = { net, tls, http, https, http2 };
if (world === 'stack') {
  const { Stack } = await import('vpollnet');
  const stack = await Stack.open({});
  for (const module of Object.keys(mods)) mods[module] = stack[module];
}

/** What each part has seen, in its own order: between the two ends of a connection there is none. */
const parts = new Map();
function say(part, ...words) {
  if (!parts.has(part)) parts.set(part, []);
  parts.get(part).push(words.join(' '));
}

/** Tells of an emitter's events under `part`. */
function watch(emitter, part, ...events) {
  for (const event of events) {
    emitter.on(event, (value) => {
      say(part, event, value instanceof Error ? `${value.code} ${value.message}` : '');
    });
  }
  return emitter;
}

const open = [];
/** A server of `module`'s on the loopback, closed by finish(). */
function listening(server, then) {
  open.push(server);
  server.listen(0, host, () => then(server.address().port));
  return server;
}

/** All has been seen: what is open is closed. */
function finish() {
  for (const one of open) one.close();
}

const tlsEnds = ['end', 'error', 'close'];

/** A TLS server and a client of it. */
function securely(onPeer, onClient) {
  listening(mods.tls.createServer(keys), (port) => {
    const client = mods.tls.connect({ port, host, ca: keys.ca });
    watch(client, 'client', ...tlsEnds);
    onClient(client);
  }).on('secureConnection', (peer) => {
    watch(peer, 'peer', ...tlsEnds);
    onPeer(peer);
  });
}

/** Says of each chunk what it is, and throws in those that `when` picks. */
function throwing(emitter, part, when, more = () => {}) {
  let count = 0;
  let bytes = 0;
  emitter.on('data', (chunk) => {
    const at = ++count;
    bytes += chunk.length;
    say(part, 'data', at, chunk);
    process.nextTick(say, part, 'tick after', at);
    Promise.resolve().then(() => say(part, 'microtask after', at));
    more(bytes, at);
    if (when(at)) throw new Error(`in ${part}'s data ${at}`);
  });
}

/** An exchange of HTTP/2: its server, its session and what ends them. */
function session(isSecure, onServer, onSession) {
  const server = isSecure ? mods.http2.createSecureServer(keys) : mods.http2.createServer();
  onServer(server);
  server.on('session', (one) => watch(one, 'server session', 'error', 'close'));
  listening(server, (port) => {
    const scheme = isSecure ? 'https' : 'http';
    const client = mods.http2.connect(`${scheme}://${host}:${port}`, { ca: keys.ca });
    open.push(client);
    watch(client, 'session', 'error', 'goaway', 'close');
    onSession(client);
  });
}

/** A request, whose answer is told as `part`. */
function ask(client, part, headers = {}, then = () => {}) {
  const stream = client.request({ ':path': `/${part}`, ...headers });
  stream.setEncoding('utf8');
  let body = '';
  stream.on('response', (answer) => say(part, 'status', answer[':status']));
  stream.on('data', (text) => {
    body += text;
  });
  watch(stream, part, 'error');
  stream.on('close', () => {
    say(part, 'close', stream.rstCode, body);
    then();
  });
  return stream;
}

const once = (count) => count === 1;

const cases = {
  'tls: data at the client'() {
    securely(
      (peer) => {
        peer.write('one');
        peer.on('data', (data) => {
          say('peer', 'data', String(data));
          peer.end('two');
        });
      },
      (client) => {
        throwing(client, 'client', once, (_, count) => count === 1 && client.write('more'));
        client.on('close', finish);
      },
    );
  },
  'tls: data at the server'() {
    securely(
      (peer) => {
        throwing(peer, 'peer', once, (bytes) => peer.write(`had ${bytes}`));
      },
      (client) => {
        client.write('one');
        client.on('data', (data) => {
          say('client', 'data', String(data));
          if (String(data) === 'had 3') client.write('two');
          else client.end();
        });
        client.on('close', finish);
      },
    );
  },
  'tls: half a megabyte, in reads of several records'() {
    let total = 0;
    securely(
      (peer) => peer.end(Buffer.alloc(500_000, 'x')),
      (client) => {
        // What comes meanwhile is read in pieces of 64 KiB, of four records each.
        client.pause();
        setTimeout(() => client.resume(), 100);
        client.on('data', (chunk) => {
          total += chunk.length;
          if (total > 150_000 && total < 400_000) throw new Error('in data');
        });
        client.on('end', () => say('client', 'bytes', total));
        client.on('close', finish);
      },
    );
  },
  'tls: secureConnect'() {
    securely(
      (peer) => peer.on('data', (data) => peer.end(data)),
      (client) => {
        client.on('secureConnect', () => {
          say('client', 'secureConnect');
          client.write('hello');
          throw new Error('in secureConnect');
        });
        client.on('data', (data) => say('client', 'data', data));
        client.on('close', finish);
      },
    );
  },
  'tls: secureConnection'() {
    securely(
      (peer) => {
        peer.on('data', (data) => peer.end(data));
        throw new Error('in secureConnection');
      },
      (client) => {
        client.write('hello');
        client.on('data', (data) => say('client', 'data', data));
        client.on('close', finish);
      },
    );
  },
  'tls: session'() {
    let count = 0;
    securely(
      (peer) => peer.end('bytes'),
      (client) => {
        client.on('session', () => {
          say('client', 'session');
          count += 1;
          if (count === 1) throw new Error('in session');
        });
        client.on('data', (data) => say('client', 'data', data));
        client.on('close', finish);
      },
    );
  },
  'tls: keylog'() {
    securely(
      (peer) => peer.end('bytes'),
      (client) => {
        client.once('keylog', () => {
          throw new Error('in keylog');
        });
        client.on('data', (data) => say('client', 'data', data));
        client.on('close', finish);
      },
    );
  },
  'tls: end'() {
    securely(
      (peer) => peer.end('bytes'),
      (client) => {
        client.on('end', () => {
          // It does not come to its 'close'.
          setTimeout(() => process.exit(), 100);
          throw new Error('in end');
        });
        client.resume();
      },
    );
  },
  'tls: a rejection in a listener'() {
    securely(
      (peer) => peer.on('data', (data) => peer.end(data)),
      (client) => {
        client.on('secureConnect', async () => {
          client.write('hello');
          throw new Error('in secureConnect');
        });
        client.on('data', async (data) => {
          say('client', 'data', data);
          throw new Error('in data');
        });
        client.on('close', finish);
      },
    );
  },
  'tls: close'() {
    securely(
      (peer) => peer.end('bytes'),
      (client) => {
        client.resume();
        client.on('close', finish);
        client.on('close', () => {
          throw new Error('in close');
        });
      },
    );
  },
  'tls: the tick of the callback of a write'() {
    securely(
      (peer) => peer.on('data', (data) => say('peer', data)),
      (client) => {
        client.on('secureConnect', () => {
          client.write('one', () => {
            process.nextTick(() => {
              say('client', 'tick');
              client.end('two');
              throw new Error('in the tick');
            });
          });
        });
        client.resume();
        client.on('close', finish);
      },
    );
  },
  'tls: the callback of a write'() {
    securely(
      (peer) => peer.on('data', (data) => say('peer', data)),
      (client) => {
        client.on('secureConnect', () => {
          client.write('one', () => {
            say('client', 'written');
            client.end('two', () => say('client', 'ended'));
            throw new Error('in write');
          });
        });
        client.resume();
        client.on('close', finish);
      },
    );
  },
  'tls: the callback of a write that waits for room'() {
    securely(
      (peer) => {
        peer.pause();
        setTimeout(() => peer.resume(), 50);
        let total = 0;
        peer.on('data', (data) => {
          total += data.length;
        });
        peer.on('end', () => say('peer', 'bytes', total));
      },
      (client) => {
        client.on('secureConnect', () => {
          client.write(Buffer.alloc(20_000_000), () => {
            say('client', 'written');
            client.end('two');
            throw new Error('in write');
          });
        });
        client.resume();
        client.on('close', finish);
      },
    );
  },
  'tls: error'() {
    listening(mods.tls.createServer(keys), (port) => {
      const client = mods.tls.connect({ port, host });
      client.on('error', ({ code }) => {
        say('client', code);
        throw new Error('in error');
      });
      watch(client, 'client', 'close');
      client.on('close', finish);
    });
  },
  'tls: an error that nobody listens to'() {
    listening(mods.tls.createServer(keys), (port) => {
      watch(mods.tls.connect({ port, host }), 'client', 'close').on('close', finish);
    });
  },
  'tls: the order of turns within one read'() {
    const texts = ['a', 'b', 'c', 'd', 'e'];
    /** The server's end of the connection, and its records that are held back to come in one piece. */
    let peer;
    const held = [];
    // With TLS 1.3 there would be records beside these.
    const server = mods.tls.createServer({ ...keys, maxVersion: 'TLSv1.2' });
    server.on('secureConnection', (socket) => {
      socket.once('data', () => {
        peer = socket;
        peer.write(texts.shift());
      });
    });
    const between = mods.net.createServer((near) => {
      const far = mods.net.connect(server.address().port, host);
      near.pipe(far);
      far.on('end', () => near.end());
      far.on('data', (bytes) => {
        if (peer === undefined) near.write(bytes);
        else if (held.push(bytes) < 5) peer.write(texts.shift());
        else if (held.length === 5) near.write(Buffer.concat(held));
      });
    });
    listening(server, () => {
      listening(between, (port) => {
        const client = mods.tls.connect({ port, host, ca: keys.ca });
        watch(client, 'client', ...tlsEnds);
        const when = (count) => count < 3 || count === 4;
        throwing(client, 'client', when, (_, count) => count === 5 && client.end());
        client.on('close', finish);
        client.write('go');
      });
    });
  },
  'tls: the context and the order of turns'() {
    const storage = new AsyncLocalStorage();
    securely(
      (peer) => {
        // Each in a read of its own.
        peer.write('a');
        peer.on('data', (data) => (String(data) === 'enough' ? peer.end() : peer.write(data)));
      },
      (client) => {
        client.on('data', (text) => {
          const data = String(text);
          say('client', 'data', data, storage.getStore());
          storage.run(`of ${data}`, () => {
            process.nextTick(() => {
              say('client', 'tick', data, storage.getStore());
              Promise.resolve().then(() => say('client', 'microtask', data, storage.getStore()));
              client.write({ a: 'b', b: 'c' }[data] ?? 'enough');
              if (data === 'a') throw new Error('in the tick of a');
            });
            if (data === 'b') throw new Error('in data b');
          });
        });
        client.on('close', () => say('client', 'at close', storage.getStore()));
        client.on('close', finish);
      },
    );
  },
};

/** What http and https have alike. */
function webCases(module) {
  const serve = (onRequest, then) => {
    const options = module === 'https' ? keys : {};
    const server = mods[module].createServer({ ...options, keepAliveTimeout: 0 }, onRequest);
    listening(server, (port) => {
      const agent = new mods[module].Agent({ keepAlive: true, maxSockets: 1 });
      open.push({ close: () => agent.destroy() });
      then((part, options = {}) => {
        const given = { port, host, agent, path: `/${part}`, ca: keys.ca, ...options };
        return watch(mods[module].request(given), part, 'error');
      });
    });
  };
  const tell = (part, request, then = () => {}) => {
    request.on('response', (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text) => {
        body += text;
      });
      response.on('end', () => {
        say(part, response.statusCode, body, request.reusedSocket);
        then();
      });
    });
    return request.end();
  };
  Object.assign(cases, {
    [`${module}: a listener of request`]() {
      serve(
        (request, response) => {
          say('server', request.url);
          setImmediate(() => response.end(`answer to ${request.url}`));
          if (request.url === '/first') throw new Error('in request');
        },
        (start) => {
          tell('first', start('first'), () => {
            setImmediate(() => tell('second', start('second'), finish));
          });
        },
      );
    },
    [`${module}: pipelined requests`]() {
      serve(
        (request, response) => {
          say('server', request.url);
          process.nextTick(say, 'server', 'tick after', request.url);
          response.end(request.url);
          setTimeout(finish, 100);
          throw new Error(`in request ${request.url}`);
        },
        (start) => {
          const request = start('first');
          tell('first', request);
          request.on('socket', (socket) => {
            const ask = () => socket.write('GET /second HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(2));
            socket.once(module === 'https' ? 'secureConnect' : 'connect', ask);
            socket.on('close', () => say('first', 'closed'));
          });
        },
      );
    },
    [`${module}: data of a request`]() {
      serve(
        (request, response) => {
          throwing(request, 'server', once, (bytes) => bytes === 3 && response.writeContinue());
          request.on('end', () => response.end('thanks'));
        },
        (start) => {
          const request = start('post', { method: 'POST' });
          request.once('continue', () => tell('post', request.end('two') && request, finish));
          request.write('one');
        },
      );
    },
    [`${module}: data of a response`]() {
      let answer;
      serve(
        (_request, response) => {
          answer = response;
          response.write('one');
        },
        (start) => {
          start('get')
            .on('response', (response) => {
              throwing(response, 'get', once, (_, count) => {
                if (count === 1) setTimeout(() => answer.end('two'), 50);
              });
              watch(response, 'get', 'end', 'aborted', 'error', 'close');
              response.on('close', finish);
            })
            .end();
        },
      );
    },
    [`${module}: response`]() {
      serve(
        (request, response) => response.end(request.url),
        (start) => {
          const first = start('first');
          first.on('response', (response) => {
            response.resume();
            response.on('end', () => say('first', 'end'));
            setTimeout(finish, 200);
            throw new Error('in response');
          });
          first.end();
        },
      );
    },
    [`${module}: upgrade`]() {
      serve(
        () => {},
        (start) => {
          const request = start('upgrade', { headers: { connection: 'upgrade', upgrade: 'x' } });
          request.on('upgrade', (_response, socket) => {
            socket.on('data', (data) => say('upgrade', 'data', data));
            socket.on('close', finish);
            throw new Error('in upgrade');
          });
          request.end();
        },
      );
      open[0].on('upgrade', (_request, socket) => {
        socket.write('HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n');
        setTimeout(() => socket.end('later'), 50);
        throw new Error('in the upgrade of the server');
      });
    },
  });
}
webCases('http');
webCases('https');

/** What HTTP/2 has alike in the clear and over TLS. */
function streamCases(module, isSecure) {
  Object.assign(cases, {
    [`${module}: stream`]() {
      session(
        isSecure,
        (server) => {
          server.on('stream', (stream, headers) => {
            stream.respond({ ':status': 200 });
            stream.end(headers[':path']);
            if (headers[':path'] !== '/third') throw new Error(`in stream ${headers[':path']}`);
          });
        },
        (client) => {
          const third = () => ask(client, 'third', {}, finish);
          ask(client, 'first', {}, () => ask(client, 'second', {}, third));
        },
      );
    },
    [`${module}: data of a stream at the server`]() {
      session(
        isSecure,
        (server) => {
          server.on('stream', (stream) => {
            stream.respond({ ':status': 200 });
            throwing(stream, 'server', once, (bytes) => stream.write(`had ${bytes} `));
            stream.on('end', () => stream.end('all'));
          });
        },
        (client) => {
          const stream = ask(client, 'post', { ':method': 'POST' }, finish);
          stream.write('one');
          stream.once('data', () => stream.end('two'));
        },
      );
    },
    [`${module}: data of a stream at the client`]() {
      session(
        isSecure,
        (server) => {
          server.on('stream', (stream) => {
            stream.respond({ ':status': 200 });
            stream.write('one');
            stream.on('data', () => stream.end('two'));
          });
        },
        (client) => {
          const stream = ask(client, 'post', { ':method': 'POST' }, finish);
          stream.once('data', () => {
            stream.end('more');
            throw new Error('in data');
          });
        },
      );
    },
    [`${module}: response`]() {
      session(
        isSecure,
        (server) => {
          server.on('stream', (stream) => {
            stream.respond({ ':status': 200 });
            stream.end('body');
          });
        },
        (client) => {
          const stream = ask(client, 'first', {}, () => ask(client, 'second', {}, finish));
          stream.on('response', () => {
            throw new Error('in response');
          });
        },
      );
    },
    [`${module}: connect`]() {
      session(
        isSecure,
        () => {},
        (client) => {
          client.on('connect', () => {
            say('session', 'connect');
            setTimeout(() => process.exit(), 100);
            throw new Error('in connect');
          });
          client.ping(() => say('session', 'pinged'));
        },
      );
    },
    [`${module}: remoteSettings`]() {
      session(
        isSecure,
        (server) => {
          server.on('stream', (stream) => {
            stream.respond({ ':status': 200 });
            stream.end('body');
          });
        },
        (client) => {
          client.on('remoteSettings', () => {
            throw new Error('in remoteSettings');
          });
          ask(client, 'first', {}, finish);
        },
      );
    },
    [`${module}: session`]() {
      session(
        isSecure,
        (server) => {
          server.on('session', () => {
            setTimeout(() => process.exit(), 100);
            throw new Error('in session');
          });
        },
        (client) => void ask(client, 'first'),
      );
    },
    [`${module}: ping and goaway`]() {
      session(
        isSecure,
        (server) => {
          server.on('stream', (stream) => {
            stream.respond({ ':status': 200 });
            stream.session.goaway(0, 0, Buffer.from('enough'));
            stream.end('body');
          });
        },
        (client) => {
          client.on('goaway', () => {
            throw new Error('in goaway');
          });
          client.on('connect', () => {
            client.ping((error) => {
              say('session', 'pinged', error);
              ask(client, 'first', {}, () => setTimeout(() => process.exit(), 100));
              throw new Error('in ping');
            });
          });
        },
      );
    },
    [`${module}: ticks of callbacks of writes`]() {
      session(
        isSecure,
        (server) => {
          server.on('stream', (stream) => {
            stream.respond({ ':status': 200 });
            stream.pipe(stream);
          });
        },
        (client) => {
          const stream = ask(client, 'post', { ':method': 'POST' }, finish);
          stream.write('one', () => {
            process.nextTick(() => {
              stream.end('two');
              throw new Error('in the tick');
            });
          });
        },
      );
    },
    [`${module}: callbacks of writes`]() {
      session(
        isSecure,
        (server) => {
          server.on('stream', (stream) => {
            stream.respond({ ':status': 200 });
            stream.pipe(stream);
          });
        },
        (client) => {
          const stream = ask(client, 'post', { ':method': 'POST' }, finish);
          stream.write('one', () => {
            say('writes', 'one');
            stream.write('two', () => {
              say('writes', 'two');
              stream.end('three');
              throw new Error('in the second write');
            });
            throw new Error('in the first write');
          });
        },
      );
    },
    [`${module}: the context`]() {
      const storage = new AsyncLocalStorage();
      session(
        isSecure,
        (server) => {
          server.on('stream', (stream) => {
            say('server', 'in stream', storage.getStore());
            stream.respond({ ':status': 200 });
            stream.write('one');
            stream.on('data', () => stream.end('two'));
          });
        },
        (client) => {
          storage.run('of the request', () => {
            const stream = ask(client, 'post', { ':method': 'POST' }, finish);
            stream.on('response', () => {
              say('post', 'in response', storage.getStore());
            });
            stream.on('data', (text) => {
              say('post', 'in data', text, storage.getStore());
              if (text === 'one') stream.end('more');
              process.nextTick(() => say('post', 'in tick', storage.getStore()));
              throw new Error(`in data ${text}`);
            });
            stream.on('close', () => say('post', 'in close', storage.getStore()));
          });
        },
      );
    },
  });
  // Since Node 22, a handle of JavaScript tells of the last exception of a read only (docs/node.md).
  if (!isSecure && Number.parseInt(process.versions.node, 10) >= 22) return;
  Object.assign(cases, {
    [`${module}: data of several streams in one read`]() {
      session(
        isSecure,
        (server) => {
          server.on('stream', (stream, headers) => {
            stream.respond({ ':status': 200 });
            stream.end(`body of ${headers[':path']}`);
          });
        },
        (client) => {
          let left = 3;
          for (const part of ['first', 'second', 'third']) {
            const stream = ask(client, part, {}, () => --left === 0 && finish());
            stream.on('data', () => {
              process.nextTick(say, 'session', 'tick of', part);
              throw new Error(`in data of ${part}`);
            });
          }
        },
      );
    },
  });
}
streamCases('http2', false);
streamCases('http2 over tls', true);

const isHandled = name?.endsWith(', handled');
if (name === undefined) {
  console.log(JSON.stringify(Object.keys(cases).flatMap((one) => [`${one}, handled`, one])));
} else {
  process.on('exit', (code) => {
    for (const part of [...parts.keys()].sort()) {
      console.log(`[${part}]\n${parts.get(part).join('\n')}`);
    }
    console.log(`exit ${code}`);
  });
  if (isHandled) {
    process.on('uncaughtException', (error) => say('caught', error.message));
  } else {
    // The other case has compared what comes before it; and nothing comes after it.
    process.on('uncaughtExceptionMonitor', () => parts.clear());
  }
  // One that hangs says so.
  setTimeout(() => {
    say('hangs');
    process.exit(9);
  }, 5_000).unref();
  cases[name.replace(', handled', '')]();
}
