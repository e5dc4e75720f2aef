// SPDX-License-Identifier: MIT
//
// examples/stack-gateway.ts: a core stack and a plug-in's, joined by a gateway in a program of its own.

import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { POLLIN, POLLOUT, pollAsync, Stack } from '../../ts/index.js';
import { start, udpPair } from '../cli/support.js';
import { hasCompiler, makePlugin, useHome } from './plugins.js';
import { root } from './support.js';

const home = useHome();

test.skipIf(!hasCompiler())(
  'a host behind our stack talks to a server on the network of a plug-in',
  async () => {
    makePlugin(home, 'lab');
    const server = createServer((socket) => {
      socket.on('data', (data) => socket.end(`you said ${data}`));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => {
      server.close();
    });
    const { port } = server.address() as AddressInfo;
    const [near, far] = await udpPair();
    const example = start([join(root, 'dist/examples/stack-gateway.js'), near, 'lab']);
    await example.shows('reach the network of lab');
    const host = await Stack.open({
      links: [{ url: far, addresses: ['10.0.0.2/24'], gateways: ['10.0.0.1'] }],
    });
    onTestFinished(() => host.close());
    const client = host.socket('tcp');
    client.connect({ host: '10.0.0.1', port });
    await pollAsync([{ fd: client.fd, events: POLLOUT }], 20_000);
    expect(client.error).toBeNull();
    client.send('hello');
    await pollAsync([{ fd: client.fd, events: POLLIN }], 20_000);
    expect(client.read()?.toString()).toBe('you said hello');
    await example.shows(`tcp 10.0.0.2 to 10.0.0.1:${port}\n`);
    client.close();
    await example.shows(`10.0.0.1:${port} finished: 5 out, 14 in\n`);
    example.child.stdin?.end();
    expect((await example.ended).code).toBe(0);
  },
);
