// SPDX-License-Identifier: MIT
//
// A network with all that its hosts expect: addresses, a router's word, and names.
//
//   ip tuntap add dev tap0 mode tap user $USER && ip link set tap0 up      (as root)
//   node dist/examples/services.js tap://tap0
//
// Whatever is at the other end, a machine, a container or the kernel itself, asks by DHCP and gets an address
// of 10.7.0.0/24, forms one of its own in fd07::/64, and finds `router.lan`, its neighbours and, by way of the
// host's servers, everybody else.

import { HostStack, Stack } from 'vpollnet';

const url = process.argv[2] ?? 'tap://tap0';
await using stack = await Stack.open({
  links: [{ url, addresses: ['10.7.0.1/24', 'fd07::1/64'], dad: false }],
});
await using host = await HostStack.open();

const dhcp = stack.dhcpServer({
  range: ['10.7.0.100', '10.7.0.199'],
  dns: '10.7.0.1',
  domain: 'lan',
  leaseTime: 3600,
});
// Not a default router: this example forwards nothing.
stack.advertise('eth0', { lifetime: 0, dns: ['fd07::1'], search: ['lan'] });
const dns = stack.dnsForwarder({
  to: host,
  dhcp,
  records: { 'router.lan': ['10.7.0.1', 'fd07::1'] },
  policy: ({ name }) => (/(^|\.)ads\.example$/.test(name) ? 'nxdomain' : 'allow'),
});

dhcp.on('lease', ({ address, mac, hostname }) => {
  console.log(`${address} is of ${mac}${hostname && `, called ${hostname}`}`);
});
dns.on('query', ({ client, name, type, by, addresses }) => {
  console.log(
    `${client.address} asks for ${name} ${type}: ${addresses.join(' ') || 'none'} (${by})`,
  );
});

console.log(`services on ${url}`);
await new Promise((resolve) => process.once('SIGINT', resolve).once('SIGTERM', resolve));
