// SPDX-License-Identifier: MIT
//
// What a DHCPv6 server answers (RFC 8415 18.3): a function of messages and times.

import { encodeDomain, isHostName } from '../dns/domain-name.js';
import { ipv6Hex } from '../dns/reverse-name.js';
import type { Dhcpv6Client, Dhcpv6Lease, Dhcpv6Leases } from './dhcpv6-leases.js';
import {
  addressOption,
  buildDhcpv6,
  type Dhcpv6Message,
  type IdentityAssociation,
  numbers,
  Dhcpv6Option as Option,
  option,
  parseDhcpv6,
  Dhcpv6Status as Status,
  statusOption,
  Dhcpv6Type as Type,
} from './dhcpv6-message.js';
import type { Dhcpv6Settings } from './dhcpv6-options.js';

/** What the server has seen since it was started. */
export interface Dhcpv6Counters {
  solicit: number;
  request: number;
  confirm: number;
  renew: number;
  rebind: number;
  release: number;
  decline: number;
  informationRequest: number;
  /** Answers. */
  advertise: number;
  reply: number;
  /** No DHCPv6, or without what its kind must have. */
  malformed: number;
  /** From a relay: those are not served. */
  relayed: number;
  /** For another server, or about what this one knows nothing of. */
  ignored: number;
  /** No address left. */
  exhausted: number;
}

export interface Dhcpv6Outcome {
  reply?: Buffer;
  events: { name: 'lease' | 'renew' | 'release' | 'decline'; lease: Dhcpv6Lease }[];
  /** When the first of what was granted or offered ends. */
  until?: number;
}

type Kind = Exclude<
  keyof Dhcpv6Counters,
  'advertise' | 'reply' | 'malformed' | 'relayed' | 'ignored' | 'exhausted'
>;

/** RFC 8415 16: which kinds must, or must not, name a server. */
const kinds: Record<number, { kind: Kind; server: 'must' | 'may' | 'not' }> = {
  [Type.solicit]: { kind: 'solicit', server: 'not' },
  [Type.request]: { kind: 'request', server: 'must' },
  [Type.confirm]: { kind: 'confirm', server: 'not' },
  [Type.renew]: { kind: 'renew', server: 'must' },
  [Type.rebind]: { kind: 'rebind', server: 'not' },
  [Type.release]: { kind: 'release', server: 'must' },
  [Type.decline]: { kind: 'decline', server: 'must' },
  [Type.informationRequest]: { kind: 'informationRequest', server: 'may' },
};

const forever = 0xffffffff;
/** Of settings without a lease, in seconds (RFC 8415 7.6: IRT_DEFAULT). */
const refreshTime = 86_400;

export class Dhcpv6Protocol {
  readonly #settings: Dhcpv6Settings;
  readonly #leases: Dhcpv6Leases;
  readonly counters: Dhcpv6Counters = {
    solicit: 0,
    request: 0,
    confirm: 0,
    renew: 0,
    rebind: 0,
    release: 0,
    decline: 0,
    informationRequest: 0,
    advertise: 0,
    reply: 0,
    malformed: 0,
    relayed: 0,
    ignored: 0,
    exhausted: 0,
  };

  constructor(settings: Dhcpv6Settings, leases: Dhcpv6Leases) {
    this.#settings = settings;
    this.#leases = leases;
  }

  receive(bytes: Buffer, now: number): Dhcpv6Outcome {
    const message = parseDhcpv6(bytes);
    if (message === null) return this.#drop('malformed');
    if (message.type === Type.relayForward) return this.#drop('relayed');
    const rule = kinds[message.type];
    if (rule === undefined) return this.#drop('malformed'); // what servers send, too
    const clientId = message.options.get(Option.clientId);
    const serverId = message.options.get(Option.serverId);
    const { kind } = rule;
    if (clientId === undefined && kind !== 'informationRequest') return this.#drop('malformed');
    if (rule.server === 'must' && serverId === undefined) return this.#drop('malformed');
    if (rule.server === 'not' && serverId !== undefined) return this.#drop('malformed');
    this.counters[kind] += 1;
    if (serverId !== undefined && !serverId.equals(this.#settings.duid))
      return this.#drop('ignored');
    const client = { duid: clientId?.toString('hex') ?? '', hostname: hostNameOf(message) };
    switch (kind) {
      case 'solicit':
        return this.#solicit(message, client, now);
      case 'request':
      case 'renew':
      case 'rebind':
        return this.#grant(message, client, kind, now);
      case 'confirm':
        return this.#confirm(message);
      case 'release':
      case 'decline':
        return this.#takeBack(message, client, kind, now);
      case 'informationRequest':
        return this.#inform(message);
    }
  }

  #drop(reason: 'malformed' | 'relayed' | 'ignored'): Dhcpv6Outcome {
    this.counters[reason] += 1;
    return { events: [] };
  }

  /** RFC 8415 18.3.1, 18.3.9. */
  #solicit(message: Dhcpv6Message, client: Dhcpv6Client, now: number): Dhcpv6Outcome {
    const rapid = this.#settings.rapidCommit && message.options.has(Option.rapidCommit);
    const outcome: Dhcpv6Outcome = { events: [] };
    const parts = message.associations.map((one) => this.#allot(one, client, rapid, now, outcome));
    if (rapid) parts.push(option(Option.rapidCommit, Buffer.alloc(0)));
    const type = rapid ? Type.reply : Type.advertise;
    return { ...outcome, reply: this.#answer(message, type, parts) };
  }

  /** RFC 8415 18.3.2, 18.3.4, 18.3.5. */
  #grant(
    message: Dhcpv6Message,
    client: Dhcpv6Client,
    kind: 'request' | 'renew' | 'rebind',
    now: number,
  ): Dhcpv6Outcome {
    const outcome: Dhcpv6Outcome = { events: [] };
    const parts: Buffer[] = [];
    for (const association of message.associations) {
      const { iaid, addresses } = association;
      const off = addresses.filter((one) => !this.#leases.isOnLink(one));
      if (off.length > 0) {
        if (kind === 'request') {
          parts.push(association0(iaid, [statusOption(Status.notOnLink, 'of another link')]));
        } else {
          // They are no good here: the client is to stop using them.
          parts.push(
            association0(
              iaid,
              off.map((one) => addressOption(one, 0, 0)),
            ),
          );
        }
        continue;
      }
      const known = this.#leases.find(client.duid, iaid);
      if (known === undefined && kind !== 'request' && addresses.length === 0) {
        parts.push(association0(iaid, [statusOption(Status.noBinding, 'no lease')]));
        continue;
      }
      parts.push(this.#allot(association, client, true, now, outcome));
    }
    return { ...outcome, reply: this.#answer(message, Type.reply, parts) };
  }

  /** One association with its address, or with the reason why it has none. */
  #allot(
    association: IdentityAssociation,
    client: Dhcpv6Client,
    bind: boolean,
    now: number,
    outcome: Dhcpv6Outcome,
  ): Buffer {
    const { iaid, addresses } = association;
    const allotted = this.#leases.allot(client, iaid, addresses, bind, now);
    if (allotted === null) {
      this.counters.exhausted += 1;
      return association0(iaid, [statusOption(Status.noAddresses, 'no address is free')]);
    }
    const { lease, isNew } = allotted;
    if (bind) outcome.events.push({ name: isNew ? 'lease' : 'renew', lease });
    outcome.until = Math.min(outcome.until ?? Number.POSITIVE_INFINITY, lease.expires);
    const { preferred, valid } = this.#settings;
    // What the client named and does not get: it is to let go of it (18.3.4).
    const others = bind ? addresses.filter((one) => one !== lease.address) : [];
    // RFC 8415 21.4: T1 and T2, half and four fifths of the preferred lifetime.
    const times = preferred === forever ? [forever, forever] : [preferred / 2, (preferred * 4) / 5];
    return option(
      Option.iaNa,
      Buffer.concat([
        numbers(iaid, ...times.map(Math.floor)),
        addressOption(lease.address, preferred, valid),
        ...others.map((one) => addressOption(one, 0, 0)),
      ]),
    );
  }

  /** RFC 8415 18.3.3. */
  #confirm(message: Dhcpv6Message): Dhcpv6Outcome {
    const addresses = message.associations.flatMap((one) => one.addresses);
    if (addresses.length === 0 || this.#settings.range === null) return this.#drop('ignored');
    const here = addresses.every((one) => this.#leases.isOnLink(one));
    const status = here
      ? statusOption(Status.success, 'of this link')
      : statusOption(Status.notOnLink, 'of another link');
    return { events: [], reply: this.#answer(message, Type.reply, [status]) };
  }

  /** RFC 8415 18.3.6, 18.3.8. */
  #takeBack(
    message: Dhcpv6Message,
    { duid }: Dhcpv6Client,
    kind: 'release' | 'decline',
    now: number,
  ): Dhcpv6Outcome {
    const outcome: Dhcpv6Outcome = { events: [] };
    const parts = [statusOption(Status.success, 'done')];
    for (const { iaid, addresses } of message.associations) {
      const leases = addresses.flatMap((one) => {
        const lease =
          kind === 'release'
            ? this.#leases.release(duid, iaid, one)
            : this.#leases.decline(duid, iaid, one, now);
        return lease ?? [];
      });
      for (const lease of leases) outcome.events.push({ name: kind, lease });
      if (leases.length === 0) {
        parts.push(association0(iaid, [statusOption(Status.noBinding, 'no such lease')]));
      }
    }
    return { ...outcome, reply: this.#answer(message, Type.reply, parts) };
  }

  /** RFC 8415 18.3.7, 16.12: for settings alone. */
  #inform(message: Dhcpv6Message): Dhcpv6Outcome {
    if (message.associations.length > 0 || message.others.length > 0)
      return this.#drop('malformed');
    const refresh = option(Option.refreshTime, numbers(refreshTime));
    return { events: [], reply: this.#answer(message, Type.reply, [refresh]) };
  }

  #answer(message: Dhcpv6Message, type: number, parts: readonly Buffer[]): Buffer {
    this.counters[type === Type.advertise ? 'advertise' : 'reply'] += 1;
    const { duid, dns, search } = this.#settings;
    const options: Buffer[] = [];
    const clientId = message.options.get(Option.clientId);
    if (clientId !== undefined) options.push(option(Option.clientId, clientId));
    options.push(option(Option.serverId, duid), ...parts);
    for (const { code, iaid } of message.others) {
      const none = statusOption(Status.noAddresses, 'not given here');
      const head = code === Option.iaTa ? numbers(iaid) : numbers(iaid, 0, 0);
      // RFC 8415 18.3.2: of prefixes it is NoPrefixAvail (6).
      const status = code === Option.iaTa ? none : statusOption(6, 'not given here');
      options.push(option(code, Buffer.concat([head, status])));
    }
    const asked = message.options.get(Option.requested);
    const wants = (code: number) => {
      if (asked === undefined) return true;
      for (let at = 0; at + 1 < asked.length; at += 2)
        if (asked.readUInt16BE(at) === code) return true;
      return false;
    };
    if (dns.length > 0 && wants(Option.dns)) {
      options.push(
        option(Option.dns, Buffer.concat(dns.map((one) => Buffer.from(ipv6Hex(one), 'hex')))),
      );
    }
    if (search.length > 0 && wants(Option.domains)) {
      options.push(option(Option.domains, Buffer.concat(search.map(encodeDomain))));
    }
    return buildDhcpv6(type, message.transaction, options);
  }
}

/** An association without times. */
function association0(iaid: number, inner: readonly Buffer[]): Buffer {
  return option(Option.iaNa, Buffer.concat([numbers(iaid, 0, 0), ...inner]));
}

/** The first label of what the client is called (RFC 4704 4). */
function hostNameOf(message: Dhcpv6Message): string {
  const fqdn = message.options.get(Option.fqdn);
  const length = fqdn?.[1] ?? 0;
  const name = fqdn?.subarray(2, 2 + length).toString('latin1') ?? '';
  return name.length === length && isHostName(name) ? name.toLowerCase() : '';
}
