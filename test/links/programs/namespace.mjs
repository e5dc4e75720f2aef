// SPDX-License-Identifier: MIT
//
// node namespace.mjs OPTIONS COMMAND [ARGUMENT...]: runs a command by Namespace.run(), OPTIONS being JSON, on a
// stack that has 10.0.2.1 and fd00::1 and sends back what comes to port 7. Says how it ended, or why not. With
// --hold for OPTIONS, it never starts the command. Where NET is set, it joins that namespace instead.

import { Namespace, NetworkError, POLLIN, POLLOUT, pollAsync, Stack } from 'vpollnet';

process.on('SIGINT', () => {}); // the command's to answer
const [options = '{}', command = '', ...args] = process.argv.slice(2);

/** @param {import('vpollnet').TcpSocket} peer */
async function echo(peer) {
  const buffer = Buffer.alloc(256 * 1024);
  for (;;) {
    await pollAsync([{ fd: peer.fd, events: POLLIN }]);
    const got = peer.recv(buffer);
    if (got === 0) break;
    for (let sent = 0; sent < got; ) {
      await pollAsync([{ fd: peer.fd, events: POLLOUT }]);
      sent += Math.max(0, peer.send(buffer.subarray(0, got), sent));
    }
  }
  peer.close();
}

try {
  if (process.env.NET) await Namespace.join({ net: process.env.NET });
  const holds = options === '--hold';
  const namespace = await Namespace.run(command, args, holds ? {} : JSON.parse(options));
  const addresses = ['10.0.2.1/24', 'fd00::1/64'];
  const stack = await Stack.open({ links: [{ ...namespace.link, dad: false, addresses }] });
  const listener = stack.socket('tcp').bind({ port: 7 }).listen();
  const ended = new AbortController();
  const serving = (async () => {
    for (;;) {
      await pollAsync([{ fd: listener.fd, events: POLLIN }], -1, { signal: ended.signal });
      const peer = listener.accept();
      if (peer !== null) void echo(peer);
    }
  })().catch(() => {});
  console.log(`pid ${namespace.pid}`);
  if (!holds) await namespace.start();
  console.log(JSON.stringify(await namespace.exited));
  ended.abort();
  await serving;
  await stack.close();
} catch (error) {
  if (!(error instanceof NetworkError)) throw error;
  console.log(error.message);
}
