// SPDX-License-Identifier: MIT
//
// A stack that resolves names, and servers that do as the test says, on a cable:
//
//   stack 10.0.0.2, fd00::2 ── 10.0.0.3, 10.0.0.4, fd00::3 servers

import { createSocket } from 'node:dgram';
import { promises as nodeDns } from 'node:dns';
import packet, { type Answer, type DecodedPacket } from 'dns-packet';
import { onTestFinished } from 'vitest';
import {
  type DnsOptions,
  POLLIN,
  pollAsync,
  Stack,
  type StackDns,
  type TcpSocket,
  type UdpSocket,
} from 'vpollnet';
import { freshCable, openStack } from '../support.js';

export interface Asked {
  server: string;
  transport: 'udp' | 'tcp';
  name: string;
  type: string;
  port: number;
  from: string;
  query: DecodedPacket;
}

export type Handler = (asked: Asked, bytes: Buffer, reply: (bytes: Buffer) => void) => void;

/** Answers by name and type, of the codec; the rest is NXDOMAIN, or has no such record. */
export type Zone = Record<string, Partial<Record<string, unknown[]>>>;

export class DnsNet {
  readonly asked: Asked[] = [];
  readonly stack: Stack;
  readonly servers: Stack;
  readonly #handlers = new Map<string, Handler>();

  constructor(stack: Stack, servers: Stack) {
    this.stack = stack;
    this.servers = servers;
  }

  static async open(options: DnsOptions = {}): Promise<DnsNet> {
    const url = freshCable();
    const servers = await openStack({ url, addresses: ['10.0.0.3/24', 'fd00::3/64'] });
    await servers.addAddress('eth0', '10.0.0.4/24');
    const stack = await Stack.open({
      links: [{ url, addresses: ['10.0.0.2/24', 'fd00::2/64'], dad: false }],
      dns: { servers: ['10.0.0.3'], ...options },
    });
    onTestFinished(() => stack.close());
    return new DnsNet(stack, servers);
  }

  get dns(): StackDns {
    return this.stack.dns;
  }

  /** What was asked, as 'A www.example'. */
  get questions(): string[] {
    return this.asked.map(({ type, name }) => `${type} ${name}`);
  }

  /** A server that answers as `handler` says, by UDP and TCP. */
  serve(handler: Handler, address = '10.0.0.3', port = 53): void {
    const key = `${address} ${port}`;
    const known = this.#handlers.has(key);
    this.#handlers.set(key, handler);
    if (known) return;
    const take = (
      transport: Asked['transport'],
      bytes: Buffer,
      from: { address: string; port: number },
      reply: (bytes: Buffer) => void,
    ) => {
      const query = packet.decode(bytes);
      const asked = {
        server: address,
        transport,
        ...questionOf(bytes),
        port: from.port,
        from: from.address,
        query,
      };
      this.asked.push(asked);
      this.#handlers.get(key)?.(asked, bytes, reply);
    };
    const udp = this.servers.socket('udp').bind({ host: address, port });
    const buffer = Buffer.alloc(65535);
    void forever(udp, () => {
      for (let from = udp.recvFrom(buffer); from !== null; from = udp.recvFrom(buffer)) {
        const { address: host, port: to, bytes } = from;
        take('udp', Buffer.from(buffer.subarray(0, bytes)), from, (answer) => {
          udp.sendTo(answer, { host, port: to });
        });
      }
    });
    const tcp = this.servers.socket('tcp').bind({ host: address, port }).listen();
    void forever(tcp, () => {
      for (let peer = tcp.accept(); peer !== null; peer = tcp.accept()) {
        const connection = peer;
        let seen = Buffer.alloc(0);
        void forever(connection, () => {
          const more = connection.read();
          if (more?.length === 0) return connection.close();
          seen = Buffer.concat([seen, more ?? Buffer.alloc(0)]);
          if (seen.length < 2 || seen.length < 2 + seen.readUInt16BE()) return;
          const from = connection.remoteAddress ?? { address: '', port: 0 };
          take('tcp', seen.subarray(2), from, (answer) => {
            const length = Buffer.of(answer.length >> 8, answer.length & 255);
            connection.send(Buffer.concat([length, answer]));
          });
        });
      }
    });
  }

  serveZone(zone: Zone, address = '10.0.0.3', port = 53): void {
    this.serve(
      ({ name, type }, bytes, reply) => {
        const here = zone[name];
        const all = here === undefined ? [] : type === 'ANY' ? Object.keys(here) : [type];
        const answers = all.flatMap((one) =>
          (here?.[one] ?? []).map((data) => ({ type: one, name, ttl: 77, data })),
        );
        const alias = here?.CNAME?.map((data) => ({ type: 'CNAME', name, ttl: 20, data })) ?? [];
        const chosen = answers.length > 0 ? answers : alias;
        reply(answerTo(bytes, chosen, { rcode: here === undefined ? 3 : 0 }));
      },
      address,
      port,
    );
  }
}

/** A resolver of node:dns itself, whose server, on the host's loopback, does as `answer` says; null: nothing. */
export async function nodeResolver(
  answer: (bytes: Buffer) => Buffer | null,
  options: { timeout?: number; tries?: number } = {},
): Promise<nodeDns.Resolver> {
  const server = createSocket('udp4');
  onTestFinished(() => void server.close());
  server.on('message', (bytes, { address, port }) => {
    const bytesBack = answer(bytes);
    if (bytesBack !== null) server.send(bytesBack, port, address);
  });
  await new Promise<void>((resolve) => server.bind(0, '127.0.0.1', resolve));
  const resolver = new nodeDns.Resolver(options);
  resolver.setServers([`127.0.0.1:${server.address().port}`]);
  return resolver;
}

/** What is asked, the name in lower case. */
export function questionOf(bytes: Buffer): { name: string; type: string } {
  const { name = '', type = '' } = packet.decode(bytes).questions?.[0] ?? {};
  return { name: name.toLowerCase(), type };
}

/** An answer, with the question as it came. */
export function answerTo(
  bytes: Buffer,
  answers: unknown[],
  {
    rcode = 0,
    flags = 0,
    ...more
  }: { rcode?: number; flags?: number; [more: string]: unknown } = {},
): Buffer {
  const query = packet.decode(bytes);
  const answer = packet.encode({
    type: 'response',
    id: query.id,
    flags: packet.RECURSION_DESIRED | packet.RECURSION_AVAILABLE | flags | rcode,
    questions: query.questions,
    answers: answers as Answer[],
    ...more,
  } as packet.Packet);
  return answer;
}

/** A SOA record, as it says for how long there is no answer. */
export function soa(name: string, ttl: number, minimum: number): Answer {
  const data = { mname: 'ns.example', rname: 'root.example', serial: 1, refresh: 2, retry: 3 };
  return { type: 'SOA', name, ttl, data: { ...data, expire: 4, minimum } };
}

async function forever(socket: UdpSocket | TcpSocket, act: () => void): Promise<void> {
  const ended = new AbortController();
  onTestFinished(() => ended.abort());
  try {
    while (!socket.closed) {
      await pollAsync([{ fd: socket.fd, events: POLLIN }], -1, { signal: ended.signal });
      act();
    }
  } catch {
    // The test is over.
  }
}

/** The error that a promise is rejected with. */
export async function failureOf(
  promise: Promise<unknown>,
): Promise<NodeJS.ErrnoException & { hostname?: string }> {
  try {
    await promise;
  } catch (error) {
    return error as NodeJS.ErrnoException;
  }
  throw new Error('the promise was expected to be rejected');
}
