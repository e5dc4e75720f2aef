// SPDX-License-Identifier: MIT
//
// Names on the way to a connection: lookup functions, families, and attempts at several addresses.

import type { LookupFunction, Socket } from 'node:net';
import { area, untyped } from '../harness/scenario.js';

export const netLookup = area('net', 'net: lookup and families');
const { scenario, alone } = netLookup;

interface Entry {
  address: string;
  family: number;
}

/** A lookup that gives these, in the form that was asked for. */
function gives(entries: Entry[], asked: (...args: unknown[]) => void = () => {}): LookupFunction {
  return untyped((hostname: string, options: { all?: boolean }, callback: CallableFunction) => {
    asked(hostname, options);
    setImmediate(() => {
      if (options.all) callback(null, entries);
      else callback(null, entries[0]?.address, entries[0]?.family);
    });
  });
}

const v4 = { address: '127.0.0.1', family: 4 };
const v6 = { address: '::1', family: 6 };

scenario('a lookup function is asked for one address of a family', async (scene) => {
  const { net, watch, log, over } = scene;
  const server = scene.server();
  server.on('connection', (socket) => socket.end());
  const port = await scene.listen(server);
  const lookup = gives([v4], (...args) => log.note('lookup', 'asked', ...args));
  const client = watch(net.connect({ port, host: 'a.example', family: 4, lookup }), 'client');
  client.resume();
  await over();
});

scenario('a lookup function is asked for all addresses', async (scene) => {
  const { net, watch, log, over } = scene;
  const server = scene.server();
  server.on('connection', (socket) => socket.end());
  const port = await scene.listen(server);
  const lookup = gives([v4], (...args) => log.note('lookup', 'asked', ...args));
  const client = watch(net.connect({ port, host: 'a.example', lookup }), 'client');
  client.resume();
  await over();
});

scenario('no lookup is done for an address', async (scene) => {
  const { net, watch, log, over, host } = scene;
  const server = scene.server();
  server.on('connection', (socket) => socket.end());
  const port = await scene.listen(server);
  const lookup = gives([v4], () => log.note('lookup', 'asked'));
  const client = watch(net.connect({ port, host, lookup }), 'client');
  client.resume();
  await over();
});

scenario('a lookup that fails ends the attempt', async ({ net, watch, closed, log }) => {
  const lookup = untyped((_host: string, _options: object, callback: CallableFunction) => {
    setImmediate(() => callback(Object.assign(new Error('no such name'), { code: 'ENOTFOUND' })));
  });
  const client = watch(net.connect({ port: 1, host: 'a.example', lookup }), 'client');
  await closed(client);
  log.state(client, 'closed');
});

scenario('a lookup of one address that fails ends the attempt', async ({ net, watch, closed }) => {
  const lookup = untyped((_host: string, _options: object, callback: CallableFunction) => {
    setImmediate(() => callback(Object.assign(new Error('no such name'), { code: 'ENOTFOUND' })));
  });
  const options = { port: 1, host: 'a.example', family: 4, lookup };
  await closed(watch(net.connect(options), 'client'));
});

scenario('a lookup that gives no address is an error', async ({ net, watch, closed }) => {
  const options = { port: 1, host: 'a.example', family: 4 };
  const one = watch(net.connect({ ...options, lookup: gives([untyped({})]) }), 'one');
  await closed(one);
});

scenario('a lookup that gives a wrong address is an error', async ({ net, watch, closed }) => {
  const lookup = gives([{ address: 'nowhere', family: 4 }]);
  const one = watch(net.connect({ port: 1, host: 'a.example', family: 4, lookup }), 'one');
  const all = watch(net.connect({ port: 1, host: 'a.example', lookup }), 'all');
  await closed(one, all);
});

scenario('a lookup that gives a wrong family is an error', async ({ net, watch, closed }) => {
  const lookup = gives([{ address: '127.0.0.1', family: 100 }]);
  const one = watch(net.connect({ port: 1, host: 'a.example', family: 4, lookup }), 'one');
  await closed(one);
});

scenario('a socket that is destroyed during its lookup connects nowhere', async (scene) => {
  const { net, watch, closed, log } = scene;
  let asked: CallableFunction = () => {};
  const lookup = untyped((_host: string, _options: object, callback: CallableFunction) => {
    asked = callback;
  });
  const client = watch(net.connect({ port: 1, host: 'a.example', family: 4, lookup }), 'client');
  await scene.turn();
  client.destroy();
  await closed(client);
  asked(null, '127.0.0.1', 4);
  await scene.turn();
  log.state(client, 'after the answer');
});

scenario('localhost of a family is looked up', async (scene) => {
  const { net, watch, over } = scene;
  const server = scene.server();
  server.on('connection', (socket) => socket.end());
  const port = await scene.listen(server);
  watch(net.connect({ port, host: 'localhost', family: 4 }), 'client').resume();
  await over();
});

scenario('a name under .invalid is not found', async ({ net, watch, closed }) => {
  const client = watch(net.connect({ port: 1, host: 'nowhere.invalid', family: 4 }), 'client', {
    // Whether the resolver answers that, or cannot be reached, is a matter of the machine.
    without: ['lookup', 'error'],
  });
  await closed(client);
});

scenario('the second family is tried when the first refuses', async (scene) => {
  const { net, watch, over, log, seen } = scene;
  const server = scene.server();
  server.on('connection', (socket) => socket.end());
  const port = await scene.listen(server);
  const options = { port, host: 'a.example', autoSelectFamily: true, lookup: gives([v6, v4]) };
  const client = watch(net.connect(options), 'client');
  client.resume();
  await seen(client, 'connect');
  log.note('client', 'attempts', untyped(client).autoSelectFamilyAttemptedAddresses);
  log.state(client, 'connected');
  await over();
});

scenario('families alternate, from the one that the lookup gives first', async (scene) => {
  const { net, watch, over } = scene;
  const entries = [v4, { address: '127.0.0.2', family: 4 }, v6];
  const options = { port: 1, host: 'a.example', autoSelectFamily: true, lookup: gives(entries) };
  watch(net.connect(options), 'client');
  await over();
});

scenario('one error for all addresses when each of them refuses', async (scene) => {
  const { net, watch, closed, log } = scene;
  const options = { port: 1, host: 'a.example', autoSelectFamily: true, lookup: gives([v6, v4]) };
  const client = watch(net.connect(options), 'client');
  await closed(client);
  log.state(client, 'closed');
});

scenario('without selection of families only the first address is tried', async (scene) => {
  const { net, watch, closed, log } = scene;
  const server = scene.server();
  const port = await scene.listen(server);
  const lookup = gives([v6, v4], (_, options) => log.note('lookup', 'asked', options));
  const options = { port, host: 'a.example', autoSelectFamily: false, lookup };
  await closed(watch(net.connect(options), 'client'));
});

scenario('a single address is tried as if no selection were asked for', async (scene) => {
  const { net, watch, closed } = scene;
  const options = { port: 1, host: 'a.example', autoSelectFamily: true, lookup: gives([v4]) };
  await closed(watch(net.connect(options), 'client'));
});

scenario('a local address leaves out the family that it is not of', async (scene) => {
  const { net, watch, closed, host } = scene;
  const server = scene.server();
  server.on('connection', (socket) => socket.end());
  const port = await scene.listen(server);
  const lookup = gives([v6, v4]);
  const options = { port, host: 'a.example', autoSelectFamily: true, localAddress: host, lookup };
  const client = watch(net.connect(options), 'client');
  client.resume();
  await closed(client);
});

scenario('what is written before the lookup goes to the address that answers', async (scene) => {
  const { net, watch, over, log, seen } = scene;
  const server = scene.server();
  server.on('connection', (socket) => socket.resume());
  const port = await scene.listen(server);
  const options = { port, host: 'a.example', autoSelectFamily: true, lookup: gives([v6, v4]) };
  const client = watch(net.connect(options), 'client');
  log.note('client', 'write', client.write('early'));
  log.state(client, 'written');
  client.resume();
  await seen(client, 'connect');
  client.destroy();
  await over();
  log.state(client, 'closed');
});

alone(
  'selection of families has a default that can be set',
  async ({ net, log, watch, closed }) => {
    const api = untyped(net);
    const before = net.getDefaultAutoSelectFamily();
    const timeout = api.getDefaultAutoSelectFamilyAttemptTimeout();
    try {
      log.note('default', 'before', before, timeout);
      net.setDefaultAutoSelectFamily(false);
      log.note('default', 'set', net.getDefaultAutoSelectFamily());
      const options = { port: 1, host: 'a.example', lookup: gives([v6, v4]) };
      await closed(watch(net.connect(options), 'client'));
      for (const value of ['yes', 1, null]) {
        log.outcome('default', 'wrong', () => net.setDefaultAutoSelectFamily(untyped(value)));
      }
      for (const value of [400, 5, 0, -1, 'x', 1.5]) {
        log.outcome('timeout', `set to ${value}`, () => {
          api.setDefaultAutoSelectFamilyAttemptTimeout(value);
          return api.getDefaultAutoSelectFamilyAttemptTimeout();
        });
      }
    } finally {
      net.setDefaultAutoSelectFamily(before);
      api.setDefaultAutoSelectFamilyAttemptTimeout(timeout);
    }
  },
);

scenario('isIP tells the families apart', async ({ net, log }) => {
  const texts =
    `127.0.0.1 ::1 :: fe80::1%eth0 1.2.3 1.2.3.4.5 256.1.1.1 01.2.3.4 ::ffff:1.2.3.4 1::2::3
    12345:: g:: localhost`.split(/\s+/);
  for (const value of ['', ...texts, null, 5, {}]) {
    const text = untyped(value);
    log.note('isIP', String(value), net.isIP(text), net.isIPv4(text), net.isIPv6(text));
  }
});

scenario('a SocketAddress is checked and shown', async ({ net, log }) => {
  const wrong = [
    { port: -1 },
    { family: 'x' },
    { address: 'x' },
    { family: 'ipv6', flowlabel: -1 },
  ];
  for (const options of [{}, { port: 80 }, { family: 'ipv6', address: '::1' }, ...wrong]) {
    log.outcome('addresses', JSON.stringify(options), () => {
      const made = new net.SocketAddress(untyped(options));
      return [made.address, made.family, made.port, made.flowlabel];
    });
  }
});

scenario('a BlockList keeps a server from connections', async (scene) => {
  const { net, log, watch, over, seen, accepted } = scene;
  const blockList = new net.BlockList();
  blockList.addAddress('127.0.0.9');
  blockList.addSubnet('10.0.0.0', 8);
  blockList.addRange('::10', '::20', 'ipv6');
  log.note('list', 'checks', blockList.check('127.0.0.9'), blockList.check('10.1.1.1'));
  log.note('list', 'more', blockList.check('::15', 'ipv6'), blockList.check('::1', 'ipv6'));
  log.note('list', 'mapped', blockList.check('::ffff:127.0.0.9', 'ipv6'), blockList.rules);
  log.outcome('list', 'wrong', () => blockList.check('nothing'));
  const server = scene.server(untyped({ blockList }));
  const sockets: Socket[] = [];
  server.on('connection', (socket) => sockets.push(socket.resume()));
  const port = await scene.listen(server);
  const client = watch(net.connect(untyped({ port, host: scene.host, blockList })), 'client');
  await seen(client, 'connect');
  await accepted(server);
  client.end();
  client.resume();
  await over();
});
