// SPDX-License-Identifier: MIT
//
// Every error that this package throws is made here, with Node's codes and in Node's form.
// docs/errors.md says of each code when it comes and what to do.

import { isIPv6 } from 'node:net';
import { constants } from 'node:os';
import { getSystemErrorMap, inspect } from 'node:util';
import type { NativeFailure } from './native.js';

const names = new Map<number, string>(
  Object.entries(constants.errno).map(([name, number]) => [number, name]),
);
for (const [number, [name]] of getSystemErrorMap()) names.set(-number, name);
// Two names for one number, and libuv's is not the one that sockets use.
names.set(constants.errno.EOPNOTSUPP, 'EOPNOTSUPP');
// What Linux says of a TUN or TAP that is gone; Node has no name for it.
names.set(77, 'EBADFD');

/** 'ECONNRESET' and so on. @param errno positive, as in errno.h */
export const errnoName = (errno: number): string => names.get(errno) ?? `E${errno}`;

/** What to do about an error, for those where the code alone does not say it. */
const advice: Record<string, string> = {
  'bind EADDRNOTAVAIL': 'not an address of this stack, or not yet usable: see stack.addresses()',
  'bind EINVAL': 'the socket is bound already',
  'bind EADDRINUSE': 'another socket of this stack has it; port 0 picks a free one',
  'socket EACCES':
    "this user may not send ICMP echoes: as root, sysctl net.ipv4.ping_group_range='0 2147483647'",
  'connect ENETUNREACH': 'the stack has no route there: see stack.routes()',
  'connect EADDRNOTAVAIL': 'no usable source address, or every port is taken',
  'connect EALREADY': 'the socket is connecting: wait for POLLOUT',
  'connect EISCONN': 'the socket is connected',
  'connect EHOSTUNREACH': 'the host does not answer on the link, or a router refused',
  'sendTo ENETUNREACH': 'the stack has no route there: see stack.routes()',
  'sendTo EPERM': "the stack's filter does not let it out: see stack.filter.info()",
  'sendTo EACCES': "a broadcast address needs setOption('broadcast', true)",
  'send EDESTADDRREQ': 'connect the socket, or use sendTo()',
  'accept EINVAL': 'the socket is not listening',
  'poll EINTR': 'a signal came; let the event loop turn so that its handler runs, then poll again',
  'select EINTR':
    'a signal came; let the event loop turn so that its handler runs, then select again',
  'read EBADFD': 'the device was deleted',
  'read ENETDOWN': 'the interface went down, or away',
  'read ECONNRESET': 'the other end of the link went away',
  'write EPIPE': 'whoever read the recording has gone; it ends here',
  'write ENOSPC': 'the disk is full; the recording ends here',
  'addRoute ENETUNREACH': 'the gateway is on no network of the stack',
  'addRoute EEXIST': 'the stack has that route',
  'addAddress EEXIST': 'the stack has that address',
};

/** Where an error happened. */
export interface ErrorPlace {
  address?: string | undefined;
  port?: number | undefined;
  /** The link's URL, if the error is about a link. */
  url?: string | undefined;
  /** The file, if the error is about one. */
  path?: string | undefined;
  /** What to do about it; if left out, the advice for the call and the code. */
  detail?: string | undefined;
  /** By 'call CODE', what is to be said instead of the general advice; '' for nothing. */
  advice?: Readonly<Record<string, string>> | undefined;
}

/**
 * An error of the stack or the operating system, in the form that Node gives such errors:
 * `connect ECONNREFUSED 10.0.0.1:7`, then, where there is something to add, ` - ` and what to do.
 */
export class NetworkError extends Error {
  /** 'ECONNREFUSED' and so on. */
  readonly code: string;
  /** The negative errno, as in Node's errors. */
  readonly errno: number;
  /** The call that failed: 'connect', 'recv', 'poll', 'open' (of a device), ... */
  readonly syscall: string;
  declare readonly address?: string;
  declare readonly port?: number;
  /** The link's URL, if the error is about a link. */
  declare readonly url?: string;
  /** The file, if the error is about one. */
  declare readonly path?: string;

  /** @param errno positive, as in errno.h */
  constructor(syscall: string, errno: number, place: ErrorPlace = {}) {
    const code = errnoName(errno);
    const key = `${syscall} ${code}`;
    const { address, port, url, path, detail = place.advice?.[key] ?? advice[key] } = place;
    let message = `${syscall} ${code}`;
    if (address !== undefined) {
      message += ` ${port !== undefined && isIPv6(address) ? `[${address}]` : address}`;
      if (port !== undefined) message += `:${port}`;
    } else if (url !== undefined || path !== undefined) {
      message += ` ${url ?? path}`;
    }
    if (detail) message += ` - ${detail}`;
    super(message);
    this.code = code;
    this.errno = -errno;
    this.syscall = syscall;
    if (address !== undefined) this.address = address;
    if (port !== undefined) this.port = port;
    if (url !== undefined) this.url = url;
    if (path !== undefined) this.path = path;
  }
}
// Node's system errors are called 'Error'. On the prototype, so that it is no own property.
NetworkError.prototype.name = 'Error';

/** Adds Node's `code` to an error, and shows it in the stack trace as Node does. */
function coded<E extends Error>(code: string, error: E): E & { code: string } {
  const { name } = error;
  error.name = `${name} [${code}]`;
  void error.stack; // is made with the name of this moment
  delete (error as { name?: string }).name; // as it was: the prototype's
  return Object.assign(error, { code });
}

function received(value: unknown): string {
  if (value == null) return `Received ${value}`;
  if (typeof value === 'function') return `Received function ${value.name}`;
  if (typeof value === 'object') {
    const name = value.constructor?.name;
    return name ? `Received an instance of ${name}` : `Received ${inspect(value, { depth: -1 })}`;
  }
  const shown = inspect(value, { colors: false });
  return `Received type ${typeof value} (${shown.length > 28 ? `${shown.slice(0, 25)}...` : shown})`;
}

const argument = (name: string) =>
  name.includes('.') || name.includes('[') ? `"${name}" property` : `"${name}" argument`;

/** ERR_INVALID_ARG_TYPE. @param expected 'of type number', 'an instance of Uint8Array', ... */
export function invalidType(name: string, expected: string, value: unknown): TypeError {
  const message = `The ${argument(name)} must be ${expected}. ${received(value)}`;
  return coded('ERR_INVALID_ARG_TYPE', new TypeError(message));
}

/** ERR_INVALID_ARG_VALUE. @param reason 'must be an IPv4 or IPv6 address' */
export function invalidValue(name: string, value: unknown, reason: string): TypeError {
  const shown = inspect(value, { depth: 0, breakLength: Infinity }).slice(0, 128);
  const what = argument(name).replace(/^"(.*)" (.*)$/, "$2 '$1'");
  return coded('ERR_INVALID_ARG_VALUE', new TypeError(`The ${what} ${reason}. Received ${shown}`));
}

/** ERR_INVALID_IP_ADDRESS, of a DNS server. */
export function invalidIpAddress(address: string): TypeError {
  return coded('ERR_INVALID_IP_ADDRESS', new TypeError(`Invalid IP address: ${address}`));
}

/** ERR_OUT_OF_RANGE. @param range '>= 0 and <= 255' */
export function outOfRange(name: string, range: string, value: unknown): RangeError {
  return coded(
    'ERR_OUT_OF_RANGE',
    new RangeError(
      `The value of "${name}" is out of range. It must be ${range}. Received ${inspect(value)}`,
    ),
  );
}

/** ERR_SOCKET_BAD_PORT. */
export function badPort(name: string, value: unknown, least: number): RangeError {
  const range = least > 0 ? '> 0 and < 65536' : '>= 0 and < 65536';
  return coded(
    'ERR_SOCKET_BAD_PORT',
    new RangeError(`${name} should be ${range}. ${received(value)}.`),
  );
}

/** ERR_STACK_CLOSED: a call on a stack after its close(). */
export function stackClosed(call: string): Error {
  return coded('ERR_STACK_CLOSED', new Error(`stack.${call}: the stack is closed`));
}

/** ERR_SWITCH_CLOSED: a call on a switch after its close(). */
export function switchClosed(call: string): Error {
  return coded('ERR_SWITCH_CLOSED', new Error(`switch.${call}: the switch is closed`));
}

/** ERR_GATEWAY_CLOSED: a call on a gateway after its close(), or that of one of its stacks. */
export function gatewayClosed(call: string): Error {
  return coded('ERR_GATEWAY_CLOSED', new Error(`gateway.${call}: the gateway is closed`));
}

/** ERR_GATEWAY_POLICY: what a policy did wrong. @param flow 'tcp 10.0.0.2:1 -> 192.0.2.1:80' */
export function policyFailed(flow: string, what: string, cause: unknown): Error {
  const message = `the policy ${what} for ${flow}, which is refused`;
  return coded('ERR_GATEWAY_POLICY', new Error(message, { cause }));
}

/** Why a link could not be opened. @param name the argument that describes the link */
export function linkRefused(
  call: string,
  name: string,
  url: string,
  [errno, syscall, detail]: NativeFailure,
): Error {
  if (errno === constants.errno.EINVAL && syscall === '') {
    return invalidValue(`${name}.url`, url, `cannot be opened: ${detail}`);
  }
  return new NetworkError(syscall || call, errno, { url, detail: detail || undefined });
}

/** ERR_ILLEGAL_CONSTRUCTOR: `new` on a class whose objects come from a stack. */
export function illegalConstructor(advice: string): TypeError {
  return coded('ERR_ILLEGAL_CONSTRUCTOR', new TypeError(`Illegal constructor: ${advice}`));
}

/** What an AbortSignal gives: its own reason, or Node's AbortError. */
export function aborted(signal: AbortSignal): unknown {
  return signal.reason ?? coded('ABORT_ERR', new Error('The operation was aborted'));
}
