// SPDX-License-Identifier: MIT
//
// In a guest: test/ts/09-terminal.test.ts, compiled, on the back end that VPOLL_BACKEND names.

import { runTests } from 'vitest';
import '../../ts/09-terminal.test.js';

process.exit((await runTests()) > 0 ? 1 : 0);
