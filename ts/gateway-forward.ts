// SPDX-License-Identifier: MIT
//
// Ports of one side of a gateway that lead to the other.

import {
  checkAddress,
  checkKeys,
  checkObject,
  checkOneOf,
  checkPort,
  checkSocketPath,
} from './check.js';
import { invalidValue, NetworkError } from './errors.js';
import type { NativeFailure, NativeFlowTarget, NativeForward, NativeGateway } from './native.js';

export interface ForwardOptions {
  /** 'tcp' if left out. */
  protocol?: 'tcp' | 'udp';
  /**
   * 'inward', if left out: the far stack listens, and it leads to an address behind the gateway. 'outward': the
   * gateway's own stack listens, and it leads to the far side, without asking.
   */
  direction?: 'inward' | 'outward';
  /**
   * Without an address: all. Port 0: a free one. `lastPort`: all from `port` to it, each to the one beside it.
   * A path: a Unix stream socket that the host makes (inward, tcp).
   */
  listen: { address?: string; port: number; lastPort?: number } | { path: string };
  /** A path: a Unix stream socket of the host (outward, tcp). */
  to: { address: string; port: number } | { path: string };
}

type Range = NativeFlowTarget & { count: number };

function checkPath(value: unknown, name: string, allowed: boolean, when: string): Range {
  const given = checkObject(value, name);
  checkKeys(given, name, ['path']);
  if (!allowed) throw invalidValue(`${name}.path`, given.path, `needs tcp, and direction ${when}`);
  const path = checkSocketPath(given.path, `${name}.path`);
  return { address: '', port: 0, scope: 0, path, count: 1 };
}

function checkListen(value: unknown, name: string, allowsPath: boolean): Range {
  const given = checkObject(value, name);
  if (given.path !== undefined) return checkPath(value, name, allowsPath, "'inward'");
  checkKeys(given, name, ['address', 'port', 'lastPort', 'path']);
  const port = checkPort(given.port, `${name}.port`);
  let count = 1;
  if (given.lastPort !== undefined) {
    const last = checkPort(given.lastPort, `${name}.lastPort`, 1);
    if (port === 0 || last < port) {
      throw invalidValue(`${name}.lastPort`, last, `must not be less than port, which is ${port}`);
    }
    count = last - port + 1;
  }
  const { address } = given;
  const host = address === undefined ? '' : checkAddress(address, `${name}.address`);
  return { address: host, port, scope: 0, path: '', count };
}

function checkTo(value: unknown, name: string, allowsPath: boolean, listen: Range): Range {
  const given = checkObject(value, name);
  if (given.path !== undefined) {
    if (listen.count > 1) {
      throw invalidValue(`${name}.path`, given.path, 'is one, and there are several ports');
    }
    return checkPath(value, name, allowsPath, "'outward'");
  }
  checkKeys(given, name, ['address', 'port', 'path']);
  const address = checkAddress(given.address, `${name}.address`);
  const port = checkPort(given.port, `${name}.port`, 1);
  if (port + listen.count - 1 > 65535) {
    throw invalidValue(`${name}.port`, port, `leaves no room for ${listen.count} ports`);
  }
  return { address, port, scope: 0, path: '', count: 1 };
}

export function checkForward(value: unknown, name: string): NativeForward {
  const given = checkObject(value, name);
  checkKeys(given, name, ['protocol', 'direction', 'listen', 'to']);
  const protocol = checkOneOf(given.protocol ?? 'tcp', `${name}.protocol`, ['tcp', 'udp']);
  const directions = ['inward', 'outward'] as const;
  const direction = checkOneOf(given.direction ?? 'inward', `${name}.direction`, directions);
  const isTcp = protocol === 'tcp';
  const { count, ...listen } = checkListen(
    given.listen,
    `${name}.listen`,
    isTcp && direction === 'inward',
  );
  const { count: _, ...to } = checkTo(given.to, `${name}.to`, isTcp && direction === 'outward', {
    ...listen,
    count,
  });
  return { direction, protocol, listen, count, to };
}

/** Why one could not be had. */
export function forwardRefused(
  { listen: { address, port, path } }: NativeForward,
  [errno, syscall, detail]: NativeFailure,
): NetworkError {
  if (path !== '') return new NetworkError(syscall || 'forward', errno, { path, detail: '' });
  // Of a range, the addon names the port that it is about.
  const [, failed] = /:(\d+)$/.exec(detail) ?? [];
  const place = { address: address || '::', port: failed === undefined ? port : Number(failed) };
  const text = failed === undefined ? detail : undefined;
  return new NetworkError(syscall || 'forward', errno, { ...place, detail: text });
}

/** Ports that lead to the other side, from gateway.forward(). */
export class Forward {
  readonly id: number;
  readonly options: ForwardOptions;
  /** The first one that listens, also where 0 was asked for; absent for a path. */
  declare readonly port?: number;
  readonly #native: NativeGateway;
  readonly #forget: () => void;
  #open = true;

  /** @internal Use gateway.forward(). */
  constructor(id: number, options: ForwardOptions, native: NativeGateway, forget: () => void) {
    this.id = id;
    this.options = options;
    this.#native = native;
    this.#forget = forget;
    const port = this.#look()?.port ?? 0;
    if (port !== 0) this.port = port;
  }

  /** Flows that have come by it. */
  get flows(): number {
    return this.#look()?.flows ?? 0;
  }

  get closed(): boolean {
    return !this.#open;
  }

  /** Listens no longer; its flows go on. Idempotent. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#native.removeForward(this.id);
    this.#forget();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #look(): { port: number; flows: number } | undefined {
    return this.#open ? this.#native.forwards().find(({ id }) => id === this.id) : undefined;
  }
}
