// SPDX-License-Identifier: MIT
//
// Domain names as options carry them (RFC 1035 3.1), and what counts as a host's name.

import { checkString } from '../check.js';
import { invalidValue } from '../errors.js';

const longestLabel = 63;
const longestName = 253;

/** A name of labels of 1 to 63 bytes without control characters; lower case, without the dot at the end. */
export function checkDomain(value: unknown, name: string): string {
  const domain = checkString(value, name).replace(/\.$/, '').toLowerCase();
  const labels = domain.split('.');
  const fits = labels.every((label) => label.length > 0 && label.length <= longestLabel);
  if (!fits || domain.length > longestName || !/^[\x21-\x7e]+$/.test(domain)) {
    throw invalidValue(name, value, "must be a domain name, such as 'lan.example'");
  }
  return domain;
}

/** Whether it is one label of letters, digits and hyphens (RFC 952, RFC 1123 2.1). */
export function isHostName(name: string): boolean {
  return /^(?!-)[a-z0-9-]{1,63}(?<!-)$/i.test(name);
}

/** The labels and the root, uncompressed: what RFC 3646, RFC 4704 and RFC 8106 ask for, and RFC 3397 allows. */
export function encodeDomain(name: string): Buffer {
  const parts = name.split('.').flatMap((label) => {
    const bytes = Buffer.from(label, 'latin1');
    return [Buffer.of(bytes.length), bytes];
  });
  return Buffer.concat([...parts, Buffer.of(0)]);
}
