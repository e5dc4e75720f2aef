// SPDX-License-Identifier: MIT
//
// What control and page need, around one gateway.

import type { Controlled } from './control.js';
import { EventStreams } from './events.js';
import { FlowList } from './flow-list.js';
import { History } from './history.js';
import type { NameTable } from './names.js';
import type { GatewayPolicy } from './policy.js';
import type { Gateway } from './types.js';

export function assemble(
  gateway: Gateway,
  policy: GatewayPolicy,
  names: NameTable,
  { version, guest }: { version: string; guest: string | undefined },
): Controlled & Disposable {
  const history = new History(gateway);
  const streams = new EventStreams(gateway, policy, history);
  const flows = new FlowList(gateway, policy, names);
  return {
    ...{ gateway, policy, flows, history, streams, version, guest },
    [Symbol.dispose]() {
      history.close();
      streams.close();
    },
  };
}
