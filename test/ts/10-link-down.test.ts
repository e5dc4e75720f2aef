// SPDX-License-Identifier: MIT
//
// A TAP in a network namespace of its own, with the kernel on the other side: where it can be made.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { root, runProgram } from './support.js';

const makeTap =
  'ip tuntap add dev tap0 mode tap && ip addr add 10.0.0.1/24 dev tap0 && ip link set tap0 up';
const inNamespace = (command: string) => [
  'unshare',
  '-Urn',
  'sh',
  '-c',
  `${makeTap} && ${command}`,
];
const [first = '', ...rest] = inNamespace('true');
const canMakeTap = spawnSync(first, rest).status === 0;

test.skipIf(!canMakeTap)(
  "a TAP that is deleted is the event 'linkdown', and the stack goes on (skipped where no TAP can be made)",
  async () => {
    const program = `${process.execPath} ${join(root, 'test/ts/programs/link-down.mjs')}`;
    const { code, stdout, stderr } = await runProgram(inNamespace(program));
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(
      /^ping answered\nlinkdown eth0 tap:\/\/tap0 EBADFD\nup false, loopback works\n$/,
    );
  },
);

test.skipIf(!canMakeTap)(
  'the terminal talks to a server of the kernel over a TAP (skipped where no TAP can be made)',
  async () => {
    const server = `require('net').createServer((s) => s.pipe(s)).listen(7, '10.0.0.1')`;
    const terminal = `${process.execPath} ${join(root, 'dist/examples/terminal.js')}`;
    const command =
      `ip link set lo up; ${process.execPath} -e "${server}" & ` +
      `until ss -ltn | grep -q '10.0.0.1:7 '; do sleep 0.05; done; ${terminal} ` +
      '--link tap://tap0 --address 10.0.0.2/24 --connect 10.0.0.1:7; code=$?; kill $!; exit $code';
    const { code, stdout } = await runProgram(inNamespace(command), { input: 'over the TAP\n' });
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'over the TAP\n' });
  },
);
