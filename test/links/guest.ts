// SPDX-License-Identifier: MIT
//
// A guest under qemu with network cards: Debian's kernel, busybox, and one script that it runs.

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { debianKernel } from '../../scripts/kernel-build.mjs';
import { boot, Initramfs, readOutcome, tail, withWorkFolder } from '../../scripts/kernel-guest.mjs';

const works = (...[tool = '', ...args]: string[]) => spawnSync(tool, args).status === 0;

/** Why no guest can be booted here; '' if one can. */
export const guestMissing =
  process.platform !== 'linux' || process.arch !== 'x64'
    ? 'guests are Linux on x86-64'
    : !works('qemu-system-x86_64', '--version')
      ? 'qemu-system-x86_64 is missing'
      : !works('cpio', '--version') || !existsSync('/bin/busybox')
        ? 'cpio or busybox is missing'
        : '';

export interface Guest {
  /** What the script said, when it has ended; an error if the guest died or hung. */
  readonly output: Promise<string>;
  /** Ends it now. */
  stop(): void;
}

/**
 * Boots a guest whose cards are eth0, eth1, ... in the order of `netdevs`.
 * @param netdevs what follows `-netdev`, without the id
 * @param script of the guest's shell; the machine is turned off when it ends
 * @param seconds what it may take
 * @param programs of this machine, beside busybox: they are at the same path there, with their libraries
 */
export function bootGuest(
  netdevs: string[],
  script: string,
  seconds: number,
  card: (index: number) => string = () => 'virtio-net-pci',
  programs: string[] = [],
): Guest {
  const stop = new AbortController();
  const output = withWorkFolder(false, async (work) => {
    const kernel = await debianKernel('6.1');
    const files = new Initramfs(join(work, 'tree'));
    files.text('/script.sh', script);
    for (const program of programs) await files.program(program, program);
    const runs = [{ name: 'script', seconds, command: 'sh /script.sh' }];
    files.list(kernel.network, runs);
    const initramfs = join(work, 'initramfs');
    await files.pack(initramfs);
    const console = join(work, 'console');
    const results = join(work, 'results');
    const ended = await boot({
      ...{ kernel: kernel.image, initramfs, memory: 192, console, results, programs: runs },
      bootSeconds: 120,
      onResult: () => {},
      devices: netdevs.flatMap((netdev, i) => [
        ...['-netdev', netdev.replace(/^(\w+)/, `$1,id=net${i}`)],
        ...['-device', `${card(i)},netdev=net${i},mac=52:54:00:00:00:0${i}`],
      ]),
      signal: stop.signal,
    });
    const outcome = readOutcome(readFileSync(results, 'latin1'));
    const said = outcome.results.find(({ name }) => name === 'script');
    if (said?.code === 0) return said.output;
    const why = ended.hung ? 'the guest hung' : ended.error || `the script's code: ${said?.code}`;
    throw new Error(`${why}\n${said?.output ?? outcome.partial}\n${tail(console, 20)}`);
  });
  output.catch(() => {}); // whoever asks hears of it
  return { output, stop: () => stop.abort() };
}
