// SPDX-License-Identifier: MIT
//
// Forwards and rules as control and page show them.

import { forwardText } from './forward-text.js';
import type { GatewayPolicy } from './policy.js';
import { ruleText } from './rule-text.js';
import type { Forward } from './types.js';

export function showForward({ id, options, port, flows }: Forward) {
  return {
    id,
    options,
    ...(port === undefined ? {} : { port }),
    flows,
    text: forwardText(options),
  };
}

export function showRules(policy: GatewayPolicy) {
  const { rules, otherwise } = policy;
  return { rules, texts: rules.map(ruleText), otherwise };
}
