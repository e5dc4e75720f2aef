// SPDX-License-Identifier: MIT
//
// node:dns as it is of Node itself: what is asked of the host's resolver, and what judges arguments.

import nodeDns from 'node:dns';

/** Node's own; read at each use, since dns.setServers() changes its functions. */
export let hostDns: typeof nodeDns = nodeDns;

/** Before something else is put in place of node:dns's functions: from now on `hostDns` is what they are now. */
export function keepHostDns(): void {
  hostDns = { ...nodeDns, promises: { ...nodeDns.promises } };
}
