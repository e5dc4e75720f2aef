// SPDX-License-Identifier: MIT
//
// DHCP messages: bytes <-> values (RFC 2131 2, RFC 2132, RFC 3396). Checked once, by parseDhcp; nothing
// here throws for what comes from the network.

/** The options that the server knows by name. */
export const DhcpOption = {
  pad: 0,
  subnetMask: 1,
  router: 3,
  dns: 6,
  hostName: 12,
  domain: 15,
  mtu: 26,
  broadcast: 28,
  ntp: 42,
  requestedAddress: 50,
  leaseTime: 51,
  overload: 52,
  type: 53,
  server: 54,
  parameters: 55,
  message: 56,
  largest: 57,
  renewal: 58,
  rebinding: 59,
  clientId: 61,
  search: 119,
  routes: 121,
  end: 255,
} as const;

/** RFC 2132 9.6, by number. */
export const dhcpTypes = [
  '',
  'discover',
  'offer',
  'request',
  'decline',
  'ack',
  'nak',
  'release',
  'inform',
] as const;
export type DhcpType = Exclude<(typeof dhcpTypes)[number], ''>;

export interface DhcpMessage {
  type: DhcpType;
  hardwareType: number;
  hops: number;
  xid: number;
  secs: number;
  /** The BROADCAST flag (RFC 2131 2). */
  broadcast: boolean;
  clientAddress: string;
  yourAddress: string;
  relayAddress: string;
  /** chaddr, 1 to 16 bytes. */
  hardwareAddress: Buffer;
  /** By code, each whole (RFC 3396). */
  options: ReadonlyMap<number, Buffer>;
}

const fixedSize = 236;
const magicCookie = 0x63825363;
/** What BOOTP relays and some clients want to see (RFC 1542 2.1). */
const smallest = 300;
const bootRequest = 1;
const bootReply = 2;

export const noAddress = '0.0.0.0';

export function readAddress(bytes: Buffer, at: number): string {
  return `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`;
}

export function addressBytes(address: string): Buffer {
  return Buffer.from(address.split('.').map(Number));
}

export function addressNumber(address: string): number {
  return addressBytes(address).readUInt32BE(0);
}

export function addressOf(number: number): string {
  return [24, 16, 8, 0].map((shift) => (number >>> shift) & 0xff).join('.');
}

/** Adds the options of a field to `found`. False if one runs past its end (security case L10). */
function readOptions(field: Buffer, found: Map<number, Buffer[]>): boolean {
  for (let at = 0; at < field.length; ) {
    const code = field[at] as number;
    if (code === DhcpOption.end) return true;
    at += 1;
    if (code === DhcpOption.pad) continue;
    const length = field[at];
    if (length === undefined || at + 1 + length > field.length) return false;
    const parts = found.get(code);
    const value = field.subarray(at + 1, at + 1 + length);
    if (parts === undefined) found.set(code, [value]);
    else parts.push(value);
    at += 1 + length;
  }
  return true; // without an end: the field ends where it ends
}

/** A client's message; null for anything else. The values are views of `bytes`. */
export function parseDhcp(bytes: Buffer): DhcpMessage | null {
  if (bytes.length < fixedSize + 4 || bytes[0] !== bootRequest) return null;
  if (bytes.readUInt32BE(fixedSize) !== magicCookie) return null;
  const hardwareLength = bytes[2] as number;
  if (hardwareLength === 0 || hardwareLength > 16) return null;
  const found = new Map<number, Buffer[]>();
  if (!readOptions(bytes.subarray(fixedSize + 4), found)) return null;
  // RFC 2131 4.1: file, then sname, once; an overload option in there means nothing.
  const overload = found.get(DhcpOption.overload)?.[0];
  const where = overload?.length === 1 ? (overload[0] as number) : 0;
  if ((where & 1) !== 0 && !readOptions(bytes.subarray(108, 236), found)) return null;
  if ((where & 2) !== 0 && !readOptions(bytes.subarray(44, 108), found)) return null;
  const options = new Map<number, Buffer>();
  // RFC 3396 7: the parts of an option that comes several times belong together.
  for (const [code, parts] of found) {
    options.set(code, parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts));
  }
  const type = dhcpTypes[options.get(DhcpOption.type)?.[0] ?? 0];
  if (!type || options.get(DhcpOption.type)?.length !== 1) return null;
  return {
    type,
    hardwareType: bytes[1] as number,
    hops: bytes[3] as number,
    xid: bytes.readUInt32BE(4),
    secs: bytes.readUInt16BE(8),
    broadcast: (bytes.readUInt16BE(10) & 0x8000) !== 0,
    clientAddress: readAddress(bytes, 12),
    yourAddress: readAddress(bytes, 16),
    relayAddress: readAddress(bytes, 24),
    hardwareAddress: bytes.subarray(28, 28 + hardwareLength),
    options,
  };
}

/** An option of four bytes that is an address; undefined if there is none such. */
export function addressOption(message: DhcpMessage, code: number): string | undefined {
  const value = message.options.get(code);
  return value?.length === 4 ? readAddress(value, 0) : undefined;
}

export interface DhcpReply {
  type: 'offer' | 'ack' | 'nak';
  yourAddress: string;
  clientAddress: string;
  /** In the order in which they are to be written, the type not among them. */
  options: readonly (readonly [code: number, value: Buffer])[];
  /** Bytes of DHCP that the client takes. */
  largest: number;
}

/** The answer to `request`. Options for which there is no room are left out, the last first. */
export function buildDhcp(request: DhcpMessage, reply: DhcpReply): Buffer {
  const header = Buffer.alloc(fixedSize);
  header[0] = bootReply;
  header[1] = request.hardwareType;
  header[2] = request.hardwareAddress.length;
  header.writeUInt32BE(request.xid, 4);
  header.writeUInt16BE(request.broadcast ? 0x8000 : 0, 10);
  addressBytes(reply.clientAddress).copy(header, 12);
  addressBytes(reply.yourAddress).copy(header, 16);
  addressBytes(request.relayAddress).copy(header, 24);
  request.hardwareAddress.copy(header, 28);
  const cookie = Buffer.alloc(4);
  cookie.writeUInt32BE(magicCookie);
  const parts: Buffer[] = [
    header,
    cookie,
    Buffer.of(DhcpOption.type, 1, dhcpTypes.indexOf(reply.type)),
  ];
  let size = fixedSize + 4 + 3;
  for (const [code, value] of reply.options) {
    const option = encodeOption(code, value);
    if (size + option.length + 1 > reply.largest) continue;
    parts.push(option);
    size += option.length;
  }
  parts.push(Buffer.of(DhcpOption.end));
  const bytes = Buffer.concat(parts);
  return bytes.length >= smallest ? bytes : Buffer.concat([bytes], smallest);
}

/** RFC 3396 5: what is longer than 255 bytes comes in parts. */
function encodeOption(code: number, value: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at === 0 || at < value.length; at += 255) {
    const part = value.subarray(at, at + 255);
    parts.push(Buffer.of(code, part.length), part);
  }
  return Buffer.concat(parts);
}
