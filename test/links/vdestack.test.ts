// SPDX-License-Identifier: MIT
//
// Debian's libvdestack, wrapped as a plug-in (test/plugins/ioth_vdestack.c), on a vde_switch:
//
//   libvdestack, by its own commands  10.0.0.1 ──┐
//   libvdestack, by netlink           10.0.0.2 ──┼── vde_switch
//   a stack of ours                   10.0.0.3 ──┘

import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type LoadedStack,
  POLLIN,
  POLLOUT,
  poll,
  type SocketStack,
  Stack,
  type TcpSocket,
} from '../../ts/index.js';
import { hasCompiler, makePlugin, useHome } from '../ts/plugins.js';
import { waitFor } from '../ts/support.js';
import { VdeSwitch, vdeObstacle } from './vde-switch.js';

const possible = hasCompiler() && existsSync('/usr/include/vdestack.h') && vdeObstacle() === null;

describe.skipIf(!possible)('libvdestack (libvdestack-dev, vde-switch)', () => {
  const home = useHome();
  let vdeSwitch: VdeSwitch;
  let byCommand: LoadedStack;
  let byNetlink: LoadedStack;
  let ours: Stack;

  beforeAll(async () => {
    vdeSwitch = await new VdeSwitch().start();
    const { url } = vdeSwitch;
    const flags = ['-lvdestack', '-lpthread'];
    makePlugin(home, 'vdestack', { source: 'ioth_vdestack.c', license: null, flags });
    byCommand = await Stack.load('vdestack', {
      links: [url],
      options: '/bin/ip link set vde0 up;/bin/ip address add 10.0.0.1/24 dev vde0',
    });
    byNetlink = await Stack.load('vdestack', {
      links: [{ url, addresses: ['10.0.0.2/24', 'fd00::2/64'], gateways: ['10.0.0.1'] }],
    });
    ours = await Stack.open({
      links: [{ url, addresses: ['10.0.0.3/24', 'fd00::3/64'], dad: false }],
    });
  });

  afterAll(async () => {
    for (const stack of [byCommand, byNetlink, ours]) await stack?.close();
    await vdeSwitch?.remove();
  });

  test('is found, and says its licence', () => {
    expect(byCommand).toMatchObject({ name: 'vdestack', license: 'MIT AND LGPL-2.1-or-later' });
  });

  test.each([
    ['another one', () => byCommand, () => byNetlink, '10.0.0.2'],
    ['a stack of ours', () => byNetlink, () => ours, '10.0.0.3'],
    ['a stack of ours, over IPv6', () => byNetlink, () => ours, 'fd00::3'],
    ['a stack of ours that connects to it', () => ours, () => byCommand, '10.0.0.1'],
  ])('carries TCP both ways, in one poll loop with %s', (_, nearOf, farOf, host) => {
    const size = 1 << 20;
    const [near, far]: SocketStack[] = [nearOf(), farOf()];
    if (near === undefined || far === undefined) throw new Error('no stacks');
    const listener = far.socket('tcp').bind({ host }).listen();
    const client = near.socket('tcp');
    client.connect({ host, port: listener.localAddress!.port });
    waitFor(client, POLLOUT);
    expect(client.error).toBeNull();
    waitFor(listener, POLLIN);
    const server = listener.accept() as TcpSocket;
    listener.close();
    const data = Buffer.alloc(size).map((_, i) => (i * 2654435761) >>> 24);
    const ends = [client, server].map((socket) => ({
      socket,
      sent: 0,
      got: [] as Buffer[],
      open: true,
    }));
    const busy = (end: (typeof ends)[number]) => end.open || end.sent < size;
    while (ends.some(busy)) {
      const fds = ends.map((end) => ({
        fd: busy(end) ? end.socket.fd : -1,
        events: (end.open ? POLLIN : 0) | (end.sent < size ? POLLOUT : 0),
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
    const [one, other] = [byCommand, byNetlink].map((stack) =>
      stack.socket('udp').bind({ port: 53 }),
    );
    one?.sendTo('over the switch', { host: '10.0.0.2', port: 53 });
    waitFor(other!, POLLIN);
    expect(other?.recvFrom(Buffer.alloc(4))).toMatchObject({
      size: 15,
      address: '10.0.0.1',
      port: 53,
    });
  });

  test('says that it has no such network', async () => {
    const failed = Stack.load('vdestack', { links: [`${vdeSwitch.url}-none`] });
    await expect(failed).rejects.toMatchObject({ syscall: 'ioth_vdestack_newstack' });
    await expect(Stack.load('vdestack')).rejects.toMatchObject({ code: 'EINVAL' });
    const { url } = vdeSwitch;
    for (const [link, code, message] of [
      [{ url, addresses: ['224.0.0.1/24', '10.0.0.9/24', '10.0.0.9/24'] }, /^E/, 'address '],
      [{ url, gateways: ['192.0.2.1'] }, 'ENETUNREACH', `gateway 192.0.2.1 of link '${url}'`],
    ] as const) {
      const error = await Stack.load('vdestack', { links: [link] }).catch((thrown) => thrown);
      expect(error.code).toMatch(code);
      expect(error.message).toContain(message);
    }
  });
});
