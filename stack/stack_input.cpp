// SPDX-License-Identifier: MIT
// What an IP packet has to satisfy before its payload is looked at. Unless the stack was made a
// router (stack_forward.cpp), a packet that is not for one of its addresses is dropped (RFC 1122
// 3.2.1.3, RFC 8504 1).
//
// Addresses belong to the node, not to the interface (the weak end system model of RFC 1122
// 3.3.4.2, as on Linux): a packet for an address of another interface is accepted. Loopback and
// link-local addresses are the exceptions.
#include <algorithm>

#include "stack_implementation.hpp"

namespace vpollnet {

using socket::IpMeta;

namespace {

/// 224.0.0.1: every host that takes part in multicast is a member (RFC 1112 4).
const IpAddress& all_systems() {
  static const IpAddress group = IpAddress::v4(224, 0, 0, 1);
  return group;
}

}  // namespace

// --- IPv4
// -----------------------------------------------------------------------------------------

/// True if the packet is for us and its addresses may stand together; otherwise it is counted.
bool Stack::Implementation::acceptable_ipv4(const Arrival& arrival, const wire::Ipv4Header& header,
                                            Acceptance& as) {
  const IpAddress& source = header.source;
  const IpAddress& destination = header.destination;
  const auto refuse = [this](Drop reason) {
    drop(reason);
    return false;
  };
  // RFC 1122 3.2.1.3, security case I04. Who has no address yet says so from 0.0.0.0, to all and by
  // UDP (RFC 2131 4.1): the only such packet that anybody can have a use for.
  const bool from_nobody = source.is_unspecified();
  // And switches without an address ask for groups (RFC 4541 2.1.1).
  const bool asks_for_groups = destination == all_systems() && header.protocol == socket::kIgmp;
  const bool asks_for_address = destination.is_limited_broadcast() &&
                                header.protocol == socket::kUdp && !header.is_fragment() &&
                                !arrival.looped;
  if ((from_nobody && !asks_for_address && !asks_for_groups) || source.is_multicast() ||
      source.is_limited_broadcast() ||
      addresses_.is_directed_broadcast(source, arrival.interface)) {
    return refuse(Drop::ipv4_bad_address);
  }
  if (!arrival.looped) {
    if (source.is_loopback() || destination.is_loopback()) return refuse(Drop::ipv4_bad_address);
    if (addresses_.find(source, kAnyInterface) != nullptr) return refuse(Drop::ipv4_bad_address);
  }
  if (destination.is_loopback() || addresses_.find(destination, kAnyInterface) != nullptr) {
    // RFC 1122 3.3.6: a link-layer broadcast of a packet for one host is not what it seems.
    return !arrival.link_group || refuse(Drop::ipv4_bad_address);
  }
  if (destination == all_systems() || destination.is_limited_broadcast() ||
      addresses_.is_directed_broadcast(destination, arrival.interface) ||
      groups_.listens(arrival.interface, destination)) {
    as.to_group = true;
    return true;
  }
  if (intercepts(arrival)) {
    const auto refused = refuses_foreign(arrival, source, destination);
    as.foreign = !refused;
    return !refused || refuse(*refused);
  }
  return refuse(Drop::ipv4_not_for_us);
}

void Stack::Implementation::receive_ipv4(const Arrival& arrival, Packet&& packet, Nanos now) {
  const auto claimed = wire::ipv4_header_length(
      packet.contiguous(std::min(packet.size(), wire::kIpv4HeaderMin), pool_));
  const auto parsed =
      claimed ? wire::parse_ipv4(packet.contiguous(*claimed, pool_), packet.size()) : std::nullopt;
  if (!parsed) return drop(Drop::ipv4_malformed);
  if (!parsed->checksum_ok) return drop(Drop::ipv4_bad_checksum);  // RFC 1122 3.2.1.2
  const wire::Ipv4Header& header = parsed->header;
  // Security cases I02 and I03. RFC 1122 3.2.1.7 lets a packet arrive with TTL 1; nobody sends 0.
  if (header.hop_limit == 0 || !parsed->options_ok) return drop(Drop::ipv4_malformed);
  if (parsed->source_route) return drop(Drop::ipv4_source_route);
  packet.truncate(parsed->length + header.payload_length);
  const Transit transit{header.source, header.destination, parsed->length, header.hop_limit,
                        header.dont_fragment};
  if (!is_admitted(arrival)) {
    if (!header.is_fragment() || !firewall_->stateful()) {
      return admit(arrival, transit, std::move(packet), now);
    }
    return take_fragment(arrival, fragments_.add(*parsed, std::move(packet), now), now);
  }
  if (is_forwarded(arrival, header.destination)) {
    return forward(arrival, transit, nullptr, std::move(packet), now);
  }

  Acceptance as{.to_group = arrival.link_group};
  if (!acceptable_ipv4(arrival, header, as)) return;
  if (header.is_fragment()) {
    return take_fragment(arrival, fragments_.add(*parsed, std::move(packet), now), now);
  }
  const IpMeta meta{.source = header.source,
                    .destination = header.destination,
                    .interface = arrival.interface,
                    .protocol = header.protocol,
                    .hop_limit = header.hop_limit,
                    .traffic_class = header.traffic_class,
                    .dont_fragment = header.dont_fragment,
                    .to_group = as.to_group,
                    .foreign = as.foreign,
                    .interceptor = interceptor_of(arrival)};
  if (as.foreign && !outlives_hop(arrival, meta, packet, now)) return;
  deliver(arrival, meta, parsed->length, 0, arrival.reassembled, std::move(packet), now);
}

// --- IPv6
// -----------------------------------------------------------------------------------------

/// What walk_ipv6 says of a fragment; nothing if `packet` is none, or not a good one.
std::optional<wire::Ipv6Chain> Stack::Implementation::ipv6_fragment(const wire::Ipv6Header& header,
                                                                    Packet& packet) {
  switch (header.next_header) {
  case socket::kTcp:
  case socket::kUdp:
  case socket::kIcmpv6: return std::nullopt;
  default: break;
  }
  const wire::Ipv6Chain chain = wire::walk_ipv6(packet.linear(pool_));
  if (chain.verdict != wire::Ipv6Chain::Verdict::fragment) return std::nullopt;
  return chain;
}

bool Stack::Implementation::acceptable_ipv6(const Arrival& arrival, const wire::Ipv6Header& header,
                                            Acceptance& as) {
  const IpAddress& source = header.source;
  const IpAddress& destination = header.destination;
  const auto refuse = [this](Drop reason) {
    drop(reason);
    return false;
  };
  if (source.is_multicast() || wire::is_v4_mapped(source) || wire::is_v4_mapped(destination)) {
    return refuse(Drop::ipv6_bad_address);  // RFC 4291 2.7
  }
  if (!arrival.looped) {
    // RFC 4291 2.5.3, 2.5.2: loopback never comes from outside, "::" only with ICMPv6 (RFC
    // 4862 5.4, MLD), which is checked where that is read.
    if (source.is_loopback() || destination.is_loopback()) return refuse(Drop::ipv6_bad_address);
    if (source.is_unspecified() && header.next_header != socket::kIcmpv6 &&
        header.next_header != wire::kNextHopByHop) {
      return refuse(Drop::ipv6_bad_address);
    }
    const ip::Address* own = addresses_.find(source, arrival.interface);
    if (own != nullptr && own->usable()) return refuse(Drop::ipv6_bad_address);
  }
  if (destination.is_multicast()) {
    as.to_group = true;
    // RFC 4291 2.7: scopes 0 and 1 stay within the node.
    const unsigned scope = destination.bytes()[1] & 0x0f;
    if (scope <= 1 && !arrival.looped) return refuse(Drop::ipv6_bad_address);
    if (destination == IpAddress::all_nodes()) return true;
    if (destination == IpAddress::all_routers() && is_router_on(arrival.interface)) return true;
    return addresses_.listens(arrival.interface, destination) ||
           groups_.listens(arrival.interface, destination) || refuse(Drop::ipv6_not_for_us);
  }
  const ip::Address* own = addresses_.find(destination, arrival.interface);
  if (own == nullptr && intercepts(arrival)) {
    const auto refused = refuses_foreign(arrival, source, destination);
    as.foreign = !refused;
    return !refused || refuse(*refused);
  }
  // RFC 4862 5.4: what is sent to a tentative address is discarded.
  if (own == nullptr || !own->usable()) return refuse(Drop::ipv6_not_for_us);
  return !arrival.link_group || refuse(Drop::ipv6_bad_address);
}

void Stack::Implementation::receive_ipv6(const Arrival& arrival, Packet&& packet, Nanos now) {
  const auto header = wire::parse_ipv6(
      packet.contiguous(std::min(packet.size(), wire::kIpv6Header), pool_), packet.size());
  if (!header) return drop(Drop::ipv6_malformed);
  packet.truncate(wire::kIpv6Header + header->payload_length);
  const Transit transit{header->source, header->destination, wire::kIpv6Header, header->hop_limit,
                        !arrival.reassembled};
  if (!is_admitted(arrival)) {
    const auto fragment = ipv6_fragment(*header, packet);
    if (fragment && firewall_->stateful()) {
      return take_fragment(arrival, fragments_.add(*header, *fragment, std::move(packet), now),
                           now);
    }
    return admit(arrival, transit, std::move(packet), now);
  }
  if (is_forwarded(arrival, header->destination)) {
    return forward(arrival, transit, nullptr, std::move(packet), now);
  }
  Acceptance as{.to_group = arrival.link_group};
  if (!acceptable_ipv6(arrival, *header, as)) return;

  IpMeta meta{.source = header->source,
              .destination = header->destination,
              .interface = arrival.interface,
              .protocol = header->next_header,
              .hop_limit = header->hop_limit,
              .traffic_class = header->traffic_class,
              .to_group = as.to_group,
              .foreign = as.foreign,
              .interceptor = interceptor_of(arrival)};
  if (as.foreign && !outlives_hop(arrival, meta, packet, now)) return;
  wire::Ipv6Chain chain;
  switch (header->next_header) {
  case socket::kTcp:
  case socket::kUdp:
  case socket::kIcmpv6:  // as good as always: nothing to walk
    chain.verdict = wire::Ipv6Chain::Verdict::upper;
    chain.offset = wire::kIpv6Header;
    break;
  default:
    chain = wire::walk_ipv6(packet.linear(pool_), arrival.reassembled);
    meta.protocol = chain.protocol;
    break;
  }
  switch (chain.verdict) {
  case wire::Ipv6Chain::Verdict::upper:
    if (chain.router_alert && !arrival.router_alert) {
      Arrival alerting = arrival;
      alerting.router_alert = true;
      return deliver(alerting, meta, chain.offset, chain.protocol_field,
                     arrival.reassembled || chain.fragment.has_value(), std::move(packet), now);
    }
    return deliver(arrival, meta, chain.offset, chain.protocol_field,
                   arrival.reassembled || chain.fragment.has_value(), std::move(packet), now);
  case wire::Ipv6Chain::Verdict::fragment:
    return take_fragment(arrival, fragments_.add(*header, chain, std::move(packet), now), now);
  case wire::Ipv6Chain::Verdict::drop: return drop(Drop::ipv6_bad_header_chain);
  case wire::Ipv6Chain::Verdict::problem:
    drop(Drop::ipv6_bad_header_chain);
    return send_error(arrival, meta,
                      {wire::kIcmpv6ParameterProblem, chain.problem_code, chain.problem_pointer,
                       chain.problem_to_group},
                      std::move(packet), now);
  }
}

// --- fragments
// ------------------------------------------------------------------------------------

void Stack::Implementation::take_fragment(const Arrival& arrival, ip::FragmentResult&& result,
                                          Nanos now) {
  if (result.dropped) drop(*result.dropped);
  if (!result.complete) return;
  // Once more from the top, as a packet that is no fragment: one level deep, since a reassembled
  // packet with a fragment header in it is refused.
  Arrival whole = arrival;
  whole.reassembled = true;
  whole.largest_fragment = result.largest;
  const auto first = result.complete->contiguous(1, pool_);
  if (!first.empty() && first[0] >> 4 == 4) {
    receive_ipv4(whole, std::move(*result.complete), now);
  } else {
    receive_ipv6(whole, std::move(*result.complete), now);
  }
}

void Stack::Implementation::expire_fragments(Nanos now) {
  if (fragments_.next_deadline() > now) return;
  while (auto timeout = fragments_.advance(now)) {
    drop(Drop::fragment_timeout);
    if (!timeout->first) continue;
    // RFC 792, RFC 1122 3.3.2, RFC 8200 4.5: Time Exceeded, code 1.
    Packet& first = *timeout->first;
    IpMeta meta;
    const auto front = first.contiguous(std::min(first.size(), wire::kIpv6Header), pool_);
    if (const auto v6 = wire::parse_ipv6(front, SIZE_MAX)) {
      meta.source = v6->source;
      meta.destination = v6->destination;
    } else if (front.size() >= wire::kIpv4HeaderMin) {
      meta.source = IpAddress::from_bytes(front.subspan(12, 4));
      meta.destination = IpAddress::from_bytes(front.subspan(16, 4));
    } else {
      continue;
    }
    const ip::Address* own = addresses_.find(meta.destination, kAnyInterface);
    if (own == nullptr) continue;  // to a group, or the address is gone
    meta.interface = own->interface;
    const std::uint8_t type = meta.source.is_v4() ? std::uint8_t{wire::kIcmpv4TimeExceeded}
                                                  : std::uint8_t{wire::kIcmpv6TimeExceeded};
    send_error({.interface = own->interface}, meta, {type, 1}, std::move(first), now);
  }
}

}  // namespace vpollnet
