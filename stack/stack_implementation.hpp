// SPDX-License-Identifier: MIT
// The inside of a Stack, for its own source files alone:
//
//   stack.cpp              the itinerary: the way in to the protocols, the way out, the timers
//   stack_input.cpp        what an IPv4 or IPv6 packet must satisfy
//   stack_link.cpp         ARP, neighbour discovery, resolution of next hops
//   stack_icmp.cpp         ICMP and ICMPv6: echo, errors in, errors out
//   stack_forward.cpp      what is for others and goes on to another link
//   stack_filter.cpp       where the firewall stands: on the way in, on, and out
//   stack_intercept.cpp    what is for others and answered by a gateway
//   stack_paths.cpp        from a destination to a Path; what is local, what is broadcast
//   stack_router.cpp       router advertisements
//   stack_groups.cpp       multicast groups: IGMP and MLD
//   stack_interfaces.cpp   interfaces, addresses, routes: everything that is set up
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "filter/firewall.hpp"
#include "ip/addresses.hpp"
#include "ip/fragments.hpp"
#include "ip/groups.hpp"
#include "ip/icmp.hpp"
#include "ip/identification.hpp"
#include "ip/path_mtu.hpp"
#include "ip/router_advertiser.hpp"
#include "ip/routes.hpp"
#include "link/neighbours.hpp"
#include "socket/ip_service.hpp"
#include "socket/table.hpp"
#include "stack.hpp"
#include "wire/arp.hpp"
#include "wire/icmpv4.hpp"
#include "wire/ipv4.hpp"
#include "wire/ipv6.hpp"
#include "wire/ndp.hpp"

namespace vpollnet {

inline constexpr InterfaceId kLoopback = 1;

class Stack::Implementation final : public socket::IpService, private filter::NatHost {
 public:
  static constexpr std::size_t kMaxInterfaces = 256;
  /// Interfaces that a stack can have had: numbers are not used again.
  static constexpr std::size_t kMaxInterfaceIds = 65'536;
  static constexpr std::size_t kLoopbackPackets = 1024;
  static constexpr std::size_t kLoopbackBytes = 16u << 20;
  /// Packets that one advance() takes from the loopback queue: a hold of the pump's lock is
  /// bounded.
  static constexpr std::size_t kLoopbackBatch = 64;

  /// A router's voice on a link.
  struct Advertising {
    wire::RouterAdvertisement message;
    ip::RouterAdvertiser timer;
  };

  /// One link, from the stack's side.
  struct Interface {
    InterfaceId id = kAnyInterface;
    InterfaceConfig config;
    bool up = true;
    bool forwards = false;          ///< is listed in ForwardingConfig::interfaces
    bool has_sent = false;          ///< for RFC 4862 5.4.2
    bool ipv6_off = false;          ///< too narrow, or its link-local address was never unique
    unsigned link_local_tries = 0;  ///< IDGEN_RETRIES (RFC 7217 6)
    unsigned link_local_counter = 0;
    socket::Interceptor* interceptor = nullptr;    ///< who answers for all others; null for nobody
    std::unique_ptr<link::Neighbours> neighbours;  ///< Ethernet alone
    std::unique_ptr<Advertising> advertising;      ///< null: a host
    std::uint64_t packets_in = 0, bytes_in = 0, packets_out = 0, bytes_out = 0;

    bool loopback() const { return id == kLoopback; }
    bool ethernet() const { return neighbours != nullptr; }
  };

  /// What is known of an IP packet on its way in besides its bytes.
  struct Arrival {
    InterfaceId interface = kAnyInterface;  ///< as sockets see it
    bool looped = false;                    ///< came over the loopback queue, not from a link
    bool link_group = false;                ///< the frame was broadcast or multicast
    bool reassembled = false;
    bool router_alert = false;         ///< IPv6: has that option
    std::size_t largest_fragment = 0;  ///< bytes of the largest packet that it was put together of
    bool admitted = false;             ///< has passed the firewall
  };

  /// What an IP header's addresses say about a packet that may come in.
  struct Acceptance {
    bool to_group = false;
    bool foreign = false;  ///< for somebody else, in whose name an Interceptor answers
  };

  /// What routing has to know of a packet that goes on to another link.
  struct Transit {
    IpAddress source;
    IpAddress destination;
    std::size_t header = 0;  ///< bytes of the IPv4 header with options, or of the fixed IPv6 one
    std::uint8_t hop_limit = 0;
    bool dont_fragment = false;  ///< as every IPv6 packet
  };

  Implementation(const StackConfig& config, BlockPool& pool, FrameSink& sink);
  ~Implementation();

  // --- Stack ---
  Result<InterfaceId> add_interface(const InterfaceConfig& config, Nanos now);
  Errno remove_interface(InterfaceId id, Nanos now);
  Errno set_up(InterfaceId id, bool up, Nanos now);
  Errno add_address(InterfaceId id, const Cidr& address, Nanos now);
  Errno remove_address(InterfaceId id, const IpAddress& address, Nanos now);
  Errno add_route(const RouteConfig& config);
  Errno remove_route(const RouteConfig& config);
  Errno advertise(InterfaceId id, const RouterAdvertisementConfig& config, Nanos now);
  Errno end_advertising(InterfaceId id, Nanos now);
  void receive(InterfaceId id, Packet&& frame, Nanos now);
  void advance(Nanos now);
  Nanos next_deadline() const;
  std::vector<InterfaceInfo> interfaces() const;
  std::vector<AddressInfo> addresses() const;
  std::vector<RouteConfig> routes() const;
  std::vector<NeighbourInfo> neighbours() const;
  Errno intercept(InterfaceId id, socket::Interceptor* interceptor);
  void stop_intercepting(const socket::Interceptor& interceptor, Nanos now);
  bool is_intercepted(InterfaceId id) const {
    const Interface* on = find(id);
    return on != nullptr && on->interceptor != nullptr;
  }
  Errno send_datagram(const Endpoint& from, const Endpoint& to, InterfaceId over, Packet&& payload,
                      Nanos now);
  Errno send_echo_reply(const socket::IpMeta& request, std::uint16_t identifier,
                        std::uint16_t sequence, Packet&& payload, Nanos now);
  void send_unreachable(const socket::IpMeta& received, Errno why, Packet&& transport, Nanos now);
  Errno set_filter(std::optional<filter::RuleSet> rules);
  FilterInfo filter_info() const;
  std::vector<filter::LogEntry> take_filter_log();
  Errno set_nat(filter::NatRules rules);
  std::vector<ConnectionInfo> connections() const;
  void set_connection_limits(const filter::ConnectionLimits& limits);
  Errno set_forwarding(const ForwardingConfig& config);
  const ForwardingConfig& forwarding() const { return forwarding_; }
  socket::SocketTable& sockets() { return *sockets_; }
  const Counters& counters() const { return counters_; }
  std::size_t memory_used() const { return budget_.used(); }

  // --- IpService ---
  Result<socket::Path> find_path(const IpAddress& destination, const IpAddress& source,
                                 InterfaceId interface) override;
  std::uint64_t path_generation() const override { return generation_; }
  Errno send_ip(const socket::IpMeta& meta, Packet&& transport, Nanos now) override;
  Errno send_ip(const socket::IpMeta& meta, const socket::Path& path, Packet&& transport,
                Nanos now) override;
  void confirm_reachable(const IpAddress& destination, const socket::Path& path,
                         Nanos now) override;
  bool is_local(const IpAddress& address, InterfaceId interface) const override;
  bool is_broadcast(const IpAddress& address) const override;
  Result<InterfaceId> group_interface(const IpAddress& group, InterfaceId interface) override;
  Errno join_group(const IpAddress& group, const IpAddress& source, InterfaceId interface,
                   Nanos now) override;
  void leave_group(const IpAddress& group, const IpAddress& source, InterfaceId interface,
                   Nanos now) override;
  BlockPool& pool() override { return pool_; }
  Budget& budget() override { return budget_; }
  Counters& counters() override { return counters_; }
  KeyedRandom& random() override { return random_; }

 private:
  // --- the way in (stack.cpp, stack_input.cpp) ---
  void receive_ethernet(Interface& in, Packet&& frame, Nanos now);
  void receive_ipv4(const Arrival& arrival, Packet&& packet, Nanos now);
  void receive_ipv6(const Arrival& arrival, Packet&& packet, Nanos now);
  void deliver(const Arrival& arrival, const socket::IpMeta& meta, std::size_t header,
               std::size_t protocol_field, bool fragmented, Packet&& packet, Nanos now);
  std::optional<wire::Ipv6Chain> ipv6_fragment(const wire::Ipv6Header& header, Packet& packet);
  void take_fragment(const Arrival& arrival, ip::FragmentResult&& result, Nanos now);
  void expire_fragments(Nanos now);
  bool acceptable_ipv4(const Arrival& arrival, const wire::Ipv4Header& header, Acceptance& as);
  bool acceptable_ipv6(const Arrival& arrival, const wire::Ipv6Header& header, Acceptance& as);

  // --- to another link (stack_forward.cpp) ---
  bool forwards(const Interface& on) const {
    return forwarding_.enabled && !on.loopback() && (forwarding_.interfaces.empty() || on.forwards);
  }
  bool is_forwarded(const Arrival& arrival, const IpAddress& destination) const;
  bool may_leave(const Arrival& arrival, const Transit& transit, Packet& packet, Nanos now);
  bool has_return_path(const Arrival& arrival, const IpAddress& source) const;
  void forward(const Arrival& arrival, const Transit& transit, filter::Passage* passage,
               Packet&& packet, Nanos now);
  void forward_over(Interface& out, const Arrival& arrival, const Transit& transit,
                    const IpAddress& next_hop, const filter::Passage* passage, Packet&& packet,
                    Nanos now);
  void refragment(Interface& out, const Arrival& arrival, const socket::Path& path,
                  const Transit& transit, Packet&& packet, Nanos now);
  void report_transit(const Arrival& arrival, const Transit& transit, const ip::ErrorReport& report,
                      Packet&& about, Nanos now);
  void report_unresolved(const IpAddress& source, const IpAddress& destination, Packet&& packet,
                         Nanos now);

  // --- the firewall (stack_filter.cpp) ---
  bool is_admitted(const Arrival& arrival) const {
    return firewall_ == nullptr || arrival.looped || arrival.admitted ||
           interceptor_of(arrival) != nullptr;
  }
  bool is_filtered(const Interface& out, const socket::Path& path) const {
    return firewall_ != nullptr && out.interceptor == nullptr &&
           path.next_hop.family() != Family::none;
  }
  void admit(const Arrival& arrival, const Transit& transit, Packet&& packet, Nanos now);
  void receive_admitted(const Arrival& arrival, Packet&& packet, Nanos now);
  bool may_go_out(Interface& out, const socket::Path& path, Packet& packet, Nanos now);
  void refuse(const filter::Passage& passage, filter::Action how, const filter::Hop& hop,
              Packet&& packet, Nanos now);
  filter::Firewall& firewall();
  void drop_firewall_if_empty();
  IpAddress address_on(InterfaceId out, const IpAddress& destination) const override;
  bool is_address_of(InterfaceId interface, const IpAddress& address) const override;
  bool uses_port(std::uint8_t protocol, std::uint16_t port) const override;

  // --- for others (stack_intercept.cpp) ---
  socket::Interceptor* interceptor_of(const Arrival& arrival) const {
    const Interface* in = arrival.looped ? nullptr : find(arrival.interface);
    return in != nullptr ? in->interceptor : nullptr;
  }
  bool intercepts(const Arrival& arrival) const {
    return interceptor_of(arrival) != nullptr && !arrival.link_group;
  }
  std::optional<Drop> refuses_foreign(const Arrival& arrival, const IpAddress& source,
                                      const IpAddress& destination) const;
  bool outlives_hop(const Arrival& arrival, const socket::IpMeta& meta, const Packet& packet,
                    Nanos now);
  void intercept_echo(const socket::IpMeta& meta, Packet&& request, Nanos now);

  // --- ICMP (stack_icmp.cpp) ---
  void receive_icmpv4(const socket::IpMeta& meta, Packet&& message, Nanos now);
  void receive_icmpv6(const Arrival& arrival, const socket::IpMeta& meta, bool fragmented,
                      Packet&& message, Nanos now);
  void reply_to_echo(const socket::IpMeta& meta, Packet&& request, Nanos now);
  void receive_error(const socket::IpMeta& meta, const wire::IcmpHeader& header, Packet&& message,
                     Nanos now);
  void send_error(const Arrival& arrival, const socket::IpMeta& meta, const ip::ErrorReport& report,
                  Packet&& about, Nanos now);
  void send_error_from(const IpAddress& source, const Arrival& arrival, const socket::IpMeta& meta,
                       const ip::ErrorReport& report, Packet&& about, Nanos now);
  void report_unreachable(InterfaceId interface, Packet&& packet, Nanos now);

  // --- ARP and neighbour discovery (stack_link.cpp) ---
  void receive_arp(Interface& in, Packet&& frame, Nanos now);
  void send_arp(Interface& out, const wire::ArpPacket& arp, const MacAddress& to);
  void receive_ndp(const Arrival& arrival, const socket::IpMeta& meta, std::uint8_t type,
                   Packet&& message, Nanos now);
  void receive_solicitation(Interface& in, const socket::IpMeta& meta,
                            const wire::NeighbourSolicitation& message, Nanos now);
  void receive_advertisement(Interface& in, const wire::NeighbourAdvertisement& message, Nanos now);
  void receive_router_solicitation(Interface& in, const socket::IpMeta& meta,
                                   const wire::RouterSolicitation& message, Nanos now);
  void send_ndp(Interface& out, const IpAddress& source, const IpAddress& destination,
                Packet&& message, Nanos now, const MacAddress* to = nullptr);
  void solicit(Interface& out, const link::Solicitation& wanted, Nanos now);
  void perform(Interface& on, link::NeighbourActions&& actions, Nanos now);
  void perform(const ip::AddressEvent& event, Nanos now);
  void duplicate_found(Interface& in, ip::Address& address, Nanos now);
  bool is_on_link(const Interface& in, const IpAddress& address) const;

  // --- router advertisements (stack_router.cpp) ---
  void advance_router(Interface& on, Nanos now);
  bool send_router_advertisement(Interface& on, Nanos now);
  // --- multicast groups (stack_groups.cpp) ---
  bool is_member(InterfaceId interface, const IpAddress& group) const;
  void receive_igmp(const Arrival& arrival, const socket::IpMeta& meta, Packet&& message,
                    Nanos now);
  void receive_mld_query(const Arrival& arrival, const socket::IpMeta& meta, Packet&& message,
                         Nanos now);
  void send_group_reports(Nanos now);
  void send_group_report(Interface& on, ip::DueReport&& due);
  void send_igmp(Interface& on, const wire::GroupReport& report);
  void send_mld(Interface& on, const wire::GroupReport& report);

  bool is_router_on(InterfaceId id) const {
    const Interface* on = find(id);
    return on != nullptr && (on->advertising != nullptr || forwards(*on));
  }

  // --- the way out (stack.cpp) ---
  Errno output(Interface& out, const socket::IpMeta& meta, const socket::Path& path,
               const IpAddress& source, Packet&& packet, Nanos now);
  Errno loop(InterfaceId shown, Packet&& packet);
  void transmit_frame(Interface& out, const MacAddress& to, std::uint16_t type, Packet&& packet);
  void transmit(Interface& out, std::size_t link_header, Packet&& frame);

  // --- paths (stack_paths.cpp) ---
  Result<socket::Path> resolve_path(const IpAddress& destination, const IpAddress& source,
                                    InterfaceId interface);
  Result<socket::Path> path_to_group(const IpAddress& destination, const IpAddress& source,
                                     InterfaceId interface);
  Result<socket::Path> path_over(const Interface& out, const IpAddress& destination,
                                 const IpAddress& source, const IpAddress& next_hop);
  const Interface* first_with(Family family) const;
  /// `interface` if `address` means nothing without one (RFC 4007), otherwise any.
  static InterfaceId scope_of(const IpAddress& address, InterfaceId interface) {
    return address.is_link_local() ? interface : kAnyInterface;
  }

  // --- setting up (stack_interfaces.cpp) ---
  void form_link_local(Interface& on, Nanos now);
  void add_connected_route(InterfaceId id, const Cidr& address);
  void remove_connected_route(InterfaceId id, const Cidr& address);
  bool may_assign(const Interface& on, const Cidr& address) const;

  Interface* find(InterfaceId id) {
    return id < interfaces_.size() ? interfaces_[id].get() : nullptr;
  }
  const Interface* find(InterfaceId id) const {
    return id < interfaces_.size() ? interfaces_[id].get() : nullptr;
  }
  void drop(Drop reason) { counters_.drop(reason); }

  /// A packet on its way back in.
  struct Looped {
    Packet packet;
    InterfaceId interface = kLoopback;
  };
  /// Datagram sockets ask for a path for each datagram.
  struct CachedPath {
    std::uint64_t generation = 0;
    IpAddress destination;
    IpAddress source;
    InterfaceId interface = kAnyInterface;
    socket::Path path;
  };
  static constexpr std::size_t kCachedPaths = 16;

  BlockPool& pool_;
  FrameSink& sink_;
  Budget budget_;
  Counters counters_;
  KeyedRandom random_;
  SecretKey identifier_secret_;
  std::vector<std::unique_ptr<Interface>> interfaces_;  ///< by number; null: none, or removed
  std::size_t interface_count_ = 0;
  ip::Addresses addresses_;
  ip::Groups groups_;
  ip::Routes routes_;
  ip::PathMtu path_mtu_;
  ip::Fragments fragments_;
  ip::Identification identification_;
  ip::ErrorLimiter error_limiter_;
  ForwardingConfig forwarding_;
  filter::ConnectionLimits connection_limits_;
  std::unique_ptr<filter::Firewall> firewall_;  ///< null while there is nothing for it to do
  std::uint64_t generation_ = 1;
  std::array<CachedPath, kCachedPaths> cached_paths_;
  std::deque<Looped> loopback_;
  std::size_t loopback_bytes_ = 0;
  std::unique_ptr<socket::SocketTable> sockets_;
};

}  // namespace vpollnet
