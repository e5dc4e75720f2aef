// SPDX-License-Identifier: MIT
//
// Commands in namespaces of their own whose only network is a stack of ours:
//
//   command  10.0.2.100/24  fd00::100/64 ── tap0 ══ descriptor ══ 10.0.2.1/24  fd00::1/64  our stack

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import {
  type LinkOptions,
  Namespace,
  type NamespaceRunOptions,
  POLLIN,
  pollAsync,
  Stack,
  type TcpSocket,
  WOULD_BLOCK,
} from '../../ts/index.js';
import { ready, sendAll } from '../interop/support.js';
import { openDescriptors, root, until } from '../ts/support.js';

const megabytes = process.env.VPOLLNET_SANITIZED ? 10 : 50;
const programs = join(root, 'test/links/programs');
const scratch = mkdtempSync(join(tmpdir(), 'vpollnet-namespace-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const inside = {
  addresses: ['10.0.2.100/24', 'fd00::100/64'],
  gateways: ['10.0.2.1', 'fd00::1'],
};

/** Our end of a TAP, until the end of the test. */
async function openStack(link: LinkOptions): Promise<Stack> {
  const addresses = ['10.0.2.1/24', 'fd00::1/64'];
  const stack = await Stack.open({ links: [{ dad: false, addresses, ...link }] });
  onTestFinished(() => stack.close());
  return stack;
}

/** A command that is held back, its output in pipes, until the end of the test. */
async function enter(command: string[], options: NamespaceRunOptions = {}): Promise<Namespace> {
  const [program = '', ...args] = command;
  const namespace = await Namespace.run(program, args, {
    interface: inside,
    stdio: ['ignore', 'pipe', 'pipe'],
    ...options,
  });
  onTestFinished(() => namespace.close());
  return namespace;
}

/** Runs the command to its end on a stack; what it printed. */
async function run(command: string[], options: NamespaceRunOptions = {}) {
  const namespace = await enter(command, options);
  const said = Promise.all([
    text(namespace.stdout as Readable),
    text(namespace.stderr as Readable),
  ]);
  const stack = await openStack(namespace.link);
  await namespace.start();
  const [output, errors] = await said;
  return { ...(await namespace.exited), output, errors, stack };
}

async function echo(peer: TcpSocket): Promise<void> {
  const buffer = Buffer.allocUnsafe(256 * 1024);
  for (;;) {
    const got = peer.recv(buffer);
    if (got === 0) break;
    if (got === WOULD_BLOCK) await ready(peer, POLLIN);
    else await sendAll(peer, buffer.subarray(0, got));
  }
  peer.close();
}

/** Sends back what comes to port 7, until the end of the test. */
function serveEchoes(stack: Stack): void {
  const listener = stack.socket('tcp').bind({ port: 7 }).listen();
  const ended = new AbortController();
  const serving = (async () => {
    for (;;) {
      await pollAsync([{ fd: listener.fd, events: POLLIN }], -1, { signal: ended.signal });
      const peer = listener.accept();
      if (peer !== null) void echo(peer);
    }
  })().catch(() => {});
  onTestFinished(async () => {
    ended.abort();
    await serving;
  });
}

/** What a program of ours prints, line by line, as it comes. */
function lines(child: ChildProcess): () => Promise<string> {
  let kept = '';
  const output = (child.stdout as Readable)[Symbol.asyncIterator]();
  return async () => {
    while (!kept.includes('\n')) {
      const { value, done } = await output.next();
      if (done) return kept;
      kept += value;
    }
    const [line = ''] = kept.split('\n');
    kept = kept.slice(line.length + 1);
    return line.replace(/\r$/, '');
  };
}

/** A program of ours, until the end of the test. */
function start(command: string[], stdin: 'ignore' | 'pipe' = 'ignore'): ChildProcess {
  const [program = '', ...args] = command;
  const child = spawn(program, args, { stdio: [stdin, 'pipe', 'inherit'] });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  return child;
}

describe.each([
  { name: 'with offloads', offloads: true, mtu: 1500 },
  { name: 'without offloads', offloads: false, mtu: 1500 },
  { name: 'with a large MTU', offloads: true, mtu: 65521 },
])('a command $name', ({ offloads, mtu }) => {
  test.each(['10.0.2.1', 'fd00::1'])(
    `has ${megabytes} MB come back whole from %s`,
    async (host) => {
      const client = join(programs, 'echo-client.mjs');
      const size = String(megabytes * 1024 * 1024);
      const namespace = await enter([process.execPath, client, host, '7', size], {
        interface: { ...inside, mtu },
      });
      expect(namespace.link.mtu).toBe(mtu);
      const stack = await openStack({ ...namespace.link, offloads });
      serveEchoes(stack);
      await namespace.start();
      expect(await text(namespace.stdout as Readable)).toBe('whole\n');
      expect(await namespace.exited).toEqual({ code: 0, signal: null });
      const link = stack.interfaces().find(({ name }) => name === 'eth0');
      const average = (link?.bytesIn ?? 0) / (link?.packetsIn ?? 1);
      if (offloads) expect(average).toBeGreaterThan(3000);
      else expect(average).toBeLessThanOrEqual(mtu + 14);
    },
  );
});

test('it pings the stack, and the stack pings it', async () => {
  const script = 'ping -c 1 -W 5 10.0.2.1 && ping -c 1 -W 5 fd00::1 && read line';
  const namespace = await enter(['sh', '-c', script], { stdio: ['pipe', 'pipe', 'inherit'] });
  const stack = await openStack(namespace.link);
  await namespace.start();
  for (const host of ['10.0.2.100', 'fd00::100']) {
    const socket = stack.socket('icmp');
    socket.connect({ host });
    socket.send(`to ${host}`);
    await ready(socket, POLLIN);
    expect(socket.read()?.toString()).toBe(`to ${host}`);
  }
  namespace.stdin?.end('\n');
  const output = await text(namespace.stdout as Readable);
  expect(output.match(/1 received/g)).toHaveLength(2);
  expect(await namespace.exited).toEqual({ code: 0, signal: null });
});

test('its interface is what was asked for, at once, and it has no other but a loopback that is up', async () => {
  const { output } = await run(['sh', '-c', 'ip -o link; ip -o address; ip route; ip -6 route'], {
    interface: { ...inside, name: 'eth7', mac: '02-00-00-AA-BB-CC', mtu: 1400 },
  });
  expect(output).toMatch(/^1: lo: <LOOPBACK,UP,LOWER_UP>/m);
  expect(output).toMatch(
    /^2: eth7: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1400 .* 02:00:00:aa:bb:cc /m,
  );
  expect(output).toMatch(/inet 10\.0\.2\.100\/24 brd 10\.0\.2\.255 scope global/);
  expect(output).toMatch(/inet6 fd00::100\/64 scope global nodad/);
  expect(output).toMatch(/inet6 fe80::ff:feaa:bbcc\/64 scope link nodad/); // RFC 4291 appendix A
  expect(output).toMatch(/^default via 10\.0\.2\.1 dev eth7/m);
  expect(output).toMatch(/^default via fd00::1 dev eth7/m);
  expect(output).not.toMatch(/^3:|tentative/m);
});

test('without addresses the TAP is up and has a link-local one, for DHCP; ipv6: false leaves even that out', async () => {
  const command = ['sh', '-c', 'ip -o address show dev tap0; ip route'];
  const plain = await run(command, { interface: {} });
  expect(plain.output).toMatch(/^2: tap0 +inet6 fe80::\S+\/64 scope link nodad[^\n]*\n$/);
  expect((await run(command, { interface: { ipv6: false } })).output).toBe('');
});

test('it is the user that we are, or root over its namespace alone', async () => {
  const user = await run(['sh', '-c', 'id -u; cat /proc/self/uid_map']);
  expect(user.output.trim().split(/\s+/)).toEqual(['0', '0', '0', '1']); // root, in the tests' namespace
  const asRoot = await run(['sh', '-c', 'id -u; ip link set tap0 mtu 1300 && echo may'], {
    mapRoot: true,
  });
  expect(asRoot.output).toBe('0\nmay\n');
});

test('it reads what it is to read in /etc/resolv.conf and /etc/hosts, and nobody else does', async () => {
  const before = readFileSync('/etc/resolv.conf', 'utf8');
  const hosts = `10.0.2.1 gateway.test\n${'# long\n'.repeat(50_000)}`;
  const mounts = () => readFileSync('/proc/self/mountinfo', 'utf8');
  const outside = mounts();
  const script =
    'cat /etc/resolv.conf; tail -n +2 /etc/hosts | sort | uniq -c; getent ahostsv4 gateway.test; ls -A /tmp';
  const { output, code } = await run(['sh', '-c', script], {
    resolvConf: 'nameserver 10.0.2.3\n',
    hosts,
  });
  expect(code).toBe(0);
  expect(output).toContain('nameserver 10.0.2.3\n');
  expect(output).toMatch(/50000 # long/);
  expect(output).toMatch(/10\.0\.2\.1 .*gateway\.test/);
  expect(output).toContain(scratch.split('/').at(-1)); // /tmp is what it was
  expect(readFileSync('/etc/resolv.conf', 'utf8')).toBe(before);
  expect(mounts()).toBe(outside);
});

test('its directory and environment are what is said', async () => {
  const command = ['sh', '-c', 'pwd; echo $WORD; ls /proc/self/fd'];
  const env = { PATH: process.env.PATH, WORD: 'hello' };
  const { output } = await run(command, { cwd: scratch, env });
  // No descriptor that a child of ours has not anyway.
  const plain = spawn('sh', command.slice(1), { cwd: scratch, env });
  expect(output).toBe(await text(plain.stdout));
  expect(output).toContain(`${scratch}\nhello\n0\n1\n2\n`);
});

/** Whether a process has ended; perhaps nobody has asked how. */
function isGone(pid: string): boolean {
  try {
    return / Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return true;
  }
}

describe('how it ends', () => {
  test.each([
    { script: 'exit 0', end: { code: 0, signal: null } },
    { script: 'exit 7', end: { code: 7, signal: null } },
    { script: 'kill -TERM $$', end: { code: null, signal: 'SIGTERM' } },
    { script: 'kill -INT $$', end: { code: null, signal: 'SIGINT' } },
  ])('$script: $end', async ({ script, end }) => {
    expect(await run(['sh', '-c', script])).toMatchObject(end);
  });

  test('by a signal of ours', async () => {
    const namespace = await enter(['sleep', '600']);
    await namespace.start();
    expect(namespace.kill('SIGHUP')).toBe(true);
    expect(await namespace.exited).toEqual({ code: null, signal: 'SIGHUP' });
    expect(namespace.kill()).toBe(false);
    expect(namespace.fd).toBe(-1);
  });

  test('before it was started', async () => {
    const before = openDescriptors();
    const namespace = await enter(['sleep', '600']);
    const { pid } = namespace;
    await namespace.close();
    expect(await namespace.exited).toEqual({ code: null, signal: 'SIGKILL' });
    await namespace.start(); // there is nothing to start, and exited has told it
    expect(existsSync(`/proc/${pid}`)).toBe(false);
    await until(() => openDescriptors() === before);
  });

  test('by Ctrl-C, which it may answer as it likes', async () => {
    const script = 'trap "echo caught; exit 5" INT; echo waits; while :; do sleep 0.05; done';
    const command = [process.execPath, join(programs, 'namespace.mjs'), '{}', 'sh', '-c', script];
    const quoted = command.map((word) => `'${word}'`).join(' ');
    // A terminal that our program has, with stdin's bytes typed on it.
    const child = start(['script', '-qec', quoted, '/dev/null'], 'pipe');
    const next = lines(child);
    expect(await next()).toMatch(/^pid \d+$/);
    expect(await next()).toBe('waits');
    child.stdin?.write('\x03');
    expect((await next()).replace('^C', '')).toBe('caught');
    expect(await next()).toBe('{"code":5,"signal":null}');
  });

  test('with the program that started it, however that ends', async () => {
    const child = start([process.execPath, join(programs, 'namespace.mjs'), '{}', 'sleep', '600']);
    const pid = (await lines(child)()).split(' ')[1] ?? '';
    await until(() => readFileSync(`/proc/${pid}/comm`, 'utf8') === 'sleep\n');
    child.kill('SIGKILL');
    await until(() => isGone(pid));
  });

  test('with the program that started it, while it is held back', async () => {
    const child = start([
      process.execPath,
      join(programs, 'namespace.mjs'),
      '--hold',
      'sleep',
      '600',
    ]);
    const pid = (await lines(child)()).split(' ')[1] ?? '';
    expect(readFileSync(`/proc/${pid}/comm`, 'utf8')).toBe('vpollnet-enter\n');
    child.kill('SIGKILL');
    await until(() => isGone(pid));
  });
});

describe('a namespace of others', () => {
  /** Someone else's process in namespaces of its own. */
  async function stranger(): Promise<number> {
    const child = start([
      'unshare',
      '-Urn',
      'sh',
      '-c',
      'ip link set lo up && echo ready && exec sleep 600',
    ]);
    expect(await lines(child)()).toBe('ready');
    return child.pid as number;
  }
  const sees = (pid: number, ...command: string[]) =>
    execFileSync('nsenter', ['-t', `${pid}`, '-U', '-n', '--preserve-credentials', ...command], {
      encoding: 'utf8',
    });

  /** What each descriptor of this process is open on, by number. Tests before this one may still be closing theirs. */
  function descriptors(): Map<string, string> {
    const found = new Map<string, string>();
    for (const number of readdirSync('/proc/self/fd')) {
      try {
        found.set(number, readlinkSync(`/proc/self/fd/${number}`));
      } catch {
        // the one that listed them
      }
    }
    return found;
  }

  test.each(['pid', 'net and user'])('is joined by %s', async (way) => {
    const pid = await stranger();
    const before = descriptors();
    const { fd, link } = await Namespace.join({
      ...(way === 'pid' ? { pid } : { net: `/proc/${pid}/ns/net`, user: `/proc/${pid}/ns/user` }),
      interface: { ...inside, name: 'eth0', mtu: 9000 },
    });
    expect(link).toEqual({ url: `tap:?fd=${fd}`, mtu: 9000 });
    const opened = [...descriptors()].filter(([number, on]) => before.get(number) !== on);
    expect(opened).toEqual([[`${fd}`, '/dev/net/tun']]);
    await openStack(link);
    closeSync(fd); // the link has its own
    const ping = spawn(
      'nsenter',
      [
        '-t',
        `${pid}`,
        '-U',
        '-n',
        '--preserve-credentials',
        'ping',
        '-c',
        '2',
        '-W',
        '5',
        'fd00::1',
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    expect(await text(ping.stdout)).toContain('2 received');
    expect(sees(pid, 'ip', '-o', 'link')).toMatch(/^2: eth0: .* mtu 9000 /m);
  });

  test('has its TAP for as long as somebody holds its descriptor', async () => {
    const pid = await stranger();
    const { fd } = await Namespace.join({ pid });
    expect(sees(pid, 'ip', '-o', 'link')).toContain('tap0');
    closeSync(fd);
    await until(() => !sees(pid, 'ip', '-o', 'link').includes('tap0'));
  });

  test('that is not there, or has such an interface already, is an error that says so', async () => {
    const pid = await stranger();
    const before = openDescriptors();
    const { fd } = await Namespace.join({ pid });
    await expect(Namespace.join({ pid })).rejects.toThrow(
      "ioctl(TUNSETIFF) EBUSY - 'tap0': the namespace has an interface of that name",
    );
    closeSync(fd);
    await expect(Namespace.join({ pid: 2 ** 30 })).rejects.toThrow(
      /^open ENOENT - \/proc\/1073741824\/ns\/net: is there such a process\?$/,
    );
    await expect(Namespace.join({ net: scratch })).rejects.toThrow(
      /^setns EINVAL - .*no namespace/,
    );
    await until(() => openDescriptors() === before);
  });
});

describe('what cannot be', () => {
  writeFileSync(join(scratch, 'plain'), 'text', { mode: 0o644 });

  test.each([
    { command: 'no-such-command', error: /^exec ENOENT - .*no-such-command/, code: 127 },
    { command: './absent', error: /^exec ENOENT - /, code: 127 },
    { command: join(scratch, 'plain'), error: /^exec EACCES - /, code: 126 },
    { command: scratch, error: /^exec EACCES - /, code: 126 },
  ])('the command $command: exit code $code', async ({ command, error, code }) => {
    const namespace = await enter([command]);
    await expect(namespace.start()).rejects.toThrow(error);
    expect(await namespace.exited).toEqual({ code, signal: null });
  });

  const refused: { what: string; options: NamespaceRunOptions; error: RegExp }[] = [
    {
      what: 'a name in use',
      options: { interface: { name: 'lo' } },
      error: /^ioctl\(TUNSETIFF\) EBUSY - 'lo': the namespace has an interface of that name$/,
    },
    {
      what: 'a gateway in no network of its own',
      options: { interface: { addresses: ['10.0.2.100/24'], gateways: ['10.9.0.1'] } },
      error: /^rtnetlink ENETUNREACH - the gateway 10\.9\.0\.1: it is in no network/,
    },
    {
      what: 'an address twice',
      options: { interface: { addresses: ['10.0.2.100/24', '10.0.2.100/24'] } },
      error: /^rtnetlink EEXIST - the address 10\.0\.2\.100\/24 on 'tap0': it is given twice$/,
    },
    {
      what: 'IPv6 on an MTU that is too small for it',
      options: { interface: { addresses: ['fd00::100/64'], mtu: 1000 } },
      error: /^rtnetlink E\w+ - .*IPv6 needs an MTU of 1280 at least$/,
    },
    {
      what: 'a multicast address',
      options: { interface: { addresses: ['ff02::1/64'] } },
      error: /^rtnetlink E\w+ - the address ff02::1\/64/,
    },
    {
      what: 'a folder that is not there',
      options: { cwd: join(scratch, 'absent') },
      error: /^chdir ENOENT - .*absent$/,
    },
  ];
  test.each(refused)('$what', async ({ options, error }) => {
    const before = openDescriptors();
    const merged = { stdio: 'pipe' as const, ...options };
    await expect(Namespace.run('true', [], merged)).rejects.toThrow(error);
    await until(() => openDescriptors() === before);
  });

  /** What a program says in a user and mount namespace where `setting` was done. */
  async function told(setting: string): Promise<string> {
    const script = `${setting}; exec "$@"`;
    const program = [process.execPath, join(programs, 'namespace.mjs'), '{}', 'true'];
    const child = start(['unshare', '-Urm', 'sh', '-c', script, 'sh', ...program]);
    return text(child.stdout as Readable);
  }

  test('a machine without user namespaces', async () => {
    expect(await told('echo 0 >/proc/sys/user/max_user_namespaces')).toBe(
      'unshare ENOSPC - users may make no namespaces here; as root: sysctl -w user.max_user_namespaces=10000\n',
    );
  });

  test('a machine without /dev/net/tun', async () => {
    expect(await told('mount -t tmpfs none /dev/net')).toMatch(
      /^open ENOENT - \/dev\/net\/tun: it is not there; as root: modprobe tun/,
    );
  });

  test('a /dev/net/tun that is not for us', async () => {
    expect(await told('mount -t tmpfs none /dev/net; mkdir /dev/net/tun')).toMatch(
      /^open EISDIR - \/dev\/net\/tun/,
    );
  });

  test('a machine without /etc/resolv.conf', async () => {
    const script = 'mount -t tmpfs none /etc; exec "$@"';
    const program = [
      process.execPath,
      join(programs, 'namespace.mjs'),
      '{"resolvConf":"x"}',
      'true',
    ];
    const child = start(['unshare', '-Urm', 'sh', '-c', script, 'sh', ...program]);
    expect(await text(child.stdout as Readable)).toBe(
      'open ENOENT - /etc/resolv.conf: only a file that is there can be replaced; as root: touch /etc/resolv.conf\n',
    );
  });
});

test('many at once, each with a stack of its own, and nothing is left of them', async () => {
  const before = openDescriptors();
  const outside = readlinkSync('/proc/self/ns/net');
  const all = await Promise.all(
    Array.from({ length: 8 }, async () => {
      const command = [
        'sh',
        '-c',
        'readlink /proc/self/ns/net; ping -c 1 -W 5 10.0.2.1 >/dev/null',
      ];
      const namespace = await enter(command, { stdio: ['ignore', 'pipe', 'inherit'] });
      const stack = await Stack.open({
        links: [{ ...namespace.link, addresses: ['10.0.2.1/24'] }],
      });
      await namespace.start();
      const output = await text(namespace.stdout as Readable);
      const { code } = await namespace.exited;
      await stack.close();
      return { code, output };
    }),
  );
  expect(all.map(({ code }) => code)).toEqual(Array(8).fill(0));
  expect(new Set([outside, ...all.map(({ output }) => output.trim())]).size).toBe(9);
  await until(() => openDescriptors() <= before);
});

test('the event loop turns while a namespace is made', async () => {
  let turns = 0;
  const timer = setInterval(() => {
    turns += 1;
  }, 1);
  const namespace = await enter(['true']);
  clearInterval(timer);
  await namespace.start();
  await namespace.exited;
  expect(turns).toBeGreaterThan(0);
});
