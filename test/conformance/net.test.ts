// SPDX-License-Identifier: MIT
import { compare } from './harness/compare.js';
import { netClose } from './scenarios/net-close.js';
import { netConnect } from './scenarios/net-connect.js';
import { netData } from './scenarios/net-data.js';
import { netLookup } from './scenarios/net-lookup.js';
import { netServer } from './scenarios/net-server.js';

for (const area of [netConnect, netLookup, netServer, netData, netClose]) compare(area);
