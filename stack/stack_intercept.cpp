// SPDX-License-Identifier: MIT
// Packets for addresses that are not ours, which an Interceptor answers in the name of their
// destination (a gateway; RFC 3022 calls what it does a network address and port translation, seen
// from the far side). Towards the sender it is a router: what a router must not pass on is not
// accepted, and a packet whose hops are used up ends here.
#include <algorithm>

#include "stack_implementation.hpp"
#include "wire/bytes.hpp"
#include "wire/checksum.hpp"
#include "wire/icmpv6.hpp"
#include "wire/udp.hpp"

namespace vpollnet {

using socket::IpMeta;

Errno Stack::Implementation::intercept(InterfaceId id, socket::Interceptor* interceptor) {
  Interface* on = find(id);
  if (on == nullptr) return Errno::no_such_device;
  if (on->loopback()) return Errno::invalid;
  on->interceptor = interceptor;
  generation_++;  // paths in the name of others are good no longer, or from now on
  return Errno::ok;
}

void Stack::Implementation::stop_intercepting(const socket::Interceptor& interceptor, Nanos now) {
  for (const auto& on : interfaces_) {
    if (on == nullptr || on->interceptor != &interceptor) continue;
    sockets_->on_interception_end(on->id, now);
    on->interceptor = nullptr;
  }
  generation_++;
}

/// Why a packet for somebody else may not come in; nothing if it may.
std::optional<Drop> Stack::Implementation::refuses_foreign(const Arrival& arrival,
                                                           const IpAddress& source,
                                                           const IpAddress& destination) const {
  const auto bytes = destination.bytes();
  // RFC 1122 3.2.1.3: 0/8 is "this network", RFC 1112 4: 240/4 is reserved. The same for who sends
  // (RFC 1812 5.3.7), whatever the routes say.
  const auto nobody = [](std::uint8_t first) { return first == 0 || first >= 224; };
  if (destination.is_v4() && (nobody(bytes[0]) || nobody(source.bytes()[0]))) {
    return Drop::ipv4_bad_address;
  }
  // RFC 4291 2.5.6: nothing from or to a link-local address leaves its link.
  if (destination.is_v6() && (destination.is_multicast() || destination.is_unspecified() ||
                              destination.is_link_local() || source.is_link_local())) {
    return Drop::ipv6_bad_address;
  }
  // RFC 3704 2.2: strict. The answer to this source would leave over the same link.
  const ip::Route* back = routes_.find(source, kAnyInterface);
  if (back == nullptr || back->interface != arrival.interface) return Drop::ip_reverse_path;
  return std::nullopt;
}

/// RFC 1812 5.3.1, RFC 4443 3.3: with its last hop a packet reaches a router, and no further.
bool Stack::Implementation::outlives_hop(const Arrival& arrival, const IpMeta& meta,
                                         const Packet& packet, Nanos now) {
  if (meta.hop_limit > 1) return true;
  drop(Drop::ip_hop_limit);
  const std::uint8_t type = meta.source.is_v4() ? std::uint8_t{wire::kIcmpv4TimeExceeded}
                                                : std::uint8_t{wire::kIcmpv6TimeExceeded};
  send_error_from({}, arrival, meta, {type, 0}, packet.clone(), now);
  return false;
}

void Stack::Implementation::intercept_echo(const IpMeta& meta, Packet&& request, Nanos now) {
  const auto header = wire::parse_icmpv4(request.contiguous(wire::kIcmpHeader, pool_));
  request.trim_front(wire::kIcmpHeader);
  meta.interceptor->on_echo(meta, header->identifier(), header->sequence(), std::move(request),
                            now);
}

Errno Stack::Implementation::send_datagram(const Endpoint& from, const Endpoint& to,
                                           InterfaceId over, Packet&& payload, Nanos now) {
  if (payload.size() > 65535 - wire::kUdpHeader) return Errno::message_size;
  Packet packet = std::move(payload);
  packet.gso_size = 0;
  const auto out = packet.prepend(wire::kUdpHeader);
  const auto length = static_cast<std::uint16_t>(packet.size());
  const std::uint16_t pseudo =
      wire::pseudo_header(from.address, to.address, socket::kUdp, length).folded();
  wire::emit_udp({from.port, to.port, length, pseudo}, out);
  packet.checksum = ChecksumState::partial;
  packet.checksum_from_end = length;
  packet.checksum_field = wire::kUdpChecksumOffset;
  return send_ip({.source = from.address,
                  .destination = to.address,
                  .interface = over,
                  .protocol = socket::kUdp},
                 std::move(packet), now);
}

Errno Stack::Implementation::send_echo_reply(const IpMeta& request, std::uint16_t identifier,
                                             std::uint16_t sequence, Packet&& payload, Nanos now) {
  const bool v4 = request.source.is_v4();
  const std::uint8_t type =
      v4 ? std::uint8_t{wire::kIcmpv4EchoReply} : std::uint8_t{wire::kIcmpv6EchoReply};
  Packet packet = std::move(payload);
  packet.gso_size = 0;
  packet.checksum = ChecksumState::unverified;
  const auto out = packet.prepend(wire::kIcmpHeader);
  wire::emit_icmpv4(wire::IcmpHeader::echo(type, identifier, sequence), out);
  wire::Checksum sum;
  if (!v4) {
    sum = wire::pseudo_header(request.destination, request.source, socket::kIcmpv6,
                              static_cast<std::uint32_t>(packet.size()));
  }
  sum.add(packet, 0, packet.size());
  wire::store16(&out[2], sum.finish());
  return send_ip({.source = request.destination,
                  .destination = request.source,
                  .interface = request.interface,
                  .protocol = request.protocol,
                  .traffic_class = request.traffic_class},
                 std::move(packet), now);
}

void Stack::Implementation::send_unreachable(const IpMeta& received, Errno why, Packet&& transport,
                                             Nanos now) {
  const bool v4 = received.source.is_v4();
  const auto of_family = [v4](std::uint8_t four, std::uint8_t six) { return v4 ? four : six; };
  std::uint8_t code = of_family(wire::kIcmpv4HostUnreachable, wire::kIcmpv6AddressUnreachable);
  if (why == Errno::refused) {
    code = of_family(wire::kIcmpv4PortUnreachable, wire::kIcmpv6PortUnreachable);
  } else if (why == Errno::access_denied) {
    code = of_family(wire::kIcmpv4CommunicationProhibited, wire::kIcmpv6Prohibited);
  } else if (why == Errno::network_unreachable) {
    code = of_family(wire::kIcmpv4NetUnreachable, wire::kIcmpv6NoRoute);
  }
  // The header is made anew from what is known of it; what a sender looks at is the same (RFC 5927
  // 4: addresses, ports, sequence number).
  Packet about = std::move(transport);
  about.gso_size = 0;
  const auto length = static_cast<std::uint16_t>(std::min<std::size_t>(about.size(), 65515));
  if (v4) {
    wire::emit_ipv4({.traffic_class = received.traffic_class,
                     .dont_fragment = received.dont_fragment,
                     .hop_limit = received.hop_limit,
                     .protocol = received.protocol,
                     .source = received.source,
                     .destination = received.destination,
                     .payload_length = length},
                    about.prepend(wire::kIpv4HeaderMin));
  } else {
    wire::emit_ipv6({.traffic_class = received.traffic_class,
                     .payload_length = length,
                     .next_header = received.protocol,
                     .hop_limit = received.hop_limit,
                     .source = received.source,
                     .destination = received.destination},
                    about.prepend(wire::kIpv6Header));
  }
  const std::uint8_t type =
      v4 ? std::uint8_t{wire::kIcmpv4Unreachable} : std::uint8_t{wire::kIcmpv6Unreachable};
  const IpAddress from = why == Errno::refused ? received.destination : IpAddress();
  send_error_from(from, {.interface = received.interface}, received, {type, code}, std::move(about),
                  now);
}

}  // namespace vpollnet
