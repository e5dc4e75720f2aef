// SPDX-License-Identifier: MIT
//
// Echo requests and what becomes of them.

import { isIP } from 'node:net';
import { type IcmpSocket, type LinkOptions, POLLIN, pollAsync, Stack, WOULD_BLOCK } from 'vpollnet';
import { endOfUse, messageOf, UsageError } from './command.js';
import { pingCode } from './ping-command.js';

export interface PingOptions {
  host: string;
  link: LinkOptions;
  count: number;
  /** Milliseconds. */
  interval: number;
  /** Milliseconds. */
  wait: number;
  /** Bytes. */
  size: number;
  quiet: boolean;
}

/** Type, code, checksum, identifier and sequence number (RFC 792, RFC 4443 4.1). */
const icmpHeader = 8;
/** Bytes of the data that say which request it was. */
const mark = 4;
/** Requests of which is known when they were sent; with more on their way, the oldest is forgotten. */
const mostOutstanding = 65_536;

/** Three digits, as ping(8) shows a time. */
const shown = (time: number) => time.toFixed(time < 1 ? 3 : time < 10 ? 2 : time < 100 ? 1 : 0);

/** Round trips in milliseconds, as ping(8) sums them up. */
export class Statistics {
  sent = 0;
  received = 0;
  duplicates = 0;
  errors = 0;
  #least = Number.POSITIVE_INFINITY;
  #most = 0;
  #sum = 0;
  #squares = 0;

  add(roundTrip: number): void {
    this.received += 1;
    this.#least = Math.min(this.#least, roundTrip);
    this.#most = Math.max(this.#most, roundTrip);
    this.#sum += roundTrip;
    this.#squares += roundTrip ** 2;
  }

  /** @param elapsed milliseconds */
  toString(host: string, elapsed: number): string {
    const { sent, received, duplicates, errors } = this;
    const lost = sent === 0 ? 0 : ((sent - received) / sent) * 100;
    const counts = [
      `${sent} packets transmitted`,
      `${received} received`,
      ...(duplicates > 0 ? [`+${duplicates} duplicates`] : []),
      ...(errors > 0 ? [`+${errors} errors`] : []),
      `${Number(lost.toFixed(4))}% packet loss`,
      `time ${Math.round(elapsed)}ms`,
    ];
    const lines = [`--- ${host} ping statistics ---`, counts.join(', ')];
    if (received > 0) {
      const mean = this.#sum / received;
      const deviation = Math.sqrt(Math.max(0, this.#squares / received - mean ** 2));
      const times = [this.#least, mean, this.#most, deviation].map((time) => time.toFixed(3));
      lines.push(`rtt min/avg/max/mdev = ${times.join('/')} ms`);
    }
    return lines.join('\n');
  }
}

/** @returns the exit code, as ping(8)'s */
export async function ping(options: PingOptions): Promise<number> {
  const { host, link, size, quiet } = options;
  const family = isIP(host.replace(/%.*$/, ''));
  if (family === 0) {
    throw new UsageError(`HOST must be an IPv4 or IPv6 address (no names), not '${host}'`);
  }
  const end = endOfUse();
  await using stack = await Stack.open({ name: 'vpollnet ping', links: [link] });
  if (end.signal.aborted) return pingCode.silence;
  using socket = stack.socket('icmp');
  void socket.fd; // made before the first request, not within its time
  const say = (line: string) => void process.stdout.write(`${line}\n`);
  const ipHeader = family === 4 ? 20 : 40;
  say(`PING ${host} ${size}(${size + icmpHeader + ipHeader}) bytes of data.`);
  const statistics = new Statistics();
  const started = performance.now();
  await exchange(socket, options, statistics, end.signal, quiet ? () => {} : say);
  say(`\n${statistics.toString(host, performance.now() - started)}`);
  return statistics.received > 0 ? pingCode.answered : pingCode.silence;
}

async function exchange(
  socket: IcmpSocket,
  { host, count, interval, wait, size }: PingOptions,
  statistics: Statistics,
  signal: AbortSignal,
  say: (line: string) => void,
): Promise<void> {
  const data = Buffer.from(Array.from({ length: size }, (_, index) => index & 0xff));
  const answer = Buffer.alloc(65_536);
  /** When each was sent; without room for a mark, answers are taken in turn. */
  const outstanding = new Map<number, number>();
  let next = performance.now();
  let last = next;

  const send = () => {
    statistics.sent += 1;
    const sequence = statistics.sent;
    if (size >= mark) data.writeUInt32BE(sequence >>> 0);
    last = performance.now();
    outstanding.set(sequence, last);
    if (outstanding.size > mostOutstanding) {
      outstanding.delete(outstanding.keys().next().value as number);
    }
    try {
      if (socket.sendTo(data, { host }) === WOULD_BLOCK) throw new Error('the send buffer is full');
    } catch (error) {
      statistics.errors += 1;
      outstanding.delete(sequence);
      say(`icmp_seq=${sequence} ${messageOf(error)}`);
    }
  };

  const receive = () => {
    for (;;) {
      try {
        const from = socket.recvFrom(answer);
        if (from === null) return;
        const now = performance.now();
        const oldest = outstanding.keys().next().value ?? 0;
        const sequence = size >= mark ? answer.readUInt32BE() : oldest;
        if (from.size !== size || sequence < 1 || sequence > statistics.sent) continue;
        const sentAt = outstanding.get(sequence);
        const what = `${size + icmpHeader} bytes from ${from.address}: icmp_seq=${sequence}`;
        if (sentAt === undefined) {
          statistics.duplicates += 1;
          say(`${what} (DUP!)`);
          continue;
        }
        outstanding.delete(sequence);
        statistics.add(now - sentAt);
        say(`${what} time=${shown(now - sentAt)} ms`);
      } catch (error) {
        // What a router or the neighbour cache said of one of the requests.
        statistics.errors += 1;
        say(messageOf(error));
      }
    }
  };

  while (!signal.aborted) {
    receive();
    const now = performance.now();
    const sending = statistics.sent < count;
    if (sending && now >= next) {
      send();
      next = Math.max(next + interval, now);
      receive();
    }
    if (statistics.sent >= count && outstanding.size === 0) return;
    const until = statistics.sent < count ? next : last + wait;
    if (statistics.sent >= count && performance.now() >= until) return;
    const pause = Math.max(0, Math.ceil(until - performance.now()));
    try {
      await pollAsync([{ fd: socket.fd, events: POLLIN }], pause, { signal });
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }
}
