// SPDX-License-Identifier: MIT
//
// vpollnet capture: listens to a link, and tells how it goes.

import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Recording, type RecordOptions, Stack, Switch } from 'vpollnet';
import { endOfUse, exitCode } from './command.js';
import { short } from './stacks-view.js';

export interface CaptureOptions {
  url: string;
  /** A path, or a descriptor. */
  target: string | number;
  count: number | undefined;
  /** Milliseconds. */
  duration: number | undefined;
  /** Bytes. */
  snapLength: number;
}

/** Milliseconds between two looks at the recording, and between two progress lines. */
const lookPause = 20;
const progressPause = 250;

/** What listens, and how it is told of. */
interface Listener extends AsyncDisposable {
  record(target: string | number, options: RecordOptions): Recording;
  on(event: 'linkdown', told: (event: { error: Error }) => void): unknown;
}

/**
 * Something on the link that takes every frame and sends none. A switch does: one that remembers a single
 * address floods everything, here to a cable that nobody else is on, so that no frame is recorded as dropped. A
 * link of IP packets takes a stack without an address.
 */
async function listen(url: string): Promise<Listener> {
  if (/^tun:/i.test(url))
    return Stack.open({ name: 'vpollnet capture', links: [{ url, ipv6: false }] });
  const port = (url: string, name: string) => ({ url, name, vlan: 1, trunk: 'all' }) as const;
  const sink = `cable:vpollnet-capture-${process.pid}`;
  const ports = [port(url, 'link'), port(sink, 'sink')];
  return Switch.open({ ports, tableSize: 1, stormLimit: 0 }).catch((error: Error) => {
    error.message = error.message.replace('options.ports[0]', 'options.links[0]');
    throw error;
  });
}

/** @returns the exit code */
export async function capture(options: CaptureOptions): Promise<number> {
  const { url, target, count, duration, snapLength } = options;
  const end = endOfUse();
  const live = process.stderr.isTTY === true;
  const say = (text: string) => void process.stderr.write(text);
  await using listener = await listen(url);
  listener.on('linkdown', ({ error }) =>
    say(`${live ? '\r\x1b[K' : ''}vpollnet capture: ${error.message}\n`),
  );
  const recording = listener.record(target, {
    snapLength,
    ...(listener instanceof Switch ? { links: ['link'] } : {}),
    ...(count === undefined ? {} : { frameLimit: count }),
  });
  const told = () => {
    const { frames, bytes, dropped } = recording.counters();
    return `${frames} frames, ${short(bytes, 1024)} bytes, ${dropped} dropped`;
  };
  if (!live) say(`vpollnet capture: listening on ${url}\n`);
  const started = performance.now();
  const over = () =>
    end.signal.aborted ||
    recording.error !== null ||
    recording.counters().frames >= (count ?? Number.POSITIVE_INFINITY) ||
    performance.now() - started >= (duration ?? Number.POSITIVE_INFINITY);
  for (let shown = -progressPause; !over(); ) {
    const now = performance.now() - started;
    if (live && now - shown >= progressPause) {
      shown = now;
      say(`\r${told()}, ${(now / 1000).toFixed(0)} s   Ctrl-C ends\x1b[K`);
    }
    await sleep(lookPause, undefined, { signal: end.signal }).catch(() => {});
  }
  let failure: NodeJS.ErrnoException | undefined;
  await recording.stop().catch((error) => {
    failure = error;
  });
  say(`${live ? '\r\x1b[K' : ''}${told()}\n`);
  if (failure === undefined) return exitCode.ok;
  // Whoever reads the pipe has what it wanted, as head(1): no error to tell of.
  if (failure.code === 'EPIPE') return 128 + constants.signals.SIGPIPE;
  throw failure;
}
