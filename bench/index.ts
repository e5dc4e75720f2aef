// SPDX-License-Identifier: MIT
//
// npm run bench [-- --json] [-- NAME...]: what the stack reaches, each figure beside a peer's in the
// same run.

import { parseArgs } from 'node:util';
import { cableRows } from './cable.js';
import { gatewayObstacle, gatewayRows } from './gateway.js';
import { idleRows } from './idle.js';
import { kernelObstacle, kernelRows } from './kernel.js';
import type { Row } from './measure.js';
import { buildPrograms } from './native.js';
import { streamRows } from './stream.js';
import { streamMemoryRows } from './stream-memory.js';
import { switchObstacle, switchRows } from './switch.js';
import { tapObstacle, tapRows } from './tap.js';
import { vdeObstacle, vdeRows } from './vde.js';
import { vpollRows } from './vpoll.js';

const usage = `Usage: npm run bench [-- [--json] [GROUP...]]

Measures groups of figures: vpoll, kernel, cable, stream, stream-memory, switch, idle, tap, vde, gateway (default: all). About two minutes, two
more for kernel, which boots an emulated machine, and four more for gateway.

  --json   one JSON object a line: name, value, unit, against, against_value, ratio
  --help   this text
`;

const groups: Record<string, () => AsyncGenerator<Row>> = {
  vpoll: vpollRows,
  kernel: kernelRows,
  cable: cableRows,
  stream: streamRows,
  'stream-memory': streamMemoryRows,
  switch: switchRows,
  idle: idleRows,
  tap: tapRows,
  vde: vdeRows,
  gateway: gatewayRows,
};

/** Why a group cannot be measured here; null if it can. */
const obstacles: Record<string, () => string | null> = {
  tap: () => {
    const why = tapObstacle();
    return why === null ? null : `this machine lets us make no TAP in a namespace: ${why}`;
  },
  kernel: kernelObstacle,
  vde: vdeObstacle,
  gateway: gatewayObstacle,
  switch: () => {
    const why = switchObstacle();
    return why === null ? null : `this machine lets us make no bridge in a namespace: ${why}`;
  },
};

function parse() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: { json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
    });
  } catch (error) {
    process.stderr.write(`bench: ${(error as Error).message}\n${usage}`);
    process.exit(2);
  }
}

const { values, positionals } = parse();
if (values.help) {
  process.stdout.write(usage);
  process.exit(0);
}
const names = positionals.length > 0 ? positionals : Object.keys(groups);
const unknown = names.find((name) => groups[name] === undefined);
if (unknown !== undefined) {
  process.stderr.write(`bench: there is no group '${unknown}'\n${usage}`);
  process.exit(2);
}

buildPrograms();
const rows: Row[] = [];
for (const name of names) {
  const obstacle = obstacles[name]?.();
  if (obstacle) {
    process.stderr.write(`bench: no ${name} rows: ${obstacle}\n`);
    continue;
  }
  process.stderr.write(`measuring ${name}\n`);
  for await (const row of (groups[name] as () => AsyncGenerator<Row>)()) {
    rows.push(row);
    if (values.json) process.stdout.write(`${JSON.stringify(row)}\n`);
  }
}
if (!values.json) {
  const number = (value: number) => (value >= 100 ? value.toFixed(0) : value.toFixed(2));
  console.table(
    rows.map((row) => ({
      name: row.name,
      value: number(row.value),
      unit: row.unit,
      against: row.against,
      'its value': number(row.against_value),
      ratio: number(row.ratio),
    })),
  );
}
