// SPDX-License-Identifier: MIT
//
// A small line-oriented host: a listener and its connections as entries of somebody's poll loop.
// terminal.ts runs it at the far end of a cable; any program can talk to it.

import { POLLIN, POLLOUT, type PollFd, type Stack, type TcpSocket, WOULD_BLOCK } from 'vpollnet';
import { LineEditor } from './line-editor.js';

const help = 'echo TEXT, hosts, stats, help, quit\n';
const mostUnsent = 64 * 1024;

/** One peer, and what it has not been sent yet. */
class Session {
  readonly socket: TcpSocket;
  readonly #host: LineHost;
  #unsent: Buffer = Buffer.alloc(0);
  /** No more is said after what is unsent; what comes is thrown away until the peer is done too. */
  #ending = false;
  #peerDone = false;
  readonly #editor = new LineEditor({
    line: (text) => this.#run(text.trim()),
    echo: (bytes) => this.#host.terminal && this.#send(bytes),
    cancelled: () => this.#say('^C\n', true),
    ended: () => this.#say('bye\n', false, true),
  });

  constructor(socket: TcpSocket, host: LineHost) {
    this.socket = socket;
    this.#host = host;
    if (host.terminal) this.#say(`vpollnet line host: ${help}`, true);
  }

  /** What to wait for: no input from a peer that does not take what it asked for. */
  get events(): number {
    const listens = !this.#peerDone && this.#unsent.length < mostUnsent;
    return (listens ? POLLIN : 0) | (this.#unsent.length > 0 ? POLLOUT : 0);
  }

  turn(): void {
    const input = this.events & POLLIN ? this.socket.read(4096) : null;
    this.#peerDone ||= input?.length === 0;
    if (input !== null) this.#editor.feed(input);
    if (this.#peerDone) this.#editor.finish();
    this.#ending ||= this.#peerDone;
    const sent = this.#unsent.length > 0 ? this.socket.send(this.#unsent) : WOULD_BLOCK;
    if (sent !== WOULD_BLOCK) this.#unsent = this.#unsent.subarray(sent);
    if (!this.#ending || this.#unsent.length > 0) return;
    if (this.#peerDone) this.socket.close();
    else if (this.socket.state === 'ESTABLISHED') this.socket.shutdown('write');
  }

  #send(bytes: Buffer): void {
    if (!this.#ending) this.#unsent = Buffer.concat([this.#unsent, bytes]);
  }

  #say(text: string, prompt: boolean, last = false): void {
    const { terminal } = this.#host;
    const shown = terminal ? text.replaceAll('\n', '\r\n') + (prompt ? '> ' : '') : text;
    this.#send(Buffer.from(shown));
    this.#ending ||= last;
  }

  #run(line: string): void {
    if (this.#ending) return;
    const [, command = '', rest = ''] = /^(\S*)\s*(.*)$/.exec(line) ?? [];
    if (command === 'quit') this.#say('bye\n', false, true);
    else this.#say(this.#host.answer(command, rest), true);
  }
}

export class LineHost {
  readonly terminal: boolean;
  readonly #stack: Stack;
  readonly #listener: TcpSocket;
  readonly #sessions = new Set<Session>();

  /** @param terminal peers are people at a terminal in raw mode: prompt, and echo what they type */
  constructor(stack: Stack, port: number, terminal: boolean) {
    this.#stack = stack;
    this.terminal = terminal;
    this.#listener = stack.socket('tcp').setOption('reuseAddress', true).bind({ port }).listen();
  }

  /** What poll() has to wait for on behalf of this host. */
  entries(): PollFd[] {
    const peers = [...this.#sessions].map(({ socket, events }) => ({ fd: socket.fd, events }));
    return [{ fd: this.#listener.fd, events: POLLIN }, ...peers];
  }

  /** Does what can be done without waiting. */
  turn(): void {
    for (let peer = this.#listener.accept(); peer !== null; peer = this.#listener.accept()) {
      this.#sessions.add(new Session(peer, this));
    }
    for (const session of this.#sessions) {
      try {
        session.turn();
      } catch {
        session.socket.close(); // the peer reset its connection
      }
      if (session.socket.closed) this.#sessions.delete(session);
    }
  }

  answer(command: string, rest: string): string {
    if (command === '') return '';
    if (command === 'echo') return `${rest}\n`;
    if (command === 'help') return help;
    if (command === 'hosts') {
      const own = this.#stack.addresses().filter((one) => one.interface !== 'lo');
      const lines = own.map(({ address }) => `${address} (this host)\n`);
      return lines.concat(this.#stack.neighbours().map((one) => `${one.address}\n`)).join('');
    }
    if (command !== 'stats') return `unknown command '${command}'; there are ${help}`;
    const { packetsIn, packetsOut, drops } = this.#stack.counters();
    const dropped = Object.entries(drops).filter(([, count]) => count > 0);
    const reasons = dropped.map(([reason, count]) => `${reason} ${count}`).join(', ') || 'none';
    return `packets ${packetsIn} in, ${packetsOut} out; dropped: ${reasons}\n`;
  }
}
