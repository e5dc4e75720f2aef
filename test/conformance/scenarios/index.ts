// SPDX-License-Identifier: MIT
//
// All areas, to be counted.

import type { Area } from '../harness/scenario.js';
import { datagrams } from './dgram.js';
import { web } from './http.js';
import { streams } from './http2.js';
import { netClose } from './net-close.js';
import { netConnect } from './net-connect.js';
import { netData } from './net-data.js';
import { netLookup } from './net-lookup.js';
import { netServer } from './net-server.js';
import { secure } from './tls.js';

export const areas: readonly Area[] = [
  netConnect,
  netLookup,
  netServer,
  netData,
  netClose,
  datagrams,
  secure,
  web,
  streams,
];
