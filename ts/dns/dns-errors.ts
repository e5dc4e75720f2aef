// SPDX-License-Identifier: MIT
//
// The errors of stack.dns: those of node:dns, code for code. c-ares names what resolve() and its kind meet,
// getaddrinfo(3) what lookup() does.

/** RFC 1035 4.1.1 as node:dns names it. */
const codesByRcode: Record<number, string> = {
  1: 'EFORMERR',
  2: 'ESERVFAIL',
  3: 'ENOTFOUND',
  4: 'ENOTIMP',
  5: 'EREFUSED',
};

/** The code for an answer that has none of what was asked for. */
export function codeOfRcode(rcode: number): string {
  return rcode === 0 ? 'ENODATA' : (codesByRcode[rcode] ?? 'EBADRESP');
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

  constructor(code: string) {
    super(code);
    this.code = code;
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
export function lookupCode(code: string): LookupCode {
  if (code === 'ENOTFOUND' || code === 'EBADNAME') return 'EAI_NONAME';
  if (code === 'ENODATA') return 'EAI_NODATA';
  if (code === 'ECANCELLED') return 'EAI_CANCELED';
  if (code === 'ENOMEM') return 'EAI_MEMORY';
  return 'EAI_AGAIN';
}
