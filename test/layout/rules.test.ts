// SPDX-License-Identifier: MIT
//
// Each rule fails where it must, and only there.

import { describe, expect, test } from 'vitest';
import {
  checkImports,
  checkIncludes,
  checkLength,
  checkLicence,
  checkLock,
  checkNotes,
  checkTypes,
} from './rules.js';

const files = new Set([
  'kernel/uapi/vpoll.h',
  'stack/host/pump.hpp',
  'stack/ip/route.hpp',
  'stack/socket/demux.hpp',
  'stack/stack.hpp',
  'stack/tcp/connection.hpp',
  'stack/tcp/sack.hpp',
  'stack/util/time.hpp',
  'stack/wire/ipv4.hpp',
  'test/support/peer.hpp',
  'ts/binding/socket.hpp',
  'vpoll/internal.h',
  'vpoll/vpoll.h',
]);

function includes(file: string, ...lines: string[]) {
  const text = lines.map((line) => `#include ${line}\n`).join('');
  return checkIncludes(file, text, (path) => files.has(path));
}

describe('include directions', () => {
  test.each([
    ['stack/wire/udp.cpp', '"util/time.hpp"'],
    ['stack/wire/udp.cpp', '"wire/ipv4.hpp"'],
    ['stack/tcp/send.cpp', '"tcp/sack.hpp"'],
    ['stack/tcp/send.cpp', '"sack.hpp"'],
    ['stack/socket/tcp.cpp', '"tcp/connection.hpp"'],
    ['stack/stack.cpp', '"socket/demux.hpp"'],
    ['stack/host/pump.cpp', '"stack.hpp"'],
    ['stack/host/pump.cpp', '<sys/epoll.h>'],
    ['stack/host/pump.cpp', '<mutex>'],
    ['stack/host/readiness.cpp', '"vpoll/vpoll.h"'],
    ['ts/binding/socket.cpp', '"host/pump.hpp"'],
    ['ts/binding/socket.cpp', '<napi.h>'],
    ['vpoll/backend_device.c', '"internal.h"'],
    ['vpoll/backend_device.c', '"../kernel/uapi/vpoll.h"'],
    ['vpoll/backend_device.c', '<sys/eventfd.h>'],
    ['stack/util/ring.hpp', '<cstdint>'],
    ['test/stack/tcp.cpp', '"host/pump.hpp"'],
  ])('%s may include %s', (file, name) => {
    expect(includes(file, name)).toEqual([]);
  });

  test.each([
    ['stack/util/ring.hpp', '"wire/ipv4.hpp"', 'stack/util may not include stack/wire/ipv4.hpp'],
    ['stack/tcp/send.cpp', '"ip/route.hpp"', 'stack/tcp may not include stack/ip/route.hpp'],
    ['stack/tcp/send.cpp', '"../ip/route.hpp"', 'stack/tcp may not include stack/ip/route.hpp'],
    ['stack/tcp/send.cpp', '"stack/ip/route.hpp"', 'stack/tcp may not include stack/ip/route.hpp'],
    ['stack/tcp/send.cpp', '"stack.hpp"', 'stack/tcp may not include stack/stack.hpp'],
    ['stack/tcp/send.cpp', '"socket/demux.hpp"', 'stack/tcp may not include'],
    ['stack/stack.cpp', '"host/pump.hpp"', 'stack may not include stack/host/pump.hpp'],
    ['stack/host/pump.cpp', '"ts/binding/socket.hpp"', 'stack/host may not include ts/binding'],
    ['stack/socket/tcp.cpp', '"vpoll/vpoll.h"', 'only stack/host may include vpoll/vpoll.h'],
    ['ts/binding/socket.cpp', '"vpoll/vpoll.h"', 'only stack/host may include vpoll/vpoll.h'],
    ['stack/tcp/timers.cpp', '<chrono>', 'only stack/host may include <chrono>'],
    ['stack/tcp/timers.cpp', '<thread>', 'only stack/host may include <thread>'],
    ['stack/tcp/timers.cpp', '<random>', 'only stack/host may include <random>'],
    ['stack/stack.cpp', '<mutex>', 'only stack/host may include <mutex>'],
    ['stack/wire/ipv4.cpp', '<sys/socket.h>', 'only stack/host may include <sys/socket.h>'],
    ['stack/wire/ipv4.cpp', '<unistd.h>', 'only stack/host may include <unistd.h>'],
    ['stack/host/pump.cpp', '<napi.h>', 'only ts/binding may include napi.h'],
    ['vpoll/vpoll.c', '"util/time.hpp"', 'vpoll may not include stack/util/time.hpp'],
    ['stack/host/pump.cpp', '"kernel/uapi/vpoll.h"', 'only vpoll may include kernel/uapi'],
    [
      'stack/host/pump.cpp',
      '"test/support/peer.hpp"',
      'test/support/peer.hpp is outside the layout',
    ],
    ['stack/tcp/send.cpp', '"gone.hpp"', 'gone.hpp is not a file of this repository'],
    ['stack/extra/new.cpp', '"util/time.hpp"', 'stack/extra is not a folder of the layout'],
  ])('%s may not include %s', (file, name, message) => {
    expect(includes(file, '<cstdint>', name)).toEqual([
      expect.stringContaining(`${file}:2: ${message}`),
    ]);
  });

  test('the core may not ask the system', () => {
    const check = (file: string, line: string) => checkIncludes(file, line, () => false);
    expect(check('stack/ip/ids.cpp', 'auto id = std::rand();')).toHaveLength(1);
    expect(check('stack/ip/ids.cpp', 'if (getenv("X")) return;')).toHaveLength(1);
    expect(check('stack/ip/ids.cpp', 'auto id = seed.random();')).toEqual([]);
    expect(check('stack/ip/ids.cpp', '// not rand()')).toEqual([]);
    expect(check('stack/host/random.cpp', 'getenv("X");')).toEqual([]);
  });
});

describe('imports', () => {
  test.each([
    ['ts/stack.ts', "import { x } from './addon.js';"],
    ['ts/net/server.ts', "import { x } from '../addon.js';"],
    ['ts/stack.ts', "import net from 'node:net';"],
    ['examples/terminal.ts', "import { Stack } from 'vpollnet';"],
    ['examples/terminal.ts', "import { LineHost } from './line-host.js';"],
    ['test/ts/stack.test.ts', "import { Stack } from '../../examples/terminal.js';"],
  ])('%s: %s', (file, text) => {
    expect(checkImports(file, text)).toEqual([]);
  });

  test.each([
    ['ts/stack.ts', "import { x } from '../examples/terminal.js';"],
    ['ts/stack.ts', "import {\n  x,\n} from '../test/support.js';"],
    ['ts/stack.ts', "import x from 'lodash';"],
    ['ts/stack.ts', "export * from 'lodash';"],
    ['ts/stack.ts', "await import('lodash');"],
    ['examples/terminal.ts', "import { addon } from '../ts/addon.js';"],
    ['examples/terminal.ts', "import '../scripts/setup.mjs';"],
    ['examples/terminal.ts', "import yargs from 'yargs';"],
    ['ts/stack.ts', "import yargs from 'yargs';"],
    ['ts/stack.ts', "import { x } from '../cli/ping.js';"],
    ['cli/main.ts', "import lodash from 'lodash';"],
    ['cli/main.ts', "import '../scripts/setup.mjs';"],
  ])('%s: not %s', (file, text) => {
    expect(checkImports(file, text, ['yargs'])).toHaveLength(1);
  });

  test.each([
    "import { Stack } from 'vpollnet';",
    "import yargs from 'yargs';",
    "import { native } from '../ts/native.js';",
    "await import('../examples/terminal-session.js');",
    "import { exitCode } from './command.js';",
  ])('cli/main.ts: %s', (text) => {
    expect(checkImports('cli/main.ts', text, ['yargs'])).toEqual([]);
  });
});

test('licence lines', () => {
  const line = (licence: string) => `SPDX-License-Identifier: ${licence}`;
  expect(checkLicence('stack/stack.cpp', `// ${line('MIT')}\n`)).toEqual([]);
  expect(checkLicence('scripts/a.sh', `#!/bin/sh\n# ${line('MIT')}\n`)).toEqual([]);
  expect(checkLicence('kernel/module/vpoll.c', `// ${line('GPL-2.0-only')}\n`)).toEqual([]);
  const uapi = 'GPL-2.0-only WITH Linux-syscall-note';
  expect(checkLicence('kernel/uapi/vpoll.h', `/* ${line(uapi)} */\n`)).toEqual([]);

  expect(checkLicence('stack/stack.cpp', '#pragma once\n')).toHaveLength(1);
  expect(checkLicence('stack/stack.cpp', `\n// ${line('MIT')}\n`)).toHaveLength(1);
  expect(checkLicence('stack/stack.cpp', `// ${line('GPL-2.0-only')}\n`)).toHaveLength(1);
  expect(checkLicence('kernel/module/vpoll.c', `// ${line('MIT')}\n`)).toHaveLength(1);
  expect(checkLicence('kernel/uapi/vpoll.h', `// ${line('GPL-2.0-only')}\n`)).toHaveLength(1);
});

test('lengths', () => {
  expect(checkLength('stack/a.cpp', 'x\n'.repeat(800))).toEqual([]);
  expect(checkLength('stack/a.cpp', 'x\n'.repeat(801))).toHaveLength(1);
  expect(checkLength('examples/a.ts', 'x\n'.repeat(120))).toEqual([]);
  expect(checkLength('examples/a.ts', 'x\n'.repeat(121))).toHaveLength(1);
  expect(checkLength('test/ts/a.test.ts', 'x\n'.repeat(900))).toEqual([]);
});

test('notes of work left over', () => {
  const word = ['TO', 'DO'].join('');
  expect(checkNotes('a.ts', `// ${word}: RACK needs a per-segment send time`)).toEqual([]);
  expect(checkNotes('a.ts', `// ${word}(ip): reassembly ignores the last overlap`)).toEqual([]);
  expect(checkNotes('a.ts', `// ${word}`)).toHaveLength(1);
  expect(checkNotes('a.ts', `// ${word}: later`)).toHaveLength(1);
  expect(checkNotes('a.ts', `// ${word} fix this as soon as there is time for it`)).toHaveLength(1);
});

test('types', () => {
  const header = (file: string, type: string, namespace = 'vpollnet::host') => ({
    file,
    text: `namespace ${namespace} {\nclass Later;\nenum class Kind : int;\n${type} {\n};\n}\n`,
  });
  const one = header('stack/a.hpp', 'class Address final : public Base');
  expect(checkTypes([one, header('stack/b.hpp', 'struct Address', 'vpollnet')])).toEqual([]);
  expect(checkTypes([one, header('stack/b.hpp', 'class Address::Part')])).toEqual([]);
  expect(checkTypes([one, header('stack/b.hpp', 'struct Address')])).toEqual([
    'stack/b.hpp: vpollnet::host::Address is defined in stack/a.hpp too',
  ]);
});

test('the lock file', () => {
  expect(checkLock('{\n  "version": "1.0.0"\n}')).toEqual([]);
  expect(checkLock('{\n  "resolved": "https://registry.example/a.tgz"\n}')).toHaveLength(1);
});
