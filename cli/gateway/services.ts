// SPDX-License-Identifier: MIT
//
// What a network behind a gateway expects of its router: DHCP, router advertisements, DNS.

import { readFileSync } from 'node:fs';
import type { DhcpServer, Dhcpv6Server, HostStack, Stack } from 'vpollnet';
import type { NetworkAddresses } from './addresses.js';
import type { NameTable } from './names.js';
import type { GatewayPolicy } from './policy.js';

export const dnsModes = ['all', 'named', 'none'] as const;
/** Which names are looked up: all, those that a rule with names lets pass or asks about, or none. */
export type DnsMode = (typeof dnsModes)[number];

export interface ServiceOptions {
  stack: Stack;
  host: HostStack;
  v4: NetworkAddresses;
  v6: NetworkAddresses | undefined;
  mtu: number;
  dns: DnsMode;
  policy: GatewayPolicy;
  names: NameTable;
}

/** The domains that names are completed with on the host, as its resolv.conf has them. */
function searchDomains(): string[] {
  try {
    const lines = readFileSync('/etc/resolv.conf', 'utf8').matchAll(/^\s*search\s+(.+)$/gm);
    // Of several lines the last counts: resolv.conf(5).
    const found = [...lines].at(-1)?.[1]?.trim().split(/\s+/) ?? [];
    return found.filter((domain) => domain !== '.').slice(0, 6);
  } catch {
    return [];
  }
}

/** What a command reads in /etc/resolv.conf. */
export function resolvConf({ dns }: NetworkAddresses): string {
  const search = searchDomains();
  return `${search.length > 0 ? `search ${search.join(' ')}\n` : ''}nameserver ${dns}\n`;
}

/** They end with the stack. */
export function startServices(options: ServiceOptions): void {
  const { stack, host, v4, v6, mtu, names, policy, dns: mode } = options;
  const search = searchDomains();
  const dhcp: (DhcpServer | Dhcpv6Server)[] = [
    stack.dhcpServer({
      address: v4.gateway,
      range: [v4.guest, lastOf(v4)],
      router: v4.gateway,
      dns: v4.dns,
      mtu,
      search,
    }),
  ];
  if (v6 !== undefined) {
    const link = stack.interfaces().find(({ name }) => name !== 'lo')?.name as string;
    const dns = [v6.dns];
    const prefixes = [v6.network];
    stack.advertise(link, { prefixes, managed: true, other: true, dns, search, mtu });
    dhcp.push(stack.dhcpv6Server({ dns, search }));
  }
  const forwarder = stack.dnsForwarder({
    to: host,
    addresses: v6 === undefined ? [v4.dns] : [v4.dns, v6.dns],
    dhcp,
    policy: ({ name }) =>
      mode === 'all' || (mode === 'named' && policy.mayAsk(name)) ? 'allow' : 'refuse',
  });
  forwarder.on('query', ({ name, addresses }) => {
    for (const address of addresses) names.learn(name, address);
  });
}

/** The last address that clients get: the one before broadcast. */
function lastOf({ network, prefix }: NetworkAddresses): string {
  const parts = network.split('/')[0]?.split('.').map(Number) ?? [];
  const base = parts.reduce((sum, part) => sum * 256 + part, 0);
  const last = base + 2 ** (32 - prefix) - 2;
  return [24, 16, 8, 0].map((shift) => Math.floor(last / 2 ** shift) % 256).join('.');
}
