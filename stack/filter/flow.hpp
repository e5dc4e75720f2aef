// SPDX-License-Identifier: MIT
// What a filter reads of a packet: the two ends that it goes between, and what it says of their
// flow. Read once, and never past the end of what is there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "util/packet.hpp"
#include "util/random.hpp"
#include "wire/address.hpp"

namespace vpollnet::filter {

/// IP protocol numbers (IANA).
inline constexpr std::uint8_t kProtocolIcmp = 1;
inline constexpr std::uint8_t kProtocolTcp = 6;
inline constexpr std::uint8_t kProtocolUdp = 17;
inline constexpr std::uint8_t kProtocolIcmpv6 = 58;

/// Echo messages stand for flows by their identifier (RFC 5508 3.1): it is the source port of a
/// request and the destination port of a reply, and the other port is 0.
enum class EchoKind : std::uint8_t { none, request, reply };

/// One direction of a flow. Protocols without ports have 0 in both.
struct FlowTuple {
  IpAddress source;
  IpAddress destination;
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  std::uint8_t protocol = 0;
  EchoKind echo = EchoKind::none;

  /// What an answer looks like.
  FlowTuple reversed() const;
  bool operator==(const FlowTuple&) const = default;
};

struct FlowTupleHash {
  SecretKey key;
  std::size_t operator()(const FlowTuple& tuple) const;
};

/// The packet that an ICMP error is about. Offsets count from the outer packet's first byte.
struct QuotedFlow {
  FlowTuple tuple;
  std::size_t ip = 0;
  std::size_t transport = 0;
};

struct FlowPacket {
  FlowTuple tuple;
  std::size_t size = 0;
  std::size_t transport = 0;    ///< where the transport header begins, from the packet's first byte
  bool later_fragment = false;  ///< has no transport header
  bool malformed = false;       ///< its transport header is not whole, or contradicts itself
  std::uint8_t tcp_flags = 0;
  std::uint32_t tcp_sequence = 0;
  std::uint32_t tcp_acknowledgment = 0;
  std::uint32_t tcp_payload = 0;  ///< bytes
  bool icmp = false;              ///< of the family that it came in
  std::uint8_t icmp_type = 0;
  std::uint8_t icmp_code = 0;
  std::optional<QuotedFlow> quote;  ///< set for an ICMP error with a quote that can be read

  bool is_tcp() const { return tuple.protocol == kProtocolTcp; }
  bool is_icmp_error() const;
  /// ICMPv6 133 to 137, which never pass a router (RFC 4861 3.1).
  bool is_neighbour_discovery() const;
};

/// Reads an IP packet whose fixed header was checked, cut to its length. Nothing if that is not so.
std::optional<FlowPacket> read_flow(Packet& packet, BlockPool& pool);

}  // namespace vpollnet::filter
