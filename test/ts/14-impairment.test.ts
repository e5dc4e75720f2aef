// SPDX-License-Identifier: MIT
//
// A bad network on purpose, by the public interface. What it does to frames is tested in virtual time in
// test/host/links/impairment_test.cpp.

import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import {
  type Impairment,
  type ImpairmentByDirection,
  POLLIN,
  POLLOUT,
  type Stack,
  type TcpSocket,
} from 'vpollnet';
import {
  freshCable,
  openStack,
  readAll,
  thrownBy,
  twoStacks,
  untyped,
  waitFor,
} from './support.js';

const linkOf = (stack: Stack) => stack.links()[0] as ReturnType<Stack['links']>[number];

/** The numbers of those of `count` datagrams that arrive. */
function arrivals(near: Stack, far: Stack, count: number): number[] {
  const receiver = far.socket('udp').bind({ port: 5000 });
  const sender = near.socket('udp');
  for (let i = 0; i < count; i += 1) sender.sendTo(`${i}`, { host: '10.0.0.2', port: 5000 });
  const numbers: number[] = [];
  for (let text = receiver.read(); text !== null; text = receiver.read()) {
    numbers.push(Number(text));
  }
  receiver.close();
  sender.close();
  return numbers;
}

/** Two stacks that know each other, so that nothing but what is sent goes over the cable. */
async function acquainted(impair?: Impairment | ImpairmentByDirection) {
  const { near, far } = await twoStacks();
  expect(arrivals(near, far, 1)).toEqual([0]);
  if (impair) near.impair('eth0', impair);
  return { near, far };
}

describe('impairment', () => {
  test('loses the same frames for the same seed', async () => {
    const runs = [];
    for (const seed of [42, 42, 43]) {
      const { near, far } = await acquainted({ out: { loss: 0.3, seed } });
      runs.push(arrivals(near, far, 100));
    }
    expect(runs[0]?.length).toBeGreaterThan(50);
    expect(runs[0]?.length).toBeLessThan(90);
    expect(runs[1]).toEqual(runs[0]);
    expect(runs[2]).not.toEqual(runs[0]);
  });

  test('begins with the link', async () => {
    const url = freshCable();
    const stack = await openStack({
      url,
      addresses: ['10.0.0.1/24'],
      impair: { loss: 1, seed: 7 },
    });
    const { impairment, counters } = linkOf(stack);
    expect(impairment.in).toMatchObject({ loss: 1, seed: 7, queue: 1000 });
    expect(impairment.out?.frames).toBeGreaterThan(0);
    expect(impairment.out?.lost).toBe(impairment.out?.frames);
    expect(counters.framesOut).toBe(0);
    expect(counters.drops.impaired_loss).toBe(impairment.out?.lost);
  });

  test('of one direction leaves the other alone', async () => {
    const { near, far } = await acquainted({ in: { loss: 1 } });
    expect(linkOf(near).impairment.out).toBeNull();
    expect(arrivals(near, far, 10)).toHaveLength(10);
    near.impair('eth0', { out: { duplicate: 1 } });
    expect(linkOf(near).impairment.in).toMatchObject({ loss: 1 });
    expect(arrivals(near, far, 2)).toEqual([0, 0, 1, 1]);
    near.impair('eth0', { out: null });
    expect(linkOf(near).impairment.out).toBeNull();
    expect(linkOf(near).impairment.in).toMatchObject({ loss: 1 });
  });

  test('changes while it runs, and what waits is let through when it ends', async () => {
    const { near, far } = await acquainted({ out: { delay: 60_000 } });
    const receiver = far.socket('udp').bind({ port: 5000 });
    near.socket('udp').sendTo('late', { host: '10.0.0.2', port: 5000 });
    expect(receiver.read()).toBeNull();
    expect(linkOf(near).impairment.out).toMatchObject({ delay: 60_000, waiting: 1 });
    near.impair('eth0', null);
    waitFor(receiver, POLLIN);
    expect(receiver.read()?.toString()).toBe('late');
    expect(linkOf(near).impairment).toEqual({ in: null, out: null });
  });

  test('delays by no less than it says', async () => {
    const { near, far } = await acquainted({ delay: 30 });
    const receiver = far.socket('udp').bind({ port: 5000 });
    const before = performance.now();
    near.socket('udp').sendTo('x', { host: '10.0.0.2', port: 5000 });
    waitFor(receiver, POLLIN);
    expect(performance.now() - before).toBeGreaterThanOrEqual(29);
  });

  test('drops what its queue has no room for', async () => {
    const { near, far } = await acquainted({ out: { delay: 60_000, queue: 5 } });
    arrivals(near, far, 8);
    expect(linkOf(near).impairment.out).toMatchObject({ waiting: 5, queueFull: 3 });
    expect(linkOf(near).counters.drops.impaired_queue_full).toBe(3);
  });

  test('that corrupts is found out by checksums', async () => {
    const { near, far } = await acquainted({ out: { corrupt: 1, seed: 1 } });
    const arrived = arrivals(near, far, 50);
    expect(linkOf(near).impairment.out?.corrupted).toBe(50);
    const { udp_bad_checksum: udp = 0, ipv4_bad_checksum: ip = 0 } = far.counters().drops;
    expect(udp).toBeGreaterThan(0);
    expect(ip).toBeGreaterThan(0);
    // A bit of the source's MAC says nothing to anybody.
    expect(arrived.length).toBeLessThan(25);
    expect(arrived).toEqual([...new Set(arrived)].sort((a, b) => a - b));
  });

  test.each([
    ['loss', { loss: 0.05 }],
    ['duplication', { duplicate: 0.2 }],
    ['reordering', { delay: 1, reorder: 0.2 }],
    ['corruption', { corrupt: 0.05 }],
    ['jitter', { delay: 2, jitter: 2 }],
    ['a slow line', { rate: 80_000_000, delay: 1 }],
  ])('TCP gets through %s, with large packets cut up', async (_name, impair) => {
    const url = freshCable();
    const far = await openStack({ url, mtu: 1500, addresses: ['10.0.0.2/24'] });
    const near = await openStack({
      url,
      mtu: 1500,
      addresses: ['10.0.0.1/24'],
      impair: { ...impair, seed: 3 },
    });
    const listener = far.socket('tcp').bind({ port: 7 }).listen();
    const client = near.socket('tcp');
    client.connect({ host: '10.0.0.2', port: 7 });
    waitFor(listener, POLLIN);
    const server = listener.accept() as TcpSocket;
    waitFor(client, POLLOUT);
    const data = randomBytes(300_000);
    expect(client.send(data)).toBe(data.length); // within the send buffer
    client.shutdown('write');
    expect(readAll(server).equals(data)).toBe(true);
    // As many frames as segments, though the stack hands over large packets.
    expect(linkOf(near).impairment.out?.frames).toBeGreaterThan(data.length / 1460);
  });
});

describe('an impairment that cannot be', () => {
  const wrong: [unknown, string][] = [
    [7, 'must be of type object'],
    [{ loss: 2 }, '"impairment.loss" is out of range. It must be >= 0 and <= 1. Received 2'],
    [{ loss: Number.NaN }, '"impairment.loss" is out of range'],
    [{ loss: '5%' }, '"impairment.loss" property must be of type number'],
    [{ out: { delay: -1 } }, '"impairment.out.delay" is out of range'],
    [{ rate: 0 }, '"impairment.rate" is out of range'],
    [{ rate: 1.5 }, '"impairment.rate" is out of range'],
    [{ queue: 0 }, '"impairment.queue" is out of range'],
    [{ seed: 0.5 }, '"impairment.seed" is out of range'],
    [{ los: 0.5 }, "has no property 'los'; there are delay, jitter, loss"],
    [{ in: {}, loss: 1 }, "has no property 'loss'; there are in, out"],
    [{ reorder: 0.1 }, 'needs a delay'],
  ];
  test.each(wrong)('%o is refused', async (impairment, message) => {
    const { near } = await twoStacks();
    expect(thrownBy(() => near.impair('eth0', untyped(impairment))).message).toContain(message);
    expect(linkOf(near).impairment).toEqual({ in: null, out: null });
  });

  test('names the link, or the option', async () => {
    const { near } = await twoStacks();
    expect(thrownBy(() => near.impair('eth9', null)).code).toBe('ENODEV');
    await expect(openStack({ impair: { loss: 7 } })).rejects.toThrow(
      '"options.links[0].impair.loss"',
    );
  });
});
