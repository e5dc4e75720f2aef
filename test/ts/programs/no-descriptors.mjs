// SPDX-License-Identifier: MIT
//
// Opens a stack when the process has no descriptor left, and again when it has.

import { closeSync, openSync } from 'node:fs';
import { Stack } from 'vpollnet';

const held = [];
try {
  for (;;) held.push(openSync('/dev/null'));
} catch {
  // That was the last one.
}
let result = 'opened';
try {
  await Stack.open();
} catch (error) {
  result = `${error.code} ${error.syscall}`;
}
for (const fd of held) closeSync(fd);
const stack = await Stack.open();
console.log(`${result}, then ${stack.interfaces().length} interface`);
await stack.close();
