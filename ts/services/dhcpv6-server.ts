// SPDX-License-Identifier: MIT
//
// A DHCPv6 server on a link of a stack (RFC 8415): sockets and timers around Dhcpv6Protocol.

import { isIPv6 } from 'node:net';
import type { UdpSocket } from '../datagram-socket.js';
import { type Dhcpv6Lease, Dhcpv6Leases } from './dhcpv6-leases.js';
import { checkDhcpv6Names, checkDhcpv6Options, type Dhcpv6Settings } from './dhcpv6-options.js';
import { type Dhcpv6Counters, Dhcpv6Protocol } from './dhcpv6-protocol.js';
import { Expiry, linkOf, readDatagrams, Service, type ServiceHost, wallClock } from './service.js';

export interface Dhcpv6ServerEvents {
  /** A client has an address that it had not before. */
  lease: [Dhcpv6Lease];
  /** It has it for longer. */
  renew: [Dhcpv6Lease];
  /** It has given it back. */
  release: [Dhcpv6Lease];
  /** It has found that somebody else uses it; nobody gets it for ten minutes. */
  decline: [Dhcpv6Lease];
  /** The lease has ended. */
  expire: [Dhcpv6Lease];
}

const serverPort = 547;
const clientPort = 546;
/** All_DHCP_Relay_Agents_and_Servers (RFC 8415 7.1). */
const servers = 'ff02::1:2';

/** Gives the clients on a link IPv6 addresses and settings. Comes from stack.dhcpv6Server(). */
export class Dhcpv6Server extends Service<Dhcpv6ServerEvents> {
  readonly #socket: UdpSocket;
  readonly #leases: Dhcpv6Leases;
  readonly #protocol: Dhcpv6Protocol;
  readonly #expiry: Expiry;
  /** The server's DUID, in hexadecimal digits. */
  readonly duid: string;
  /** The clients' domain; '' if there is none. */
  readonly domain: string;

  /** @internal Use stack.dhcpv6Server(). */
  static start(host: ServiceHost, options: unknown): Dhcpv6Server {
    const { link } = checkDhcpv6Names(options);
    const id = linkOf(host, 'dhcpv6Server', link);
    const own = () => host.stack.addresses().filter((one) => isIPv6(one.address));
    const linkLocal = /^fe[89ab]/i;
    const settings = checkDhcpv6Options(
      options,
      own().filter((one) => one.id === id && !linkLocal.test(one.address)),
      host.stack.interfaces().find((one) => one.id === id)?.mac ?? '',
    );
    const leases = new Dhcpv6Leases(settings, () => own().map((one) => one.address), wallClock());
    const socket = host.stack.socket('udp');
    try {
      socket.setOption('bindInterface', id);
      // Bound to the group, it hears nothing else: clients have no business with it by unicast.
      socket.bind({ host: servers, port: serverPort });
      socket.addMembership(servers, id);
    } catch (error) {
      socket.close();
      throw error;
    }
    return new Dhcpv6Server(host, socket, leases, settings, id);
  }

  private constructor(
    host: ServiceHost,
    socket: UdpSocket,
    leases: Dhcpv6Leases,
    settings: Dhcpv6Settings,
    link: number,
  ) {
    super(host);
    this.#socket = socket;
    this.#leases = leases;
    this.#protocol = new Dhcpv6Protocol(settings, leases);
    this.duid = settings.duid.toString('hex');
    this.domain = settings.domain;
    this.#expiry = new Expiry(() => {
      for (const lease of leases.expire(wallClock())) this.tell('expire', lease);
      return leases.nextExpiry();
    });
    this.#expiry.by(leases.nextExpiry());
    void readDatagrams(socket, this.ended, (bytes, { address, port }) => {
      // RFC 8415 7.2, 18.2.10: clients have link-local addresses, and their port.
      const [client = ''] = address.split('%');
      if (port !== clientPort || !linkLocalClient.test(client)) {
        this.#protocol.counters.ignored += 1;
        return;
      }
      const { reply, events, until } = this.#protocol.receive(bytes, wallClock());
      if (reply !== undefined) {
        try {
          socket.sendTo(reply, { host: `${client}%${link}`, port: clientPort });
        } catch {
          // The link is down, or full: the client asks again (RFC 8415 15).
        }
      }
      for (const { name, lease } of events) this.tell(name, lease);
      if (until !== undefined) this.#expiry.by(until);
    });
  }

  /** Who has an address now. Given as `leases` to a later server, they go on. */
  leases(): Dhcpv6Lease[] {
    return this.#leases.list(wallClock());
  }

  /** Of the client that is called so. */
  leaseNamed(hostname: string): Dhcpv6Lease | undefined {
    return this.#leases.named(hostname.toLowerCase(), wallClock());
  }

  /** Of an address. */
  leaseOf(address: string): Dhcpv6Lease | undefined {
    return isIPv6(address) ? this.#leases.of(address, wallClock()) : undefined;
  }

  get counters(): Dhcpv6Counters {
    return { ...this.#protocol.counters };
  }

  protected override release(): void {
    this.#expiry.stop();
    this.#socket.close();
  }
}

const linkLocalClient = /^fe[89ab]/i;
