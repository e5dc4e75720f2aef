// SPDX-License-Identifier: MIT
//
// Certificates for one run of the tests, made by openssl: none is kept, so none expires or leaks.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface KeyPair {
  key: Buffer;
  cert: Buffer;
}

export interface Certificates {
  /** Has signed the others, except for `alone`. */
  authority: KeyPair;
  /** For localhost, 127.0.0.1 and ::1. */
  server: KeyPair;
  /** For b.example. */
  other: KeyPair;
  client: KeyPair;
  /** Signed by itself. */
  alone: KeyPair;
}

let made: Certificates | undefined;

/** The same ones for each call in a process. */
export function certificates(): Certificates {
  made ??= makeCertificates();
  return made;
}

function makeCertificates(): Certificates {
  const folder = mkdtempSync(join(tmpdir(), 'certificates-'));
  const make = (name: string, names: string, issuer?: string): KeyPair => {
    const [key, cert] = [join(folder, `${name}.key`), join(folder, `${name}.pem`)];
    const signed =
      issuer === undefined
        ? []
        : ['-CA', join(folder, `${issuer}.pem`), '-CAkey', join(folder, `${issuer}.key`)];
    execFileSync(
      'openssl',
      [
        ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
        ...['-days', '2', '-subj', `/CN=${name}`, '-keyout', key, '-out', cert],
        ...(names === '' ? [] : ['-addext', `subjectAltName=${names}`]),
        ...(issuer === undefined ? [] : ['-addext', 'basicConstraints=critical,CA:FALSE']),
        ...signed,
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    return { key: readFileSync(key), cert: readFileSync(cert) };
  };
  try {
    return {
      authority: make('authority', ''),
      server: make('server', 'DNS:localhost,IP:127.0.0.1,IP:::1', 'authority'),
      other: make('other', 'DNS:b.example', 'authority'),
      client: make('client', 'DNS:client.example', 'authority'),
      alone: make('alone', 'DNS:localhost,IP:127.0.0.1'),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
