// SPDX-License-Identifier: MIT
//
// What a gateway carries: TCP, UDP and ICMP echo, to a stack of ours and to the host.

import { createHash, randomBytes } from 'node:crypto';
import { createRequire } from 'node:module';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Gateway, type GatewayOptions, POLLIN, POLLOUT, Stack } from 'vpollnet';
import {
  exchange,
  listening,
  next,
  once,
  openGateway,
  openGuest,
  openHost,
  type Place,
  pair,
  ready,
  refusal,
  rest,
  toHost,
  toStack,
} from './gateway.js';
import { hasCompiler, makePlugin, useHome } from './plugins.js';
import {
  freshCable,
  openDescriptors,
  openStack,
  root,
  runProgram,
  thrownBy,
  until,
  untyped,
} from './support.js';

interface Side {
  open: (options?: Parameters<typeof toStack>[0]) => Promise<Place>;
  /** Where the guest sends to, and where that arrives. */
  outside: string;
  inside: string;
}

const home = useHome();
const compiler = hasCompiler();
let pluginMade = false;

/** With a plug-in on the far side, which is the host's kernel in other clothes. */
async function toPlugin(options: Partial<GatewayOptions> = {}): Promise<Place> {
  if (!pluginMade) makePlugin(home, 'farside');
  pluginMade = true;
  const near = await openGuest();
  const far = await Stack.load('farside');
  onTestFinished(() => far.close());
  const gateway = openGateway(near.router, { to: far, hostLoopback: '10.7.0.1', ...options });
  return { ...near, far, server: await openHost(), gateway };
}

const sides: Record<string, Side> = {
  'another stack': { open: toStack, outside: '203.0.113.9', inside: '203.0.113.9' },
  'another stack, by IPv6': { open: toStack, outside: '2001:db8::9', inside: '2001:db8::9' },
  'the host': { open: toHost, outside: '10.7.0.1', inside: '127.0.0.1' },
  ...(compiler
    ? { 'a plug-in': { open: toPlugin, outside: '10.7.0.1', inside: '127.0.0.1' } }
    : {}),
};

describe.each(Object.entries(sides))('to %s', (_, { open, outside, inside }) => {
  async function tcp(options?: Parameters<typeof toStack>[0]) {
    const place = await open(options);
    const [listener, port] = listening(place.server, inside);
    const [client, server] = await pair(place.guest, outside, port, listener);
    return { ...place, listener, port, client, server };
  }

  test('bulk data goes both ways at the same time, whole', async () => {
    const { client, server, gateway } = await tcp();
    const data = randomBytes(8 << 20);
    const digest = createHash('sha256').update(data).digest('hex');
    expect(exchange(client, server, data)).toEqual([digest, digest]);
    await until(() => gateway.flows()[0]?.bytesIn === data.length);
    expect(gateway.flows()).toMatchObject([
      { protocol: 'tcp', state: 'open', bytesOut: data.length, bytesIn: data.length },
    ]);
  });

  test('a direction ends by itself, and the other one goes on', async () => {
    const { client, server, gateway } = await tcp();
    client.send('question');
    client.shutdown('write');
    expect((await rest(server)).toString()).toBe('question');
    await until(() => gateway.flows()[0]?.state === 'closing');
    server.send('answer');
    expect(await next(client)).toBe('answer');
    server.shutdown('write');
    expect((await rest(client)).length).toBe(0);
    await until(() => gateway.flows().length === 0);
  });

  test('the far end may be the first to end', async () => {
    const { client, server, gateway } = await tcp();
    server.send('last words');
    server.shutdown('write');
    expect((await rest(client)).toString()).toBe('last words');
    client.send('thanks');
    client.shutdown('write');
    expect((await rest(server)).toString()).toBe('thanks');
    await until(() => gateway.flows().length === 0);
  });

  test('a reset arrives as one, from either end', async () => {
    const { guest, client, server, listener, port, gateway } = await tcp();
    const ended = once(gateway, 'end');
    client.setOption('linger', 0).close();
    await ready(server, POLLIN);
    expect(thrownBy(() => server.read()).code).toBe('ECONNRESET');
    expect(await ended).toMatchObject({ end: 'reset by source' });
    const [second, peer] = await pair(guest, outside, port, listener);
    const secondEnded = once(gateway, 'end');
    peer.setOption('linger', 0).close();
    await ready(second, POLLIN);
    expect(thrownBy(() => second.read()).code).toBe('ECONNRESET');
    expect(await secondEnded).toMatchObject({ end: 'reset by target' });
  });

  test('a closed port refuses, and is counted', async () => {
    const { guest, gateway, server } = await open();
    const [listener, port] = listening(server, inside);
    listener.close();
    const ended = once(gateway, 'end');
    expect(await refusal(guest, outside, port)).toBe('ECONNREFUSED');
    expect(await ended).toMatchObject({ end: 'refused', destination: { port } });
    expect(gateway.counters().drops.refused).toBe(1);
  });

  test('datagrams go there and back, each as it was', async () => {
    const { guest, server, gateway } = await open();
    const target = server.socket('udp').bind({ host: inside });
    const { port } = target.localAddress!;
    const client = guest.socket('udp');
    client.connect({ host: outside, port });
    const largest = Buffer.alloc(9000, 'x');
    for (const data of ['one', 'two', '', largest]) client.send(data);
    const got: number[] = [];
    const buffer = Buffer.alloc(65536);
    while (got.length < 4) {
      await ready(target, POLLIN);
      const from = target.recvFrom(buffer)!;
      got.push(from.bytes);
      target.sendTo(buffer.subarray(0, from.bytes), { host: from.address, port: from.port });
    }
    expect(got).toEqual([3, 3, 0, 9000]);
    const back: number[] = [];
    while (back.length < 4) {
      await ready(client, POLLIN);
      back.push(client.recv(buffer));
    }
    expect(back).toEqual([3, 3, 0, 9000]);
    expect(gateway.flows()).toMatchObject([
      { protocol: 'udp', packetsOut: 4, packetsIn: 4, bytesOut: 9006, bytesIn: 9006 },
    ]);
  });

  test('a closed UDP port is told to who sent there', async () => {
    const { guest, server } = await open();
    const target = server.socket('udp').bind({ host: inside });
    const { port } = target.localAddress!;
    target.close();
    const client = guest.socket('udp');
    client.connect({ host: outside, port });
    client.send('is anybody there?');
    await ready(client, POLLIN);
    expect(thrownBy(() => client.read()).code).toBe('ECONNREFUSED');
  });

  test('whoever does not read stops who writes', async () => {
    const { client, server } = await tcp();
    const before = process.memoryUsage.rss();
    const chunk = Buffer.alloc(1 << 20);
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      let sent = 0;
      for (let quiet = 0; quiet < 5; ) {
        const n = from.send(chunk);
        if (n > 0) sent += n;
        else {
          await sleep(20);
          quiet = (from.readiness & POLLOUT) === 0 ? quiet + 1 : 0;
        }
        if (sent > 128 << 20) throw new Error('nothing stops it');
      }
      let got = 0;
      while (got < sent) {
        await ready(to, POLLIN);
        got += to.read(1 << 20)?.length ?? 0;
      }
      expect(got).toBe(sent);
    }
    expect(process.memoryUsage.rss() - before).toBeLessThan(128 << 20);
  });

  test('a flow is listed as it is, and ends when it is killed', async () => {
    const { client, server, gateway, port } = await tcp();
    const source = client.localAddress!;
    const [flow] = gateway.flows();
    expect(flow).toMatchObject({
      protocol: 'tcp',
      direction: 'outward',
      state: 'open',
      interface: 'eth0',
      source,
      destination: { address: outside, port },
      target: { address: inside, port },
    });
    expect(flow?.end).toBeUndefined();
    expect(flow?.age).toBeGreaterThanOrEqual(0);
    const ended = once(gateway, 'end');
    expect(gateway.kill(flow!.id)).toBe(true);
    expect(gateway.kill(flow!.id)).toBe(false);
    expect(gateway.flows()).toEqual([]);
    for (const socket of [client, server]) {
      await ready(socket, POLLIN);
      expect(thrownBy(() => socket.read()).code).toBe('ECONNRESET');
    }
    expect(await ended).toMatchObject({ id: flow!.id, state: 'closed', end: 'killed' });
  });

  test('closing the gateway resets its flows, and leaves no descriptor', async () => {
    const { router, far, client, server, gateway } = await tcp();
    const closed = new Promise<void>((resolve) => gateway.once('close', resolve));
    expect([client.fd, server.fd].every((fd) => fd > 0)).toBe(true);
    const before = openDescriptors();
    gateway.close();
    gateway.close();
    await closed;
    for (const socket of [client, server]) {
      await ready(socket, POLLIN);
      expect(thrownBy(() => socket.read()).code).toBe('ECONNRESET');
    }
    expect(openDescriptors()).toBeLessThanOrEqual(before);
    for (const call of ['flows', 'counters'] as const) {
      expect(thrownBy(() => gateway[call]()).code).toBe('ERR_GATEWAY_CLOSED');
    }
    expect(thrownBy(() => gateway.kill(1)).code).toBe('ERR_GATEWAY_CLOSED');
    expect(gateway.forwards()).toEqual([]);
    expect(openGateway(router, { to: far }).closed).toBe(false);
  });

  test('flows beyond the limits are not answered, and counted, and the others go on', async () => {
    const limits = { flows: 3, flowsPerSource: 2 };
    const { guest, gateway, client, server, listener, port } = await tcp({ limits });
    const [second] = await pair(guest, outside, port, listener);
    const third = guest.socket('tcp');
    third.connect({ host: outside, port });
    await until(() => (gateway.counters().drops.source_limit ?? 0) > 0);
    expect(third.state).toBe('SYN-SENT');
    client.send('still here');
    expect(await next(server)).toBe('still here');
    second.setOption('linger', 0).close();
    await ready(third, POLLOUT); // its SYN came again, and there was room
    expect(third.error).toBeNull();
  });
});

describe('to another stack', () => {
  test('an echo request is answered by who is there', async () => {
    const { guest, gateway } = await toStack();
    for (const host of ['203.0.113.9', '2001:db8::9']) {
      const socket = guest.socket('icmp');
      socket.sendTo('are you there?', { host });
      await ready(socket, POLLIN);
      const buffer = Buffer.alloc(64);
      expect(socket.recvFrom(buffer)).toMatchObject({ address: host, bytes: 14 });
      expect(buffer.toString('utf8', 0, 14)).toBe('are you there?');
    }
    expect(gateway.flows()).toMatchObject([
      { protocol: 'icmp', packetsOut: 1, packetsIn: 1 },
      { protocol: 'icmp', packetsOut: 1, packetsIn: 1 },
    ]);
  });

  test('where no route leads is unreachable for the guest', async () => {
    const { guest, gateway } = await toStack();
    expect(await refusal(guest, '198.51.100.1', 80)).toMatch(/^E(HOST|NET)UNREACH$/);
    expect(gateway.counters().drops.unreachable).toBe(1);
    const client = guest.socket('udp');
    client.connect({ host: '198.51.100.1', port: 53 });
    client.send('x');
    await until(() => gateway.counters().drops.unreachable === 2);
  });

  test('its own addresses are refused without a policy', async () => {
    const { guest, far } = await toStack({ hostLoopback: undefined as never });
    const [, port] = listening(far, '::');
    expect(await refusal(guest, '203.0.113.2', port)).toBe('ECONNREFUSED');
    expect(await refusal(guest, '2001:db8::2', port)).toBe('ECONNREFUSED');
  });

  test('its close closes the gateway', async () => {
    const { guest, far, server, gateway } = await toStack();
    const [listener, port] = listening(server, '203.0.113.9');
    const [client] = await pair(guest, '203.0.113.9', port, listener);
    await far.close();
    expect(gateway.closed).toBe(true);
    await ready(client, POLLIN);
    expect(thrownBy(() => client.read()).code).toBe('ECONNRESET');
  });
});

describe('to the host', () => {
  const foreign = Object.values(networkInterfaces())
    .flatMap((all) => all ?? [])
    .find(({ internal, family }) => !internal && family === 'IPv4')?.address;

  test.each([
    ['its loopback', '127.0.0.1'],
    ['a private network', '10.1.2.3'],
    ['a private network', '192.168.1.1'],
    ['a private network', '172.16.0.1'],
    ['a shared network', '100.64.0.1'],
    ['the metadata service of clouds', '169.254.169.254'],
    ['documentation', '192.0.2.1'],
    ['a local IPv6 network', 'fc00::1'],
    ['a local IPv6 network', 'fd12::1'],
    ['its IPv6 loopback', '::1'],
    ['an address that stands for its loopback', '::ffff:127.0.0.1'],
    ['an address that stands for its loopback', '64:ff9b::7f00:1'],
    ['an address that stands for its loopback', '2002:7f00:1::1'],
    ...(foreign === undefined ? [] : [['its own address', foreign]]),
  ])('%s (%s) is not reached without a policy', async (_, host) => {
    const { guest, gateway } = await toHost({ hostLoopback: [] });
    const server = await openHost();
    const [listener, port] = listening(server, '::');
    // The guest's own loopback is not sent to the gateway at all, nor a mapped address: nobody says so.
    const isSilent = /^(127|::)/.test(host!);
    const result = await refusal(guest, host!, port, isSilent ? 500 : undefined);
    if (isSilent) expect(result).not.toBe('connected');
    else expect([result, gateway.counters().drops.denied]).toEqual(['ECONNREFUSED', 1]);
    expect(listener.accept()).toBeNull();
    expect(gateway.counters().flows).toBe(0);
  });

  test('its loopback is at the address of hostLoopback alone', async () => {
    const { guest, server } = await toHost();
    const [listener, port] = listening(server, '127.0.0.1');
    const [client, peer] = await pair(guest, '10.7.0.1', port, listener);
    expect(peer.remoteAddress?.address).toBe('127.0.0.1');
    expect(client.remoteAddress?.address).toBe('10.7.0.1');
    expect(await refusal(guest, '10.7.0.2', port)).toBe('ECONNREFUSED');
    expect(await refusal(guest, '127.0.0.1', port)).toBe('ECONNREFUSED');
  });

  test("its loopback may be at the gateway's own address, below the sockets that are there", async () => {
    const { guest, router, server } = await toHost({ hostLoopback: ['10.0.0.1', 'fd00::1'] });
    const [listener, port] = listening(server, '127.0.0.1');
    await pair(guest, '10.0.0.1', port, listener);
    const [ours, taken] = listening(router, '10.0.0.1');
    const [, peer] = await pair(guest, '10.0.0.1', taken, ours);
    expect(peer.remoteAddress?.address).toBe('10.0.0.2');
  });

  test('rules narrow what hostLoopback opens', async () => {
    const far = await openHost();
    const [listener, port] = listening(far, '127.0.0.1');
    const { guest } = await toHost({
      rules: [
        { destination: '10.7.0.0/24', ports: port, action: 'allow' },
        { destination: '10.7.0.1', action: 'refuse' },
      ],
    });
    await pair(guest, '10.7.0.1', port, listener);
    const [, other] = listening(far, '127.0.0.1');
    expect(await refusal(guest, '10.7.0.1', other)).toBe('ECONNREFUSED');
  });

  test('ICMP echo reaches it, or is counted where the kernel has no ping sockets', async () => {
    const { guest, gateway, far } = await toHost();
    let allowed = true;
    try {
      far.socket('icmp').close();
    } catch {
      allowed = false;
    }
    const socket = guest.socket('icmp');
    socket.sendTo('ping', { host: '10.7.0.1' });
    if (allowed) {
      expect(await next(untyped(socket))).toBe('ping');
    } else {
      await until(() => gateway.counters().drops.echo_not_allowed === 1);
    }
  });

  test('no descriptors left: a new flow is not answered and counted, and the others go on', async () => {
    const program = join(root, 'test/ts/programs/gateway-descriptors.mjs');
    expect(await runProgram([process.execPath, program])).toEqual({
      code: 0,
      signal: null,
      stdout: 'counted, not answered, still here, then connected\n',
      stderr: '',
    });
  });
});

describe('a gateway', () => {
  test('says which option is wrong, and what with it', async () => {
    const { router } = await openGuest();
    const to = await openHost();
    const closed = await openStack();
    await closed.close();
    const message = (options: unknown) => {
      const { code, message: text } = thrownBy(() => router.gateway(untyped(options)));
      return `${code} ${text}`;
    };
    expect(message({})).toBe(
      'ERR_INVALID_ARG_TYPE The "options.to" property must be an instance of HostStack, Stack or LoadedStack. Received undefined',
    );
    expect(message({ to: router })).toContain("'options.to' must be another stack");
    expect(message({ to: closed })).toContain("'options.to' must be open");
    expect(message({ to, polici: 1 })).toContain("'options.polici' is not known: there are to, ");
    expect(message({ to, policy: 'allow' })).toContain('ERR_INVALID_ARG_TYPE');
    expect(message({ to, policyTimeout: 0 })).toContain('ERR_OUT_OF_RANGE');
    expect(message({ to, limits: { flows: 0 } })).toContain('"options.limits.flows"');
    expect(message({ to, limits: { flow: 1 } })).toContain("'options.limits.flow' is not known");
    expect(message({ to, interfaces: ['eth7'] })).toContain("ENODEV - no interface 'eth7'");
    expect(message({ to, hostLoopback: 'localhost' })).toContain("'options.hostLoopback'");
    expect(message({ to, hostLoopback: ['10.0.0.1/24'] })).toContain("'options.hostLoopback[0]'");
    const rule = (value: unknown) => message({ to, rules: [value] });
    expect(rule({})).toContain('"options.rules[0].action"');
    expect(rule({ action: 'accept' })).toContain("must be 'allow', 'refuse', 'drop' or 'ask'");
    expect(rule({ action: 'ask' })).toContain('needs a policy');
    expect(rule({ action: 'allow', port: 80 })).toContain("'options.rules[0].port' is not known");
    expect(rule({ action: 'allow', ports: '80-' })).toContain("'options.rules[0].ports'");
    expect(rule({ action: 'allow', ports: '90-80' })).toContain("'options.rules[0].ports'");
    expect(rule({ action: 'allow', ports: 0 })).toContain('ERR_SOCKET_BAD_PORT');
    expect(rule({ action: 'allow', protocol: 'icmp', ports: '1' })).toContain('not for icmp');
    expect(rule({ action: 'allow', destination: [] })).toContain('must have one at least');
    expect(rule({ action: 'allow', destination: ['10.0.0.0/33'] })).toContain('destination[0]');
    expect(rule({ action: 'allow', reach: 'global' })).toContain("'options.rules[0].reach'");
    expect(rule({ action: 'drop', redirect: { port: 1 } })).toContain("needs action 'allow'");
    expect(rule({ action: 'allow', redirect: {} })).toContain('must have an address');
    expect(rule({ action: 'allow', redirect: { path: '/x' } })).toContain("needs protocol 'tcp'");
    const longPath = {
      action: 'allow',
      protocol: 'tcp',
      redirect: { path: `/${'x'.repeat(107)}` },
    };
    expect(rule(longPath)).toContain('must have 107 bytes at most');
    const many = { action: 'allow', ports: Array.from({ length: 4097 }, (_, i) => i + 1).join() };
    expect(rule(many)).toContain('4096 at most');
    expect(openGateway(router, { to }).closed).toBe(false);
  });

  test('is one for an interface', async () => {
    const { router } = await openGuest();
    const to = await openHost();
    openGateway(router, { to, interfaces: ['eth0'] });
    expect(thrownBy(() => router.gateway({ to })).code).toBe('EEXIST');
  });

  test('comes from a stack alone', async () => {
    expect(() => Reflect.construct(untyped(Gateway), [])).toThrow('use stack.gateway()');
    const stack = await Stack.open();
    await stack.close();
    expect(thrownBy(() => stack.gateway(untyped({}))).code).toBe('ERR_STACK_CLOSED');
  });

  test('takes whatever the addon is called with', async () => {
    const addon = createRequire(import.meta.url)(
      process.env.VPOLLNET_ADDON ?? join(root, 'build/Release/vpollnet.node'),
    );
    const network = new addon.NativeNetwork(1 << 20, 'strange', 'cubic');
    const host = new addon.NativeBsdStack();
    const config = {
      interfaces: [],
      rules: [],
      otherwise: 'ask',
      askTimeout: 1,
      flows: 1,
      flowsPerSource: 1,
      asking: 1,
      udpIdle: 1,
      udpServiceIdle: 1,
      icmpIdle: 1,
    };
    const attempt = (call: () => unknown) => {
      try {
        return call();
      } catch (error) {
        return error;
      }
    };
    const strange = [undefined, null, -1, Number.NaN, 2 ** 60, 'x', {}, [], () => {}, Symbol('s')];
    const impostor = Object.create(addon.NativeNetwork.prototype);
    for (const value of [...strange, impostor, host]) {
      attempt(() => new addon.NativeGateway(value, host, config, () => {}));
      attempt(() => new addon.NativeGateway(network, value === host ? 1 : value, config, () => {}));
      attempt(() => new addon.NativeGateway(network, host, value, () => {}));
      attempt(() => new addon.NativeGateway(network, host, config, value === host ? 1 : value));
      for (const key of Object.keys(config)) {
        const opened = attempt(
          () => new addon.NativeGateway(network, host, { ...config, [key]: value }, () => {}),
        );
        if (opened instanceof addon.NativeGateway && !untyped(opened).failure)
          untyped(opened).close();
      }
    }
    const gateway = new addon.NativeGateway(network, host, config, () => {});
    expect(gateway.failure).toBeUndefined();
    const names = Object.getOwnPropertyNames(addon.NativeGateway.prototype);
    for (const name of names.filter((one) => !/^(close|constructor)$/.test(one))) {
      for (const value of strange) attempt(() => gateway[name](value, value, value));
      attempt(() => gateway[name].call(network, 1, 2, 3));
      for (const value of strange) attempt(() => gateway.decideAll([value, [value, value, value]]));
    }
    expect(gateway.flowsAfter(0, 1)).toEqual({ numbers: new Float64Array(0), text: '' });
    network.close();
    for (const name of names) attempt(() => gateway[name](1, 'allow', null));
    gateway.close();
    host.close();
  });

  test('other rules count for flows that begin then', async () => {
    const { guest, server, gateway } = await toStack();
    const [listener, port] = listening(server, '203.0.113.9');
    const [client, peer] = await pair(guest, '203.0.113.9', port, listener);
    const rules = [{ ports: port, action: 'refuse' as const }];
    gateway.setRules(rules);
    expect(gateway.rules).toBe(rules);
    expect(await refusal(guest, '203.0.113.9', port)).toBe('ECONNREFUSED');
    client.send('x');
    expect(await next(peer)).toBe('x');
    expect(thrownBy(() => gateway.setRules(untyped([{}]))).message).toContain('"rules[0].action"');
    expect(gateway.counters().drops.denied).toBe(1);
  });

  test('a rule that drops gives no answer', async () => {
    const { guest, gateway } = await toStack({ rules: [{ protocol: 'tcp', action: 'drop' }] });
    const socket = guest.socket('tcp');
    socket.connect({ host: '203.0.113.9', port: 80 });
    await until(() => (gateway.counters().drops.dropped ?? 0) > 1); // it came again
    expect(socket.state).toBe('SYN-SENT');
  });

  test('a rule leads to another address, another port, and a Unix socket', async () => {
    const { guest, server, gateway } = await toStack();
    const [listener, port] = listening(server, '203.0.113.9');
    gateway.setRules([
      {
        destination: ['192.0.2.0/24', '2001:db8:1::/48'],
        ports: '1-79, 80',
        action: 'allow',
        redirect: { address: '203.0.113.9', port },
      },
      { destination: '203.0.113.9', ports: '81', action: 'allow', redirect: { port } },
    ]);
    const [first] = await pair(guest, '192.0.2.7', 80, listener);
    expect(gateway.flows()[0]).toMatchObject({
      destination: { address: '192.0.2.7', port: 80 },
      target: { address: '203.0.113.9', port },
    });
    await pair(guest, '2001:db8:1::7', 1, listener);
    await pair(guest, '203.0.113.9', 81, listener);
    expect(first.remoteAddress?.address).toBe('192.0.2.7');
  });

  test('lists thousands of flows in order', async () => {
    const { guest, server, gateway } = await toStack();
    const target = server.socket('udp').bind({ host: '203.0.113.9', port: 9 });
    expect(target.closed).toBe(false);
    const socket = guest.socket('udp');
    for (let port = 1; port <= 1500; port += 1) socket.sendTo('', { host: '203.0.113.9', port });
    await until(() => gateway.counters().flows >= 1500);
    const ids = gateway.flows().map(({ id }) => id);
    expect(ids).toEqual([...ids].sort((a, b) => a - b));
    expect(new Set(ids).size).toBe(ids.length);
    const parts: number[] = [];
    for (let part = gateway.flows({ limit: 700 }); part.length > 0; ) {
      for (const { id } of part) parts.push(id);
      part = gateway.flows({ after: part.at(-1)!.id, limit: 700 });
    }
    expect(parts).toEqual(ids);
    expect(thrownBy(() => gateway.flows({ limit: 0 })).code).toBe('ERR_OUT_OF_RANGE');
    expect(thrownBy(() => gateway.flows(untyped({ from: 1 }))).message).toContain('options.from');
  });

  test('a UDP flow expires when nothing comes', async () => {
    const { guest, server, gateway } = await toStack({ limits: { udpIdle: 200 } });
    const target = server.socket('udp').bind({ host: '203.0.113.9', port: 5000 });
    const ended = once(gateway, 'end');
    guest.socket('udp').sendTo('x', { host: '203.0.113.9', port: 5000 });
    expect(await next(target)).toBe('x');
    expect(await ended).toMatchObject({ protocol: 'udp', end: 'expired', packetsOut: 1 });
    expect(gateway.flows()).toEqual([]);
  });

  test("a stack's close leaves no descriptor of its gateway's flows", async () => {
    const before = openDescriptors();
    const host = await openHost();
    const url = freshCable();
    const router = await openStack({ url, addresses: ['10.0.0.1/24'] });
    const guest = await openStack({ url, addresses: ['10.0.0.2/24'], gateways: ['10.0.0.1'] });
    const gateway = router.gateway({ to: host, hostLoopback: '10.7.0.1' });
    const [listener, port] = listening(host, '127.0.0.1');
    for (let i = 0; i < 5; i += 1) await pair(guest, '10.7.0.1', port, listener);
    gateway.forward({ listen: { port: 0 }, to: { address: '10.0.0.2', port: 7 } });
    guest.socket('udp').sendTo('x', { host: '10.7.0.1', port });
    await router.close();
    expect(gateway.closed).toBe(true);
    await host.close();
    await guest.close();
    await until(() => openDescriptors() <= before + 1);
  });

  test('keeps the process alive until it is closed, or not if it is told so', async () => {
    const program = join(root, 'test/ts/programs/gateway-alive.mjs');
    const run = async (way: string) => {
      const { code, stdout, stderr } = await runProgram([process.execPath, program, way]);
      return `${code} ${stdout}${stderr}`;
    };
    expect(await run('ref')).toBe('0 closed after 300 ms\n');
    expect(await run('unref')).toBe('0 ended by itself\n');
  });

  test.each(['returns', 'exits', 'is-terminated'])(
    'a worker that %s leaves nothing',
    async (way) => {
      const program = join(root, 'test/ts/programs/gateway-worker.mjs');
      const ended = await runProgram([process.execPath, program, way]);
      expect(ended).toEqual({ code: 0, signal: null, stdout: 'nothing left\n', stderr: '' });
    },
  );

  test('tells of flows only while somebody listens', async () => {
    const { guest, server, gateway } = await toStack();
    const [listener, port] = listening(server, '203.0.113.9');
    await pair(guest, '203.0.113.9', port, listener);
    const told: string[] = [];
    const onFlow = ({ id, state }: { id: number; state: string }) => told.push(`${id} ${state}`);
    gateway.on('flow', onFlow);
    await pair(guest, '203.0.113.9', port, listener);
    await until(() => told.length > 0);
    gateway.off('flow', onFlow);
    await pair(guest, '203.0.113.9', port, listener);
    await sleep(20);
    expect(told).toEqual(['2 open']);
  });
});
