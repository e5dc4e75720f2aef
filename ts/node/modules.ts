// SPDX-License-Identifier: MIT
//
// Node's network modules over one stack, each made when it is first asked for.

import type { LookupFunction } from 'node:net';
import { constants } from 'node:os';
import type { NativeNetwork } from '../native.js';
import type { SocketOwner } from '../socket.js';
import { refuseToChildren } from './child-process.js';
import { createDgram, type StackDgram } from './dgram.js';
import {
  type Connector,
  createConnector,
  createDispatcher,
  createFetch,
  type Dispatcher,
} from './fetch.js';
import { createHttp, createHttps, type StackHttp, type StackHttps } from './http.js';
import { createHttp2, type StackHttp2 } from './http2.js';
import { createNet, type NetStack, type StackNet } from './net.js';
import { createTls, hookTls, type StackTls } from './tls.js';

const { EBADF } = constants.errno;

/** By the stack, which has them private. */
export const nodeModules = new WeakMap<object, NodeModules>();

export class NodeModules {
  /** What handles need of the stack. */
  readonly over: NetStack;
  #closed = false;
  readonly #handles: Set<{ lost(): void }> | undefined;
  #netParts: [StackNet, NetStack] | undefined;
  #tls: StackTls | undefined;
  #http: StackHttp | undefined;
  #https: StackHttps | undefined;
  #http2: StackHttp2 | undefined;
  #connector: Connector | undefined;
  #dispatcher: Dispatcher | undefined;
  #fetch: typeof fetch | undefined;
  #dgram: StackDgram | undefined;

  /** @param attached the network is another thread's, so that close() has to close what is on it here */
  constructor(
    network: NativeNetwork,
    owner: SocketOwner,
    lookup: LookupFunction,
    attached: boolean,
  ) {
    refuseToChildren();
    this.#handles = attached ? new Set() : undefined;
    this.over = {
      open: (type) => (this.#closed ? -EBADF : network.socket(type)),
      owner,
      interfaceName: (id) => network.interfaces().find((one) => one.id === id)?.name,
      interfaceWith: (address) => {
        // All of 127.0.0.0/8 is the loopback's.
        const own = address.startsWith('127.') ? '127.0.0.1' : address;
        return network.addresses().find((one) => one.address === own)?.interface;
      },
      lookup,
      handles: this.#handles,
    };
  }

  get #parts(): [StackNet, NetStack] {
    if (this.#netParts === undefined) {
      // A library may put Node's own TLS on sockets of stack.net.
      hookTls();
      this.#netParts = createNet(this.over);
    }
    return this.#netParts;
  }

  get net(): StackNet {
    return this.#parts[0];
  }

  get tls(): StackTls {
    this.#tls ??= createTls(this.#parts[1]);
    return this.#tls;
  }

  get http(): StackHttp {
    this.#http ??= createHttp(this.#parts[1], this.net);
    return this.#http;
  }

  get https(): StackHttps {
    this.#https ??= createHttps(this.#parts[1], this.tls);
    return this.#https;
  }

  get http2(): StackHttp2 {
    this.#http2 ??= createHttp2(this.#parts[1], this.net, this.tls);
    return this.#http2;
  }

  get connector(): Connector {
    this.#connector ??= createConnector(this.net, this.tls);
    return this.#connector;
  }

  get dispatcher(): Dispatcher {
    this.#dispatcher ??= createDispatcher(this.connector);
    return this.#dispatcher;
  }

  get fetch(): typeof fetch {
    this.#fetch ??= createFetch(() => this.dispatcher);
    return this.#fetch;
  }

  get dgram(): StackDgram {
    this.#dgram ??= createDgram(this.over);
    return this.#dgram;
  }

  /** Closes what is on an attached network. */
  close(): void {
    this.#closed = true;
    for (const handle of [...(this.#handles ?? [])]) handle.lost();
  }
}
