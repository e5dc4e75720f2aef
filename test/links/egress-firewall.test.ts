// SPDX-License-Identifier: MIT
//
// examples/egress-firewall.ts between a Linux host and another, which stands for the internet:
//
//   guest 10.0.2.15 ── veth ── wire, 10.0.2.1 the example | HostStack ── out, 172.31.0.1 ── veth ── 9.9.9.9:80 internet
//                                                                     └─ 192.168.77.1:80, dnsmasq 127.0.0.1

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ip } from '../interop/support.js';
import { root, until } from '../ts/support.js';
import { Machine } from './namespaces.js';
import { hasTool } from './vde-switch.js';

const missing = ['dig', 'dnsmasq', 'curl'].find((tool) => !hasTool(tool));
const obstacle =
  process.env.VPOLLNET_NAMESPACE !== '1'
    ? 'run by `node scripts/test.mjs --only links`'
    : missing !== undefined
      ? `${missing} is missing (test/links/packages)`
      : null;
if (obstacle !== null) {
  process.stderr.write(`vpollnet: the test of egress-firewall is skipped: ${obstacle}\n`);
}

describe.skipIf(obstacle !== null)('egress-firewall', () => {
  let guest: Machine;
  let internet: Machine;
  let site: ChildProcess;
  let names: ChildProcess;
  let web: Server;
  let firewall: ChildProcess;
  let screen = '';

  beforeAll(async () => {
    guest = await Machine.start();
    ip('link', 'set', 'lo', 'up');
    ip('route', 'add', 'local', '192.168.77.0/24', 'dev', 'lo');
    internet = await Machine.start();
    ip('link', 'add', 'out', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', `${internet.pid}`);
    ip('address', 'add', '172.31.0.1/30', 'dev', 'out');
    ip('link', 'set', 'out', 'up');
    internet.ip(
      'address add 172.31.0.2/30 dev eth0',
      'address add 9.9.9.9/32 dev lo',
      'address add 9.9.9.10/32 dev lo',
      'link set eth0 up',
    );
    ip('route', 'add', 'default', 'via', '172.31.0.2');
    const program = `require('http').createServer((request, response) => response.end('hello ' + request.headers.host + '\\n'))
      .listen(80, () => console.log('ready'))`;
    site = internet.spawn('env', '-u', 'LD_PRELOAD', process.execPath, '-e', program);
    await once(site.stdout as NodeJS.ReadableStream, 'data');
    ip('link', 'add', 'wire', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', `${guest.pid}`);
    ip('link', 'set', 'wire', 'up');
    guest.ip(
      'address add 10.0.2.15/24 dev eth0',
      'link set eth0 up',
      'route add default via 10.0.2.1',
    );
    const addresses = [
      'good.example/9.9.9.9',
      'bad.example/9.9.9.9',
      'inside.example/192.168.77.1',
    ];
    names = spawn(
      'dnsmasq',
      [
        ...['--no-daemon', '--conf-file=/dev/null', '--no-resolv', '--no-hosts', '--pid-file='],
        ...['--user=root', '--listen-address=127.0.0.1', '--bind-interfaces'],
        ...addresses.map((address) => `--address=/${address}`),
      ],
      { stdio: 'ignore', env: { ...process.env, LD_PRELOAD: '' } },
    );
    web = createServer((_request, response) => response.end('the host\n'));
    web.listen(80, '0.0.0.0');
    await once(web, 'listening');
    firewall = spawn(
      process.execPath,
      [join(root, 'dist/examples/egress-firewall.js'), 'packet://wire', '127.0.0.1'],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    );
    firewall.stdout?.setEncoding('utf8').on('data', (text: string) => {
      screen += text;
    });
    for (let i = 0; i < 250 && look('good.example') !== '9.9.9.9'; i += 1) await sleep(20);
  });
  afterAll(async () => {
    for (const child of [firewall, names, site]) {
      if (child.exitCode !== null) continue;
      child.kill();
      await once(child, 'close');
    }
    web.close();
    await guest.stop();
    await internet.stop();
  });

  const inGuest = (...command: string[]) => {
    const nsenter = ['-t', `${guest.pid}`, '-n', ...command];
    return spawnSync('nsenter', nsenter, { encoding: 'utf8', timeout: 50_000 });
  };
  const look = (name: string) =>
    inGuest('dig', '+short', '+tries=1', '+time=1', '@10.0.2.1', name).stdout.trim();

  /** Without what is loaded into the tests, such as a sanitizer. */
  const curl = ['env', '-u', 'LD_PRELOAD', 'curl'] as const;

  /** What a web client of the guest gets of `name`, and what is typed meanwhile once the terminal asks. */
  async function fetch(name: string, answer?: string): Promise<string> {
    const resolve = `${name}:80:${look(name)}`;
    const from = screen.length;
    const options = ['-sS', '-m', '10', '--stderr', '-', '--resolve', resolve];
    const client = guest.spawn(...curl, ...options, `http://${name}/`);
    let output = '';
    client.stdout?.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    const ended = once(client, 'close');
    if (answer !== undefined) {
      for (let i = 0; i < 500 && !screen.slice(from).includes('[y/N]'); i += 1) await sleep(10);
      expect(screen.slice(from)).toContain(`Let 10.0.2.15 reach ${name}? [y/N]`);
      expect(output).toBe('');
      firewall.stdin?.write(`${answer}\n`);
    }
    await ended;
    return output;
  }

  test('a name is let through when the terminal says so, and not asked for again', async () => {
    expect(await fetch('good.example', 'y')).toBe('hello good.example\n');
    const before = screen;
    expect(await fetch('good.example')).toBe('hello good.example\n');
    expect(screen.slice(before.length)).not.toContain('[y/N]');
    expect(screen).toMatch(/good\.example:80 finished, \d+ bytes out, \d+ in/);
  });

  test('another name is not, though it has the same address', async () => {
    expect(await fetch('bad.example', 'n')).toMatch(/^curl: \(7\)/);
  });

  test('an address without a name, and a name for a private one, are refused unasked', async () => {
    const before = screen;
    const said = (...args: string[]) => inGuest(...curl, '-sS', '-m', '10', ...args).stderr;
    expect(said('http://9.9.9.10/')).toMatch(/^curl: \(7\)/);
    const inside = look('inside.example');
    expect(inside).toBe('192.168.77.1');
    expect(said(`http://${inside}/`)).toMatch(/^curl: \(7\)/);
    await until(() => screen.includes('inside.example:80 denied'));
    expect(screen.slice(before.length)).not.toContain('[y/N]');
  });

  test('it is as short as it should be', () => {
    const source = readFileSync(join(root, 'examples/egress-firewall.ts'), 'utf8');
    expect(source.split('\n').length - 1).toBeLessThan(45);
  });

  test('the end of its input ends it', async () => {
    firewall.stdin?.end();
    const [code] = await once(firewall, 'close');
    expect(code).toBe(0);
  });
});
