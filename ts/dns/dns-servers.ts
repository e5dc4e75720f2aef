// SPDX-License-Identifier: MIT
//
// Asking DNS servers over a stack (RFC 1035 4.2, RFC 5452, RFC 7766): by UDP, each time from a new port, by TCP
// what does not fit; one server after the other until one answers.

import { readFileSync, statSync } from 'node:fs';
import { isIP, isIPv6 } from 'node:net';
import type { UdpSocket } from '../datagram-socket.js';
import { POLLIN, POLLOUT, pollAsync } from '../poll.js';
import { WOULD_BLOCK } from '../socket.js';
import type { SocketStack } from '../socket-stack.js';
import type { TcpSocket } from '../tcp-socket.js';
import {
  type DnsQuery,
  isWithoutEdns,
  Rcode,
  readAnswer,
  type ServerAnswer,
  serverQuery,
} from './dns-message.js';

export interface DnsServerAddress {
  /** An address, with its zone if it is link-local. */
  host: string;
  /** 53 if left out. */
  port?: number;
}

export const dnsPort = 53;
const hostSettings = '/etc/resolv.conf';
/** How often the host's settings are looked after, if anybody asks. */
const settingsPause = 1000;
/** How long the server that answered is asked first, when another one did not. */
const preferTime = 60_000;

/** The servers of a resolv.conf, as resolv.conf(5) has them. */
export function serversIn(text: string): DnsServerAddress[] {
  return text.split('\n').flatMap((line) => {
    const [, host = ''] = /^nameserver[ \t]+(\S+)/.exec(line) ?? [];
    return isIP(host) === 0 ? [] : [{ host }];
  });
}

/** The host's servers, read again when the file has changed and somebody asks. */
export class HostServers {
  #looked = Number.NEGATIVE_INFINITY;
  #stamp = '';
  #servers: DnsServerAddress[] = [];

  get(): readonly DnsServerAddress[] {
    const now = performance.now();
    if (now - this.#looked < settingsPause) return this.#servers;
    this.#looked = now;
    try {
      const { mtimeMs, size, ino } = statSync(hostSettings);
      const stamp = `${mtimeMs} ${size} ${ino}`;
      if (stamp === this.#stamp) return this.#servers;
      this.#stamp = stamp;
      this.#servers = serversIn(readFileSync(hostSettings, 'utf8'));
    } catch {
      this.#servers = [];
    }
    // resolv.conf(5): without a file or a server, the host's own is asked.
    if (this.#servers.length === 0) this.#servers = [{ host: '127.0.0.1' }];
    return this.#servers;
  }
}

/** A server's answer. */
export type Answered = ServerAnswer & { kind: 'answer' };

type Failure = 'timeout' | 'unreachable';

/** What became of a question: an answer, or why there is none. */
export type Outcome = (Answered & { server: string }) | Failure;

/** How servers are asked. */
export interface AskSettings {
  /** Milliseconds for each attempt. */
  timeout: number;
  /** How often each server is asked. */
  attempts: number;
  /** Begins with another server each time (resolv.conf(5)). */
  rotate?: boolean;
  /** A server that does not know EDNS is asked without (RFC 6891 6.2.2, 7). */
  withoutEdns?: boolean;
  /** The address that is asked from, of either family. */
  local?: { ipv4?: string; ipv6?: string };
}

/** Whether another server may know better than one with this code. */
function mayKnowLess(rcode: number): boolean {
  const { serverFailure, notImplemented, refused } = Rcode;
  return rcode === serverFailure || rcode === notImplemented || rcode === refused;
}

export interface AskCounters {
  /** Datagrams that were no answer to what was asked. */
  stray: number;
  timeouts: number;
  tcp: number;
}

/** Asks the servers of `list()` over `to`. */
export class DnsServers {
  readonly #to: SocketStack;
  readonly #list: () => readonly DnsServerAddress[];
  readonly #settings: AskSettings;
  readonly #ended: AbortSignal;
  readonly counters: AskCounters = { stray: 0, timeouts: 0, tcp: 0 };
  #preferred: { server: DnsServerAddress; until: number } | null = null;
  #asked = 0;

  constructor(
    to: SocketStack,
    list: () => readonly DnsServerAddress[],
    settings: AskSettings,
    ended: AbortSignal,
  ) {
    this.#to = to;
    this.#list = list;
    this.#settings = settings;
    this.#ended = ended;
  }

  /** The first server's answer that is one; that of a server that fails only if none does better. */
  async ask(query: DnsQuery): Promise<Outcome> {
    let failed = 'unreachable' as Outcome;
    const servers = this.#inOrder();
    for (let attempt = 0; attempt < this.#settings.attempts; attempt += 1) {
      for (const server of servers) {
        if (this.#ended.aborted) return failed;
        const answer = await this.#askOne(query, server);
        if (typeof answer === 'string') {
          // A server that was silent may be there; that says more than one that is not.
          if (failed === 'unreachable') failed = answer;
          continue;
        }
        const outcome = { ...answer, server: server.host };
        if (!mayKnowLess(answer.rcode)) {
          if (servers[0] !== server) this.#prefer(server);
          return outcome;
        }
        if (typeof failed === 'string') failed = outcome;
        if (servers.length === 1) return failed;
      }
    }
    return failed;
  }

  #inOrder(): readonly DnsServerAddress[] {
    const servers = this.#list();
    if (this.#settings.rotate) {
      const first = this.#asked++ % Math.max(1, servers.length);
      return [...servers.slice(first), ...servers.slice(0, first)];
    }
    const { server, until } = this.#preferred ?? { server: null, until: 0 };
    if (until < performance.now()) return servers;
    const isFirst = (one: DnsServerAddress) =>
      one.host === server?.host && one.port === server.port;
    return [...servers.filter(isFirst), ...servers.filter((one) => !isFirst(one))];
  }

  #prefer(server: DnsServerAddress): void {
    this.#preferred = { server, until: performance.now() + preferTime };
  }

  async #askOne(query: DnsQuery, server: DnsServerAddress): Promise<Answered | Failure> {
    const answer = await this.#askOnce(query, server);
    const isPlain =
      answer === 'plain' || (typeof answer === 'object' && isWithoutEdns(answer.rcode));
    // RFC 6891 6.2.2, 7.
    if (isPlain && query.edns && this.#settings.withoutEdns) {
      return await this.#askOne({ ...query, edns: false }, server);
    }
    return answer === 'plain' ? 'unreachable' : answer;
  }

  async #askOnce(
    query: DnsQuery,
    { host, port = dnsPort }: DnsServerAddress,
  ): Promise<Answered | Failure | 'plain'> {
    const asked = serverQuery(query);
    try {
      const answer = await this.#byUdp(query, asked, host, port);
      if (answer === null) return 'timeout';
      if (answer.kind === 'answer') return answer;
      if (answer.kind === 'plain') return 'plain';
      // Cut off; or not surely the server's: by TCP nobody else can answer.
      this.counters.tcp += 1;
      return (await this.#byTcp(query, asked, host, port)) ?? 'timeout';
    } catch {
      return 'unreachable'; // refused, unreachable, reset, closed: as good as no answer
    }
  }

  #bind(socket: UdpSocket | TcpSocket, server: string): void {
    const { ipv4, ipv6 } = this.#settings.local ?? {};
    const host = isIPv6(server) ? ipv6 : ipv4;
    if (host !== undefined) socket.bind({ host });
  }

  async #byUdp(query: DnsQuery, asked: Buffer, host: string, port: number) {
    using socket = this.#to.socket('udp');
    this.#bind(socket, host);
    // RFC 5452 9.2: a port of its own for each; connected, it hears of this server alone.
    socket.connect({ host, port });
    socket.send(asked);
    const end = performance.now() + this.#settings.timeout;
    const buffer = Buffer.allocUnsafe(65535);
    for (;;) {
      const left = Math.ceil(end - performance.now());
      if (left <= 0 || !(await this.#wait(socket.fd, POLLIN, left))) {
        this.counters.timeouts += 1;
        return null;
      }
      const size = socket.recv(buffer);
      if (size === WOULD_BLOCK) continue;
      const answer = readAnswer(buffer.subarray(0, size), asked, query);
      const isAnswer = answer.kind !== 'plain' || this.#settings.withoutEdns;
      if (answer.kind !== 'stray' && isAnswer) return answer;
      this.counters.stray += 1; // the right one may still come
    }
  }

  async #byTcp(query: DnsQuery, asked: Buffer, host: string, port: number) {
    using socket = this.#to.socket('tcp');
    this.#bind(socket, host);
    const end = performance.now() + this.#settings.timeout;
    const left = () => Math.max(0, Math.ceil(end - performance.now()));
    if (!socket.connect({ host, port }) && !(await this.#wait(socket.fd, POLLOUT, left())))
      return null;
    if (socket.error !== null) throw socket.error;
    const length = Buffer.alloc(2);
    length.writeUInt16BE(asked.length);
    await writeAll(socket, Buffer.concat([length, asked]), left, this.#ended);
    const reader = new MessageReader(socket);
    for (;;) {
      const message = reader.next();
      if (message === null) return null;
      if (message === undefined) {
        if (!(await this.#wait(socket.fd, POLLIN, left()))) return null;
        continue;
      }
      const answer = readAnswer(message, asked, query);
      if (answer.kind === 'answer') return answer;
      if (answer.kind !== 'case') return null;
      // A server that does not keep the case of letters; over TCP it is the server.
      asked.copy(message, 12, 12, 12 + query.question.length);
      const again = readAnswer(message, asked, query);
      return again.kind === 'answer' ? again : null;
    }
  }

  async #wait(fd: number, events: number, milliseconds: number): Promise<boolean> {
    return (await pollAsync([{ fd, events }], milliseconds, { signal: this.#ended })) > 0;
  }
}

/** Messages of a stream, each behind its length (RFC 1035 4.2.2). */
export class MessageReader {
  readonly #socket: TcpSocket;
  #buffer = Buffer.alloc(0);
  #ended = false;

  constructor(socket: TcpSocket) {
    this.#socket = socket;
  }

  /** The next message; undefined if it is not there yet, null if none comes any more. */
  next(): Buffer | null | undefined {
    for (;;) {
      if (this.#buffer.length >= 2) {
        const end = 2 + this.#buffer.readUInt16BE(0);
        if (this.#buffer.length >= end) {
          const message = this.#buffer.subarray(2, end);
          this.#buffer = this.#buffer.subarray(end);
          return message;
        }
      }
      if (this.#ended) return null;
      const more = this.#socket.read();
      if (more === null) return undefined;
      if (more.length === 0) this.#ended = true;
      else this.#buffer = Buffer.concat([this.#buffer, more]);
    }
  }
}

/** @param left milliseconds that are left. @throws when they are over, or the connection is */
export async function writeAll(
  socket: TcpSocket,
  bytes: Uint8Array,
  left: () => number,
  signal: AbortSignal,
): Promise<void> {
  for (let sent = 0; sent < bytes.length; ) {
    const taken = socket.send(bytes, sent);
    if (taken !== WOULD_BLOCK) sent += taken;
    else if ((await pollAsync([{ fd: socket.fd, events: POLLOUT }], left(), { signal })) === 0) {
      throw new Error('the peer does not read');
    }
  }
}
