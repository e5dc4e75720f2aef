// SPDX-License-Identifier: MIT
//
// As many connections as a busy program has.

import { expect, test } from 'vitest';
import { POLLIN, poll, Stack, type TcpSocket } from '../../ts/index.js';

const many = process.env.VPOLLNET_SANITIZED ? 1_000 : 10_000;

test(`${many} idle connections stay, and one more works like the first`, async () => {
  const link = { url: 'cable:many' };
  await using client = await Stack.open({ links: [{ ...link, addresses: ['10.0.0.1/24'] }] });
  await using server = await Stack.open({ links: [{ ...link, addresses: ['10.0.0.2/24'] }] });
  const listener = server.socket('tcp').bind({ port: 7 }).listen();

  const connect = (): [TcpSocket, TcpSocket] => {
    const near = client.socket('tcp');
    near.connect({ host: '10.0.0.2', port: 7 });
    expect(poll([{ fd: listener.fd, events: POLLIN }], 20_000)).toBe(1);
    const far = listener.accept();
    if (far === null) throw new Error('no connection');
    return [near, far];
  };
  const exchange = ([near, far]: [TcpSocket, TcpSocket], text: string) => {
    near.send(text);
    expect(far.read()?.toString()).toBe(text);
    far.send(text.toUpperCase());
    expect(near.read()?.toString()).toBe(text.toUpperCase());
  };

  const pairs = Array.from({ length: many }, connect);
  expect(
    pairs.every(([near, far]) => near.state === 'ESTABLISHED' && far.state === 'ESTABLISHED'),
  ).toBe(true);
  const oneMore = connect();
  exchange(oneMore, 'the one more');
  for (const index of [0, many >> 1, many - 1]) {
    exchange(pairs[index] as [TcpSocket, TcpSocket], `number ${index}`);
  }
  // Idle means that no buffer is held, once the last delayed ACK is through.
  await expect.poll(() => client.memoryUsed + server.memoryUsed, { timeout: 20_000 }).toBe(0);
  for (const [near, far] of [...pairs, oneMore]) {
    near.close();
    far.close();
  }
  const left = [...client.sockets(), ...server.sockets()].map((socket) => socket.state);
  expect(left.filter((state) => state !== 'TIME-WAIT')).toEqual(['LISTEN']);
});
