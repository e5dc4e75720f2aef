// SPDX-License-Identifier: MIT
//
// The control of a gateway over its Unix socket: each path of the OpenAPI document by a real request, and what is
// wrong with others.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Validator } from '@seriousme/openapi-schema-validator';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { assemble } from '../../cli/gateway/assemble.js';
import { NameTable } from '../../cli/gateway/names.js';
import { openapi, paths } from '../../cli/gateway/openapi.js';
import { GatewayPolicy } from '../../cli/gateway/policy.js';
import { type Served, serveControl } from '../../cli/gateway/serve.js';
import { FakeGateway, flowOf } from './fake-gateway.js';
import { until } from './support.js';

let folder: string;
let path: string;
let gateway: FakeGateway;
let policy: GatewayPolicy;
let names: NameTable;
let controlled: ReturnType<typeof assemble>;
let served: Served;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'vpollnet-control-'));
  path = join(folder, 'socket');
  gateway = new FakeGateway();
  names = new NameTable();
  policy = new GatewayPolicy({ rules: [], otherwise: 'ask', names, timeout: 30_000 });
  policy.attach(gateway);
  controlled = assemble(gateway, policy, names, { version: '1.2.3', guest: '10.0.2.100' });
  served = await serveControl(controlled, path);
});

afterEach(async () => {
  controlled[Symbol.dispose]();
  await served[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

interface Answered {
  status: number;
  headers: IncomingMessage['headers'];
  // biome-ignore lint/suspicious/noExplicitAny: JSON of any form, which the tests look into
  body: any;
}

/** @param body sent as JSON unless it is text */
async function ask(
  method: string,
  target: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answered> {
  const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
  const json = body === undefined ? {} : { 'content-type': 'application/json' };
  const sent = httpRequest({
    socketPath: path,
    method,
    path: target,
    headers: { ...json, ...headers },
  });
  sent.end(text);
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  const parts: Buffer[] = [];
  for await (const part of response) parts.push(part as Buffer);
  const answer = Buffer.concat(parts).toString();
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body: answer === '' ? undefined : JSON.parse(answer),
  };
}

/** A connection on which the test itself writes what is sent. */
async function raw(): Promise<Socket> {
  const socket = connect(path);
  onTestFinished(() => void socket.destroy());
  await once(socket, 'connect');
  socket.on('error', () => {});
  return socket;
}

test('the document is valid OpenAPI 3.1', async () => {
  const { body } = await ask('GET', '/openapi.json');
  const { valid, errors } = await new Validator().validate(structuredClone(body));
  expect(errors).toBeUndefined();
  expect(valid).toBe(true);
  expect(body).toMatchObject({ openapi: '3.1.0', info: { version: '1.2.3' } });
});

describe('the socket', () => {
  test('is for its user alone, and gone with the control', async () => {
    expect(statSync(path).mode & 0o777).toBe(0o600);
    await served[Symbol.asyncDispose]();
    expect(existsSync(path)).toBe(false);
  });

  test('that somebody listens at is not taken over', async () => {
    await expect(serveControl(controlled, path)).rejects.toMatchObject({ code: 'EADDRINUSE' });
    expect((await ask('GET', '/counters')).status).toBe(200);
  });

  test('that a program left behind is replaced', async () => {
    const left = join(folder, 'left');
    const program = `require('node:net').createServer().listen('${left}', () => process.kill(process.pid, 'SIGKILL'))`;
    spawnSync(process.execPath, ['-e', program]);
    expect(existsSync(left)).toBe(true);
    await using _ = await serveControl(controlled, left);
    expect(statSync(left).mode & 0o777).toBe(0o600);
  });

  test('never replaces a file that is none', async () => {
    const file = join(folder, 'file');
    writeFileSync(file, 'precious');
    await expect(serveControl(controlled, file)).rejects.toMatchObject({ code: 'EADDRINUSE' });
    expect(statSync(file).size).toBe(8);
  });

  test('in a folder that may not be written is an error with its path', async () => {
    await expect(serveControl(controlled, join(folder, 'none/socket'))).rejects.toThrow(
      /none\/socket/,
    );
  });
});

describe('every path of the document answers as it says', () => {
  const ajv = new Ajv2020({ strict: false, formats: { ip: true } });
  ajv.addSchema(openapi('1.2.3'), 'openapi');

  const asked = new Set<string>();

  /** Whether the answer is one that the document has for the operation. */
  function fits(operation: string, { status, body }: Answered): void {
    asked.add(operation);
    const [method = '', name = ''] = operation.split(' ');
    const key = name.replaceAll('~', '~0').replaceAll('/', '~1');
    const responses = (
      paths as Record<string, Record<string, { responses: Record<string, { content?: object }> }>>
    )[name]?.[method]?.responses;
    const documented = responses?.[status];
    expect(documented, `${operation} answers ${status}`).toBeDefined();
    const type = Object.keys(documented?.content ?? {})[0];
    if (type === undefined) {
      expect(body).toBeUndefined();
      return;
    }
    const pointer = `openapi#/paths/${key}/${method}/responses/${status}/content/${type.replaceAll('/', '~1')}/schema`;
    const validate = ajv.getSchema(
      pointer.replaceAll('{', '%7B').replaceAll('}', '%7D').replace('+', '%2B'),
    );
    expect(validate, pointer).toBeDefined();
    validate?.(body);
    expect(validate?.errors ?? null, `${operation} ${JSON.stringify(body)}`).toBeNull();
  }

  test('GET /flows: with names, reasons and rates; sorted, searched and limited', async () => {
    names.learn('deb.debian.org', '198.51.100.7');
    for (let i = 1; i <= 300; i += 1)
      gateway.add(flowOf(i, { bytesOut: 1000 - i, target: { path: '/run/x' } }));
    gateway.add(
      flowOf(301, {
        protocol: 'udp',
        destination: { address: 'fd00::1', port: 53 },
        error: 'ECONNRESET',
      }),
    );
    const all = await ask('GET', '/flows');
    fits('get /flows', all);
    expect(all.body).toMatchObject({ total: 301, matching: 301 });
    expect(all.body.flows).toHaveLength(100);
    expect(all.body.flows[0]).toMatchObject({
      id: 301,
      reason: 'default ask',
      rateOut: 0,
      names: [],
    });
    expect(all.body.flows[1]).toMatchObject({ id: 300, names: ['deb.debian.org'] });
    const some = await ask('GET', '/flows?limit=2&sort=bytes&filter=TCP+debian');
    expect(some.body).toMatchObject({ total: 301, matching: 300 });
    expect(some.body.flows.map(({ id }: { id: number }) => id)).toEqual([1, 2]);
    expect((await ask('GET', '/flows?filter=%5Bfd00::1%5D:53')).body).toMatchObject({
      matching: 1,
    });
  });

  test('DELETE /flows/{id} and GET /ended', async () => {
    gateway.add(flowOf(7));
    const killed = await ask('DELETE', '/flows/7');
    fits('delete /flows/{id}', killed);
    expect(killed.status).toBe(204);
    const again = await ask('DELETE', '/flows/7');
    fits('delete /flows/{id}', again);
    expect(again).toMatchObject({ status: 404, body: { detail: 'there is no flow 7' } });
    const ended = await ask('GET', '/ended?limit=10');
    fits('get /ended', ended);
    expect(ended.body).toMatchObject([{ id: 7, end: 'killed' }]);
  });

  test('GET, POST and DELETE /forwards', async () => {
    const listen = { address: '127.0.0.1', port: 8080 };
    const to = { address: '10.0.2.100', port: 80 };
    const added = await ask('POST', '/forwards', { listen, to });
    fits('post /forwards', added);
    expect(added).toMatchObject({
      status: 201,
      headers: { location: 'forwards/1' },
      body: { id: 1, port: 8080, text: 'inward tcp 127.0.0.1:8080 to 10.0.2.100:80' },
    });
    const short = await ask('POST', '/forwards', { text: '0:53/udp' });
    expect(short.body).toMatchObject({
      port: 40_000,
      options: { protocol: 'udp', to: { ...to, port: 53 } },
    });
    const socket = await ask('POST', '/forwards', { text: '80:/run/x', direction: 'outward' });
    fits('post /forwards', socket);
    const all = await ask('GET', '/forwards');
    fits('get /forwards', all);
    expect(all.body).toHaveLength(3);
    fits('delete /forwards/{id}', await ask('DELETE', '/forwards/1'));
    expect(gateway.opened).toHaveLength(2);
    fits('delete /forwards/{id}', await ask('DELETE', '/forwards/1'));
  });

  test('a forward that the machine does not let be is 409, with the reason', async () => {
    gateway.failure = Object.assign(new Error('listen EADDRINUSE 127.0.0.1:80'), {
      code: 'EADDRINUSE',
    });
    const refused = await ask('POST', '/forwards', { text: '80:80' });
    fits('post /forwards', refused);
    expect(refused).toMatchObject({
      status: 409,
      body: { detail: 'listen EADDRINUSE 127.0.0.1:80' },
    });
  });

  test('GET, PUT and POST /rules', async () => {
    const rules = [
      { action: 'allow', names: ['*.debian.org'], ports: '443', protocol: 'tcp' },
      { action: 'refuse', destination: ['10.0.0.0/8', 'fd00::/8'], reach: ['private'] },
      {
        action: 'allow',
        protocol: 'udp',
        ports: '53',
        redirect: { address: '127.0.0.1' },
        source: '10.0.2.0/24',
      },
    ];
    const set = await ask('PUT', '/rules', { rules });
    fits('put /rules', set);
    expect(set.body).toMatchObject({ rules, otherwise: 'ask' });
    const added = await ask('POST', '/rules', { action: 'drop', text: 'udp:all:137-139' });
    fits('post /rules', added);
    const got = await ask('GET', '/rules');
    fits('get /rules', got);
    expect(got.body).toEqual(added.body);
    expect(got.body.texts).toEqual([
      'drop udp:all:137-139',
      'allow tcp:*.debian.org:443',
      'refuse 10.0.0.0/8,fd00::/8 and private',
      'allow udp:all:53 from 10.0.2.0/24 to 127.0.0.1',
    ]);
    expect(gateway.rules).toEqual([{ action: 'drop', protocol: 'udp', ports: '137-139' }]);
    // What it says of itself can be given back.
    fits('put /rules', await ask('PUT', '/rules', got.body));
  });

  test('GET /counters and /history', async () => {
    const counters = await ask('GET', '/counters');
    fits('get /counters', counters);
    expect(counters.body).toMatchObject({ openFlows: 0, drops: { denied: 2 } });
    gateway.bytesOut = 5000;
    let history = await ask('GET', '/history');
    while (history.body.samples.length === 0) history = await ask('GET', '/history');
    fits('get /history', history);
    expect(history.body.samples[0].out).toBeGreaterThan(3000);
  });

  test('GET /asking and POST /asking/{id}', async () => {
    const decision = gateway.ask(policy.decide, flowOf(3));
    const waiting = await ask('GET', '/asking');
    fits('get /asking', waiting);
    expect(waiting.body).toMatchObject([{ flow: { id: 3 }, names: [] }]);
    const noName = await ask('POST', '/asking/3', { action: 'allow', for: 'name' });
    fits('post /asking/{id}', noName);
    expect(noName.status).toBe(409);
    const answered = await ask('POST', '/asking/3', { action: 'refuse', for: 'address' });
    fits('post /asking/{id}', answered);
    expect(answered.body.text).toBe('refuse tcp:198.51.100.7:443');
    expect(await decision).toBe('refuse');
    const late = await ask('POST', '/asking/3', { action: 'allow' });
    fits('post /asking/{id}', late);
    expect(late.status).toBe(404);
  });

  test('GET /events tells what happens, to who asks for it', async () => {
    const sent = httpRequest({
      socketPath: path,
      path: '/events?only=ask,answered,flow,end,rules,forwards',
    }).end();
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    onTestFinished(() => void response.destroy());
    expect(response.headers['content-type']).toBe('text/event-stream');
    let text = '';
    response.setEncoding('utf8').on('data', (part) => {
      text += part;
    });
    const decision = gateway.ask(policy.decide, flowOf(9));
    await ask('POST', '/asking/9', { action: 'allow', for: 'address' });
    await decision;
    await ask('POST', '/forwards', { text: '80:80' });
    gateway.end(9, 'finished');
    await until(() => text.includes('"finished"'));
    const events = [...text.matchAll(/^event: (\w+)\ndata: (.*)\n\n/gm)].map(([, kind, data]) => [
      kind,
      JSON.parse(data ?? ''),
    ]);
    expect(events).toMatchObject([
      ['ask', { flow: { id: 9 } }],
      ['rules', { texts: ['allow tcp:198.51.100.7:443'] }],
      ['answered', { id: 9, action: 'allow' }],
      ['flow', { id: 9 }],
      ['forwards', [{ id: 1 }]],
      ['end', { id: 9, end: 'finished' }],
    ]);
    expect(gateway.listenerCount('flow')).toBe(1);
    response.destroy();
    await until(() => gateway.listenerCount('flow') === 0);
  });

  test('all of them were asked for', () => {
    const operations = Object.entries(paths).flatMap(([name, methods]) =>
      Object.keys(methods).map((method) => `${method} ${name}`),
    );
    // Of these two no answer is JSON of a schema; they have tests of their own.
    asked.add('get /events').add('get /openapi.json');
    expect([...asked].sort()).toEqual(operations.sort());
  });
});

test('curl speaks to it', async () => {
  gateway.add(flowOf(1));
  const run = async (...args: string[]) => {
    const child = spawn('curl', ['-sS', '--max-time', '10', '--unix-socket', path, ...args]);
    let out = '';
    child.stdout.on('data', (part) => {
      out += part;
    });
    await once(child, 'close');
    return out;
  };
  expect(JSON.parse(await run('http://localhost/flows'))).toMatchObject({ total: 1 });
  const rule = '{"action":"refuse","text":"10.0.0.0/8"}';
  const json = ['-H', 'content-type: application/json', '-d', rule];
  expect(JSON.parse(await run(...json, 'http://localhost/rules')).texts).toEqual([
    'refuse 10.0.0.0/8',
  ]);
});

describe('what is wrong with a request is said, by 4xx', () => {
  test.each<[method: string, target: string, body: unknown, status: number, detail: RegExp]>([
    ['GET', '/', undefined, 404, /there is no \/; \/openapi\.json says what there is/],
    ['GET', '/flows/', undefined, 404, /there is no \/flows\//],
    ['GET', '//', undefined, 400, /^the path must be one such as \/flows, not '\/\/'/],
    ['GET', '//localhost/flows', undefined, 400, /not '\/\/localhost\/flows'/],
    ['GET', 'http://[', undefined, 400, /^the path must be one such as \/flows, not 'http:\/\/\['/],
    ['OPTIONS', '*', undefined, 404, /there is no \/\*/],
    ['GET', '/__proto__', undefined, 404, /there is no/],
    ['PATCH', '/flows', undefined, 405, /\/flows takes GET, not PATCH/],
    ['GET', '/flows/1', undefined, 405, /takes DELETE, not GET/],
    ['GET', '/flows?limit=0', undefined, 400, /^limit must be from 1 to 20000, not 0/],
    ['GET', '/flows?limit=x', undefined, 400, /^limit must be a whole number, not "x"/],
    ['GET', '/flows?sort=size', undefined, 400, /^sort must be one of newest, .*, not "size"/],
    [
      'GET',
      '/flows?colour=1',
      undefined,
      400,
      /no query parameter 'colour'; there are: limit, sort, filter/,
    ],
    ['GET', '/events?only=ask,what', undefined, 400, /only cannot have 'what'; there are flow/],
    ['DELETE', '/flows/x', undefined, 400, /id must be a whole number from 1, not 'x'/],
    ['DELETE', '/flows/99999999999999999999', undefined, 400, /id must be/],
    ['POST', '/forwards', '{', 400, /the body is not JSON/],
    [
      'POST',
      '/forwards',
      [],
      400,
      /^body must be an object with text or an object with listen and to, not \[\]/,
    ],
    [
      'POST',
      '/forwards',
      { listen: { port: 80 }, to: {} },
      400,
      /body\.to must be an object with address and port or an object with path/,
    ],
    [
      'POST',
      '/forwards',
      { listen: { port: 80, x: 1 }, to: { path: '/x' } },
      400,
      /body\.listen has no property "x"; there are address, port, lastPort/,
    ],
    [
      'POST',
      '/forwards',
      { listen: { port: 8e5 }, to: { path: '/x' } },
      400,
      /body\.listen\.port must be from 0 to 65535, not 800000/,
    ],
    [
      'POST',
      '/forwards',
      { listen: { port: 80, address: 'x' }, to: { path: '/x' } },
      400,
      /body\.listen\.address must be an IPv4 or IPv6 address, not "x"/,
    ],
    [
      'POST',
      '/forwards',
      { listen: { path: 'x' }, to: { address: '::1', port: 1 } },
      400,
      /body\.listen\.path must be an absolute path/,
    ],
    ['POST', '/forwards', { text: '80' }, 400, /'80' is not of the form/],
    ['PUT', '/rules', {}, 400, /^body\.rules is missing/],
    [
      'PUT',
      '/rules',
      { rules: Array(1001).fill({ action: 'allow' }) },
      400,
      /body\.rules must have 0 to 1000 elements, not 1001/,
    ],
    [
      'PUT',
      '/rules',
      { rules: [{ action: 'maybe' }] },
      400,
      /body\.rules\[0\]\.action must be one of allow, refuse, drop, ask, not "maybe"/,
    ],
    [
      'PUT',
      '/rules',
      { rules: [{ action: 'allow', destination: 'x' }] },
      400,
      /'rules\[0\]\.destination' must be an address with a prefix/,
    ],
    [
      'PUT',
      '/rules',
      { rules: [{ action: 'allow', names: ['a..b'] }] },
      400,
      /body\.rules\[0\]\.names\[0\] must be a name such as/,
    ],
    [
      'PUT',
      '/rules',
      { rules: [{ action: 'allow', ports: '70000' }] },
      400,
      /'rules\[0\]\.ports' must be ports from 1/,
    ],
    [
      'PUT',
      '/rules',
      { rules: [{ action: 'refuse', redirect: { port: 1 } }] },
      400,
      /'rules\[0\]\.redirect' needs action 'allow'/,
    ],
    [
      'POST',
      '/rules',
      { action: 'allow', text: 'tcp:x:y' },
      400,
      /'y' in 'tcp:x:y' is not a list of ports/,
    ],
    [
      'POST',
      '/asking/1',
      { action: 'ask' },
      400,
      /body\.action must be one of allow, refuse, drop, not "ask"/,
    ],
    ['POST', '/asking/1', { action: 'allow' }, 404, /flow 1 does not wait for an answer/],
    // The gateway's own checks hold behind a rule with names too, of which the gateway itself sees nothing.
    ...(
      [
        [{ protocol: 'icmp', ports: '80' }, /'rules\[1\]\.ports' is not for icmp/],
        [{ redirect: {} }, /'rules\[1\]\.redirect' must have an address, a port, or a path/],
        [{ redirect: { path: '/x' } }, /'rules\[1\]\.redirect' with a path needs protocol 'tcp'/],
        [{ destination: ['10.0.0.0/33'] }, /'rules\[1\]\.destination\[0\]' must be an address/],
        [{ names: ['b.c'], source: 'x' }, /'rules\[1\]\.source' must be an address/],
      ] as const
    ).map(([rule, detail]): [string, string, unknown, number, RegExp] => {
      const rules = [
        { action: 'allow', names: ['a.b'] },
        { action: 'allow', ...rule },
      ];
      return ['PUT', '/rules', { rules }, 400, detail];
    }),
    [
      'POST',
      '/rules',
      { action: 'allow', names: ['a.b'], protocol: 'udp', redirect: { path: '/x' } },
      400,
      /'rules\[0\]\.redirect' with a path needs protocol 'tcp'/,
    ],
  ])('%s %s %j: %i', async (method, target, body, status, detail) => {
    const answered = await ask(method, target, body);
    expect(answered.body.detail).toMatch(detail);
    expect(answered).toMatchObject({ status, body: { status, type: 'about:blank' } });
    expect(answered.headers['content-type']).toBe('application/problem+json');
  });

  test('a body that is not called JSON', async () => {
    const answered = await ask('POST', '/rules', '{}', { 'content-type': 'text/plain' });
    expect(answered).toMatchObject({
      status: 415,
      body: { detail: /application\/json, not 'text\/plain'/ },
    });
  });

  test('a body that is too large', async () => {
    const socket = await raw();
    socket.write(
      'PUT /rules HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 600000\r\n\r\n',
    );
    socket.write('x'.repeat(600_000));
    const [answer] = await once(socket, 'data');
    expect(String(answer)).toMatch(/^HTTP\/1\.1 413 [\s\S]*the body may have 524288 bytes/);
  });

  test('what the gateway itself gets wrong is 500, and does not end it', async () => {
    gateway.failure = new Error('a fault');
    const said = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    onTestFinished(() => said.mockRestore());
    const answered = await ask('POST', '/forwards', { text: '80:80' });
    expect(said).toHaveBeenCalledWith(expect.stringMatching(/^vpollnet gateway: Error: a fault/));
    expect(answered).toMatchObject({ status: 500, body: { detail: /the gateway failed/ } });
    expect((await ask('GET', '/counters')).status).toBe(200);
  });
});

describe('whoever misuses it has no effect on others', () => {
  test('lines that are no HTTP end their connection', async () => {
    const socket = await raw();
    socket.write('\u0000\u0001 nonsense\r\n\r\n');
    await once(socket, 'close');
    expect((await ask('GET', '/counters')).status).toBe(200);
  });

  test('readers of events are counted', async () => {
    const readers = await Promise.all(
      Array.from({ length: 32 }, async () => {
        const sent = httpRequest({
          socketPath: path,
          path: '/events?only=rules',
          agent: false,
        }).end();
        const [response] = (await once(sent, 'response')) as [IncomingMessage];
        return response;
      }),
    );
    onTestFinished(() => {
      for (const response of readers) response.destroy();
    });
    const refused = await ask('GET', '/events');
    expect(refused).toMatchObject({ status: 503, body: { detail: /32 readers/ } });
  });

  test('a reader of events that does not read costs a megabyte and is told what it lost', async () => {
    const socket = await raw();
    socket.pause();
    socket.write('GET /events?only=flow,lost HTTP/1.1\r\nHost: x\r\n\r\n');
    await until(() => gateway.listenerCount('flow') > 0);
    for (let i = 1; i <= 20_000; i += 1) gateway.add(flowOf(i));
    let text = '';
    socket.on('data', (part) => {
      text += part;
    });
    socket.resume();
    await until(() => text.includes('"id":') && socket.bytesRead > 1_000_000);
    // More comes once there is room again, and says first what is missing.
    let next = 20_000;
    await until(() => {
      next += 1;
      gateway.add(flowOf(next));
      return text.includes('event: lost');
    });
    const lost = Number(/event: lost\ndata: \{"count":(\d+)\}/.exec(text)?.[1]);
    expect(lost).toBeGreaterThan(5000);
    expect(text.length).toBeLessThan(4_000_000);
  });
});
