// SPDX-License-Identifier: MIT
//
// BSD-style sockets over an in-memory cable, both stacks in this process, against node:net over
// loopback with both ends in this process.

import net from 'node:net';
import { POLLIN, POLLOUT, poll, Stack, type TcpSocket, WOULD_BLOCK } from 'vpollnet';
import { compare, gigabits, type Row, secondsSince } from './measure.js';
import {
  atOnce,
  bulkBytes,
  chunk,
  connections,
  loopback,
  netBulk,
  netConnects,
  netRoundTrip,
  peer,
  roundTrips,
} from './node-net.js';

interface Cable {
  client: Stack;
  server: Stack;
  nextPort: number;
}

function pair(cable: Cable): [TcpSocket, TcpSocket] {
  const port = cable.nextPort++;
  const listener = cable.server.socket('tcp').bind({ port }).listen();
  const client = cable.client.socket('tcp');
  client.connect({ host: '10.0.0.2', port });
  poll([{ fd: listener.fd, events: POLLIN }], 5000);
  const server = listener.accept();
  if (server === null) throw new Error('the connection did not come');
  listener.close();
  client.setOption('noDelay', true);
  server.setOption('noDelay', true);
  return [client, server];
}

function bulk(cable: Cable): number {
  const [client, server] = pair(cable);
  const buffer = Buffer.allocUnsafe(chunk.length);
  const ready = [
    { fd: client.fd, events: POLLOUT, revents: 0 },
    { fd: server.fd, events: POLLIN, revents: 0 },
  ];
  const begin = process.hrtime.bigint();
  let sent = 0;
  let received = 0;
  while (received < bulkBytes) {
    poll(ready, 5000);
    if (ready[0]?.revents) {
      while (sent < bulkBytes) {
        const taken = client.send(chunk, 0, Math.min(chunk.length, bulkBytes - sent));
        if (taken === WOULD_BLOCK) break;
        sent += taken;
      }
      if (sent === bulkBytes) (ready[0] as { events: number }).events = 0;
    }
    if (ready[1]?.revents) {
      for (;;) {
        const got = server.recv(buffer);
        if (got === WOULD_BLOCK) break;
        received += got;
      }
    }
  }
  const seconds = secondsSince(begin);
  client.close();
  server.close();
  return gigabits(received, seconds);
}

function roundTrip(cable: Cable): number {
  const [client, server] = pair(cable);
  const byte = Buffer.alloc(1);
  const atClient = [{ fd: client.fd, events: POLLIN }];
  const atServer = [{ fd: server.fd, events: POLLIN }];
  const begin = process.hrtime.bigint();
  for (let i = 0; i < roundTrips; i += 1) {
    client.send(byte);
    poll(atServer, 5000);
    server.recv(byte);
    server.send(byte);
    poll(atClient, 5000);
    client.recv(byte);
  }
  const seconds = secondsSince(begin);
  client.close();
  server.close();
  return (seconds / roundTrips) * 1e6;
}

function connects(cable: Cable): number {
  const port = cable.nextPort++;
  const listener = cable.server.socket('tcp').bind({ port }).listen(atOnce);
  const begin = process.hrtime.bigint();
  for (let done = 0; done < connections; done += atOnce) {
    const clients = Array.from({ length: atOnce }, () => {
      const client = cable.client.socket('tcp');
      client.connect({ host: '10.0.0.2', port });
      return client;
    });
    for (let accepted = 0; accepted < atOnce; ) {
      poll([{ fd: listener.fd, events: POLLIN }], 5000);
      for (let server = listener.accept(); server !== null; server = listener.accept()) {
        server.close();
        accepted += 1;
      }
    }
    for (const client of clients) client.close();
  }
  const seconds = secondsSince(begin);
  listener.close();
  return connections / seconds;
}

export async function* cableRows(): AsyncGenerator<Row> {
  const link = { url: 'cable:bench' };
  const cable: Cable = {
    client: await Stack.open({ links: [{ ...link, addresses: ['10.0.0.1/24'] }] }),
    server: await Stack.open({ links: [{ ...link, addresses: ['10.0.0.2/24'] }] }),
    nextPort: 5000,
  };
  const node = loopback(net);
  try {
    yield await compare(
      'tcp-bulk-cable',
      'Gbit/s',
      peer,
      () => bulk(cable),
      () => netBulk(node),
    );
    yield await compare(
      'tcp-rtt-cable',
      'us',
      peer,
      () => roundTrip(cable),
      () => netRoundTrip(node),
    );
    yield await compare(
      'tcp-connect-cable',
      '1/s',
      peer,
      () => connects(cable),
      () => netConnects(node),
    );
  } finally {
    await cable.client.close();
    await cable.server.close();
  }
}
