// SPDX-License-Identifier: MIT
//
// As worker.mjs, with require().

const net = require('node:net');
const { parentPort, workerData } = require('node:worker_threads');

const socket = net.createConnection({ port: 7, host: '10.0.0.1' });
socket.end(workerData);
let answer = '';
socket.on('data', (data) => {
  answer += data;
});
socket.on('connect', () => {
  const { localAddress } = socket;
  socket.on('end', () => parentPort.postMessage([answer, localAddress]));
});
