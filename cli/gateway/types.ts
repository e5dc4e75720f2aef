// SPDX-License-Identifier: MIT
//
// What control and page need of a gateway, and no more: so they can be tried over one of a test's.

import type {
  ForwardOptions,
  FlowInfo as GatewayFlow,
  GatewayRule,
  Reach,
  Redirect,
} from 'vpollnet';

export type { ForwardOptions, GatewayRule, Reach, Redirect };

export interface Endpoint {
  address: string;
  port: number;
}

export interface FlowInfo extends Omit<GatewayFlow, 'source' | 'destination' | 'target'> {
  source: Endpoint;
  destination: Endpoint;
  target?: Endpoint | { path: string };
}

export type Protocol = FlowInfo['protocol'];
export type Action = 'allow' | 'refuse' | 'drop';
export type Decision = Action | { redirect: Redirect };

export interface Forward {
  readonly id: number;
  readonly options: ForwardOptions;
  readonly port?: number;
  readonly flows: number;
  close(): void;
}

export interface Gateway {
  setRules(rules: readonly GatewayRule[]): void;
  flows(): FlowInfo[];
  kill(id: number): boolean;
  counters(): { bytesOut: number; bytesIn: number; openFlows: number };
  forward(options: ForwardOptions): Forward;
  forwards(): Forward[];
  on(event: 'flow' | 'end', listener: (flow: FlowInfo) => void): unknown;
  off(event: 'flow' | 'end', listener: (flow: FlowInfo) => void): unknown;
}
