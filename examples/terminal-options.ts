// SPDX-License-Identifier: MIT
//
// The command line of terminal.ts.

import { parseArgs } from 'node:util';

export const usage = `Usage: npm start -- [--link URL --address ADDRESS/PREFIX --connect ADDRESS:PORT]

Without options: a line host at the far end of a cable in memory. With them, a host out there:
  npm start -- --link tap://tap0 --address 10.0.0.2/24 --connect 10.0.0.1:7
  npm start -- --link tap://tap0 --address fd00::2/64 --connect '[fd00::1]:7'
  npm start -- --link vde:///run/switch --address 10.0.0.2/24 --connect 10.0.0.1:7

  --link URL        cable:NAME, tap://NAME, tun://NAME, vde://PATH, ... (docs/links.md)
  --address A/P     an address of ours on the link; may be repeated
  --gateway A       a router, for peers that are not on the link; may be repeated
  --connect A:P     the peer
  --timeout S       seconds to wait for the connection (15)
  --cooked          leave line editing and echo to this terminal: Enter sends a line
  --help            this text

At a terminal, ~. at the beginning of a line disconnects, and ~? lists the escapes. When stdin is no
terminal, it is sent to the peer, and so is its end. Exit code: 0 when both sides are done, 1 after
an error, 2 for wrong options, 128 + N after signal N.
`;

export interface TerminalOptions {
  /** Absent: a cable in memory, with a line host on it. */
  link?: string | undefined;
  addresses: string[];
  gateways: string[];
  peer: { host: string; port: number };
  /** Milliseconds. */
  timeout: number;
  cooked: boolean;
  help: boolean;
}

/** @throws {TypeError} for a wrong option, with what is wrong */
export function readOptions(): TerminalOptions {
  const { values } = parseArgs({
    options: {
      link: { type: 'string' },
      address: { type: 'string', multiple: true, default: [] },
      gateway: { type: 'string', multiple: true, default: [] },
      connect: { type: 'string' },
      timeout: { type: 'string', default: '15' },
      cooked: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const { link, connect, cooked = false, help = false } = values;
  if ((link === undefined) !== (connect === undefined)) {
    throw new TypeError('--link and --connect belong together');
  }
  const [, v6, v4, port] = /^(?:\[(.+)\]|([^:]+)):(\d+)$/.exec(connect ?? '10.0.0.1:7') ?? [];
  if (port === undefined) {
    throw new TypeError(`--connect must be ADDRESS:PORT or [ADDRESS]:PORT, not '${connect}'`);
  }
  const timeout = Number(values.timeout) * 1000;
  if (!(timeout > 0)) throw new TypeError(`--timeout must be seconds, not '${values.timeout}'`);
  const { address: addresses = [], gateway: gateways = [] } = values;
  const peer = { host: v6 ?? v4 ?? '', port: Number(port) };
  return { link, addresses, gateways, peer, timeout, cooked, help };
}
