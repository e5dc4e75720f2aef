// SPDX-License-Identifier: MIT
// One network stack: interfaces, addresses, routes, sockets. Start reading here, then stack.cpp.
//
// A Stack is a deterministic function of the frames, calls and times it is given. It makes no
// system call and has no clock, no thread, no lock and no randomness of its own: the host's pump
// serialises all calls, hands in `now` and carries frames away through the FrameSink.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "filter/connections.hpp"
#include "filter/nat.hpp"
#include "filter/rules.hpp"
#include "socket/interceptor.hpp"
#include "socket/table.hpp"
#include "tcp/congestion.hpp"
#include "util/counters.hpp"
#include "util/packet.hpp"
#include "util/random.hpp"
#include "util/result.hpp"
#include "util/time.hpp"
#include "wire/address.hpp"
#include "wire/ndp.hpp"

namespace vpollnet {

enum class LinkType : std::uint8_t {
  ethernet,  ///< frames with an Ethernet header: TAP, cable, VDE
  ip,        ///< bare IP packets: TUN
};

/// What the link does itself; what it does not is done in software before it gets the frame.
struct Offloads {
  bool segmentation = false;  ///< takes packets with gso_size (TCP over IPv4 and IPv6)
  bool checksum = false;      ///< takes ChecksumState::partial
};

struct InterfaceConfig {
  std::string name;
  LinkType type = LinkType::ethernet;
  MacAddress mac;            ///< unicast and not zero, for ethernet
  std::uint32_t mtu = 1500;  ///< largest IP packet in bytes: 68..65535; IPv6 is off below 1280
  Offloads offloads;
  bool ipv6 = true;  ///< gives the interface a link-local address (RFC 4862 5.3, RFC 7217)
  unsigned dad_transmits = 1;  ///< DupAddrDetectTransmits (RFC 4862 5.1); 0 turns detection off
};

struct RouteConfig {
  Cidr destination;                       ///< "0.0.0.0/0" and "::/0" are default routes
  IpAddress gateway;                      ///< Family::none: on link
  InterfaceId interface = kAnyInterface;  ///< may be left out with a gateway that is on link
  std::uint32_t metric = 0;               ///< the lower wins among equal prefixes
};

/// Which source addresses a forwarded packet may have (RFC 3704 2): those that would be reached
/// over the interface that it came from; those that would be reached at all; any.
enum class ReversePath : std::uint8_t { strict, loose, off };

/// Routing between the links of a stack (RFC 1812). Off unless set.
struct ForwardingConfig {
  bool enabled = false;
  /// A packet is forwarded if it comes over one of these and leaves over one of these; empty: all,
  /// those that are added later too.
  std::vector<InterfaceId> interfaces;
  ReversePath reverse_path = ReversePath::strict;
};

/// What a router says of itself and of its link (RFC 4861 6.2.1, RFC 8106 5). Lifetimes and
/// intervals are in seconds.
struct RouterAdvertisementConfig {
  std::uint8_t hop_limit = 64;            ///< for hosts to send with; 0: unspecified
  bool managed = false;                   ///< M: addresses are to be had by DHCPv6
  bool other_config = false;              ///< O: other things are
  std::int8_t preference = 0;             ///< -1 low, 0 medium, 1 high (RFC 4191 2.1)
  std::uint16_t router_lifetime = 1800;   ///< 0: not a default router; else >= longest_interval
  std::uint32_t reachable_time = 0;       ///< milliseconds, up to an hour; 0: unspecified
  std::uint32_t retransmission_time = 0;  ///< milliseconds; 0: unspecified
  std::uint32_t mtu = 0;                  ///< 0: no option; else 1280 up to the interface's
  /// Up to wire::RouterAdvertisement::kMaxPrefixes.
  std::vector<wire::PrefixInformation> prefixes;
  std::vector<IpAddress> dns;       ///< up to wire::RouterAdvertisement::kMaxServers
  std::vector<std::string> search;  ///< up to wire::DnsSearchList::kMaxBytes, as they are sent
  std::uint32_t dns_lifetime = 1800;
  std::uint32_t shortest_interval = 198;  ///< MinRtrAdvInterval: 3 up to 3/4 of the longest
  std::uint32_t longest_interval = 600;   ///< MaxRtrAdvInterval: 4 to 1800
};

/// A flow that is known, as it is now.
struct ConnectionInfo {
  filter::FlowTuple original;         ///< as its first packet came in
  filter::FlowTuple reply;            ///< as answers come in: with the addresses that it was given
  const char* state = "";             ///< filter::to_string(FlowProgress)
  std::uint64_t packets[2] = {0, 0};  ///< as its first packet, and answers
  std::uint64_t bytes[2] = {0, 0};
  Nanos expires = 0;  ///< when it is forgotten, if nothing more comes
};

/// The filter's rules with what each has counted.
struct FilterInfo {
  std::vector<filter::RuleCount> rules;
  filter::RuleCount policies[filter::kDirections];
};

enum class AddressState : std::uint8_t { tentative, preferred, duplicated };

/// "tentative", "preferred", "duplicated"
const char* to_string(AddressState state);

struct AddressInfo {
  InterfaceId interface = kAnyInterface;
  Cidr address;
  AddressState state = AddressState::preferred;
};

struct NeighbourInfo {
  InterfaceId interface = kAnyInterface;
  IpAddress address;
  MacAddress mac;
  const char* state = "";  ///< RFC 4861 7.3.2: "INCOMPLETE", "REACHABLE", "STALE", "DELAY", "PROBE"
};

struct InterfaceInfo {
  InterfaceId id = kAnyInterface;
  InterfaceConfig config;
  bool up = true;
  std::uint64_t packets_in = 0, bytes_in = 0, packets_out = 0, bytes_out = 0;
};

/// Where outgoing frames go. Called in the middle of stack processing: it may queue the frame or
/// write it to a device, and must not call back into any stack.
class FrameSink {
 public:
  virtual void transmit(InterfaceId interface, Packet&& frame) = 0;

 protected:
  ~FrameSink() = default;
};

struct StackConfig {
  SecretKey secret{};  ///< 128 random bits from the host: sequence numbers, ports, hash tables
  std::size_t memory_limit = 256u << 20;  ///< bytes in all queues of the stack
  /// What tcp sockets have for Option::congestion until it is set.
  tcp::Algorithm congestion = tcp::Algorithm::cubic;
};

class Stack {
 public:
  /// `pool` and `sink` must outlive the stack.
  Stack(const StackConfig& config, BlockPool& pool, FrameSink& sink);
  ~Stack();
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  /// EINVAL for a bad MAC or MTU, EEXIST for a name in use. Interface 1 is loopback ("lo",
  /// 127.0.0.1/8 and ::1/128) and is there from the start.
  Result<InterfaceId> add_interface(const InterfaceConfig& config, Nanos now);
  Errno remove_interface(InterfaceId id, Nanos now);
  /// Carrier. A link that is down drops what is sent over it and forgets its neighbours.
  Errno set_up(InterfaceId id, bool up, Nanos now);

  /// EEXIST, EINVAL (multicast, unspecified, bad prefix), ENODEV. Adds the on-link route too.
  Errno add_address(InterfaceId id, const Cidr& address, Nanos now);
  Errno remove_address(InterfaceId id, const IpAddress& address, Nanos now);
  /// ENETUNREACH when the gateway is not on link, EEXIST, EINVAL.
  Errno add_route(const RouteConfig& route);
  Errno remove_route(const RouteConfig& route);

  /// Makes the stack a router, or a host again. Interfaces with an Interceptor forward nothing that
  /// comes in. ENODEV for an interface that is not there, EINVAL for loopback.
  Errno set_forwarding(const ForwardingConfig& config);
  const ForwardingConfig& forwarding() const;

  /// The packet filter, for what is forwarded, comes in or is sent; nothing: no filter, as at
  /// first. All rules take effect at once. Not filtered are ARP, neighbour discovery, and what the
  /// stack sends to itself. EINVAL for too many rules or a policy that decides nothing.
  Errno set_filter(std::optional<filter::RuleSet> rules);
  /// Counts since set_filter().
  FilterInfo filter_info() const;
  std::vector<filter::LogEntry> take_filter_log();
  /// Address translation for what is forwarded. Flows that are known go on as they were. EINVAL for
  /// too many rules, or a prefix that cannot be mapped.
  Errno set_nat(filter::NatRules rules);
  /// The flows, while there is a filter or translation with state.
  std::vector<ConnectionInfo> connections() const;
  void set_connection_limits(const filter::ConnectionLimits& limits);

  /// Hands `interceptor` what comes over `id` for addresses that are not ours, and for ours where
  /// no socket takes it; null for nobody, as at first. Packets may then be sent over `id` in the
  /// name of any address. ENODEV; EINVAL for loopback. `interceptor` must outlive the stack or be
  /// taken back.
  Errno intercept(InterfaceId id, socket::Interceptor* interceptor);
  bool is_intercepted(InterfaceId id) const;
  /// Takes `interceptor` back from all interfaces that have it still. Sockets in the name of others
  /// fail with ENETDOWN, their connections with a reset to the peer.
  void stop_intercepting(const socket::Interceptor& interceptor, Nanos now);
  /// A UDP datagram in the name of `from` over the intercepted interface `over`. Errors as sendto.
  Errno send_datagram(const Endpoint& from, const Endpoint& to, InterfaceId over, Packet&& payload,
                      Nanos now);
  /// The answer to a request that an Interceptor got.
  Errno send_echo_reply(const socket::IpMeta& request, std::uint16_t identifier,
                        std::uint16_t sequence, Packet&& payload, Nanos now);
  /// Tells the sender of an intercepted packet that it cannot be delivered (RFC 792, RFC 4443 3.1):
  /// ENETUNREACH, EHOSTUNREACH, EACCES (prohibited) as a router would, ECONNREFUSED in the name of
  /// the destination. `transport` is what stood behind its IP header, or the first 8 bytes of it.
  void send_unreachable(const socket::IpMeta& received, Errno why, Packet&& transport, Nanos now);

  /// Advertises this router on a link until end_advertising(), or says other things than before.
  /// The first goes out once the interface has a link-local address. EINVAL, ENODEV; EAFNOSUPPORT
  /// where the interface has no IPv6.
  Errno advertise(InterfaceId id, const RouterAdvertisementConfig& config, Nanos now);
  /// Tells the hosts so (RFC 4861 6.2.5). EINVAL if it does not advertise.
  Errno end_advertising(InterfaceId id, Nanos now);

  /// A frame from the link of `id`. Everything that it sets off, replies included, is done on
  /// return; counters().first_drop says then whether it was dropped.
  void receive(InterfaceId id, Packet&& frame, Nanos now);
  /// Runs timers that are due and packets on the loopback interface.
  void advance(Nanos now);
  /// When advance() has something to do next; a time in the past means at once.
  Nanos next_deadline() const;

  socket::SocketTable& sockets();
  const Counters& counters() const;
  std::size_t memory_used() const;
  std::vector<InterfaceInfo> interfaces() const;
  std::vector<AddressInfo> addresses() const;
  std::vector<RouteConfig> routes() const;
  std::vector<NeighbourInfo> neighbours() const;

 private:
  class Implementation;
  std::unique_ptr<Implementation> self_;
};

}  // namespace vpollnet
