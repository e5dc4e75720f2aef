// SPDX-License-Identifier: MIT
//
// What becomes of a QEMU stream in a stack, with a QEMU that is a socket of this process; and the example,
// with a guest that boots. qemu.test.ts has all ways to a guest.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { Stack } from '../../ts/index.js';
import { ip } from '../interop/support.js';
import { bootGuest, guestMissing } from './guest.js';

const root = join(import.meta.dirname, '../..');
const folder = mkdtempSync(join(tmpdir(), 'vpollnet-stream-'));
beforeAll(() => ip('link', 'set', 'lo', 'up'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let sockets = 0;
const freshPath = () => {
  sockets += 1;
  return join(folder, `${sockets}.sock`);
};

/** A stack with one link, and what it tells of that. */
async function open(url: string): Promise<{ stack: Stack; events: string[] }> {
  const stack = await Stack.open({ links: [{ url, addresses: ['10.9.0.1/24', 'fd00:9::1/64'] }] });
  onTestFinished(() => stack.close());
  const events: string[] = [];
  stack.on('linkdown', ({ error, interface: name }) => events.push(`${name} down ${error.code}`));
  stack.on('linkup', ({ interface: name }) => events.push(`${name} up`));
  return { stack, events };
}

const soon = { timeout: 20_000, interval: 10 };

test('listening: down until QEMU connects, whatever comes then, and up again with the next one', async () => {
  const path = freshPath();
  // Opening does not wait for IPv6 addresses that nobody can be asked about.
  const { stack, events } = await open(`qemu:stream://${path}?listen`);
  await expect.poll(() => events, soon).toEqual(['eth0 down ENOTCONN']);
  expect(stack.links()[0]?.error?.code).toBe('ENOTCONN');
  expect(stack.interfaces().find(({ name }) => name === 'eth0')?.up).toBe(false);

  const first = net.connect(path);
  await expect.poll(() => events.at(-1), soon).toBe('eth0 up');
  expect(stack.links()[0]?.error).toBe(null);
  // The stack looks for duplicates of its addresses now: frames after their lengths.
  const [piece] = (await once(first, 'data')) as [Buffer];
  expect(piece.readUInt32BE(0)).toBeGreaterThan(14);
  first.destroy();
  await expect.poll(() => events.at(-1), soon).toBe('eth0 down ENOTCONN');

  const second = net.connect(path);
  await expect.poll(() => events.at(-1), soon).toBe('eth0 up');
  second.resume(); // or it never closes
  const closed = once(second, 'close');
  second.write(Buffer.from([0, 0, 0, 0]));
  await expect.poll(() => events.at(-1), soon).toBe('eth0 down EPROTO');
  await closed;

  const third = net.connect(path);
  await expect.poll(() => events.at(-1), soon).toBe('eth0 up');
  third.destroy();
});

test('connecting: a QEMU that ends is connected to again, and without `reconnect` is not', async () => {
  const path = freshPath();
  await expect(open(`qemu:stream://${path}`)).rejects.toMatchObject({
    code: 'ENOENT',
    message: expect.stringContaining('server=on'),
  });
  let peers: net.Socket[] = [];
  const server = net.createServer((peer) => {
    peer.on('error', () => {});
    peers.push(peer);
  });
  server.listen(path);
  await once(server, 'listening');
  onTestFinished(() => {
    for (const peer of peers) peer.destroy();
    server.close();
  });
  const { events } = await open(`qemu:stream://${path}`);
  const only = await Stack.open({ links: [{ url: `qemu:stream://${path}`, reconnect: false }] });
  onTestFinished(() => only.close());
  await expect.poll(() => peers.length, soon).toBe(2);
  for (const peer of peers) peer.destroy();
  peers = [];
  await expect.poll(() => events, soon).toEqual(['eth0 down ECONNRESET', 'eth0 up']);
  expect(peers.length).toBe(1);
  expect(only.links()[0]?.error?.code).toBe('ECONNRESET');
});

test('a link over datagrams is never lost, and takes no `reconnect`', async () => {
  const links = [{ url: 'qemu:dgram://127.0.0.1:5201?remote=127.0.0.1:5202', reconnect: true }];
  await expect(Stack.open({ links })).rejects.toMatchObject({
    code: 'ERR_INVALID_ARG_VALUE',
    message: expect.stringContaining('never lost'),
  });
});

test.skipIf(guestMissing !== '')(
  `the example qemu-guest: a guest pings it and is greeted ${guestMissing && `(skipped: ${guestMissing})`}`,
  async () => {
    const path = freshPath();
    const example = spawn(process.execPath, [join(root, 'dist/examples/qemu-guest.js'), path], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    onTestFinished(() => {
      example.kill('SIGKILL');
    });
    let said = '';
    example.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    await expect.poll(() => said, soon).toContain('nc 10.0.2.1 7');
    // As the example says.
    const netdev = /-netdev (\S+)/.exec(said)?.[1]?.replace('id=net0,', '') ?? '';
    const commands = /ip address add .*/.exec(said)?.[0];
    const guest = bootGuest(
      [netdev],
      `${commands}\nping -c 3 10.0.2.1 | grep -o "64 bytes from 10.0.2.1" | uniq\nnc 10.0.2.1 7 </dev/null\n`,
      60,
    );
    onTestFinished(() => guest.stop());
    expect((await guest.output).trim()).toBe(
      `64 bytes from 10.0.2.1\nhello 10.0.2.2, this is Node.js ${process.version} on 10.0.2.1`,
    );
    await expect
      .poll(() => said.trim().split('\n').slice(-4), soon)
      .toEqual([
        'waiting for a guest',
        'a guest is there',
        '10.0.2.2 has connected',
        'waiting for a guest',
      ]);
    example.kill('SIGINT');
    const [code] = await once(example, 'close');
    expect({ code, last: said.trim().split('\n').at(-1) }).toEqual({ code: 0, last: 'bye' });
  },
  100_000,
);
