// SPDX-License-Identifier: MIT
//
// A gateway of which the test says what there is: control and page are tried with as many flows as the test wants.

import { EventEmitter } from 'node:events';
import type {
  Decision,
  FlowInfo,
  Forward,
  ForwardOptions,
  Gateway,
  GatewayRule,
} from '../../cli/gateway/types.js';

export function flowOf(id: number, more: Partial<FlowInfo> = {}): FlowInfo {
  return {
    id,
    protocol: 'tcp',
    direction: 'outward',
    state: 'open',
    interface: 'eth0',
    source: { address: '10.0.2.100', port: 40_000 + (id % 20_000) },
    destination: { address: '198.51.100.7', port: 443 },
    reach: 'public',
    bytesOut: 0,
    bytesIn: 0,
    packetsOut: 0,
    packetsIn: 0,
    age: 0,
    idle: 0,
    ...more,
  };
}

export class FakeGateway extends EventEmitter implements Gateway {
  readonly all = new Map<number, FlowInfo>();
  readonly opened: Forward[] = [];
  rules: readonly GatewayRule[] = [];
  bytesOut = 0;
  bytesIn = 0;
  /** What forward() and setRules() throw. */
  failure: Error | undefined;
  #forwards = 0;

  add(flow: FlowInfo): void {
    this.all.set(flow.id, flow);
    this.emit('flow', flow);
  }

  end(id: number, end: string): void {
    const flow = this.all.get(id) as FlowInfo;
    this.all.delete(id);
    this.emit('end', { ...flow, state: 'closed', end });
  }

  setRules(rules: readonly GatewayRule[]): void {
    if (this.failure !== undefined) throw this.failure;
    this.rules = rules;
  }

  flows(): FlowInfo[] {
    return [...this.all.values()].map((flow) => ({ ...flow }));
  }

  kill(id: number): boolean {
    if (!this.all.has(id)) return false;
    this.end(id, 'killed');
    return true;
  }

  counters() {
    const { bytesOut, bytesIn } = this;
    return {
      flows: 1,
      bytesOut,
      bytesIn,
      openFlows: this.all.size,
      asking: 0,
      drops: { denied: 2 },
    };
  }

  forward(options: ForwardOptions): Forward {
    if (this.failure !== undefined) throw this.failure;
    this.#forwards += 1;
    const forward: Forward = {
      id: this.#forwards,
      options,
      flows: 0,
      close: () => void this.opened.splice(this.opened.indexOf(forward), 1),
      ...('port' in options.listen ? { port: options.listen.port || 40_000 } : {}),
    };
    this.opened.push(forward);
    return forward;
  }

  forwards(): Forward[] {
    return [...this.opened];
  }

  /** As the gateway asks its policy; what was decided. */
  async ask(
    policy: (flow: FlowInfo, signal: AbortSignal) => Decision | Promise<Decision>,
    flow: FlowInfo,
    signal: AbortSignal = new AbortController().signal,
  ): Promise<Decision> {
    this.all.set(flow.id, { ...flow, state: 'asking' });
    const decision = await policy(flow, signal);
    if (decision === 'allow') this.add({ ...flow, state: 'open' });
    else this.end(flow.id, 'denied');
    return decision;
  }
}
