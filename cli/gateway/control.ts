// SPDX-License-Identifier: MIT
//
// The control of a gateway: answers requests of HTTP, wherever they come from. Who may ask is decided before.

import type { IncomingMessage, ServerResponse } from 'node:http';
import { EventStream, type EventStreams } from './events.js';
import type { FlowList, FlowQuery } from './flow-list.js';
import { forwardDefaults, parseForward } from './forward-text.js';
import type { History } from './history.js';
import { mostRules, type Operation, openapi, paths, schemas } from './openapi.js';
import type { Answer, GatewayPolicy } from './policy.js';
import { Problem, problemOf } from './problem.js';
import type { Rule } from './rule.js';
import { parseRule, ruleText } from './rule-text.js';
import { check, type Schema } from './schema.js';
import type { ForwardOptions, Gateway } from './types.js';
import { showForward, showRules } from './views.js';

export interface Controlled {
  gateway: Gateway;
  policy: GatewayPolicy;
  flows: FlowList;
  history: History;
  streams: EventStreams;
  version: string;
  /** Where forwards in short lead to when they name no address. */
  guest: string | undefined;
}

/** Bytes of a request's body: a thousand rules fit. */
const mostBody = 512 * 1024;

interface Call {
  controlled: Controlled;
  id: number;
  query: Record<string, unknown>;
  body: unknown;
  request: IncomingMessage;
  response: ServerResponse;
}

/** What a call answers: a status, and what becomes JSON. Nothing where it has answered itself. */
type Reply = { status: number; body?: unknown; headers?: Record<string, string> } | undefined;

const ok = (body: unknown): Reply => ({ status: 200, body });
const done: Reply = { status: 204 };

const calls: { [path: string]: { [method: string]: (call: Call) => Reply } } = {
  '/flows': {
    get: ({ controlled, query }) => ok(controlled.flows.query(query as unknown as FlowQuery)),
  },
  '/flows/{id}': {
    delete: ({ controlled, id }) => {
      if (!controlled.gateway.kill(id)) throw new Problem(404, `there is no flow ${id}`);
      return done;
    },
  },
  '/ended': { get: ({ controlled, query }) => ok(controlled.flows.ended(query.limit as number)) },
  '/forwards': {
    get: ({ controlled }) => ok(controlled.gateway.forwards().map(showForward)),
    post: ({ controlled: { gateway, streams, guest }, body }) => {
      const forward = showForward(gateway.forward(readForward(body, guest)));
      streams.send('forwards', gateway.forwards().map(showForward));
      return { status: 201, body: forward, headers: { location: `forwards/${forward.id}` } };
    },
  },
  '/forwards/{id}': {
    delete: ({ controlled: { gateway, streams }, id }) => {
      const forward = gateway.forwards().find((one) => one.id === id);
      if (forward === undefined) throw new Problem(404, `there is no forward ${id}`);
      forward.close();
      streams.send('forwards', gateway.forwards().map(showForward));
      return done;
    },
  },
  '/rules': {
    get: ({ controlled }) => ok(showRules(controlled.policy)),
    put: ({ controlled: { policy }, body }) => {
      const { rules } = body as { rules: Rule[] };
      policy.setRules(rules);
      return ok(showRules(policy));
    },
    post: ({ controlled: { policy }, body }) => {
      const rule = readRule(body);
      if (policy.rules.length >= mostRules)
        throw new Problem(409, `there are ${mostRules} rules, the most there can be`);
      policy.setRules([rule, ...policy.rules]);
      return ok(showRules(policy));
    },
  },
  '/counters': { get: ({ controlled }) => ok(controlled.gateway.counters()) },
  '/history': { get: ({ controlled }) => ok(controlled.history.read()) },
  '/asking': { get: ({ controlled }) => ok(controlled.policy.asking()) },
  '/asking/{id}': {
    post: ({ controlled, id, body }) => {
      const rule = controlled.policy.answer(id, body as Answer);
      return ok(rule === null ? {} : { rule, text: ruleText(rule) });
    },
  },
  '/events': {
    get: ({ controlled, query, response }) => {
      const kinds = (query.only as string).split(',').filter(Boolean);
      controlled.streams.add(new EventStream(response, kinds));
      return undefined;
    },
  },
  '/openapi.json': { get: ({ controlled }) => ok(openapi(controlled.version)) },
};

function readForward(body: unknown, guest: string | undefined): ForwardOptions {
  const { text, direction = 'inward' } = body as {
    text?: string;
    direction?: 'inward' | 'outward';
  };
  if (text === undefined) return body as ForwardOptions;
  return parseForward(text, direction, forwardDefaults(direction, guest));
}

function readRule(body: unknown): Rule {
  const { text, action } = body as { text?: string; action: Rule['action'] };
  return text === undefined ? (body as Rule) : parseRule(text, action);
}

/** @param path of the request, with its query */
export async function answerRequest(
  controlled: Controlled,
  path: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  try {
    const reply = await run(controlled, path, request, response);
    if (reply !== undefined)
      send(response, reply.status, reply.body, 'application/json', reply.headers);
  } catch (error) {
    const found = problemOf(error);
    if (found === null)
      process.stderr.write(`vpollnet gateway: ${(error as Error).stack ?? error}\n`);
    sendProblem(response, found ?? new Problem(500, 'the gateway failed; its stderr says by what'));
  }
}

async function run(
  controlled: Controlled,
  target: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<Reply> {
  // What begins with two is a host to the URL parser.
  if (target.startsWith('//') || !URL.canParse(target, 'http://localhost')) {
    const given = target.slice(0, 60);
    throw new Problem(400, `the path must be one such as /flows, not '${given}'`);
  }
  const { pathname, searchParams } = new URL(target, 'http://localhost');
  const [, id] = /^\/(?:flows|forwards|asking)\/([^/]+)$/.exec(pathname) ?? [];
  const path = id === undefined ? pathname : pathname.replace(/[^/]+$/, '{id}');
  const methods = Object.hasOwn(calls, path) ? (calls[path] as (typeof calls)[string]) : undefined;
  if (methods === undefined)
    throw new Problem(404, `there is no ${pathname}; /openapi.json says what there is`);
  const method = request.method?.toLowerCase() ?? '';
  const call = Object.hasOwn(methods, method) ? methods[method] : undefined;
  if (call === undefined) {
    const allow = Object.keys(methods).join(', ').toUpperCase();
    throw new Problem(405, `${pathname} takes ${allow}, not ${request.method}`, { allow });
  }
  const operation = (paths as Record<string, Record<string, Operation>>)[path]?.[
    method
  ] as Operation;
  const number = Number(id ?? 0);
  if (id !== undefined && (!/^\d{1,16}$/.test(id) || number < 1 || !Number.isSafeInteger(number))) {
    throw new Problem(400, `id must be a whole number from 1, not '${id.slice(0, 60)}'`);
  }
  const query = readQuery(searchParams, operation);
  const schema = operation.requestBody?.content['application/json'].schema;
  const body = schema === undefined ? undefined : await readBody(request, schema);
  return call({ controlled, id: number, query, body, request, response });
}

function readQuery(
  given: URLSearchParams,
  { parameters = [] }: Operation,
): Record<string, unknown> {
  const known = parameters.filter((one) => one.in === 'query');
  for (const key of given.keys()) {
    if (known.some(({ name }) => name === key)) continue;
    const there = known.map(({ name }) => name).join(', ') || 'none here';
    throw new Problem(
      400,
      `there is no query parameter '${key.slice(0, 60)}'; there are: ${there}`,
    );
  }
  const query: Record<string, unknown> = {};
  for (const { name, schema } of known) {
    const text = given.get(name);
    const value =
      text !== null && schema.type === 'integer' && /^\d+$/.test(text) ? Number(text) : text;
    if (value !== null) check(value, schema, schemas, name);
    query[name] = value ?? schema.default;
  }
  return query;
}

async function readBody(request: IncomingMessage, schema: Schema): Promise<unknown> {
  // A page of somebody else's can send text without asking first, JSON it cannot.
  const type = request.headers['content-type'] ?? '';
  if (!/^application\/json\s*(;|$)/i.test(type)) {
    throw new Problem(415, `content-type must be application/json, not '${type.slice(0, 60)}'`);
  }
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of request) {
    size += (part as Buffer).length;
    if (size > mostBody)
      throw new Problem(413, `the body may have ${mostBody} bytes`, { connection: 'close' });
    parts.push(part as Buffer);
  }
  let body: unknown;
  try {
    body = JSON.parse(Buffer.concat(parts).toString('utf8'));
  } catch (error) {
    throw new Problem(400, `the body is not JSON: ${(error as Error).message}`);
  }
  check(body, schema, schemas, 'body');
  return body;
}

const titles: Record<number, string> = {
  ...{
    400: 'Bad Request',
    403: 'Forbidden',
    404: 'Not Found',
    405: 'Method Not Allowed',
    409: 'Conflict',
  },
  ...{ 413: 'Content Too Large', 415: 'Unsupported Media Type', 500: 'Internal Server Error' },
  503: 'Service Unavailable',
};

export function sendProblem(response: ServerResponse, { status, message, headers }: Problem): void {
  const body = { type: 'about:blank', title: titles[status] ?? '', status, detail: message };
  send(response, status, body, 'application/problem+json', headers);
}

function send(
  response: ServerResponse,
  status: number,
  body: unknown,
  type: string,
  headers: Record<string, string> = {},
): void {
  if (response.headersSent || response.destroyed) return;
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  response.setHeader('cache-control', 'no-store');
  response.statusCode = status;
  if (body === undefined) {
    response.end();
    return;
  }
  const text = JSON.stringify(body);
  response.setHeader('content-type', type);
  response.setHeader('content-length', Buffer.byteLength(text));
  response.end(text);
}
