// SPDX-License-Identifier: MIT
//
// The codec of DNS messages, loaded when the first one is read or written: most programs that import the package never do.

import { createRequire } from 'node:module';
import type packet from 'dns-packet';

const load = createRequire(import.meta.url);
let loaded: typeof packet | undefined;

/** The package dns-packet. */
export function codec(): typeof packet {
  loaded ??= load('dns-packet') as typeof packet;
  return loaded;
}
