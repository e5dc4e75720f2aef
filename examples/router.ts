// SPDX-License-Identifier: MIT
//
// A home router of three stacks: a client inside, a server outside, and between them a stack that forwards. Outside
// everybody inside has the router's address; nobody gets in but to the one port that is forwarded.
//
//   client 192.168.1.2 ── home ── 192.168.1.1  router  203.0.113.5 ── world ── 203.0.113.80 server

import { POLLIN, POLLOUT, poll, Stack, type TcpSocket } from 'vpollnet';

const link = (cable: string, address: string, gateway?: string) => ({
  ...{ url: `cable:${cable}`, name: cable, mtu: 1500, addresses: [`${address}/24`] },
  gateways: gateway === undefined ? [] : [gateway],
});

const client = await Stack.open({ links: [link('home', '192.168.1.2', '192.168.1.1')] });
const server = await Stack.open({ links: [link('world', '203.0.113.80')] });
const router = await Stack.open({
  links: [link('home', '192.168.1.1'), link('world', '203.0.113.5')],
});

router.setForwarding({ interfaces: ['home', 'world'] });

router.nat.set([
  { type: 'source', out: 'world', source: '192.168.1.0/24' },
  {
    ...{ type: 'destination', in: 'world', protocol: 'tcp', ports: 8080 },
    ...{ to: '192.168.1.2', toPort: 80 },
  },
]);

router.filter.set(
  [
    { state: ['established', 'related'], action: 'accept' },
    { name: 'no mail', in: 'home', protocol: 'tcp', destinationPort: 25, action: 'reject' },
    { name: 'outward', in: 'home', out: 'world', state: 'new', action: 'accept' },
    {
      ...{ name: 'web', out: 'home', destination: '192.168.1.2', protocol: 'tcp' },
      ...{ destinationPort: 80, action: 'accept' },
    },
    { name: 'ping', direction: 'in', protocol: 'icmp', action: 'accept' },
  ],
  { policy: { forward: 'drop', in: 'drop', out: 'accept' } },
);

/** Calls from one stack to another: as whom it is seen there, or why not. */
function call(from: Stack, to: { host: string; port: number }, at: Stack, port: number): string {
  const listener = at.socket('tcp').setOption('reuseAddress', true).bind({ port }).listen();
  const caller = from.socket('tcp');
  let called: TcpSocket | null = null;
  try {
    caller.connect(to);
    if (poll([{ fd: caller.fd, events: POLLOUT }], 500) === 0) return 'no answer';
    if (caller.error !== null) return caller.error.code;
    poll([{ fd: listener.fd, events: POLLIN }], 500);
    called = listener.accept();
    return `seen as ${called?.remoteAddress?.address}`;
  } finally {
    for (const socket of [called, caller, listener]) socket?.close();
  }
}

const web = { host: '203.0.113.80', port: 80 };
console.log(`client to server: ${call(client, web, server, 80)}`);
console.log(`client to its mail port: ${call(client, { ...web, port: 25 }, server, 25)}`);
const outer = { host: '203.0.113.5', port: 8080 };
console.log(`server to the forwarded port: ${call(server, outer, client, 80)}`);
console.log(`client to the forwarded port: ${call(client, outer, client, 80)}`);
console.log(`server to another port: ${call(server, { ...outer, port: 81 }, client, 81)}`);

for (const { original, reply } of router.connections()) {
  const shown = [original, reply].map((one) => `${one.source} > ${one.destination}`);
  console.log(`known: ${shown[0]}, answered ${shown[1]}`);
}
for (const { rule, packets } of router.filter.info().rules) {
  if (rule.name !== undefined) console.log(`${rule.name}: ${packets} packets`);
}
for (const stack of [client, router, server]) await stack.close();
