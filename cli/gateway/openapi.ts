// SPDX-License-Identifier: MIT
//
// The control of a gateway, described by OpenAPI 3.1. Requests are checked by these schemas.

import { sortKeys } from './flow-list.js';
import { defaults } from './policy.js';
import { namePattern } from './rule.js';
import { reaches } from './rule-text.js';
import type { Schema } from './schema.js';

const text = (maxLength: number, more: Schema = {}): Schema => ({
  type: 'string',
  minLength: 1,
  maxLength,
  ...more,
});
const whole = (minimum: number, maximum: number, more: Schema = {}): Schema => ({
  type: 'integer',
  minimum,
  maximum,
  ...more,
});
const list = (items: Schema, maxItems: number): Schema => ({
  type: 'array',
  items,
  minItems: 1,
  maxItems,
});
const oneOrMore = (items: Schema, maxItems: number): Schema => ({
  oneOf: [items, list(items, maxItems)],
});
const ref = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });
const object = (
  properties: Record<string, Schema>,
  required: string[],
  more: Schema = {},
): Schema => ({
  type: 'object',
  properties,
  required,
  additionalProperties: false,
  ...more,
});
/** Of answers: what a later version adds is no error. */
const answer = (
  properties: Record<string, Schema>,
  required = Object.keys(properties),
): Schema => ({
  type: 'object',
  properties,
  required,
});

const count: Schema = { type: 'integer', minimum: 0 };
const path = text(107, {
  pattern: '^/',
  description: 'an absolute path of a Unix stream socket on the host',
});
const address = text(64, { format: 'ip' });
const port = whole(1, 65_535);
const protocol: Schema = { type: 'string', enum: ['tcp', 'udp', 'icmp'] };
const reach: Schema = { type: 'string', enum: reaches };
const action: Schema = { type: 'string', enum: ['allow', 'refuse', 'drop'] };

export const mostRules = 1000;
export const mostFlows = 20_000;

export const schemas = {
  Flow: answer(
    {
      id: whole(1, Number.MAX_SAFE_INTEGER),
      protocol,
      direction: { type: 'string', enum: ['outward', 'inward'] },
      state: {
        type: 'string',
        enum: ['asking', 'connecting', 'open', 'closing', 'taken', 'closed'],
      },
      end: { type: 'string', description: 'why it ended' },
      error: { type: 'string', description: 'the code of the error that ended it' },
      ended: { type: 'integer', minimum: 0, description: 'milliseconds since its end' },
      interface: { type: 'string' },
      source: ref('Endpoint'),
      destination: ref('Endpoint'),
      target: { oneOf: [ref('Endpoint'), ref('PathTarget')] },
      reach,
      bytesOut: { ...count, description: 'payload away from the source' },
      bytesIn: { ...count, description: 'payload towards the source' },
      packetsOut: count,
      packetsIn: count,
      age: { ...count, type: 'number', description: 'milliseconds' },
      idle: { ...count, type: 'number', description: 'milliseconds' },
      names: {
        type: 'array',
        items: { type: 'string' },
        description: 'of the destination, the newest first',
      },
      rateOut: { ...count, description: 'bytes a second' },
      rateIn: { ...count, description: 'bytes a second' },
      reason: { type: 'string', description: 'which rule, default or forward decided' },
    },
    [
      ...['id', 'protocol', 'direction', 'state', 'interface', 'source', 'destination', 'reach'],
      ...[
        'bytesOut',
        'bytesIn',
        'packetsOut',
        'packetsIn',
        'age',
        'idle',
        'names',
        'rateOut',
        'rateIn',
        'reason',
      ],
    ],
  ),
  Endpoint: answer({
    address: { type: 'string', description: 'or the path that a flow came to, with port 0' },
    port: whole(0, 65_535),
  }),
  PathTarget: answer({ path: { type: 'string' } }),
  FlowPage: answer({
    flows: { type: 'array', items: ref('Flow') },
    matching: { ...count, description: 'flows that the filter fits' },
    total: count,
  }),
  Place: object({ address, port: whole(0, 65_535), lastPort: port }, ['port'], {
    description: 'port 0 takes one that is free; lastPort makes it a range',
  }),
  Path: object({ path }, ['path']),
  Target: object({ address, port }, ['address', 'port']),
  ForwardRequest: object(
    {
      protocol: { type: 'string', enum: ['tcp', 'udp'], default: 'tcp' },
      direction: {
        type: 'string',
        enum: ['inward', 'outward'],
        default: 'inward',
        description: 'inward: the host listens; outward: the gateway does, for what is behind it',
      },
      listen: { oneOf: [ref('Place'), ref('Path')] },
      to: { oneOf: [ref('Target'), ref('Path')] },
    },
    ['listen', 'to'],
  ),
  ForwardText: object(
    {
      text: text(300, {
        description: 'a forward as on the command line, such as 8080:80 or 127.0.0.1:53:53/udp',
      }),
      direction: { type: 'string', enum: ['inward', 'outward'], default: 'inward' },
    },
    ['text'],
  ),
  Forward: answer(
    {
      id: whole(1, Number.MAX_SAFE_INTEGER),
      options: ref('ForwardRequest'),
      port: { ...port, description: 'that is listened on' },
      flows: count,
      text: { type: 'string', description: 'the same in one line' },
    },
    ['id', 'options', 'flows', 'text'],
  ),
  Rule: object(
    {
      action: { type: 'string', enum: ['allow', 'refuse', 'drop', 'ask'] },
      protocol,
      source: text(64, { description: 'an address or network' }),
      destination: oneOrMore(text(64, { description: 'an address or network' }), 1000),
      names: list(
        text(255, {
          pattern: namePattern,
          description: 'a name such as deb.debian.org or *.debian.org',
        }),
        1000,
      ),
      ports: text(1000, {
        pattern: '^\\s*\\d{1,5}(-\\d{1,5})?\\s*(,\\s*\\d{1,5}(-\\d{1,5})?\\s*)*$',
        description: 'a list of ports, such as 80,443,8000-8099',
      }),
      reach: oneOrMore(reach, reaches.length),
      redirect: { oneOf: [ref('Path'), ref('Redirect')] },
    },
    ['action'],
    {
      description:
        'The first rule that fits a new outward flow decides. With names and no reach: public only.',
    },
  ),
  RuleText: object(
    {
      text: text(2000, {
        description: 'a rule as on the command line, such as tcp:*.debian.org:443',
      }),
      action: { type: 'string', enum: ['allow', 'refuse', 'drop', 'ask'] },
    },
    ['text', 'action'],
  ),
  Redirect: object({ address, port }, []),
  Rules: object(
    {
      rules: { type: 'array', items: ref('Rule'), maxItems: mostRules },
      texts: {
        type: 'array',
        items: { type: 'string' },
        description: 'each rule in one line; not read',
      },
      otherwise: { type: 'string', enum: defaults, description: 'what no rule fits; not read' },
    },
    ['rules'],
  ),
  Asked: answer({
    flow: answer({
      id: whole(1, Number.MAX_SAFE_INTEGER),
      protocol,
      source: ref('Endpoint'),
      destination: ref('Endpoint'),
    }),
    names: { type: 'array', items: { type: 'string' } },
    remaining: { ...count, description: 'milliseconds until it is refused' },
  }),
  Answer: object(
    {
      action,
      for: {
        type: 'string',
        enum: ['once', 'address', 'name'],
        default: 'once',
        description:
          'address, name: also a rule in front of all others, for the same protocol and port',
      },
      name: text(255, { description: "one of the destination's names; the newest if left out" }),
    },
    ['action'],
  ),
  Counters: {
    type: 'object',
    additionalProperties: true,
    description: 'since the gateway was opened',
  },
  History: answer({
    interval: { type: 'number', description: 'seconds between two samples' },
    samples: {
      type: 'array',
      items: answer({
        time: { type: 'integer', description: 'milliseconds since 1970' },
        out: { type: 'number', minimum: 0, description: 'bytes a second, all flows' },
        in: { type: 'number', minimum: 0 },
        flows: count,
      }),
    },
  }),
  Problem: answer({
    type: { type: 'string' },
    title: { type: 'string' },
    status: whole(400, 599),
    detail: { type: 'string', description: 'which value is wrong, and what it must be' },
  }),
} satisfies Record<string, Schema>;

interface Parameter {
  name: string;
  in: 'query' | 'path';
  required?: boolean;
  description: string;
  schema: Schema;
}

export interface Operation {
  operationId: string;
  summary: string;
  parameters?: Parameter[];
  requestBody?: { required: true; content: { 'application/json': { schema: Schema } } };
  responses: Record<string, object>;
}

const json = (schema: Schema) => ({ 'application/json': { schema } });
const says = (description: string, schema?: Schema) => ({
  description,
  ...(schema === undefined ? {} : { content: json(schema) }),
});
const problem = (description: string) => ({
  description,
  content: { 'application/problem+json': { schema: ref('Problem') } },
});
const wrong = { 400: problem('a value is wrong; `detail` names it') };
const missing = { 404: problem('there is none of this number') };
const query = (name: string, description: string, schema: Schema): Parameter => ({
  name,
  in: 'query',
  description,
  schema,
});
const id: Parameter = {
  name: 'id',
  in: 'path',
  required: true,
  description: 'its number',
  schema: whole(1, Number.MAX_SAFE_INTEGER),
};
const takes = (schema: Schema) => ({
  requestBody: { required: true, content: json(schema) } as const,
});

export const paths = {
  '/flows': {
    get: {
      operationId: 'listFlows',
      summary: 'The flows that are open, connecting or asking',
      parameters: [
        query('limit', 'flows at most', whole(1, mostFlows, { default: 100 })),
        query('sort', 'which come first', { type: 'string', enum: sortKeys, default: 'newest' }),
        query('filter', 'words in addresses, ports, names, protocol and state', {
          type: 'string',
          maxLength: 200,
          default: '',
        }),
      ],
      responses: { 200: says('flows', ref('FlowPage')), ...wrong },
    },
  },
  '/flows/{id}': {
    delete: {
      operationId: 'killFlow',
      summary: 'Ends a flow, with a reset to both sides',
      parameters: [id],
      responses: { 204: says('it is ended'), ...wrong, ...missing },
    },
  },
  '/ended': {
    get: {
      operationId: 'listEnded',
      summary: 'The flows that ended last, the newest first; denied ones too',
      parameters: [query('limit', 'flows at most', whole(1, 500, { default: 100 }))],
      responses: { 200: says('flows', { type: 'array', items: ref('Flow') }), ...wrong },
    },
  },
  '/forwards': {
    get: {
      operationId: 'listForwards',
      summary: 'The forwards of ports',
      responses: { 200: says('forwards', { type: 'array', items: ref('Forward') }) },
    },
    post: {
      operationId: 'addForward',
      summary: 'Adds a forward',
      ...takes({ oneOf: [ref('ForwardText'), ref('ForwardRequest')] }),
      responses: {
        201: says('it listens', ref('Forward')),
        ...wrong,
        409: problem(
          'it cannot listen there: the port is in use, not permitted, not an address here',
        ),
      },
    },
  },
  '/forwards/{id}': {
    delete: {
      operationId: 'removeForward',
      summary: 'Ends a forward; its flows go on',
      parameters: [id],
      responses: { 204: says('it is ended'), ...wrong, ...missing },
    },
  },
  '/rules': {
    get: {
      operationId: 'getRules',
      summary: 'The rules, and what no rule fits',
      responses: { 200: says('rules', ref('Rules')) },
    },
    put: {
      operationId: 'setRules',
      summary: 'Other rules, for new flows and those that wait',
      ...takes(ref('Rules')),
      responses: { 200: says('the rules as they are now', ref('Rules')), ...wrong },
    },
    post: {
      operationId: 'addRule',
      summary: 'A rule more, in front of all others',
      ...takes({ oneOf: [ref('RuleText'), ref('Rule')] }),
      responses: { 200: says('the rules as they are now', ref('Rules')), ...wrong },
    },
  },
  '/counters': {
    get: {
      operationId: 'getCounters',
      summary: 'What the gateway has carried, and why it refused or dropped',
      responses: { 200: says('counters', ref('Counters')) },
    },
  },
  '/history': {
    get: {
      operationId: 'getHistory',
      summary: 'Throughput of the last minutes',
      responses: { 200: says('samples, the oldest first', ref('History')) },
    },
  },
  '/asking': {
    get: {
      operationId: 'listAsking',
      summary: 'The flows that wait for an answer',
      responses: { 200: says('flows', { type: 'array', items: ref('Asked') }) },
    },
  },
  '/asking/{id}': {
    post: {
      operationId: 'answer',
      summary: 'Decides about a flow that waits',
      parameters: [id],
      ...takes(ref('Answer')),
      responses: {
        200: says(
          'the rule that was made of it, if any',
          answer({ rule: ref('Rule'), text: { type: 'string' } }, []),
        ),
        ...wrong,
        404: problem('it does not wait, or no longer'),
        409: problem('its destination has no such name'),
      },
    },
  },
  '/events': {
    get: {
      operationId: 'events',
      summary: 'What happens from now on, as server-sent events',
      parameters: [
        query('only', 'kinds, with commas between; all if left out', {
          type: 'string',
          maxLength: 200,
          default: '',
        }),
      ],
      responses: {
        200: {
          description:
            'flow and end (a Flow without names and rates), ask (Asked), answered ({ id, action? }), rules (Rules), ' +
            'forwards (Forward[]), sample (as in /history), lost ({ count }: the reader was too slow)',
          content: { 'text/event-stream': { schema: { type: 'string' } } },
        },
        ...wrong,
        503: problem('too many readers'),
      },
    },
  },
  '/openapi.json': {
    get: {
      operationId: 'describe',
      summary: 'This document',
      responses: { 200: says('OpenAPI 3.1', { type: 'object' }) },
    },
  },
} satisfies Record<string, Partial<Record<'get' | 'put' | 'post' | 'delete', Operation>>>;

export const openapi = (version: string) => ({
  openapi: '3.1.0',
  info: {
    title: 'vpollnet gateway',
    version,
    description:
      'The control of a running gateway, over HTTP on a Unix socket that its user alone may open.',
    license: { name: 'MIT', identifier: 'MIT' },
  },
  servers: [
    { url: 'http://localhost', description: 'curl --unix-socket PATH http://localhost/flows' },
  ],
  paths,
  components: { schemas },
});
