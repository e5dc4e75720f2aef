// SPDX-License-Identifier: MIT
//
// How a TCP connection does: what `info()` of a TcpSocket gives.

import type { NativeTcpInfo } from './native.js';

/**
 * Figures of a connection, as tcp_info of Linux and the MIB of RFC 4898 have them. Times are in milliseconds, with
 * fractions; windows and data in bytes. SYN and FIN are no data. Of a socket without a connection only `state` and
 * `congestion` mean something.
 */
export interface TcpInfo {
  /** As `socket.state`. */
  state: string;
  /** As `getOption('congestion')`: 'cubic', 'newreno'; on a HostStack what its kernel has. */
  congestion: string;
  /**
   * 'open': nothing is amiss. 'disorder': something seems to be missing. 'recovery': it was lost, and goes again
   * (fast recovery). 'loss': the retransmission timer expired. 'reduced': the window was cut without a loss (ECN; of
   * a HostStack alone).
   */
  congestionState: 'open' | 'disorder' | 'reduced' | 'recovery' | 'loss';
  /** The smoothed round-trip time (RFC 6298), in ms; null before the first measurement. */
  rtt: number | null;
  /** Its mean deviation, in ms; null before the first measurement. */
  rttVariation: number | null;
  /** The least round-trip time, in ms: of the whole connection; of the last 5 minutes on a HostStack. */
  minRtt: number | null;
  /** After this silence data is sent again, in ms, with the backoff of timeouts so far. */
  retransmitTimeout: number;
  /** Data bytes of a full segment that is sent. */
  sendMss: number;
  /** Data bytes of a full segment of the peer's, as seen so far. */
  receiveMss: number;
  /** Bytes of the largest IP packet on the path; 0 if that is not known. */
  pathMtu: number;
  /** Bytes that may be in the network. */
  congestionWindow: number;
  /** Below it the congestion window grows fast, in bytes; null: there was no loss yet. */
  slowStartThreshold: number | null;
  /** Bytes that are believed to be in the network: without those that arrived or were lost. */
  bytesInFlight: number;
  /** Bytes that the peer takes, from what it has acknowledged on; null if an older kernel does not tell. */
  sendWindow: number | null;
  /** Bytes that the peer may send, as it was told; null if an older kernel does not tell. */
  receiveWindow: number | null;
  /** Bytes that wait to be sent for the first time. */
  unsent: number;
  /** Bytes that were sent and are not acknowledged. */
  unacknowledged: number;
  /** Expiries of the retransmission timer in a row; 0 when the peer has acknowledged something new since. */
  retransmits: number;
  /** Segments that were sent again, SYN too. */
  totalRetransmits: number;
  /** Data bytes sent, those that were sent again too. */
  bytesSent: number;
  /** Data bytes sent again. */
  bytesRetransmitted: number;
  /** Data bytes that the peer has acknowledged. The kernel of a HostStack counts SYN and FIN too. */
  bytesAcked: number;
  /** Data bytes received in order, each once. */
  bytesReceived: number;
  /** Segments of all kinds; modulo 2^32. */
  segmentsSent: number;
  segmentsReceived: number;
  /** Segments not acknowledged that the peer has, as SACK says. */
  sacked: number;
  /** Segments not acknowledged that count as lost. */
  lost: number;
  /** Segments that may overtake one before it counts as lost; a Stack's is always 3 (RFC 6675). */
  reordering: number;
  /** Shifts of the windows that we get and give (RFC 7323); null: not agreed on. */
  windowScale: { send: number; receive: number } | null;
  /** Timestamps (RFC 7323) were agreed on. */
  timestamps: boolean;
  /** Selective acknowledgments (RFC 2018) were agreed on. */
  sack: boolean;
  /** ECN (RFC 3168) was agreed on; never by a Stack. */
  ecn: boolean;
}

export function toTcpInfo(info: NativeTcpInfo): TcpInfo {
  const { sendWindowScale: send, receiveWindowScale: receive, ...rest } = info;
  const windowScale = send === null || receive === null ? null : { send, receive };
  return { ...rest, windowScale };
}
