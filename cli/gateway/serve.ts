// SPDX-License-Identifier: MIT
//
// Where control and page are served: a Unix socket of the user's, and a TCP port with a token.

import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import { lstatSync, readFileSync, unlinkSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import { type AddressInfo, connect, isIPv6 } from 'node:net';
import { answerRequest, type Controlled, sendProblem } from './control.js';
import { Problem } from './problem.js';
import { endpointText } from './rule-text.js';

/** Requests are small and come from this machine: whoever takes longer than this, ms, is let go. */
const limits = {
  headersTimeout: 10_000,
  requestTimeout: 20_000,
  keepAliveTimeout: 30_000,
  maxHeaderSize: 16_384,
};
const mostConnections = 64;

export interface Served extends AsyncDisposable {
  /** Without a path: of the page, with its token. */
  readonly url: string;
}

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

function serverOf(handler: Handler): Server {
  const server = createServer({ ...limits, connectionsCheckingInterval: 2000 }, handler);
  server.maxConnections = mostConnections;
  // Anything else, such as CONNECT or an upgrade, ends the connection.
  server.on('clientError', (_, socket) => socket.destroy());
  return server;
}

async function listening(server: Server, listen: () => void): Promise<void> {
  const told = once(server, 'listening');
  listen();
  await told;
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

/** Whether the file is a socket that nobody listens at any more. */
async function isStale(path: string): Promise<boolean> {
  if (!lstatSync(path, { throwIfNoEntry: false })?.isSocket()) return false;
  const socket = connect(path);
  try {
    await once(socket, 'connect');
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ECONNREFUSED';
  } finally {
    socket.destroy();
  }
}

/** Serves the control on a Unix socket that only its user may open. @throws EADDRINUSE, EACCES, ENOENT, ... */
export async function serveControl(controlled: Controlled, path: string): Promise<Served> {
  const server = serverOf((request, response) => {
    void answerRequest(controlled, request.url ?? '/', request, response);
  });
  if (await isStale(path)) unlinkSync(path);
  // The mode is there from the start, as bind() makes the file by it.
  const mask = process.umask(0o177);
  try {
    await listening(server, () => server.listen({ path }));
  } finally {
    process.umask(mask);
  }
  return { url: path, [Symbol.asyncDispose]: () => close(server) };
}

/** Nothing but what we serve, nowhere but here; no script in the page's own text. */
const pageHeaders = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  // The token is in the URL.
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'cross-origin-resource-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
  'cache-control': 'no-store',
};

const pageFolder = new URL('./page/', import.meta.url);
const ofPackage = createRequire(import.meta.url);

function readAssets(): Map<string, { type: string; content: Buffer }> {
  const own = (name: string) => readFileSync(new URL(name, pageFolder));
  const plots = (name: string) => readFileSync(ofPackage.resolve(`uplot/dist/${name}`));
  const script = 'text/javascript; charset=utf-8';
  const style = 'text/css; charset=utf-8';
  return new Map([
    ['/', { type: 'text/html; charset=utf-8', content: own('index.html') }],
    ...['page.js', 'flows.js', 'asking.js', 'plot.js', 'lists.js', 'common.js'].map(
      (name) => [`/${name}`, { type: script, content: own(name) }] as const,
    ),
    ['/page.css', { type: style, content: own('page.css') }],
    ['/icon.svg', { type: 'image/svg+xml', content: own('icon.svg') }],
    ['/uplot.js', { type: script, content: plots('uPlot.esm.js') }],
    ['/uplot.css', { type: style, content: plots('uPlot.min.css') }],
  ]);
}

const digest = (text: string) => createHash('sha256').update(text).digest();

/**
 * Serves the page and what it asks for, below a token that nobody can guess. Only this address is listened at, and
 * only requests that name it are answered, so that no name of somebody else's can lead here (DNS rebinding).
 */
export async function servePage(
  controlled: Controlled,
  address: string,
  port: number,
): Promise<Served> {
  const assets = readAssets();
  const token = randomBytes(24).toString('base64url');
  const wanted = digest(token);
  let host = '';
  const server = serverOf((request, response) => {
    for (const [name, value] of Object.entries(pageHeaders)) response.setHeader(name, value);
    const refuse = (why: string) =>
      sendProblem(response, new Problem(403, why, { connection: 'close' }));
    const { headers, url = '/', method = '' } = request;
    if (headers.host !== host) return refuse(`this is ${host} and no other host`);
    const [, given = '', path = ''] = /^\/([^/?]*)(\/.*)?$/s.exec(url) ?? [];
    // Of digests, since both have one length then.
    if (!timingSafeEqual(digest(given), wanted)) return refuse('the token is missing or wrong');
    const { origin } = headers;
    const site = headers['sec-fetch-site'];
    if (origin !== undefined && origin !== `http://${host}`) return refuse('from another origin');
    // The page itself may be opened from anywhere by who has its URL; all else is asked for by the page alone.
    if (path === '') {
      response.writeHead(308, { location: `/${token}/` });
      response.end();
      return;
    }
    if (site !== undefined && site !== 'same-origin' && path !== '/')
      return refuse('from another site');
    if (path.startsWith('/api/'))
      return void answerRequest(controlled, path.slice('/api'.length), request, response);
    const asset = assets.get(path);
    if (asset === undefined)
      return sendProblem(response, new Problem(404, 'there is no such page'));
    if (method !== 'GET')
      return sendProblem(response, new Problem(405, 'this takes GET', { allow: 'GET' }));
    response.writeHead(200, { 'content-type': asset.type, 'content-length': asset.content.length });
    response.end(asset.content);
  });
  await listening(server, () => server.listen({ host: address, port, exclusive: true }));
  const { port: chosen } = server.address() as AddressInfo;
  host = endpointText({ address, port: chosen });
  // As browsers write it: the port of http is left out.
  if (chosen === 80) host = isIPv6(address) ? `[${address}]` : address;
  return { url: `http://${host}/${token}/`, [Symbol.asyncDispose]: () => close(server) };
}
