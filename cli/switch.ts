// SPDX-License-Identifier: MIT
//
// vpollnet switch: a switch until somebody ends it, and what it does meanwhile.

import { setTimeout as sleep } from 'node:timers/promises';
import colours from 'picocolors';
import { type LearnedAddress, type PortInfo, Switch, type SwitchPort } from 'vpollnet';
import { clean, endOfUse } from './command.js';
import { LiveScreen } from './live-screen.js';
import type { PortSnapshot, ProcessSnapshot } from './snapshot.js';
import { coloured, plain, Rates, table, type ViewOptions, view } from './stacks-view.js';

const shown: ViewOptions = {
  sections: ['ports', 'drops'],
  sort: 'process',
  stacks: [],
  states: [],
  listening: false,
  bare: true,
};

/** The port as the inspector tells of it. */
function toSnapshot({ name, url, vlan, trunk, error, counters }: PortInfo): PortSnapshot {
  const { drops, ...traffic } = counters;
  return {
    ...traffic,
    name,
    url,
    errno: error === null ? 0 : -error.errno,
    vlan: vlan ?? 0,
    tagged: trunk === 'all' ? 4094 : trunk.length,
    drops: Object.fromEntries(Object.entries(drops).filter(([, count]) => count > 0)),
  };
}

function snapshotOf(running: Switch): ProcessSnapshot[] {
  const ports = running.ports().map(toSnapshot);
  const { evictions } = running;
  const one = { kind: 'switch', id: 1, name: '', addresses: 0, evictions, ports } as const;
  return [{ pid: process.pid, program: 'vpollnet switch', stacks: [one] }];
}

/** @param ageing seconds @param interval milliseconds */
export async function runSwitch(
  ports: SwitchPort[],
  ageing: number,
  interval: number,
): Promise<void> {
  const live = process.stdout.isTTY === true;
  const end = endOfUse();
  await using running = await Switch.open({ ports, ageing });
  const looks = live ? showTable(running, interval) : printEvents(running, interval);
  await looks(end.signal);
}

function showTable(running: Switch, interval: number): (end: AbortSignal) => Promise<void> {
  const rates = new Rates();
  const style = colours.isColorSupported ? coloured : plain;
  const quit = new AbortController();
  const notes: string[] = [];
  const note = (text: string) => {
    notes.push(`${new Date().toTimeString().slice(0, 8)}  ${text}`);
    if (notes.length > 3) notes.shift();
  };
  listen(running, note);
  return async (end) => {
    const screen = new LiveScreen((key) => {
      if (key === 'q' || key === '\x03') quit.abort();
    });
    const signal = AbortSignal.any([end, quit.signal]);
    try {
      while (!signal.aborted) {
        const snapshot = snapshotOf(running);
        rates.take(snapshot, performance.now());
        const addresses = running.table().reverse();
        const head = ['Address', 'Vlan', 'Port', 'Age'];
        const rows = addresses.map(({ mac, vlan, port, age }) => [
          ...[mac, vlan, clean(port)],
          `${Math.round(age)}s`,
        ]);
        const title = `vpollnet switch  ${addresses.length} addresses   q quits`;
        const learned = table(head, rows, [1, 3], style);
        screen.draw([
          style.faint(title),
          ...notes.map((line) => style.bad(line)),
          '',
          ...view(snapshot, shown, rates, style),
          ...(learned.length > 0 ? ['', ...learned] : []),
        ]);
        await sleep(interval, undefined, { signal }).catch(() => {});
      }
    } finally {
      screen.close();
    }
  };
}

function listen(running: Switch, say: (line: string) => void): void {
  running.on('linkdown', ({ port, url, error }) =>
    say(`linkdown ${clean(port)} ${clean(url)}: ${clean(error.message)}`),
  );
  running.on('linkup', ({ port, url }) => say(`linkup ${clean(port)} ${clean(url)}`));
  running.on('loop', ({ mac, vlan, ports }) =>
    say(`loop ${mac} vlan ${vlan} on ${ports.map(clean).join(' and ')}`),
  );
}

function printEvents(running: Switch, interval: number): (end: AbortSignal) => Promise<void> {
  const say = (line: string) => void process.stdout.write(`${line}\n`);
  listen(running, say);
  for (const { name, url, vlan, trunk } of running.ports()) {
    const tags = trunk === 'all' ? 'all' : trunk.join('+');
    const vlans = [vlan === null ? '' : ` vlan ${vlan}`, tags === '' ? '' : ` trunk ${tags}`];
    say(`port ${clean(name)} ${clean(url)}${vlans.join('')}`);
  }
  return async (end) => {
    let before = new Map<string, LearnedAddress>();
    const look = () => {
      const now = new Map(running.table().map((one) => [`${one.mac} vlan ${one.vlan}`, one]));
      for (const [key, { port }] of now) {
        const was = before.get(key)?.port;
        if (was === undefined) say(`learned ${key} on ${clean(port)}`);
        else if (was !== port) say(`moved ${key} from ${clean(was)} to ${clean(port)}`);
      }
      for (const [key, { port }] of before) {
        if (!now.has(key)) say(`forgot ${key} on ${clean(port)}`);
      }
      before = now;
    };
    while (!end.aborted) {
      look();
      await sleep(interval, undefined, { signal: end }).catch(() => {});
    }
    look();
    say('');
    for (const line of view(snapshotOf(running), shown, undefined, plain)) say(line);
  };
}
