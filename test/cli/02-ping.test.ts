// SPDX-License-Identifier: MIT
//
// vpollnet ping, as ping(8) would be used.

import { describe, expect, test } from 'vitest';
import { Statistics } from '../../cli/ping.js';
import { main, start, vpollnet } from './support.js';

const alone = ['--link', 'cable:alone', '--address', '10.0.0.2/24', '--address', 'fd00::2/64'];

describe.each([
  ['IPv4', '10.0.0.2', 84],
  ['IPv6', 'fd00::2', 104],
])('%s', (_, host, whole) => {
  test('each answer has its time, and the statistics add up', async () => {
    const { code, stdout, stderr } = await vpollnet([
      ...['ping', host, ...alone],
      ...['-c', '3', '-i', '0.05'],
    ]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const [first, ...lines] = stdout.split('\n');
    expect(first).toBe(`PING ${host} 56(${whole}) bytes of data.`);
    for (const sequence of [1, 2, 3]) {
      expect(lines[sequence - 1]).toMatch(
        new RegExp(`^64 bytes from ${host}: icmp_seq=${sequence} time=[\\d.]+ ms$`),
      );
    }
    expect(lines.slice(3)).toEqual([
      '',
      `--- ${host} ping statistics ---`,
      expect.stringMatching(/^3 packets transmitted, 3 received, 0% packet loss, time \d+ms$/),
      expect.stringMatching(/^rtt min\/avg\/max\/mdev = [\d.]+\/[\d.]+\/[\d.]+\/[\d.]+ ms$/),
      '',
    ]);
  });
});

test.each([0, 3, 4, 8000])('%i bytes of data come back', async (size) => {
  const args = ['ping', '10.0.0.2', ...alone, '-c', '2', '-i', '0.05', '-s', String(size)];
  const { code, stdout } = await vpollnet(args);
  expect(code).toBe(0);
  expect(stdout).toContain(`${size + 8} bytes from 10.0.0.2: icmp_seq=2`);
});

test('-q prints no line for each answer', async () => {
  const { code, stdout } = await vpollnet(['ping', '::1', ...alone, '-q', '-c', '2', '-i', '0.01']);
  expect(code).toBe(0);
  expect(stdout).not.toContain('icmp_seq');
  expect(stdout).toContain('2 packets transmitted, 2 received');
});

test('silence is code 1, and takes the time that -W says', async () => {
  const args = ['ping', '10.0.0.9', ...alone, '-c', '2', '-i', '0.05', '-W', '0.3'];
  const { code, stdout, stderr } = await vpollnet(args);
  expect({ code, stderr }).toEqual({ code: 1, stderr: '' });
  expect(stdout).toMatch(
    /2 packets transmitted, 0 received,( \+\d errors,)? 100% packet loss, time (3|4|5)\d\dms/,
  );
  expect(stdout).not.toContain('rtt');
});

test('a host that no route leads to is an error in each line, and code 1', async () => {
  const args = ['ping', '192.0.2.1', ...alone, '-c', '2', '-i', '0.01', '-W', '0.1'];
  const { code, stdout } = await vpollnet(args);
  expect(code).toBe(1);
  expect(stdout).toMatch(/icmp_seq=1 sendTo ENETUNREACH 192\.0\.2\.1:0 - the stack has no route/);
  expect(stdout).toContain('2 packets transmitted, 0 received, +2 errors, 100% packet loss');
});

test.each([
  [['--link', 'foo://x'], /^vpollnet ping: --link cannot be opened: unknown link 'foo:\/\/x'/],
  [['--link', 'tap://no-such/tap'], /^vpollnet ping: /],
  [['--link', 'cable:x', '--address', '10.0.0.300/24'], /^vpollnet ping: --address must be/],
])('%j is the library’s error in one line, and code 2', async (args, message) => {
  const { code, stdout, stderr } = await vpollnet(['ping', '10.0.0.1', ...args]);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toMatch(message);
  expect(stderr.split('\n')).toHaveLength(2);
});

test.each(['SIGINT', 'SIGTERM'] as const)('%s ends it with the statistics', async (signal) => {
  const running = start([main, 'ping', '10.0.0.2', ...alone, '-i', '0.05']);
  await running.shows('icmp_seq=3');
  running.child.kill(signal);
  const { code, stdout } = await running.ended;
  expect(code).toBe(0);
  expect(stdout).toMatch(/(\d+) packets transmitted, \1 received, 0% packet loss/);
});

test('the statistics are those of the round trips', () => {
  const statistics = new Statistics();
  statistics.sent = 8;
  for (const time of [2, 4, 4, 4, 5, 5, 7, 9]) statistics.add(time);
  expect(statistics.toString('h', 100)).toContain(
    'rtt min/avg/max/mdev = 2.000/5.000/9.000/2.000 ms',
  );
  statistics.sent = 12;
  statistics.duplicates = 1;
  expect(statistics.toString('h', 99.6)).toContain(
    '12 packets transmitted, 8 received, +1 duplicates, 33.3333% packet loss, time 100ms',
  );
});
