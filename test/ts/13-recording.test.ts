// SPDX-License-Identifier: MIT
//
// Recording and replay, by the public interface. That real tools read the files is tested in test/links.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import { POLLIN, Stack } from 'vpollnet';
import { type Block, blocksOf, packetsOf, recordingFolder, statistics } from './pcapng.js';
import {
  connectedPair,
  freshCable,
  openDescriptors,
  openStack,
  readAll,
  root,
  runProgram,
  thrownBy,
  twoStacks,
  until,
  untyped,
  waitFor,
} from './support.js';

const { folder, freshFile } = recordingFolder();

const interfacesOf = (path: string) =>
  blocksOf(readFileSync(path))
    .filter((b) => b.type === 1)
    .map((b) => `${b.options.get(2)} ${b.options.get(3)}`);

/** One datagram of `text` from one stack to the other, taken off there. */
function datagram(from: Stack, to: Stack, text: string, host = '10.0.0.2'): void {
  const receiver = to.socket('udp').bind({ host, port: 5000 });
  const sender = from.socket('udp');
  sender.sendTo(text, { host, port: 5000 });
  waitFor(receiver, POLLIN);
  receiver.close();
  sender.close();
}

describe('a recording', () => {
  test('has what both directions carried, with the names of the link, and counts it', async () => {
    const { near, far, url } = await twoStacks();
    const path = freshFile();
    const recording = near.record(path);
    expect(recording.error).toBeNull();
    datagram(near, far, 'there and ');
    datagram(far, near, 'back', '10.0.0.1');
    const counters = await recording.stop();
    const packets = packetsOf(path);
    const carrying = (text: string) => packets.filter((one) => one.data.includes(text));
    expect(interfacesOf(path)).toEqual([`eth0 ${url}`]);
    expect(carrying('there and ').map((one) => one.direction)).toEqual([2]);
    expect(carrying('back').map((one) => one.direction)).toEqual([1]);
    expect(counters.frames).toBe(packets.length);
    expect(counters.bytes).toBe(readFileSync(path).length);
    expect(counters.dropped).toBe(0);
    expect(recording.counters()).toEqual(counters);
  });

  test('is of the time that the clock on the wall shows', async () => {
    const { near, far } = await twoStacks();
    const path = freshFile();
    const before = Date.now();
    const recording = near.record(path);
    datagram(near, far, 'now');
    await recording.stop();
    const file = readFileSync(path);
    // The statistics at the end: isb_starttime and isb_endtime, in two halves.
    const { options } = blocksOf(file).find((block) => block.type === statistics) as Block;
    const [start, end] = [2, 3].map((code) => {
      const time = options.get(code) as Buffer;
      return (time.readUInt32LE(0) * 2 ** 32 + time.readUInt32LE(4)) / 1e6;
    }) as [number, number];
    expect(start).toBeGreaterThan(before - 2);
    expect(end).toBeGreaterThanOrEqual(start);
    expect(end).toBeLessThan(Date.now() + 2);
  });

  test('says of a frame why the stack dropped it', async () => {
    const { near, far } = await twoStacks();
    const path = freshFile();
    const recording = far.record(path);
    near.socket('udp').sendTo('nobody', { host: '10.0.0.2', port: 9 });
    await recording.stop();
    const dropped = packetsOf(path).filter((one) => one.comments.length > 0);
    expect(dropped.map((one) => one.comments)).toEqual([['dropped: udp_no_socket']]);
    expect(dropped[0]?.data.includes('nobody')).toBe(true);
    expect(dropped[0]?.direction).toBe(1);
  });

  test('says of a frame that impairment took it, and sums that up at the end', async () => {
    const { near } = await twoStacks();
    const path = freshFile();
    const recording = near.record(path);
    near.impair('eth0', { out: { loss: 1 } });
    const socket = near.socket('udp').setOption('broadcast', true);
    socket.sendTo('lost', { host: '10.0.0.255', port: 9 });
    await recording.stop();
    const [lost] = packetsOf(path).filter((one) => one.data.includes('lost'));
    expect(lost?.comments).toEqual(['dropped: impaired_loss']);
    const summary = blocksOf(readFileSync(path)).find((one) => one.type === statistics);
    expect(summary?.comments).toEqual(['dropped by the link: impaired_loss 1']);
    expect(summary?.options.get(5)?.readUInt32LE()).toBe(1); // isb_ifdrop
  });

  test('of large packets has complete checksums and whole frames', async () => {
    const { near, client, server } = await connectedPair();
    const path = freshFile();
    const recording = near.record(path);
    client.send(Buffer.alloc(150_000, 'x'));
    client.close();
    expect(readAll(server)).toHaveLength(150_000);
    await recording.stop();
    const large = packetsOf(path).filter((one) => one.data.length > 10_000);
    expect(large.length).toBeGreaterThan(1);
    for (const { data } of large) expect(tcpChecksumIsRight(data)).toBe(true);
  });

  test('keeps only the bytes of each frame that are asked for', async () => {
    const { near, far } = await twoStacks();
    const path = freshFile();
    const recording = near.record(path, { snapLength: 40 });
    datagram(near, far, 'x'.repeat(500));
    await recording.stop();
    expect(Math.max(...packetsOf(path).map((one) => one.data.length))).toBe(40);
  });

  test('of all links has those that are added later; of named links only those', async () => {
    const [first, second] = [freshCable(), freshCable()];
    const stack = await openStack({ url: first });
    const [all, one] = [freshFile(), freshFile()];
    const recordings = [stack.record(all), stack.record(one, { links: ['eth0'] })];
    await stack.addLink({ url: second, dad: false, addresses: ['10.1.0.1/24'] });
    const late = freshFile();
    recordings.push(stack.record(late, { links: ['eth1'] }));
    stack.removeLink('eth1');
    await Promise.all(recordings.map((recording) => recording.stop()));
    expect(interfacesOf(all)).toEqual([`eth0 ${first}`, `eth1 ${second}`]);
    expect(interfacesOf(one)).toEqual([`eth0 ${first}`]);
    expect(interfacesOf(late)).toEqual([`eth1 ${second}`]);
    // A link that goes takes its statistics along, so that there is one block for each.
    expect(blocksOf(readFileSync(all)).filter((b) => b.type === statistics)).toHaveLength(2);
  });

  test('stops once, and leaves nothing open', async () => {
    const { near } = await twoStacks();
    const before = openDescriptors();
    const recording = near.record(freshFile());
    expect(openDescriptors()).toBeGreaterThan(before);
    expect(await recording.stop()).toEqual(await recording.stop());
    expect(openDescriptors()).toBe(before);
  });

  test('is written whole when its stack is closed', async () => {
    const { near, far } = await twoStacks();
    const path = freshFile();
    near.record(path);
    datagram(near, far, 'the last word');
    await near.close();
    expect(packetsOf(path).some((one) => one.data.includes('the last word'))).toBe(true);
    expect(blocksOf(readFileSync(path)).at(-1)?.type).toBe(statistics);
  });

  test('is written whole when the process exits', async () => {
    const path = freshFile();
    const program = `
      const { Stack } = await import('./dist/ts/index.js');
      const links = [{ url: 'cable:exit', dad: false, addresses: ['10.0.0.1/24'] }];
      const stack = await Stack.open({ links });
      stack.record(process.argv[1]);
      stack.socket('udp').sendTo('bye', { host: '10.0.0.2', port: 1 });
      process.exit(3);`;
    const node = [process.execPath, '--input-type=module', '-e', program, path];
    const { code, stderr } = await runProgram(node);
    expect([code, stderr]).toEqual([3, '']);
    expect(blocksOf(readFileSync(path)).at(-1)?.type).toBe(statistics);
  });

  test('is written whole when its worker ends', async () => {
    const path = freshFile();
    const before = openDescriptors();
    const program = `
      const { workerData } = require('node:worker_threads');
      import('./dist/ts/index.js').then(async ({ Stack }) => {
        const links = [{ url: 'cable:worker', dad: false, addresses: ['10.0.0.1/24'] }];
        const stack = await Stack.open({ links });
        stack.record(workerData);
        stack.socket('udp').sendTo('bye', { host: '10.0.0.2', port: 1 });
        process.exit(0);
      });`;
    const worker = new Worker(program.replace('./dist', `${root}/dist`), {
      eval: true,
      workerData: path,
    });
    expect(await once(worker, 'exit')).toEqual([0]);
    expect(blocksOf(readFileSync(path)).at(-1)?.type).toBe(statistics);
    await until(() => openDescriptors() <= before);
  });

  test('is disposed of at the end of its block', async () => {
    const { near } = await twoStacks();
    const path = freshFile();
    {
      await using recording = near.record(path);
      expect(recording.counters().dropped).toBe(0);
    }
    expect(blocksOf(readFileSync(path)).at(-1)?.type).toBe(statistics);
  });
});

describe('a recording into a descriptor', () => {
  test('goes to an open file, which stays open', async () => {
    const { near, far } = await twoStacks();
    const path = freshFile();
    const fd = openSync(path, 'w');
    const recording = near.record(fd);
    datagram(near, far, 'by number');
    await recording.stop();
    closeSync(fd);
    expect(packetsOf(path).some((one) => one.data.includes('by number'))).toBe(true);
  });

  test('whose reader goes away breaks off, with an error, and the stack goes on', async () => {
    const { near, far } = await twoStacks();
    const child = spawn('cat', { stdio: ['pipe', 'ignore', 'inherit'] });
    const fd = untyped(child.stdin)._handle.fd as number;
    const recording = near.record(fd);
    child.kill();
    await once(child, 'exit');
    await until(() => {
      datagram(near, far, 'on');
      return recording.error !== null;
    });
    expect(recording.error).toMatchObject({ code: 'EPIPE', syscall: 'write' });
    expect(recording.error?.message).toBe(
      'write EPIPE - whoever read the recording has gone; it ends here',
    );
    await expect(recording.stop()).rejects.toMatchObject({ code: 'EPIPE' });
    expect(recording.counters().dropped).toBeGreaterThan(0);
    datagram(near, far, 'still');
  });

  test('that is full says so', async () => {
    const { near } = await twoStacks();
    const recording = near.record('/dev/full');
    await until(() => recording.error !== null);
    expect(recording.error?.message).toBe(
      'write ENOSPC /dev/full - the disk is full; the recording ends here',
    );
    await expect(recording.stop()).rejects.toMatchObject({ code: 'ENOSPC', path: '/dev/full' });
  });
});

describe('a recording that cannot be', () => {
  test('names the file', async () => {
    const { near } = await twoStacks();
    const path = join(folder, 'no/such/folder');
    const error = thrownBy(() => near.record(path));
    expect(error).toMatchObject({ code: 'ENOENT', syscall: 'open', path });
    expect(error.message).toBe(`open ENOENT ${path}`);
    expect(thrownBy(() => near.record(folder)).code).toBe('EISDIR');
    expect(thrownBy(() => near.record(987)).code).toBe('EBADF');
  });

  test('leaves a file alone when a link is not there', async () => {
    const { near } = await twoStacks();
    const path = freshFile();
    writeFileSync(path, 'precious');
    const error = thrownBy(() => near.record(path, { links: ['eth7'] }));
    expect(error).toMatchObject({ code: 'ENODEV', syscall: 'record' });
    expect(readFileSync(path, 'utf8')).toBe('precious');
  });

  test('is refused by its arguments', async () => {
    const { near } = await twoStacks();
    const record = (...args: unknown[]) => thrownBy(() => untyped(near).record(...args)).message;
    expect(record({})).toBe(
      'The "target" argument must be of type string or number. Received an instance of Object',
    );
    expect(record('')).toContain('must be the path of a file');
    expect(record(-1)).toContain('"target" is out of range');
    expect(record('x', { snapLength: 0 })).toContain('"options.snapLength" is out of range');
    expect(record('x', { links: 'eth0' })).toContain('"options.links" property must be');
    expect(record('x', { links: [null] })).toContain('"options.links[0]" property must be');
    expect(existsSync('x')).toBe(false);
    await near.close();
    expect(record('x')).toContain('the stack is closed');
  });
});

describe('a replay', () => {
  test('brings the frames that a stack got to another stack', async () => {
    const { near, far } = await twoStacks();
    const path = freshFile();
    const recording = far.record(path);
    datagram(near, far, 'once more');
    await recording.stop();
    const { mac } = far.interfaces().find((one) => one.name === 'eth0') as { mac: string };

    const stack = await openStack({ url: freshCable() });
    const socket = stack.socket('udp').bind({ port: 5000 });
    await stack.addLink({
      url: `replay:${path}?speed=0`,
      mac,
      dad: false,
      addresses: ['10.0.0.2/24'],
    });
    waitFor(socket, POLLIN);
    expect(socket.read()?.toString()).toBe('once more');
    const link = stack.links().find((one) => one.url.startsWith('replay:'));
    // What `far` itself sent is left out, and what this stack sends goes nowhere.
    const inbound = packetsOf(path).filter((one) => one.direction === 1);
    expect(link?.counters.framesIn).toBe(inbound.length);
    expect(link?.counters.drops.receive_only).toBeGreaterThan(0);
  });

  test('of a file that is cut or is none is refused, with the byte', async () => {
    const { near, far } = await twoStacks();
    const path = freshFile();
    const recording = near.record(path);
    datagram(near, far, 'x');
    await recording.stop();
    const whole = readFileSync(path);
    const cut = freshFile();
    writeFileSync(cut, whole.subarray(0, whole.length - 3));
    const open = (url: string) => Stack.open({ links: [{ url }] });
    await expect(open(`replay:${cut}`)).rejects.toThrow(
      new RegExp(`cannot be opened: ${cut}, byte \\d+: the file ends within a block of \\d+ bytes`),
    );
    writeFileSync(cut, 'no capture at all');
    await expect(open(`replay:${cut}`)).rejects.toThrow(
      `cannot be opened: ${cut}, byte 0: neither pcapng nor pcap`,
    );
    await expect(open(`replay:${folder}/none`)).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(open(`replay:${folder}`)).rejects.toThrow('is no file');
    await expect(open('replay:')).rejects.toThrow('has the path of a file');
    await expect(open(`replay:${path}?speed=-1`)).rejects.toThrow("'speed' is a number");
    await expect(open(`replay:${path}?speed=nan`)).rejects.toThrow("'speed' is a number");
    await expect(open(`replay:${path}?direction=up`)).rejects.toThrow("'direction' is in, out or");
    await expect(open(`replay:${path}?lop=1`)).rejects.toThrow("has no parameter 'lop'");
  });
});

/** RFC 9293 3.1, of an Ethernet frame with IPv4. */
function tcpChecksumIsRight(frame: Buffer): boolean {
  const segment = frame.subarray(34);
  let sum = 6 + segment.length;
  for (let at = 26; at < 34; at += 2) sum += frame.readUInt16BE(at);
  for (let at = 0; at + 1 < segment.length; at += 2) sum += segment.readUInt16BE(at);
  if (segment.length % 2 === 1) sum += (segment.at(-1) as number) << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return sum === 0xffff;
}
