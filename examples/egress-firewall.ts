// SPDX-License-Identifier: MIT
//
// egress-firewall.js LINK [DNS-SERVER]: hosts behind the link (tap://tap0, qemu:..., ...) get their network from here, and
// nothing leaves for a name before the terminal has said so: `sudo ip tuntap add dev tap0 mode tap user $USER`.

import { once } from 'node:events';
import { createInterface } from 'node:readline/promises';
import { HostStack, Stack } from 'vpollnet';

const [url = 'tap://tap0', server] = process.argv.slice(2);
const terminal = createInterface({ input: process.stdin, output: process.stdout });
await using host = await HostStack.open();
await using router = await Stack.open({ links: [{ url, addresses: ['10.0.2.1/24'] }] });
router.dhcpServer({ router: '10.0.2.1', dns: '10.0.2.1' });
const dns = router.dnsForwarder({ to: host, ...(server ? { servers: [server] } : {}) });

const answers = new Map<string, Promise<boolean>>();
let last: Promise<unknown> = Promise.resolve();

/** Asks once a name, one after the other. */
function mayPass(name: string, who: string): Promise<boolean> {
  const known = answers.get(name);
  if (known !== undefined) return known;
  const question = `Let ${who} reach ${name}? [y/N] `;
  const answer = last.then(async () => /^y/i.test(await terminal.question(question)));
  last = answer.catch(() => terminal.close());
  answers.set(name, answer);
  return answer;
}

const gateway = router.gateway({
  to: host,
  policy: async ({ source, destination, reach }) => {
    // A name that leads to this host or its private networks is refused, whoever made it.
    const name = reach === 'public' ? dns.nameOf(destination.address) : undefined;
    return name !== undefined && (await mayPass(name, source.address)) ? 'allow' : 'refuse';
  },
});
gateway.on('end', ({ destination, bytesOut, bytesIn, end }) => {
  const name = dns.nameOf(destination.address) ?? destination.address;
  console.log(`${name}:${destination.port} ${end}, ${bytesOut} bytes out, ${bytesIn} in`);
});
await once(terminal, 'close');
