// SPDX-License-Identifier: MIT
//
// stack.net over an in-memory cable against node:net over loopback: the same program on both, both ends in this
// process.

import http from 'node:http';
import net from 'node:net';
import { Stack } from 'vpollnet';
import { compare, type Row } from './measure.js';
import {
  type Ends,
  httpRequests,
  loopback,
  netBulk,
  netConnects,
  netRoundTrip,
  peer,
} from './node-net.js';

export async function* streamRows(): AsyncGenerator<Row> {
  const url = 'cable:bench-stream';
  const client = await Stack.open({ links: [{ url, addresses: ['10.0.0.1/24'] }] });
  const server = await Stack.open({ links: [{ url, addresses: ['10.0.0.2/24'] }] });
  const cable: Ends = { client: client.net, server: server.net, host: '10.0.0.2' };
  const node = loopback(net);
  try {
    yield await compare(
      'stream-bulk-cable',
      'Gbit/s',
      peer,
      () => netBulk(cable),
      () => netBulk(node),
    );
    yield await compare(
      'stream-rtt-cable',
      'us',
      peer,
      () => netRoundTrip(cable),
      () => netRoundTrip(node),
    );
    yield await compare(
      'stream-connect-cable',
      '1/s',
      peer,
      () => netConnects(cable),
      () => netConnects(node),
    );
    yield await compare(
      'http-rps-cable',
      '1/s',
      'node:http over loopback',
      () => httpRequests({ client: client.http, server: server.http, host: '10.0.0.2' }),
      () => httpRequests(loopback(http)),
    );
  } finally {
    await client.close();
    await server.close();
  }
}
