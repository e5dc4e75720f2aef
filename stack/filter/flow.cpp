// SPDX-License-Identifier: MIT
#include "filter/flow.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "wire/bytes.hpp"
#include "wire/icmpv4.hpp"
#include "wire/icmpv6.hpp"
#include "wire/ipv4.hpp"
#include "wire/ipv6.hpp"
#include "wire/tcp.hpp"
#include "wire/udp.hpp"

namespace vpollnet::filter {

namespace {

/// As far into a packet as extension headers, and the headers in a quote, are looked for.
constexpr std::size_t kReach = wire::kIpv6MinimumMtu;

using Bytes = std::span<const std::uint8_t>;

Bytes front(Packet& packet, std::size_t count, BlockPool& pool) {
  return packet.contiguous(std::min(count, packet.size()), pool);
}

EchoKind echo_kind(bool v4, std::uint8_t type) {
  if (type ==
      (v4 ? std::uint8_t{wire::kIcmpv4EchoRequest} : std::uint8_t{wire::kIcmpv6EchoRequest}))
    return EchoKind::request;
  if (type == (v4 ? std::uint8_t{wire::kIcmpv4EchoReply} : std::uint8_t{wire::kIcmpv6EchoReply}))
    return EchoKind::reply;
  return EchoKind::none;
}

void set_echo(FlowTuple& tuple, EchoKind kind, std::uint16_t identifier) {
  tuple.echo = kind;
  if (kind == EchoKind::request) tuple.source_port = identifier;
  if (kind == EchoKind::reply) tuple.destination_port = identifier;
}

bool is_icmp_of(bool v4, std::uint8_t protocol) {
  return protocol == (v4 ? kProtocolIcmp : kProtocolIcmpv6);
}

void set_ports(FlowTuple& tuple, Bytes transport) {
  tuple.source_port = wire::load16(&transport[0]);
  tuple.destination_port = wire::load16(&transport[2]);
}

/// `bytes` begins with the outer IP header.
std::optional<QuotedFlow> read_quote(Bytes bytes, std::size_t at, bool v4) {
  if (bytes.size() < at + wire::kIcmpHeader) return std::nullopt;
  const std::size_t ip = at + wire::kIcmpHeader;
  const Bytes quoted = bytes.subspan(ip);
  const auto parsed = v4 ? wire::parse_icmpv4_quote(quoted) : wire::parse_icmpv6_quote(quoted);
  if (!parsed) return std::nullopt;
  QuotedFlow quote;
  quote.ip = ip;
  quote.transport = ip + static_cast<std::size_t>(parsed->transport.data() - quoted.data());
  FlowTuple& tuple = quote.tuple;
  tuple.source = parsed->source;
  tuple.destination = parsed->destination;
  tuple.protocol = parsed->protocol;
  if (tuple.protocol == kProtocolTcp || tuple.protocol == kProtocolUdp) {
    set_ports(tuple, parsed->transport);
  } else if (is_icmp_of(v4, tuple.protocol)) {
    const auto header = wire::parse_icmpv4(parsed->transport);
    set_echo(tuple, echo_kind(v4, header->type), header->identifier());
  }
  return quote;
}

void read_tcp(FlowPacket& flow, Bytes transport) {
  const auto length = wire::tcp_header_length(transport);
  const std::size_t whole = flow.size - flow.transport;
  if (!length || *length > whole) {
    flow.malformed = true;
    return;
  }
  set_ports(flow.tuple, transport);
  flow.tcp_sequence = wire::load32(&transport[4]);
  flow.tcp_acknowledgment = wire::load32(&transport[8]);
  flow.tcp_flags = transport[13] & 0x3f;
  flow.tcp_payload = static_cast<std::uint32_t>(whole - *length);
  // Security case T06: no host means these.
  const std::uint8_t kind = flow.tcp_flags & (wire::kSyn | wire::kFin | wire::kRst);
  flow.malformed = (kind & (kind - 1)) != 0 ||
                   (flow.tcp_flags & (wire::kSyn | wire::kRst | wire::kAck)) == 0 ||
                   flow.tuple.source_port == 0 || flow.tuple.destination_port == 0;
}

void read_transport(FlowPacket& flow, Packet& packet, BlockPool& pool, bool v4) {
  const std::uint8_t protocol = flow.tuple.protocol;
  const bool icmp = is_icmp_of(v4, protocol);
  const std::size_t wanted = protocol == kProtocolTcp ? wire::kTcpHeaderMin : wire::kUdpHeader;
  if (protocol != kProtocolTcp && protocol != kProtocolUdp && !icmp) return;
  const Bytes transport = front(packet, flow.transport + wanted, pool).subspan(flow.transport);
  flow.icmp = icmp;
  if (transport.size() < wanted) {
    flow.malformed = true;
    return;
  }
  if (protocol == kProtocolTcp) return read_tcp(flow, transport);
  if (protocol == kProtocolUdp) {
    set_ports(flow.tuple, transport);
    flow.malformed = !wire::parse_udp(transport, flow.size - flow.transport) ||
                     flow.tuple.destination_port == 0;  // security case U04
    return;
  }
  const auto header = wire::parse_icmpv4(transport);
  flow.icmp_type = header->type;
  flow.icmp_code = header->code;
  set_echo(flow.tuple, echo_kind(v4, header->type), header->identifier());
  if (flow.is_icmp_error()) {
    flow.quote = read_quote(front(packet, kReach, pool), flow.transport, v4);
  }
}

}  // namespace

FlowTuple FlowTuple::reversed() const {
  const EchoKind back = echo == EchoKind::request ? EchoKind::reply
                        : echo == EchoKind::reply ? EchoKind::request
                                                  : EchoKind::none;
  return {destination, source, destination_port, source_port, protocol, back};
}

std::size_t FlowTupleHash::operator()(const FlowTuple& tuple) const {
  std::array<std::uint8_t, 38> bytes{};
  wire::store_address(&bytes[0], tuple.source);
  wire::store_address(&bytes[16], tuple.destination);
  wire::store16(&bytes[32], tuple.source_port);
  wire::store16(&bytes[34], tuple.destination_port);
  bytes[36] = tuple.protocol;
  bytes[37] = static_cast<std::uint8_t>(tuple.echo);
  return siphash(key, bytes);
}

bool FlowPacket::is_icmp_error() const {
  if (!icmp) return false;
  return tuple.source.is_v4() ? wire::icmpv4_is_error(icmp_type) : wire::icmpv6_is_error(icmp_type);
}

bool FlowPacket::is_neighbour_discovery() const {
  return icmp && tuple.source.is_v6() && icmp_type >= wire::kIcmpv6RouterSolicitation &&
         icmp_type <= wire::kIcmpv6Redirect;
}

std::optional<FlowPacket> read_flow(Packet& packet, BlockPool& pool) {
  FlowPacket flow;
  flow.size = packet.size();
  Bytes bytes = front(packet, wire::kIpv6Header, pool);
  if (const auto length = wire::ipv4_header_length(bytes)) {
    const auto parsed = wire::parse_ipv4(front(packet, *length, pool), packet.size());
    if (!parsed) return std::nullopt;
    flow.tuple.source = parsed->header.source;
    flow.tuple.destination = parsed->header.destination;
    flow.tuple.protocol = parsed->header.protocol;
    flow.transport = parsed->length;
    flow.later_fragment = parsed->header.fragment_offset != 0;
    if (!flow.later_fragment) read_transport(flow, packet, pool, true);
    return flow;
  }
  const auto header = wire::parse_ipv6(bytes, packet.size());
  if (!header) return std::nullopt;
  flow.tuple.source = header->source;
  flow.tuple.destination = header->destination;
  flow.tuple.protocol = header->next_header;
  flow.transport = wire::kIpv6Header;
  switch (header->next_header) {
  case kProtocolTcp:
  case kProtocolUdp:
  case kProtocolIcmpv6: break;  // as good as always: nothing to walk
  default: {
    const wire::Ipv6Chain chain = wire::walk_ipv6_quote(front(packet, kReach, pool));
    flow.later_fragment = chain.fragment && chain.fragment->offset != 0;
    if (chain.verdict == wire::Ipv6Chain::Verdict::upper) {
      flow.tuple.protocol = chain.protocol;
      flow.transport = chain.offset;
    } else if (!flow.later_fragment) {
      // What it carries is out of sight: nobody can say that a rule allows it.
      flow.malformed = true;
      return flow;
    }
  }
  }
  if (!flow.later_fragment) read_transport(flow, packet, pool, false);
  return flow;
}

}  // namespace vpollnet::filter
