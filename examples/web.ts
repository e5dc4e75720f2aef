// SPDX-License-Identifier: MIT
//
// A web server with an address of its own, and two who ask it: one by Node's http, one by fetch() and a name.

import { once } from 'node:events';
import { Stack } from 'vpollnet';

await using alice = await Stack.open({
  links: [{ url: 'cable:web', addresses: ['10.0.0.1/24'] }],
  dns: { hosts: { bob: '10.0.0.2' } },
});
await using bob = await Stack.open({ links: [{ url: 'cable:web', addresses: ['10.0.0.2/24'] }] });

const server = bob.http.createServer((request, response) => {
  response.end(`hello ${request.socket.remoteAddress}, this is ${request.headers.host}\n`);
});
await once(server.listen(80, '10.0.0.2'), 'listening');

const [answer] = await once(alice.http.get('http://10.0.0.2/'), 'response');
for await (const chunk of answer) process.stdout.write(chunk);
process.stdout.write(await (await alice.fetch('http://bob/')).text());
