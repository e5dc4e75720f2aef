// SPDX-License-Identifier: MIT
//
// What the tests of Node's modules over stacks share.

import { type EventEmitter, once } from 'node:events';
import type { AddressInfo, Server } from 'node:net';
import { generate } from 'selfsigned';
import { onTestFinished } from 'vitest';

/** The far stack of twoStacks(). */
export const host = '10.0.0.2';

let made: Promise<{ key: string; cert: string }> | undefined;

/** A key and a certificate of its own for far.test and 10.0.0.2. */
export function certificate(): Promise<{ key: string; cert: string }> {
  made ??= generate([{ name: 'commonName', value: 'far.test' }], {
    keyType: 'ec',
    extensions: [
      {
        name: 'subjectAltName',
        altNames: [
          { type: 2, value: 'far.test' },
          { type: 7, ip: host },
        ],
      },
    ],
  }).then(({ private: key, cert }) => ({ key, cert }));
  return made;
}

/** Listens on a port of the stack's choice, until the end of the test. */
export async function listening<Any extends Server>(server: Any): Promise<[Any, number]> {
  server.listen(0, host);
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
  });
  return [server, (server.address() as AddressInfo).port];
}

/** The names of those events of `events` that `emitter` has, in order, as they come. */
export function recorded(emitter: EventEmitter, ...events: string[]): string[] {
  const names: string[] = [];
  for (const name of events) {
    emitter.on(name, (value) => {
      const what = value instanceof Error ? `(${(value as NodeJS.ErrnoException).code})` : '';
      names.push(typeof value === 'boolean' ? `${name}(${value})` : `${name}${what}`);
    });
  }
  return names;
}

/** The whole of a readable stream, as text. */
export async function textOf(stream: AsyncIterable<Buffer>): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts).toString();
}
