// SPDX-License-Identifier: MIT
//
// The examples; examples/terminal.ts has a file of its own.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { root, runProgram } from './support.js';

test('quickstart: what is piped in arrives at the other host, and the end of stdin ends it', async () => {
  const program = [process.execPath, join(root, 'dist/examples/quickstart.js')];
  const ended = await runProgram(program, { input: 'hello\n' });
  expect(ended).toEqual({ code: 0, signal: null, stdout: '10.0.0.1 said hello\n', stderr: '' });
});

test('the README shows quickstart.ts as it is', () => {
  const source = readFileSync(join(root, 'examples/quickstart.ts'), 'utf8');
  const [header, ...code] = source.trimEnd().split('\n\n');
  expect(header).toMatch(/SPDX/);
  expect(readFileSync(join(root, 'README.md'), 'utf8')).toContain(
    `\`\`\`ts\n${code.join('\n\n')}\n\`\`\``,
  );
});

test('web: the server sees who asks, and is found by its name', async () => {
  const ended = await runProgram([process.execPath, join(root, 'dist/examples/web.js')]);
  const stdout = 'hello 10.0.0.1, this is 10.0.0.2\nhello 10.0.0.1, this is bob\n';
  expect(ended).toEqual({ code: 0, signal: null, stdout, stderr: '' });
});

test('web-streams: what comes back is in capitals, and the program ends', async () => {
  const ended = await runProgram([process.execPath, join(root, 'dist/examples/web-streams.js')]);
  expect(ended).toEqual({ code: 0, signal: null, stdout: 'HELLO\n', stderr: '' });
});

test('relay: the host and a stack in one poll loop, both directions, to the end', async () => {
  const child = spawn(process.execPath, [join(root, 'dist/examples/relay.js'), '0']);
  onTestFinished(() => {
    child.kill();
  });
  const [line] = await once(child.stdout.setEncoding('utf8'), 'data');
  const [, port] = /^127\.0\.0\.1:(\d+) is relayed to 10\.0\.0\.2:7\n$/.exec(line) ?? [];
  const data = Buffer.alloc(1 << 20).map((_, i) => (i * 2654435761) >>> 24);
  const talk = async () => {
    const client = connect({ port: Number(port), host: '127.0.0.1', allowHalfOpen: true });
    client.end(data);
    const parts: Buffer[] = [];
    for await (const part of client) parts.push(part);
    return Buffer.concat(parts).equals(data);
  };
  expect(await Promise.all([talk(), talk(), talk()])).toEqual([true, true, true]);
  const impatient = connect({ port: Number(port), host: '127.0.0.1' });
  await once(impatient, 'connect');
  impatient.write(data);
  impatient.resetAndDestroy();
  expect(await talk()).toBe(true);
  expect(child.exitCode).toBeNull();
});

test('relay.ts is as short as it should be', () => {
  const source = readFileSync(join(root, 'examples/relay.ts'), 'utf8');
  expect(source.split('\n').length - 1).toBeLessThan(60);
});

test('switch: the file arrives whole at both hosts in spite of the loss, and it ends by itself', async () => {
  const { code, stdout, stderr } = await runProgram([
    process.execPath,
    join(root, 'dist/examples/switch.js'),
  ]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(
    /^bert has 2097152 bytes, whole\ncleo has 2097152 bytes, whole\nafter \d+\.\d\d s and [1-9]\d* segments that were sent again\n(\w+: \d+ frames in, \d+ out, [1-9]\d* lost\n){3}$/,
  );
});

test('router: as whom each call is seen, and what the filter refused', async () => {
  const ended = await runProgram([process.execPath, join(root, 'dist/examples/router.js')]);
  expect(ended).toMatchObject({ code: 0, stderr: '' });
  const lines = ended.stdout.trimEnd().split('\n');
  expect(lines.slice(0, 5)).toEqual([
    'client to server: seen as 203.0.113.5',
    'client to its mail port: ECONNREFUSED',
    'server to the forwarded port: seen as 203.0.113.80',
    'client to the forwarded port: seen as 203.0.113.5',
    'server to another port: no answer',
  ]);
  expect(lines).toContain('known: 192.168.1.2 > 203.0.113.80, answered 203.0.113.80 > 203.0.113.5');
  expect(lines).toContain('no mail: 1 packets');
});

test('docs/forwarding.md shows the rules of router.ts as they are', () => {
  const source = readFileSync(join(root, 'examples/router.ts'), 'utf8');
  const from = source.indexOf('router.setForwarding(');
  const rules = source.slice(from, source.indexOf('/** Calls from', from)).trimEnd();
  const shown = readFileSync(join(root, 'docs/forwarding.md'), 'utf8');
  expect(shown).toContain(rules.replaceAll(/^(?=.)/gm, '    '));
});
