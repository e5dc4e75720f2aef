// SPDX-License-Identifier: MIT
// Where the firewall (filter/firewall.hpp) stands: what comes over a link passes it before it is
// known whether it is for us, what we send passes it before it is cut to fragments.
//
// It looks at whole packets: fragments are put together first, within the bounds of
// ip/fragments.hpp, and what goes on is cut up again. ARP, neighbour discovery and what the stack
// sends to itself do not pass it, nor do interfaces with an Interceptor, which has a policy of its
// own.
#include <algorithm>
#include <array>

#include "stack_implementation.hpp"
#include "wire/bytes.hpp"
#include "wire/checksum.hpp"
#include "wire/tcp.hpp"

namespace vpollnet {

using socket::IpMeta;
using socket::Path;

namespace {

bool is_policy(filter::Action action) {
  return action != filter::Action::count && action != filter::Action::log;
}

/// RFC 9293 3.10.7.1: what a host sends for a segment that is for no connection.
Packet make_reset(const filter::FlowPacket& refused) {
  wire::TcpHeader header;
  header.source_port = refused.tuple.destination_port;
  header.destination_port = refused.tuple.source_port;
  header.flags = wire::kRst;
  if ((refused.tcp_flags & wire::kAck) != 0) {
    header.sequence = refused.tcp_acknowledgment;
  } else {
    header.flags |= wire::kAck;
    header.acknowledgment = refused.tcp_sequence + refused.tcp_payload +
                            ((refused.tcp_flags & wire::kSyn) != 0 ? 1 : 0) +
                            ((refused.tcp_flags & wire::kFin) != 0 ? 1 : 0);
  }
  Packet packet;
  wire::emit_tcp(header, packet.prepend(wire::kTcpHeaderMin));
  return packet;
}

void prepend_ip(Packet& packet, const IpAddress& source, const IpAddress& destination,
                std::uint8_t protocol) {
  const auto length = static_cast<std::uint16_t>(packet.size());
  if (source.is_v4()) {
    // RFC 6864 4.1: an atomic datagram, whose identification means nothing.
    return wire::emit_ipv4({.dont_fragment = true,
                            .protocol = protocol,
                            .source = source,
                            .destination = destination,
                            .payload_length = length},
                           packet.prepend(wire::kIpv4HeaderMin));
  }
  wire::emit_ipv6({.payload_length = length,
                   .next_header = protocol,
                   .source = source,
                   .destination = destination},
                  packet.prepend(wire::kIpv6Header));
}

}  // namespace

// --- set up
// ------------------------------------------------------------------------------------------

filter::Firewall& Stack::Implementation::firewall() {
  if (firewall_ == nullptr) {
    firewall_ = std::make_unique<filter::Firewall>(static_cast<filter::NatHost&>(*this), pool_,
                                                   budget_, counters_, random_);
    firewall_->set_limits(connection_limits_);
  }
  return *firewall_;
}

void Stack::Implementation::drop_firewall_if_empty() {
  if (firewall_ != nullptr && firewall_->empty()) firewall_.reset();
}

Errno Stack::Implementation::set_filter(std::optional<filter::RuleSet> rules) {
  if (rules) {
    if (rules->rules.size() > filter::RuleSet::kMaxRules) return Errno::invalid;
    for (const filter::Action policy : rules->policy) {
      if (!is_policy(policy)) return Errno::invalid;
    }
  }
  firewall().set_filter(std::move(rules));
  drop_firewall_if_empty();
  return Errno::ok;
}

Errno Stack::Implementation::set_nat(filter::NatRules rules) {
  const std::size_t most = filter::NatRules::kMaxRules;
  if (rules.sources.size() > most || rules.destinations.size() > most ||
      rules.prefixes.size() > most ||
      !std::all_of(rules.prefixes.begin(), rules.prefixes.end(),
                   [](const filter::PrefixNat& rule) { return rule.is_valid(); })) {
    return Errno::invalid;
  }
  firewall().set_nat(std::move(rules));
  drop_firewall_if_empty();
  return Errno::ok;
}

void Stack::Implementation::set_connection_limits(const filter::ConnectionLimits& limits) {
  connection_limits_ = limits;
  if (firewall_ != nullptr) firewall_->set_limits(limits);
}

// --- in
// -------------------------------------------------------------------------------------------

/// `packet` is an IP packet as it came, cut to its length; no fragment unless the firewall keeps no
/// state.
void Stack::Implementation::admit(const Arrival& arrival, const Transit& transit, Packet&& packet,
                                  Nanos now) {
  auto passage = firewall_->begin(packet, arrival.interface);
  if (!passage) return drop(transit.source.is_v4() ? Drop::ipv4_malformed : Drop::ipv6_malformed);
  const IpAddress& destination = passage->seen.destination;
  if (is_forwarded(arrival, destination)) {
    Transit onward = transit;
    onward.destination = destination;
    return forward(arrival, onward, &*passage, std::move(packet), now);
  }
  const bool to_group =
      arrival.link_group || destination.is_multicast() || is_broadcast(destination);
  if (passage->packet.is_neighbour_discovery() ||
      (!to_group && !is_local(destination, arrival.interface))) {
    return receive_admitted(arrival, std::move(packet), now);  // not for the filter, or not for us
  }
  const IpAddress& source = transit.source;
  passage->untracked = to_group || source.is_unspecified() || source.is_multicast() ||
                       is_broadcast(source) || is_local(source, kAnyInterface);
  const filter::Hop hop{filter::Direction::input, arrival.interface, kAnyInterface};
  const filter::Action action = firewall_->decide(*passage, hop, now);
  if (action == filter::Action::accept) {
    firewall_->finish(packet, *passage);
    return receive_admitted(arrival, std::move(packet), now);
  }
  if (action != filter::Action::drop && !passage->untracked) {
    refuse(*passage, action, hop, std::move(packet), now);
  }
}

/// Once more from the IP header, as take_fragment() does.
void Stack::Implementation::receive_admitted(const Arrival& arrival, Packet&& packet, Nanos now) {
  Arrival admitted = arrival;
  admitted.admitted = true;
  if (packet.contiguous(1, pool_)[0] >> 4 == 4) {
    receive_ipv4(admitted, std::move(packet), now);
  } else {
    receive_ipv6(admitted, std::move(packet), now);
  }
}

// --- out
// ------------------------------------------------------------------------------------------

/// `packet` is an IP packet of ours on its way over `path`, before it is cut to fragments.
bool Stack::Implementation::may_go_out(Interface& out, const Path& path, Packet& packet,
                                       Nanos now) {
  auto passage = firewall_->begin(packet, kAnyInterface);
  if (!passage || passage->packet.is_neighbour_discovery()) return true;
  passage->untracked = path.broadcast || path.next_hop.is_multicast();
  const filter::Hop hop{filter::Direction::output, kAnyInterface, out.id};
  const filter::Action action = firewall_->decide(*passage, hop, now);
  if (action == filter::Action::accept) {
    firewall_->finish(packet, *passage);
    return true;
  }
  if (action != filter::Action::drop && !passage->untracked) {
    refuse(*passage, action, hop, packet.clone(), now);
  }
  return false;
}

// --- no
// -------------------------------------------------------------------------------------------

/// Tells whoever sent `packet` that it was refused. The answer does not pass the firewall. One to
/// ourselves comes back as if from the destination, so that a connection ends at once.
void Stack::Implementation::refuse(const filter::Passage& passage, filter::Action how,
                                   const filter::Hop& hop, Packet&& packet, Nanos now) {
  const filter::FlowPacket& refused = passage.packet;
  const IpAddress& to = refused.tuple.source;
  const bool v4 = to.is_v4();
  const bool ours = hop.direction == filter::Direction::output;
  const bool reset = refused.is_tcp() && how == filter::Action::reject;
  std::uint8_t protocol = socket::kTcp;
  Packet answer;
  if (reset) {
    if (refused.malformed || (refused.tcp_flags & wire::kRst) != 0) return;
    answer = make_reset(refused);
  } else {
    protocol = v4 ? socket::kIcmp : socket::kIcmpv6;
    const bool prohibited = how == filter::Action::prohibit;
    ip::ErrorReport report;
    if (v4) {
      report = {wire::kIcmpv4Unreachable, prohibited
                                              ? std::uint8_t{wire::kIcmpv4CommunicationProhibited}
                                              : std::uint8_t{wire::kIcmpv4PortUnreachable}};
    } else {
      report = {wire::kIcmpv6Unreachable, prohibited ? std::uint8_t{wire::kIcmpv6Prohibited}
                                                     : std::uint8_t{wire::kIcmpv6PortUnreachable}};
    }
    if (!ip::may_report(report, packet, false, pool_) || is_broadcast(to)) return;
    if (!ours && !error_limiter_.allow(to, now)) return drop(Drop::icmp_rate_limited);
    answer = ip::make_report(report, to.family(), packet, pool_);
  }

  const auto path = ours ? Result<Path>(Path{}) : find_path(to, {}, scope_of(to, hop.in));
  if (!path) return drop(Drop::ip_no_route);
  const bool in_its_name = reset || ours;
  const IpAddress from = in_its_name ? refused.tuple.destination : path->source;
  if (reset || !v4) {
    const std::size_t field = reset ? wire::kTcpChecksumOffset : 2;
    wire::store16(&answer.writable(field + 2, pool_)[field],
                  wire::transport_checksum(answer, from, to, protocol));
  }
  prepend_ip(answer, from, to, protocol);
  if (ours) {
    loop(hop.out, std::move(answer));
    return;
  }
  Interface* out = find(path->interface);
  if (out == nullptr || !out->up) return drop(Drop::interface_down);
  const IpMeta meta{.source = from, .destination = to, .protocol = protocol};
  output(*out, meta, *path, from, std::move(answer), now);
}

// --- what translation asks
// ---------------------------------------------------------------------------

IpAddress Stack::Implementation::address_on(InterfaceId out, const IpAddress& destination) const {
  const ip::Address* own = ip::select_source(addresses_, destination, out, destination);
  // The weak end system model would lend the address of another link.
  return own != nullptr && own->interface == out ? own->cidr.address : IpAddress();
}

bool Stack::Implementation::is_address_of(InterfaceId interface, const IpAddress& address) const {
  const ip::Address* own = addresses_.find(address, interface);
  return own != nullptr && own->usable() &&
         (interface == kAnyInterface || own->interface == interface);
}

bool Stack::Implementation::uses_port(std::uint8_t protocol, std::uint16_t port) const {
  const socket::Type type = protocol == socket::kTcp   ? socket::Type::tcp
                            : protocol == socket::kUdp ? socket::Type::udp
                                                       : socket::Type::ping;
  return sockets_->uses_port(type, port);
}

// --- listings
// -------------------------------------------------------------------------------------

FilterInfo Stack::Implementation::filter_info() const {
  FilterInfo info;
  const filter::Filter* rules = firewall_ != nullptr ? firewall_->filter() : nullptr;
  if (rules == nullptr) return info;
  info.rules = rules->counts();
  for (std::size_t i = 0; i < filter::kDirections; i++) {
    info.policies[i] = rules->policy_count(static_cast<filter::Direction>(i));
  }
  return info;
}

std::vector<filter::LogEntry> Stack::Implementation::take_filter_log() {
  return firewall_ != nullptr ? firewall_->take_log() : std::vector<filter::LogEntry>{};
}

std::vector<ConnectionInfo> Stack::Implementation::connections() const {
  std::vector<ConnectionInfo> result;
  if (firewall_ == nullptr) return result;
  result.reserve(firewall_->connections().size());
  firewall_->connections().for_each([&result](const filter::Connection& connection) {
    ConnectionInfo& info = result.emplace_back();
    info.original = connection.original;
    info.reply = connection.reply;
    info.state = filter::to_string(connection.progress);
    for (const std::size_t way : {0u, 1u}) {
      info.packets[way] = connection.packets[way];
      info.bytes[way] = connection.bytes[way];
    }
    info.expires = connection.deadline;
  });
  return result;
}

}  // namespace vpollnet
