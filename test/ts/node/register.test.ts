// SPDX-License-Identifier: MIT
//
// node --import vpollnet/register: programs in processes of their own.

import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Stack } from 'vpollnet';
import { HostStack } from 'vpollnet';
import { root } from '../support.js';
import { commonJs, type Lab, lab, module, registered } from './child.js';
import { certificate, textOf } from './support.js';

const file = (name: string) => join(root, 'test/ts/node/programs', name);

/** Port 7 of the test's stack says what is said to it. */
async function echoLab(): Promise<Lab> {
  const made = await lab();
  made.stack.net.createServer((socket) => socket.pipe(socket)).listen(7);
  return made;
}

/** What the program printed, when it has ended well. */
async function printed(args: string[], words: string[] | string, env = {}): Promise<string[]> {
  const { code, stderr, stdout } = await registered(args, words, env).ended;
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return stdout.trimEnd().split('\n');
}

const talk = `
  const socket = connect(7, '10.0.0.1', () => console.log(socket.localAddress, socket.remoteAddress));
  socket.end('hello').on('data', (data) => console.log(String(data)));`;

describe("the program's modules", () => {
  test.each([
    ['require()', commonJs(`const { connect } = require('net'); ${talk}`)],
    ['require() of node:', commonJs(`const { connect } = require('node:net'); ${talk}`)],
    [
      'import of the module',
      module(`import net from 'node:net'; const { connect } = net; ${talk}`),
    ],
    ['import of names', module(`import { connect } from 'node:net'; ${talk}`)],
    ['import of all', module(`import * as net from 'net'; const { connect } = net; ${talk}`)],
    ['import()', module(`const { connect } = await import('node:net'); ${talk}`)],
    [
      'a class of its own',
      module(`import { Socket } from 'node:net'; class Own extends Socket {};
        const connect = (...all) => new Own().connect(...all); ${talk}`),
    ],
  ])('are on the stack by %s', async (_, program) => {
    const { words } = await echoLab();
    expect(await printed(program, words)).toEqual(['10.0.0.2 10.0.0.1', 'hello']);
  });

  test('listen on the stack, and not on the host', async () => {
    const { stack, words } = await lab();
    const program = registered(
      module(`
        import { createServer } from 'node:http';
        import { connect } from 'node:net';
        createServer(({ url, socket }, response) => {
          response.end(url + ' ' + socket.remoteAddress + ' ' + socket.localAddress);
          socket.server.close();
        }).listen(8080, '10.0.0.2', () => console.log('ready'));`),
      words,
    );
    await program.shows('ready');
    const response = await stack.fetch('http://10.0.0.2:8080/path');
    expect(await response.text()).toBe('/path 10.0.0.1 10.0.0.2');
    stack.close();
    expect(await program.ended).toMatchObject({ code: 0, stderr: '' });
  });

  test("do not reach what listens on the host's loopback", async () => {
    const host = await HostStack.open();
    onTestFinished(() => host.close());
    const { createServer } = await import('node:net');
    const server = createServer().listen(0, '127.0.0.1');
    onTestFinished(() => {
      server.close();
    });
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const { words } = await lab();
    const text = `import { connect } from 'node:net';
      connect(${port}, '127.0.0.1').on('error', ({ code }) => console.log(code));`;
    expect(await printed(module(text), words)).toEqual(['ECONNREFUSED']);
  });

  test('are on the stack for what Node has on top: https, http2, fetch', async () => {
    const { stack, words } = await lab();
    const pems = await certificate();
    const answer = ({ socket }: { socket: { remoteAddress?: string | undefined } }) =>
      `${socket.remoteAddress?.replace('::ffff:', '')}`;
    stack.https
      .createServer(pems, (request, response) => response.end(answer(request)))
      .listen(443);
    stack.http2
      .createSecureServer(pems, (request, response) => response.end(answer(request)))
      .listen(444);
    stack.http.createServer((request, response) => response.end(answer(request))).listen(80);
    const lines = await printed(
      module(`
        import https from 'node:https';
        import { connect } from 'node:http2';
        const all = async (stream) => (await stream.toArray()).join('');
        const options = { rejectUnauthorized: false };
        https.get('https://10.0.0.1/', { ...options, agent: false }, async (response) => {
          console.log('https', await all(response));
          const session = connect('https://10.0.0.1:444', options);
          console.log('http2', await all(session.request({ ':path': '/' })));
          session.close();
          console.log('fetch', await (await fetch('http://10.0.0.1/')).text());
        });`),
      words,
    );
    expect(lines).toEqual(['https 10.0.0.2', 'http2 10.0.0.2', 'fetch 10.0.0.2']);
  });

  test('leave Unix sockets to the host', async () => {
    const { words } = await lab();
    const text = `import { connect, createServer } from 'node:net';
      const server = createServer((socket) => socket.end('by path')).listen('\\0vpollnet-' + process.pid, () => {
        connect(server.address()).on('data', (data) => { console.log(String(data)); server.close(); });
      });`;
    expect(await printed(module(text), words)).toEqual(['by path']);
  });

  test('are there before a module of --require or --import that comes later', async () => {
    const { words } = await echoLab();
    const later = `data:text/javascript,import { connect } from 'node:net'; globalThis.connect = connect;`;
    expect(await printed(['--import', later, ...commonJs(talk)], words)).toEqual([
      '10.0.0.2 10.0.0.1',
      'hello',
    ]);
  });
});

describe('names', () => {
  const resolve = `import { lookup } from 'node:dns/promises'; import dns from 'node:dns'; import { connect } from 'node:net';
    for (const name of process.argv.slice(1)) {
      console.log(await lookup(name).then(({ address }) => address, ({ code }) => code));
    }
    const last = process.argv.at(-1);
    dns.lookup(last, (error, address) => {
      console.log(error?.code ?? address);
      connect(7, last).on('connect', function () { console.log(this.remoteAddress); this.end(); })
        .on('error', ({ code }) => console.log(code));
    });`;

  test("are the stack's own by --host", async () => {
    const { words } = await echoLab();
    const more = ['--host', 'b.test=10.0.0.3', '--host', 'a.test=10.0.0.1'];
    const lines = await printed([...module(resolve), 'b.test', 'a.test'], [...words, ...more]);
    expect(lines).toEqual(['10.0.0.3', '10.0.0.1', '10.0.0.1', '10.0.0.1']);
  });

  test('are asked of the server of --dns, and completed by --search', async () => {
    const { stack, words } = await echoLab();
    const forwarder = stack.dnsForwarder({
      to: stack,
      servers: ['10.0.0.1'],
      policy: () => 'nxdomain',
      records: { 'near.lab': ['10.0.0.1'] },
    });
    onTestFinished(() => forwarder.close());
    const more = ['--dns', '10.0.0.1', '--search', 'lab'];
    const lines = await printed([...module(resolve), 'no.lab', 'near'], [...words, ...more]);
    expect(lines).toEqual(['ENOTFOUND', '10.0.0.1', '10.0.0.1', '10.0.0.1']);
  });

  test('are those of a worker too', async () => {
    const { words } = await echoLab();
    const text = `const { Worker } = require('worker_threads');
      new Worker("require('dns').lookup('a.test', (_, address) => console.log(address))", { eval: true });`;
    expect(await printed(commonJs(text), [...words, '--host', 'a.test=10.0.0.1'])).toEqual([
      '10.0.0.1',
    ]);
  });
});

describe('worker threads', () => {
  const start = (what: string) => `
    const { Worker } = require('node:worker_threads');
    const worker = new Worker(${what});
    worker.on('message', (message) => console.log(...message));
    worker.on('exit', (code) => console.log(code));`;

  test.each([
    ['a module', `${JSON.stringify(file('worker.mjs'))}, { workerData: 'hi' }`],
    ['a CommonJS file', `${JSON.stringify(file('worker.cjs'))}, { workerData: 'hi' }`],
    ['a URL', `new URL(${JSON.stringify(`file://${file('worker.mjs')}`)}), { workerData: 'hi' }`],
    [
      // With the addon that is tested, which is the same one as in the main thread.
      'a file with options of Node and an environment of its own',
      `${JSON.stringify(file('worker.mjs'))}, { workerData: 'hi', execArgv: ['--no-warnings'],
        env: { VPOLLNET_ADDON: process.env.VPOLLNET_ADDON ?? '' } }`,
    ],
    [
      'a string with require()',
      `"require('vm'); require(" + ${JSON.stringify(JSON.stringify(file('worker.cjs')))} + ')', { eval: true, workerData: 'hi' }`,
    ],
    [
      'a string with import()',
      `"import(" + ${JSON.stringify(JSON.stringify(file('worker.mjs')))} + ')', { eval: true, workerData: 'hi' }`,
    ],
  ])('are on the same stack: %s', async (_, what) => {
    const { words } = await echoLab();
    expect(await printed(commonJs(start(what)), words)).toEqual(['hi 10.0.0.2', '0']);
  });

  test('started by worker threads are too', async () => {
    const { words } = await echoLab();
    const inner = `new (require('worker_threads').Worker)(${JSON.stringify(file('worker.cjs'))}, { workerData: 'hi' })
      .on('message', (message) => console.log(...message))`;
    const text = start(`${JSON.stringify(inner)}, { eval: true }`);
    expect(await printed(commonJs(text), words)).toEqual(['hi 10.0.0.2', '0']);
  });

  test("whose text throws, or is none, end with 'error' as ever", async () => {
    const { words } = await lab();
    const text = `const { Worker } = require('node:worker_threads');
      const run = ([text, ...more]) => text && new Worker(text, { eval: true })
        .on('error', ({ name }) => console.log(name)).on('exit', () => run(more));
      run(['throw new RangeError("mine")', 'no text']);`;
    expect(await printed(commonJs(text), words)).toEqual(['RangeError', 'SyntaxError']);
  });

  test('end with connections open, and the others go on', async () => {
    const { stack, words } = await lab();
    const ends: string[] = [];
    stack.net
      .createServer((socket) => {
        socket.on('error', ({ message }) => ends.push(message));
        socket.on('end', () => ends.push('end')).resume();
        socket.write('hello');
      })
      .listen(7);
    // A module, as its parent is one.
    const worker = `import { connect } from 'node:net'; import { parentPort } from 'node:worker_threads';
      connect(7, '10.0.0.1').on('data', () => parentPort.postMessage('open'));`;
    const text = `import { Worker } from 'node:worker_threads'; import { once } from 'node:events';
      import { connect } from 'node:net';
      const worker = new Worker(${JSON.stringify(worker)}, { eval: true });
      await once(worker, 'message');
      console.log(await worker.terminate());
      const socket = connect(7, '10.0.0.1');
      console.log(String((await once(socket, 'data'))[0]));
      socket.end();`;
    expect(await printed(module(text), words)).toEqual(['1', 'hello']);
    await expect.poll(() => ends.length, { timeout: 20_000 }).toBe(2);
    expect(ends).toEqual(['end', 'end']);
  });
});

describe('the end of the process', () => {
  /** Port 9 of the test's stack reads all, slowly, and tells how it ended. */
  function sink(stack: Stack): Promise<[bytes: number, end: string]> {
    return new Promise((resolve) => {
      stack.net
        .createServer((socket) => {
          let bytes = 0;
          socket.on('data', (data) => {
            bytes += data.length;
          });
          socket.on('end', () => resolve([bytes, 'end']));
          socket.on('error', (error) => resolve([bytes, error.message]));
        })
        .listen(9);
    });
  }
  const large = 2 ** 20;
  const text = (then: string) =>
    `import { connect } from 'node:net'; const socket = connect(9, '10.0.0.1'); ${then}`;

  test.each([
    ['that is written and ended', `socket.end(Buffer.alloc(${large}));`, 0],
    [
      'that is ended before an exit',
      `socket.end(Buffer.alloc(${large}), () => process.exit(3));`,
      3,
    ],
    [
      'that is written before an exit, with no end',
      `socket.write(Buffer.alloc(${large}), () => process.exit(4));`,
      4,
    ],
    [
      'that is written before an error',
      `socket.write(Buffer.alloc(${large}), () => { throw new Error('mine'); });`,
      1,
    ],
  ])('comes when the peer has all %s', async (_, then, code) => {
    const { stack, words } = await lab();
    const got = sink(stack);
    expect(await registered(module(text(then)), words).ended).toMatchObject({ code });
    expect(await got).toEqual([large, 'end']);
  });

  test('does not wait for ever for a peer that is gone', async () => {
    const { stack, words } = await lab();
    stack.net.createServer((socket) => socket.pause()).listen(9);
    const program = registered(
      module(
        text(`socket.write(Buffer.alloc(2 ** 24)); socket.once('connect', () => {
        console.log('open'); process.stdin.once('data', () => process.exit(5)); });`),
      ),
      words,
    );
    await program.shows('open');
    program.child.stdin?.write('end\n');
    expect(await program.ended).toMatchObject({ code: 5, stderr: '' });
  });

  test('has the exit code of the program', async () => {
    const { words } = await lab();
    for (const [args, code] of [
      [['-e', 'process.exitCode = 7'], 7],
      [['-e', 'process.exit(8)'], 8],
      [['no-such-file.js'], 1],
    ] as const) {
      expect((await registered([...args], words).ended).code).toBe(code);
    }
  });

  test('comes by itself when a server is closed or unref()ed, or nothing was begun', async () => {
    const { words } = await lab();
    for (const program of ['', `require('net').createServer().listen(1).unref()`]) {
      expect(await printed(commonJs(program), words)).toEqual(['']);
    }
  });

  test('comes by a signal, or by what the program does at one', async () => {
    const { stack, words } = await lab();
    const got = sink(stack);
    const own = registered(
      module(
        text(`process.on('SIGTERM', () => { socket.end('bye'); });
          socket.on('connect', () => console.log('ready')); socket.on('close', () => process.exit(6));`),
      ),
      words,
    );
    await own.shows('ready');
    own.child.kill('SIGTERM');
    expect((await own.ended).code).toBe(6);
    expect(await got).toEqual([3, 'end']);
    const none = registered(
      module(text(`socket.on('connect', () => console.log('ready'));`)),
      words,
    );
    await none.shows('ready');
    none.child.kill('SIGTERM');
    expect((await none.ended).signal).toBe('SIGTERM');
  });
});

describe('VPOLLNET', () => {
  test('may be the options of Stack.open() as JSON, or words as JSON', async () => {
    const { words } = await echoLab();
    const links = [{ url: words[1], addresses: [words[3]] }];
    const program = commonJs(`const { connect } = require('net'); ${talk}`);
    for (const value of [{ links, name: 'two words' }, [...words, '--name', 'two words']]) {
      expect(await printed(program, JSON.stringify(value))).toEqual(['10.0.0.2 10.0.0.1', 'hello']);
    }
  });

  test.each([
    ['', /^vpollnet: VPOLLNET is not set; it describes the stack: VPOLLNET='--link .*'$/],
    ['--link', /^vpollnet: VPOLLNET: .*--link <value>' argument missing$/],
    ['--lnk x', /^vpollnet: VPOLLNET: Unknown option '--lnk'$/],
    ['app.js', /^vpollnet: VPOLLNET: Unexpected argument 'app\.js'$/],
    ['--name x', /^vpollnet: VPOLLNET: no --link is given/],
    ['--address 10.0.0.2/24', /: --address 10\.0\.0\.2\/24: no --link before it$/],
    ['--gateway 10.0.0.1 --link cable:x', /: --gateway 10\.0\.0\.1: no --link before it$/],
    ['--link cable:x --address 10.0.0.2', /: --address must be ADDRESS\/PREFIX, .* '10\.0\.0\.2'$/],
    ['--link cable:x --host a', /^vpollnet: VPOLLNET: --host must be NAME=ADDRESS, not 'a'$/],
    ['--link cable:x --host a=b', /^vpollnet: --host must be an IPv4 or IPv6 address.*'b'$/],
    ['--link cable:x --dns nix', /^vpollnet: --dns must be an address.*'nix'$/],
    [
      '--link cable:x --address 10.0.0.300/24',
      /^vpollnet: --address must be an address.*300\/24'$/,
    ],
    ['--link cable:x --gateway 10.9.9.9', /^vpollnet: addLink ENETUNREACH .*10\.9\.9\.9$/],
    ['--link foo:bar', /^vpollnet: --link cannot be opened: unknown link 'foo:bar'/],
    ['--link qemu:stream:///no/such', /^vpollnet: connect ENOENT qemu:stream:\/\/\/no\/such/],
    ['{', /^vpollnet: VPOLLNET: not JSON: /],
    ['["--link", 3]', /^vpollnet: VPOLLNET: a list of words has 3, which is none$/],
    ['{"links":3}', /^vpollnet: The "options\.links" property must be an instance of Array/],
  ])(
    '%j is told in one line, with exit code 2, before the program begins',
    async (line, message) => {
      const { code, stderr, stdout } = await registered(['-p', '"began"'], line).ended;
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
      expect(stderr).toMatch(/^[^\n]*\n$/);
      expect(stderr.trimEnd()).toMatch(message);
    },
  );
});

test('a stream that comes in pieces is whole', async () => {
  const { stack, words } = await lab();
  const program = registered(
    module(`import { createServer } from 'node:net';
      const server = createServer((socket) => { process.stdin.pipe(socket); server.close(); })
        .listen(7, () => console.log('ready'));`),
    words,
  );
  await program.shows('ready');
  const socket = stack.net.connect(7, '10.0.0.2');
  await once(socket, 'connect');
  for (let i = 0; i < 100; i += 1) program.child.stdin?.write(`line ${i}\n`);
  program.child.stdin?.end();
  const text = await textOf(socket);
  expect(text.split('\n')).toHaveLength(101);
  expect(text).toContain('line 99\n');
});
