// SPDX-License-Identifier: MIT
import axios from 'axios';
import got from 'got';
import { Agent, request, fetch as undiciFetch } from 'undici';
import { expect, test, vi } from 'vitest';
import { twoStacks, untyped } from '../support.js';
import { certificate, host, listening, textOf } from './support.js';

async function serving() {
  const { near, far } = await twoStacks();
  const pems = await certificate();
  const [, port] = await listening(
    far.http.createServer(async (incoming, response) => {
      response.setHeader('x-path', incoming.url ?? '');
      response.end(`${incoming.method} ${await textOf(incoming)}`);
    }),
  );
  const [, securePort] = await listening(
    far.https.createServer(pems, (_, response) => {
      response.end('secure');
    }),
  );
  return {
    near,
    url: `http://${host}:${port}/`,
    secureUrl: `https://${host}:${securePort}/`,
    ca: pems.cert,
  };
}

test('fetch() gets and posts over the stack, and keeps its connection', async () => {
  const { near, url } = await serving();
  const { fetch } = near;
  const response = await fetch(`${url}here`);
  expect([response.status, response.headers.get('x-path')]).toEqual([200, '/here']);
  expect(await response.text()).toBe('GET ');
  expect(await (await fetch(url, { method: 'POST', body: 'text' })).text()).toBe('POST text');
  const own = new Request(url, { method: 'PUT', body: 'mine' });
  expect(await (await fetch(own)).text()).toBe('PUT mine');
  await near.dispatcher.close();
});

test('a connection that is refused is the cause of the failure', async () => {
  const { near } = await serving();
  const failure = await near.fetch(`http://${host}:4444/`).catch((error) => error);
  expect(failure).toBeInstanceOf(TypeError);
  expect(failure.cause).toMatchObject({ code: 'ECONNREFUSED', address: host, port: 4444 });
});

test('TLS is checked, and a dispatcher that is given is taken', async () => {
  const { near, secureUrl } = await serving();
  const failure = await near.fetch(secureUrl).catch((error) => error);
  expect(failure.cause.code).toBe('DEPTH_ZERO_SELF_SIGNED_CERT');
  const dispatched: unknown[] = [];
  const dispatcher = {
    dispatch(options: { origin: string }, handler: { onError(error: Error): void }) {
      dispatched.push(String(options.origin));
      handler.onError(new Error('not today'));
      return true;
    },
  };
  await expect(near.fetch(secureUrl, untyped({ dispatcher }))).rejects.toThrow('fetch failed');
  expect(dispatched).toEqual([new URL(secureUrl).origin]);
});

test('a fetch is aborted', async () => {
  const { near, far } = await twoStacks();
  const controller = new AbortController();
  const [, port] = await listening(far.http.createServer(() => controller.abort()));
  const failure = await near
    .fetch(`http://${host}:${port}/`, { signal: controller.signal })
    .catch((error) => error);
  expect(failure.name).toBe('AbortError');
});

test('the undici package connects with the connector', async () => {
  const { near, url, secureUrl } = await serving();
  const dispatcher = new Agent({ connect: untyped(near.connector) });
  const { body } = await request(url, { dispatcher, method: 'POST', body: 'by undici' });
  expect(await body.text()).toBe('POST by undici');
  expect(await (await undiciFetch(url, { dispatcher })).text()).toBe('GET ');
  const failure = await undiciFetch(secureUrl, { dispatcher }).catch((error) => error);
  expect(failure.cause.code).toBe('DEPTH_ZERO_SELF_SIGNED_CERT');
  await dispatcher.close();
});

test('a connection that does not come fails as those of undici do', async () => {
  const { near } = await twoStacks();
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const failure = new Promise<Error | null>((resolve) => {
    near.connector({ hostname: '10.0.0.77', protocol: 'http:', port: '80' }, (...[error]) =>
      resolve(error),
    );
  });
  vi.advanceTimersByTime(10_000);
  vi.useRealTimers();
  expect(await failure).toMatchObject({
    name: 'ConnectTimeoutError',
    code: 'UND_ERR_CONNECT_TIMEOUT',
  });
});

test('got and axios take the agents', async () => {
  const { near, url, secureUrl, ca } = await serving();
  const agent = { http: near.http.globalAgent, https: new near.https.Agent({ ca }) };
  expect(await got.post(url, { agent, body: 'by got' }).text()).toBe('POST by got');
  expect(await got(secureUrl, { agent, https: { certificateAuthority: ca } }).text()).toBe(
    'secure',
  );
  const own = axios.create({ httpAgent: agent.http, httpsAgent: agent.https, proxy: false });
  expect((await own.post(url, 'by axios')).data).toBe('POST by axios');
  expect((await own.get(secureUrl)).data).toBe('secure');
});

test('a fetch that connects when the stack is closed fails', async () => {
  const { near } = await twoStacks();
  const waiting = near.fetch('http://10.0.0.77/'); // nobody is there
  waiting.catch(() => undefined);
  await new Promise((resolve) => setTimeout(resolve, 20));
  await near.close();
  await expect(waiting).rejects.toThrow(
    expect.objectContaining({ cause: expect.objectContaining({ code: 'ECONNABORTED' }) }),
  );
});
