// SPDX-License-Identifier: MIT
//
// The stacks of a sight as tables: what is shown, in which order, in which words. No input or output.

import { getSystemErrorName } from 'node:util';
import colours from 'picocolors';
import stringWidth from 'string-width';
import { clean, UsageError } from './command.js';
import type {
  ProcessSnapshot,
  Sight,
  SocketSnapshot,
  StackSnapshot,
  SwitchSnapshot,
  TrafficCounters,
} from './snapshot.js';
import { type Section, type SortKey, sections } from './stacks-command.js';

export interface ViewOptions {
  sections: readonly Section[];
  sort: SortKey;
  /** Names or ids of stacks; empty: all. */
  stacks: readonly string[];
  /** As a socket's state is written, without regard to case; empty: all. */
  states: readonly string[];
  listening: boolean;
  /** Without the columns that tell the processes and stacks apart. */
  bare?: boolean;
}

/** How the tables are decorated: as they are, or for a terminal. */
export interface Style {
  heading(text: string): string;
  bad(text: string): string;
  faint(text: string): string;
}

export const plain: Style = { heading: (text) => text, bad: (text) => text, faint: (text) => text };

export const coloured: Style = {
  heading: (text) => colours.bold(text),
  bad: (text) => colours.red(text),
  faint: (text) => colours.dim(text),
};

/** A stack or switch with the process that it is in. */
interface Row<Kind = StackSnapshot> {
  process: ProcessSnapshot;
  stack: Kind;
}
const isStack = (one: StackSnapshot | SwitchSnapshot): one is StackSnapshot => one.kind === 'stack';

/** ss(8) calls a datagram socket without a peer UNCONN. */
function stateOf({ type, state, remote }: SocketSnapshot): string {
  return type === 'tcp' ? state : remote === '' ? 'UNCONN' : 'ESTABLISHED';
}

const endOf = (address: string) =>
  address === '' || address === ':0' ? '*:*' : address.replace(/^:/, '*:').replace(/:0$/, ':*');

/** ESTAB and established, time-wait and TIME_WAIT: what people write for the states. */
const plainState = (state: string) => {
  const bare = state.toUpperCase().replaceAll(/[^A-Z0-9]/g, '');
  return bare === 'ESTAB' ? 'ESTABLISHED' : bare;
};

/** Those of TCP, as the stack names them, and that of a datagram socket without a peer. */
const states = [
  'CLOSED',
  'LISTEN',
  'SYN-SENT',
  'SYN-RECEIVED',
  'ESTABLISHED',
  'FIN-WAIT-1',
  'FIN-WAIT-2',
  'CLOSE-WAIT',
  'CLOSING',
  'LAST-ACK',
  'TIME-WAIT',
  'UNCONN',
];

/** Throws UsageError at what is the name of no state. */
export function checkStates(given: readonly string[]): void {
  const known = new Set(states.map(plainState));
  const wrong = given.find((state) => !known.has(plainState(state)));
  if (wrong === undefined) return;
  const list = states.join(', ').toLowerCase();
  throw new UsageError(`--state cannot be '${clean(wrong)}'; there are ${list}`);
}

/** What the options leave of a sight: also what --json prints. */
export function select(sight: Sight, options: ViewOptions): ProcessSnapshot[] {
  const wanted = new Set(options.states.map(plainState));
  const fits = (socket: SocketSnapshot) => {
    const state = stateOf(socket);
    if (options.listening && state !== 'LISTEN' && state !== 'UNCONN') return false;
    return wanted.size === 0 || wanted.has(plainState(state));
  };
  const named = ({ id, name }: StackSnapshot | SwitchSnapshot) =>
    options.stacks.length === 0 || options.stacks.some((one) => one === name || one === String(id));
  return sight.processes
    .map((process) => ({
      ...process,
      stacks: process.stacks
        .filter(named)
        .map((stack) =>
          isStack(stack) ? { ...stack, sockets: stack.sockets.filter(fits) } : stack,
        ),
    }))
    .filter(({ stacks }) => stacks.length > 0);
}

/** 12.3K: bytes by 1024, everything else by 1000. */
export function short(value: number, base: 1000 | 1024 = 1000): string {
  const units = ['', 'K', 'M', 'G', 'T', 'P'];
  let unit = 0;
  let rest = value;
  while (rest >= base && unit < units.length - 1) {
    rest /= base;
    unit += 1;
  }
  const digits = unit === 0 || rest >= 100 ? 0 : 1;
  return `${rest.toFixed(digits)}${units[unit]}`;
}

/** The links of a stack or switch, each with what tells it from the others. */
function linksOf(one: StackSnapshot | SwitchSnapshot): [string, TrafficCounters][] {
  if (!isStack(one)) return one.ports.map((port) => [port.name, port]);
  return one.links.map((link) => [String(link.interface), link]);
}

/** What has changed since the sight before, a second. */
export class Rates {
  #before = new Map<string, number>();
  #now = new Map<string, number>();
  #seconds = 0;
  #takenAt: number | undefined;

  /** @param at milliseconds */
  take(processes: readonly ProcessSnapshot[], at: number): void {
    this.#seconds = this.#takenAt === undefined ? 0 : (at - this.#takenAt) / 1000;
    this.#takenAt = at;
    this.#before = this.#now;
    this.#now = new Map();
    for (const { pid, stacks } of processes) {
      for (const stack of stacks) {
        const key = `${pid}/${stack.id}`;
        if (isStack(stack)) {
          const { drops, ...counters } = stack.counters;
          this.#note(key, counters);
          this.#note(`${key}/drops`, drops);
        }
        for (const [place, { framesIn, bytesIn, framesOut, bytesOut, drops }] of linksOf(stack)) {
          this.#note(`${key}/${place}`, { framesIn, bytesIn, framesOut, bytesOut });
          this.#note(`${key}/${place}/drops`, drops);
        }
      }
    }
  }

  /** Undefined while there is nothing to compare with. */
  of(key: string): number | undefined {
    const now = this.#now.get(key);
    if (this.#seconds <= 0 || now === undefined) return undefined;
    // A reason that has not counted before is not in the sight before.
    const before = this.#before.get(key) ?? (key.includes('/drops/') ? 0 : undefined);
    return before === undefined ? undefined : Math.max(0, now - before) / this.#seconds;
  }

  #note(key: string, counters: Record<string, number>): void {
    for (const [name, value] of Object.entries(counters)) this.#now.set(`${key}/${name}`, value);
  }
}

type Cell = string | number;

const widthOf = (text: string) => (/^[ -~]*$/.test(text) ? text.length : stringWidth(text));

/** Columns two blanks apart, numbers to the right, without blanks at the ends of the lines. */
export function table(
  head: string[],
  rows: Cell[][],
  right: number[],
  style: Style,
  bare = false,
): string[] {
  if (rows.length === 0) return [];
  // The first two columns say whose it is.
  const skipped = bare ? 2 : 0;
  const lines = [head, ...rows].map((cells) => cells.slice(skipped).map(String));
  const widths = head
    .slice(skipped)
    .map((_, column) =>
      lines.reduce((most, cells) => Math.max(most, widthOf(cells[column] as string)), 0),
    );
  const [first = '', ...rest] = lines.map((cells) => {
    const padded = cells.map((cell, column) => {
      const blanks = ' '.repeat((widths[column] as number) - widthOf(cell));
      return right.includes(column + skipped) ? blanks + cell : cell + blanks;
    });
    return padded.join('  ').trimEnd();
  });
  return [style.heading(first), ...rest];
}

const nameOf = (stack: StackSnapshot | SwitchSnapshot) => clean(stack.name) || `#${stack.id}`;
const sum = (drops: Record<string, number>) => Object.values(drops).reduce((a, b) => a + b, 0);

/** The error's name: a number that Node does not know stays a number. */
function errorName(errno: number): string {
  if (errno === 77) return 'EBADFD'; // Linux, of a TUN or TAP that was deleted
  try {
    return getSystemErrorName(-errno);
  } catch {
    return `errno ${errno}`;
  }
}

function stackLines(rows: Row[], rates: Rates | undefined, style: Style): string[] {
  const traffic =
    rates === undefined ? ['In', 'Out'] : ['In/s', 'Out/s', 'Pkts-in/s', 'Pkts-out/s'];
  const head = ['Pid', 'Program', 'Stack', 'Sockets', 'Memory', ...traffic, 'Retrans', 'Drops'];
  const cells = rows.map(({ process, stack }) => {
    const key = `${process.pid}/${stack.id}`;
    const rate = (name: string, base: 1000 | 1024) => {
      const value = rates?.of(`${key}/${name}`);
      return value === undefined ? '-' : short(value, base);
    };
    const { counters } = stack;
    return [
      process.pid,
      clean(process.program),
      nameOf(stack),
      stack.sockets.length,
      short(stack.memory, 1024),
      ...(rates === undefined
        ? [short(counters.bytesIn, 1024), short(counters.bytesOut, 1024)]
        : [
            rate('bytesIn', 1024),
            rate('bytesOut', 1024),
            rate('packetsIn', 1000),
            rate('packetsOut', 1000),
          ]),
      counters.tcpRetransmits,
      sum(counters.drops),
    ];
  });
  return table(head, cells, [0, ...head.map((_, i) => i).slice(3)], style);
}

function linkLines(rows: Row[], rates: Rates | undefined, style: Style): string[] {
  const traffic = rates === undefined ? ['In', 'Out'] : ['In/s', 'Out/s'];
  const head = [
    ...['Pid', 'Stack', 'Iface', 'State', ...traffic, 'Frames-in', 'Frames-out', 'Drops'],
    ...['Link', 'Addresses'],
  ];
  const cells = rows.flatMap(({ process, stack }) =>
    stack.links.map((link) => {
      const key = `${process.pid}/${stack.id}/${link.interface}`;
      const bytes = (name: 'bytesIn' | 'bytesOut') => {
        const value = rates === undefined ? link[name] : rates.of(`${key}/${name}`);
        return value === undefined ? '-' : short(value, 1024);
      };
      const one = stack.interfaces.find(({ id }) => id === link.interface);
      const addresses = stack.addresses
        .filter((address) => address.interface === link.interface)
        .map(({ address, state }) => (state === 'preferred' ? address : `${address} (${state})`));
      return [
        process.pid,
        nameOf(stack),
        clean(one?.name ?? `${link.interface}`),
        link.errno === 0 ? 'up' : style.bad(errorName(link.errno)),
        bytes('bytesIn'),
        bytes('bytesOut'),
        short(link.framesIn),
        short(link.framesOut),
        sum(link.drops),
        clean(link.url),
        addresses.join(' '),
      ];
    }),
  );
  return table(head, cells, [0, 4, 5, 6, 7, 8], style);
}

/** Why packets and frames were dropped; none, if none was. */
function dropLines(
  rows: Row<StackSnapshot | SwitchSnapshot>[],
  rates: Rates | undefined,
  style: Style,
  bare: boolean,
): string[] {
  const cells = rows.flatMap(({ process, stack }) => {
    const key = `${process.pid}/${stack.id}`;
    const interfaces = isStack(stack) ? stack.interfaces : [];
    const names = new Map(interfaces.map(({ id, name }) => [String(id), name]));
    const places: [string, string, Record<string, number>][] = linksOf(stack).map(
      ([place, { drops }]) => [clean(names.get(place) ?? place), `${key}/${place}/drops`, drops],
    );
    if (isStack(stack)) places.unshift(['stack', `${key}/drops`, stack.counters.drops]);
    return places.flatMap(([place, at, drops]) =>
      Object.entries(drops).map(([reason, count]) => {
        const rate = rates?.of(`${at}/${reason}`);
        const shown = rate === undefined ? '-' : short(rate);
        const cell: Cell[] = [process.pid, nameOf(stack), place, clean(reason), count];
        return rates === undefined ? cell : [...cell, rate ? style.bad(shown) : shown];
      }),
    );
  });
  const head = ['Pid', 'Stack', 'Where', 'Dropped-as', 'Count'];
  return table(rates === undefined ? head : [...head, 'Per-s'], cells, [0, 4, 5], style, bare);
}

function portLines(
  rows: Row<SwitchSnapshot>[],
  rates: Rates | undefined,
  style: Style,
  bare: boolean,
): string[] {
  const traffic = rates === undefined ? ['In', 'Out'] : ['In/s', 'Out/s'];
  const head = [
    ...['Pid', 'Switch', 'Port', 'State', ...traffic, 'Frames-in', 'Frames-out', 'Flooded'],
    ...['Drops', 'Vlan', 'Tagged', 'Link'],
  ];
  const cells = rows.flatMap(({ process, stack }) =>
    stack.ports.map((port) => {
      const bytes = (name: 'bytesIn' | 'bytesOut') => {
        const key = `${process.pid}/${stack.id}/${port.name}/${name}`;
        const value = rates === undefined ? port[name] : rates.of(key);
        return value === undefined ? '-' : short(value, 1024);
      };
      return [
        process.pid,
        nameOf(stack),
        clean(port.name),
        port.errno === 0 ? 'up' : style.bad(errorName(port.errno)),
        bytes('bytesIn'),
        bytes('bytesOut'),
        short(port.framesIn),
        short(port.framesOut),
        short(port.flooded),
        sum(port.drops),
        port.vlan || '-',
        port.tagged || '-',
        clean(port.url),
      ];
    }),
  );
  return table(head, cells, [0, 4, 5, 6, 7, 8, 9, 10, 11], style, bare);
}

function socketLines(rows: Row[], sort: SortKey, style: Style): string[] {
  const all = rows.flatMap(({ process, stack }) =>
    stack.sockets.map((socket) => ({ process, stack, socket, state: stateOf(socket) })),
  );
  const text = (a: string, b: string) => a.localeCompare(b, 'en', { numeric: true });
  type Line = (typeof all)[number];
  const orders: Record<SortKey, (a: Line, b: Line) => number> = {
    process: () => 0,
    type: (a, b) => text(a.socket.type, b.socket.type),
    state: (a, b) => text(a.state, b.state),
    'recv-q': (a, b) => b.socket.receiveQueue - a.socket.receiveQueue,
    'send-q': (a, b) => b.socket.sendQueue - a.socket.sendQueue,
    local: (a, b) => text(a.socket.local, b.socket.local),
    remote: (a, b) => text(a.socket.remote, b.socket.remote),
  };
  // What is equal stays in one order from sight to sight: the sockets come in that of a hash table.
  const standing = (a: Line, b: Line) =>
    a.process.pid - b.process.pid ||
    a.stack.id - b.stack.id ||
    text(a.socket.type, b.socket.type) ||
    text(a.socket.local, b.socket.local) ||
    text(a.socket.remote, b.socket.remote);
  all.sort((a, b) => orders[sort](a, b) || standing(a, b));
  const cells = all.map(({ process, stack, socket, state }) => [
    process.pid,
    nameOf(stack),
    socket.type,
    state,
    socket.receiveQueue,
    socket.sendQueue,
    endOf(socket.local),
    endOf(socket.remote),
  ]);
  const head = ['Pid', 'Stack', 'Netid', 'State', 'Recv-Q', 'Send-Q', 'Local', 'Remote'];
  return table(head, cells, [0, 4, 5], style);
}

/**
 * The lines to show.
 * @param rates absent: totals instead, as for a single sight
 */
export function view(
  processes: readonly ProcessSnapshot[],
  options: ViewOptions,
  rates: Rates | undefined,
  style: Style,
): string[] {
  const all = processes.flatMap((process) => process.stacks.map((stack) => ({ process, stack })));
  const rows = all.filter((row): row is Row => isStack(row.stack));
  const switches = all.filter((row): row is Row<SwitchSnapshot> => !isStack(row.stack));
  const { bare = false } = options;
  const parts: Record<Section, () => string[]> = {
    stacks: () => stackLines(rows, rates, style),
    links: () => linkLines(rows, rates, style),
    ports: () => portLines(switches, rates, style, bare),
    drops: () => dropLines(all, rates, style, bare),
    sockets: () => socketLines(rows, options.sort, style),
  };
  const lines: string[] = [];
  for (const section of sections) {
    if (!options.sections.includes(section)) continue;
    const part = parts[section]();
    if (part.length > 0) lines.push(...(lines.length > 0 ? [''] : []), ...part);
  }
  return lines;
}
