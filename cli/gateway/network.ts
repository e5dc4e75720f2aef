// SPDX-License-Identifier: MIT
//
// What is behind the gateway: a command, the namespace of a process, or links to machines; and the stack that is the
// router there.

import { type LinkOptions, Namespace, Stack, Switch } from 'vpollnet';
import type { NetworkAddresses } from './addresses.js';
import { isWithin } from './rule.js';

/** Of a TAP of Linux: what a packet of 64 KiB leaves beside its header. */
const largestMtu = 65_520;
const ordinaryMtu = 1500;

export interface BehindOptions {
  command: readonly string[] | undefined;
  pid: number | undefined;
  links: readonly string[];
  v4: NetworkAddresses;
  v6: NetworkAddresses | undefined;
  mtu: number | undefined;
  mapRoot: boolean;
  hostLoopback: readonly string[];
  /** What a command reads in /etc/resolv.conf. */
  resolvConf: string;
}

export interface Behind extends AsyncDisposable {
  stack: Stack;
  mtu: number;
  /** The command's namespace; it waits for start(). */
  namespace: Namespace | undefined;
}

/** @throws what Namespace, Switch and Stack throw; nothing is left then */
export async function openBehind(options: BehindOptions): Promise<Behind> {
  const { command, pid, links, v4, v6, mapRoot, resolvConf } = options;
  const mtu = options.mtu ?? (links.length > 0 ? ordinaryMtu : largestMtu);
  const families = v6 === undefined ? [v4] : [v4, v6];
  const closing: (() => Promise<void>)[] = [];
  const close = async () => {
    for (const one of closing.reverse()) await one();
  };
  try {
    const inside = {
      mtu,
      ipv6: v6 !== undefined,
      addresses: families.map(({ guest, prefix }) => `${guest}/${prefix}`),
      gateways: families.map(({ gateway }) => gateway),
    };
    let namespace: Namespace | undefined;
    let link: Pick<LinkOptions, 'url' | 'mtu'>;
    if (command !== undefined) {
      const [program = '', ...args] = command;
      namespace = await Namespace.run(program, args, { interface: inside, resolvConf, mapRoot });
      const made = namespace;
      closing.push(() => made.close());
      link = made.link;
    } else if (pid !== undefined) {
      ({ link } = await Namespace.join({ pid, interface: inside }));
    } else if (links.length === 1) {
      link = { url: links[0] as string, mtu };
    } else {
      // One network for all of them: they are ports of a switch, whose last one is ours.
      link = { url: `cable:vpollnet-gateway-${process.pid}`, mtu };
      const ports = [...links.map((url) => ({ url, mtu })), link].map((port, i) => ({
        name: `port${i}`,
        ...port,
      }));
      const opened = await Switch.open({ ports });
      closing.push(() => opened.close());
    }
    const addresses = families.flatMap((family) =>
      ownAddresses(family, options.hostLoopback).map((address) => `${address}/${family.prefix}`),
    );
    const stack = await Stack.open({
      name: 'vpollnet gateway',
      links: [{ ...link, addresses, ipv6: v6 !== undefined, dad: false }],
    });
    closing.push(() => stack.close());
    return { stack, mtu, namespace, [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    // Links are ports where there are several, and --link to who wrote them.
    if (error instanceof Error)
      error.message = error.message.replace('options.ports[', 'options.links[');
    throw error;
  }
}

/** Those that neighbours ask for by ARP and NDP: an address of the network that leads to the loopback too. */
function ownAddresses(
  { gateway, dns, network }: NetworkAddresses,
  hostLoopback: readonly string[],
): string[] {
  const near = hostLoopback.filter((address) => isWithin(address, network));
  return [...new Set([gateway, dns, ...near])];
}
