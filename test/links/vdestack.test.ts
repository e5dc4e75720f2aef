// SPDX-License-Identifier: MIT
//
// Debian's libvdestack, wrapped as a plug-in (test/plugins/ioth_vdestack.c), on a vde_switch:
//
//   a stack of libvdestack  10.0.0.1/24  ── vde_switch ── 10.0.0.2/24  another one

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type LoadedStack, POLLIN, POLLOUT, poll, Stack, type TcpSocket } from '../../ts/index.js';
import { hasCompiler, makePlugin, useHome } from '../ts/plugins.js';
import { until, waitFor } from '../ts/support.js';

const possible =
  hasCompiler() && existsSync('/usr/include/vdestack.h') && existsSync('/usr/bin/vde_switch');

describe.skipIf(!possible)('libvdestack (libvdestack-dev, vde2)', () => {
  const home = useHome();
  let folder = '';
  let vdeSwitch: ChildProcess;
  let stacks: [LoadedStack, LoadedStack];

  const load = (address: string) =>
    Stack.load('vdestack', {
      links: [`vde://${folder}/switch`],
      options: [
        '/bin/ip link set lo up',
        '/bin/ip link set vde0 up',
        `/bin/ip address add ${address} dev vde0`,
      ].join(';'),
    });

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'vpollnet-vde-'));
    // It runs for as long as its stdin is open.
    vdeSwitch = spawn('vde_switch', ['--sock', `${folder}/switch`], {
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    await until(() => existsSync(`${folder}/switch/ctl`));
    makePlugin(home, 'vdestack', {
      source: 'ioth_vdestack.c',
      license: null,
      flags: ['-lvdestack', '-lpthread'],
    });
    stacks = [await load('10.0.0.1/24'), await load('10.0.0.2/24')];
  });

  afterAll(async () => {
    for (const stack of stacks ?? []) await stack.close();
    if (vdeSwitch?.exitCode === null) {
      vdeSwitch.stdin?.end();
      await once(vdeSwitch, 'exit');
    }
    rmSync(folder, { recursive: true, force: true });
  });

  test('is found, and says its licence', () => {
    expect(stacks[0]).toMatchObject({ name: 'vdestack', license: 'MIT AND LGPL-2.1-or-later' });
  });

  test('carries TCP both ways, both stacks in one poll loop', () => {
    const size = 1 << 20;
    const [near, far] = stacks;
    const listener = far.socket('tcp').bind({ host: '10.0.0.2', port: 7 }).listen();
    const client = near.socket('tcp');
    client.connect({ host: '10.0.0.2', port: 7 });
    waitFor(client, POLLOUT);
    expect(client.error).toBeNull();
    waitFor(listener, POLLIN);
    const server = listener.accept() as TcpSocket;
    const data = Buffer.alloc(size).map((_, i) => (i * 2654435761) >>> 24);
    const ends = [client, server].map((socket) => ({
      socket,
      sent: 0,
      got: [] as Buffer[],
      open: true,
    }));
    while (ends.some(({ open }) => open)) {
      const fds = ends.map(({ socket, sent, open }) => ({
        fd: open ? socket.fd : -1,
        events: POLLIN | (sent < size ? POLLOUT : 0),
        revents: 0,
      }));
      expect(poll(fds, 10_000)).toBeGreaterThan(0);
      for (const [i, end] of ends.entries()) {
        const revents = fds[i]?.revents ?? 0;
        if (revents & POLLOUT && end.sent < size) {
          end.sent += Math.max(0, end.socket.send(data, end.sent));
          if (end.sent === size) end.socket.shutdown('write');
        }
        if (revents & POLLIN) {
          const part = end.socket.read();
          if (part?.length === 0) end.open = false;
          else if (part) end.got.push(part);
        }
      }
    }
    for (const { got } of ends) expect(Buffer.concat(got).equals(data)).toBe(true);
    for (const { socket } of ends) socket.close();
  });

  test('has addresses of its own: the two do not share ports', () => {
    const sockets = stacks.map((stack) => stack.socket('udp').bind({ port: 53 }));
    sockets[0]?.sendTo('over the switch', { host: '10.0.0.2', port: 53 });
    waitFor(sockets[1]!, POLLIN);
    expect(sockets[1]?.recvFrom(Buffer.alloc(4))).toMatchObject({
      size: 15,
      address: '10.0.0.1',
      port: 53,
    });
  });

  test('says that it has no such network', async () => {
    const failed = Stack.load('vdestack', { links: [`vde://${folder}/none`] });
    await expect(failed).rejects.toMatchObject({ syscall: 'ioth_vdestack_newstack' });
    await expect(Stack.load('vdestack')).rejects.toMatchObject({ code: 'EINVAL' });
  });
});
