// SPDX-License-Identifier: MIT
import { compare } from './harness/compare.js';
import { datagrams } from './scenarios/dgram.js';

compare(datagrams);
