// SPDX-License-Identifier: MIT
//
// vpollnet switch: two links of Ethernet in UDP, with a stack of this test at the far end of each.

import { describe, expect, onTestFinished, test } from 'vitest';
import { POLLIN, pollAsync, Stack } from 'vpollnet';
import { toPort } from '../../cli/switch-command.js';
import { command, hasTmux, main, start, Terminal, udpPair, vpollnet } from './support.js';

async function host(url: string, address: string, mac: string): Promise<Stack> {
  const stack = await Stack.open({
    links: [{ url, addresses: [`${address}/24`], mac, ipv6: false }],
  });
  onTestFinished(() => stack.close());
  return stack;
}

/** Whether a datagram from `near` comes to 10.0.0.2 on `far`. */
async function reaches(near: Stack, far: Stack): Promise<boolean> {
  using receiver = far.socket('udp').bind({ host: '10.0.0.2', port: 7 });
  using sender = near.socket('udp');
  for (let i = 0; i < 10; i += 1) {
    sender.sendTo('x', { host: '10.0.0.2', port: 7 });
    if ((await pollAsync([{ fd: receiver.fd, events: POLLIN }], 100)) > 0) return true;
  }
  return false;
}

test('joins its ports, says what it learns, and sums up at the end', async () => {
  const [a, farA] = await udpPair();
  const [b, farB] = await udpPair();
  const running = start([main, 'switch', '-p', `${a},name=left`, '-p', b, '-n', '0.1']);
  await running.shows(`port left ${a} vlan 1\nport port0 ${b} vlan 1\n`);
  const near = await host(farA, '10.0.0.1', '02:00:00:00:00:01');
  const far = await host(farB, '10.0.0.2', '02:00:00:00:00:02');
  expect(await reaches(near, far)).toBe(true);
  await running.shows('learned 02:00:00:00:00:01 vlan 1 on left\n');
  await running.shows('learned 02:00:00:00:00:02 vlan 1 on port0\n');
  const seen = await vpollnet(['stacks', '--pid', `${running.pid}`]);
  expect(seen.stdout).toMatch(/Switch +Port +State/);
  expect(seen.stdout).toMatch(/#1 +left +up /);
  running.child.kill('SIGINT');
  const { code, stdout, stderr } = await running.ended;
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/^left +up +\S+ +\S+ +[1-9]\d* +[1-9]\d* +[1-9]\d* +\d+ +1 +- +udp:/m);
});

test('VLANs keep hosts apart', async () => {
  const [a, farA] = await udpPair();
  const [b, farB] = await udpPair();
  const running = start([main, 'switch', '-p', `${a},vlan=10`, '-p', `${b},vlan=20`]);
  await running.shows(/port port0 .* vlan 10\nport port1 .* vlan 20\n/);
  const near = await host(farA, '10.0.0.1', '02:00:00:00:00:01');
  const far = await host(farB, '10.0.0.2', '02:00:00:00:00:02');
  expect(await reaches(near, far)).toBe(false);
});

test('a port is a URL with settings after it, and a URL may have commas', () => {
  expect(toPort('tap://t')).toEqual({ url: 'tap://t' });
  expect(toPort('x:a,b?c=d,vlan=7,trunk=10+20,name=n,mtu=1400')).toEqual({
    url: 'x:a,b?c=d',
    ...{ vlan: 7, trunk: [10, 20], name: 'n', mtu: 1400 },
  });
  expect(toPort('tap://t,trunk=all')).toEqual({ url: 'tap://t', trunk: 'all' });
  const command = 'cmd:socat - TCP:10.0.0.1:5,nodelay=1';
  expect(toPort(`${command},vlan=7`)).toEqual({ url: command, vlan: 7 });
});

test.each([
  [['-p', 'cable:a,vlan=0'], 2, /vlan must be a whole number from 1 to 4094, not '0'/],
  [['-p', 'cable:a,trunk=1+x'], 2, /vlan must be a whole number from 1 to 4094, not 'x'/],
  [['-p', ',vlan=1'], 2, /must begin with the URL/],
  [['-p', 'cable:a,vlna=10'], 2, /--port has no 'vlna'; there are vlan, trunk, name and mtu/],
  [['-p', 'cable:a,vlna=10,mtu=1500'], 2, /--port has no 'vlna'/],
  [[], 2, /port/],
  [['-p', 'foo://x'], 1, /^vpollnet switch: --port cannot be opened: unknown link 'foo:\/\/x'/],
  [['-p', 'cable:a', '-p', 'cable:a'], 1, /EADDRINUSE/],
])('%j is an error in one line', async (args, code, message) => {
  const ended = await vpollnet(['switch', ...args]);
  expect(ended).toMatchObject({ code, stdout: '' });
  expect(ended.stderr).toMatch(message);
  expect(ended.stderr.split('\n')).toHaveLength(2);
});

describe.skipIf(!hasTmux)('on a terminal', () => {
  test('ports and addresses are shown, and q ends it', async () => {
    const [a, farA] = await udpPair();
    const [b, farB] = await udpPair();
    const terminal = new Terminal(command('switch', '-p', a, '-p', b, '-n', '0.2'));
    await terminal.shows(/Port +State +In\/s/);
    const near = await host(farA, '10.0.0.1', '02:00:00:00:00:01');
    const far = await host(farB, '10.0.0.2', '02:00:00:00:00:02');
    expect(await reaches(near, far)).toBe(true);
    await terminal.shows(/02:00:00:00:00:01 +1 +port0 +\d+s/);
    terminal.keys('q');
    await terminal.shows(/code 0\n1$/m);
  });
});
