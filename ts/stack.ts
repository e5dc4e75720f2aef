// SPDX-License-Identifier: MIT
//
// One TCP/IP stack: its links, addresses, routes and sockets.

import { EventEmitter } from 'node:events';
import type { LookupFunction } from 'node:net';
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  checkAddress,
  checkArray,
  checkCidr,
  checkInteger,
  checkObject,
  checkOneOf,
  checkString,
} from './check.js';
import type { IcmpSocket, UdpSocket } from './datagram-socket.js';
import {
  checkDnsOptions,
  type DnsOptions,
  type DnsSettings,
  defaultDnsSettings,
} from './dns/dns-settings.js';
import { createDns, type StackDns } from './dns/stack-dns.js';
import {
  illegalConstructor,
  invalidType,
  invalidValue,
  linkRefused,
  NetworkError,
  stackClosed,
} from './errors.js';
import { StackFilter } from './filter.js';
import {
  type ConnectionInfo,
  type ConnectionLimits,
  checkConnectionLimits,
  checkForwarding,
  type ForwardingInfo,
  type ForwardingOptions,
  toConnectionInfo,
  toForwardingInfo,
} from './forwarding.js';
import { Gateway, type GatewayOptions } from './gateway.js';
import { checkImpairment, type Impairment, type ImpairmentByDirection } from './impairment.js';
import { closeAtExit, forgetAtExit, Lookout } from './keeper.js';
import { checkLink, type LinkOptions } from './link-options.js';
import { LoadedStack, type LoadOptions } from './loaded-stack.js';
import { StackNat } from './nat.js';
import { type NativeLink, type NativeNetwork, native } from './native.js';
import type { StackDgram } from './node/dgram.js';
import type { Connector, Dispatcher } from './node/fetch.js';
import type { StackHttp, StackHttps } from './node/http.js';
import type { StackHttp2 } from './node/http2.js';
import { NodeModules, nodeModules } from './node/modules.js';
import type { StackNet } from './node/net.js';
import type { StackTls } from './node/tls.js';
import { type Recording, Recordings, type RecordOptions } from './recording.js';
import type { DhcpServerOptions } from './services/dhcp-options.js';
import { DhcpServer } from './services/dhcp-server.js';
import type { Dhcpv6ServerOptions } from './services/dhcpv6-options.js';
import { Dhcpv6Server } from './services/dhcpv6-server.js';
import { DnsForwarder, type DnsForwarderOptions } from './services/dns-forwarder.js';
import { type AdvertiseOptions, RouterAdvertiser } from './services/router-advertiser.js';
import type { ServiceHost } from './services/service.js';
import type { Socket, SocketOwner } from './socket.js';
import { openSocket, type SocketStack, stackParts } from './socket-stack.js';
import type {
  AddressInfo,
  Counters,
  InterfaceInfo,
  LinkDown,
  LinkInfo,
  LinkUp,
  NeighbourInfo,
  RouteInfo,
  RouteOptions,
  SocketInfo,
} from './stack-info.js';
import { toSocketInfo } from './stack-info.js';
import type { TcpSocket } from './tcp-socket.js';
import {
  type ConnectOptions,
  connectStream,
  type ListenOptions,
  listenStream,
  type StackConnection,
  type StackListener,
} from './web-streams.js';

const { EADDRINUSE, ENODEV } = constants.errno;

/** Whether somebody waits for an address: not for the link-local one that each interface makes itself. */
function isAsked({ address }: AddressInfo, configured: readonly string[]): boolean {
  const linkLocal = /^fe[89ab]/i;
  return !linkLocal.test(address) || configured.some((cidr) => linkLocal.test(cidr));
}

export interface StackOptions {
  /** In the order of their interfaces: 'eth0', 'eth1', ... */
  links?: readonly LinkOptions[];
  /** Bytes that all queues of the stack may hold together; 256 MiB if left out. */
  memoryLimit?: number;
  /** The congestion control of tcp sockets until setOption('congestion') gives one another; 'cubic' if left out. */
  congestion?: 'cubic' | 'newreno';
  /** For people who look at running stacks with `vpollnet stacks`; up to 255 characters. */
  name?: string;
  /** How names are resolved: docs/dns.md. Can be changed later by dns.configure(). */
  dns?: DnsOptions;
}

export interface StackEvents {
  /** A link died, such as a TAP that was deleted. Its interface is down; the stack goes on. */
  linkdown: [LinkDown];
  /** A link that was down works again, and its interface with it. */
  linkup: [LinkUp];
}

const defaultMemoryLimit = 256 * 2 ** 20;
const longestName = 255;
const congestionControls = ['cubic', 'newreno'] as const;
/** How often a promise looks whether addresses are usable, in ms. */
const addressPause = 10;

const illegal = Symbol('only Stack.open() has this');

/**
 * A TCP/IP stack inside this process. Its packets move whenever they can, also while this thread is
 * blocked in poll(). It stays open until close(), or until the thread or the process ends.
 */
export class Stack extends EventEmitter<StackEvents> implements SocketStack {
  /** The packet filter. */
  readonly filter: StackFilter;
  /** Address translation between the links. */
  readonly nat: StackNat;
  readonly #network: NativeNetwork;
  readonly #sockets = new Set<Socket>();
  readonly #recordings: Recordings;
  readonly #owner: SocketOwner;
  readonly #dnsSettings: DnsSettings;
  #dns: StackDns | null = null;
  readonly #services = new Set<{ close(): void }>();
  readonly #serviceHost: ServiceHost;
  readonly #modules: NodeModules;
  readonly #closing = new Set<() => void>();
  #closed = false;
  readonly #lookout: Lookout;
  readonly #closeAtExit = () => {
    this.#closeNow();
    this.#recordings.flushNow();
  };

  /** @internal Use Stack.open(). */
  constructor(
    network: NativeNetwork,
    token: symbol,
    dns: DnsSettings = defaultDnsSettings,
    attached = false,
  ) {
    super();
    if (token !== illegal) throw illegalConstructor('use Stack.open()');
    this.#network = network;
    this.#dnsSettings = dns;
    this.#recordings = new Recordings(network);
    this.#owner = {
      interfaceId: (nameOrId) => this.#findInterface(nameOrId)?.id,
      keep: (socket) => this.#sockets.add(socket),
      forget: (socket) => this.#sockets.delete(socket),
      recordings: this.#recordings,
    };
    const parts = { kind: 'core', native: network, owner: this.#owner } as const;
    stackParts.set(this, { ...parts, closing: this.#closing });
    const open = (call: string) => this.#check(call);
    const idOf = (value: unknown, name: string) => this.#knownInterface(value, name);
    this.filter = new StackFilter(network, open, idOf, () => this.#interfaceNames());
    this.nat = new StackNat(network, open, idOf);
    const lookup = (...args: Parameters<LookupFunction>) => this.dns.lookup(...args);
    this.#modules = new NodeModules(network, this.#owner, lookup, attached);
    nodeModules.set(this, this.#modules);
    this.#serviceHost = {
      stack: this,
      network,
      interfaceId: (call, link, name) => this.#interface(call, link, name),
      keep: (service) => this.#services.add(service),
      forget: (service) => this.#services.delete(service),
    };
    this.#lookout = new Lookout(this, ['linkdown', 'linkup'], () => this.#reportLinks());
    closeAtExit('stacks', this.#closeAtExit);
  }

  /**
   * Opens a stack and its links. Resolves when all addresses of the links can be used, which takes a
   * second or two where duplicates are looked for (IPv6, see LinkOptions.dad). The link-local address
   * that an interface makes itself is not waited for. On failure nothing is left open.
   * @throws {NetworkError} ENOENT, EPERM, EBUSY, ... with what to do, when a device cannot be opened;
   *   EADDRINUSE when another host on the link has one of the addresses
   * @throws {TypeError} ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE, which name the option
   */
  static async open(options: StackOptions = {}): Promise<Stack> {
    const {
      links = [],
      memoryLimit = defaultMemoryLimit,
      congestion = 'cubic',
      name = '',
      dns = {},
    } = checkObject(options, 'options');
    const called = checkString(name, 'options.name');
    if (called.length > longestName) {
      throw invalidValue('options.name', name, `must have ${longestName} characters or fewer`);
    }
    const limit = checkInteger(memoryLimit, 'options.memoryLimit', 65536, Number.MAX_SAFE_INTEGER);
    const algorithm = checkOneOf(congestion, 'options.congestion', congestionControls);
    const checked = checkArray(links, 'options.links').map((link, i) =>
      checkLink(link, `options.links[${i}]`),
    );
    const dnsSettings = checkDnsOptions(dns, 'options.dns', defaultDnsSettings);
    const network = new native.NativeNetwork(limit, called, algorithm);
    if (network.failure !== undefined) {
      const [errno, detail] = network.failure;
      throw new NetworkError('open', errno, { detail });
    }
    const stack = new Stack(network, illegal, dnsSettings);
    try {
      const urls = new Map<number, string>();
      for (const [i, link] of checked.entries()) {
        urls.set(stack.#openLink(link, `options.links[${i}]`), link.url);
      }
      const configured = checked.flatMap((link) => link.addresses);
      const mine = (address: AddressInfo) => urls.has(address.id) && isAsked(address, configured);
      await stack.#addressesUsable(mine, urls, 'open');
      return stack;
    } catch (error) {
      stack.#closeNow();
      throw error;
    }
  }

  /**
   * A key by which another thread of this process can have the same stack: `Stack.attach(key)`. It is a string,
   * to be passed as workerData or in a message.
   */
  share(): string {
    this.#check('share');
    return this.#network.share();
  }

  /**
   * The stack that another thread has opened, with sockets and services of this thread's own. Closing it closes
   * those; when the thread that opened it closes the stack, all is closed.
   * @param key what share() gave
   * @throws {NetworkError} ENOENT: there is no such stack any more
   */
  static attach(key: string): Stack {
    const network = new native.NativeNetwork(checkString(key, 'key'));
    if (network.failure === undefined) return new Stack(network, illegal, defaultDnsSettings, true);
    const [errno, detail] = network.failure;
    throw new NetworkError('attach', errno, { detail });
  }

  /**
   * Opens a stack of a plug-in of the libioth kind: `ioth_NAME-r.so` or `ioth_NAME.so` of `$HOME/.ioth` or
   * of the system's ioth folder. docs/stacks.md says how it is found, checked and called.
   * @param name letters, digits and '_'
   * @throws {NetworkError} ENOENT: no such plug-in (the message has the paths); ENOEXEC: it cannot be loaded;
   *   EPERM: its licence is not accepted; EOPNOTSUPP: no plug-in of this kind; or its newstack's own error
   */
  static async load(name: string, options: LoadOptions = {}): Promise<LoadedStack> {
    return LoadedStack.open(name, options);
  }

  /** Adds a link. Resolves, with its interface, when its addresses can be used. Errors as open(). */
  async addLink(options: LinkOptions): Promise<InterfaceInfo> {
    this.#check('addLink');
    const link = checkLink(options, 'options');
    const id = this.#openLink(link, 'options');
    try {
      const urls = new Map([[id, link.url]]);
      const mine = (address: AddressInfo) => address.id === id && isAsked(address, link.addresses);
      await this.#addressesUsable(mine, urls, 'addLink');
    } catch (error) {
      if (!this.#closed) this.#network.removeLink(id);
      throw error;
    }
    return this.#findInterface(id) as InterfaceInfo;
  }

  /** Closes a link; its addresses and routes go with it. @param link the interface's name or id */
  removeLink(link: string | number): void {
    const id = this.#interface('removeLink', link, 'link');
    this.#done('removeLink', this.#network.removeLink(id), String(link));
  }

  /**
   * Gives an interface an address, such as '10.0.0.3/24'. Resolves when it can be used.
   * @throws {NetworkError} EEXIST; EINVAL for multicast and the like; EADDRINUSE for a duplicate
   */
  async addAddress(link: string | number, address: string): Promise<void> {
    const id = this.#interface('addAddress', link, 'link');
    const cidr = checkCidr(address, 'address');
    this.#done('addAddress', this.#network.addAddress(id, cidr), cidr);
    // As the stack writes it: '::0001' is '::1' there.
    const added = this.addresses()
      .filter((one) => one.id === id)
      .at(-1)?.address;
    try {
      const mine = (one: AddressInfo) => one.id === id && one.address === added;
      await this.#addressesUsable(mine, new Map(), 'addAddress');
    } catch (error) {
      if (!this.#closed && added) this.#network.removeAddress(id, added);
      throw error;
    }
  }

  /** @param address without a prefix. Connections from it fail. */
  removeAddress(link: string | number, address: string): void {
    const id = this.#interface('removeAddress', link, 'link');
    checkAddress(address, 'address');
    this.#done('removeAddress', this.#network.removeAddress(id, address), address);
  }

  /** @throws {NetworkError} ENETUNREACH if the gateway is not on a link, EEXIST, EINVAL */
  addRoute(route: RouteOptions): void {
    const checked = this.#route('addRoute', route);
    this.#done('addRoute', this.#network.addRoute(...checked), checked[0]);
  }

  /** Removes a route that has all the given properties. @throws {NetworkError} if there is none */
  removeRoute(route: RouteOptions): void {
    const checked = this.#route('removeRoute', route);
    this.#done('removeRoute', this.#network.removeRoute(...checked), checked[0]);
  }

  /**
   * Makes the stack a router between its links, or a host again for null. docs/forwarding.md says what it
   * forwards.
   * @throws {TypeError} ERR_INVALID_ARG_VALUE, also for an interface that is not there
   */
  setForwarding(options: ForwardingOptions | null): void {
    this.#check('setForwarding');
    const checked = checkForwarding(options, (one, name) => this.#knownInterface(one, name));
    this.#done('setForwarding', this.#network.setForwarding(checked));
  }

  /** How packets are forwarded; null if they are not. */
  forwarding(): ForwardingInfo | null {
    this.#check('forwarding');
    return toForwardingInfo(this.#network.forwarding(), this.#interfaceNames());
  }

  /** The flows that the filter or translation knows. */
  connections(): ConnectionInfo[] {
    this.#check('connections');
    return this.#network.connections().map(toConnectionInfo);
  }

  /** How many flows may be known. Those beyond a new limit stay until they end. */
  limitConnections(limits: ConnectionLimits): void {
    this.#check('limitConnections');
    const checked = checkConnectionLimits(limits);
    this.#done('limitConnections', this.#network.setConnectionLimits(...checked));
  }

  /** node:dns over the stack. */
  get dns(): StackDns {
    this.#dns ??= createDns(this, this.#dnsSettings);
    return this.#dns;
  }

  /** A new socket: 'tcp' for streams, 'udp' for datagrams, 'icmp' for echo. Not bound, not blocking. */
  socket(type: 'tcp'): TcpSocket;
  socket(type: 'udp'): UdpSocket;
  socket(type: 'icmp'): IcmpSocket;
  socket(type: 'tcp' | 'udp' | 'icmp'): TcpSocket | UdpSocket | IcmpSocket;
  socket(type: 'tcp' | 'udp' | 'icmp'): TcpSocket | UdpSocket | IcmpSocket {
    this.#check('socket');
    return openSocket(this.#network, type, this.#owner);
  }

  /**
   * Connects, as Web streams. @throws {NetworkError} why the last address that `host` has could not be reached
   */
  connect(options: ConnectOptions): Promise<StackConnection> {
    this.#check('connect');
    return connectStream(this.#modules.over, options);
  }

  /** Listens, for connections as Web streams. @throws {NetworkError} EADDRINUSE, EADDRNOTAVAIL */
  listen(options: ListenOptions = {}): StackListener {
    this.#check('listen');
    return listenStream(this.#modules.over, options);
  }

  /** node:dgram over this stack: docs/node.md. */
  get dgram(): StackDgram {
    return this.#modules.dgram;
  }

  /** node:net over this stack: docs/node.md. */
  get net(): StackNet {
    return this.#modules.net;
  }

  /** node:tls over this stack. */
  get tls(): StackTls {
    return this.#modules.tls;
  }

  /** node:http over this stack. */
  get http(): StackHttp {
    return this.#modules.http;
  }

  /** node:https over this stack. */
  get https(): StackHttps {
    return this.#modules.https;
  }

  /** node:http2 over this stack. */
  get http2(): StackHttp2 {
    return this.#modules.http2;
  }

  /** fetch() over this stack. It needs no `this`. */
  get fetch(): typeof fetch {
    return this.#modules.fetch;
  }

  /** What stack.fetch gives to fetch() as its `dispatcher`. */
  get dispatcher(): Dispatcher {
    return this.#modules.dispatcher;
  }

  /** Connects over this stack for the undici package: `new Agent({ connect: stack.connector })`. */
  get connector(): Connector {
    return this.#modules.connector;
  }

  /**
   * Answers for every address behind this stack's links, and carries TCP, UDP and ICMP echo on to another stack.
   * What may pass, rules and a policy say; the default is safe. docs/gateway.md has it all.
   * @throws {NetworkError} EEXIST where a link has a gateway already; ENODEV for a link that is not there
   * @throws {TypeError} ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE, which name the option
   */
  gateway(options: GatewayOptions): Gateway {
    this.#check('gateway');
    const names = () => this.#interfaceNames();
    const idOf = (link: unknown, name: string) => this.#interface('gateway', link, name);
    return Gateway.open(this, options, { names, idOf });
  }

  /** The interfaces; 'lo' is there from the start. */
  interfaces(): InterfaceInfo[] {
    this.#check('interfaces');
    return this.#network.interfaces();
  }

  /** The links, each with what it has carried and why it dropped frames. */
  links(): LinkInfo[] {
    this.#check('links');
    const names = this.#interfaceNames();
    return this.#network.links().map(({ interface: id, url, errno, counters, impairment }) => {
      const error = errno === 0 ? null : new NetworkError('read', errno, { url });
      return { id, interface: names.get(id) ?? '', url, error, counters, impairment };
    });
  }

  /**
   * Makes a link bad, both directions or each apart; a direction that is not named stays as it is. Frames
   * that wait keep their times. Null takes the impairment off, and what waits follows at once.
   */
  impair(link: string | number, impairment: Impairment | ImpairmentByDirection | null): void {
    const id = this.#interface('impair', link, 'link');
    const checked = checkImpairment(impairment, 'impairment');
    this.#done('impair', this.#network.impair(id, checked), String(link));
  }

  /**
   * Records what passes over the links, as pcapng, until the recording's stop() or the stack's close().
   * Nothing waits for the file: frames that come faster than it is written are counted as dropped.
   * @param target a path; or an open descriptor of a file, pipe or socket, which stays the caller's
   * @throws {NetworkError} ENOENT, EACCES, ..., for a path; EBADF for a descriptor that cannot be
   *   written; ENXIO for a FIFO that nobody reads; ENODEV for a link that is not there
   */
  record(target: string | number, options: RecordOptions = {}): Recording {
    this.#check('record');
    const idOf = (link: unknown, name: string) => this.#interface('record', link, name);
    return this.#recordings.start(target, options, idOf);
  }

  /**
   * Tells the hosts on a link, by router advertisements, that this stack is a router, which prefixes they
   * have, and which DNS servers. Ends with the result's close(). docs/services.md has an example.
   * @throws {NetworkError} EEXIST: it does so on this link; EAFNOSUPPORT: the link has no IPv6; ENODEV
   */
  advertise(link: string | number, options: AdvertiseOptions = {}): RouterAdvertiser {
    this.#check('advertise');
    return RouterAdvertiser.start(this.#serviceHost, link, options);
  }

  /**
   * Gives the clients on a link IPv4 addresses (RFC 2131). Ends with the result's close().
   * @throws {NetworkError} EADDRINUSE: there is one on this link; ENODEV: no such link
   * @throws {TypeError} ERR_INVALID_ARG_VALUE, also for a link without an IPv4 address
   */
  dhcpServer(options: DhcpServerOptions = {}): DhcpServer {
    this.#check('dhcpServer');
    return DhcpServer.start(this.#serviceHost, options);
  }

  /**
   * Gives the clients on a link IPv6 addresses and settings (RFC 8415). They come if advertise() says
   * `managed`, or `other` for settings alone. Ends with the result's close().
   * @throws {NetworkError} EADDRINUSE: there is one on this link; ENODEV: no such link
   * @throws {TypeError} ERR_INVALID_ARG_VALUE, also for a link without an IPv6 prefix
   */
  dhcpv6Server(options: Dhcpv6ServerOptions = {}): Dhcpv6Server {
    this.#check('dhcpv6Server');
    return Dhcpv6Server.start(this.#serviceHost, options);
  }

  /**
   * Answers DNS questions on addresses of this stack, and asks the servers of another stack what it does
   * not know. Ends with the result's close().
   * @throws {NetworkError} EADDRINUSE: something else has the port; EADDRNOTAVAIL: not an address of the stack
   */
  dnsForwarder(options: DnsForwarderOptions): DnsForwarder {
    this.#check('dnsForwarder');
    return DnsForwarder.start(this.#serviceHost, options);
  }

  addresses(): AddressInfo[] {
    this.#check('addresses');
    const names = this.#interfaceNames();
    return this.#network.addresses().map(({ interface: id, address, prefix, state }) => {
      return { id, interface: names.get(id) ?? '', address, prefix, state };
    });
  }

  routes(): RouteInfo[] {
    this.#check('routes');
    const names = this.#interfaceNames();
    return this.#network.routes().map((route) => {
      return { ...route, id: route.interface, interface: names.get(route.interface) ?? '' };
    });
  }

  /** The neighbour cache: ARP and NDP. */
  neighbours(): NeighbourInfo[] {
    this.#check('neighbours');
    const names = this.#interfaceNames();
    return this.#network.neighbours().map((neighbour) => {
      const { interface: id } = neighbour;
      return { ...neighbour, id, interface: names.get(id) ?? '' };
    });
  }

  /** All sockets, also connections that end on their own, as ss(8) shows them. */
  sockets(): SocketInfo[] {
    this.#check('sockets');
    return this.#network.sockets().map(toSocketInfo);
  }

  /** What the stack has seen since it was opened, and why packets were dropped. */
  counters(): Counters {
    this.#check('counters');
    return this.#network.counters();
  }

  /** Bytes in the queues of the stack now. */
  get memoryUsed(): number {
    return this.#closed ? 0 : this.#network.memoryUsed();
  }

  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Closes all sockets and links. Connections are reset. All that is done when the call returns; the
   * promise is for recordings that still run: it waits until they are written, for a second at most.
   * Idempotent.
   */
  async close(): Promise<void> {
    this.#closeNow();
    await this.#recordings.written();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #closeNow(): void {
    if (this.#closed) return;
    for (const service of [...this.#services]) service.close();
    this.#closed = true;
    this.#lookout.stop();
    for (const close of this.#closing) close();
    this.#modules.close();
    this.#network.close();
    for (const socket of this.#sockets) socket.close();
    this.#sockets.clear();
    forgetAtExit('stacks', this.#closeAtExit);
  }

  #check(call: string): void {
    if (this.#closed) throw stackClosed(`${call}()`);
  }

  #done(call: string, result: number, address?: string): void {
    if (result < 0) throw new NetworkError(call, -result, { address });
  }

  #openLink(link: NativeLink, name: string): number {
    const result = this.#network.addLink(link);
    if (typeof result === 'number') return result;
    throw linkRefused('addLink', name, link.url, result);
  }

  /** Waits until none of the addresses is tentative any more. */
  async #addressesUsable(
    concerns: (address: AddressInfo) => boolean,
    urls: Map<number, string>,
    call: string,
  ): Promise<void> {
    for (;;) {
      this.#check(call);
      const mine = this.addresses().filter(concerns);
      const twice = mine.find(({ state }) => state === 'duplicated');
      if (twice !== undefined) {
        const { address, id } = twice;
        const where = urls.has(id) ? `${twice.interface} (${urls.get(id)})` : twice.interface;
        const detail = `another host on ${where} has this address; choose another one`;
        throw new NetworkError(call, EADDRINUSE, { address, detail });
      }
      // Where nobody can be asked, as on a link that waits for its peer, there is nothing to wait for.
      const up = new Set(this.interfaces().flatMap((one) => (one.up ? [one.id] : [])));
      if (!mine.some(({ state, id }) => state === 'tentative' && up.has(id))) return;
      await sleep(addressPause);
    }
  }

  #interfaceNames(): Map<number, string> {
    return new Map(this.#network.interfaces().map(({ id, name }) => [id, name]));
  }

  #findInterface(nameOrId: string | number): InterfaceInfo | undefined {
    if (this.#closed) return undefined;
    const wanted = String(nameOrId);
    return this.#network.interfaces().find(({ id, name }) => name === wanted || `${id}` === wanted);
  }

  #interface(call: string, value: unknown, name: string): number {
    this.#check(call);
    if (typeof value !== 'string' && typeof value !== 'number') {
      throw invalidType(name, 'of type string or number', value);
    }
    const id = this.#findInterface(value)?.id;
    if (id !== undefined) return id;
    throw new NetworkError(call, ENODEV, { detail: `no interface '${value}'` });
  }

  /** For options of which the name is to be in the error. */
  #knownInterface(value: unknown, name: string): number {
    if (typeof value !== 'string' && typeof value !== 'number') {
      throw invalidType(name, 'of type string or number', value);
    }
    const id = this.#findInterface(value)?.id;
    if (id !== undefined) return id;
    const known = [...this.#interfaceNames().values()].map((one) => `'${one}'`).join(', ');
    throw invalidValue(name, value, `is no interface of this stack: there are ${known}`);
  }

  #route(call: string, value: unknown): [string, string, number, number] {
    this.#check(call);
    const { destination, gateway, interface: link, metric = 0 } = checkObject(value, 'route');
    const target = checkCidr(destination, 'route.destination');
    const router = gateway === undefined ? '' : checkAddress(gateway, 'route.gateway');
    if (router === '' && link === undefined) {
      throw invalidValue('route', value, 'must have a gateway or an interface');
    }
    const id = link === undefined ? 0 : this.#interface(call, link, 'route.interface');
    return [target, router, id, checkInteger(metric, 'route.metric', 0, 0xffffffff)];
  }

  #reportLinks(): void {
    for (const { interface: id, url, errno } of this.#network.takeLinkChanges()) {
      const link = { id, interface: this.#findInterface(id)?.name ?? '', url };
      if (errno === 0) this.emit('linkup', link);
      else this.emit('linkdown', { ...link, error: new NetworkError('read', errno, { url }) });
    }
  }
}
