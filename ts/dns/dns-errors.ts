// SPDX-License-Identifier: MIT
//
// The errors of stack.dns: those of node:dns, code for code. c-ares names what resolve() and its kind meet,
// getaddrinfo(3) what lookup() does.

import { format } from 'node:util';

/** RFC 1035 4.1.1 as node:dns names it. */
const codesByRcode: Record<number, string> = {
  1: 'EFORMERR',
  2: 'ESERVFAIL',
  3: 'ENOTFOUND',
  4: 'ENOTIMP',
  5: 'EREFUSED',
};

/** The code for an answer that has none of what was asked for: c-ares takes a code that it does not know for none. */
export function codeOfRcode(rcode: number): string {
  return codesByRcode[rcode] ?? 'ENODATA';
}

/**
 * What reverse() makes of an error of a question: c-ares goes on to its next source, and when there is none the
 * address has no name, whatever the servers said. Bounds of our own stay.
 */
export function reverseCode({ code, aliased }: DnsFailure): string {
  const stays = code === 'ECANCELLED' || code === 'ENOMEM' || aliased;
  return stays ? code : 'ENOTFOUND';
}

/** ERR_DNS_SET_SERVERS_FAILED: the servers of a resolver that has questions under way. */
export function serversInUse(servers: readonly string[]): Error {
  const reason = 'There are pending queries.';
  const message = format('c-ares failed to set servers: "%s" [%s]', reason, servers);
  const code = 'ERR_DNS_SET_SERVERS_FAILED';
  const error = Object.assign(new Error(message), { code });
  error.stack = error.stack?.replace('Error', `Error [${code}]`) ?? '';
  return error;
}

/** libuv's numbers for what getaddrinfo(3) says, which do not depend on the platform. */
const lookupErrno = {
  EAI_AGAIN: -3001,
  EAI_CANCELED: -3003,
  EAI_MEMORY: -3006,
  EAI_NODATA: -3007,
  EAI_NONAME: -3008,
} as const;

export type LookupCode = keyof typeof lookupErrno;

/** Why a question has no answer: `code` as c-ares says it. */
export class DnsFailure extends Error {
  readonly code: string;
  /** Of ENODATA: there is an alias, and nothing at its end. */
  readonly aliased: boolean;

  constructor(code: string, aliased = false) {
    super(code);
    this.code = code;
    this.aliased = aliased;
  }
}

/** An error in Node's form: `queryA ENOTFOUND name`. */
export interface DnsError extends Error {
  code: string;
  /** The negative number of libuv; undefined where c-ares found the error. */
  errno: number | undefined;
  /** 'getaddrinfo', 'getnameinfo', 'queryA', 'getHostByAddr', ... */
  syscall: string;
  hostname?: string;
}

function dnsError(
  code: string,
  errno: number | undefined,
  syscall: string,
  hostname: string | undefined,
): DnsError {
  const message = hostname ? `${syscall} ${code} ${hostname}` : `${syscall} ${code}`;
  const error = Object.assign(new Error(message), { errno, code, syscall });
  return hostname ? Object.assign(error, { hostname }) : error;
}

/** @param syscall 'queryA' and so on @param code 'ENOTFOUND' and so on */
export function queryError(syscall: string, code: string, hostname: string): DnsError {
  return dnsError(code, undefined, syscall, hostname);
}

/** Node calls a name that is not there, and one without addresses, ENOTFOUND alike. */
export function lookupError(
  code: LookupCode,
  hostname: string | undefined,
  syscall = 'getaddrinfo',
): DnsError {
  const isNotFound = code === 'EAI_NONAME' || code === 'EAI_NODATA';
  return dnsError(isNotFound ? 'ENOTFOUND' : code, lookupErrno[code], syscall, hostname);
}

/** What getaddrinfo(3) makes of an error of a question. */
export function lookupCode({ code, aliased }: DnsFailure): LookupCode {
  if (/^(ENOTFOUND|EBADNAME|EFORMERR)$/.test(code) || aliased) return 'EAI_NONAME';
  if (code === 'ENODATA') return 'EAI_NODATA';
  if (code === 'ECANCELLED') return 'EAI_CANCELED';
  if (code === 'ENOMEM') return 'EAI_MEMORY';
  return 'EAI_AGAIN';
}
