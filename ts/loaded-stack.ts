// SPDX-License-Identifier: MIT
//
// A stack of a plug-in of the libioth kind.

import { constants, homedir } from 'node:os';
import { checkAddress, checkArray, checkCidr, checkObject, checkString } from './check.js';
import { illegalConstructor, invalidValue, NetworkError } from './errors.js';
import { ForeignStack } from './foreign-stack.js';
import { type NativeBsdStack, type NativePluginLink, native } from './native.js';

const { EINVAL } = constants.errno;

/** A link of a plug-in's stack. */
export interface LoadedLink {
  /** A virtual network locator, such as 'vde:///run/switch'; what it may be is the plug-in's. */
  url: string;
  /** With their prefixes: '10.0.0.2/24', 'fd00::2/64'. Used at once, without looking for duplicates. */
  addresses?: readonly string[];
  /** Routers for everything that is not on a link. */
  gateways?: readonly string[];
}

export interface LoadOptions {
  /**
   * In the order of the stack's interfaces. A string is a locator alone: the interface is left as the plug-in
   * makes it. An object's interface is set up and gets its addresses, over the plug-in's netlink sockets.
   */
  links?: readonly (string | LoadedLink)[];
  /** Handed to the plug-in as it is. */
  options?: string;
  /**
   * SPDX identifiers that are accepted besides the permissive ones, the LGPL's and the MPL's: what a plug-in
   * under the GPL means for your program is for you to say. 'NOASSERTION' stands for a plug-in that
   * names no licence.
   */
  licenses?: readonly string[];
}

/**
 * Under these, a library may be loaded by a program under any licence (the LGPL's as libioth has it): on
 * terms that loading it meets.
 */
const accepted =
  `0BSD Apache-2.0 BSD-2-Clause BSD-3-Clause BSL-1.0 CC0-1.0 ISC MIT MIT-0 Unlicense Zlib
  LGPL-2.0-only LGPL-2.1-only LGPL-3.0-only MPL-2.0`.split(/\s+/);

/** What only our own stacks can be asked. */
const advice = {
  'bind EADDRNOTAVAIL': 'not an address of this stack',
  'connect ENETUNREACH': 'the stack has no route there',
  'sendTo ENETUNREACH': 'the stack has no route there',
  'socket EACCES': '',
};

const illegal = Symbol('only Stack.load() has this');

/** A stack of a plug-in, from Stack.load(). `fd` of its sockets is the plug-in's own descriptor. */
export class LoadedStack extends ForeignStack {
  readonly name: string;
  /** The plug-in's file. */
  readonly path: string;
  /** The plug-in's licence, an SPDX expression; '' if it names none. */
  readonly license: string;

  /** @internal Use Stack.load(). */
  constructor(name: string, nativeStack: NativeBsdStack, token: symbol) {
    if (token !== illegal) throw illegalConstructor('use Stack.load()');
    super(nativeStack, 'plug-in');
    this.name = name;
    this.path = nativeStack.path ?? '';
    this.license = nativeStack.license ?? '';
  }

  protected override get advice(): Readonly<Record<string, string>> {
    return advice;
  }

  /** @internal */
  static open(name: string, options: LoadOptions): LoadedStack {
    const { links = [], options: text = '', licenses = [] } = checkObject(options, 'options');
    const checkedLinks = checkArray(links, 'options.links').map((link, i) =>
      checkLoadedLink(link, `options.links[${i}]`),
    );
    const nativeStack = new native.NativeBsdStack({
      name: checkString(name, 'name'),
      // Not HOME of the C library: a worker's environment is its own.
      home: process.env.HOME || homedir(),
      links: checkedLinks,
      options: checkText(text, 'options.options'),
      licenses: [...accepted, ...list(licenses, 'options.licenses', checkText)],
    });
    if (nativeStack.failure !== undefined) {
      const [errno, syscall, detail] = nativeStack.failure;
      if (errno === EINVAL && syscall === '') throw invalidValue('name', name, detail);
      throw new NetworkError(syscall, errno, { detail });
    }
    return new LoadedStack(name, nativeStack, illegal);
  }
}

function list(
  value: unknown,
  name: string,
  check: (value: unknown, name: string) => string,
): string[] {
  return checkArray(value, name).map((one, i) => check(one, `${name}[${i}]`));
}

function checkLoadedLink(value: unknown, name: string): NativePluginLink {
  if (typeof value === 'string') {
    return { url: checkText(value, name), configured: false, addresses: [], gateways: [] };
  }
  const { url, addresses = [], gateways = [] } = checkObject(value, name);
  return {
    url: checkText(url, `${name}.url`),
    configured: true,
    addresses: list(addresses, `${name}.addresses`, checkCidr),
    gateways: list(gateways, `${name}.gateways`, checkAddress),
  };
}

/** A string that C can take whole. */
function checkText(value: unknown, name: string): string {
  const text = checkString(value, name);
  if (text.includes('\0')) throw invalidValue(name, value, 'must be without null bytes');
  return text;
}
