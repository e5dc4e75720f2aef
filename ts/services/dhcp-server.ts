// SPDX-License-Identifier: MIT
//
// A DHCP server on a link of a stack (RFC 2131): sockets and timers around DhcpProtocol.

import { isIPv4 } from 'node:net';
import type { UdpSocket } from '../datagram-socket.js';
import { type DhcpLease, DhcpLeases } from './dhcp-leases.js';
import { checkDhcpNames, checkDhcpOptions } from './dhcp-options.js';
import { type DhcpCounters, type DhcpOutcome, DhcpProtocol } from './dhcp-protocol.js';
import { Expiry, linkOf, readDatagrams, Service, type ServiceHost, wallClock } from './service.js';

export interface DhcpServerEvents {
  /** A client has an address that it had not before. */
  lease: [DhcpLease];
  /** It has it for longer. */
  renew: [DhcpLease];
  /** It has given it back. */
  release: [DhcpLease];
  /** It has found that somebody else uses it; nobody gets it for ten minutes. */
  decline: [DhcpLease];
  /** The lease has ended. */
  expire: [DhcpLease];
}

const serverPort = 67;
const clientPort = 68;

/** Gives the clients on a link their addresses. Comes from stack.dhcpServer(). */
export class DhcpServer extends Service<DhcpServerEvents> {
  readonly #socket: UdpSocket;
  readonly #leases: DhcpLeases;
  readonly #protocol: DhcpProtocol;
  readonly #expiry: Expiry;
  /** The server's address. */
  readonly address: string;
  /** The clients' domain; '' if there is none. */
  readonly domain: string;

  /** @internal Use stack.dhcpServer(). */
  static start(host: ServiceHost, options: unknown): DhcpServer {
    const { link } = checkDhcpNames(options);
    const id = linkOf(host, 'dhcpServer', link);
    const own = () => host.stack.addresses().filter((one) => isIPv4(one.address));
    const settings = checkDhcpOptions(
      options,
      own().filter((one) => one.id === id),
    );
    const leases = new DhcpLeases(settings, () => own().map((one) => one.address), wallClock());
    const socket = host.stack.socket('udp');
    try {
      // So that it hears this link alone, and other servers can have the others.
      socket.setOption('bindInterface', id);
      socket.setOption('broadcast', true);
      socket.bind({ host: '0.0.0.0', port: serverPort });
    } catch (error) {
      socket.close();
      throw error;
    }
    return new DhcpServer(host, socket, leases, new DhcpProtocol(settings, leases), settings);
  }

  private constructor(
    host: ServiceHost,
    socket: UdpSocket,
    leases: DhcpLeases,
    protocol: DhcpProtocol,
    { server, domain }: { server: string; domain: string },
  ) {
    super(host);
    this.#socket = socket;
    this.#leases = leases;
    this.#protocol = protocol;
    this.address = server;
    this.domain = domain;
    this.#expiry = new Expiry(() => {
      for (const lease of leases.expire(wallClock())) this.tell('expire', lease);
      return leases.nextExpiry();
    });
    this.#expiry.by(leases.nextExpiry());
    void readDatagrams(socket, this.ended, (bytes) => {
      this.#carryOut(protocol.receive(bytes, wallClock()));
    });
  }

  /** Who has an address now. Given as `leases` to a later server, they go on. */
  leases(): DhcpLease[] {
    return this.#leases.list(wallClock());
  }

  /** Of the client that is called so. */
  leaseNamed(hostname: string): DhcpLease | undefined {
    return this.#leases.named(hostname.toLowerCase(), wallClock());
  }

  /** Of an address. */
  leaseOf(address: string): DhcpLease | undefined {
    return this.#leases.of(address, wallClock());
  }

  get counters(): DhcpCounters {
    return { ...this.#protocol.counters };
  }

  protected override release(): void {
    this.#expiry.stop();
    this.#socket.close();
  }

  #carryOut({ reply, to, event, until }: DhcpOutcome): void {
    if (reply !== undefined && to !== undefined) {
      try {
        this.#socket.sendTo(reply, { host: to, port: clientPort });
      } catch {
        // The link is down, or full: the client asks again (RFC 2131 4.1).
      }
    }
    if (event !== undefined) this.tell(event.name, event.lease);
    if (until !== undefined) this.#expiry.by(until);
  }
}
