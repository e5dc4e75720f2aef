// SPDX-License-Identifier: MIT
//
// A stack as a router between two others, on cables: what can be said, and what is said of it. What the
// router does is tested in test/stack and, against kernels, in test/links/router.test.ts.

import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { type FilterRule, type NatRule, POLLIN, poll, Stack } from '../../ts/index.js';

let count = 0;
let client: Stack;
let router: Stack;
let server: Stack;

beforeEach(async () => {
  count += 1;
  const open = (net: number, host: number, gateways: string[]) => ({
    ...{ url: `cable:forwarding-${count}-${net}`, mtu: 1500, dad: false, gateways },
    addresses: [`10.${net}.0.${host}/24`, `fd0${net}::${host}/64`],
  });
  client = await Stack.open({ links: [open(1, 2, ['10.1.0.1', 'fd01::1'])] });
  server = await Stack.open({ links: [open(2, 2, ['10.2.0.1', 'fd02::1'])] });
  router = await Stack.open({
    links: [
      { ...open(1, 1, []), name: 'lan' },
      { ...open(2, 1, []), name: 'wan' },
    ],
  });
  onTestFinished(async () => {
    for (const stack of [client, router, server]) await stack.close();
  });
});

/** As whom the server sees the client; null if nothing arrives. */
function seenAs(to: string): string | null {
  const receiver = server.socket('udp').bind({ host: to, port: 9 });
  const sender = client.socket('udp');
  sender.sendTo('x', { host: to, port: 9 });
  const came = poll([{ fd: receiver.fd, events: POLLIN }], 300) > 0;
  const from = came ? receiver.recvFrom(Buffer.alloc(8)) : null;
  receiver.close();
  sender.close();
  return from?.address ?? null;
}

test('a stack forwards once it is told to, and no longer when it is told so', () => {
  expect(router.forwarding()).toBeNull();
  expect(seenAs('10.2.0.2')).toBeNull();
  router.setForwarding({});
  expect(router.forwarding()).toEqual({ interfaces: null, reversePath: 'strict' });
  expect(seenAs('10.2.0.2')).toBe('10.1.0.2');
  expect(seenAs('fd02::2')).toBe('fd01::2');
  router.setForwarding({ interfaces: ['lan', 'wan'], reversePath: 'loose' });
  expect(router.forwarding()).toEqual({ interfaces: ['lan', 'wan'], reversePath: 'loose' });
  expect(seenAs('10.2.0.2')).toBe('10.1.0.2');
  router.setForwarding(null);
  expect(router.forwarding()).toBeNull();
  expect(seenAs('10.2.0.2')).toBeNull();
});

test('the filter decides, counts and logs', () => {
  router.setForwarding({});
  const rules: FilterRule[] = [
    { name: 'what there is', action: 'log' },
    { name: 'datagrams', protocol: 'udp', destinationPort: [9, '20-30'], action: 'accept' },
  ];
  router.filter.set(rules, { policy: { forward: 'drop' } });
  expect(seenAs('10.2.0.2')).toBe('10.1.0.2');
  client.socket('udp').sendTo('x', { host: '10.2.0.2', port: 10 });
  const { rules: counted, policy } = router.filter.info();
  expect(counted.map(({ rule }) => rule)).toEqual(rules);
  expect(counted.map(({ packets, bytes }) => [packets, bytes])).toEqual([
    [2, 58],
    [1, 29],
  ]);
  expect(policy.forward).toEqual({ action: 'drop', packets: 1, bytes: 29 });
  expect(policy.in.action).toBe('accept');
  const [first, second, ...rest] = router.filter.takeLog();
  expect(first).toMatchObject({
    ...{ rule: 0, direction: 'forward', in: 'lan', out: 'wan', state: 'new', size: 29 },
    flow: { protocol: 'udp', source: '10.1.0.2', destination: '10.2.0.2', destinationPort: 9 },
  });
  expect(Math.abs(Date.now() - (first?.time.getTime() ?? 0))).toBeLessThan(10_000);
  expect(second?.flow.destinationPort).toBe(10);
  expect(rest).toEqual([]);
  expect(router.filter.takeLog()).toEqual([]);
  expect(router.counters().drops.filter_dropped).toBe(1);
  router.filter.clear();
  expect(router.filter.info().rules).toEqual([]);
  client.socket('udp').sendTo('x', { host: '10.2.0.2', port: 10 });
  expect(router.counters().drops.filter_dropped).toBe(1);
});

test('a refusal by the filter is an error at the socket', () => {
  router.setForwarding({});
  router.filter.set([{ protocol: 'tcp', action: 'reject' }]);
  const socket = client.socket('tcp');
  socket.connect({ host: '10.2.0.2', port: 9 });
  poll([{ fd: socket.fd, events: POLLIN }], 20_000);
  expect(socket.error?.code).toBe('ECONNREFUSED');
  router.filter.set([{ direction: 'out', protocol: 'udp', action: 'drop' }]);
  const udp = router.socket('udp');
  expect(() => udp.sendTo('x', { host: '10.2.0.2', port: 9 })).toThrow(
    expect.objectContaining({ code: 'EPERM' }),
  );
});

test('translation shows the router, and the connections say how', () => {
  router.setForwarding({});
  const rules: NatRule[] = [{ type: 'source', out: 'wan', source: '10.1.0.0/24' }];
  router.nat.set(rules);
  expect(router.nat.rules()).toEqual(rules);
  expect(seenAs('10.2.0.2')).toBe('10.2.0.1');
  expect(seenAs('fd02::2')).toBe('fd01::2');
  const translated = router.connections().find(({ original }) => original.source === '10.1.0.2');
  expect(translated).toMatchObject({
    original: { protocol: 'udp', destination: '10.2.0.2', destinationPort: 9 },
    reply: { source: '10.2.0.2', sourcePort: 9, destination: '10.2.0.1' },
    state: 'opening',
    packets: { original: 1, reply: 0 },
    bytes: { original: 29, reply: 0 },
  });
  expect(translated?.expires).toBeGreaterThan(100);
  router.nat.clear();
  expect(router.nat.rules()).toEqual([]);
  expect(router.connections()).toEqual([]);
});

test('the number of flows is limited', () => {
  router.setForwarding({});
  router.filter.set([]);
  router.limitConnections({ connections: 16, perSource: 8 });
  for (let i = 0; i < 40; i += 1) {
    client.socket('udp').sendTo('x', { host: '10.2.0.2', port: 1000 + i });
  }
  expect(router.connections()).toHaveLength(8);
});

test('a rule of translation may have addresses of both families', () => {
  const rules: NatRule[] = [
    { type: 'source', out: 'wan', source: '10.0.0.0/8', addresses: ['10.2.0.1', 'fd02::1'] },
    { type: 'source', out: 'wan', source: ['10.0.0.0/8', 'fd00::/8'], destination: 'fd00::/8' },
    { type: 'destination', in: 'wan', to: 'fd01::2', source: ['10.0.0.0/8', 'fd00::/8'] },
  ];
  router.nat.set(rules);
  expect(router.nat.rules()).toEqual(rules);
});

describe('what is wrong is named', () => {
  const filterErrors: [unknown, RegExp][] = [
    [{}, /'rules\[0\]\.action' must be one of 'accept', .*Received undefined/],
    [{ action: 'allow' }, /'rules\[0\]\.action' must be one of .*Received 'allow'/],
    [{ action: 'drop', port: 7 }, /'rules\[0\]\.port' is not known: there are name, direction/],
    [{ action: 'drop', in: 'eth9' }, /'rules\[0\]\.in' is no interface .*'lan', 'wan'.*'eth9'/],
    [{ action: 'drop', in: ['lan', 'x'] }, /'rules\[0\]\.in\[1\]' is no interface/],
    [{ action: 'drop', source: '10.0.0.0/33' }, /'rules\[0\]\.source' must be an address/],
    [{ action: 'drop', source: [] }, /'rules\[0\]\.source' must not be empty/],
    [{ action: 'drop', protocol: 'sctp' }, /'rules\[0\]\.protocol' must be 'tcp', 'udp'/],
    [{ action: 'drop', destinationPort: 7 }, /destinationPort' needs the protocol 'tcp' or 'udp'/],
    [
      { action: 'drop', protocol: 'tcp', destinationPort: '9-7' },
      /destinationPort' must be a port from 1 to 65535, or a range .*Received '9-7'/,
    ],
    [{ action: 'drop', protocol: 'tcp', sourcePort: [7, '0'] }, /sourcePort\[1\]'/],
    [{ action: 'drop', icmpType: 8 }, /icmpType' needs the protocol 'icmp' or 'icmpv6'/],
    [{ action: 'drop', protocol: 'icmp', icmpCode: 8 }, /icmpCode' needs an icmpType/],
    [{ action: 'drop', state: 'fresh' }, /'rules\[0\]\.state' must be one of 'new'/],
    [{ action: 'drop', direction: 'up' }, /direction' must be one of 'forward', 'in', 'out'/],
    [
      { action: 'drop', direction: 'out', in: 'lan' },
      /\.in' fits nothing with the direction 'out'/,
    ],
    [
      { action: 'drop', source: '10.0.0.1', destination: 'fd00::1' },
      /destination' is of another family than the source/,
    ],
    [
      { action: 'drop', protocol: 'icmp', source: 'fd00::1' },
      /protocol' fits nothing with addresses of IPv6/,
    ],
  ];
  test.each(filterErrors)('filter: %j', (rule, message) => {
    router.filter.set([{ action: 'accept', name: 'as it was' }]);
    expect(() => router.filter.set([rule as FilterRule])).toThrow(
      expect.objectContaining({
        code: 'ERR_INVALID_ARG_VALUE',
        message: expect.stringMatching(message),
      }),
    );
    expect(router.filter.info().rules[0]?.rule.name).toBe('as it was');
  });

  const natErrors: [unknown, RegExp][] = [
    [{ type: 'masquerade' }, /'rules\[0\]\.type' must be one of 'source', 'destination', 'prefix'/],
    [{ type: 'source', out: 'eth9' }, /'rules\[0\]\.out' is no interface/],
    [{ type: 'source', out: 'wan', to: '10.0.0.1' }, /'rules\[0\]\.to' is not known/],
    [{ type: 'source', out: 'wan', admission: 'all' }, /admission' must be one of/],
    [{ type: 'destination', in: 'wan', to: '10.0.0.1', toPort: 80 }, /toPort' needs ports/],
    [
      { type: 'destination', in: 'wan', to: '10.0.0.1', ports: '100-200', toPort: 65_500 },
      /toPort' leaves no room for 101 ports/,
    ],
    [
      { type: 'destination', in: 'wan', to: '10.0.0.1', protocol: 'icmp', ports: 7 },
      /ports' needs the protocol/,
    ],
    [
      { type: 'destination', in: 'wan', to: '10.0.0.1', address: 'fd00::1' },
      /address' is of another family than 10\.0\.0\.1/,
    ],
    [
      { type: 'destination', in: 'wan', to: '10.0.0.1', source: ['fd00::/64'] },
      /source' is of another family than to/,
    ],
    [
      { type: 'destination', in: 'wan', to: 'fd00::1', protocol: 'icmp' },
      /protocol' is of another family than to/,
    ],
    [
      { type: 'source', out: 'wan', source: 'fd00::/64', addresses: ['1.2.3.4'] },
      /addresses' is of another family than source\. Received \[ '1\.2\.3\.4' \]/,
    ],
    [
      { type: 'source', out: 'wan', source: '10.0.0.0/8', destination: 'fd00::/8' },
      /destination' is of another family than source/,
    ],
    [
      { type: 'source', out: 'wan', protocol: 'icmpv6', addresses: '10.2.0.1' },
      /addresses' is of another family than protocol/,
    ],
    ...['0.0.0.0', '224.0.0.1', '255.255.255.255', '::', 'ff02::1'].map((to): [unknown, RegExp] => [
      { type: 'destination', in: 'wan', to },
      /to' must be an address that one host has/,
    ]),
    [
      { type: 'source', out: 'wan', addresses: ['10.2.0.1', '224.0.0.1'] },
      /addresses\[1\]' must be an address that one host has/,
    ],
    [
      { type: 'prefix', out: 'wan', internal: 'fd00::/48', external: '2001:db8::/56' },
      /external' must be as long a prefix as fd00::\/48/,
    ],
    [
      { type: 'prefix', out: 'wan', internal: 'fd00::/80', external: '2001:db8::/80' },
      /internal' must be \/64 or shorter/,
    ],
  ];
  test.each(natErrors)('translation: %j', (rule, message) => {
    expect(() => router.nat.set([rule as NatRule])).toThrow(
      expect.objectContaining({
        code: 'ERR_INVALID_ARG_VALUE',
        message: expect.stringMatching(message),
      }),
    );
  });

  test('the rest', () => {
    const wrong = (act: () => void, code: string, message: RegExp) =>
      expect(act).toThrow(
        expect.objectContaining({ code, message: expect.stringMatching(message) }),
      );
    const value = 'ERR_INVALID_ARG_VALUE';
    wrong(() => router.setForwarding({ interfaces: ['x'] }), value, /options\.interfaces\[0\]/);
    wrong(() => router.setForwarding({ interfaces: ['lo'] }), value, /is loopback/);
    wrong(() => router.setForwarding({ interfaces: [] }), value, /must not be empty/);
    wrong(() => router.setForwarding(7 as never), 'ERR_INVALID_ARG_TYPE', /options/);
    wrong(() => router.filter.set({} as never), 'ERR_INVALID_ARG_TYPE', /rules/);
    wrong(() => router.filter.set([], { policy: 'log' as never }), value, /options\.policy/);
    wrong(() => router.filter.set(new Array(1025).fill({ action: 'drop' })), value, /1024 rules/);
    wrong(() => router.limitConnections({ connections: 1 }), 'ERR_OUT_OF_RANGE', /connections/);
    router.close();
    wrong(() => router.filter.set([]), 'ERR_STACK_CLOSED', /filter\.set/);
    wrong(() => router.nat.clear(), 'ERR_STACK_CLOSED', /nat\.set/);
    wrong(() => router.connections(), 'ERR_STACK_CLOSED', /connections/);
  });
});
