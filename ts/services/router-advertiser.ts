// SPDX-License-Identifier: MIT
//
// Router advertisements (RFC 4861 6.2, RFC 8106). The core sends them; here is what they say.

import { isIPv6 } from 'node:net';
import { constants } from 'node:os';
import {
  checkAddress,
  checkArray,
  checkBoolean,
  checkCidr,
  checkInteger,
  checkKeys,
  checkObject,
} from '../check.js';
import { checkDomain } from '../dns/domain-name.js';
import { invalidValue, NetworkError } from '../errors.js';
import type { NativeAdvertisement } from '../native.js';
import { Service, type ServiceHost } from './service.js';

const { EEXIST, ENODEV } = constants.errno;

/** A prefix that hosts are told of. */
export interface AdvertisedPrefix {
  /** 'fd00::/64'; with SLAAC, hosts take prefixes of 64 bits alone. */
  prefix: string;
  /** Hosts of the prefix are on this link; true if left out. */
  onLink?: boolean;
  /** Hosts form addresses of their own in it (SLAAC, RFC 4862 5.5); true if left out. */
  autonomous?: boolean;
  /** Seconds, or Infinity; 86400 if left out. */
  validLifetime?: number;
  /** Seconds, or Infinity; 14400 if left out. No more than validLifetime. */
  preferredLifetime?: number;
}

export interface AdvertiseOptions {
  /** Up to 16. If left out: those of the link's own IPv6 addresses, but the link-local one. */
  prefixes?: readonly (string | AdvertisedPrefix)[];
  /** How long hosts take this for a default router, in seconds; 0: not at all. Three times maxInterval if left out. */
  lifetime?: number;
  /** M: addresses are to be had by DHCPv6; false if left out. */
  managed?: boolean;
  /** O: other things, such as DNS servers, are to be had by DHCPv6; false if left out. */
  other?: boolean;
  /** RFC 4191; 'medium' if left out. */
  preference?: 'low' | 'medium' | 'high';
  /** What hosts take for the link's MTU: 1280 up to the link's own, in bytes. */
  mtu?: number;
  /** The hop limit that hosts send with; 64 if left out, 0 for none. */
  hopLimit?: number;
  /** DNS servers, up to 8 (RDNSS, RFC 8106 5.1). */
  dns?: readonly string[];
  /** Domains to complete names with (DNSSL, RFC 8106 5.2). */
  search?: readonly string[];
  /** Of `dns` and `search`, in seconds, or Infinity. Three times maxInterval if left out. */
  dnsLifetime?: number;
  /** In milliseconds; 0 (if left out): unspecified (RFC 4861 6.2.1). */
  reachableTime?: number;
  /** In milliseconds; 0 (if left out): unspecified. */
  retransmissionTime?: number;
  /** Seconds between two at most: 4 to 1800; 600 if left out. */
  maxInterval?: number;
  /** Seconds between two at least: 3 to 3/4 of maxInterval; a third of it if left out. */
  minInterval?: number;
}

const forever = 0xffffffff;
const preferences = ['low', 'medium', 'high'];
const known = [
  ...['prefixes', 'lifetime', 'managed', 'other', 'preference', 'mtu', 'hopLimit', 'dns', 'search'],
  ...['dnsLifetime', 'reachableTime', 'retransmissionTime', 'maxInterval', 'minInterval'],
];

function checkLifetime(value: unknown, name: string): number {
  if (value === Number.POSITIVE_INFINITY) return forever;
  return checkInteger(value, name, 0, forever - 1);
}

function checkIpv6(value: unknown, name: string): string {
  const address = checkAddress(value, name);
  if (!isIPv6(address)) throw invalidValue(name, value, 'must be an IPv6 address');
  return address;
}

function checkPrefix(value: unknown, name: string): NativeAdvertisement['prefixes'][number] {
  const given: Record<string, unknown> =
    typeof value === 'string' ? { prefix: value } : checkObject(value, name);
  checkKeys(given, name, [
    ...['prefix', 'onLink', 'autonomous', 'validLifetime', 'preferredLifetime'],
  ]);
  const { prefix, onLink = true, autonomous = true } = given;
  const { validLifetime = 86400, preferredLifetime = 14400 } = given;
  const cidr = checkCidr(prefix, `${name}.prefix`);
  if (!isIPv6(cidr.split('/')[0] as string)) {
    throw invalidValue(`${name}.prefix`, prefix, "must be an IPv6 prefix, such as 'fd00::/64'");
  }
  const valid = checkLifetime(validLifetime, `${name}.validLifetime`);
  const preferred = checkLifetime(preferredLifetime, `${name}.preferredLifetime`);
  if (preferred > valid) {
    throw invalidValue(`${name}.preferredLifetime`, preferredLifetime, 'is above validLifetime');
  }
  return {
    prefix: cidr,
    onLink: checkBoolean(onLink, `${name}.onLink`),
    autonomous: checkBoolean(autonomous, `${name}.autonomous`),
    validLifetime: valid,
    preferredLifetime: preferred,
  };
}

function checkAdvertisement(value: unknown, ownPrefixes: string[]): NativeAdvertisement {
  const options = checkObject(value, 'options');
  checkKeys(options, 'options', known);
  const { prefixes = ownPrefixes, maxInterval = 600, managed = false, other = false } = options;
  const longest = checkInteger(maxInterval, 'options.maxInterval', 4, 1800);
  const {
    minInterval = Math.max(3, Math.floor(longest / 3)),
    lifetime = 3 * longest,
    dnsLifetime = 3 * longest,
    preference = 'medium',
    hopLimit = 64,
    mtu = 0,
    dns = [],
    search = [],
    reachableTime = 0,
    retransmissionTime = 0,
  } = options;
  if (!preferences.includes(preference as string)) {
    throw invalidValue('options.preference', preference, "must be 'low', 'medium' or 'high'");
  }
  const routerLifetime = checkInteger(lifetime, 'options.lifetime', 0, 65535);
  if (routerLifetime !== 0 && routerLifetime < longest) {
    throw invalidValue('options.lifetime', lifetime, 'must be 0, or maxInterval and more');
  }
  const names = checkArray(search, 'options.search').map((one, i) =>
    checkDomain(one, `options.search[${i}]`),
  );
  if (names.reduce((sum, one) => sum + one.length + 2, 0) > 248) {
    throw invalidValue('options.search', search, 'has more than 248 bytes in all');
  }
  const mostServers = 8;
  const servers = checkArray(dns, 'options.dns');
  if (servers.length > mostServers) {
    throw invalidValue('options.dns', dns, `must have ${mostServers} servers or fewer`);
  }
  const mostPrefixes = 16;
  const checked = checkArray(prefixes, 'options.prefixes');
  if (checked.length > mostPrefixes) {
    throw invalidValue('options.prefixes', prefixes, `must have ${mostPrefixes} or fewer`);
  }
  const mostShortest = Math.max(3, Math.floor((longest * 3) / 4));
  return {
    hopLimit: checkInteger(hopLimit, 'options.hopLimit', 0, 255),
    managed: checkBoolean(managed, 'options.managed'),
    other: checkBoolean(other, 'options.other'),
    preference: preferences.indexOf(preference as string) - 1,
    lifetime: routerLifetime,
    reachableTime: checkInteger(reachableTime, 'options.reachableTime', 0, 3_600_000),
    retransmissionTime: checkInteger(retransmissionTime, 'options.retransmissionTime', 0, forever),
    mtu: mtu === 0 ? 0 : checkInteger(mtu, 'options.mtu', 1280, 65535),
    prefixes: checked.map((one, i) => checkPrefix(one, `options.prefixes[${i}]`)),
    dns: servers.map((one, i) => checkIpv6(one, `options.dns[${i}]`)),
    search: names,
    dnsLifetime: checkLifetime(dnsLifetime, 'options.dnsLifetime'),
    shortestInterval: checkInteger(minInterval, 'options.minInterval', 3, mostShortest),
    longestInterval: longest,
  };
}

/** A stack that says on a link that it is a router. Comes from stack.advertise(). */
export class RouterAdvertiser extends Service<Record<never, never>> {
  readonly #host: ServiceHost;
  /** The interface's number. */
  readonly interface: number;
  static readonly #links = new WeakMap<ServiceHost, Set<number>>();

  /** @internal Use stack.advertise(). */
  static start(host: ServiceHost, link: unknown, options: unknown): RouterAdvertiser {
    const id = host.interfaceId('advertise', link, 'link');
    const taken = RouterAdvertiser.#links.get(host) ?? new Set();
    RouterAdvertiser.#links.set(host, taken);
    if (taken.has(id)) {
      const detail = `the stack advertises on '${link}' already: update() changes what it says`;
      throw new NetworkError('advertise', EEXIST, { detail });
    }
    const what = checkAdvertisement(options, ownPrefixes(host, id));
    const result = host.network.advertise(id, what);
    if (result < 0) throw refused(-result, link);
    taken.add(id);
    return new RouterAdvertiser(host, id);
  }

  private constructor(host: ServiceHost, id: number) {
    super(host);
    this.#host = host;
    this.interface = id;
  }

  /** Says other things from now on; the hosts are told at once. Errors as those of stack.advertise(). */
  update(options: AdvertiseOptions): void {
    if (this.closed) throw new NetworkError('update', ENODEV, { detail: 'it is closed' });
    const what = checkAdvertisement(options, ownPrefixes(this.#host, this.interface));
    const result = this.#host.network.advertise(this.interface, what);
    if (result < 0) throw refused(-result, this.interface);
  }

  /** Tells the hosts that this router is none any more. */
  protected override release(): void {
    RouterAdvertiser.#links.get(this.#host)?.delete(this.interface);
    this.#host.network.endAdvertising(this.interface);
  }
}

function refused(errno: number, link: unknown): NetworkError {
  const detail = `of '${link}': it has no IPv6, or its MTU is smaller than what is advertised`;
  return new NetworkError('advertise', errno, { detail });
}

function ownPrefixes(host: ServiceHost, id: number): string[] {
  return host.stack
    .addresses()
    .filter((one) => one.id === id && isIPv6(one.address) && !/^fe[89ab]/i.test(one.address))
    .map(({ address, prefix }) => `${address}/${prefix}`);
}
