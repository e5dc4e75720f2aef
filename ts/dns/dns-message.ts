// SPDX-License-Identifier: MIT
//
// DNS messages as a forwarder and a resolver see them (RFC 1035 4, RFC 6891). The codec is dns-packet's; here is
// what must stay as it came, byte by byte: the question of a client, and the answer of a server.

import { randomBytes } from 'node:crypto';
import type { Answer, DecodedPacket, RecordType } from 'dns-packet';
import { codec } from './packet.js';

export const headerSize = 12;
/** What a message over UDP has at most without EDNS (RFC 1035 4.2.1). */
export const plainUdpSize = 512;
/** What is asked of servers: it fits every path unfragmented (RFC 9715). */
export const serverUdpSize = 1232;
/** The most that a client gets by UDP, if it takes so much. */
export const mostUdpSize = 4096;

/** RFC 1035 4.1.1, RFC 6895 2.3. */
export const Rcode = {
  noError: 0,
  formatError: 1,
  serverFailure: 2,
  nxDomain: 3,
  notImplemented: 4,
  refused: 5,
  badVersion: 16,
} as const;

const flags = {
  response: 0x8000,
  authoritative: 0x0400,
  truncated: 0x0200,
  recursionDesired: 0x0100,
  recursionAvailable: 0x0080,
};
const optType = 41;
const dnssecOk = 0x8000;

/** Types that are no question for a resolver: transfers, and what is no record (RFC 6895 3.1). */
const unanswerable = new Set([optType, 249, 250, 251, 252, 253, 254]);
const internet = 1;
const anyClass = 255;

/** A client's question. */
export interface DnsQuery {
  id: number;
  /** RD and CD, as they came. */
  flags: number;
  /** Name, type and class as they came. */
  question: Buffer;
  /** Lower case, without the dot at the end, '' for the root; a byte that is no letter, digit, '-' or '_' and the
   * like as '\DDD' (RFC 4343 2.1). */
  name: string;
  /** 'A', 'AAAA', ...; a number that has no name as 'TYPE65280' (RFC 3597 5). */
  type: string;
  /** Bytes that the client takes by UDP. */
  size: number;
  edns: boolean;
  /** RFC 3225. */
  dnssec: boolean;
}

/** The question's name and where its bytes end; null for one that is compressed, too long or cut off. */
function readName(bytes: Buffer): { name: string; end: number } | null {
  const labels: string[] = [];
  let at = headerSize;
  for (;;) {
    const length = bytes[at];
    if (length === undefined || length > 63) return null;
    at += 1;
    if (length === 0) break;
    if (at + length > bytes.length || at + length - headerSize > 254) return null;
    labels.push(textOf(bytes.subarray(at, at + length)));
    at += length;
  }
  return { name: labels.join('.'), end: at };
}

function textOf(label: Buffer): string {
  let text = '';
  for (const byte of label) {
    // A dot in a label, above all, must not look like one between two.
    const plain = byte > 0x20 && byte < 0x7f && byte !== 0x2e && byte !== 0x5c;
    text += plain ? String.fromCharCode(byte) : `\\${`${byte}`.padStart(3, '0')}`;
  }
  return text.toLowerCase();
}

/**
 * What a client asks; null for what is no question and gets no answer; or why it is refused.
 * Never throws.
 */
export function readQuery(bytes: Buffer): DnsQuery | { rcode: number; answer: Buffer } | null {
  if (bytes.length < headerSize) return null;
  const word = bytes.readUInt16BE(2);
  // An answer to an answer would go round in circles.
  if ((word & flags.response) !== 0) return null;
  const refuse = (rcode: number, question: Buffer = Buffer.alloc(0)) => {
    const header = headerFor(bytes.readUInt16BE(0), word, rcode, question.length > 0 ? 1 : 0);
    return { rcode, answer: Buffer.concat([header, question]) };
  };
  if ((word & 0x7800) !== 0) return refuse(Rcode.notImplemented);
  if (bytes.readUInt16BE(4) !== 1) return refuse(Rcode.formatError);
  const read = readName(bytes);
  if (read === null || read.end + 4 > bytes.length) return refuse(Rcode.formatError);
  const question = bytes.subarray(headerSize, read.end + 4);
  const type = bytes.readUInt16BE(read.end);
  const kind = bytes.readUInt16BE(read.end + 2);
  const decoded = decode(bytes);
  if (decoded === null) return refuse(Rcode.formatError, question);
  const [opt, ...others] = (decoded.additionals ?? []).filter((one) => one.type === 'OPT');
  if (others.length > 0) return refuse(Rcode.formatError, question); // RFC 6891 6.1.1
  if (unanswerable.has(type) || (kind !== internet && kind !== anyClass)) {
    return refuse(Rcode.refused, question);
  }
  const edns = opt as { udpPayloadSize?: number; ednsVersion?: number; flags?: number } | undefined;
  const query: DnsQuery = {
    id: bytes.readUInt16BE(0),
    flags: word & 0x0110,
    question: Buffer.from(question),
    name: read.name,
    type: typeName(type),
    // RFC 6891 6.2.3: less than 512 counts as 512.
    size: Math.min(Math.max(edns?.udpPayloadSize ?? 0, plainUdpSize), mostUdpSize),
    edns: edns !== undefined,
    dnssec: ((edns?.flags ?? 0) & dnssecOk) !== 0,
  };
  // RFC 6891 6.1.3.
  if ((edns?.ednsVersion ?? 0) !== 0) {
    return { rcode: Rcode.badVersion, answer: emptyAnswer(query, Rcode.badVersion) };
  }
  return query;
}

/** Null for a message that is not whole. The codec throws for most of those, and reads past the end of some. */
function decode(bytes: Buffer): DecodedPacket | null {
  try {
    const decoded = codec().decode(bytes);
    return codec().decode.bytes <= bytes.length ? decoded : null;
  } catch {
    return null;
  }
}

/** A question of our own. @param name as checkQueryName() gives it @param type one that the codec knows */
export function ownQuery(name: string, type: string): DnsQuery {
  const message = codec().encode({
    type: 'query',
    questions: [{ type: type as RecordType, name }],
  });
  return {
    id: 0,
    flags: flags.recursionDesired,
    question: message.subarray(headerSize),
    name: name.toLowerCase(),
    type,
    size: serverUdpSize,
    edns: true,
    dnssec: false,
  };
}

function typeName(type: number): string {
  const bytes = Buffer.alloc(headerSize + 5);
  bytes.writeUInt16BE(1, 4);
  bytes.writeUInt16BE(type, headerSize + 1);
  bytes.writeUInt16BE(internet, headerSize + 3);
  const name = codec().decode(bytes).questions?.[0]?.type as string;
  return name.replace(/^UNKNOWN_/, 'TYPE');
}

function headerFor(id: number, word: number, rcode: number, questions: number): Buffer {
  const header = Buffer.alloc(headerSize);
  header.writeUInt16BE(id, 0);
  const kept = word & 0x7910; // opcode, RD, CD
  header.writeUInt16BE(flags.response | flags.recursionAvailable | kept | (rcode & 15), 2);
  header.writeUInt16BE(questions, 4);
  return header;
}

/** An OPT record (RFC 6891 6.1.2). */
function optRecord(size: number, rcode: number, dnssec: boolean): Buffer {
  const record = Buffer.alloc(11);
  record.writeUInt16BE(optType, 1);
  record.writeUInt16BE(size, 3);
  record[5] = rcode >> 4;
  record.writeUInt16BE(dnssec ? dnssecOk : 0, 7);
  return record;
}

/** An answer that has nothing but its code, or, with `truncated`, says that TCP has more (RFC 2181 9). */
export function emptyAnswer(query: DnsQuery, rcode: number, truncated = false): Buffer {
  const header = headerFor(query.id, query.flags, rcode, 1);
  if (truncated) header.writeUInt16BE(header.readUInt16BE(2) | flags.truncated, 2);
  if (!query.edns) return Buffer.concat([header, query.question]);
  header.writeUInt16BE(1, 10);
  return Buffer.concat([header, query.question, optRecord(mostUdpSize, rcode, query.dnssec)]);
}

/** An answer with records. @throws if a record cannot be encoded */
export function ownAnswer(query: DnsQuery, answers: readonly Answer[]): Buffer {
  // The question goes in as it came; the codec does not compress, so what is behind it may move.
  const body = codec()
    .encode({ type: 'response', answers: [...answers] })
    .subarray(headerSize);
  const header = headerFor(query.id, query.flags, Rcode.noError, 1);
  header.writeUInt16BE(header.readUInt16BE(2) | flags.authoritative, 2);
  header.writeUInt16BE(answers.length, 6);
  const parts = [header, query.question, body];
  if (query.edns) {
    header.writeUInt16BE(1, 10);
    parts.push(optRecord(mostUdpSize, 0, query.dnssec));
  }
  return Buffer.concat(parts);
}

/** What a server is asked: an identifier and the case of each letter are random (draft-vixie-dnsext-dns0x20). */
export function serverQuery(query: DnsQuery): Buffer {
  const header = Buffer.alloc(headerSize);
  randomBytes(2).copy(header, 0);
  header.writeUInt16BE(query.flags, 2);
  header.writeUInt16BE(1, 4);
  const question = Buffer.from(query.question);
  const coins = randomBytes(question.length);
  for (let i = 0; i < question.length - 5; i += 1) {
    const byte = question[i] as number;
    const isLetter = (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a);
    // Lengths are below 0x40, so a letter is one.
    if (isLetter && ((coins[i] as number) & 1) !== 0) question[i] = byte ^ 0x20;
  }
  if (!query.edns) return Buffer.concat([header, question]);
  header.writeUInt16BE(1, 10);
  return Buffer.concat([header, question, optRecord(serverUdpSize, 0, query.dnssec)]);
}

export type ServerAnswer =
  | { kind: 'answer'; bytes: Buffer; packet: DecodedPacket; rcode: number }
  | { kind: 'truncated' }
  /** Right but for the case of its letters: from a server that does not keep it, or from somebody else. */
  | { kind: 'case' }
  /** The server does not know EDNS, and said so without the question (RFC 6891 7). */
  | { kind: 'plain' }
  | { kind: 'stray' };

/** Whether what came is the answer to `asked` (RFC 5452 9.1). Never throws. */
export function readAnswer(bytes: Buffer, asked: Buffer, query: DnsQuery): ServerAnswer {
  const end = headerSize + query.question.length;
  if (bytes.length < headerSize || bytes.readUInt16BE(0) !== asked.readUInt16BE(0))
    return { kind: 'stray' };
  const word = bytes.readUInt16BE(2);
  if ((word & 0xf800) !== flags.response) return { kind: 'stray' };
  if (query.edns && bytes.length === headerSize && isWithoutEdns(word & 15))
    return { kind: 'plain' };
  if (bytes.length < end || bytes.readUInt16BE(4) !== 1) return { kind: 'stray' };
  const theirs = bytes.subarray(headerSize, end);
  const ours = asked.subarray(headerSize, end);
  if (!theirs.equals(ours)) {
    const same = theirs.toString('latin1').toLowerCase() === ours.toString('latin1').toLowerCase();
    return { kind: same ? 'case' : 'stray' };
  }
  if ((word & flags.truncated) !== 0) return { kind: 'truncated' };
  const decoded = decode(bytes);
  if (decoded === null) return { kind: 'stray' };
  return { kind: 'answer', bytes: Buffer.from(bytes), packet: decoded, rcode: word & 15 };
}

/** Whether a server that knows no EDNS says so with this code (RFC 6891 7). */
export function isWithoutEdns(rcode: number): boolean {
  return rcode === Rcode.formatError || rcode === Rcode.notImplemented;
}

/** A server's answer for a client: with its identifier and its question, letter by letter. */
export function answerFor(query: DnsQuery, bytes: Buffer): Buffer {
  const answer = Buffer.from(bytes);
  answer.writeUInt16BE(query.id, 0);
  query.question.copy(answer, headerSize);
  return answer;
}

/** By UDP: no more than the client takes. */
export function fitted(query: DnsQuery, answer: Buffer): Buffer {
  if (answer.length <= query.size) return answer;
  return emptyAnswer(query, answer.readUInt16BE(2) & 15, true);
}
