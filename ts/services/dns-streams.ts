// SPDX-License-Identifier: MIT
//
// DNS over TCP, the server's side (RFC 7766): connections, bounded in number, in time, and in what each has at
// work.

import { setImmediate as turn } from 'node:timers/promises';
import { MessageReader, writeAll } from '../dns/dns-servers.js';
import { POLLIN, pollAsync } from '../poll.js';
import type { TcpSocket } from '../tcp-socket.js';

/** Questions of one connection at work at once; then it is not read (RFC 7766 6.2.1.1). */
const mostAtWork = 16;

export class DnsStreams {
  readonly #ended: AbortSignal;
  readonly #limit: number;
  /** Milliseconds. */
  readonly #idle: number;
  readonly #serve: (
    bytes: Buffer,
    client: { address: string; port: number },
  ) => Promise<Buffer | null>;
  readonly #connections = new Set<TcpSocket>();
  /** Connections that were closed because there were enough. */
  refused = 0;

  constructor(
    ended: AbortSignal,
    limit: number,
    idle: number,
    serve: (bytes: Buffer, client: { address: string; port: number }) => Promise<Buffer | null>,
  ) {
    this.#ended = ended;
    this.#limit = limit;
    this.#idle = idle;
    this.#serve = serve;
    ended.addEventListener('abort', () => {
      for (const connection of this.#connections) connection.close();
    });
  }

  /** Takes connections until the service ends. */
  async serve(listener: TcpSocket): Promise<void> {
    try {
      while (!this.#ended.aborted) {
        await pollAsync([{ fd: listener.fd, events: POLLIN }], -1, { signal: this.#ended });
        for (
          let connection = listener.accept();
          connection !== null;
          connection = listener.accept()
        ) {
          if (this.#connections.size >= this.#limit) {
            this.refused += 1;
            connection.close();
          } else {
            this.#connections.add(connection);
            void this.#converse(connection);
          }
        }
        await turn();
      }
    } catch (error) {
      if (!this.#ended.aborted && !listener.closed) throw error;
    }
  }

  /** A connection to its end. Never rejects. */
  async #converse(connection: TcpSocket): Promise<void> {
    let atWork = 0;
    let writing = Promise.resolve();
    let wake: (() => void) | undefined;
    try {
      const peer = connection.remoteAddress ?? { address: '', port: 0 };
      const reader = new MessageReader(connection);
      // Counted from the last whole message: half a one keeps nothing open.
      let until = performance.now() + this.#idle;
      for (;;) {
        const message = reader.next();
        if (message === null) break;
        if (message === undefined) {
          const fds = [{ fd: connection.fd, events: POLLIN }];
          if (atWork > 0) until = Math.max(until, performance.now() + this.#idle);
          const left = Math.ceil(until - performance.now());
          if (left <= 0) break;
          await pollAsync(fds, left, { signal: this.#ended });
          continue;
        }
        until = performance.now() + this.#idle;
        atWork += 1;
        void this.#serve(message, peer).then((answer) => {
          // One behind the other: a message is written whole.
          writing = writing
            .then(() => this.#write(connection, answer))
            .finally(() => {
              atWork -= 1;
              wake?.();
            });
          writing.catch(() => connection.close());
        });
        while (atWork >= mostAtWork) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
      // The client has said its last word, and still hears.
      while (atWork > 0) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    } catch {
      // Reset, or closed, or the service ends.
    } finally {
      connection.close();
      this.#connections.delete(connection);
    }
  }

  async #write(connection: TcpSocket, answer: Buffer | null): Promise<void> {
    if (answer === null || connection.closed) return;
    const length = Buffer.alloc(2);
    length.writeUInt16BE(answer.length);
    const end = performance.now() + this.#idle;
    const left = () => Math.max(0, Math.ceil(end - performance.now()));
    await writeAll(connection, Buffer.concat([length, answer]), left, this.#ended);
  }
}
