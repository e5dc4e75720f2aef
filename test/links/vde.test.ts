// SPDX-License-Identifier: MIT
//
// Links over libvdeplug: our stacks and the Linux kernel on Debian's vde_switch (see vde-switch.ts).

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { realpathSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type LinkOptions, POLLIN, Stack, type TcpSocket } from '../../ts/index.js';
import {
  connect,
  ip,
  kernelServer,
  material,
  ready,
  receiveAll,
  sendAll,
  sh,
} from '../interop/support.js';
import { until, VdeSwitch, vdeObstacle } from './vde-switch.js';

const obstacle = vdeObstacle();
if (obstacle !== null) process.stderr.write(`vpollnet: tests of VDE skipped: ${obstacle}\n`);
const megabytes = process.env.VPOLLNET_SANITIZED ? 2 : 20;
const root = fileURLToPath(new URL('../..', import.meta.url));

/** A stack that is closed at the end of the test. */
async function open(url: string, address: string, more: Partial<LinkOptions> = {}): Promise<Stack> {
  const stack = await Stack.open({ links: [{ url, addresses: [address], dad: false, ...more }] });
  onTestFinished(() => stack.close());
  return stack;
}

async function ping(stack: Stack, host: string, size = 32): Promise<void> {
  const socket = stack.socket('icmp');
  socket.connect({ host });
  const data = Buffer.alloc(size, 'ping');
  socket.send(data);
  await ready(socket, POLLIN);
  expect(socket.read()?.equals(data)).toBe(true);
  socket.close();
}

/** A connection from `near` to a listener on `far`. */
async function pair(near: Stack, far: Stack, host: string): Promise<[TcpSocket, TcpSocket]> {
  const listener = far.socket('tcp').bind({ host, port: 7 }).listen();
  const client = await connect(near, host, 7);
  await ready(listener, POLLIN);
  const server = listener.accept();
  listener.close();
  if (server === null) throw new Error('no connection');
  return [client, server];
}

/** Sends `times` MiB on one socket; they come out of the other one whole. */
async function carry(from: TcpSocket, to: TcpSocket, times = megabytes): Promise<void> {
  const { piece, digest } = material(times);
  const hash = createHash('sha256');
  const received = receiveAll(to, (data) => hash.update(data));
  for (let i = 0; i < times; i += 1) await sendAll(from, piece);
  from.shutdown('write');
  expect(await received).toBe(times * piece.length);
  expect(hash.digest('hex')).toBe(digest);
}

describe.skipIf(obstacle !== null)('two stacks and the kernel on a switch', () => {
  let vde: VdeSwitch;
  let left: Stack;
  let right: Stack;
  beforeAll(async () => {
    vde = await new VdeSwitch().start();
    await vde.attachTap('vdetap0', '10.77.0.1/24');
    const link = (addresses: string[]) => ({ links: [{ url: vde.url, dad: false, addresses }] });
    left = await Stack.open(link(['10.77.0.2/24', 'fd77::2/64']));
    right = await Stack.open(link(['10.77.0.3/24', 'fd77::3/64']));
  });
  afterAll(async () => {
    await left?.close();
    await right?.close();
    await vde.remove();
    ip('link', 'delete', 'vdetap0');
  });

  test('all ping each other', async () => {
    for (const own of ['10.77.0.2', '10.77.0.3']) {
      expect(await sh('ping', '-c', '3', '-i', '0.05', '-W', '2', own)).toContain('3 received');
    }
    await ping(left, '10.77.0.1');
    await ping(left, '10.77.0.3', 5000);
    await ping(right, 'fd77::2', 5000);
  });

  test(`${megabytes} MB go from stack to stack whole`, async () => {
    const [client, server] = await pair(left, right, '10.77.0.3');
    await carry(client, server);
    client.close();
    server.close();
  });

  test(`${megabytes} MB go to the kernel whole, and as many come back`, async () => {
    const { piece, digest } = material(megabytes);
    const hash = createHash('sha256');
    const server = await kernelServer('10.77.0.1', (socket) => {
      socket.on('data', (data) => hash.update(data));
      socket.on('end', async () => {
        for (let i = 0; i < megabytes; i += 1) {
          if (!socket.write(piece)) await once(socket, 'drain');
        }
        socket.end();
      });
    });
    const socket = await connect(left, '10.77.0.1', server.port);
    for (let i = 0; i < megabytes; i += 1) await sendAll(socket, piece);
    socket.shutdown('write');
    const back = createHash('sha256');
    await receiveAll(socket, (data) => back.update(data));
    expect([hash.digest('hex'), back.digest('hex')]).toEqual([digest, digest]);
    socket.close();
    await server.close();
  });

  test('a client of the kernel reaches a listener of a stack', async () => {
    const listener = right.socket('tcp').bind({ host: '10.77.0.3', port: 7001 }).listen();
    const client = net.connect({ host: '10.77.0.3', port: 7001 });
    await ready(listener, POLLIN);
    const socket = listener.accept() as TcpSocket;
    client.end('from the kernel');
    let text = '';
    await receiveAll(socket, (piece) => {
      text += piece;
    });
    expect(text).toBe('from the kernel');
    client.destroy();
    socket.close();
    listener.close();
  });

  test('what a link carried is counted, and nothing was dropped as malformed', () => {
    const { counters, error } = left.links()[0] as ReturnType<Stack['links']>[number];
    expect(error).toBeNull();
    expect(counters.framesIn).toBeGreaterThan(100);
    expect(counters.framesOut).toBeGreaterThan(100);
    expect(counters.drops).toMatchObject({ malformed: 0, too_long: 0, down: 0 });
  });

  test('the terminal talks to a host on another stack', async () => {
    const listener = right.socket('tcp').bind({ host: '10.77.0.3', port: 2323 }).listen();
    const echo = (async () => {
      await ready(listener, POLLIN);
      const socket = listener.accept() as TcpSocket;
      const pieces: Buffer[] = [];
      await receiveAll(socket, (piece) => pieces.push(Buffer.from(piece)));
      await sendAll(socket, Buffer.concat(pieces));
      socket.shutdown('write');
      return socket;
    })();
    const terminal = spawn(
      process.execPath,
      [
        join(root, 'dist/examples/terminal.js'),
        ...['--link', vde.url, '--address', '10.77.0.9/24', '--connect', '10.77.0.3:2323'],
      ],
      { stdio: ['pipe', 'pipe', 'pipe'] },
    );
    terminal.stdin.end('over the switch\n');
    let said = '';
    for (const stream of [terminal.stdout, terminal.stderr]) {
      stream.on('data', (data) => {
        said += data;
      });
    }
    const [code] = await once(terminal, 'close');
    expect({ code, said }).toEqual({ code: 0, said: 'over the switch\n' });
    (await echo).close();
    listener.close();
  });
});

describe.skipIf(obstacle !== null)('a switch', () => {
  test('that dies and comes back: the link is down, then up, and connections go on', async () => {
    const vde = await new VdeSwitch().start();
    onTestFinished(() => vde.remove());
    const left = await open(vde.url, '10.77.1.1/24', { gateways: ['10.77.1.2'] });
    const right = await open(vde.url, '10.77.1.2/24');
    const [client, server] = await pair(left, right, '10.77.1.2');
    const set = { addresses: left.addresses(), routes: left.routes() };

    const downs = [once(left, 'linkdown'), once(right, 'linkdown')];
    await vde.stop();
    const [[down]] = (await Promise.all(downs)) as [[{ error: Error }], unknown];
    expect(down).toMatchObject({ interface: 'eth0', url: vde.url, error: { code: 'ECONNRESET' } });
    expect(left.interfaces().find(({ name }) => name === 'eth0')?.up).toBe(false);
    expect(left.links()[0]?.error).toMatchObject({ code: 'ECONNRESET' });
    // As on a host whose interface is down.
    const noRoute = expect.objectContaining({ code: 'ENETUNREACH' });
    expect(() => left.socket('tcp').connect({ host: '10.77.1.2', port: 7 })).toThrow(noRoute);
    const datagrams = left.socket('udp');
    expect(() => datagrams.sendTo('x', { host: '10.77.1.2', port: 9 })).toThrow(noRoute);
    // Connections wait, and take what is sent.
    expect(client.state).toBe('ESTABLISHED');
    client.send('written while the switch was down');

    const ups = [once(left, 'linkup'), once(right, 'linkup')];
    await vde.start();
    const [[up]] = (await Promise.all(ups)) as [[object], unknown];
    expect(up).toMatchObject({ interface: 'eth0', url: vde.url });
    expect({ addresses: left.addresses(), routes: left.routes() }).toEqual(set);
    expect(left.links()[0]?.error).toBeNull();
    await ready(server, POLLIN);
    expect(server.read()?.toString()).toBe('written while the switch was down');
    await carry(server, client, 1);
    datagrams.sendTo('y', { host: '10.77.1.2', port: 9 });
  });

  test('that dies for good takes a link without `reconnect` down for good', async () => {
    const vde = await new VdeSwitch().start();
    onTestFinished(() => vde.remove());
    const stack = await open(vde.url, '10.77.2.1/24', { reconnect: false });
    const down = once(stack, 'linkdown');
    await vde.stop('SIGTERM');
    await down;
    await vde.start();
    await new Promise((resolve) => setTimeout(resolve, 2500));
    expect(stack.links()[0]?.error).toMatchObject({ code: 'ECONNRESET' });
  });

  test('that is gone lets its link be removed and its stack be closed', async () => {
    const vde = await new VdeSwitch().start();
    onTestFinished(() => vde.remove());
    const stack = await open(vde.url, '10.77.3.1/24');
    const down = once(stack, 'linkdown');
    await vde.stop();
    await down;
    await new Promise((resolve) => setTimeout(resolve, 1200)); // an attempt has failed
    stack.removeLink('eth0');
    expect(stack.links()).toEqual([]);
    await stack.close();
  });

  test('that takes connections and never answers holds up nobody', async () => {
    const vde = await new VdeSwitch().start();
    onTestFinished(() => vde.remove());
    const stack = await open(vde.url, '10.77.3.1/24');
    const down = once(stack, 'linkdown');
    await vde.stop();
    await down;
    const silent = await vde.pretend();
    await until('an attempt waits', () => silent.clients() === 1);
    expect(stack.links()[0]?.error).toMatchObject({ code: 'ECONNRESET' });
    stack.removeLink('eth0');
    await stack.close();
    await silent.close();
  });

  test('that does so lets a worker end, and what it waits in does the process no harm', async () => {
    const vde = await new VdeSwitch().start();
    onTestFinished(() => vde.remove());
    const program = join(root, 'test/links/programs/worker-ends.mjs');
    const child = spawn(process.execPath, [program, vde.url], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const ended = once(child, 'exit');
    let said = '';
    child.stdout.on('data', (data) => {
      said += data;
    });
    await until('the link is up', () => said === 'up\n');
    await vde.stop();
    await until('the link is down', () => said.endsWith('down\n'));
    const silent = await vde.pretend();
    await until('an attempt waits', () => silent.clients() === 1);
    child.stdin.write('go on\n');
    await until('the worker has ended', () => said.endsWith('the worker has ended\n'));
    await silent.close();
    child.stdin.write('go on\n');
    expect(await ended).toEqual([0, null]);
    expect(said).toBe('up\ndown\nthe worker has ended\nstill here\n');
  });
});

describe.skipIf(obstacle !== null)('other locators', () => {
  test('a command is talked to by way of a thread, and ends with the link', async () => {
    const vde = await new VdeSwitch().start();
    onTestFinished(() => vde.remove());
    const near = await open(`cmd://vde_plug ${vde.url}`, '10.77.5.1/24', { ipv6: false });
    const far = await open(`vdeplug:${vde.path}`, '10.77.5.2/24', { ipv6: false });
    await ping(near, '10.77.5.2', 4000);
    const [client, server] = await pair(near, far, '10.77.5.2');
    await carry(client, server, 2);
    const running = () => spawnSync('pgrep', ['-f', `^vde_plug ${vde.url}`]).status === 0;
    expect(running()).toBe(true);
    await near.close();
    await until('the command has ended', () => !running());
  });

  test('a command that ends is a link that is down', async () => {
    const stack = await open('cmd://sleep 0.3', '10.77.6.1/24', { reconnect: false, ipv6: false });
    const [down] = await once(stack, 'linkdown');
    expect(down).toMatchObject({ error: { code: 'ECONNRESET' } });
  });

  test('a TAP of libvdeplug, by the scheme that says so', async () => {
    const stack = await open('vdeplug:tap://vdetap1', '10.77.7.2/24', { ipv6: false });
    ip('link', 'set', 'vdetap1', 'up');
    ip('address', 'add', '10.77.7.1/24', 'dev', 'vdetap1');
    expect(await sh('ping', '-c', '2', '-i', '0.05', '-W', '2', '10.77.7.2')).toContain(
      '2 received',
    );
    await ping(stack, '10.77.7.1');
    await stack.close();
    await until('the TAP is gone', () => spawnSync('ip', ['link', 'show', 'vdetap1']).status !== 0);
  });

  test('two stacks on the ends of a ptp:, with frames as large as they are told and no larger', async () => {
    const vde = new VdeSwitch();
    onTestFinished(() => vde.remove());
    const url = `ptp://${vde.folder}/ptp`;
    const left = await open(url, '10.77.8.1/24', { ipv6: false, mtu: 9000 });
    const right = await open(url, '10.77.8.2/24', { ipv6: false, mtu: 9000 });
    await ping(left, '10.77.8.2', 8900);
    const [client, server] = await pair(left, right, '10.77.8.2');
    await carry(client, server, 4);
    expect(right.links()[0]?.counters.drops).toMatchObject({ too_long: 0, malformed: 0 });

    const large = await open(`${url}2`, '10.77.9.1/24', { ipv6: false, mtu: 9000 });
    const small = await open(`${url}2`, '10.77.9.2/24', { ipv6: false });
    await ping(large, '10.77.9.2', 1000);
    const socket = large.socket('icmp');
    socket.connect({ host: '10.77.9.2' });
    socket.send(Buffer.alloc(8000));
    await until('the frame is dropped', () => small.links()[0]?.counters.drops.too_long === 1);
  });
});

describe.skipIf(obstacle !== null)('what libvdeplug refuses is told with what to do', () => {
  const refused = (url: string, more: object = {}) =>
    Stack.open({ links: [{ url, ...more }] }).then(
      () => 'opened',
      (error) => error as NodeJS.ErrnoException,
    );

  test('no switch there', async () => {
    const error = await refused('vde:///nowhere/switch');
    expect(error).toMatchObject({
      code: 'ENOENT',
      syscall: 'vde_open',
      url: 'vde:///nowhere/switch',
    });
    expect(error).toMatchObject({ message: expect.stringContaining('vde_switch -s PATH') });
  });

  test('a switch that left its socket behind', async () => {
    const vde = await new VdeSwitch().start();
    onTestFinished(() => vde.remove());
    await vde.stop();
    const error = await refused(vde.url);
    expect(error).toMatchObject({
      code: 'ECONNREFUSED',
      message: expect.stringContaining('start it again'),
    });
  });

  test('a scheme that nobody knows, with those that there are', async () => {
    for (const url of ['nosuch://place', 'nosuch:place']) {
      expect(await refused(url)).toMatchObject({
        code: 'ERR_INVALID_ARG_VALUE',
        message: expect.stringMatching(/unknown link 'nosuch:.*tap:\/\/NAME.*vde:\/\/PATH/),
      });
    }
  });

  test('a locator that its module does not understand', async () => {
    expect(await refused('vdeplug:udp://x')).toMatchObject({ code: 'EINVAL' });
    expect(await refused('vde://a\0b')).toMatchObject({
      message: expect.stringContaining('no zero byte'),
    });
  });

  test('a packet that is larger than VDE carries', async () => {
    expect(await refused('vde://x', { mtu: 9217 })).toMatchObject({
      code: 'ERR_INVALID_ARG_VALUE',
      message: expect.stringContaining('at most 9216 bytes, not 9217'),
    });
  });

  test('a cable takes no `reconnect`', async () => {
    expect(await refused('cable:x', { reconnect: true })).toMatchObject({
      message: expect.stringContaining("takes no 'reconnect'"),
    });
  });

  test('no libvdeplug on the machine', () => {
    const cache = execFileSync('ldconfig', ['-p'], { encoding: 'utf8' });
    const library = realpathSync(/libvdeplug\.so\.2 .*=> (\S+)/.exec(cache)?.[1] as string);
    const vde = new VdeSwitch();
    onTestFinished(() => vde.remove());
    const nothing = join(vde.folder, 'nothing');
    writeFileSync(nothing, '');
    const program =
      `import { Stack } from '${join(root, 'dist/ts/index.js')}';` +
      "for (const url of ['vde:///x', 'foo://x'])" +
      '  await Stack.open({ links: [{ url }] }).catch((e) => console.log(e.code, e.message));' +
      "await (await Stack.open({ links: [{ url: 'cable:x' }] })).close(); console.log('a cable opens');";
    // In a mount namespace of the child's own, the library is an empty file.
    const output = execFileSync(
      'unshare',
      [
        ...['-m', 'sh', '-c', 'mount --bind "$1" "$2" && exec "$3" --input-type=module -e "$4"'],
        ...['sh', nothing, library, process.execPath, program],
      ],
      { encoding: 'utf8' },
    );
    expect(output).toMatch(/^ENOENT dlopen ENOENT vde:\/\/\/x - .*apt install libvdeplug2.*\n/);
    expect(output).toMatch(
      /\nERR_INVALID_ARG_VALUE .*unknown link 'foo:\/\/x'; there are .*apt install libvdeplug2/,
    );
    expect(output).toContain('a cable opens');
  });
});
