// SPDX-License-Identifier: MIT
//
// What is measured of node:net's and node:http's interface: the same work, whoever is behind the two modules.

import { once } from 'node:events';
import type * as http from 'node:http';
import type * as net from 'node:net';
import { gigabits, secondsSince } from './measure.js';

export const bulkBytes = 1024 * 1024 * 1024;
export const chunk = Buffer.alloc(64 * 1024, 1);
export const roundTrips = 20_000;
export const connections = 2_000;
export const requests = 20_000;
export const atOnce = 32;
export const peer = 'node:net over loopback';

type Net = Pick<typeof net, 'connect' | 'createServer'>;

/** The two ends of a way: who listens, at which address, and who connects. */
export interface Ends<Module = Net> {
  client: Module;
  server: Module;
  host: string;
}

/** Both ends in one module. */
export function loopback<Module>(module: Module): Ends<Module> {
  return { client: module, server: module, host: '127.0.0.1' };
}

async function listen(
  { server: { createServer }, host }: Ends,
  onConnection: (socket: net.Socket) => void,
): Promise<[net.Server, number]> {
  const server = createServer({ noDelay: true }, onConnection).listen(0, host);
  await once(server, 'listening');
  return [server, (server.address() as net.AddressInfo).port];
}

async function close(server: net.Server): Promise<void> {
  server.close();
  await once(server, 'close');
}

/** Gbit/s one way. */
export async function netBulk(ends: Ends): Promise<number> {
  let received = 0;
  let finished = () => {};
  const all = new Promise<void>((resolve) => {
    finished = resolve;
  });
  const [server, port] = await listen(ends, (socket) => {
    socket.on('data', (data) => {
      received += data.length;
      if (received >= bulkBytes) finished();
    });
  });
  const client = ends.client.connect({ port, host: ends.host, noDelay: true });
  await once(client, 'connect');
  const begin = process.hrtime.bigint();
  let sent = 0;
  const write = () => {
    while (sent < bulkBytes) {
      sent += chunk.length;
      if (!client.write(chunk)) {
        client.once('drain', write);
        return;
      }
    }
  };
  write();
  await all;
  const seconds = secondsSince(begin);
  client.destroy();
  await close(server);
  return gigabits(received, seconds);
}

/** Microseconds for a byte there and back. */
export async function netRoundTrip(ends: Ends): Promise<number> {
  const [server, port] = await listen(ends, (socket) =>
    socket.on('data', (data) => socket.write(data)),
  );
  const client = ends.client.connect({ port, host: ends.host, noDelay: true });
  await once(client, 'connect');
  const byte = Buffer.alloc(1);
  const begin = process.hrtime.bigint();
  await new Promise<void>((resolve) => {
    let count = 0;
    client.on('data', () => {
      count += 1;
      if (count === roundTrips) resolve();
      else client.write(byte);
    });
    client.write(byte);
  });
  const seconds = secondsSince(begin);
  client.destroy();
  await close(server);
  return (seconds / roundTrips) * 1e6;
}

/** Connections a second, each opened and closed in order. */
export async function netConnects(ends: Ends): Promise<number> {
  const [server, port] = await listen(ends, (socket) => socket.resume().end());
  const begin = process.hrtime.bigint();
  let started = 0;
  const worker = async () => {
    while (started < connections) {
      started += 1;
      const client = ends.client.connect({ port, host: ends.host });
      client.resume();
      await once(client, 'close');
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  const seconds = secondsSince(begin);
  await close(server);
  return connections / seconds;
}

type Http = Pick<typeof http, 'Agent' | 'createServer' | 'request'>;

/** Requests a second, by `atOnce` connections that are kept. */
export async function httpRequests(ends: Ends<Http>): Promise<number> {
  const body = Buffer.alloc(100, 'x');
  const server = ends.server.createServer((_, response) => response.end(body)).listen(0, ends.host);
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  const agent = new ends.client.Agent({ keepAlive: true, maxSockets: atOnce });
  const options = { host: ends.host, port, agent };
  let started = 0;
  const worker = async () => {
    while (started < requests) {
      started += 1;
      await new Promise<void>((resolve, reject) => {
        ends.client
          .request(options, (response) => response.resume().once('end', resolve))
          .once('error', reject)
          .end();
      });
    }
  };
  const begin = process.hrtime.bigint();
  await Promise.all(Array.from({ length: atOnce }, worker));
  const seconds = secondsSince(begin);
  agent.destroy();
  await close(server);
  return requests / seconds;
}
