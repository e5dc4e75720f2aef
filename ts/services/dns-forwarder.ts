// SPDX-License-Identifier: MIT
//
// A DNS forwarder on a stack: clients ask it by UDP and TCP, it answers by itself what it knows, asks a policy,
// and then the servers of another stack.

import { isIP, isIPv6 } from 'node:net';
import type { Answer } from 'dns-packet';
import {
  checkAddress,
  checkArray,
  checkFunction,
  checkInteger,
  checkKeys,
  checkObject,
  checkPort,
} from '../check.js';
import type { UdpSocket } from '../datagram-socket.js';
import {
  answerFor,
  type DnsQuery,
  emptyAnswer,
  fitted,
  ownAnswer,
  Rcode,
  readQuery,
} from '../dns/dns-message.js';
import {
  type DnsServerAddress,
  DnsServers,
  dnsPort,
  HostServers,
  type Outcome,
} from '../dns/dns-servers.js';
import { invalidType, invalidValue } from '../errors.js';
import type { SocketStack } from '../socket-stack.js';
import type { TcpSocket } from '../tcp-socket.js';
import { DhcpServer } from './dhcp-server.js';
import { Dhcpv6Server } from './dhcpv6-server.js';
import { AddressNames } from './dns-names.js';
import {
  checkRecord,
  type DnsRecord,
  type DnsRecords,
  type LeaseSource,
  OwnNames,
  ownTtl,
} from './dns-records.js';
import { DnsStreams } from './dns-streams.js';
import { readDatagrams, Service, type ServiceHost } from './service.js';

/** What a client asks, as a policy and listeners see it. */
export interface DnsQuestion {
  /** Lower case, without the dot at the end; a byte in a label that is no printable character, a dot or a
   * backslash is written '\DDD'. */
  name: string;
  /** 'A', 'AAAA', 'HTTPS', ...; 'TYPE65280' for one without a name. */
  type: string;
  /** The client's address and port. */
  client: { address: string; port: number };
  transport: 'udp' | 'tcp';
}

/** What is done about a question. */
export type DnsDecision =
  | 'allow'
  | 'refuse'
  | 'nxdomain'
  /** Addresses, of which those of the asked family are the answer, and other records of the asked type. */
  | { answer: readonly (string | DnsRecord)[] };

export type DnsPolicy = (question: DnsQuestion) => DnsDecision | Promise<DnsDecision>;

export interface DnsForwarderOptions {
  /** The stack whose servers are asked, such as a HostStack. Stays the caller's. */
  to: SocketStack;
  /**
   * Who is asked, in this order: 'address', or { host, port }. If left out: the nameservers of the host's
   * /etc/resolv.conf, also after it has changed.
   */
  servers?: readonly (string | DnsServerAddress)[];
  /** Where clients ask: addresses of the stack. If left out: all that it has, but loopback and link-local ones. */
  addresses?: readonly string[];
  /** 53 if left out. */
  port?: number;
  /** Names of its own. */
  records?: DnsRecords;
  /** DHCP servers whose clients are known by name: `hostname`, and `hostname.domain`. */
  dhcp?: DhcpServer | Dhcpv6Server | readonly (DhcpServer | Dhcpv6Server)[];
  /** Asked about each question that is not for a name of its own. A throw is 'refuse'. */
  policy?: DnsPolicy;
  /** Milliseconds that a policy may take; then the question is refused. 5000 if left out. */
  policyTimeout?: number;
  /** Milliseconds that a server may take for each attempt; 2000 if left out. */
  timeout?: number;
  /** Questions at work at once; what comes beyond is dropped. 512 if left out. */
  maxQueries?: number;
  /** TCP connections at once; the ones beyond are closed. 64 if left out. */
  maxConnections?: number;
  /** Milliseconds without a question after which a TCP connection is closed; 10000 if left out. */
  idleTimeout?: number;
  /** Addresses for nameOf() to remember; 8192 if left out. */
  maxNames?: number;
}

/** A question and what became of it. */
export interface DnsReport extends DnsQuestion {
  /** 'own': of its records and leases. 'policy': by the policy. 'server': of `server`. 'failed': no server answered. */
  by: 'own' | 'policy' | 'server' | 'failed';
  /** The decision of the policy. */
  action: 'allow' | 'refuse' | 'nxdomain' | 'answer';
  /** RFC 1035 4.1.1: 0 is no error, 2 SERVFAIL, 3 NXDOMAIN, 5 REFUSED. */
  rcode: number;
  /** The addresses in the answer. */
  addresses: string[];
  server?: string;
}

export interface DnsForwarderEvents {
  query: [DnsReport];
}

export interface DnsCounters {
  /** Questions that were taken. */
  queries: number;
  answeredByServers: number;
  answeredByItself: number;
  refused: number;
  nxdomain: number;
  /** No server answered. */
  failed: number;
  /** No questions, or none that can be answered. */
  malformed: number;
  /** More than maxQueries at once, or than maxConnections. */
  dropped: number;
  /** Answers too long for UDP, so that the client asks by TCP. */
  truncated: number;
  /** Policies that threw, gave no decision, or none in time. */
  policyFailures: number;
  /** Asked of servers once for several clients. */
  shared: number;
  serverTimeouts: number;
  /** Datagrams from a server's address that answered nothing that was asked. */
  strayAnswers: number;
  serverTcp: number;
}

const known = [
  ...['to', 'servers', 'addresses', 'port', 'records', 'dhcp', 'policy', 'policyTimeout'],
  ...['timeout', 'maxQueries', 'maxConnections', 'idleTimeout', 'maxNames'],
];

interface Settings {
  port: number;
  policy: DnsPolicy | null;
  policyTimeout: number;
  maxQueries: number;
}

/** Comes from stack.dnsForwarder(). */
export class DnsForwarder extends Service<DnsForwarderEvents> {
  readonly #settings: Settings;
  readonly #sockets: (UdpSocket | TcpSocket)[] = [];
  readonly #own: OwnNames;
  readonly #names: AddressNames;
  readonly #servers: DnsServers;
  readonly #streams: DnsStreams;
  /** What is being asked, by question. */
  readonly #asking = new Map<string, Promise<Outcome>>();
  #atWork = 0;
  readonly #counters = {
    queries: 0,
    answeredByServers: 0,
    answeredByItself: 0,
    refused: 0,
    nxdomain: 0,
    failed: 0,
    malformed: 0,
    dropped: 0,
    truncated: 0,
    policyFailures: 0,
    shared: 0,
  };
  /** Where clients ask. */
  readonly addresses: readonly string[];

  /** @internal Use stack.dnsForwarder(). */
  static start(host: ServiceHost, options: unknown): DnsForwarder {
    return new DnsForwarder(host, checkObject(options, 'options'));
  }

  private constructor(host: ServiceHost, options: Record<string, unknown>) {
    checkKeys(options, 'options', known);
    const { policy, port = dnsPort, policyTimeout = 5000, timeout = 2000 } = options;
    const {
      maxQueries = 512,
      maxConnections = 64,
      idleTimeout = 10_000,
      maxNames = 8192,
    } = options;
    const to = checkStack(options.to);
    if (policy !== undefined) checkFunction(policy, 'options.policy');
    const milliseconds = (value: unknown, name: string) => checkInteger(value, name, 1, 600_000);
    const settings: Settings = {
      port: checkPort(port, 'options.port', 1),
      policy: (policy as DnsPolicy | undefined) ?? null,
      policyTimeout: milliseconds(policyTimeout, 'options.policyTimeout'),
      maxQueries: checkInteger(maxQueries, 'options.maxQueries', 1, 65536),
    };
    const tryTime = milliseconds(timeout, 'options.timeout');
    const most = checkInteger(maxConnections, 'options.maxConnections', 1, 65536);
    const idle = milliseconds(idleTimeout, 'options.idleTimeout');
    const names = new AddressNames(checkInteger(maxNames, 'options.maxNames', 1, 2 ** 20));
    const servers = checkServers(options.servers);
    const own = new OwnNames(options.records ?? {}, checkDhcp(options.dhcp));
    const addresses = checkListen(host, options.addresses);

    super(host);
    this.#settings = settings;
    this.#own = own;
    this.#names = names;
    this.addresses = addresses;
    // Each server twice: the first question may be lost.
    this.#servers = new DnsServers(to, servers, { timeout: tryTime, attempts: 2 }, this.ended);
    this.#streams = new DnsStreams(this.ended, most, idle, (bytes, client) =>
      this.#serve(bytes, client, 'tcp'),
    );
    try {
      for (const address of addresses) this.#listen(host, address);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** The name by which a client asked for an address, as long as its answer counts; the last if there were several. */
  nameOf(address: string): string | undefined {
    return this.#names.find(address);
  }

  /** All names of its own anew. */
  setRecords(records: DnsRecords): void {
    this.#own.replace(records);
  }

  /** One name of its own anew. */
  setRecord(name: string, values: string | readonly (string | DnsRecord)[]): void {
    this.#own.set(name, values);
  }

  /** False if there is no such name of its own. */
  deleteRecord(name: string): boolean {
    return this.#own.delete(name);
  }

  get counters(): DnsCounters {
    const { stray, timeouts, tcp } = this.#servers.counters;
    const dropped = this.#counters.dropped + this.#streams.refused;
    return {
      ...this.#counters,
      dropped,
      serverTimeouts: timeouts,
      strayAnswers: stray,
      serverTcp: tcp,
    };
  }

  protected override release(): void {
    for (const socket of this.#sockets) socket.close();
  }

  #listen(host: ServiceHost, address: string): void {
    const { port } = this.#settings;
    const udp = host.stack.socket('udp');
    this.#sockets.push(udp);
    udp.setOption('ipv6Only', isIPv6(address.split('%')[0] as string));
    udp.bind({ host: address, port });
    const tcp = host.stack.socket('tcp');
    this.#sockets.push(tcp);
    tcp.setOption('ipv6Only', isIPv6(address.split('%')[0] as string));
    tcp.bind({ host: address, port }).listen();
    void this.#streams.serve(tcp);
    void readDatagrams(udp, this.ended, (bytes, from) => {
      void this.#serve(bytes, from, 'udp').then((answer) => {
        if (answer === null || this.closed) return;
        try {
          udp.sendTo(answer, { host: from.address, port: from.port });
        } catch {
          // The client, or its link, is gone: it asks again if it is not.
        }
      });
    });
  }

  /** The answer to a message; null for none. Never rejects. */
  async #serve(
    bytes: Buffer,
    { address, port }: { address: string; port: number },
    transport: 'udp' | 'tcp',
  ): Promise<Buffer | null> {
    const query = readQuery(bytes);
    if (query === null || 'answer' in query) {
      this.#counters.malformed += 1;
      return query === null ? null : query.answer;
    }
    if (this.#atWork >= this.#settings.maxQueries) {
      this.#counters.dropped += 1;
      return null;
    }
    this.#counters.queries += 1;
    this.#atWork += 1;
    try {
      const { name, type } = query;
      const question = { name, type, client: { address, port }, transport };
      const answer = await this.#answer(query, question);
      if (transport === 'tcp' || answer.length <= query.size) return answer;
      this.#counters.truncated += 1;
      return fitted(query, answer);
    } catch {
      return emptyAnswer(query, Rcode.serverFailure);
    } finally {
      this.#atWork -= 1;
    }
  }

  async #answer(query: DnsQuery, question: DnsQuestion): Promise<Buffer> {
    const report = (
      by: DnsReport['by'],
      action: DnsReport['action'],
      rcode: number,
      addresses: string[] = [],
    ) => {
      this.tell('query', { ...question, by, action, rcode, addresses });
    };
    const own = this.#own.find(query.name, query.type);
    if (own !== null) {
      this.#counters.answeredByItself += 1;
      const rcode = own === 'nxdomain' ? Rcode.nxDomain : Rcode.noError;
      const addresses = own === 'nxdomain' ? [] : this.#remember(query.name, own);
      report('own', 'allow', rcode, addresses);
      return own === 'nxdomain' ? emptyAnswer(query, rcode) : ownAnswer(query, own);
    }
    const decision = await this.#decide(question);
    if (decision === 'refuse' || decision === 'nxdomain') {
      this.#counters[decision === 'refuse' ? 'refused' : 'nxdomain'] += 1;
      const rcode = decision === 'refuse' ? Rcode.refused : Rcode.nxDomain;
      report('policy', decision, rcode);
      return emptyAnswer(query, rcode);
    }
    if (decision !== 'allow') {
      this.#counters.answeredByItself += 1;
      const answers = decision.filter((one) => one.type === query.type || query.type === 'ANY');
      report('policy', 'answer', Rcode.noError, this.#remember(query.name, answers));
      return ownAnswer(query, answers);
    }
    const outcome = await this.#ask(query);
    if (typeof outcome === 'string') {
      this.#counters.failed += 1;
      report('failed', 'allow', Rcode.serverFailure);
      return emptyAnswer(query, Rcode.serverFailure);
    }
    this.#counters.answeredByServers += 1;
    const { server, rcode } = outcome;
    const addresses = this.#remember(query.name, outcome.packet.answers ?? []);
    this.tell('query', { ...question, by: 'server', action: 'allow', rcode, addresses, server });
    return answerFor(query, outcome.bytes);
  }

  /** The decision; the answers, if it is one, ready for the codec. Never rejects. */
  async #decide(question: DnsQuestion): Promise<'allow' | 'refuse' | 'nxdomain' | Answer[]> {
    const { policy, policyTimeout } = this.#settings;
    if (policy === null) return 'allow';
    let timer: NodeJS.Timeout | undefined;
    try {
      const late = new Promise<'late'>((resolve) => {
        timer = setTimeout(resolve, policyTimeout, 'late');
      });
      const decision = await Promise.race([policy({ ...question }), late]);
      if (decision === 'allow' || decision === 'refuse' || decision === 'nxdomain') return decision;
      const { answer } = decision as { answer: unknown[] };
      return answer.map((one, i) => checkRecord(one, `answer[${i}]`, question.name || '.'));
    } catch {
      // Falls through: it threw, or what it gave is no decision.
    } finally {
      clearTimeout(timer);
    }
    this.#counters.policyFailures += 1;
    return 'refuse';
  }

  /** Clients that ask the same at once are answered by one question. */
  #ask(query: DnsQuery): Promise<Outcome> {
    const { name, question, flags, edns, dnssec } = query;
    const kind = question.subarray(-4).toString('hex');
    const key = `${kind} ${flags} ${edns} ${dnssec} ${name}`;
    const known = this.#asking.get(key);
    if (known !== undefined) {
      this.#counters.shared += 1;
      return known;
    }
    const asked = this.#servers.ask(query).finally(() => this.#asking.delete(key));
    this.#asking.set(key, asked);
    return asked;
  }

  #remember(name: string, answers: readonly Answer[]): string[] {
    const addresses: string[] = [];
    for (const one of answers) {
      const { type, data, ttl } = one as { type: string; data: unknown; ttl?: number };
      if (type !== 'A' && type !== 'AAAA') continue;
      if (typeof data !== 'string' || isIP(data) === 0) continue;
      addresses.push(data);
      this.#names.add(data, name, ttl ?? ownTtl);
    }
    return addresses;
  }
}

function checkStack(value: unknown): SocketStack {
  const isStack = typeof (value as { socket?: unknown } | null | undefined)?.socket === 'function';
  if (!isStack) throw invalidType('options.to', 'a stack, such as a HostStack', value);
  return value as SocketStack;
}

function checkServers(value: unknown): () => readonly DnsServerAddress[] {
  if (value === undefined) {
    const host = new HostServers();
    return () => host.get();
  }
  const servers = checkArray(value, 'options.servers').map((one, i) => {
    const name = `options.servers[${i}]`;
    const given: Record<string, unknown> =
      typeof one === 'string' ? { host: one } : checkObject(one, name);
    checkKeys(given, name, ['host', 'port']);
    const { host, port = dnsPort } = given;
    const [address = '', zone] = typeof host === 'string' ? host.split('%') : [host as string];
    const checked = checkAddress(address, typeof one === 'string' ? name : `${name}.host`);
    return {
      host: zone === undefined ? checked : `${checked}%${zone}`,
      port: checkPort(port, `${name}.port`, 1),
    };
  });
  if (servers.length === 0) throw invalidValue('options.servers', value, 'must have at least one');
  return () => servers;
}

function checkDhcp(value: unknown): LeaseSource[] {
  const list = Array.isArray(value) ? value : value === undefined ? [] : [value];
  return list.map((one) => {
    if (one instanceof DhcpServer || one instanceof Dhcpv6Server) return one;
    throw invalidValue('options.dhcp', one, 'must be what dhcpServer() or dhcpv6Server() gave');
  });
}

function checkListen(host: ServiceHost, value: unknown): string[] {
  if (value === undefined) {
    const linkLocal = /^(fe[89ab]|169\.254\.)/i;
    const own = host.stack
      .addresses()
      .filter(({ interface: name, address, state }) => {
        return name !== 'lo' && state === 'preferred' && !linkLocal.test(address);
      })
      .map(({ address }) => address);
    if (own.length === 0) throw invalidValue('options.addresses', value, 'the stack has none');
    return own;
  }
  const addresses = checkArray(value, 'options.addresses').map((one, i) => {
    const [address, zone] = typeof one === 'string' ? one.split('%') : [one as string];
    const checked = checkAddress(address, `options.addresses[${i}]`);
    return zone === undefined ? checked : `${checked}%${zone}`;
  });
  if (addresses.length === 0) throw invalidValue('options.addresses', value, 'must have one');
  return addresses;
}
