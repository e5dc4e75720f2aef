// SPDX-License-Identifier: MIT
//
// vpollnet: a TCP/IP stack inside the process, whose sockets are descriptors that poll, select and
// epoll can wait for. docs/api.md walks through it.

export { IcmpSocket, type ReceivedFrom, UdpSocket } from './datagram-socket.js';
export type { DnsServerAddress } from './dns/dns-servers.js';
export type { DnsCacheOptions, DnsOptions } from './dns/dns-settings.js';
export type { StackDns, TlsaRecord } from './dns/stack-dns.js';
export { type ErrorPlace, NetworkError } from './errors.js';
export {
  type FilterAction,
  type FilterCount,
  type FilterDirection,
  type FilterInfo,
  type FilterLogEntry,
  type FilterOptions,
  type FilterPolicy,
  type FilterRule,
  type FilterRuleInfo,
  type FilterState,
  StackFilter,
} from './filter.js';
export type {
  ConnectionInfo,
  ConnectionLimits,
  Flow,
  ForwardingInfo,
  ForwardingOptions,
} from './forwarding.js';
export {
  type Decision,
  Gateway,
  type GatewayCounters,
  type GatewayEvents,
  type GatewayLimits,
  type GatewayOptions,
  type Policy,
} from './gateway.js';
export type { FlowInfo, FlowPlace } from './gateway-flow.js';
export { Forward, type ForwardOptions } from './gateway-forward.js';
export type { GatewayRule, Reach, Redirect } from './gateway-rules.js';
export { HostStack } from './host-stack.js';
export type { Impairment, ImpairmentByDirection, ImpairmentState } from './impairment.js';
export type { LinkOptions } from './link-options.js';
export { type LoadedLink, LoadedStack, type LoadOptions } from './loaded-stack.js';
export {
  type JoinedNamespace,
  Namespace,
  type NamespaceEnd,
  type NamespaceInterface,
  type NamespaceJoinOptions,
  type NamespaceRunOptions,
  type NamespaceStdio,
} from './namespace.js';
export {
  type DestinationNatRule,
  type NatRule,
  type PrefixNatRule,
  type SourceNatRule,
  StackNat,
} from './nat.js';
export type { ConnectionState } from './native.js';
export type { StackDatagramSocket, StackDgram } from './node/dgram.js';
export type { StackNet, StackNetSocket } from './node/net.js';
export type {
  CongestionName,
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
export type {
  Recording,
  RecordingCounters,
  RecordOptions,
  SocketRecordOptions,
} from './recording.js';
export { type SelectResult, type SelectSets, select, selectAsync } from './select.js';
export type { DhcpLease } from './services/dhcp-leases.js';
export type { DhcpReservation, DhcpRoute, DhcpServerOptions } from './services/dhcp-options.js';
export type { DhcpCounters } from './services/dhcp-protocol.js';
export { DhcpServer, type DhcpServerEvents } from './services/dhcp-server.js';
export type { Dhcpv6Lease } from './services/dhcpv6-leases.js';
export type { Dhcpv6Reservation, Dhcpv6ServerOptions } from './services/dhcpv6-options.js';
export type { Dhcpv6Counters } from './services/dhcpv6-protocol.js';
export { Dhcpv6Server, type Dhcpv6ServerEvents } from './services/dhcpv6-server.js';
export {
  type DnsCounters,
  type DnsDecision,
  DnsForwarder,
  type DnsForwarderEvents,
  type DnsForwarderOptions,
  type DnsPolicy,
  type DnsQuestion,
  type DnsReport,
} from './services/dns-forwarder.js';
export type { DnsRecord, DnsRecords } from './services/dns-records.js';
export {
  type AdvertisedPrefix,
  type AdvertiseOptions,
  RouterAdvertiser,
} from './services/router-advertiser.js';
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
export type { TcpInfo } from './tcp-info.js';
export { TcpSocket } from './tcp-socket.js';
export type { StackConnection, StackListener } from './web-streams.js';
