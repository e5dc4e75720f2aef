// SPDX-License-Identifier: MIT
// A stack with several links as a router: what is for others goes on to another link (RFC 1812,
// RFC 8200, RFC 4443). Off unless Stack::set_forwarding() was called.
//
// What this router does not do, by choice:
//  - Redirects are not sent (RFC 1812 5.2.7.2, RFC 4861 8.2 is a SHOULD). Hosts do well to ignore
//    them (security case L08), and packets that do not pass here again pass no filter.
//  - Directed broadcasts are not forwarded (RFC 2644 2), nor is multicast: there is no routing
//    protocol for it.
//  - Source routes are refused (stack_input.cpp; RFC 1812 5.2.4.1 lets a router have that option,
//    RFC 7126 4.3 makes it the default). Other options and extension headers pass as they are, and
//    Record Route and Timestamp gain no entry.
#include <algorithm>

#include "ip/fragment_output.hpp"
#include "link/offload.hpp"
#include "stack_implementation.hpp"

namespace vpollnet {

using socket::IpMeta;
using socket::Path;

namespace {

/// Whether an address can be at the other side of a router at all, as source or as destination.
bool is_routable(const IpAddress& address) {
  if (address.is_unspecified() || address.is_multicast() || address.is_loopback() ||
      address.is_link_local()) {  // RFC 4291 2.5.6; RFC 3927 7
    return false;
  }
  // RFC 1812 5.3.7: "this network", and class E with the limited broadcast.
  if (address.is_v4()) return address.bytes()[0] != 0 && address.bytes()[0] < 240;
  return !wire::is_v4_mapped(address);
}

}  // namespace

// --- set up
// ------------------------------------------------------------------------------------------

Errno Stack::Implementation::set_forwarding(const ForwardingConfig& config) {
  for (const InterfaceId id : config.interfaces) {
    if (find(id) == nullptr) return Errno::no_such_device;
    if (id == kLoopback) return Errno::invalid;
  }
  for (const auto& on : interfaces_) {
    if (on != nullptr) on->forwards = false;
  }
  for (const InterfaceId id : config.interfaces) find(id)->forwards = true;
  forwarding_ = config;
  return Errno::ok;
}

// --- whether
// -----------------------------------------------------------------------------------------

/// True for what a router may send on. All else is treated as a host does, which drops and counts
/// it unless it is for us.
bool Stack::Implementation::is_forwarded(const Arrival& arrival,
                                         const IpAddress& destination) const {
  if (!forwarding_.enabled || arrival.looped) return false;
  // RFC 1812 5.3.4: what came as a link-layer broadcast or multicast goes no further.
  const Interface* in = find(arrival.interface);
  if (in == nullptr || !forwards(*in) || in->interceptor != nullptr || arrival.link_group) {
    return false;
  }
  return is_routable(destination) && !is_broadcast(destination) &&
         addresses_.find(destination, arrival.interface) == nullptr;
}

/// RFC 3704 2.2 to 2.4; RFC 1812 5.3.8.
bool Stack::Implementation::has_return_path(const Arrival& arrival, const IpAddress& source) const {
  if (forwarding_.reverse_path == ReversePath::off) return true;
  const ip::Route* back = routes_.find(source, kAnyInterface);
  if (back == nullptr) return false;
  return forwarding_.reverse_path == ReversePath::loose || back->interface == arrival.interface;
}

/// Source address and hop limit; what is wrong is counted, and reported where that is due.
bool Stack::Implementation::may_leave(const Arrival& arrival, const Transit& transit,
                                      Packet& packet, Nanos now) {
  const IpAddress& source = transit.source;
  const bool v4 = source.is_v4();
  if (!is_routable(source) || is_broadcast(source) ||
      addresses_.find(source, kAnyInterface) != nullptr) {
    drop(v4 ? Drop::ipv4_bad_address : Drop::ipv6_bad_address);
    // RFC 4443 3.1: beyond the scope of its source address.
    if (!v4 && source.is_link_local()) {
      report_transit(arrival, transit, {wire::kIcmpv6Unreachable, wire::kIcmpv6BeyondScope},
                     packet.clone(), now);
    }
    return false;
  }
  if (!has_return_path(arrival, source)) {
    drop(Drop::ip_reverse_path);
    return false;
  }
  // RFC 1812 5.3.1, RFC 8200 3: with its last hop a packet reaches a router, and no further.
  if (transit.hop_limit <= 1) {
    drop(Drop::ip_hop_limit);
    const std::uint8_t type =
        v4 ? std::uint8_t{wire::kIcmpv4TimeExceeded} : std::uint8_t{wire::kIcmpv6TimeExceeded};
    report_transit(arrival, transit, {type, 0}, packet.clone(), now);
    return false;
  }
  return true;
}

// --- where to
// ---------------------------------------------------------------------------------------

/// `packet` is an IP packet as it came, cut to its length, for which is_forwarded() holds.
void Stack::Implementation::forward(const Arrival& arrival, const Transit& transit,
                                    filter::Passage* passage, Packet&& packet, Nanos now) {
  if (!may_leave(arrival, transit, packet, now)) return;
  const bool v4 = transit.destination.is_v4();
  const ip::Route* route = routes_.find(transit.destination, kAnyInterface);
  Interface* out = route != nullptr ? find(route->interface) : nullptr;
  if (out == nullptr || !out->up || !forwards(*out) || (!v4 && out->ipv6_off)) {
    drop(Drop::forward_no_route);
    // RFC 1812 5.2.7.1: code 0, as subnets are no longer known apart; RFC 4443 3.1.
    const ip::ErrorReport report =
        v4 ? ip::ErrorReport{wire::kIcmpv4Unreachable, wire::kIcmpv4NetUnreachable}
           : ip::ErrorReport{wire::kIcmpv6Unreachable, wire::kIcmpv6NoRoute};
    return report_transit(arrival, transit, report, std::move(packet), now);
  }
  const IpAddress next_hop = route->on_link() ? transit.destination : route->gateway;
  if (passage != nullptr) {
    const filter::Hop hop{filter::Direction::forward, arrival.interface, out->id};
    const filter::Action action = firewall_->decide(*passage, hop, now);
    if (action == filter::Action::drop) return;
    if (action != filter::Action::accept) {
      return refuse(*passage, action, hop, std::move(packet), now);
    }
  }
  forward_over(*out, arrival, transit, next_hop, passage, std::move(packet), now);
}

void Stack::Implementation::forward_over(Interface& out, const Arrival& arrival,
                                         const Transit& transit, const IpAddress& next_hop,
                                         const filter::Passage* passage, Packet&& packet,
                                         Nanos now) {
  const bool v4 = transit.destination.is_v4();
  const std::uint32_t mtu = out.config.mtu;
  // A large packet is as large as the segments that the edge makes of it, and one that was put
  // together here as large as its parts were: they must not have been cut for less than they were.
  const bool whole = arrival.largest_fragment == 0;
  const bool fits = link::segment_size(packet, pool_) <= mtu;
  const bool too_big =
      whole ? !fits && transit.dont_fragment : !v4 && arrival.largest_fragment > mtu;
  if (too_big) {
    drop(Drop::forward_too_big);
    // RFC 1191 4; RFC 8200 5, RFC 4443 3.2: an IPv6 packet is never cut up on its way.
    const ip::ErrorReport report =
        v4 ? ip::ErrorReport{wire::kIcmpv4Unreachable, wire::kIcmpv4FragmentationNeeded, mtu}
           : ip::ErrorReport{wire::kIcmpv6PacketTooBig, 0, mtu};
    return report_transit(arrival, transit, report, std::move(packet), now);
  }
  if (passage != nullptr) firewall_->finish(packet, *passage);
  const auto header = packet.writable(transit.header, pool_);
  if (v4) {
    wire::decrement_ttl(header);
  } else {
    wire::decrement_hop_limit(header);
  }
  const Path path{.source = transit.source, .interface = out.id, .mtu = mtu, .next_hop = next_hop};
  if (!whole || !fits) return refragment(out, arrival, path, transit, std::move(packet), now);
  const IpMeta meta{.source = transit.source, .destination = transit.destination};
  output(out, meta, path, transit.source, std::move(packet), now);
}

/// RFC 1812 5.2.6: IPv4 without DF is cut up here; each segment of a large packet by itself. A
/// packet that was put together for the firewall goes on in parts no larger than they were.
void Stack::Implementation::refragment(Interface& out, const Arrival& arrival, const Path& path,
                                       const Transit& transit, Packet&& packet, Nanos now) {
  const bool v4 = transit.destination.is_v4();
  const IpMeta meta{.source = transit.source, .destination = transit.destination};
  std::size_t limit = path.mtu;
  if (arrival.largest_fragment != 0) limit = std::min(limit, arrival.largest_fragment);
  link::segment(std::move(packet), 0, true, pool_, [&](Packet&& piece) {
    auto fragments = v4 ? ip::fragment_ipv4(std::move(piece), limit, pool_)
                        : ip::fragment_ipv6(std::move(piece), limit,
                                            static_cast<std::uint32_t>(random_.next()), pool_);
    if (fragments.empty()) drop(Drop::forward_too_big);
    for (Packet& fragment : fragments) {
      output(out, meta, path, transit.source, std::move(fragment), now);
    }
  });
}

// --- what the sender is told
// --------------------------------------------------------------------------

/// From an address of ours: RFC 1812 4.3.2.4, RFC 4443 2.2 (d).
void Stack::Implementation::report_transit(const Arrival& arrival, const Transit& transit,
                                           const ip::ErrorReport& report, Packet&& about,
                                           Nanos now) {
  const IpMeta meta{
      .source = transit.source, .destination = transit.destination, .interface = arrival.interface};
  send_error_from({}, arrival, meta, report, std::move(about), now);
}

/// Nobody has the address of the next hop of `packet`, which was forwarded: code 1 for IPv4 (RFC
/// 1812 3.3.2, 5.2.7.1), address unreachable for IPv6 (RFC 4861 7.2.2).
void Stack::Implementation::report_unresolved(const IpAddress& source, const IpAddress& destination,
                                              Packet&& packet, Nanos now) {
  const ip::ErrorReport report =
      source.is_v4() ? ip::ErrorReport{wire::kIcmpv4Unreachable, wire::kIcmpv4HostUnreachable}
                     : ip::ErrorReport{wire::kIcmpv6Unreachable, wire::kIcmpv6AddressUnreachable};
  report_transit({}, {.source = source, .destination = destination}, report, std::move(packet),
                 now);
}

}  // namespace vpollnet
