// SPDX-License-Identifier: MIT
//
// A program in a process of its own, whose whole network is a stack at 10.0.0.2, and a stack of the test's at
// 10.0.0.1. Between them are datagrams on the host's loopback, which need no privilege.

import { onTestFinished } from 'vitest';
import { Stack } from 'vpollnet';
import { type Running, start, udpPair } from '../../cli/support.js';

export interface Lab {
  /** The test's own, 10.0.0.1. */
  stack: Stack;
  /** The stack of the program, 10.0.0.2, as VPOLLNET has it. */
  words: string[];
}

export async function lab(): Promise<Lab> {
  const [near, far] = await udpPair();
  const stack = await Stack.open({
    links: [{ url: near, addresses: ['10.0.0.1/24'], dad: false }],
  });
  onTestFinished(() => stack.close());
  return { stack, words: ['--link', far, '--address', '10.0.0.2/24'] };
}

/** node --import vpollnet/register ARGUMENTS */
export function registered(
  args: string[],
  words: string[] | string,
  env: NodeJS.ProcessEnv = {},
): Running {
  const line = typeof words === 'string' ? words : words.join(' ');
  return start(['--import', 'vpollnet/register', ...args], { VPOLLNET: line, ...env });
}

/** A program's text, as arguments of node. */
export const module = (text: string) => ['--input-type=module', '-e', text];
export const commonJs = (text: string) => ['-e', text];
