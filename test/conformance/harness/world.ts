// SPDX-License-Identifier: MIT
//
// Where a scenario runs: over Node's own modules on the kernel's loopback, or over a stack's on its own.

import dgram from 'node:dgram';
import dns from 'node:dns';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import net from 'node:net';
import tls from 'node:tls';
import type { Stack } from 'vpollnet';

/** Node's network modules. */
export interface Modules {
  net: typeof net;
  dgram: typeof dgram;
  dns: typeof dns;
  tls: typeof tls;
  http: typeof http;
  https: typeof https;
  http2: typeof http2;
}

export interface World extends Readonly<Modules> {
  readonly name: 'node' | 'stack';
  /** After the scenario has closed what it opened. */
  close(): Promise<void>;
}

const ofNode: Modules = { net, dgram, dns, tls, http, https, http2 };

export async function nodeWorld(): Promise<World> {
  return { name: 'node', ...ofNode, close: async () => {} };
}

async function stackWorld(module: keyof Modules): Promise<World> {
  const { Stack } = await import('vpollnet'); // Node is compared with itself without an addon
  const stack = await Stack.open({});
  const close = async () => stack.close();
  const modules = { ...ofNode };
  // One that the stack does not have is not compared: a client of it and a server of Node's would not meet.
  if (module in stack) {
    for (const name of Object.keys(ofNode) as (keyof Modules)[]) {
      if (name in stack) Object.assign(modules, { [name]: stack[name as keyof Stack] });
    }
  }
  return { name: 'stack', ...modules, close };
}

/** The world that is compared with Node's. `VPOLLNET_CONFORMANCE=node` compares Node with itself. */
export function secondWorld(module: keyof Modules): Promise<World> {
  return process.env.VPOLLNET_CONFORMANCE === 'node' ? nodeWorld() : stackWorld(module);
}
