// SPDX-License-Identifier: MIT
// The itinerary of a packet. In: receive() -> Ethernet -> IPv4 or IPv6 (stack_input.cpp) ->
// deliver() -> sockets. Out: sockets -> send_ip() -> output() -> transmit(). README.md has the map.
#include "stack.hpp"

#include <algorithm>

#include "ip/fragment_output.hpp"
#include "link/offload.hpp"
#include "stack_implementation.hpp"
#include "wire/ethernet.hpp"

namespace vpollnet {

using socket::Delivery;
using socket::IpMeta;
using socket::Path;

Stack::Implementation::Implementation(const StackConfig& config, BlockPool& pool, FrameSink& sink)
    : pool_(pool), sink_(sink), budget_(config.memory_limit), random_(config.secret),
      identifier_secret_(random_.derive()), interfaces_(kLoopback + 1), addresses_(random_),
      groups_(random_), path_mtu_(random_.derive()), fragments_(pool_, budget_, random_.derive()),
      identification_(random_), error_limiter_(random_) {
  auto loopback = std::make_unique<Interface>();
  loopback->id = kLoopback;
  loopback->config = {.name = "lo",
                      .type = LinkType::ip,
                      .mac = {},
                      .mtu = 65535,
                      .offloads = {.segmentation = true, .checksum = true}};
  interfaces_[kLoopback] = std::move(loopback);
  interface_count_ = 1;
  addresses_.add(kLoopback, {IpAddress::loopback(Family::ipv4), 8}, {}, 0);
  addresses_.add(kLoopback, {IpAddress::loopback(Family::ipv6), 128}, {}, 0);
  sockets_ = std::make_unique<socket::SocketTable>(*this, config.congestion);
}

Stack::Implementation::~Implementation() {
  sockets_.reset();
  budget_.release(loopback_bytes_);
}

// --- in
// -------------------------------------------------------------------------------------------

void Stack::Implementation::receive(InterfaceId id, Packet&& frame, Nanos now) {
  counters_.first_drop = Drop::count_;
  Interface* in = find(id);
  if (in == nullptr || !in->up || in->loopback()) return drop(Drop::interface_down);
  in->packets_in++;
  in->bytes_in += frame.size();
  counters_.packets_in++;
  counters_.bytes_in += frame.size();
  if (in->ethernet()) return receive_ethernet(*in, std::move(frame), now);

  const auto first = frame.contiguous(1, pool_);
  const Arrival arrival{.interface = id};
  if (!first.empty() && first[0] >> 4 == 6) return receive_ipv6(arrival, std::move(frame), now);
  receive_ipv4(arrival, std::move(frame), now);
}

void Stack::Implementation::receive_ethernet(Interface& in, Packet&& frame, Nanos now) {
  const auto header =
      wire::parse_ethernet(frame.contiguous(std::min(frame.size(), wire::kEthernetHeader), pool_));
  if (!header || header->source.is_multicast()) return drop(Drop::ethernet_malformed);
  const bool to_group = header->destination.is_multicast();
  if (!to_group && header->destination != in.config.mac) return drop(Drop::ethernet_not_for_us);
  // Our own broadcast, sent back by a bridge.
  if (header->source == in.config.mac) return drop(Drop::ethernet_not_for_us);
  frame.trim_front(wire::kEthernetHeader);
  const Arrival arrival{.interface = in.id, .link_group = to_group};
  switch (header->type) {
  case wire::kEtherIpv4: return receive_ipv4(arrival, std::move(frame), now);
  case wire::kEtherIpv6: return receive_ipv6(arrival, std::move(frame), now);
  case wire::kEtherArp: return receive_arp(in, std::move(frame), now);
  default: return drop(Drop::ethernet_unknown_type);
  }
}

/// `packet` begins with its IP header, and `header` bytes further with the upper layer's.
void Stack::Implementation::deliver(const Arrival& arrival, const IpMeta& meta, std::size_t header,
                                    std::size_t protocol_field, bool fragmented, Packet&& packet,
                                    Nanos now) {
  const bool v4 = meta.source.is_v4();
  switch (meta.protocol) {
  case socket::kTcp:
    packet.trim_front(header);
    return sockets_->on_tcp(meta, std::move(packet), now);
  case socket::kUdp: {
    // What an error would quote; the bytes are shared, not copied.
    Packet about = packet.clone();
    packet.trim_front(header);
    if (sockets_->on_udp(meta, std::move(packet), now) != Delivery::no_socket) return;
    // RFC 1122 4.1.3.1, RFC 4443 3.1.
    const ip::ErrorReport report =
        v4 ? ip::ErrorReport{wire::kIcmpv4Unreachable, wire::kIcmpv4PortUnreachable}
           : ip::ErrorReport{wire::kIcmpv6Unreachable, wire::kIcmpv6PortUnreachable};
    return send_error(arrival, meta, report, std::move(about), now);
  }
  case socket::kIgmp:
    if (!v4) break;
    packet.trim_front(header);
    return receive_igmp(arrival, meta, std::move(packet), now);
  case socket::kIcmp:
    if (!v4) break;
    packet.trim_front(header);
    return receive_icmpv4(meta, std::move(packet), now);
  case socket::kIcmpv6:
    if (v4) break;
    packet.trim_front(header);
    return receive_icmpv6(arrival, meta, fragmented, std::move(packet), now);
  default: break;
  }
  // No tunnels either: what is in an IP packet in an IP packet is never looked at (security case
  // I05).
  drop(Drop::ip_unknown_protocol);
  if (!v4 && meta.protocol == wire::kNextNone) return;  // RFC 8200 4.7
  // RFC 1122 3.2.2.1, RFC 8200 4.
  const ip::ErrorReport report =
      v4 ? ip::ErrorReport{wire::kIcmpv4Unreachable, wire::kIcmpv4ProtocolUnreachable}
         : ip::ErrorReport{wire::kIcmpv6ParameterProblem, wire::kProblemNextHeader,
                           static_cast<std::uint32_t>(protocol_field)};
  send_error(arrival, meta, report, std::move(packet), now);
}

// --- out
// ------------------------------------------------------------------------------------------

Errno Stack::Implementation::send_ip(const IpMeta& meta, Packet&& transport, Nanos now) {
  const auto path = find_path(meta.destination, meta.source, meta.interface);
  if (!path) {
    drop(Drop::ip_no_route);
    return path.error();
  }
  return send_ip(meta, *path, std::move(transport), now);
}

Errno Stack::Implementation::send_ip(const IpMeta& meta, const Path& path, Packet&& packet,
                                     Nanos now) {
  constexpr std::size_t kLargest = 65535;
  Interface* out = find(path.interface);
  if (out == nullptr || !out->up) {
    drop(Drop::interface_down);
    return Errno::network_down;
  }
  const bool v4 = meta.destination.is_v4();
  const IpAddress& source = meta.source.family() == Family::none ? path.source : meta.source;
  // RFC 1122 3.2.1.3 (g), RFC 4291 2.5.3: loopback addresses never on a wire.
  const bool to_ourselves = path.next_hop.family() == Family::none;
  if (!to_ourselves && (source.is_loopback() || meta.destination.is_loopback())) {
    drop(v4 ? Drop::ipv4_bad_address : Drop::ipv6_bad_address);
    return Errno::network_unreachable;
  }
  const std::size_t total = packet.size() + (v4 ? wire::kIpv4HeaderMin : wire::kIpv6Header);
  const bool fits = total <= path.mtu || packet.gso_size != 0;
  if ((v4 ? total : packet.size()) > kLargest || (!fits && meta.dont_fragment)) {
    drop(Drop::ip_too_big);
    return Errno::message_size;
  }
  const auto length = static_cast<std::uint16_t>(packet.size());
  if (v4) {
    const bool atomic = meta.dont_fragment;
    // RFC 6864 4.1: the identification of a packet that cannot be fragmented means nothing.
    wire::emit_ipv4({.traffic_class = meta.traffic_class,
                     .identification = atomic ? std::uint16_t{0} : identification_.next(),
                     .dont_fragment = atomic,
                     .hop_limit = meta.hop_limit,
                     .protocol = meta.protocol,
                     .source = source,
                     .destination = meta.destination,
                     .payload_length = length},
                    packet.prepend(wire::kIpv4HeaderMin));
  } else {
    wire::emit_ipv6({.traffic_class = meta.traffic_class,
                     .payload_length = length,
                     .next_header = meta.protocol,
                     .hop_limit = meta.hop_limit,
                     .source = source,
                     .destination = meta.destination},
                    packet.prepend(wire::kIpv6Header));
  }
  if (is_filtered(*out, path) && !may_go_out(*out, path, packet, now)) return Errno::not_permitted;
  if (fits) return output(*out, meta, path, source, std::move(packet), now);

  link::finish_checksum(packet, pool_);
  auto fragments = v4 ? ip::fragment_ipv4(std::move(packet), path.mtu, pool_)
                      : ip::fragment_ipv6(std::move(packet), path.mtu,
                                          static_cast<std::uint32_t>(random_.next()), pool_);
  if (fragments.empty()) {
    drop(Drop::ip_too_big);
    return Errno::message_size;
  }
  Errno result = Errno::ok;
  for (Packet& fragment : fragments) {
    const Errno error = output(*out, meta, path, source, std::move(fragment), now);
    if (error != Errno::ok) result = error;
  }
  return result;
}

/// `packet` is an IP packet that fits the link.
Errno Stack::Implementation::output(Interface& out, const IpMeta& meta, const Path& path,
                                    const IpAddress& source, Packet&& packet, Nanos now) {
  if (path.next_hop.family() == Family::none) return loop(out.id, std::move(packet));
  // RFC 1112 6.1: who is a member here hears of it too, unless the sender inhibits that.
  if (meta.loops && meta.protocol == socket::kUdp && groups_.listens(out.id, meta.destination)) {
    loop(out.id, packet.clone());
  }
  if (!out.ethernet()) {
    transmit(out, 0, std::move(packet));
    return Errno::ok;
  }
  const std::uint16_t type = meta.destination.is_v4() ? wire::kEtherIpv4 : wire::kEtherIpv6;
  if (path.broadcast) {
    transmit_frame(out, MacAddress::broadcast(), type, std::move(packet));
  } else if (path.next_hop.is_multicast()) {
    transmit_frame(out, path.next_hop.multicast_mac(), type, std::move(packet));
  } else if (const auto mac = out.neighbours->find(path.next_hop, now)) {
    transmit_frame(out, *mac, type, std::move(packet));
  } else {
    perform(out, out.neighbours->enqueue(path.next_hop, source, std::move(packet), now), now);
  }
  return Errno::ok;
}

/// A packet to ourselves waits for advance(): the stack never runs inside itself. `shown` is what
/// sockets take for the interface that it came from.
Errno Stack::Implementation::loop(InterfaceId shown, Packet&& packet) {
  const std::size_t bytes = packet.size();
  if (loopback_.size() >= kLoopbackPackets || loopback_bytes_ + bytes > kLoopbackBytes) {
    drop(Drop::link_queue_full);
    return Errno::no_buffers;
  }
  if (!budget_.charge(bytes)) {
    drop(Drop::memory_budget);
    return Errno::no_buffers;
  }
  loopback_bytes_ += bytes;
  Interface& lo = *interfaces_[kLoopback];
  lo.packets_out++;
  lo.bytes_out += bytes;
  loopback_.push_back({std::move(packet), shown});
  return Errno::ok;
}

void Stack::Implementation::transmit_frame(Interface& out, const MacAddress& to, std::uint16_t type,
                                           Packet&& packet) {
  wire::emit_ethernet({to, out.config.mac, type}, packet.prepend(wire::kEthernetHeader));
  transmit(out, wire::kEthernetHeader, std::move(packet));
}

/// The edge: what the link does not do itself is done here.
void Stack::Implementation::transmit(Interface& out, std::size_t link_header, Packet&& frame) {
  const auto send = [this, &out](Packet&& ready) {
    out.packets_out++;
    out.bytes_out += ready.size();
    counters_.packets_out++;
    counters_.bytes_out += ready.size();
    sink_.transmit(out.id, std::move(ready));
  };
  out.has_sent = true;
  const Offloads& has = out.config.offloads;
  if (frame.gso_size != 0 && !has.segmentation) {
    return link::segment(std::move(frame), link_header, !has.checksum, pool_, send);
  }
  if (!has.checksum) link::finish_checksum(frame, pool_);
  send(std::move(frame));
}

// --- time
// -----------------------------------------------------------------------------------------

void Stack::Implementation::advance(Nanos now) {
  for (std::size_t i = 0; i < kLoopbackBatch && !loopback_.empty(); i++) {
    Looped looped = std::move(loopback_.front());
    loopback_.pop_front();
    const std::size_t bytes = looped.packet.size();
    loopback_bytes_ -= bytes;
    budget_.release(bytes);
    Interface& lo = *interfaces_[kLoopback];
    lo.packets_in++;
    lo.bytes_in += bytes;
    const Arrival arrival{.interface = looped.interface, .looped = true};
    const auto first = looped.packet.contiguous(1, pool_);
    if (first[0] >> 4 == 4) {
      receive_ipv4(arrival, std::move(looped.packet), now);
    } else {
      receive_ipv6(arrival, std::move(looped.packet), now);
    }
  }
  for (const auto& interface : interfaces_) {
    if (interface == nullptr) continue;
    advance_router(*interface, now);
    if (interface->ethernet() && interface->neighbours->next_deadline() <= now) {
      perform(*interface, interface->neighbours->advance(now), now);
    }
  }
  while (addresses_.next_deadline() <= now) {
    const auto event = addresses_.advance(now);
    if (!event) break;
    perform(*event, now);
  }
  send_group_reports(now);
  expire_fragments(now);
  if (firewall_ != nullptr) firewall_->advance(now);
  if (path_mtu_.next_deadline() <= now && path_mtu_.advance(now)) generation_++;
  sockets_->advance(now);
}

Nanos Stack::Implementation::next_deadline() const {
  if (!loopback_.empty()) return 0;
  Nanos next =
      std::min({addresses_.next_deadline(), groups_.next_deadline(), fragments_.next_deadline(),
                path_mtu_.next_deadline(), sockets_->next_deadline()});
  if (firewall_ != nullptr) next = std::min(next, firewall_->next_deadline());
  for (const auto& interface : interfaces_) {
    if (interface == nullptr) continue;
    if (interface->advertising != nullptr)
      next = std::min(next, interface->advertising->timer.next_deadline());
    if (interface->ethernet()) next = std::min(next, interface->neighbours->next_deadline());
  }
  return next;
}

// --- the public face
// --------------------------------------------------------------------------------

Stack::Stack(const StackConfig& config, BlockPool& pool, FrameSink& sink)
    : self_(std::make_unique<Implementation>(config, pool, sink)) {}
Stack::~Stack() = default;
Result<InterfaceId> Stack::add_interface(const InterfaceConfig& config, Nanos now) {
  return self_->add_interface(config, now);
}
Errno Stack::remove_interface(InterfaceId id, Nanos now) {
  return self_->remove_interface(id, now);
}
Errno Stack::set_up(InterfaceId id, bool up, Nanos now) { return self_->set_up(id, up, now); }
Errno Stack::add_address(InterfaceId id, const Cidr& address, Nanos now) {
  return self_->add_address(id, address, now);
}
Errno Stack::remove_address(InterfaceId id, const IpAddress& address, Nanos now) {
  return self_->remove_address(id, address, now);
}
Errno Stack::add_route(const RouteConfig& route) { return self_->add_route(route); }
Errno Stack::remove_route(const RouteConfig& route) { return self_->remove_route(route); }
Errno Stack::set_forwarding(const ForwardingConfig& config) {
  return self_->set_forwarding(config);
}
const ForwardingConfig& Stack::forwarding() const { return self_->forwarding(); }
Errno Stack::set_filter(std::optional<filter::RuleSet> rules) {
  return self_->set_filter(std::move(rules));
}
FilterInfo Stack::filter_info() const { return self_->filter_info(); }
std::vector<filter::LogEntry> Stack::take_filter_log() { return self_->take_filter_log(); }
Errno Stack::set_nat(filter::NatRules rules) { return self_->set_nat(std::move(rules)); }
std::vector<ConnectionInfo> Stack::connections() const { return self_->connections(); }
void Stack::set_connection_limits(const filter::ConnectionLimits& limits) {
  self_->set_connection_limits(limits);
}
Errno Stack::intercept(InterfaceId id, socket::Interceptor* interceptor) {
  return self_->intercept(id, interceptor);
}
bool Stack::is_intercepted(InterfaceId id) const { return self_->is_intercepted(id); }
void Stack::stop_intercepting(const socket::Interceptor& interceptor, Nanos now) {
  self_->stop_intercepting(interceptor, now);
}
Errno Stack::send_datagram(const Endpoint& from, const Endpoint& to, InterfaceId over,
                           Packet&& payload, Nanos now) {
  return self_->send_datagram(from, to, over, std::move(payload), now);
}
Errno Stack::send_echo_reply(const socket::IpMeta& request, std::uint16_t identifier,
                             std::uint16_t sequence, Packet&& payload, Nanos now) {
  return self_->send_echo_reply(request, identifier, sequence, std::move(payload), now);
}
void Stack::send_unreachable(const socket::IpMeta& received, Errno why, Packet&& transport,
                             Nanos now) {
  self_->send_unreachable(received, why, std::move(transport), now);
}
Errno Stack::advertise(InterfaceId id, const RouterAdvertisementConfig& config, Nanos now) {
  return self_->advertise(id, config, now);
}
Errno Stack::end_advertising(InterfaceId id, Nanos now) { return self_->end_advertising(id, now); }
void Stack::receive(InterfaceId id, Packet&& frame, Nanos now) {
  self_->receive(id, std::move(frame), now);
}
void Stack::advance(Nanos now) { self_->advance(now); }
Nanos Stack::next_deadline() const { return self_->next_deadline(); }
socket::SocketTable& Stack::sockets() { return self_->sockets(); }
const Counters& Stack::counters() const {
  return static_cast<const Implementation&>(*self_).counters();
}
std::size_t Stack::memory_used() const { return self_->memory_used(); }
std::vector<InterfaceInfo> Stack::interfaces() const { return self_->interfaces(); }
std::vector<AddressInfo> Stack::addresses() const { return self_->addresses(); }
std::vector<RouteConfig> Stack::routes() const { return self_->routes(); }
std::vector<NeighbourInfo> Stack::neighbours() const { return self_->neighbours(); }

}  // namespace vpollnet
