// SPDX-License-Identifier: MIT
//
// stack-gateway.js LINK PLUG-IN [PLUG-IN-LINK...]: hosts behind LINK of our stack reach the network of a plug-in's stack
// (docs/stacks.md), and at 10.0.0.1 what listens on the plug-in's own loopback. With libioth's vdestack, between a
// TAP and a VDE switch: stack-gateway.js tap://tap0 vdestack vde:///run/lab

import { once } from 'node:events';
import { Stack } from 'vpollnet';

const [url = 'tap://tap0', plugin = 'vdestack', ...links] = process.argv.slice(2);
await using far = await Stack.load(plugin, { links });
await using near = await Stack.open({ links: [{ url, addresses: ['10.0.0.1/24'] }] });
near.dhcpServer({ router: '10.0.0.1' });

const gateway = near.gateway({ to: far, hostLoopback: '10.0.0.1' });
gateway.on('flow', ({ protocol, source, destination }) => {
  console.log(`${protocol} ${source.address} to ${destination.address}:${destination.port}`);
});
gateway.on('end', ({ destination, end, bytesOut, bytesIn }) => {
  console.log(`${destination.address}:${destination.port} ${end}: ${bytesOut} out, ${bytesIn} in`);
});
console.log(`hosts on ${url} reach the network of ${plugin}, until the input ends`);
await once(process.stdin.resume(), 'end');
