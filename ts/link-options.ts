// SPDX-License-Identifier: MIT
//
// How a link is described, and the checks of that.

import {
  checkAddress,
  checkArray,
  checkBoolean,
  checkCidr,
  checkInteger,
  checkObject,
  checkString,
} from './check.js';
import { invalidValue } from './errors.js';
import { checkImpairment, type Impairment, type ImpairmentByDirection } from './impairment.js';
import type { NativeLink } from './native.js';

/** A link of a stack: where its frames go, and who the stack is there. */
export interface LinkOptions {
  /**
   * `cable:NAME`: in memory; all stacks of the process (worker threads too) that name the same cable are
   * on it. `tap://NAME`, `tun://NAME`: a device of Linux; `tap:?fd=N`, `tun:?fd=N`: one that is open already. `packet://NAME`: beside the kernel on an
   * interface of Linux. `udp://REMOTE:PORT`, `vxlan://REMOTE?vni=N`, `qemu:stream://PLACE`,
   * `qemu:dgram://PLACE`: over sockets. `vde://PATH` and every other locator of libvdeplug;
   * `vdeplug:LOCATOR` for one whose scheme means something else here. docs/links.md has more of each, and
   * says what others there are.
   */
  url: string;
  /** The interface's name; 'eth0', 'eth1', ... if left out. */
  name?: string;
  /** '02:00:00:aa:bb:cc'; a random locally administered one if left out. */
  mac?: string;
  /** Bytes, 68 to 65535; the device's own, or 65535 on a cable, if left out. */
  mtu?: number;
  /** With their prefixes: '10.0.0.2/24', 'fd00::2/64'. */
  addresses?: readonly string[];
  /** Routers for everything that is not on a link. */
  gateways?: readonly string[];
  /** False: no IPv6, and no link-local address, on this link. */
  ipv6?: boolean;
  /** False: neither segmentation nor checksum offload. */
  offloads?: boolean;
  /**
   * Whether a link whose other end is gone is opened anew, about once a second until it is back. True if
   * left out for the links to a program that may be restarted (vde, qemu:stream); others take it too, but for those that
   * are never lost.
   */
  reconnect?: boolean;
  /** A bad network on purpose, for both directions or each apart; stack.impair() changes it. */
  impair?: Impairment | ImpairmentByDirection;
  /** False: IPv6 addresses are used at once, without looking for duplicates (RFC 4862 5.4). */
  dad?: boolean;
}

const macPattern = /^[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}$/i;

/** A unicast MAC address. */
export function checkMac(value: unknown, name: string): string {
  const mac = checkString(value, name);
  if (!macPattern.test(mac) || Number.parseInt(mac, 16) & 1) {
    throw invalidValue(name, mac, "must be a unicast MAC, such as '02:00:00:aa:bb:cc'");
  }
  return mac;
}

/** @param name the argument's name in the call, such as 'options.links[0]' */
export function checkLink(value: unknown, name: string): NativeLink {
  const given = checkObject(value, name);
  /** The property if it is given, checked; else `otherwise`. */
  function optional<T>(key: string, otherwise: T, check: (value: unknown, name: string) => T): T {
    return given[key] === undefined ? otherwise : check(given[key], `${name}.${key}`);
  }
  const list = (check: (value: unknown, name: string) => string) => {
    return (value: unknown, listName: string) =>
      checkArray(value, listName).map((element, i) => check(element, `${listName}[${i}]`));
  };
  const link = {
    url: checkString(given.url, `${name}.url`),
    name: optional('name', '', checkString),
    mac: optional('mac', '', checkString),
    mtu: optional('mtu', 0, (mtu, key) => checkInteger(mtu, key, 68, 65535)),
    addresses: optional('addresses', [], list(checkCidr)),
    gateways: optional('gateways', [], list(checkAddress)),
    ipv6: optional('ipv6', true, checkBoolean),
    offloads: optional('offloads', true, checkBoolean),
    reconnect: optional<boolean | null>('reconnect', null, checkBoolean),
    dad: optional('dad', true, checkBoolean),
    impair: optional('impair', {}, checkImpairment),
  };
  if (!/^[a-z][a-z0-9+.-]*:/i.test(link.url)) {
    throw invalidValue(
      `${name}.url`,
      link.url,
      "must be the URL of a link, such as 'cable:lab' or 'tap://tap0'",
    );
  }
  if (link.mac !== '') checkMac(link.mac, `${name}.mac`);
  return link;
}
