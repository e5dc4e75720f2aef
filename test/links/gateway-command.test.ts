// SPDX-License-Identifier: MIT
//
// vpollnet gateway as users run it: a command in a namespace of its own, whose only network is the gateway. The host
// is this test's namespace; the internet is another one, behind a router's route:
//
//     command ── tap0 ═ gateway ═ this namespace 10.9.0.1 ── veth ── 10.9.0.2 internet: 1.2.3.4, 2a00:1::4
//                                     (lo: servers of the host)

import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket, type Socket as DnsSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decode, encode } from 'dns-packet';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { chromiumPath, launchChromium } from '../cli/browser.js';
import { main, type Running, start, until, vpollnet } from '../cli/support.js';
import { ip as runIp, sh } from '../interop/support.js';
import { runProgram } from '../ts/support.js';
import { Machine } from './namespaces.js';

/** The gateway where the host's resolv.conf is another one. */
const underResolvConf = (file: string, args: string[]) => [
  ...['unshare', '-m', 'sh', '-c', 'mount --bind "$0" /etc/resolv.conf && exec "$@"', file],
  ...[process.execPath, main, 'gateway', ...args],
];

const inNamespace = process.env.VPOLLNET_NAMESPACE === '1';
const site = '1.2.3.4';
let internet: Machine;
let server: ChildProcess;
let folder: string;

/** `ip ...` here, a line each. */
function ip(...lines: string[]): void {
  for (const line of lines) runIp(...line.split(' '));
}

/** A server of HTTP there that answers each request with `from ADDRESS`. */
const webServer = `
  require('node:http').createServer((request, response) => {
    response.end('from ' + request.socket.remoteAddress.replace('::ffff:', '') + '\\n');
  }).listen(8080, '::', () => console.log('ready'));`;

describe.skipIf(!inNamespace)('vpollnet gateway', () => {
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'vpollnet-gateway-'));
    internet = await Machine.start();
    // Ping sockets are for these groups: this namespace has one alone.
    writeFileSync('/proc/sys/net/ipv4/ping_group_range', '0 0');
    ip('link set lo up', `link add far type veth peer name near netns ${internet.pid}`);
    ip(
      'address add 10.9.0.1/24 dev far',
      'address add fd09::1/64 dev far nodad',
      'link set far up',
    );
    internet.ip(
      'address add 10.9.0.2/24 dev near',
      'address add fd09::2/64 dev near nodad',
      'link set near up',
    );
    internet.ip('address add 1.2.3.4/32 dev lo', 'address add 2a00:1::4/128 dev lo nodad');
    ip('route add 1.2.3.0/24 via 10.9.0.2', 'route add 2a00:1::/64 via fd09::2');
    server = internet.spawn(process.execPath, '-e', webServer);
    await once(server.stdout as NodeJS.ReadableStream, 'data');
  });

  afterAll(async () => {
    ip('link delete far'); // before the machine: its end takes the pair away, sooner or later
    server?.kill('SIGKILL');
    await internet?.stop();
    rmSync(folder, { recursive: true });
  });

  const gateway = (options: string[], ...command: string[]) =>
    vpollnet(['gateway', ...options, '--', ...command]);

  // Under a sanitizer, its runtime is for our program alone.
  const plainly = ['env', '-u', 'LD_PRELOAD'];
  const curl = (url: string) => [...plainly, 'curl', '-sS', '--max-time', '25', url];

  /** A server of the host's at an address of its; its port. */
  async function hostServer(address: string): Promise<number> {
    const server: Server = createHttpServer((_, response) => response.end('the host\n'));
    server.listen(0, address);
    await once(server, 'listening');
    onTestFinished(() => {
      server.close();
      server.closeAllConnections();
    });
    return (server.address() as AddressInfo).port;
  }

  describe('a command', () => {
    test('has one interface, its addresses, routes and resolv.conf', async () => {
      const script =
        'ip -br address show dev tap0; ip route; ip -6 route show default; cat /etc/resolv.conf; id -u';
      const { code, stdout, stderr } = await gateway([], 'sh', '-c', script);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(stdout).toMatch(/^tap0 .* 10\.0\.2\.100\/24 .*fd00::100\/64/);
      expect(stdout).toMatch(/^default via 10\.0\.2\.2 dev tap0/m);
      expect(stdout).toMatch(/^default via fd00::2 dev tap0/m);
      expect(stdout).toMatch(/^nameserver 10\.0\.2\.3$/m);
    });

    test('reaches a public address, from an address of the host', async () => {
      expect(await gateway([], ...curl(`http://${site}:8080/`))).toMatchObject({
        code: 0,
        stdout: 'from 10.9.0.1\n',
      });
      const six = await gateway([], ...curl('http://[2a00:1::4]:8080/'));
      expect(six).toMatchObject({ code: 0, stdout: 'from fd09::1\n' });
    });

    test('has other addresses where they are asked for, and another MTU', async () => {
      const options = ['--network', '192.168.77.0/25', '--network6', 'fd77::/64', '--mtu', '1400'];
      const script = `ip link show tap0; ip -br address show dev tap0; ${curl(`http://${site}:8080/`).join(' ')}`;
      const { stdout } = await gateway(options, 'sh', '-c', script);
      expect(stdout).toMatch(/mtu 1400/);
      expect(stdout).toMatch(/192\.168\.77\.100\/25 .*fd77::100\/64/);
      expect(stdout).toMatch(/from 10\.9\.0\.1/);
    });

    test.each([
      [['sh', '-c', 'exit 7'], 7, /^$/],
      [['sh', '-c', 'kill -USR1 $$'], 138, /^$/],
      [['/nowhere/at-all'], 127, /^vpollnet gateway: .*ENOENT/],
      [['/etc/passwd'], 126, /^vpollnet gateway: .*EACCES/],
    ])('%j ends with its own code', async (command, code, message) => {
      const ended = await gateway([], ...command);
      expect(ended).toMatchObject({ code, stdout: '' });
      expect(ended.stderr).toMatch(message);
    });

    test('gets the signals that the gateway gets, and ends by them', async () => {
      const script = 'trap "echo got it; exit 3" TERM; echo ready; while :; do sleep 0.05; done';
      const running = start([main, 'gateway', '--', 'sh', '-c', script]);
      await running.shows('ready\n');
      running.child.kill('SIGTERM');
      expect(await running.ended).toMatchObject({ code: 3, stdout: 'ready\ngot it\n' });
    });

    test('ends with the gateway, however that ends', async () => {
      const running = start([main, 'gateway', '--', 'sh', '-c', 'echo $$; exec sleep 600']);
      await running.shows(/^\d+\n$/);
      running.child.kill('SIGKILL');
      await until(() => {
        try {
          process.kill(Number(running.stdout), 0);
          return false;
        } catch {
          return true;
        }
      });
    });

    test('keeps options that look like ours', async () => {
      expect(await gateway([], 'echo', '--help', '--ui', '-p')).toMatchObject({
        stdout: '--help --ui -p\n',
      });
    });
  });

  const refused = { code: 7, stdout: '' };

  describe('what may pass', () => {
    test('nothing of the host is reached: its addresses, its loopback, its networks', async () => {
      const onLink = await hostServer('10.9.0.1');
      const loopback = await hostServer('127.0.0.1');
      const six = await hostServer('fd09::1');
      const urls = [
        `http://10.9.0.1:${onLink}/`,
        `http://[fd09::1]:${six}/`,
        `http://10.0.2.2:${loopback}/`,
        'http://10.9.0.2:8080/',
        'http://169.254.169.254/',
        'http://192.168.1.1/',
      ];
      const script = `for url; do ${curl('"$url"').join(' ')} 2>/dev/null; echo "$? $url"; done`;
      expect(await gateway([], 'sh', '-c', script, 'sh', ...urls)).toMatchObject({
        code: 0,
        stdout: urls.map((url) => `7 ${url}\n`).join(''),
      });
      expect(
        await gateway(['--allow', 'host'], ...curl(`http://10.9.0.1:${onLink}/`)),
      ).toMatchObject({
        code: 0,
        stdout: 'the host\n',
      });
      expect(
        await gateway(['--default', 'allow-all'], ...curl('http://10.9.0.2:8080/')),
      ).toMatchObject({ code: 0 });
    });

    test("the host's loopback is reached by the address that was chosen for it, and by no other", async () => {
      const port = await hostServer('127.0.0.1');
      const options = ['--host-loopback', '10.0.2.4', '--host-loopback', '10.0.2.2'];
      expect(await gateway(options, ...curl(`http://10.0.2.4:${port}/`))).toMatchObject({
        stdout: 'the host\n',
      });
      expect(await gateway(options, ...curl(`http://10.0.2.5:${port}/`))).toMatchObject(refused);
      expect(await gateway(options, ...curl(`http://10.0.2.2:${port}/`))).toMatchObject({
        stdout: 'the host\n',
      });
      // A rule in front of it is asked first.
      const denied = ['--deny', `tcp:10.0.2.4:${port}`, ...options];
      expect(await gateway(denied, ...curl(`http://10.0.2.4:${port}/`))).toMatchObject(refused);
    });

    test.each<[string[], boolean]>([
      [['--default', 'deny'], false],
      [['--default', 'deny', '--allow', 'tcp:1.2.3.0/24:8080'], true],
      [['--default', 'deny', '--allow', 'tcp:1.2.3.0/24:80'], false],
      [['--deny', site], false],
      [['--deny=1.0.0.0/8', '--allow', site], false],
      [['--allow', site, '--deny=1.0.0.0/8'], true],
    ])('%j: %s', async (options, passes) => {
      const ended = await gateway(options, ...curl(`http://${site}:8080/`));
      expect(ended).toMatchObject(passes ? { code: 0 } : refused);
    });
  });

  describe('names', () => {
    const asked: string[] = [];
    let resolver: DnsSocket;
    let resolvConf: string;

    /** A name server of the host's, by its resolv.conf. */
    beforeAll(async () => {
      resolvConf = join(folder, 'resolv.conf');
      writeFileSync(resolvConf, 'nameserver 127.0.0.1\n');
      const known: Record<string, string> = {
        'web.site.example': site,
        'evil.site.example': '10.9.0.1',
      };
      resolver = createSocket('udp4').on('message', (message, from) => {
        const { id, questions = [] } = decode(message);
        const [{ name = '', type } = {}] = questions;
        const data = known[name.toLowerCase()]; // who asks mixes the letters
        asked.push(name.toLowerCase());
        const answers =
          data !== undefined && type === 'A' ? [{ type: 'A' as const, name, ttl: 60, data }] : [];
        const flags = data === undefined ? 3 : 0; // NXDOMAIN
        const reply = encode({ type: 'response', id: id ?? 0, flags, questions, answers });
        resolver.send(reply, from.port, from.address);
      });
      resolver.bind(53, '127.0.0.1');
      await once(resolver, 'listening');
    });
    afterAll(() => void resolver.close());

    const withNames = (options: string[], ...command: string[]) =>
      runProgram(underResolvConf(resolvConf, [...options, '--', ...command]));

    test('are looked up by the servers of the host', async () => {
      const ended = await withNames(['-v'], ...curl('http://web.site.example:8080/'));
      expect(ended).toMatchObject({ code: 0, stdout: 'from 10.9.0.1\n' });
      expect(ended.stderr).toMatch(
        /^flow 1 tcp 10\.0\.2\.100:\d+ to web\.site\.example \(1\.2\.3\.4:8080\)$/m,
      );
      expect(await withNames([], ...curl('http://none.example/'))).toMatchObject({ code: 6 });
    });

    test('a rule with a name opens its addresses once they were looked up, and its ports alone', async () => {
      const options = ['--default', 'deny', '--allow', 'tcp:*.site.example:8080'];
      const passes = await withNames(options, ...curl('http://web.site.example:8080/'));
      expect(passes).toMatchObject({ code: 0, stdout: 'from 10.9.0.1\n' });
      expect(await withNames(options, ...curl(`http://${site}:8080/`))).toMatchObject(refused);
      const other = await withNames(options, ...curl('http://web.site.example:80/'));
      expect(other).toMatchObject(refused);
      const above = ['--default', 'deny', '--allow', '*.web.site.example'];
      expect(await withNames(above, ...curl('http://web.site.example:8080/'))).toMatchObject(
        refused,
      );
    });

    test('a name that is answered with an address of the host opens nothing there', async () => {
      const port = await hostServer('10.9.0.1');
      const options = ['--allow', '*.site.example'];
      const ended = await withNames(options, ...curl(`http://evil.site.example:${port}/`));
      expect(ended).toMatchObject(refused);
    });

    test('--dns named asks nobody about other names, --dns none about none', async () => {
      const options = ['--allow', 'web.site.example', '--deny', '*.site.example', '--dns'];
      const web = curl('http://web.site.example:8080/');
      expect(await withNames([...options, 'named'], ...web)).toMatchObject({ code: 0 });
      asked.length = 0;
      for (const name of ['evil.site.example', 'data.of.mine.example']) {
        const ended = await withNames([...options, 'named'], ...curl(`http://${name}/`));
        expect(ended).toMatchObject({ code: 6, stdout: '' });
      }
      expect(await withNames([...options, 'none'], ...web)).toMatchObject({ code: 6 });
      expect(asked).toEqual([]);
    });
  });

  describe('forwards', () => {
    const server = `
      require('node:http').createServer((_, response) => response.end('the guest\\n')).listen(80, '::', () => {
        console.log('ready');
      });`;

    const fetchText = async (url: string) => (await fetch(url)).text();

    test('a port of the host leads to the command, at the loopback alone unless more is asked for', async () => {
      const options = [
        '--map-root',
        '-p',
        '18080:80',
        '-p',
        '10.9.0.1:18081:80',
        '-p',
        '[::1]:18082:[fd00::100]:80',
      ];
      const running = start([main, 'gateway', ...options, '--', process.execPath, '-e', server]);
      await running.shows('ready\n');
      expect(await fetchText('http://127.0.0.1:18080/')).toBe('the guest\n');
      expect(await fetchText('http://10.9.0.1:18081/')).toBe('the guest\n');
      expect(await fetchText('http://[::1]:18082/')).toBe('the guest\n');
      await expect(fetchText('http://10.9.0.1:18080/')).rejects.toThrow();
    });

    test('a Unix socket of the host leads to the command', async () => {
      const path = join(folder, 'published');
      const options = ['--map-root', '-p', `${path}:80`];
      const running = start([main, 'gateway', ...options, '--', process.execPath, '-e', server]);
      await running.shows('ready\n');
      const socket = connect(path);
      socket.write('GET / HTTP/1.0\r\n\r\n');
      let text = '';
      for await (const part of socket) text += part;
      expect(text).toMatch(/the guest\n$/);
    });

    test('a port of the gateway leads to the host, as only its forward allows', async () => {
      const port = await hostServer('127.0.0.1');
      const options = ['--outward', `10.0.2.2:5432:127.0.0.1:${port}`];
      expect(await gateway(options, ...curl('http://10.0.2.2:5432/'))).toMatchObject({
        stdout: 'the host\n',
      });
    });

    test('a port that is taken is an error that names the forward', async () => {
      const port = await hostServer('127.0.0.1');
      const ended = await gateway(['-p', `${port}:80`], 'true');
      expect(ended).toMatchObject({ code: 1, stdout: '' });
      expect(ended.stderr).toMatch(
        new RegExp(
          `^vpollnet gateway: inward tcp 127\\.0\\.0\\.1:${port} to 10\\.0\\.2\\.100:80: .*EADDRINUSE.*\n$`,
        ),
      );
    });
  });

  describe('what is told', () => {
    test('a line for each flow with --verbose, and of JSON with --json', async () => {
      const ended = await gateway(['--verbose'], ...curl(`http://${site}:8080/`));
      expect(ended.stderr).toMatch(/^flow 1 tcp 10\.0\.2\.100:\d+ to 1\.2\.3\.4:8080\n/);
      const json = await gateway(['--json'], ...curl(`http://${site}:8080/`));
      const lines = json.stderr
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line));
      expect(lines).toMatchObject([
        { event: 'ready', gateway: '10.0.2.2', dns: '10.0.2.3', guest: '10.0.2.100' },
        { event: 'flow', flow: { protocol: 'tcp', destination: { address: site, port: 8080 } } },
        ...(lines.length > 2 ? [{ event: 'end' }] : []),
      ]);
    });

    test('the link is recorded', async () => {
      const file = join(folder, 'recorded.pcapng');
      await gateway(['--record', file], ...curl(`http://${site}:8080/`));
      expect(
        await sh('env', '-u', 'LD_PRELOAD', 'tshark', '-r', file, '-Y', 'http.request'),
      ).toMatch(/GET \/ HTTP\/1\.1/);
    });
  });

  /** A gateway around a shell that waits, with its control. */
  async function controlled(
    options: string[],
    script = 'echo ready; exec sleep 600',
  ): Promise<[Running, string]> {
    const path = join(folder, `control-${Math.random()}`);
    const running = start([
      main,
      'gateway',
      '--control',
      path,
      ...options,
      '--',
      'sh',
      '-c',
      script,
    ]);
    await running.shows('ready\n');
    return [running, path];
  }

  test('is controlled over its socket: flows, rules, forwards', async () => {
    const client = `
      const socket = require('node:net').connect(8080, '${site}', () => console.log('connected'));
      socket.on('error', ({ code }) => console.log(code));
      setInterval(() => {}, 60_000);`;
    const [running, path] = await controlled(
      [],
      `echo ready; exec '${process.execPath}' -e "${client}"`,
    );
    await running.shows('connected\n');
    const control = (...args: string[]) => vpollnet(['gateway-control', path, ...args]);
    const flows = await control('flows');
    expect(flows).toMatchObject({ code: 0, stderr: '' });
    expect(flows.stdout).toMatch(
      /^ *1 +tcp +10\.0\.2\.100:\d+ +1\.2\.3\.4:8080 +- +open .* default allow-public$/m,
    );
    expect(
      JSON.parse((await control('flows', '--json', '--filter', 'nothing')).stdout),
    ).toMatchObject({ matching: 0, total: 1 });
    expect((await control('rules')).stdout).toBe('default allow-public\n');
    expect((await control('deny', site)).stdout).toBe(`refuse ${site}\ndefault allow-public\n`);
    expect((await control('publish', '0:80')).stdout).toMatch(
      /^\d+ {2}inward tcp 127\.0\.0\.1:0 to 10\.0\.2\.100:80, port \d+\n$/,
    );
    expect((await control('counters')).stdout).toMatch(/^openFlows 1$/m);
    expect(await control('kill', '99')).toMatchObject({
      code: 3,
      stderr: expect.stringMatching(/there is no flow 99/),
    });
    expect(await control('deny', 'x y')).toMatchObject({ code: 2 });
    expect(await control('kill', '1')).toMatchObject({ code: 0, stdout: '' });
    await running.shows('ECONNRESET\n');
    expect((await control('ended')).stdout).toMatch(/killed/);
    running.child.kill('SIGTERM');
    await running.ended;
    expect(await control('flows')).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/no gateway has its control at/),
    });
  });

  test('the network namespace of a process gets it by --pid, and --ready-fd says when', async () => {
    const machine = await Machine.start();
    onTestFinished(() => machine.stop());
    const script = `exec 5>'${join(folder, 'ready')}'; exec '${process.execPath}' '${main}' gateway --pid ${machine.pid} --ready-fd 5`;
    const child = spawn('sh', ['-c', script], { stdio: ['ignore', 'ignore', 'pipe'] });
    onTestFinished(() => void child.kill('SIGKILL'));
    const ended = once(child, 'exit');
    await until(() => {
      try {
        return readFileSync(join(folder, 'ready'), 'utf8') === '1';
      } catch {
        return false;
      }
    });
    expect(machine.run(...curl(`http://${site}:8080/`))).toBe('from 10.9.0.1\n');
    expect(machine.pings(site)).toBe(true);
    child.kill('SIGTERM');
    expect((await ended)[0]).toBe(0);
  });

  test('a machine on a link gets an address by DHCP, and reaches the internet', async () => {
    const machine = await Machine.start();
    onTestFinished(() => machine.stop());
    ip('tuntap add dev guest0 mode tap', 'tuntap add dev guest1 mode tap');
    onTestFinished(() => ip('link delete guest1')); // guest0 goes with its machine
    const running = start([
      main,
      'gateway',
      '--link',
      'tap://guest0',
      '--link',
      'tap://guest1',
      '--json',
    ]);
    await running.shows('"event":"ready"');
    ip(`link set guest0 netns ${machine.pid}`);
    machine.ip('link set guest0 up');
    const hook = join(folder, 'bound.sh');
    const bound = 'ip address add "$ip/$mask" dev "$interface"; ip route add default via "$router"';
    writeFileSync(hook, `#!/bin/sh\nif [ "$1" = bound ]; then ${bound}; fi\n`, { mode: 0o755 });
    machine.run(...plainly, 'sh', '-c', `exec udhcpc -i guest0 -n -q -f -s '${hook}' 2>&1`);
    expect(machine.run(...curl(`http://${site}:8080/`))).toBe('from 10.9.0.1\n');
    running.child.kill('SIGINT');
    expect(await running.ended).toMatchObject({ code: 0, stderr: '' });
  });

  describe.skipIf(!chromiumPath)('the page, in Chromium', () => {
    let browser: Browser;
    beforeAll(async () => {
      browser = await launchChromium();
    });
    afterAll(() => browser?.close());

    /** Asks again and again, and says how each ends. */
    const asking = `while :; do ${curl(`http://${site}:8080/`).join(' ')} 2>/dev/null || echo "curl $?"; sleep 0.1; done`;

    async function open(options: string[], script: string) {
      const running = start([
        main,
        'gateway',
        '--ui',
        '127.0.0.1:0',
        ...options,
        '--',
        'sh',
        '-c',
        script,
      ]);
      await until(() => /page at \S+\n/.test(running.stderr));
      const url = /page at (\S+)\n/.exec(running.stderr)?.[1] as string;
      const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
      onTestFinished(() => page.close());
      return { running, url, page };
    }

    test('a flow waits; deny refuses it, allow lets it pass, and the page shows both', async () => {
      const { running, url, page } = await open(['--default', 'ask'], asking);
      await page.goto(url);
      const card = page.locator('#asking li').first();
      await card.waitFor();
      expect(await card.innerText()).toMatch(/1\.2\.3\.4:8080[\s\S]*public, from 10\.0\.2\.100:/);
      expect(running.stdout).toBe('');
      await card.getByRole('button', { name: /^Deny this flow/ }).click();
      await running.shows('curl 7\n');
      await page.getByRole('button', { name: 'Allow 1.2.3.4, tcp port 8080, from now on' }).click();
      await running.shows('from 10.9.0.1\n');
      await page.locator('#rules li', { hasText: 'allow tcp:1.2.3.4:8080' }).waitFor();
      await page.getByRole('button', { name: 'Ended' }).click();
      await page.locator('#flows tr', { hasText: 'denied' }).first().waitFor();
      await page.locator('#flows tr', { hasText: 'finished' }).first().waitFor();
    });

    test('a flow that is open is shown with what it carries, and killed by a click', async () => {
      const client = `
        const socket = require('node:net').connect(8080, '${site}', () => { socket.write('GET / HTTP/1.1'); console.log('connected'); });
        socket.on('error', ({ code }) => { console.log(code); process.exit(); });`;
      const { running, url, page } = await open([], `exec '${process.execPath}' -e "${client}"`);
      await running.shows('connected\n');
      await page.goto(url);
      const row = page.locator('#flows tbody tr', { hasText: `${site}:8080` });
      await row.waitFor();
      expect(await row.innerText()).toMatch(/open\s+14 B\s+0 B/);
      await row.getByRole('button').click();
      await running.shows('ECONNRESET\n');
    });

    test('without its token the page is 403', async () => {
      const { url, page } = await open([], 'exec sleep 600');
      const response = await page.goto(new URL('/', url).href);
      expect(response?.status()).toBe(403);
    });
  });
});
