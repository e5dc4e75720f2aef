// SPDX-License-Identifier: MIT
//
// What is written on the command line of vpollnet gateway, and what the rules then say of a flow.

import { describe, expect, test } from 'vitest';
import { forwardDefaults, forwardText, parseForward } from '../../cli/gateway/forward-text.js';
import { NameTable } from '../../cli/gateway/names.js';
import { GatewayPolicy, type Otherwise } from '../../cli/gateway/policy.js';
import type { Rule } from '../../cli/gateway/rule.js';
import { endpointText, parseRule, ruleText } from '../../cli/gateway/rule-text.js';
import type { FlowInfo } from '../../cli/gateway/types.js';
import { toListen } from '../../cli/gateway-command.js';
import { freshCable } from '../ts/support.js';
import { FakeGateway, flowOf } from './fake-gateway.js';
import { main, start, until } from './support.js';

describe('a rule is [PROTOCOL:]WHERE[:PORTS]', () => {
  const rules: [text: string, rule: Omit<Rule, 'action'>][] = [
    ['10.0.0.0/8', { destination: '10.0.0.0/8' }],
    ['tcp:10.0.0.1:443', { protocol: 'tcp', destination: '10.0.0.1', ports: '443' }],
    ['fd00::/8', { destination: 'fd00::/8' }],
    ['udp:[fd00::1]:53', { protocol: 'udp', destination: 'fd00::1', ports: '53' }],
    ['[fd00::/8]:80,8000-8099', { destination: 'fd00::/8', ports: '80,8000-8099' }],
    ['tcp:*.debian.org:443', { protocol: 'tcp', names: ['*.debian.org'], ports: '443' }],
    ['example.org', { names: ['example.org'] }],
    ['host', { reach: 'host' }],
    ['tcp:link-local:80', { protocol: 'tcp', reach: 'link-local', ports: '80' }],
    ['all', {}],
    ['all:25', { ports: '25' }],
    ['icmp', { protocol: 'icmp' }],
    ['icmp:public', { protocol: 'icmp', reach: 'public' }],
  ];

  test.each(rules)('%s', (text, rule) => {
    const parsed = parseRule(text, 'allow');
    expect(parsed).toEqual({ action: 'allow', ...rule });
    // What is shown of it says the same.
    const shown = ruleText(parsed).replace(/^allow /, '');
    expect(parseRule(shown, 'allow')).toEqual(parsed);
  });

  test.each([
    ['', /'' in '' is not an address/],
    ['10.0.0.0/33', /'10\.0\.0\.0\/33' in .* is not an address, a network/],
    ['tcp:a b:443', /'a b' in 'tcp:a b:443' is not/],
    ['tcp:*:443', /'\*' in/],
    ['*.*.org', /'\*\.\*\.org' in/],
    ['tcp:example.org:https', /'https' in .* is not a list of ports/],
    ['tcp:example.org:0', /'0' in .* is not a list of ports/],
    ['tcp:all:9-8', /'9-8' in/],
    ['icmp:all:8', /has ports, and icmp has none/],
    [`${'a'.repeat(64)}.org`, /is not an address/],
  ])('%j is refused by the part that is wrong', (text, message) => {
    expect(() => parseRule(text, 'allow')).toThrow(message);
  });
});

describe('a forward is [ADDRESS:]PORT[-PORT]:[ADDRESS:]PORT[/udp]', () => {
  const guest = '10.0.2.100';
  const inward: [string, object, object, string?][] = [
    ['8080:80', { address: '127.0.0.1', port: 8080 }, { address: guest, port: 80 }],
    ['0.0.0.0:8080:80', { address: '0.0.0.0', port: 8080 }, { address: guest, port: 80 }],
    [
      '53:10.0.2.9:53/udp',
      { address: '127.0.0.1', port: 53 },
      { address: '10.0.2.9', port: 53 },
      'udp',
    ],
    ['[::1]:0:[fd00::9]:80', { address: '::1', port: 0 }, { address: 'fd00::9', port: 80 }],
    [
      '8000-8009:9000',
      { address: '127.0.0.1', port: 8000, lastPort: 8009 },
      { address: guest, port: 9000 },
    ],
    [
      '8000-8009:8000-8009',
      { address: '127.0.0.1', port: 8000, lastPort: 8009 },
      { address: guest, port: 8000 },
    ],
    ['/run/web.sock:80', { path: '/run/web.sock' }, { address: guest, port: 80 }],
    ['/run/a:b.sock:[fd00::9]:80', { path: '/run/a:b.sock' }, { address: 'fd00::9', port: 80 }],
  ];
  test.each(inward)('inward %s', (text, listen, to, protocol = 'tcp') => {
    const parsed = parseForward(text, 'inward', forwardDefaults('inward', guest));
    expect(parsed).toEqual({ protocol, direction: 'inward', listen, to });
  });

  test.each([
    [
      '10.0.2.2:5432:127.0.0.1:5432',
      { address: '10.0.2.2', port: 5432 },
      { address: '127.0.0.1', port: 5432 },
    ],
    ['80:192.0.2.1:8080', { port: 80 }, { address: '192.0.2.1', port: 8080 }],
    ['2375:/run/docker.sock', { port: 2375 }, { path: '/run/docker.sock' }],
    ['[fd00::2]:80:/run/web.sock', { address: 'fd00::2', port: 80 }, { path: '/run/web.sock' }],
  ])('outward %s', (text, listen, to) => {
    const parsed = parseForward(text, 'outward', {});
    expect(parsed).toEqual({ protocol: 'tcp', direction: 'outward', listen, to });
    expect(forwardText(parsed)).toMatch(/^outward tcp .+ to /);
  });

  test.each([
    ['80', 'inward', /is not of the form \[ADDRESS:\]PORT:\[GUEST:\]PORT/],
    ['80:90:100', 'inward', /'90' in '80:90:100' is not an address/],
    ['x:80', 'inward', /is not/],
    ['70000:80', 'inward', /'70000' in/],
    ['8000-8009:9000-9001', 'inward', /differ in length/],
    ['8000-8009:65530', 'inward', /leads beyond port 65535/],
    ['8080:0', 'inward', /leads to port 0/],
    ['/run/x.sock:80/udp', 'inward', /cannot be \/udp/],
    ['80:90', 'outward', /where to has no address/],
    ['fd00::1:80:90', 'inward', /is not/],
  ] as const)('%j (%s) is refused by the part that is wrong', (text, direction, message) => {
    expect(() => parseForward(text, direction, { guest })).toThrow(message);
  });

  test('without an address behind the gateway one has to be written', () => {
    expect(() => parseForward('80:80', 'inward', {})).toThrow(/write PORT:GUEST:PORT/);
  });
});

describe('the page is at ADDRESS:PORT', () => {
  test.each([
    ['127.0.0.1:8080', '127.0.0.1', 8080],
    ['127.1:0', '127.0.0.1', 0],
    ['192.168.010.1:80', '192.168.8.1', 80],
    ['[0:0:0:0:0:0:0:1]:65535', '::1', 65_535],
    ['[FD00::0A]:80', 'fd00::a', 80],
    ['[::ffff:127.0.0.1]:80', '::ffff:7f00:1', 80],
  ])('%s, the address as browsers name it in their requests', (text, address, port) => {
    expect(toListen(text)).toEqual({ address, port });
    const shown = endpointText({ address, port: 8080 });
    expect(new URL(`http://${shown}`).host).toBe(shown);
  });

  test.each(['127.1:0', '[0:0:0:0:0:0:0:1]:0'])(
    '%s has a URL that a browser may ask for, and nobody else reaches it',
    async (text) => {
      const running = start([main, 'gateway', '--ui', text, '--link', freshCable()]);
      await until(() => /on cable:/.test(running.stderr));
      const url = /page at (\S+)\n/.exec(running.stderr)?.[1] as string;
      expect(new URL(url).href).toBe(url);
      expect((await fetch(url)).status).toBe(200);
      expect(running.stderr).not.toContain('reachable from other machines');
    },
  );

  test.each([
    ...['8080', 'localhost:80', '::1:80', '[127.0.0.1]:80', '300.1.1.1:80', '127.0.0.1:65536'],
    ...['[fe80::1%eth0]:80', '[x@127.0.0.1/]:80', '.:80', '[::1]'],
  ])('%s is none', (text) => {
    expect(() => toListen(text)).toThrow(
      `--ui must be ADDRESS:PORT, such as 127.0.0.1:8080, not '${text}'`,
    );
  });

  test.each(['0.0.0.0:80', '0:80', '[::]:80', '[0::0]:80', '[::ffff:0.0.0.0]:80'])(
    '%s is all of them, and requests that name one would be refused',
    (text) => {
      expect(() => toListen(text)).toThrow(
        `--ui must have one address, such as 127.0.0.1:8080, not '${text}'`,
      );
    },
  );
});

describe('names', () => {
  test('an address has the names that were given for it, the newest first, for two hours', () => {
    let now = 0;
    const names = new NameTable(() => now);
    names.learn('A.example.org.', '192.0.2.1');
    now = 3_600_000;
    names.learn('b.example.org', '192.0.2.1');
    names.learn('c.example.org', '2001:DB8::0001');
    expect(names.of('192.0.2.1')).toEqual(['b.example.org', 'a.example.org']);
    expect(names.of('2001:db8::1')).toEqual(['c.example.org']);
    now = 7_200_001;
    expect(names.of('192.0.2.1')).toEqual(['b.example.org']);
    now = 10_800_001;
    expect(names.of('192.0.2.1')).toEqual([]);
    expect(names.of('2001:db8::1')).toEqual([]);
  });

  test('a flood of answers pushes out what is oldest, and nothing grows without end', () => {
    const names = new NameTable(() => 0);
    for (let i = 0; i < 20_000; i += 1) names.learn(`n${i}`, `10.0.${i >> 8}.${i & 255}`);
    for (let i = 0; i < 100; i += 1) names.learn(`m${i}`, '192.0.2.1');
    expect(names.size).toBe(8192);
    expect(names.of('192.0.2.1')).toHaveLength(8);
    expect(names.of('10.0.0.0')).toEqual([]);
  });
});

describe('policy', () => {
  const policyOf = (texts: string[], otherwise: Otherwise = 'allow-public') => {
    const names = new NameTable();
    const rules = texts.map((text) => {
      const [action = '', rule = ''] = text.split(' ');
      return parseRule(rule, action as Rule['action']);
    });
    return { names, policy: new GatewayPolicy({ rules, otherwise, names, timeout: 1000 }) };
  };
  const never = new AbortController().signal;

  test.each<[Otherwise, Partial<FlowInfo>, unknown]>([
    ['allow-public', {}, 'allow'],
    ['allow-public', { reach: 'private' }, 'refuse'],
    ['allow-public', { reach: 'link-local' }, 'refuse'],
    ['allow-public', { reach: 'host' }, 'refuse'],
    ['deny', {}, 'refuse'],
    ['allow-all', { reach: 'host' }, 'allow'],
  ])('the default %s for %j', (otherwise, flow, decision) => {
    expect(policyOf([], otherwise).policy.decide(flowOf(1, flow), never)).toBe(decision);
  });

  test('the first rule that fits decides', () => {
    const { policy } = policyOf([
      'allow 10.1.2.3',
      'drop 10.0.0.0/8',
      'refuse tcp:all:25',
      'allow icmp',
    ]);
    const decide = (more: Partial<FlowInfo>) => policy.decide(flowOf(1, more), never);
    const to = (address: string, port: number) => ({ destination: { address, port } });
    expect(decide({ ...to('10.1.2.3', 80), reach: 'private' })).toBe('allow');
    expect(decide({ ...to('10.1.2.4', 80), reach: 'private' })).toBe('drop');
    expect(decide(to('198.51.100.1', 25))).toBe('refuse');
    expect(decide({ ...to('198.51.100.1', 25), protocol: 'udp' })).toBe('allow');
    expect(decide({ ...to('169.254.169.254', 0), protocol: 'icmp', reach: 'link-local' })).toBe(
      'allow',
    );
  });

  test('a name opens the addresses that were given for it, and only public ones', () => {
    const { policy, names } = policyOf(['allow tcp:*.debian.org:443'], 'deny');
    const flow = flowOf(1, { destination: { address: '198.51.100.7', port: 443 } });
    expect(policy.decide(flow, never)).toBe('refuse');
    names.learn('debian.org', '198.51.100.7');
    names.learn('notdebian.org', '198.51.100.7');
    expect(policy.decide(flow, never)).toBe('refuse');
    names.learn('deb.Debian.org', '198.51.100.7');
    expect(policy.decide(flow, never)).toBe('allow');
    expect(policy.decide({ ...flow, destination: { ...flow.destination, port: 80 } }, never)).toBe(
      'refuse',
    );
    // Whoever answers for the name says that it is the host.
    names.learn('evil.debian.org', '127.0.0.1');
    const host = flowOf(2, { destination: { address: '127.0.0.1', port: 443 }, reach: 'host' });
    expect(policy.decide(host, never)).toBe('refuse');
  });

  test('which names may be looked up follows the first rule that knows them', () => {
    const { policy } = policyOf([
      'refuse ads.example.org',
      'allow tcp:*.example.org:443',
      'ask x.org',
    ]);
    const may = (name: string) => policy.mayAsk(name);
    expect(['WWW.example.org', 'x.org', 'a.b.example.org'].map(may)).toEqual([true, true, true]);
    expect(['ads.example.org', 'example.org', 'y.org'].map(may)).toEqual([false, false, false]);
  });

  test('the gateway decides by itself up to the first rule with names', () => {
    expect(policyOf(['refuse 10.0.0.0/8']).policy.nativeRules).toEqual([
      { action: 'refuse', destination: '10.0.0.0/8' },
      { action: 'allow', reach: 'public' },
      { action: 'refuse' },
    ]);
    const { policy } = policyOf(['allow icmp', 'refuse *.example.org', 'allow all']);
    expect(policy.nativeRules).toEqual([{ action: 'allow', protocol: 'icmp' }]);
  });

  test('a question waits for its answer, and one that is taken back is gone', async () => {
    const { policy } = policyOf([], 'ask');
    const gateway = new FakeGateway();
    policy.attach(gateway);
    const heard: unknown[] = [];
    policy.on('ask', ({ flow }) => heard.push(['ask', flow.id]));
    policy.on('answered', (answered) => heard.push(answered));
    const answered = gateway.ask(policy.decide, flowOf(1));
    const gone = new AbortController();
    const forgotten = gateway.ask(policy.decide, flowOf(2), gone.signal);
    expect(policy.asking().map(({ flow }) => flow.id)).toEqual([1, 2]);
    gone.abort();
    policy.answer(1, { action: 'allow' });
    expect(await answered).toBe('allow');
    expect(await forgotten).toBe('refuse');
    expect(policy.asking()).toEqual([]);
    expect(heard).toEqual([['ask', 1], ['ask', 2], { id: 2 }, { id: 1, action: 'allow' }]);
    expect(() => policy.answer(1, { action: 'allow' })).toThrow(/flow 1 does not wait/);
  });

  test('an answer for a name or an address becomes the first rule, and answers what else waits for it', async () => {
    const { policy, names } = policyOf([], 'ask');
    const gateway = new FakeGateway();
    policy.attach(gateway);
    names.learn('deb.debian.org', '198.51.100.7');
    names.learn('deb.debian.org', '198.51.100.8');
    const at = (id: number, address: string, port = 443) =>
      gateway.ask(policy.decide, flowOf(id, { destination: { address, port } }));
    const asked = [
      at(1, '198.51.100.7'),
      at(2, '198.51.100.8'),
      at(3, '198.51.100.9'),
      at(4, '198.51.100.9', 80),
    ];
    expect(policy.answer(1, { action: 'allow', for: 'name' })).toMatchObject({
      names: ['deb.debian.org'],
    });
    expect(policy.asking().map(({ flow }) => flow.id)).toEqual([3, 4]);
    expect(() => policy.answer(3, { action: 'allow', for: 'name' })).toThrow(
      /flow 3 cannot be decided by name: no name of 198\.51\.100\.9 is known/,
    );
    policy.answer(3, { action: 'refuse', for: 'address' });
    expect(policy.asking().map(({ flow }) => flow.id)).toEqual([4]);
    policy.answer(4, { action: 'drop' });
    expect(await Promise.all(asked)).toEqual(['allow', 'allow', 'refuse', 'drop']);
    const reasons = [...gateway.all.values()].map((flow) => policy.reason(flow, performance.now()));
    expect(reasons).toEqual(['answer allow', 'allow tcp:deb.debian.org:443']);
    expect(policy.rules.map(ruleText)).toEqual([
      'refuse tcp:198.51.100.9:443',
      'allow tcp:deb.debian.org:443',
    ]);
    // The one by address is the gateway's own now, the one by name is asked for.
    expect(gateway.rules).toEqual([
      { action: 'refuse', destination: '198.51.100.9', ports: '443', protocol: 'tcp' },
    ]);
  });

  test('rules that are wrong change nothing, wherever they stand', () => {
    const { policy } = policyOf(['allow icmp']);
    const wrong: Rule[] = [
      { action: 'allow', names: ['a.b'] },
      { action: 'refuse', protocol: 'icmp', ports: '80' },
    ];
    expect(() => policy.setRules(wrong)).toThrow(/'rules\[1\]\.ports' is not for icmp/);
    expect(policy.rules).toEqual([{ action: 'allow', protocol: 'icmp' }]);
  });

  test('rules that the gateway refuses change nothing', () => {
    const { policy } = policyOf(['allow icmp']);
    const gateway = new FakeGateway();
    policy.attach(gateway);
    gateway.failure = new RangeError('too many');
    expect(() => policy.setRules([])).toThrow('too many');
    expect(policy.rules).toEqual([{ action: 'allow', protocol: 'icmp' }]);
  });
});
