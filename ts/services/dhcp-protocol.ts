// SPDX-License-Identifier: MIT
//
// What a DHCP server answers (RFC 2131 4.3): a function of messages and times.

import { isHostName } from '../dns/domain-name.js';
import type { DhcpClient, DhcpLease, DhcpLeases } from './dhcp-leases.js';
import {
  addressOption,
  buildDhcp,
  type DhcpMessage,
  DhcpOption,
  noAddress,
  parseDhcp,
} from './dhcp-message.js';
import { type DhcpSettings, endlessLease, keyOfClientId, keyOfMac } from './dhcp-options.js';

/** What the server has seen since it was started. */
export interface DhcpCounters {
  discover: number;
  offer: number;
  request: number;
  ack: number;
  nak: number;
  decline: number;
  release: number;
  inform: number;
  /** No DHCP, or not of a client. */
  malformed: number;
  /** From a relay: those are not served. */
  relayed: number;
  /** For another server, or about what this one knows nothing of. */
  ignored: number;
  /** No address left. */
  exhausted: number;
}

export function newDhcpCounters(): DhcpCounters {
  return {
    discover: 0,
    offer: 0,
    request: 0,
    ack: 0,
    nak: 0,
    decline: 0,
    release: 0,
    inform: 0,
    malformed: 0,
    relayed: 0,
    ignored: 0,
    exhausted: 0,
  };
}

/** What follows from a message. */
export interface DhcpOutcome {
  reply?: Buffer;
  /** Where it goes, port 68. */
  to?: string;
  /** When what was granted or offered ends. */
  until?: number;
  event?: { name: 'lease' | 'renew' | 'release' | 'decline'; lease: DhcpLease };
}

const broadcastAddress = '255.255.255.255';
/** RFC 2131 2: what every client takes is an IP datagram of 576 bytes; an Ethernet frame is the most. */
const datagramHeaders = 28;
const leastSize = 576;
const mostSize = 1500;

export class DhcpProtocol {
  readonly #settings: DhcpSettings;
  readonly #leases: DhcpLeases;
  readonly counters: DhcpCounters = newDhcpCounters();

  constructor(settings: DhcpSettings, leases: DhcpLeases) {
    this.#settings = settings;
    this.#leases = leases;
  }

  receive(bytes: Buffer, now: number): DhcpOutcome {
    const message = parseDhcp(bytes);
    if (message === null) return this.#drop('malformed');
    if (message.relayAddress !== noAddress || message.hops !== 0) return this.#drop('relayed');
    switch (message.type) {
      case 'discover':
        return this.#discover(message, now);
      case 'request':
        return this.#request(message, now);
      case 'decline':
        return this.#decline(message, now);
      case 'release':
        return this.#release(message);
      case 'inform':
        return this.#inform(message);
      default:
        return this.#drop('malformed'); // what servers send
    }
  }

  #drop(reason: 'malformed' | 'relayed' | 'ignored' | 'exhausted'): DhcpOutcome {
    this.counters[reason] += 1;
    return {};
  }

  #isForOther(message: DhcpMessage): boolean {
    const server = addressOption(message, DhcpOption.server);
    return server !== undefined && server !== this.#settings.server;
  }

  #discover(message: DhcpMessage, now: number): DhcpOutcome {
    this.counters.discover += 1;
    const requested = addressOption(message, DhcpOption.requestedAddress);
    const lease = this.#leases.offer(clientOf(message), requested, now);
    if (lease === null) return this.#drop('exhausted');
    this.counters.offer += 1;
    return this.#answer(message, 'offer', lease);
  }

  /** RFC 2131 4.3.2: the four kinds of requests are told apart by what is in them. */
  #request(message: DhcpMessage, now: number): DhcpOutcome {
    this.counters.request += 1;
    const client = clientOf(message);
    const server = addressOption(message, DhcpOption.server);
    const requested = addressOption(message, DhcpOption.requestedAddress);
    const { clientAddress } = message;
    if (this.#isForOther(message)) {
      // Another server's offer was taken: ours is free again.
      const offered = this.#leases.find(client);
      if (offered !== null) this.#leases.release(client, offered.address);
      return this.#drop('ignored');
    }
    const renews = clientAddress !== noAddress;
    const address = renews ? clientAddress : requested;
    if (address === undefined) return this.#drop('malformed');
    // INIT-REBOOT: on the wrong network.
    if (!this.#leases.isOnLink(address))
      return this.#refuse(message, 'the address is of another network');
    const known = this.#leases.find(client);
    if (known === null && server === undefined && !this.#settings.authoritative) {
      return this.#drop('ignored');
    }
    const bound = this.#leases.bind(client, address, now);
    if (bound === null) return this.#refuse(message, 'the address is not to be had');
    this.counters.ack += 1;
    return {
      ...this.#answer(message, 'ack', bound.lease),
      event: { name: bound.isNew ? 'lease' : 'renew', lease: bound.lease },
    };
  }

  #decline(message: DhcpMessage, now: number): DhcpOutcome {
    this.counters.decline += 1;
    const address = addressOption(message, DhcpOption.requestedAddress);
    const client = clientOf(message);
    const lease = this.#leases.find(client);
    if (address === undefined || lease === null || this.#isForOther(message)) {
      return this.#drop('ignored');
    }
    if (!this.#leases.decline(client, address, now)) return this.#drop('ignored');
    return { event: { name: 'decline', lease } };
  }

  #release(message: DhcpMessage): DhcpOutcome {
    this.counters.release += 1;
    if (this.#isForOther(message)) return this.#drop('ignored');
    const lease = this.#leases.release(clientOf(message), message.clientAddress);
    return lease === null ? this.#drop('ignored') : { event: { name: 'release', lease } };
  }

  /** RFC 2131 4.3.5: no lease, and no `yiaddr`. */
  #inform(message: DhcpMessage): DhcpOutcome {
    this.counters.inform += 1;
    const { clientAddress } = message;
    if (clientAddress === noAddress || !this.#leases.isOnLink(clientAddress)) {
      return this.#drop('ignored');
    }
    this.counters.ack += 1;
    return this.#answer(message, 'ack', null);
  }

  /** RFC 2131 4.3.2, table 3: nothing but the server and the client's identifier. To all: 4.1. */
  #refuse(message: DhcpMessage, why: string): DhcpOutcome {
    this.counters.nak += 1;
    const options = [...this.#common(message), [DhcpOption.message, Buffer.from(why)] as const];
    const largest = leastSize - datagramHeaders;
    const reply = { type: 'nak' as const, yourAddress: noAddress, clientAddress: noAddress };
    return { reply: buildDhcp(message, { ...reply, options, largest }), to: broadcastAddress };
  }

  #common(message: DhcpMessage): [number, Buffer][] {
    const server = Buffer.from(this.#settings.server.split('.').map(Number));
    const options: [number, Buffer][] = [[DhcpOption.server, server]];
    // RFC 6842 3: the client's identifier comes back.
    const clientId = message.options.get(DhcpOption.clientId);
    if (clientId !== undefined) options.push([DhcpOption.clientId, clientId]);
    return options;
  }

  #answer(message: DhcpMessage, type: 'offer' | 'ack', lease: DhcpLease | null): DhcpOutcome {
    const options = this.#common(message);
    if (lease !== null) {
      const { leaseTime } = this.#settings;
      options.push([DhcpOption.leaseTime, seconds(leaseTime)]);
      if (leaseTime !== endlessLease) {
        // RFC 2131 4.4.5: T1 and T2.
        options.push([DhcpOption.renewal, seconds(Math.floor(leaseTime / 2))]);
        options.push([DhcpOption.rebinding, seconds(Math.floor((leaseTime * 7) / 8))]);
      }
    }
    const asked = message.options.get(DhcpOption.parameters);
    const { answers, unasked } = this.#settings;
    for (const [code, value] of answers) {
      if (unasked.has(code) || asked === undefined || asked.includes(code))
        options.push([code, value]);
    }
    if (lease?.reserved && lease.hostname !== '') {
      options.push([DhcpOption.hostName, Buffer.from(lease.hostname, 'latin1')]);
    }
    const claimed = message.options.get(DhcpOption.largest);
    const size = claimed?.length === 2 ? claimed.readUInt16BE(0) : leastSize;
    const largest = Math.min(Math.max(size, leastSize), mostSize) - datagramHeaders;
    const { clientAddress } = message;
    const reply = buildDhcp(message, {
      type,
      yourAddress: lease?.address ?? noAddress,
      clientAddress: type === 'ack' ? clientAddress : noAddress,
      options,
      largest,
    });
    // RFC 2131 4.1. A client without an address cannot answer ARP, so what is for it goes to all, which
    // a server may do whether the BROADCAST flag is set or not.
    const to = clientAddress !== noAddress ? clientAddress : broadcastAddress;
    return lease === null ? { reply, to } : { reply, to, until: lease.expires };
  }
}

function seconds(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function clientOf(message: DhcpMessage): DhcpClient {
  const mac = [...message.hardwareAddress]
    .map((byte) => byte.toString(16).padStart(2, '0'))
    .join(':');
  const macKey = keyOfMac(message.hardwareType === 1 ? mac : `${message.hardwareType}/${mac}`);
  const id = message.options.get(DhcpOption.clientId);
  // RFC 2132 9.14: at least two bytes.
  const clientId = id !== undefined && id.length >= 2 ? id : null;
  // Some clients end their name with a zero byte (RFC 2132 2).
  const name =
    message.options.get(DhcpOption.hostName)?.toString('latin1').replace(/\0+$/, '') ?? '';
  return {
    key: clientId === null ? macKey : keyOfClientId(clientId),
    macKey,
    mac,
    clientId: clientId?.toString('hex') ?? '',
    hostname: isHostName(name) ? name.toLowerCase() : '',
  };
}
