// SPDX-License-Identifier: MIT
//
// What a router advertisement may be told. What hosts make of it is tested in test/links/services.test.ts.

import { expect, test } from 'vitest';
import type { AdvertiseOptions } from 'vpollnet';
import { freshCable, openStack } from '../support.js';

test('an option that is misspelt is named, with those that there are; every one that there is may be given', async () => {
  const stack = await openStack({ url: freshCable(), addresses: ['fd00::1/64'] });
  const refused = (options: object, message: RegExp) =>
    expect(() => stack.advertise('eth0', options)).toThrow(
      expect.objectContaining({
        code: 'ERR_INVALID_ARG_VALUE',
        message: expect.stringMatching(message),
      }),
    );
  refused({ lifetme: 0 }, /'options\.lifetme' is not known: there are prefixes, lifetime, /);
  refused(
    { prefixes: ['fd00::/64', { prefix: 'fd01::/64', autonomus: false }] },
    /'options\.prefixes\[1\]\.autonomus' is not known: there are prefix, onLink, autonomous, /,
  );
  const prefix = { prefix: 'fd00::/64', onLink: true, autonomous: false };
  const all: Required<AdvertiseOptions> = {
    prefixes: [{ ...prefix, validLifetime: 600, preferredLifetime: 300 }],
    ...{ lifetime: 600, managed: true, other: true, preference: 'low', mtu: 1280, hopLimit: 32 },
    ...{ dns: ['fd00::1'], search: ['lan'], dnsLifetime: 600, reachableTime: 1 },
    ...{ retransmissionTime: 1, maxInterval: 200, minInterval: 30 },
  };
  const router = stack.advertise('eth0', all);
  const misspelt: object = { mtuu: 1280 };
  expect(() => router.update(misspelt)).toThrow(/'options\.mtuu' is not known/);
  router.close();
});
