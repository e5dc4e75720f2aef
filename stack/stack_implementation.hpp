// SPDX-License-Identifier: MIT
// The inside of a Stack, for its own source files alone:
//
//   stack.cpp              the itinerary: the way in to the protocols, the way out, the timers
//   stack_input.cpp        what an IPv4 or IPv6 packet must satisfy
//   stack_link.cpp         ARP, neighbour discovery, resolution of next hops
//   stack_icmp.cpp         ICMP and ICMPv6: echo, errors in, errors out
//   stack_paths.cpp        from a destination to a Path; what is local, what is broadcast
//   stack_interfaces.cpp   interfaces, addresses, routes: everything that is set up
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "ip/addresses.hpp"
#include "ip/fragments.hpp"
#include "ip/icmp.hpp"
#include "ip/identification.hpp"
#include "ip/path_mtu.hpp"
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

class Stack::Implementation final : public socket::IpService {
 public:
  static constexpr std::size_t kMaxInterfaces = 256;
  /// Interfaces that a stack can have had: numbers are not used again.
  static constexpr std::size_t kMaxInterfaceIds = 65'536;
  static constexpr std::size_t kLoopbackPackets = 1024;
  static constexpr std::size_t kLoopbackBytes = 16u << 20;
  /// Packets that one advance() takes from the loopback queue: a hold of the pump's lock is
  /// bounded.
  static constexpr std::size_t kLoopbackBatch = 64;

  /// One link, from the stack's side.
  struct Interface {
    InterfaceId id = kAnyInterface;
    InterfaceConfig config;
    bool up = true;
    bool has_sent = false;          ///< for RFC 4862 5.4.2
    bool ipv6_off = false;          ///< too narrow, or its link-local address was never unique
    unsigned link_local_tries = 0;  ///< IDGEN_RETRIES (RFC 7217 6)
    unsigned link_local_counter = 0;
    std::unique_ptr<link::Neighbours> neighbours;  ///< Ethernet alone
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
  void receive(InterfaceId id, Packet&& frame, Nanos now);
  void advance(Nanos now);
  Nanos next_deadline() const;
  std::vector<InterfaceInfo> interfaces() const;
  std::vector<AddressInfo> addresses() const;
  std::vector<RouteConfig> routes() const;
  std::vector<NeighbourInfo> neighbours() const;
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
  void take_fragment(const Arrival& arrival, ip::FragmentResult&& result, Nanos now);
  void expire_fragments(Nanos now);
  bool acceptable_ipv4(const Arrival& arrival, const wire::Ipv4Header& header, bool& to_group);
  bool acceptable_ipv6(const Arrival& arrival, const wire::Ipv6Header& header, bool& to_group);

  // --- ICMP (stack_icmp.cpp) ---
  void receive_icmpv4(const socket::IpMeta& meta, Packet&& message, Nanos now);
  void receive_icmpv6(const Arrival& arrival, const socket::IpMeta& meta, bool fragmented,
                      Packet&& message, Nanos now);
  void reply_to_echo(const socket::IpMeta& meta, Packet&& request, Nanos now);
  void receive_error(const socket::IpMeta& meta, const wire::IcmpHeader& header, Packet&& message,
                     Nanos now);
  void send_error(const Arrival& arrival, const socket::IpMeta& meta, const ip::ErrorReport& report,
                  Packet&& about, Nanos now);
  void report_unreachable(InterfaceId interface, Packet&& packet, Nanos now);

  // --- ARP and neighbour discovery (stack_link.cpp) ---
  void receive_arp(Interface& in, Packet&& frame, Nanos now);
  void send_arp(Interface& out, const wire::ArpPacket& arp, const MacAddress& to);
  void receive_ndp(const Arrival& arrival, const socket::IpMeta& meta, std::uint8_t type,
                   Packet&& message, Nanos now);
  void receive_solicitation(Interface& in, const socket::IpMeta& meta,
                            const wire::NeighbourSolicitation& message, Nanos now);
  void receive_advertisement(Interface& in, const wire::NeighbourAdvertisement& message, Nanos now);
  void send_ndp(Interface& out, const IpAddress& source, const IpAddress& destination,
                Packet&& message, Nanos now, const MacAddress* to = nullptr);
  void solicit(Interface& out, const link::Solicitation& wanted, Nanos now);
  void perform(Interface& on, link::NeighbourActions&& actions, Nanos now);
  void perform(const ip::AddressEvent& event, Nanos now);
  void duplicate_found(Interface& in, ip::Address& address, Nanos now);
  bool is_on_link(const Interface& in, const IpAddress& address) const;

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
  ip::Routes routes_;
  ip::PathMtu path_mtu_;
  ip::Fragments fragments_;
  ip::Identification identification_;
  ip::ErrorLimiter error_limiter_;
  std::uint64_t generation_ = 1;
  std::array<CachedPath, kCachedPaths> cached_paths_;
  std::deque<Looped> loopback_;
  std::size_t loopback_bytes_ = 0;
  std::unique_ptr<socket::SocketTable> sockets_;
};

}  // namespace vpollnet
