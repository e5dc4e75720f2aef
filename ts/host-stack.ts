// SPDX-License-Identifier: MIT
//
// The host kernel's own sockets, with the calls that the sockets of a Stack have.

import { networkInterfaces } from 'node:os';
import { illegalConstructor, stackClosed } from './errors.js';
import { ForeignStack } from './foreign-stack.js';
import { type NativeBsdStack, native } from './native.js';
import type { AddressInfo } from './stack-info.js';

const noRoute = 'the host has no route there: ip route';
const advice = {
  'bind EADDRNOTAVAIL': 'not an address of the host: see addresses()',
  'bind EADDRINUSE': 'another socket of the host has it; port 0 picks a free one',
  'bind EACCES': 'the port is below net.ipv4.ip_unprivileged_port_start',
  'connect ENETUNREACH': noRoute,
  'connect EHOSTUNREACH': '',
  'sendTo ENETUNREACH': noRoute,
};

const illegal = Symbol('only HostStack.open() has this');

/**
 * The host's kernel as a stack: the same sockets as of a Stack, over the system's calls. `fd` is the
 * socket's own descriptor. Any number may be open; each has its sockets.
 */
export class HostStack extends ForeignStack {
  /** @internal Use HostStack.open(). */
  constructor(nativeStack: NativeBsdStack, token: symbol) {
    if (token !== illegal) throw illegalConstructor('use HostStack.open()');
    super(nativeStack, 'host');
  }

  static async open(): Promise<HostStack> {
    return new HostStack(new native.NativeBsdStack(), illegal);
  }

  protected override get advice(): Readonly<Record<string, string>> {
    return advice;
  }

  /** The host's addresses, of the interfaces that are up. */
  addresses(): AddressInfo[] {
    if (this.closed) throw stackClosed('addresses()');
    return Object.entries(networkInterfaces()).flatMap(([name, addresses = []]) => {
      const id = this.interfaceId(name) ?? 0;
      return addresses.map(({ address, cidr }) => {
        const prefix = Number(cidr?.split('/')[1] ?? 0);
        return { id, interface: name, address, prefix, state: 'preferred' as const };
      });
    });
  }
}
