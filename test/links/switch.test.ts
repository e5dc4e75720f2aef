// SPDX-License-Identifier: MIT
//
// A switch whose ports are TAPs with the Linux kernel behind them, in a namespace of its own:
//
//   kernel 10.0.0.1 fd00::1 ── tap0 ── switch ── cable ── 10.0.0.2 fd00::2 our stack

import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { POLLIN, Stack, Switch, type SwitchPort, type TcpSocket } from '../../ts/index.js';
import {
  connect,
  ip,
  kernelServer,
  makeDevice,
  material,
  pinged,
  ready,
  receiveAll,
  removeDevice,
  sendAll,
  sh,
} from '../interop/support.js';

const mebibytes = 32;
let cables = 0;

beforeAll(() => makeDevice('tap0', 'tap'));
afterAll(() => removeDevice('tap0'));

async function openSwitch(...ports: SwitchPort[]): Promise<Switch> {
  const opened = await Switch.open({ ports });
  onTestFinished(() => opened.close());
  return opened;
}

/** A stack on a cable of its own; the cable's URL is for a port. */
async function stackOnCable(...addresses: string[]): Promise<{ stack: Stack; url: string }> {
  cables += 1;
  const url = `cable:links-${cables}`;
  const stack = await Stack.open({ links: [{ url, mtu: 1500, dad: false, addresses }] });
  onTestFinished(() => stack.close());
  return { stack, url };
}

/** A transfer each way between the stack and a server of the kernel's; both must arrive whole. */
async function transferBothWays(stack: Stack, kernel: string): Promise<void> {
  const { piece, digest } = material(mebibytes);
  const hash = createHash('sha256');
  let done = () => {};
  const arrived = new Promise<void>((resolve) => {
    done = resolve;
  });
  const server = await kernelServer(kernel, (socket) => {
    socket.on('data', (data) => hash.update(data));
    socket.on('end', () => {
      done();
      for (let i = 0; i < mebibytes; i += 1) socket.write(piece);
      socket.end();
    });
  });
  onTestFinished(() => server.close());
  const socket: TcpSocket = await connect(stack, kernel, server.port);
  for (let i = 0; i < mebibytes; i += 1) await sendAll(socket, piece);
  socket.shutdown('write');
  await arrived;
  expect(hash.digest('hex')).toBe(digest);
  const back = createHash('sha256');
  await receiveAll(socket, (data) => back.update(data));
  expect(back.digest('hex')).toBe(digest);
  socket.close();
}

test.each([
  ['with offloads', true],
  ['without offloads', false],
])('the kernel on a TAP and a stack on a cable meet at a switch, %s', async (_, offloads) => {
  const { stack, url } = await stackOnCable('10.0.0.2/24', 'fd00::2/64');
  const sw = await openSwitch({ url: 'tap://tap0', name: 'kernel', offloads }, { url });
  await pinged('10.0.0.2', 2);
  await pinged('fd00::2', 2);
  await transferBothWays(stack, '10.0.0.1');
  await transferBothWays(stack, 'fd00::1');
  expect(new Set(sw.table().map(({ port }) => port))).toEqual(new Set(['kernel', 'port0']));
});

test('a trunk without a native VLAN takes no frame without a tag, and counts them', async () => {
  const { url } = await stackOnCable('10.0.0.2/24');
  const sw = await openSwitch(
    { url: 'tap://tap0', name: 'trunk', trunk: [10, 20] },
    { url, vlan: 10 },
  );
  await expect(sh('ping', '-c', '1', '-W', '1', '10.0.0.2')).rejects.toThrow();
  expect(sw.ports()[0]?.counters.drops.vlan).toBeGreaterThan(0);
});

test("a TAP that is deleted is 'linkdown': its addresses are forgotten, the other ports go on", async () => {
  ip('tuntap', 'add', 'dev', 'tap2', 'mode', 'tap');
  ip('address', 'add', '10.0.2.1/24', 'dev', 'tap2');
  ip('link', 'set', 'tap2', 'up');
  const one = await stackOnCable('10.0.2.2/24');
  const two = await stackOnCable('10.0.2.3/24');
  const sw = await openSwitch(
    { url: 'tap://tap2', name: 'kernel' },
    { url: one.url },
    { url: two.url },
  );
  await pinged('10.0.2.2', 2);
  const down = new Promise<{ port: string; url: string; error: Error }>((resolve) => {
    sw.once('linkdown', resolve);
  });
  removeDevice('tap2');
  expect(await down).toMatchObject({
    port: 'kernel',
    url: 'tap://tap2',
    error: { code: 'EBADFD' },
  });
  expect(sw.ports()[0]?.error?.code).toBe('EBADFD');
  expect(sw.table().some(({ port }) => port === 'kernel')).toBe(false);
  const socket = one.stack.socket('icmp');
  socket.sendTo('x', { host: '10.0.2.3' });
  await ready(socket, POLLIN);
  expect(socket.recvFrom(Buffer.alloc(64))?.address).toBe('10.0.2.3');
});

test('a TUN is refused with what to take instead, and its descriptor is closed', async () => {
  ip('tuntap', 'add', 'dev', 'tun0', 'mode', 'tun');
  onTestFinished(() => removeDevice('tun0'));
  const before = readdirSync('/proc/self/fd').length;
  const failure = await Switch.open({ ports: [{ url: 'tun://tun0' }] }).catch((error) => error);
  expect(failure).toMatchObject({
    code: 'ERR_INVALID_ARG_VALUE',
    message: expect.stringMatching(/options\.ports\[0\]\.url.*IP packets.*tap:\/\/NAME/),
  });
  expect(readdirSync('/proc/self/fd')).toHaveLength(before);
});

test("the end of the process resets a stack's connections through a switch that was opened first", async () => {
  let tell = (_code: string | undefined) => {};
  const code = new Promise<string | undefined>((resolve) => {
    tell = resolve;
  });
  const server = await kernelServer('10.0.0.1', (socket) => {
    socket.on('error', (error: NodeJS.ErrnoException) => tell(error.code));
    socket.on('end', () => tell('end'));
    socket.resume();
  });
  onTestFinished(() => server.close());
  const program = `
    import { poll, POLLOUT, Stack, Switch } from ${JSON.stringify(new URL('../../dist/ts/index.js', import.meta.url).href)};
    await Switch.open({ ports: [{ url: 'tap://tap0' }, { url: 'cable:x' }] });
    const link = { url: 'cable:x', mtu: 1500, dad: false, addresses: ['10.0.0.2/24'] };
    const socket = (await Stack.open({ links: [link] })).socket('tcp');
    socket.connect({ host: '10.0.0.1', port: ${server.port} });
    poll([{ fd: socket.fd, events: POLLOUT }], 20_000);
    process.exit(socket.state === 'ESTABLISHED' ? 0 : 1);`;
  await sh(process.execPath, '--input-type=module', '-e', program);
  expect(await code).toBe('ECONNRESET');
});
