// SPDX-License-Identifier: MIT
//
// Recordings against those who read them, tcpdump and tshark, and replay of what such tools write:
//
//   stack 10.0.0.1 ── cable ── 10.0.0.2 stack, recorded ── file, pipe or FIFO ── tshark, tcpdump, editcap

import { execFile, execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { POLLIN, POLLOUT, type Recording, Stack } from '../../ts/index.js';
import { ready, receiveAll, sendAll } from '../interop/support.js';

const run = async (file: string, ...args: string[]) =>
  (await promisify(execFile)(file, args, { timeout: 60_000 })).stdout;

const has = (program: string) => spawnSync(program, ['--version']).error === undefined;
const missing = ['tshark', 'tcpdump', 'editcap'].filter((program) => !has(program));
if (missing.length > 0) process.stderr.write(`skipped: no ${missing.join(', ')} on this machine\n`);

/** As nobody in particular: tcpdump would change its user, if it were root, and may not in a namespace. */
const tcpdump = ['unshare', '-U', 'tcpdump'] as const;

const folder = mkdtempSync(join(tmpdir(), 'vpollnet-pcapng-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A line for each frame, its fields between '|'. */
async function fields(file: string, ...names: string[]): Promise<string[]> {
  const wanted = names.flatMap((name) => ['-e', name]);
  const output = await run('tshark', '-r', file, '-T', 'fields', '-E', 'separator=|', ...wanted);
  return output.trimEnd().split('\n');
}

let cables = 0;

/** Two stacks on a cable; `far` has a second link, on a cable of its own. */
async function stacks(): Promise<{ near: Stack; far: Stack; url: string }> {
  cables += 1;
  const url = `cable:pcapng-${process.pid}-${cables}`;
  const link = { url, dad: false, ipv6: false };
  const near = await Stack.open({ links: [{ ...link, addresses: ['10.0.0.1/24'] }] });
  const far = await Stack.open({
    links: [
      { ...link, addresses: ['10.0.0.2/24'], name: 'lan', mac: '02:00:00:00:00:02' },
      { ...link, url: `${url}-b`, addresses: ['10.1.0.1/24'], name: 'side' },
    ],
  });
  onTestFinished(async () => {
    await near.close();
    await far.close();
  });
  return { near, far, url };
}

/** A datagram that is answered, one to a port where nobody listens, and 200 kB over TCP. */
async function converse(near: Stack, far: Stack): Promise<void> {
  const server = far.socket('udp').bind({ port: 7 });
  const client = near.socket('udp');
  client.sendTo('ping', { host: '10.0.0.2', port: 7 });
  await ready(server, POLLIN);
  const from = server.recvFrom(Buffer.alloc(10));
  server.sendTo('pong', { host: '10.0.0.1', port: from?.port ?? 0 });
  client.sendTo('nobody', { host: '10.0.0.2', port: 9 });

  const listener = far.socket('tcp').bind({ port: 80 }).listen();
  const sender = near.socket('tcp');
  sender.connect({ host: '10.0.0.2', port: 80 });
  await ready(listener, POLLIN);
  const receiver = listener.accept();
  await ready(sender, POLLOUT);
  await sendAll(sender, Buffer.alloc(200_000, 'x'));
  sender.shutdown('write');
  if (receiver === null) throw new Error('no connection');
  expect(await receiveAll(receiver, () => {})).toBe(200_000);
  for (const socket of [server, client, listener, sender, receiver]) socket.close();
}

describe.skipIf(missing.length > 0)('a recording', () => {
  const file = join(folder, 'conversation.pcapng');
  let url = '';
  let frames = 0;

  beforeAll(async () => {
    const link = { url: `cable:pcapng-${process.pid}`, dad: false, ipv6: false };
    url = link.url;
    const near = await Stack.open({ links: [{ ...link, addresses: ['10.0.0.1/24'] }] });
    const far = await Stack.open({
      links: [{ ...link, addresses: ['10.0.0.2/24'], name: 'lan', mac: '02:00:00:00:00:02' }],
    });
    const recording = far.record(file);
    await converse(near, far);
    frames = (await recording.stop()).frames;
    await near.close();
    await far.close();
  });

  test('has the names of the link and the directions, as tshark reads them', async () => {
    const read = await fields(
      file,
      'frame.interface_name',
      'frame.interface_description',
      'frame.packet_flags_direction',
      'ip.src',
    );
    expect(read).toHaveLength(frames);
    for (const line of read) expect(line.startsWith(`lan|${url}|`)).toBe(true);
    const directions = new Set(read.map((line) => line.split('|').slice(2).join(' ')));
    expect(directions).toContain('0x00000001 10.0.0.1');
    expect(directions).toContain('0x00000002 10.0.0.2');
    expect(directions).not.toContain('0x00000001 10.0.0.2');
  });

  test('has the reasons for drops as comments', async () => {
    const read = await fields(file, 'frame.comment', 'udp.dstport');
    expect(read.filter((line) => line.includes('dropped'))).toEqual(['dropped: udp_no_socket|9']);
    const json = JSON.parse(await run('tshark', '-r', file, '-T', 'json', '-Y', 'udp.port==9'));
    expect(JSON.stringify(json)).toContain('dropped: udp_no_socket');
  });

  test('of one socket is what tshark picks from that of the link', async () => {
    const { near, far } = await stacks();
    const [all, one] = [join(folder, 'all.pcapng'), join(folder, 'one.pcapng')] as const;
    const whole = near.record(all);
    const socket = near.socket('udp').bind({ port: 4000 });
    const part = socket.record(one);
    const server = far.socket('udp').bind({ port: 5 });
    socket.sendTo('ping', { host: '10.0.0.2', port: 5 });
    await ready(server, POLLIN);
    server.sendTo(Buffer.alloc(65_000), { host: '10.0.0.1', port: 4000 });
    await ready(socket, POLLIN);
    socket.sendTo('nobody', { host: '10.0.0.2', port: 9 });
    await converse(near, far);
    for (const recording of [whole, part]) await recording.stop();
    const of = (file: string, filter: string) => run('tshark', '-t', 'a', '-r', file, '-Y', filter);
    // Without number and time, which each recording has of its own.
    const columns = (text: string) => text.replace(/^ *\d+ +\S+ +/gm, '');
    const picked = columns(await of(all, 'udp.port == 4000'));
    expect(picked.trimEnd().split('\n').length).toBeGreaterThanOrEqual(4);
    expect(columns(await of(one, ''))).toBe(picked);
  });

  test('has checksums that tshark finds right, also of large packets', async () => {
    const check = ['ip', 'tcp', 'udp'].flatMap((one) => ['-o', `${one}.check_checksum:TRUE`]);
    // An ICMP error quotes a datagram as it came over the cable.
    const bad =
      '!icmp && (ip.checksum.status==0 || tcp.checksum.status==0 || udp.checksum.status==0)';
    expect(await run('tshark', '-r', file, ...check, '-Y', bad)).toBe('');
    const large = await run(
      'tshark',
      '-r',
      file,
      ...check,
      '-Y',
      'tcp.checksum.status==1 && tcp.len>10000',
    );
    expect(large.trimEnd().split('\n').length).toBeGreaterThan(2);
    expect(await run('tshark', '-r', file, '-Y', '_ws.malformed')).toBe('');
  });

  test('is read by tcpdump', async () => {
    const lines = (await run(...tcpdump, '-nr', file)).trimEnd().split('\n');
    expect(lines).toHaveLength(frames);
    expect(
      lines.some((line) => /IP 10\.0\.0\.1\.\d+ > 10\.0\.0\.2\.9: UDP, length 6/.test(line)),
    ).toBe(true);
  });

  test('ends with statistics for each link', async () => {
    expect(await run('capinfos', file)).toMatch(
      /Number of stat entries = 1\s+Number of packets = /,
    );
  });

  test('that is cut short is read up to there, and tshark says so', () => {
    const cut = join(folder, 'cut.pcapng');
    execFileSync('cp', [file, cut]);
    truncateSync(cut, readFileSync(file).length - 300);
    const { status, stderr } = spawnSync('tshark', ['-r', cut], { encoding: 'utf8' });
    expect(status).not.toBe(0);
    expect(stderr).toContain('cut short');
  });

  test.each([
    ['pcap of microseconds', ['editcap', '-F', 'pcap', file]],
    ['pcap of nanoseconds', ['editcap', '-F', 'nsecpcap', file]],
    ['pcapng of others', ['editcap', '-F', 'pcapng', file]],
    ['pcap of tcpdump', [...tcpdump, '-r', file, '-w']],
  ])('is replayed from %s', async (kind, command) => {
    const copy = join(folder, kind.replaceAll(' ', '-'));
    await run(...(command as [string, ...string[]]), copy);
    const stack = await Stack.open({
      links: [{ url: `cable:pcapng-replay-${process.pid}`, dad: false }],
    });
    onTestFinished(() => stack.close());
    const socket = stack.socket('udp').bind({ port: 7 });
    await stack.addLink({
      url: `replay:${copy}?speed=100`,
      mac: '02:00:00:00:00:02',
      addresses: ['10.0.0.2/24'],
      dad: false,
    });
    await ready(socket, POLLIN);
    expect(socket.read()?.toString()).toBe('ping');
  });

  test('of several links names each', async () => {
    const { near, far } = await stacks();
    const both = join(folder, 'both.pcapng');
    const recording = far.record(both, { links: ['lan', 'side'] });
    await converse(near, far);
    await recording.stop();
    const interfaces = await run('capinfos', both);
    expect(interfaces).toContain('Number of interfaces in file: 2');
    expect(interfaces).toContain('Name = lan');
    expect(interfaces).toContain('Name = side');
  });
});

describe.skipIf(missing.length > 0)('a live recording', () => {
  /** Starts the reader of a FIFO, then the recording into it. */
  async function recordInto(fifo: string, stack: Stack): Promise<Recording> {
    for (let attempt = 0; ; attempt += 1) {
      try {
        return stack.record(fifo);
      } catch (error) {
        // ENXIO: nobody reads it yet.
        if ((error as NodeJS.ErrnoException).code !== 'ENXIO' || attempt > 1000) throw error;
        await sleep(10);
      }
    }
  }

  test.each([
    ['tshark -i -', 'tshark -l -n -i - -T fields -e udp.dstport -e frame.packet_flags_direction'],
    ['tshark -r -', 'tshark -l -n -r - -T fields -e udp.dstport -e frame.packet_flags_direction'],
    ['tcpdump -r -', `${tcpdump.join(' ')} -l -nr -`],
  ])('is shown by %s while it goes on', async (_name, command) => {
    const { near, far } = await stacks();
    const fifo = join(folder, `fifo-${cables}`);
    execFileSync('mkfifo', [fifo]);
    const child = spawn('sh', ['-c', `exec ${command} < ${fifo}`]);
    onTestFinished(() => {
      child.kill();
    });
    let shown = '';
    let errors = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      shown += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors += text;
    });
    const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
    const recording = await recordInto(fifo, far);
    const sender = near.socket('udp');
    for (let tries = 0; !/\b9\b/.test(shown) && tries < 200; tries += 1) {
      sender.sendTo('x', { host: '10.0.0.2', port: 9 });
      await sleep(50);
    }
    expect(shown, errors).toMatch(/\b9\b/); // while the recording still runs
    await recording.stop();
    expect(await ended, errors).toBe(0);
  });

  test('goes through a pipe of the shell from stdout', async () => {
    const program = `
      const { Stack } = await import('./dist/ts/index.js');
      const links = [{ url: 'cable:pipe', dad: false, ipv6: false, addresses: ['10.0.0.1/24'] }];
      const stack = await Stack.open({ links });
      const recording = stack.record(1);
      stack.socket('udp').sendTo('x', { host: '10.0.0.99', port: 7 });
      await recording.stop();
      await stack.close();`;
    const script = `"$0" --input-type=module -e "$1" | tshark -n -r - -T fields -e arp.dst.proto_ipv4`;
    const shown = await run('sh', '-c', script, process.execPath, program);
    expect(shown).toContain('10.0.0.99');
  });
});
