// SPDX-License-Identifier: MIT
//
// Asks the server at 10.0.0.1:7 for an echo and posts what it says, and from where it was asked.

import { once } from 'node:events';
import { connect } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';

const socket = connect(7, '10.0.0.1');
await once(socket, 'connect');
const { localAddress } = socket;
socket.end(workerData);
const answer = (await socket.toArray()).join('');
parentPort.postMessage([answer, localAddress]);
