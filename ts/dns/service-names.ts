// SPDX-License-Identifier: MIT
//
// What ports are called, by the host's services(5).

import { readFileSync } from 'node:fs';

const file = '/etc/services';

let names: Map<number, string> | undefined;

/** The name of a TCP port; its number, as getnameinfo(3) has it, where it has none. */
export function serviceName(port: number): string {
  names ??= read();
  return names.get(port) ?? `${port}`;
}

function read(): Map<number, string> {
  const found = new Map<number, string>();
  let text = '';
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    // A host without the file knows ports by number.
  }
  for (const line of text.split('\n')) {
    const [, name = '', port = ''] = /^([^\s#]+)\s+(\d+)\/tcp\b/.exec(line) ?? [];
    if (name !== '' && !found.has(Number(port))) found.set(Number(port), name);
  }
  return found;
}
