// SPDX-License-Identifier: MIT
//
// Ethernet in UDP, with socat and a TAP of Linux as the other side.
//
//   our stack  10.3.0.1, fd00:3::1 ── udp link ── 198.51.100.1, fd03::1, on veth `wire`
//   Linux      10.3.0.2, fd00:3::2 ── tap0, socat ── 198.51.100.2, fd03::2, on the other end, in `far`

import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { POLLIN, Stack } from '../../ts/index.js';
import { connect, ip, material, ready, receiveAll, sendAll } from '../interop/support.js';
import { until } from '../ts/support.js';
import { Machine } from './namespaces.js';

const missing = spawnSync('socat', ['-V']).status === 0 ? '' : ' (skipped: socat is missing)';

describe.skipIf(missing !== '')(`udp:${missing}`, () => {
  let far: Machine;

  beforeAll(async () => {
    far = await Machine.start();
    ip('link', 'set', 'lo', 'up');
    ip('link', 'add', 'wire', 'type', 'veth', 'peer', 'name', 'wire', 'netns', `${far.pid}`);
    ip('address', 'add', '198.51.100.1/24', 'dev', 'wire');
    ip('address', 'add', 'fd03::1/64', 'dev', 'wire', 'nodad');
    ip('link', 'set', 'wire', 'up');
    far.ip(
      'address add 198.51.100.2/24 dev wire',
      'address add fd03::2/64 dev wire nodad',
      'link set wire up',
    );
  });
  afterAll(() => far.stop());

  const fragments = () =>
    far.run('nstat', '-asz', 'IpFragCreates', 'IpReasmReqds', 'Ip6ReasmReqds', 'Ip6FragCreates');

  /** socat and its TAP, until the end of the test. */
  async function joinTap(address: string, mtu: number): Promise<void> {
    const tap = 'TUN:10.3.0.2/24,tun-type=tap,tun-name=tap0,iff-no-pi,iff-up';
    const socat = far.spawn('socat', tap, address);
    onTestFinished(async () => {
      socat.kill('SIGTERM');
      await once(socat, 'close');
    });
    await until(() => far.run('ip', '-o', 'link').includes('tap0'));
    far.ip(`link set tap0 mtu ${mtu}`, 'address add fd00:3::2/64 dev tap0 nodad');
  }

  test.each([
    [
      'IPv4',
      1458,
      '198.51.100.2:5000?local=198.51.100.1:5001',
      'UDP4-DATAGRAM:198.51.100.1:5001,bind=198.51.100.2:5000',
    ],
    [
      'IPv6',
      1438,
      '[fd03::2]:5000?local=:5001',
      'UDP6-DATAGRAM:[fd03::1]:5001,bind=[fd03::2]:5000',
    ],
  ])('over %s: pings and megabytes both ways, and no fragment', async (_, mtu, place, address) => {
    await joinTap(address, mtu);
    const stack = await Stack.open({
      links: [{ url: `udp://${place}`, addresses: ['10.3.0.1/24', 'fd00:3::1/64'], dad: false }],
    });
    onTestFinished(() => stack.close());
    expect(stack.interfaces().find(({ name }) => name === 'eth0')?.mtu).toBe(mtu);
    const echo = far.spawn('socat', 'TCP4-LISTEN:7,fork', 'EXEC:cat');
    onTestFinished(async () => {
      echo.kill('SIGTERM');
      await once(echo, 'close');
    });
    await until(() => far.run('ss', '-ltn').includes(':7 '));
    const before = fragments();
    const socket = await connect(stack, '10.3.0.2', 7);
    const { piece } = material(4);
    let bytes = 0;
    const receiving = receiveAll(socket, (part) => {
      bytes += part.length;
    });
    for (let i = 0; i < 4; i += 1) await sendAll(socket, piece);
    socket.shutdown('write');
    await receiving;
    expect(bytes).toBe(4 * piece.length);
    // What was large went in as many datagrams as it had frames.
    expect(fragments()).toBe(before);
    for (const host of ['10.3.0.1', 'fd00:3::1']) {
      expect(far.pings(host)).toBe(true);
      expect(far.pings(host, '-s', '5000')).toBe(true);
    }
    const [link] = stack.links();
    expect(Object.values(link?.counters.drops ?? {}).every((count) => count === 0)).toBe(true);
    expect(link?.error).toBe(null);
  });

  test('others are not heard; a remote that is not there (ICMP says so) does not end the link', async () => {
    const stack = await Stack.open({
      links: [
        {
          ...{ url: 'udp://198.51.100.2:5000?local=198.51.100.1:5001', dad: false },
          ...{ addresses: ['10.3.0.1/24'] },
        },
      ],
    });
    onTestFinished(() => stack.close());
    const socket = stack.socket('icmp');
    socket.connect({ host: '10.3.0.2' });
    for (let i = 0; i < 3; i += 1) {
      socket.send('nobody there');
      await sleep(50);
    }
    far.run(
      'sh',
      '-c',
      'echo "who am I" | socat -u - UDP4:198.51.100.1:5001,bind=198.51.100.2:4999',
    );
    await until(() => stack.links()[0]?.counters.drops.wrong_peer !== 0);
    expect(stack.links()[0]).toMatchObject({ error: null, counters: { drops: { wrong_peer: 1 } } });
    socket.close();

    await joinTap('UDP4-DATAGRAM:198.51.100.1:5001,bind=198.51.100.2:5000', 1458);
    expect(far.pings('10.3.0.1')).toBe(true);
    const again = stack.socket('icmp');
    again.connect({ host: '10.3.0.2' });
    again.send('and now?');
    await ready(again, POLLIN);
    expect(again.read()?.toString()).toBe('and now?');
  });
});
