// SPDX-License-Identifier: MIT
//
// Checks of arguments. Each takes the value and its name in the call, and throws Node's error for a
// wrong one, so that the addon gets only what it takes.

import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { types } from 'node:util';
import { badPort, invalidType, invalidValue, outOfRange } from './errors.js';

/** sun_path of struct sockaddr_un, without its null. */
const longestSocketPath = 107;

export function checkInteger(value: unknown, name: string, least: number, most: number): number {
  if (typeof value !== 'number') throw invalidType(name, 'of type number', value);
  if (!Number.isInteger(value)) throw outOfRange(name, 'an integer', value);
  if (value < least || value > most) throw outOfRange(name, `>= ${least} and <= ${most}`, value);
  return value;
}

export function checkNumber(value: unknown, name: string, least: number, most: number): number {
  if (typeof value !== 'number') throw invalidType(name, 'of type number', value);
  // Written so that NaN fails too.
  if (!(value >= least && value <= most))
    throw outOfRange(name, `>= ${least} and <= ${most}`, value);
  return value;
}

export function checkBoolean(value: unknown, name: string): boolean {
  if (typeof value !== 'boolean') throw invalidType(name, 'of type boolean', value);
  return value;
}

export function checkString(value: unknown, name: string): string {
  if (typeof value !== 'string') throw invalidType(name, 'of type string', value);
  return value;
}

/** An object that is no array; its properties are still to be checked. */
export function checkObject(value: unknown, name: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalidType(name, 'of type object', value);
  }
  return value as Record<string, unknown>;
}

/** That an object has no property but `known` ones: a misspelt one would do nothing. */
export function checkKeys(value: object, name: string, known: readonly string[]): void {
  for (const [key, given] of Object.entries(value)) {
    if (given === undefined || known.includes(key)) continue;
    throw invalidValue(`${name}.${key}`, given, `is not known: there are ${known.join(', ')}`);
  }
}

/** One of the names. */
export function checkOneOf<Name extends string>(
  value: unknown,
  name: string,
  names: readonly Name[],
): Name {
  if (names.includes(checkString(value, name) as Name)) return value as Name;
  const quoted = names.map((one) => `'${one}'`);
  const last = quoted.pop();
  throw invalidValue(name, value, `must be ${quoted.join(', ')} or ${last}`);
}

/** A path that C can take whole, of a Unix socket, made absolute. */
export function checkSocketPath(value: unknown, name: string): string {
  const path = checkString(value, name);
  if (path === '' || path.includes('\0')) {
    throw invalidValue(name, value, 'must be a path without null bytes');
  }
  const absolute = resolve(path);
  if (Buffer.byteLength(absolute) > longestSocketPath) {
    throw invalidValue(name, value, `must have ${longestSocketPath} bytes at most (unix(7))`);
  }
  return absolute;
}

export function checkArray(value: unknown, name: string): unknown[] {
  if (!Array.isArray(value)) throw invalidType(name, 'an instance of Array', value);
  return value;
}

export function checkFunction(value: unknown, name: string): void {
  if (typeof value !== 'function') throw invalidType(name, 'of type function', value);
}

/** Bytes to be read or filled: a Uint8Array, which a Buffer is. */
export function checkBytes(value: unknown, name: string): asserts value is Uint8Array {
  if (!types.isUint8Array(value)) {
    throw invalidType(name, 'an instance of Buffer or Uint8Array', value);
  }
}

/** Bytes to be sent: a string is taken as UTF-8. */
export function toBytes(value: unknown, name: string): Uint8Array {
  if (types.isUint8Array(value)) return value;
  if (typeof value === 'string') return Buffer.from(value);
  throw invalidType(name, 'of type string or an instance of Buffer or Uint8Array', value);
}

/** That [offset, offset + length) lies in `size` bytes. */
export function checkRange(offset: unknown, length: unknown, size: number): void {
  checkInteger(offset, 'offset', 0, size);
  checkInteger(length, 'length', 0, size - (offset as number));
}

export function checkPort(value: unknown, name: string, least = 0): number {
  if (typeof value !== 'number') throw invalidType(name, 'of type number', value);
  if (!Number.isInteger(value) || value < least || value > 65535) {
    throw badPort(name, value, least);
  }
  return value;
}

/** An address without a zone. */
export function checkAddress(value: unknown, name: string): string {
  const address = checkString(value, name);
  if (isIP(address) === 0 || address.includes('%')) {
    throw invalidValue(name, value, 'must be an IPv4 or IPv6 address');
  }
  return address;
}

/** "10.0.0.2/24"; without a prefix, the address alone. */
export function checkCidr(value: unknown, name: string): string {
  const cidr = checkString(value, name);
  const [, address = '', prefix] = /^([^/%]+)(?:\/(\d{1,3}))?$/.exec(cidr) ?? [];
  const family = isIP(address);
  if (family === 0 || Number(prefix ?? 0) > (family === 4 ? 32 : 128)) {
    throw invalidValue(name, value, "must be an address with a prefix, such as '10.0.0.2/24'");
  }
  return cidr;
}

/** Address, port, and the zone of a link-local address: the name or number of an interface. */
export interface HostAndPort {
  host: string;
  port: number;
  zone: string | undefined;
}

/**
 * Takes apart { host, port }.
 * @param requires whether the host, or the port, may be left out (it is then '' or 0)
 */
export function checkEndpoint(
  value: unknown,
  name: string,
  requires: { host: boolean; port: boolean },
): HostAndPort {
  const { host, port } = checkObject(value, name);
  const result: HostAndPort = { host: '', port: 0, zone: undefined };
  if (requires.host || host !== undefined) {
    const [address = '', zone] = checkString(host, `${name}.host`).split('%');
    if (isIP(host as string) === 0 || zone === '') {
      throw invalidValue(
        `${name}.host`,
        host,
        'must be an IPv4 or IPv6 address: names are not looked up here',
      );
    }
    result.host = address;
    result.zone = zone;
  }
  if (requires.port || port !== undefined) {
    result.port = checkPort(port, `${name}.port`, requires.port ? 1 : 0);
  }
  return result;
}

export function checkSignal(value: unknown, name: string): AbortSignal | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'object' || value === null || !('aborted' in value)) {
    throw invalidType(name, 'an instance of AbortSignal', value);
  }
  return value as AbortSignal;
}
