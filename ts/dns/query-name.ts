// SPDX-License-Identifier: MIT
//
// Names as questions carry them.

import { domainToASCII } from 'node:url';

const longestLabel = 63;
const longestName = 253;

/**
 * A name as a question carries it, without the dot at the end, '' for the root; null for one that cannot be asked:
 * an empty or too long label, or what no name has. IDNs become what RFC 5891 4.4 says.
 */
export function queryName(name: string): string | null {
  // domainToASCII() takes ASCII names of numbers for addresses.
  const isAscii = [...name].every((one) => one.charCodeAt(0) < 0x80);
  const ascii = isAscii ? name : domainToASCII(name);
  if (!isAscii && ascii === '') return null;
  const bare = ascii.endsWith('.') ? ascii.slice(0, -1) : ascii;
  if (bare === '') return '';
  if (bare.length > longestName || !/^[\w\-./*]+$/.test(bare)) return null;
  const fits = bare.split('.').every((label) => label.length > 0 && label.length <= longestLabel);
  return fits ? bare : null;
}

/** Whether it is 'localhost' or under it (RFC 6761 6.3). */
export function isLocalhost(name: string): boolean {
  return /(^|\.)localhost$/i.test(name);
}

/** Whether nobody may be asked for it (RFC 7686 2). */
export function isOnion(name: string): boolean {
  return /(^|\.)onion$/i.test(name);
}
