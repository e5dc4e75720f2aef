// SPDX-License-Identifier: MIT
import { compare } from './harness/compare.js';
import { web } from './scenarios/http.js';
import { streams } from './scenarios/http2.js';
import { secure } from './scenarios/tls.js';

for (const area of [secure, web, streams]) compare(area);
