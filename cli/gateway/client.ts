// SPDX-License-Identifier: MIT
//
// vpollnet gateway-control: asks a running gateway over its Unix socket.

import { once } from 'node:events';
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import colours from 'picocolors';
import { CommandFailure, clean, endOfUse, exitCode, UsageError } from '../command.js';
import type { ControlAction } from '../gateway-control-command.js';
import { coloured, plain, short, table } from '../stacks-view.js';
import type { FlowPage, ShownFlow } from './flow-list.js';
import { type Asked, flowText } from './policy.js';
import { endpointText } from './rule-text.js';

export interface ControlRequest {
  path: string;
  action: ControlAction;
  args: readonly string[];
  json: boolean;
  query: Record<string, string>;
  scope: string;
}

/** Milliseconds for an answer; of events, for its beginning. */
const patience = 10_000;

async function send(
  path: string,
  method: string,
  target: string,
  body?: object,
): Promise<IncomingMessage> {
  const text = body === undefined ? undefined : JSON.stringify(body);
  const headers = text === undefined ? {} : { 'content-type': 'application/json' };
  const sent: ClientRequest = request({
    socketPath: path,
    method,
    path: target,
    headers,
    agent: false,
  });
  sent.setTimeout(patience, () => sent.destroy(new Error(`no answer at ${path}`)));
  sent.end(text);
  try {
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    return response;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const nobody = code === 'ENOENT' || code === 'ECONNREFUSED';
    throw new Error(nobody ? `no gateway has its control at ${path} (${code})` : message);
  }
}

/** @throws {CommandFailure} what the gateway says is wrong */
// biome-ignore lint/suspicious/noExplicitAny: JSON whose form the OpenAPI document has
async function ask(path: string, method: string, target: string, body?: object): Promise<any> {
  const response = await send(path, method, target, body);
  response.setEncoding('utf8');
  let text = '';
  for await (const part of response) text += part;
  const answer = text === '' ? undefined : JSON.parse(text);
  const { statusCode = 500 } = response;
  if (statusCode < 300) return answer;
  const what = clean(answer?.detail ?? `the gateway answers ${statusCode}`);
  if (statusCode === 400) throw new UsageError(what);
  throw new CommandFailure(what, statusCode === 404 ? exitCode.nothing : exitCode.failure);
}

function flowTable(flows: readonly ShownFlow[]): string[] {
  const style = colours.isColorSupported && process.stdout.isTTY ? coloured : plain;
  const head = [
    'Id',
    'Protocol',
    'Source',
    'Destination',
    'Name',
    'State',
    'Out',
    'In',
    'Rate',
    'Age',
    'Decided by',
  ];
  const rows = flows.map((flow) => [
    ...[`${flow.id}`, flow.protocol, endpointText(flow.source), endpointText(flow.destination)],
    ...[
      clean(flow.names[0] ?? '-'),
      flow.end ?? flow.state,
      short(flow.bytesOut),
      short(flow.bytesIn),
    ],
    ...[
      `${short(flow.rateOut + flow.rateIn)}/s`,
      `${Math.round(flow.age / 1000)}s`,
      clean(flow.reason),
    ],
  ]);
  return rows.length === 0 ? ['none'] : table(head, rows, [0, 6, 7, 8, 9], style);
}

const listOf = (lines: readonly string[]) => (lines.length === 0 ? ['none'] : lines.map(clean));

/** @returns the exit code */
export async function runControl({
  path,
  action,
  args,
  json,
  query,
  scope,
}: ControlRequest): Promise<number> {
  const [first = '', second = ''] = args;
  const call = (method: string, target: string, body?: object) => ask(path, method, target, body);
  const print = (answer: unknown, lines: readonly string[]) => {
    process.stdout.write(
      json ? `${JSON.stringify(answer ?? null)}\n` : lines.map((line) => `${line}\n`).join(''),
    );
  };
  const actionNamed = (name: string) => (name === 'deny' ? 'refuse' : name);
  switch (action) {
    case 'flows': {
      const found: FlowPage = await call('GET', `/flows?${new URLSearchParams(query)}`);
      const left = found.matching - found.flows.length;
      print(found, [
        ...flowTable(found.flows),
        ...(left > 0 ? [`${left} more are not shown (--limit)`] : []),
      ]);
      break;
    }
    case 'ended': {
      const limit = Math.min(500, Number(query.limit));
      const found: ShownFlow[] = await call('GET', `/ended?limit=${limit}`);
      print(found, flowTable(found));
      break;
    }
    case 'kill':
      print(await call('DELETE', `/flows/${encodeURIComponent(first)}`), []);
      break;
    case 'forwards': {
      const found: { id: number; text: string; flows: number }[] = await call('GET', '/forwards');
      print(found, listOf(found.map(({ id, text, flows }) => `${id}  ${text}, ${flows} flows`)));
      break;
    }
    case 'publish':
    case 'outward': {
      const direction = action === 'publish' ? 'inward' : 'outward';
      const made = await call('POST', '/forwards', { text: first, direction });
      print(made, [
        `${made.id}  ${clean(made.text)}${made.port === undefined ? '' : `, port ${made.port}`}`,
      ]);
      break;
    }
    case 'remove':
      print(await call('DELETE', `/forwards/${encodeURIComponent(first)}`), []);
      break;
    case 'rules':
    case 'allow':
    case 'deny':
    case 'ask': {
      const body = { text: first, action: actionNamed(action) };
      const found =
        action === 'rules' ? await call('GET', '/rules') : await call('POST', '/rules', body);
      print(found, listOf([...found.texts, `default ${found.otherwise}`]));
      break;
    }
    case 'asking': {
      const found: Asked[] = await call('GET', '/asking');
      const line = ({ flow, names, remaining }: Asked) =>
        `${flow.id}  ${flowText(flow, names)}, refused in ${Math.round(remaining / 1000)} s`;
      print(found, listOf(found.map(line)));
      break;
    }
    case 'answer': {
      const body = { action: actionNamed(second), for: scope };
      const made = await call('POST', `/asking/${encodeURIComponent(first)}`, body);
      print(made, made.text === undefined ? [] : [clean(made.text)]);
      break;
    }
    case 'counters': {
      const found: Record<string, unknown> = await call('GET', '/counters');
      const { drops = {}, ...totals } = found as { drops?: Record<string, number> };
      const dropped = Object.entries(drops).filter(([, count]) => count > 0);
      print(
        found,
        [...Object.entries(totals), ...dropped].map(([name, value]) => `${name} ${value}`),
      );
      break;
    }
    case 'events':
      await follow(path);
      break;
  }
  return exitCode.ok;
}

/** Prints events, a line each, until the gateway ends or somebody ends this. */
async function follow(path: string): Promise<void> {
  const response = await send(
    path,
    'GET',
    '/events?only=flow,end,ask,answered,rules,forwards,lost',
  );
  response.socket.setTimeout(0);
  endOfUse().signal.addEventListener('abort', () => response.destroy());
  let text = '';
  try {
    for await (const part of response.setEncoding('utf8')) {
      text += part;
      const whole = text.split('\n\n');
      text = whole.pop() ?? '';
      for (const one of whole) {
        const [, event, data] = /^event: (\w+)\ndata: (.*)$/.exec(one) ?? [];
        if (data !== undefined) process.stdout.write(`{"event":"${event}","data":${data}}\n`);
      }
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ECONNRESET' && !response.destroyed) throw error;
  }
}
