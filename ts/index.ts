// SPDX-License-Identifier: MIT
//
// vpollnet: a TCP/IP stack inside the process, whose sockets are descriptors that poll, select and
// epoll can wait for. docs/api.md walks through it.

export { IcmpSocket, type ReceivedFrom, UdpSocket } from './datagram-socket.js';
export { type ErrorPlace, NetworkError } from './errors.js';
export { HostStack } from './host-stack.js';
export type { Impairment, ImpairmentByDirection, ImpairmentState } from './impairment.js';
export type { LinkOptions } from './link-options.js';
export { type LoadedLink, LoadedStack, type LoadOptions } from './loaded-stack.js';
export type {
  OptionName,
  ReadableOptionName,
  ReadOnlySocketOptions,
  SocketOptions,
} from './options.js';
export {
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLNVAL,
  POLLOUT,
  POLLPRI,
  POLLRDHUP,
  type PollAsyncOptions,
  type PollFd,
  poll,
  pollAsync,
} from './poll.js';
export type { Recording, RecordingCounters, RecordOptions } from './recording.js';
export { type SelectResult, type SelectSets, select, selectAsync } from './select.js';
export {
  type BindOptions,
  MSG_MORE,
  MSG_OOB,
  MSG_PEEK,
  Socket,
  type SocketAddress,
  WOULD_BLOCK,
} from './socket.js';
export type { SocketStack } from './socket-stack.js';
export { Stack, type StackEvents, type StackOptions } from './stack.js';
export type {
  AddressInfo,
  Counters,
  InterfaceInfo,
  LinkCounters,
  LinkDown,
  LinkInfo,
  LinkUp,
  NeighbourInfo,
  RouteInfo,
  RouteOptions,
  SocketInfo,
} from './stack-info.js';
export {
  type LearnedAddress,
  type PortInfo,
  Switch,
  type SwitchEvents,
  type SwitchLoop,
  type SwitchOptions,
  type SwitchPort,
} from './switch.js';
export { TcpSocket } from './tcp-socket.js';
