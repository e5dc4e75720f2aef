// SPDX-License-Identifier: MIT
//
// Values as a transcript shows them: what two runs of one scenario have in common, and nothing that the
// system chooses anew each time (ephemeral ports, descriptors, handles, temporary paths).

import { createHash } from 'node:crypto';

/** What the values of one run are called. */
export interface Names {
  /** Of an object that the transcript has a part for. */
  object(value: object): string | undefined;
  /** Of a port that a scenario has named. */
  port(value: number): string | undefined;
  /** The text with what differs from run to run replaced. */
  text(value: string): string;
}

const errorFields =
  'code errno syscall hostname address port localAddress localPort dest reason library host'.split(
    ' ',
  );

/** A short text in full, a long one as its length and its hash. */
export function describeBytes(bytes: Buffer): string {
  const text = bytes.toString('latin1');
  if (bytes.length <= 200 && /^[\x20-\x7e\r\n\t]*$/.test(text)) {
    return `${bytes.length} bytes ${JSON.stringify(text)}`;
  }
  if (bytes.length <= 32) return `${bytes.length} bytes ${bytes.toString('hex')}`;
  const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 16);
  return `${bytes.length} bytes with hash ${hash}`;
}

/** A port: the fixed ones as they are, the others by name. */
export function describePort(value: number, names: Names): string {
  const name = names.port(value);
  if (name !== undefined) return `<port ${name}>`;
  return value >= 1024 && value <= 65535 ? '<port>' : String(value);
}

function describeError(error: Error, names: Names): string {
  const parts: string[] = [];
  const fields = error as unknown as Record<string, unknown>;
  for (const field of errorFields) {
    if (fields[field] !== undefined) parts.push(`${field}: ${member(field, fields[field], names)}`);
  }
  parts.push(`message: ${JSON.stringify(names.text(error.message))}`);
  if (error instanceof AggregateError) {
    parts.push(`errors: ${error.errors.map((one) => describe(one, names)).join(', ')}`);
  }
  if (error.cause !== undefined) parts.push(`cause: ${describe(error.cause, names)}`);
  return `${error.name} { ${parts.join(', ')} }`;
}

function member(key: string, value: unknown, names: Names): string {
  const isPort = /port$/i.test(key) && typeof value === 'number';
  return isPort ? describePort(value, names) : describe(value, names);
}

/** Any value, in one line. */
export function describe(value: unknown, names: Names): string {
  if (typeof value === 'string') return JSON.stringify(names.text(value));
  if (typeof value === 'function') return '<function>';
  if (typeof value === 'symbol' || typeof value === 'bigint') return String(value);
  if (typeof value !== 'object' || value === null) {
    return Object.is(value, -0) ? '-0' : String(value);
  }
  const name = names.object(value);
  if (name !== undefined) return `<${name}>`;
  if (Buffer.isBuffer(value)) return describeBytes(value);
  if (value instanceof Uint8Array) return `Uint8Array of ${describeBytes(Buffer.from(value))}`;
  if (value instanceof Error) return describeError(value, names);
  if (Array.isArray(value)) return `[${value.map((one) => describe(one, names)).join(', ')}]`;
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== null && prototype !== Object.prototype) {
    return `<${value.constructor?.name ?? 'object'}>`;
  }
  const members = Object.entries(value as Record<string, unknown>)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, one]) => `${key}: ${member(key, one, names)}`);
  return members.length === 0 ? '{}' : `{ ${members.join(', ')} }`;
}
