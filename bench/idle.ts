// SPDX-License-Identifier: MIT
//
// Whether many idle connections make a new one slow: the same work with 10,000 of them and with none.

import { POLLIN, poll, Stack, type TcpSocket } from 'vpollnet';
import { compare, type Row, secondsSince } from './measure.js';

const idle = 10_000;
const connections = 500;

interface Pair {
  client: Stack;
  listener: TcpSocket;
  close: () => Promise<void>;
}

async function open(cable: string): Promise<Pair> {
  const url = `cable:${cable}`;
  const client = await Stack.open({ links: [{ url, addresses: ['10.0.0.1/24'] }] });
  const server = await Stack.open({ links: [{ url, addresses: ['10.0.0.2/24'] }] });
  const listener = server.socket('tcp').bind({ port: 7 }).listen();
  const close = async () => {
    await client.close();
    await server.close();
  };
  return { client, listener, close };
}

/** A connection with both its ends. */
function connect({ client, listener }: Pair): [TcpSocket, TcpSocket] {
  const near = client.socket('tcp');
  near.connect({ host: '10.0.0.2', port: 7 });
  poll([{ fd: listener.fd, events: POLLIN }], 5000);
  const far = listener.accept();
  if (far === null) throw new Error('the connection did not come');
  return [near, far];
}

/** Microseconds for a connection that carries a byte and is closed. */
function work(pair: Pair): number {
  const byte = Buffer.alloc(1);
  const begin = process.hrtime.bigint();
  for (let i = 0; i < connections; i += 1) {
    const [near, far] = connect(pair);
    near.send(byte);
    far.recv(byte);
    near.close();
    far.close();
  }
  return (secondsSince(begin) / connections) * 1e6;
}

export async function* idleRows(): AsyncGenerator<Row> {
  const full = await open('idle-full');
  const empty = await open('idle-empty');
  try {
    const held = Array.from({ length: idle }, () => connect(full));
    yield await compare(
      'tcp-connect-10k-idle',
      'us',
      'the same without idle connections',
      () => work(full),
      () => work(empty),
    );
    for (const [near, far] of held) {
      near.close();
      far.close();
    }
  } finally {
    await full.close();
    await empty.close();
  }
}
