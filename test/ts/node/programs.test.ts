// SPDX-License-Identifier: MIT
//
// Programs of packages that know nothing of us, with vpollnet/register: each in a process of its own, whose network
// is a stack.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net, { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Stack } from 'vpollnet';
import { WebSocket, WebSocketServer } from 'ws';
import { lab, module, registered } from './child.js';

/** Until the server in the child answers. */
async function serverOf(program: string): Promise<Stack> {
  const { stack, words } = await lab();
  const child = registered(module(program), words);
  await child.shows('ready');
  return stack;
}

/** A web server of the test's, at 10.0.0.1:80, that says what it was asked. */
async function webLab() {
  const made = await lab();
  const server = made.stack.http
    .createServer((request, response) => {
      request.setEncoding('utf8');
      let body = '';
      request.on('data', (text) => {
        body += text;
      });
      request.on('end', () => {
        response.setHeader('content-type', 'application/json');
        response.end(JSON.stringify({ url: request.url, method: request.method, body }));
      });
    })
    .listen(80);
  await once(server, 'listening');
  return made;
}

async function output(program: string, words: string[]): Promise<string> {
  const { code, stderr, stdout } = await registered(module(program), words).ended;
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return stdout.trim();
}

describe('servers', () => {
  test('express', async () => {
    const stack = await serverOf(`
      import express from 'express';
      const app = express();
      app.use(express.json());
      app.get('/hello/:name', (request, response) => response.json({ hello: request.params.name, from: request.ip }));
      app.post('/sum', (request, response) => response.send(String(request.body.a + request.body.b)));
      app.listen(80, () => console.log('ready'));`);
    const hello = await stack.fetch('http://10.0.0.2/hello/world');
    expect(await hello.json()).toEqual({ hello: 'world', from: '::ffff:10.0.0.1' });
    const sum = await stack.fetch('http://10.0.0.2/sum', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"a":40,"b":2}',
    });
    expect(await sum.text()).toBe('42');
  });

  test('fastify', async () => {
    const stack = await serverOf(`
      import fastify from 'fastify';
      const app = fastify();
      app.get('/items/:id', async (request) => ({ id: request.params.id, from: request.ip }));
      await app.listen({ port: 80, host: '10.0.0.2' });
      console.log('ready');`);
    const item = await stack.fetch('http://10.0.0.2/items/7');
    expect(await item.json()).toEqual({ id: '7', from: '10.0.0.1' });
  });

  test('ws', async () => {
    const stack = await serverOf(`
      import { WebSocketServer } from 'ws';
      const server = new WebSocketServer({ port: 80 }, () => console.log('ready'));
      server.on('connection', (socket) => socket.on('message', (data, binary) => socket.send(data, { binary })));`);
    const socket = new WebSocket('ws://10.0.0.2/', { agent: stack.http.globalAgent });
    await once(socket, 'open');
    socket.send('hello');
    expect(String((await once(socket, 'message'))[0])).toBe('hello');
    const big = Buffer.alloc(1 << 20, 'x');
    socket.send(big);
    expect(big.equals((await once(socket, 'message'))[0])).toBe(true);
    socket.close();
    await once(socket, 'close');
  });
});

describe('clients', () => {
  test.each([
    [
      'undici',
      `import { request } from 'undici';
       const { body } = await request('http://10.0.0.1/undici', { method: 'POST', body: 'text' });
       console.log(await body.text());`,
    ],
    [
      'got',
      `import got from 'got';
       console.log(await got.post('http://10.0.0.1/got', { body: 'text' }).text());`,
    ],
    [
      'axios',
      `import axios from 'axios';
       console.log(JSON.stringify((await axios.post('http://10.0.0.1/axios', 'text')).data));`,
    ],
  ])('%s', async (name, program) => {
    const { words } = await webLab();
    const asked = JSON.parse(await output(program, words));
    expect(asked).toEqual({ url: `/${name}`, method: 'POST', body: 'text' });
  });

  test('ws', async () => {
    const { stack, words } = await lab();
    const server = stack.http.createServer().listen(80);
    await once(server, 'listening');
    new WebSocketServer({ server }).on('connection', (socket) => {
      socket.on('message', (data) => socket.send(`you said ${data}`));
    });
    const program = `
      import { WebSocket } from 'ws';
      const socket = new WebSocket('ws://10.0.0.1/');
      socket.on('open', () => socket.send('hello'));
      socket.on('message', (data) => { console.log(String(data)); socket.close(); });`;
    expect(await output(program, words)).toBe('you said hello');
  });
});

function isMissing(command: string): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${command}`], { stdio: 'ignore' });
    return false;
  } catch {
    if (process.env.VPOLLNET_CI === '1') throw new Error(`${command} is not installed`);
    process.stderr.write(`[skip] ${command} is not installed\n`);
    return true;
  }
}

/** A server of Debian's on the host's loopback, which the stack's port leads to. */
async function behind(
  stack: Stack,
  port: number,
  serve: (port: number, folder: string) => string[],
) {
  const probe = net.createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const hostPort = (probe.address() as AddressInfo).port;
  probe.close();
  const folder = mkdtempSync(join(tmpdir(), 'vpollnet-programs-'));
  const [command = '', ...args] = serve(hostPort, folder);
  // Not with a sanitizer's runtime loaded into it.
  const env = { ...process.env, LD_PRELOAD: undefined };
  const server: ChildProcess = spawn(command, args, { cwd: folder, stdio: 'ignore', env });
  onTestFinished(async () => {
    server.kill();
    if (server.exitCode === null && server.signalCode === null) await once(server, 'exit');
    rmSync(folder, { recursive: true, force: true });
  });
  for (let tries = 0; ; tries += 1) {
    const socket = net.connect(hostPort, '127.0.0.1');
    try {
      await once(socket, 'connect');
      socket.destroy();
      break;
    } catch (error) {
      if (tries === 200) throw error;
      await sleep(50);
    }
  }
  const entrance = stack.net.createServer((socket) => {
    const through = net.connect(hostPort, '127.0.0.1');
    socket.pipe(through).pipe(socket);
    socket.on('error', () => through.destroy());
    through.on('error', () => socket.destroy());
  });
  entrance.listen(port);
  await once(entrance, 'listening');
}

describe("clients of Debian's servers", () => {
  test.skipIf(isMissing('mosquitto'))('mqtt, to mosquitto', async () => {
    const { stack, words } = await lab();
    await behind(stack, 1883, (port, folder) => {
      const settings = join(folder, 'mosquitto.conf');
      writeFileSync(settings, `listener ${port} 127.0.0.1\nallow_anonymous true\n`);
      return ['mosquitto', '-c', settings];
    });
    const program = `
      import mqtt from 'mqtt';
      const client = await mqtt.connectAsync('mqtt://10.0.0.1');
      await client.subscribeAsync('room/+');
      client.on('message', async (topic, message) => {
        console.log(topic, String(message));
        await client.endAsync();
      });
      await client.publishAsync('room/1', 'hello', { qos: 1 });`;
    expect(await output(program, words)).toBe('room/1 hello');
  });

  test.skipIf(isMissing('redis-server'))('ioredis, to redis-server', async () => {
    const { stack, words } = await lab();
    await behind(stack, 6379, (port) => [
      'redis-server',
      ...['--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'],
    ]);
    const program = `
      import Redis from 'ioredis';
      const redis = new Redis({ host: '10.0.0.1' });
      await redis.set('key', 'x'.repeat(300_000));
      const [[, length], [, count]] = await redis.pipeline().strlen('key').incr('count').exec();
      console.log(length, count);
      await redis.quit();`;
    expect(await output(program, words)).toBe('300000 1');
  });
});
