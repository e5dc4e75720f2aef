// SPDX-License-Identifier: MIT
//
// A guest that knows nothing of its network: one card, IPv4 by DHCP (udhcpc of busybox), IPv6 by router
// advertisements (the kernel), names by whom DHCP says.

import { bootGuest, type Guest } from './guest.js';

export interface DhcpGuestOptions {
  /** What follows `-netdev`, without the id: the other end of a link, such as of qemu:stream. */
  netdev: string;
  /**
   * Of the guest's shell, once it has a lease. It has `pings [-6] HOST`, `resolves NAME`, which prints the first address, and
   * `fetches URL`, which prints how many bytes came and their SHA-256. Each tries for half a minute and is false in the end.
   * Names are looked up as by any program, by the C library.
   */
  script: string;
  /** What all of it may take; 150 if left out. */
  seconds?: number;
  /** What it tells the server that it is called. */
  hostname?: string;
}

/** What is done with a lease, as udhcpc(8) has it: variables of the options, and why it is called. */
const onLease = `
case $1 in
deconfig)
  ip -4 address flush dev $interface
  ;;
bound | renew)
  ip -4 address flush dev $interface
  ip address add $ip/$mask dev $interface
  if [ -n "$mtu" ]; then ip link set $interface mtu $mtu; fi
  for one in $router; do ip route add default via $one dev $interface; done
  {
    if [ -n "$search$domain" ]; then echo "search \${search:-$domain}"; fi
    for one in $dns; do echo "nameserver $one"; done
  } >/etc/resolv.conf
  for key in ip mask router dns domain search mtu lease serverid hostname; do
    eval "echo \\"lease $key \\$$key\\""
  done >/tmp/lease
  ;;
esac
`;

/** Of Debian: busybox, as it is linked, dies of a look-up by name. */
const programs = ['/usr/bin/getent', '/usr/bin/wget'];

const functions = `
insist() {
  for try in 1 2 3 4 5 6; do
    if "$@"; then return; fi
    sleep 1
  done
  return 1
}
pings() {
  insist ping -c 1 -W 5 "$@" >/dev/null
}
resolves() {
  insist getent ahosts "$1" >/tmp/resolved || return
  head -n 1 /tmp/resolved | cut -d' ' -f1
}
fetches() {
  insist /usr/bin/wget -q -t 1 -T 5 -O /tmp/fetched "$1" || return
  echo "$(wc -c </tmp/fetched) $(sha256sum </tmp/fetched | cut -d' ' -f1)"
}
`;

/**
 * Boots it. What it says begins with its lease (leaseOf()), then comes what the script prints. Its output is an error
 * where it got no lease. udhcpc goes on and renews it.
 */
export function bootDhcpGuest({
  netdev,
  script,
  seconds = 150,
  hostname = 'guest',
}: DhcpGuestOptions): Guest {
  const setUp = `
mkdir -p /etc
cat >/on-lease.sh <<'end of file'
#!/bin/sh
${onLease}
end of file
chmod +x /on-lease.sh
echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad
ip link set eth0 up
udhcpc -i eth0 -n -t 10 -T 3 -s /on-lease.sh -x hostname:${hostname} -O search -O mtu >/tmp/udhcpc 2>&1 || {
  cat /tmp/udhcpc
  exit 1
}
cat /tmp/lease
${functions}
`;
  return bootGuest([netdev], setUp + script, seconds, undefined, programs);
}

/** What the DHCP server gave: 'ip', 'mask' (bits), 'router', 'dns', 'domain', 'search', 'mtu', 'lease' (s), 'serverid'. */
export function leaseOf(output: string): Record<string, string> {
  const lines = [...output.matchAll(/^lease (\w+) (.*)$/gm)];
  return Object.fromEntries(lines.map(([, key = '', value = '']) => [key, value.trim()]));
}
