// SPDX-License-Identifier: MIT
// ICMP (RFC 792, RFC 1122 3.2.2) and ICMPv6 (RFC 4443): echo, errors that came, errors that go.
#include <algorithm>

#include "stack_implementation.hpp"
#include "wire/bytes.hpp"
#include "wire/checksum.hpp"
#include "wire/icmpv6.hpp"

namespace vpollnet {

using socket::IcmpError;
using socket::IpMeta;

namespace {

/// As far into a message as its quoted headers are looked for: IPv4 with all options, or IPv6 with
/// as many extension headers as a message to a host can hold (RFC 4443 2.4 (c)).
constexpr std::size_t kQuoteMax = wire::kIpv6MinimumMtu;

Packet echo_of(wire::IcmpHeader header, Packet&& request, std::uint8_t type) {
  request.trim_front(wire::kIcmpHeader);
  // The data comes back as it was (RFC 792): shared, not copied.
  Packet reply = std::move(request);
  reply.gso_size = 0;
  reply.checksum = ChecksumState::unverified;
  reply.checksum_from_end = 0;
  header.type = type;
  header.code = 0;
  wire::emit_icmpv4(header, reply.prepend(wire::kIcmpHeader));
  return reply;
}

}  // namespace

// --- in
// -------------------------------------------------------------------------------------------

void Stack::Implementation::receive_icmpv4(const IpMeta& meta, Packet&& message, Nanos now) {
  const auto header =
      wire::parse_icmpv4(message.contiguous(std::min(message.size(), wire::kIcmpHeader), pool_));
  if (!header) return drop(Drop::icmp_malformed);
  if (message.checksum == ChecksumState::unverified) {
    wire::Checksum sum;
    sum.add(message, 0, message.size());
    if (sum.folded() != 0xffff) return drop(Drop::icmp_bad_checksum);
  }
  switch (header->type) {
  case wire::kIcmpv4EchoRequest:
    if (meta.foreign) return intercept_echo(meta, std::move(message), now);
    return reply_to_echo(meta, std::move(message), now);
  case wire::kIcmpv4EchoReply: return sockets_->on_echo_reply(meta, std::move(message), now);
  case wire::kIcmpv4Unreachable:
  case wire::kIcmpv4TimeExceeded:
  case wire::kIcmpv4ParameterProblem: return receive_error(meta, *header, std::move(message), now);
  // Source quench (RFC 6633 3), redirect, timestamp, address mask and what is unknown (RFC 1122
  // 3.2.2): ignored. Security case C06.
  default: return drop(Drop::icmp_ignored);
  }
}

void Stack::Implementation::receive_icmpv6(const Arrival& arrival, const IpMeta& meta,
                                           bool fragmented, Packet&& message, Nanos now) {
  // Neighbour discovery messages have any length from 8 up, so four bytes would do for the type;
  // all that are known have eight.
  const auto header =
      wire::parse_icmpv6(message.contiguous(std::min(message.size(), wire::kIcmpHeader), pool_));
  if (!header) return drop(Drop::icmp_malformed);
  if (message.checksum == ChecksumState::unverified &&
      !wire::transport_checksum_ok(message, meta.source, meta.destination, socket::kIcmpv6)) {
    return drop(Drop::icmp_bad_checksum);
  }
  switch (header->type) {
  case wire::kIcmpv6RouterSolicitation:
  case wire::kIcmpv6RouterAdvertisement:
  case wire::kIcmpv6NeighbourSolicitation:
  case wire::kIcmpv6NeighbourAdvertisement:
  case wire::kIcmpv6Redirect:
    // RFC 6980 5: nodes must ignore these silently when they come in fragments.
    if (fragmented) return drop(Drop::ndp_ignored);
    return receive_ndp(arrival, meta, header->type, std::move(message), now);
  default: break;
  }
  if (meta.source.is_unspecified()) return drop(Drop::ipv6_bad_address);
  switch (header->type) {
  case wire::kIcmpv6MulticastListenerQuery:
    return receive_mld_query(arrival, meta, std::move(message), now);
  case wire::kIcmpv6EchoRequest:
    if (meta.foreign) return intercept_echo(meta, std::move(message), now);
    return reply_to_echo(meta, std::move(message), now);
  case wire::kIcmpv6EchoReply: return sockets_->on_echo_reply(meta, std::move(message), now);
  case wire::kIcmpv6Unreachable:
  case wire::kIcmpv6PacketTooBig:
  case wire::kIcmpv6TimeExceeded:
  case wire::kIcmpv6ParameterProblem: return receive_error(meta, *header, std::move(message), now);
  default: return drop(Drop::icmp_ignored);  // RFC 4443 2.4 (b)
  }
}

void Stack::Implementation::reply_to_echo(const IpMeta& meta, Packet&& request, Nanos now) {
  // RFC 1122 3.2.2.6 and RFC 4443 4.2 leave groups to us: an answer would amplify (smurf attacks).
  if (meta.to_group) return drop(Drop::icmp_ignored);
  const auto header = wire::parse_icmpv4(request.contiguous(wire::kIcmpHeader, pool_));
  const bool v4 = meta.source.is_v4();
  const std::uint8_t type =
      v4 ? std::uint8_t{wire::kIcmpv4EchoReply} : std::uint8_t{wire::kIcmpv6EchoReply};
  Packet reply = echo_of(*header, std::move(request), type);
  const auto out = reply.writable(wire::kIcmpHeader, pool_);
  if (v4) {
    wire::Checksum sum;
    sum.add(reply, 0, reply.size());
    wire::store16(&out[2], sum.finish());
  } else {
    wire::store16(&out[2],
                  wire::transport_checksum(reply, meta.destination, meta.source, socket::kIcmpv6));
  }
  const IpMeta answer{.source = meta.destination,  // RFC 1122 3.2.2.6: the address that was asked
                      .destination = meta.source,
                      .interface = scope_of(meta.source, meta.interface),
                      .protocol = meta.protocol,
                      .traffic_class = meta.traffic_class};
  send_ip(answer, std::move(reply), now);
}

/// Security case C01: what is quoted must be a packet that this stack can have sent.
void Stack::Implementation::receive_error(const IpMeta& meta, const wire::IcmpHeader& header,
                                          Packet&& message, Nanos now) {
  const bool v4 = meta.source.is_v4();
  const auto meaning = v4 ? ip::icmpv4_meaning(header.type, header.code)
                          : ip::icmpv6_meaning(header.type, header.code);
  if (!meaning) return drop(Drop::icmp_ignored);
  const auto bytes = message.contiguous(std::min(message.size(), kQuoteMax), pool_);
  const auto quote = v4 ? wire::parse_icmpv4_quote(bytes.subspan(wire::kIcmpHeader))
                        : wire::parse_icmpv6_quote(bytes.subspan(wire::kIcmpHeader));
  if (!quote) return drop(Drop::icmp_malformed);
  const bool in_our_name = is_local(quote->source, meta.interface) ||
                           (meta.foreign && quote->source == meta.destination);
  if (meta.to_group || !in_our_name || quote->destination.is_multicast() ||
      is_broadcast(quote->destination)) {
    return drop(Drop::icmp_ignored);
  }
  IcmpError error{.error = meaning->error,
                  .hard = meaning->hard,
                  .reporter = meta.source,
                  .source = quote->source,
                  .destination = quote->destination,
                  .interface = meta.interface,
                  .protocol = quote->protocol,
                  .transport = quote->transport};
  error.too_big = error.error == Errno::message_size;
  if (error.too_big) {
    // RFC 8201 4, RFC 1191 3, with a floor: security cases C02 and V11.
    const std::uint32_t claimed = v4 ? header.next_hop_mtu() : header.rest;
    error.mtu = ip::PathMtu::floored(quote->destination.family(), claimed);
    const InterfaceId scope = scope_of(quote->destination, meta.interface);
    const auto path =
        find_path(quote->destination, quote->source, meta.foreign ? meta.interface : scope);
    const bool narrower = path && error.mtu < path->mtu;
    // RFC 5927 7.2: who cannot show a packet of ours is not believed.
    if (!narrower || !sockets_->is_plausible(error)) return drop(Drop::icmp_ignored);
    if (path_mtu_.learn(error.destination, scope, error.mtu, now)) generation_++;
  }
  sockets_->on_icmp_error(error, now);
  if (meta.foreign && error.protocol != socket::kTcp) {
    meta.interceptor->on_intercepted_error(error, now);
  }
}

// --- out
// ------------------------------------------------------------------------------------------

/// Answers `about`, which begins with its IP header and came with `meta`.
void Stack::Implementation::send_error(const Arrival& arrival, const IpMeta& meta,
                                       const ip::ErrorReport& report, Packet&& about, Nanos now) {
  // RFC 1122 3.2.2, RFC 4443 2.2: from the address that was meant, or else from a usual one.
  send_error_from(meta.to_group ? IpAddress() : meta.destination, arrival, meta, report,
                  std::move(about), now);
}

void Stack::Implementation::send_error_from(const IpAddress& from, const Arrival& arrival,
                                            const IpMeta& meta, const ip::ErrorReport& report,
                                            Packet&& about, Nanos now) {
  if (!ip::may_report(report, about, meta.to_group, pool_) || is_broadcast(meta.source)) return;
  // What goes to ourselves hurts nobody, and programs wait for it.
  const bool too_big = meta.source.is_v4() ? report.type == wire::kIcmpv4Unreachable &&
                                                 report.code == wire::kIcmpv4FragmentationNeeded
                                           : report.type == wire::kIcmpv6PacketTooBig;
  if (!arrival.looped && !error_limiter_.allow(meta.source, now, too_big)) {
    return drop(Drop::icmp_rate_limited);
  }
  const bool v4 = meta.source.is_v4();
  Packet message = ip::make_report(report, meta.source.family(), about, pool_);
  const IpMeta answer{.source = from,
                      .destination = meta.source,
                      .interface =
                          meta.foreign ? meta.interface : scope_of(meta.source, meta.interface),
                      .protocol = v4 ? socket::kIcmp : socket::kIcmpv6};
  const auto path = find_path(answer.destination, answer.source, answer.interface);
  if (!path) return drop(Drop::ip_no_route);
  if (!v4) {
    const IpAddress& source = from.family() == Family::none ? path->source : from;
    wire::store16(&message.writable(wire::kIcmpHeader, pool_)[2],
                  wire::transport_checksum(message, source, answer.destination, socket::kIcmpv6));
  }
  send_ip(answer, *path, std::move(message), now);
}

/// Nobody has the next hop's address: what was to go there comes back to its socket, as it would by
/// ICMP from a router (RFC 1122 2.4 and 3.3.1.4, RFC 4861 7.2.2).
void Stack::Implementation::report_unreachable(InterfaceId interface, Packet&& packet, Nanos now) {
  if (firewall_ != nullptr) firewall_->restore(packet);
  const auto bytes = packet.contiguous(std::min(packet.size(), kQuoteMax), pool_);
  if (bytes.empty()) return;
  const auto quote =
      bytes[0] >> 4 == 4 ? wire::parse_icmpv4_quote(bytes) : wire::parse_icmpv6_quote(bytes);
  if (!quote) return;
  const Interface* out = find(interface);
  if (forwarding_.enabled && out != nullptr && out->interceptor == nullptr &&
      !is_local(quote->source, interface)) {
    return report_unresolved(quote->source, quote->destination, std::move(packet), now);
  }
  sockets_->on_icmp_error({.error = Errno::host_unreachable,
                           .source = quote->source,
                           .destination = quote->destination,
                           .interface = interface,
                           .protocol = quote->protocol,
                           .transport = quote->transport},
                          now);
}

}  // namespace vpollnet
