// SPDX-License-Identifier: MIT
//
// Forwards as they are written: --publish 8080:80, --outward 10.0.2.2:5432:127.0.0.1:5432.

import { isIP } from 'node:net';
import { TextError } from './problem.js';
import { endpointText } from './rule-text.js';
import type { ForwardOptions } from './types.js';

/** Splits at ':' outside of brackets. */
function parts(text: string): string[] {
  return text.match(/\[[^\]]*\](?=:|$)|[^:]+|(?<=:)(?=:|$)/g) ?? [];
}

/** One or two parts: an address and ports. */
function toPlace(
  found: string[],
  whole: string,
): { address?: string; port: number; lastPort?: number } {
  const ports = found.at(-1) ?? '';
  const [, first = '', last] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(ports) ?? [];
  const port = Number(first);
  const lastPort = Number(last ?? first);
  if (first === '' || lastPort > 65_535 || port > lastPort || (last !== undefined && port === 0)) {
    throw new TextError(
      `'${ports}' in '${whole}' is not a port or a range of ports, such as 8080 or 8000-8099`,
    );
  }
  const place = last === undefined ? { port } : { port, lastPort };
  if (found.length < 2) return place;
  const address = (found[0] as string).replace(/^\[(.*)\]$/, '$1');
  if (isIP(address) !== 0) return { address, ...place };
  throw new TextError(
    `'${found[0]}' in '${whole}' is not an address; one of IPv6 stands in brackets`,
  );
}

/**
 * [ADDRESS:]PORT[-PORT]:[ADDRESS:]PORT[/udp], and /PATH on the host's side: the first of an inward forward, the
 * second of an outward one.
 * @param guest the address that an inward forward leads to when none is given
 * @throws {TextError} that says which part is wrong
 */
export function parseForward(
  text: string,
  direction: 'inward' | 'outward',
  defaults: { listen?: string; guest?: string | undefined },
): ForwardOptions {
  const [, body = '', protocol = 'tcp'] = /^(.*?)(?:\/(udp|tcp))?$/s.exec(text) ?? [];
  const common = { protocol: protocol as 'tcp' | 'udp', direction };
  const form =
    direction === 'inward' ? '[ADDRESS:]PORT:[GUEST:]PORT' : '[ADDRESS:]PORT:ADDRESS:PORT';
  const noPath = () => {
    if (protocol === 'udp')
      throw new TextError(`'${text}': a path is of a stream socket, and cannot be /udp`);
  };
  if (direction === 'inward' && body.startsWith('/')) {
    noPath();
    const [, path = '', rest = ''] =
      /^(.*?):((?:\[[^\]]*\]:|[\d.]+:)?\d+(?:-\d+)?)$/s.exec(body) ?? [];
    if (path === '') throw new TextError(`'${text}' is not of the form /PATH:[GUEST:]PORT`);
    const { lastPort, ...to } = toPlace(parts(rest), text);
    if (lastPort !== undefined) throw new TextError(`'${text}': one path leads to one port`);
    return {
      ...common,
      listen: { path },
      to: { address: to.address ?? guestOf(text, defaults), port: to.port },
    };
  }
  const [, listenText = body, path] =
    (direction === 'outward' && /^([^/]*):(\/.*)$/s.exec(body)) || [];
  const found = parts(listenText);
  // An address is no number: what follows the listening port is told apart by that.
  const isPort = (part = '') => /^\d+(-\d+)?$/.test(part);
  const own = isPort(found[0]) ? 1 : 2;
  const listen = withAddress(toPlace(found.slice(0, own), text), defaults.listen);
  if (path !== undefined) {
    noPath();
    if (found.length > own)
      throw new TextError(`'${text}' is not of the form [ADDRESS:]PORT:/PATH`);
    return { ...common, listen, to: { path } };
  }
  const target = found.slice(own);
  if (target.length < 1 || target.length > 2)
    throw new TextError(`'${text}' is not of the form ${form}[/udp]`);
  const to = toPlace(target, text);
  const width = (listen.lastPort ?? listen.port) - listen.port;
  if (to.lastPort !== undefined && to.lastPort - to.port !== width) {
    throw new TextError(`'${text}': the two ranges of ports differ in length`);
  }
  if (to.port === 0) throw new TextError(`'${text}' leads to port 0`);
  if (to.port + width > 65_535) throw new TextError(`'${text}' leads beyond port 65535`);
  if (to.address === undefined && direction === 'outward') {
    throw new TextError(`'${text}' is not of the form ${form}[/udp]: where to has no address`);
  }
  return {
    ...common,
    listen,
    to: { address: to.address ?? guestOf(text, defaults), port: to.port },
  };
}

function withAddress<T extends { address?: string }>(place: T, address: string | undefined): T {
  return place.address === undefined && address !== undefined ? { address, ...place } : place;
}

function guestOf(text: string, { guest }: { guest?: string | undefined }): string {
  if (guest !== undefined) return guest;
  throw new TextError(`'${text}' has no address behind the gateway; write PORT:GUEST:PORT`);
}

/** Without an address, what the host listens on is for this machine alone. */
export const forwardDefaults = (direction: 'inward' | 'outward', guest: string | undefined) =>
  direction === 'inward' ? { listen: '127.0.0.1', guest } : {};

/** A forward in one line. */
export function forwardText({
  protocol = 'tcp',
  direction = 'inward',
  listen,
  to,
}: ForwardOptions): string {
  let from: string;
  if ('path' in listen) from = listen.path;
  else {
    const { address = '*', port, lastPort = port } = listen;
    const host = address.includes(':') ? `[${address}]` : address;
    from = `${host}:${port === lastPort ? port : `${port}-${lastPort}`}`;
  }
  return `${direction} ${protocol} ${from} to ${'path' in to ? to.path : endpointText(to)}`;
}
