// SPDX-License-Identifier: MIT
//
// The terminal's conversation with a TCP peer: one poll() over stdin, stdout and sockets of a stack in
// this process. Alone, it brings its own peer: a line host on a second stack, in the same loop.

import { constants } from 'node:os';
import { setImmediate as turnOfTheEventLoop } from 'node:timers/promises';
import { isatty } from 'node:tty';
import { NetworkError, POLLIN, POLLOUT, poll, Stack, type TcpSocket, WOULD_BLOCK } from 'vpollnet';
import { LineHost } from './line-host.js';
import { EscapeFilter, enterRawMode, StatusLine } from './raw-terminal.js';
import { codeOf, readInput, say, writeOutput } from './stdio.js';
import type { TerminalOptions } from './terminal-options.js';

const person = isatty(0);
const status = new StatusLine();
let raw = false;

async function open(options: TerminalOptions): Promise<{ stack: Stack; host?: LineHost }> {
  const { link, addresses, gateways, peer } = options;
  if (link !== undefined) {
    return { stack: await Stack.open({ links: [{ url: link, addresses, gateways }] }) };
  }
  const on = (address: string) =>
    Stack.open({ links: [{ url: 'cable:demo', addresses: [address], dad: false }] });
  const host = new LineHost(await on('10.0.0.1/24'), peer.port, raw);
  return { stack: await on('10.0.0.2/24'), host };
}

function statusText({ remoteAddress: to, state }: TcpSocket): string {
  return `${to?.address} port ${to?.port} ${state}   ~. disconnects, ~? helps`;
}

/** From the first packet to the last byte on the screen. */
async function converse(socket: TcpSocket, options: TerminalOptions, host?: LineHost) {
  const { host: address, port } = options.peer;
  const deadline = performance.now() + options.timeout;
  const keys = new EscapeFilter(person);
  let connected = socket.connect(options.peer);
  let [inputOpen, peerOpen, told] = [true, true, false]; // told: that our input is at its end
  let toPeer: Buffer = Buffer.alloc(0);
  let toScreen: Buffer = Buffer.alloc(0);
  const show = (more: Buffer | string) => {
    toScreen = Buffer.concat([toScreen, Buffer.from(more as string)]);
  };

  while (peerOpen || toScreen.length > 0 || (!person && !told)) {
    if (raw && isatty(1)) show(status.show(statusText(socket)));
    const wantsInput = inputOpen && (connected || person) && toPeer.length < 65536;
    const wantsOutput = connected && peerOpen && toScreen.length === 0;
    const sends = !connected || toPeer.length > 0;
    const events = (sends ? POLLOUT : 0) | (wantsOutput ? POLLIN : 0);
    const stdin = { fd: wantsInput ? 0 : -1, events: POLLIN, revents: 0 };
    const stdout = { fd: toScreen.length > 0 ? 1 : -1, events: POLLOUT, revents: 0 };
    const network = { fd: events ? socket.fd : -1, events, revents: 0 };
    try {
      poll([stdin, stdout, network, ...(host?.entries() ?? [])], 1000);
    } catch (error) {
      if (codeOf(error) !== 'EINTR') throw error;
    }
    await turnOfTheEventLoop(); // for signal handlers; one that poll() just missed waits a second
    host?.turn();

    const input = stdin.revents ? readInput() : null;
    if (input?.length === 0) inputOpen = false;
    if (input !== null) {
      const { bytes, notice, disconnect } = keys.take(input);
      if (disconnect) return '\nDisconnected from';
      toPeer = Buffer.concat([toPeer, bytes]);
      show(notice);
    }
    if (stdout.revents) toScreen = writeOutput(toScreen);
    if (!connected && network.revents) {
      if (socket.error) throw socket.error;
      connected = true;
    } else if (!connected && performance.now() > deadline) {
      const detail = `no answer for ${options.timeout / 1000} s`;
      throw new NetworkError('connect', constants.errno.ETIMEDOUT, { address, port, detail });
    }
    if (network.revents && wantsOutput) {
      const output = socket.read();
      if (output?.length === 0) peerOpen = false;
      show(output ?? '');
    }
    if (connected && toPeer.length > 0) {
      const sent = socket.send(toPeer);
      toPeer = toPeer.subarray(sent === WOULD_BLOCK ? 0 : sent);
    }
    if (connected && !inputOpen && !told && toPeer.length === 0) {
      socket.shutdown('write');
      told = true;
    }
  }
  return 'Connection closed by';
}

/** Both sides' last byte is at its place when this returns. Throws what ended it before. */
export async function runTerminal(options: TerminalOptions): Promise<void> {
  raw = person && !options.cooked;
  const { stack, host } = await open(options);
  if (raw) enterRawMode(() => status.clear());
  using socket = stack.socket('tcp').setOption('noDelay', true);
  const end = await converse(socket, options, host);
  if (person) say(`${end} ${options.peer.host}.`);
}
