// SPDX-License-Identifier: MIT
//
// What leases of both families have in common: they end.

interface Ending {
  /** Milliseconds since 1970; Infinity for never. */
  expires: number;
}

/**
 * Takes out what is over at `now`: declined addresses by themselves, leases by `remove`.
 * @returns the leases that have ended
 */
export function endExpired<Entry extends Ending>(
  declined: Map<string, number>,
  entries: ReadonlyMap<string, Entry>,
  now: number,
  remove: (entry: Entry) => void,
): Entry[] {
  for (const [address, until] of declined) {
    if (until <= now) declined.delete(address);
  }
  const over = [...entries.values()].filter((entry) => entry.expires <= now);
  for (const entry of over) remove(entry);
  return over;
}

/** When the next of them is over; Infinity for never. */
export function earliestExpiry(entries: ReadonlyMap<string, Ending>): number {
  let next = Number.POSITIVE_INFINITY;
  for (const entry of entries.values()) next = Math.min(next, entry.expires);
  return next;
}
