// SPDX-License-Identifier: MIT
//
// What node:diagnostics_channel tells of connections over a stack, beside what Node's own channels tell of them
// ('net.client.socket', 'net.server.socket', 'tracing:net.server.listen', 'http.*'). docs/node.md lists the messages.

import { type Channel, channel } from 'node:diagnostics_channel';

/** A connection as the messages show it. */
export interface TcpMessage {
  /** What the connection runs over: `socket` has the calls of TcpSocket, such as info(). */
  handle: { view: unknown };
  local: { address?: string; family?: string; port?: number };
  remote: { address?: string; family?: string; port?: number };
}

export const channels: Record<'connected' | 'failed' | 'accepted' | 'closed', Channel> = {
  /** TcpMessage: a connect() has ended well. */
  connected: channel('vpollnet.tcp.connected'),
  /** TcpMessage with `errno`: it has not. */
  failed: channel('vpollnet.tcp.failed'),
  /** TcpMessage: a listener has taken a connection. */
  accepted: channel('vpollnet.tcp.accepted'),
  /** TcpMessage with `bytesRead` and `bytesWritten`: about to be closed on this side. */
  closed: channel('vpollnet.tcp.closed'),
};
