// SPDX-License-Identifier: MIT
//
// A learning switch with VLANs (IEEE 802.1Q) that joins links.

import { EventEmitter } from 'node:events';
import { constants } from 'node:os';
import { checkArray, checkInteger, checkObject, checkString } from './check.js';
import {
  illegalConstructor,
  invalidType,
  invalidValue,
  linkRefused,
  NetworkError,
  switchClosed,
} from './errors.js';
import {
  checkImpairment,
  type Impairment,
  type ImpairmentByDirection,
  type ImpairmentState,
} from './impairment.js';
import { closeAtExit, forgetAtExit, Lookout } from './keeper.js';
import { checkLink, type LinkOptions } from './link-options.js';
import { type NativeSwitch, type NativeSwitchPort, native } from './native.js';
import { type Recording, Recordings, type RecordOptions } from './recording.js';
import type { LinkCounters } from './stack-info.js';

/** A port of a switch: a link that carries Ethernet frames, and the VLANs that the port is in. */
export interface SwitchPort
  extends Pick<LinkOptions, 'url' | 'mtu' | 'offloads' | 'impair' | 'reconnect'> {
  /** 'port0', 'port1', ... if left out. */
  name?: string;
  /**
   * The VLAN of frames without a tag, 1 to 4094, in and out. If left out, 1; of a trunk, none: it then drops
   * such frames.
   */
  vlan?: number;
  /** VLANs whose frames carry a tag here. Without it the port takes no frames with a tag. */
  trunk?: readonly number[] | 'all';
}

export interface SwitchOptions {
  ports?: readonly SwitchPort[];
  /** Seconds after which an address that is silent is forgotten, 1 to 1,000,000; 300 if left out. */
  ageing?: number;
  /**
   * Addresses that are kept at most, up to 1,048,576; 8192 if left out. When there are more, the port that
   * has the most gives one up.
   */
  tableSize?: number;
  /**
   * Frames a second that one port may have flooded (broadcast, multicast, or for an address that is not known);
   * 0: any number. 50,000 if left out. What is above is dropped and counted as `storm`.
   */
  stormLimit?: number;
}

export interface PortInfo {
  name: string;
  url: string;
  /** Null: frames without a tag are dropped. */
  vlan: number | null;
  trunk: number[] | 'all';
  /** Bytes of the largest packet in a frame. */
  mtu: number;
  /** Why the link is down; null while it works. */
  error: NetworkError | null;
  counters: LinkCounters & {
    /** Frames that came by this port and went to all others of their VLAN. */
    flooded: number;
    /** Addresses that came to this port from another. */
    moved: number;
  };
  /** Null where a direction has none; `in` is what comes to the switch. */
  impairment: { in: ImpairmentState | null; out: ImpairmentState | null };
}

/** An address that the switch has heard. */
export interface LearnedAddress {
  mac: string;
  vlan: number;
  /** The port's name. */
  port: string;
  /** Seconds since it was last heard. */
  age: number;
}

/** An address that is heard on two ports at the same time: there is a loop, or two hosts have one MAC. */
export interface SwitchLoop {
  mac: string;
  vlan: number;
  /** The port where the address is believed, and the one whose frames from it are dropped. */
  ports: [believed: string, refused: string];
}

export interface SwitchEvents {
  /** A port's link died, such as a TAP that was deleted. What was learned there is forgotten. */
  linkdown: [{ port: string; url: string; error: NetworkError }];
  /** A port's link works again. */
  linkup: [{ port: string; url: string }];
  /** At most every 10 seconds. */
  loop: [SwitchLoop];
}

const { ENODEV } = constants.errno;
const leastVlan = 1;
const mostVlan = 4094;
const allVlans = Array.from({ length: mostVlan }, (_, i) => i + leastVlan);
const mostAddresses = 2 ** 20;
const mostSeconds = 1_000_000;
const illegal = Symbol('only Switch.open() has this');

const checkVlan = (value: unknown, name: string) => checkInteger(value, name, leastVlan, mostVlan);

function checkTrunk(value: unknown, name: string): number[] {
  if (value === undefined) return [];
  if (value === 'all') return allVlans;
  if (!Array.isArray(value)) throw invalidType(name, "an instance of Array or 'all'", value);
  if (value.length === 0) throw invalidValue(name, value, "must name a VLAN, or be 'all'");
  return value.map((vlan, i) => checkVlan(vlan, `${name}[${i}]`));
}

function checkPort(value: unknown, name: string): NativeSwitchPort {
  const given = checkObject(value, name);
  for (const key of ['mac', 'addresses', 'gateways', 'ipv6', 'dad']) {
    if (given[key] === undefined) continue;
    throw invalidValue(`${name}.${key}`, given[key], 'is for a stack: a port has no addresses');
  }
  const link = checkLink(given, name);
  const trunk = checkTrunk(given.trunk, `${name}.trunk`);
  const otherwise = trunk.length > 0 ? 0 : 1;
  const vlan = given.vlan === undefined ? otherwise : checkVlan(given.vlan, `${name}.vlan`);
  return { ...link, vlan, trunk };
}

/**
 * A switch inside this process: it learns which address is behind which port, forwards frames there, and floods
 * what it does not know within the VLAN. It has no spanning tree; docs/links.md says what loops do. It works
 * whenever it can, also while this thread is blocked in poll(), and stays open until close(), or until the
 * thread or the process ends.
 */
export class Switch extends EventEmitter<SwitchEvents> {
  readonly #switch: NativeSwitch;
  readonly #lookout: Lookout;
  readonly #recordings: Recordings;
  readonly #closeAtExit = () => {
    this.#closeNow();
    this.#recordings.flushNow();
  };
  #closed = false;

  /** @internal Use Switch.open(). */
  constructor(opened: NativeSwitch, token: symbol) {
    super();
    if (token !== illegal) throw illegalConstructor('use Switch.open()');
    this.#switch = opened;
    this.#recordings = new Recordings(opened);
    this.#lookout = new Lookout(this, ['linkdown', 'linkup', 'loop'], () => this.#report());
    closeAtExit('switches', this.#closeAtExit);
  }

  /**
   * Opens a switch and the links of its ports. On failure nothing is left open.
   * @throws {NetworkError} ENOENT, EPERM, EBUSY, ... with what to do, when a device cannot be opened; EADDRINUSE
   *   for a second port on one cable; EEXIST for a name that is taken; EMFILE for more than 256 ports
   * @throws {TypeError} ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE, which name the option; a link that carries
   *   no Ethernet frames (`tun:`) too
   */
  static async open(options: SwitchOptions = {}): Promise<Switch> {
    const {
      ports = [],
      ageing = 300,
      tableSize = 8192,
      stormLimit = 50_000,
    } = checkObject(options, 'options');
    const checked = checkArray(ports, 'options.ports').map((port, i) =>
      checkPort(port, `options.ports[${i}]`),
    );
    const made = new native.NativeSwitch(
      checkInteger(ageing, 'options.ageing', 1, mostSeconds),
      checkInteger(tableSize, 'options.tableSize', 1, mostAddresses),
      checkInteger(stormLimit, 'options.stormLimit', 0, 0xffffffff),
    );
    if (made.failure !== undefined) {
      const [errno, detail] = made.failure;
      throw new NetworkError('open', errno, { detail });
    }
    const opened = new Switch(made, illegal);
    try {
      for (const [i, port] of checked.entries()) opened.#addPort(port, `options.ports[${i}]`);
      return opened;
    } catch (error) {
      opened.#closeNow();
      throw error;
    }
  }

  /** Adds a port to the open switch. Errors as open(). */
  addPort(port: SwitchPort): void {
    this.#check('addPort');
    this.#addPort(checkPort(port, 'port'), 'port');
  }

  /** Closes the port's link and forgets what was learned there. @throws {NetworkError} ENODEV if there is none */
  removePort(name: string): void {
    this.#check('removePort');
    const result = this.#switch.removePort(checkString(name, 'name'));
    if (result === 0) return;
    const detail = result === -ENODEV ? `the switch has no port '${name}'` : undefined;
    throw new NetworkError('removePort', -result, { detail });
  }

  /** The ports, each with what it has carried and why it dropped frames. */
  ports(): PortInfo[] {
    this.#check('ports');
    return this.#switch.ports().map(({ number: _, vlan, trunk, errno, ...port }) => ({
      ...port,
      vlan: vlan === 0 ? null : vlan,
      trunk: trunk.length === allVlans.length ? 'all' : trunk,
      error: errno === 0 ? null : new NetworkError('read', errno, { url: port.url }),
    }));
  }

  /** Makes a port's link bad, as stack.impair() does. @throws {NetworkError} ENODEV if there is no such port */
  impair(port: string, impairment: Impairment | ImpairmentByDirection | null): void {
    this.#check('impair');
    const number = this.#port('impair', port, 'port');
    const checked = checkImpairment(impairment, 'impairment');
    const result = this.#switch.impair(number, checked);
    if (result !== 0) throw new NetworkError('impair', -result, { detail: `port '${port}'` });
  }

  /**
   * Records what passes over the ports, as stack.record() does; `options.links` names ports. A frame is in it
   * once for each port that it passes.
   */
  record(target: string | number, options: RecordOptions = {}): Recording {
    this.#check('record');
    const numberOf = (port: unknown, name: string) => this.#port('record', port, name);
    return this.#recordings.start(target, options, numberOf);
  }

  /** The addresses that the switch knows, those that were silent for longest first, port by port. */
  table(): LearnedAddress[] {
    this.#check('table');
    return this.#switch.table();
  }

  /** Addresses that were given up because the table was full. */
  get evictions(): number {
    return this.#closed ? 0 : this.#switch.evictions();
  }

  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Closes all ports. Done when the call returns; the promise waits until recordings that still run are written,
   * for a second at most. Idempotent.
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
    this.#closed = true;
    this.#lookout.stop();
    this.#switch.close();
    forgetAtExit('switches', this.#closeAtExit);
  }

  #check(call: string): void {
    if (this.#closed) throw switchClosed(`${call}()`);
  }

  #port(call: string, value: unknown, name: string): number {
    const wanted = checkString(value, name);
    const found = this.#switch.ports().find((one) => one.name === wanted);
    if (found !== undefined) return found.number;
    throw new NetworkError(call, ENODEV, { detail: `the switch has no port '${wanted}'` });
  }

  #addPort(port: NativeSwitchPort, name: string): void {
    const failure = this.#switch.addPort(port);
    if (failure !== null) throw linkRefused('addPort', name, port.url, failure);
  }

  #report(): void {
    for (const { port, url, errno, echo, mac, vlan } of this.#switch.takeChanges()) {
      if (echo !== '') this.emit('loop', { mac, vlan, ports: [port, echo] });
      else if (errno === 0) this.emit('linkup', { port, url });
      else this.emit('linkdown', { port, url, error: new NetworkError('read', errno, { url }) });
    }
  }
}
