// SPDX-License-Identifier: MIT
//
// The page of a gateway in a real browser, over a gateway of the test's; test/links has the real one.

import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { createConnection } from 'node:net';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { assemble } from '../../cli/gateway/assemble.js';
import { NameTable } from '../../cli/gateway/names.js';
import { GatewayPolicy } from '../../cli/gateway/policy.js';
import { type Served, servePage } from '../../cli/gateway/serve.js';
import { chromiumPath, launchChromium } from './browser.js';
import { FakeGateway, flowOf } from './fake-gateway.js';
import { until } from './support.js';

let gateway: FakeGateway;
let policy: GatewayPolicy;
let names: NameTable;
let controlled: ReturnType<typeof assemble>;
let served: Served;

beforeEach(async () => {
  gateway = new FakeGateway();
  names = new NameTable();
  policy = new GatewayPolicy({ rules: [], otherwise: 'ask', names, timeout: 30_000 });
  policy.attach(gateway);
  controlled = assemble(gateway, policy, names, { version: '1.2.3', guest: '10.0.2.100' });
  served = await servePage(controlled, '127.0.0.1', 0);
});

afterEach(async () => {
  controlled[Symbol.dispose]();
  await served[Symbol.asyncDispose]();
});

describe('who may ask', () => {
  /** A request of the page's server; what is not named in `headers` is as a browser would send it. */
  async function ask(path: string, headers: Record<string, string> = {}, method = 'GET') {
    const { hostname, port, host } = new URL(served.url);
    const sent = httpRequest({
      host: hostname,
      port,
      path,
      method,
      agent: false,
      headers: { host, ...headers },
    });
    sent.end();
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    response.resume();
    return { status: response.statusCode, headers: response.headers };
  }

  const token = () => new URL(served.url).pathname.slice(1, -1);

  test('the token has 192 bits, and no two gateways have one', async () => {
    expect(token()).toMatch(/^[A-Za-z0-9_-]{32}$/);
    await using other = await servePage(controlled, '127.0.0.1', 0);
    expect(new URL(other.url).pathname).not.toBe(`/${token()}/`);
  });

  test.each([
    ['none', () => '/'],
    ['none, for an asset', () => '/page.js'],
    ['none, for the icon that browsers ask for', () => '/favicon.ico'],
    ['none, for the control', () => '/api/flows'],
    ['a wrong one', () => `/${'A'.repeat(32)}/`],
    ['one that is too short', () => `/${token().slice(0, 31)}/`],
    ['one in the query', () => `/?token=${token()}`],
    ['one in other letters', () => `/${token().toLowerCase()}x/`],
  ])('without the token everything is 403: %s', async (_, path) => {
    expect((await ask(path())).status).toBe(403);
  });

  test('the page forbids scripts of others, frames, and to tell anybody its URL', async () => {
    const { status, headers } = await ask(`/${token()}/`);
    expect(status).toBe(200);
    expect(headers['content-security-policy']).toMatch(
      /default-src 'none'.*script-src 'self';.*frame-ancestors 'none'/,
    );
    expect(headers['content-security-policy']).not.toMatch(/unsafe|\*/);
    expect(headers).toMatchObject({
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-store',
    });
    expect(headers['access-control-allow-origin']).toBeUndefined();
  });

  test.each<[string, Record<string, string>]>([
    ['a name that was made to lead here (DNS rebinding)', { host: 'evil.example:80' }],
    ['another name of this machine', { host: 'localhost' }],
    ['a request from the page of another origin', { origin: 'http://evil.example' }],
    ['an origin that is none', { origin: 'null' }],
    ['a request that another site makes', { 'sec-fetch-site': 'cross-site' }],
    ['a request of another port of this host', { 'sec-fetch-site': 'same-site' }],
  ])('even with the token, %s is 403', async (_, headers) => {
    expect((await ask(`/${token()}/api/flows`)).status).toBe(200);
    expect((await ask(`/${token()}/api/flows`, headers)).status).toBe(403);
  });

  test('only the address that was given is listened at', async () => {
    const { port } = new URL(served.url);
    const socket = createConnection({ host: '127.0.0.2', port: Number(port) });
    const [error] = await once(socket, 'error');
    expect(error.code).toBe('ECONNREFUSED');
  });

  test('a path out of the page leads nowhere', async () => {
    expect((await ask(`/${token()}/../package.json`)).status).toBe(404);
    expect((await ask(`/${token()}/%2e%2e/serve.js`)).status).toBe(404);
    expect((await ask(`/${token()}`)).status).toBe(308);
    expect((await ask(`/${token()}/page.js`, {}, 'POST')).status).toBe(405);
  });
});

describe.skipIf(!chromiumPath)('in Chromium', () => {
  let browser: Browser;
  let page: Page;
  const complaints: string[] = [];

  beforeAll(async () => {
    browser = await launchChromium();
  });
  afterAll(() => browser?.close());

  beforeEach(async () => {
    page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    complaints.length = 0;
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning')
        complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(error.message));
    await page.goto(served.url);
    await page.waitForSelector('#status.live');
  });
  afterEach(async () => {
    await page.close();
    // Not a word of the browser about what the policy of the page forbids, or of an error.
    expect(complaints).toEqual([]);
  });

  const row = (text: string) => page.locator('#flows tbody tr', { hasText: text });

  test('flows come and go, with names, rates and who decided', async () => {
    names.learn('deb.debian.org', '198.51.100.7');
    gateway.add(flowOf(1, { bytesOut: 1000, bytesIn: 2_500_000, age: 65_000 }));
    await row('deb.debian.org').waitFor();
    expect(await row('deb.debian.org').innerText()).toMatch(
      /^tcp\s+10\.0\.2\.100:40001\s+deb\.debian\.org:443198\.51\.100\.7\s+open\s+1\.0 KB\s+2\.5 MB/,
    );
    gateway.end(1, 'reset by target');
    await row('deb.debian.org').waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'Ended' }).click();
    await row('reset by target').waitFor();
  });

  test('what names and errors say is text, whatever is in it', async () => {
    names.learn('<img src=x onerror=alert(1)>', '198.51.100.7');
    gateway.add(flowOf(1));
    await row('<img src=x').waitFor();
    expect(await page.locator('#flows img').count()).toBe(0);
  });

  test('a flow is killed by a click', async () => {
    gateway.add(flowOf(1));
    await row('198.51.100.7').getByRole('button').click();
    await row('198.51.100.7').waitFor({ state: 'detached' });
    expect(gateway.all.size).toBe(0);
  });

  test.each([
    ['Allow once', 'allow', []],
    ['Deny once', 'refuse', []],
  ])('%s decides the flow that waits', async (label, decision, rules) => {
    const decided = gateway.ask(policy.decide, flowOf(1));
    await page.locator('#asking li').getByText(label).click();
    expect(await decided).toBe(decision);
    await page.locator('#asking').waitFor({ state: 'hidden' });
    expect(policy.rules).toEqual(rules);
  });

  test('a decision for a name is a rule, which can be taken away', async () => {
    names.learn('deb.debian.org', '198.51.100.7');
    const decided = gateway.ask(policy.decide, flowOf(1));
    const card = page.locator('#asking li');
    expect(await card.innerText()).toMatch(
      /deb\.debian\.org:443[\s\S]*198\.51\.100\.7:443, public, from 10\.0\.2\.100:40001, refused in \d+ s/,
    );
    expect(await page.title()).toBe('(1) vpollnet gateway');
    await card
      .getByRole('button', { name: 'Allow deb.debian.org, tcp port 443, from now on' })
      .click();
    expect(await decided).toBe('allow');
    await page.locator('#rules li', { hasText: 'allow tcp:deb.debian.org:443' }).waitFor();
    await page.getByRole('button', { name: 'Remove allow tcp:deb.debian.org:443' }).click();
    await until(() => policy.rules.length === 0);
  });

  test('a decision for an address denies it from now on', async () => {
    const decided = gateway.ask(policy.decide, flowOf(1));
    await page
      .getByRole('button', { name: 'Deny 198.51.100.7, tcp port 443, from now on' })
      .click();
    expect(await decided).toBe('refuse');
    expect(await gateway.ask(policy.decide, flowOf(2))).toBe('refuse');
  });

  test('a flow that waits no longer is no question any more', async () => {
    const gone = new AbortController();
    const decided = gateway.ask(policy.decide, flowOf(1), gone.signal);
    await page.locator('#asking li').waitFor();
    gone.abort();
    await page.locator('#asking').waitFor({ state: 'hidden' });
    expect(await decided).toBe('refuse');
  });

  test('forwards are added, refused with the reason, and removed', async () => {
    const form = page.locator('#add-forward');
    await form.getByLabel('Forward').fill('80');
    await form.getByRole('button').click();
    await form.getByText("'80' is not of the form").waitFor();
    complaints.length = 0; // the browser says that there was a 400
    await form.getByLabel('Forward').fill('8080:80');
    await form.getByLabel('Forward').press('Enter');
    await page
      .locator('#forwards', { hasText: 'inward tcp 127.0.0.1:8080 to 10.0.2.100:80' })
      .waitFor();
    await page.locator('#forwards').getByRole('button').click();
    await page.locator('#forwards', { hasText: 'none' }).waitFor();
    expect(gateway.opened).toEqual([]);
  });

  test('rules are added in front', async () => {
    await page.getByLabel('Action').selectOption('deny');
    await page.getByLabel('Rule', { exact: true }).fill('10.0.0.0/8');
    await page.getByRole('button', { name: 'Add first' }).click();
    await page.locator('#rules li', { hasText: 'deny 10.0.0.0/8' }).waitFor();
    expect(policy.rules).toEqual([{ action: 'refuse', destination: '10.0.0.0/8' }]);
  });

  test('the throughput is drawn and told', async () => {
    const before = await page.locator('#plot canvas').screenshot();
    gateway.bytesIn += 5_000_000;
    await page.locator('#number-in', { hasText: 'MB/s' }).waitFor();
    expect((await page.locator('#plot canvas').screenshot()).equals(before)).toBe(false);
  });

  test('of 5,000 flows 200 are shown, the others are said to be left out, and a search finds them', async () => {
    for (let i = 1; i <= 5000; i += 1) {
      const address = `198.51.${(i >> 8) + 1}.${i & 255}`;
      gateway.add(flowOf(i, { destination: { address, port: 443 }, bytesOut: i }));
    }
    await page
      .getByText('200 of 5,000 flows are shown (newest first), 4,800 are left out')
      .waitFor();
    expect(await page.locator('#flows tbody tr').count()).toBe(200);
    // The page stays usable: two looks, while it answers to keys at once.
    const started = performance.now();
    await page.getByLabel('Search flows').fill('198.51.1.77:443');
    await page.getByText('1 of 5,000 flows match.').waitFor();
    expect(await page.locator('#flows tbody tr').count()).toBe(1);
    expect(performance.now() - started).toBeLessThan(5000);
  });

  test('a row keeps its place and its focus while others come', async () => {
    gateway.add(flowOf(1, { destination: { address: '198.51.100.1', port: 1 } }));
    const kill = row('198.51.100.1').getByRole('button');
    await kill.focus();
    gateway.add(flowOf(2, { destination: { address: '198.51.100.2', port: 2 } }));
    await row('198.51.100.2').waitFor();
    expect(await kill.evaluate((element) => element === element.ownerDocument.activeElement)).toBe(
      true,
    );
  });

  test('the end of the gateway is seen', async () => {
    await served[Symbol.asyncDispose]();
    await page.locator('#status.gone').waitFor();
    complaints.length = 0; // that it cannot be reached
  });

  test('every control has a name, and every text the contrast of WCAG AA, light and dark', async () => {
    names.learn('deb.debian.org', '198.51.100.7');
    gateway.add(flowOf(1));
    const to = { address: '198.51.100.8', port: 443 };
    void gateway.ask(policy.decide, flowOf(2, { destination: to }));
    await page.locator('#asking li').waitFor();
    await row('198.51.100.7').waitFor();
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      expect(await page.evaluate(faults), colorScheme).toEqual([]);
    }
    policy.answer(2, { action: 'drop' });
  });
});

/** Runs in the page: controls without a name, and texts with less contrast than 4.5 (WCAG 2.2 1.4.3). */
function faults(): string[] {
  // biome-ignore lint/suspicious/noExplicitAny: the tests are compiled without the types of a browser
  const { document, getComputedStyle } = globalThis as any;
  const found: string[] = [];
  const parse = (colour: string) => (colour.match(/[\d.]+/g) ?? []).map(Number);
  const luminance = ([r = 0, g = 0, b = 0]: number[]) => {
    const [x = 0, y = 0, z = 0] = [r, g, b].map((value) => {
      const part = value / 255;
      return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  for (const element of document.querySelectorAll('button, input, select')) {
    const label =
      element.getAttribute('aria-label') || element.textContent.trim() || element.labels?.length;
    if (!label) found.push(`no name: ${element.outerHTML}`);
  }
  for (const element of document.querySelectorAll(
    'h1, h2, p, dt, dd, th, td, small, strong, button, input, select, span, li',
  )) {
    if (element.offsetParent === null || element.innerText?.trim() === '' || element.disabled)
      continue;
    let behind = element;
    while (behind && (parse(getComputedStyle(behind).backgroundColor)[3] ?? 1) === 0)
      behind = behind.parentElement;
    const ground = luminance(parse(getComputedStyle(behind ?? document.body).backgroundColor));
    const ink = luminance(parse(getComputedStyle(element).color));
    const contrast = (Math.max(ground, ink) + 0.05) / (Math.min(ground, ink) + 0.05);
    if (contrast < 4.5)
      found.push(`contrast ${contrast.toFixed(2)}: ${element.innerText || element.outerHTML}`);
  }
  return found;
}
