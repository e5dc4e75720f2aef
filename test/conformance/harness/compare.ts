// SPDX-License-Identifier: MIT
//
// A test for each scenario: what happens over the stack is what happens over Node.

import { describe, test } from 'vitest';
import { type Area, type Outcome, perform } from './scenario.js';
import { nodeWorld, secondWorld } from './world.js';

/** The transcript, and below it why it ends there. */
function shown({ transcript, failure }: Outcome): string {
  return failure === null ? transcript : `${transcript}[not finished]\n  ${failure}\n`;
}

/** With `VPOLLNET_CONFORMANCE_PRINT=1` the transcripts are printed. */
const isPrinted = Boolean(process.env.VPOLLNET_CONFORMANCE_PRINT);

export function compare({ title, module, scenarios }: Area): void {
  describe(title, () => {
    for (const scenario of scenarios) {
      const define = scenario.isAlone ? test.sequential : test.concurrent;
      define(
        scenario.name,
        async ({ expect }) => {
          const expected = await perform(scenario, await nodeWorld());
          const found = await perform(scenario, await secondWorld(module));
          if (isPrinted) console.log(`${scenario.name}\n${shown(found)}`);
          expect(shown(found)).toBe(shown(expected));
          expect(expected.failure).toBeNull();
          expect(expected.transcript).not.toBe('');
        },
        150_000,
      );
    }
  });
}
