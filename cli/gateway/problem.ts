// SPDX-License-Identifier: MIT
//
// What is wrong with a request, as RFC 9457 tells it.

export class Problem extends Error {
  /** Of HTTP. */
  readonly status: number;
  readonly headers: Record<string, string>;

  /** @param message names the value, and what it must be */
  constructor(status: number, message: string, headers: Record<string, string> = {}) {
    super(message);
    this.status = status;
    this.headers = headers;
  }
}

/** A rule or forward whose text is wrong: told in one line, at the command line and to who asks by HTTP. */
export class TextError extends Error {}

/** The problem that an error of a call on the gateway is; null where the gateway itself is at fault. */
export function problemOf(error: unknown): Problem | null {
  if (error instanceof Problem) return error;
  if (error instanceof TextError) return new Problem(400, error.message);
  const { code = '', message = '' } = (error ?? {}) as { code?: string; message?: string };
  // Our own errors name the property of the call's options, which is the body of the request here.
  if (/^ERR_(INVALID_ARG|OUT_OF_RANGE|SOCKET_BAD_PORT)/.test(code))
    return new Problem(400, message);
  if (code === 'EINVAL' || code === 'EAFNOSUPPORT') return new Problem(400, message);
  // EADDRINUSE, EACCES, EMFILE, ...: well formed, but the machine does not let it be.
  if (/^E[A-Z0-9]+$/.test(code)) return new Problem(409, message);
  return null;
}
