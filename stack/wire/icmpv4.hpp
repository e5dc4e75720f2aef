// SPDX-License-Identifier: MIT
// ICMP messages: bytes <-> values (RFC 792, RFC 1191 4).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "wire/address.hpp"

namespace vpollnet::wire {

inline constexpr std::size_t kIcmpHeader = 8;  ///< of ICMP and ICMPv6 alike: echo, and each error

enum Icmpv4Type : std::uint8_t {
  kIcmpv4EchoReply = 0,
  kIcmpv4Unreachable = 3,
  kIcmpv4EchoRequest = 8,
  kIcmpv4TimeExceeded = 11,
  kIcmpv4ParameterProblem = 12,
};

/// Codes of Destination Unreachable (RFC 792, RFC 1122 3.2.2.1, RFC 1812 5.2.7.1).
enum Icmpv4Unreachable : std::uint8_t {
  kIcmpv4NetUnreachable = 0,
  kIcmpv4HostUnreachable = 1,
  kIcmpv4ProtocolUnreachable = 2,
  kIcmpv4PortUnreachable = 3,
  kIcmpv4FragmentationNeeded = 4,
  kIcmpv4SourceRouteFailed = 5,
  kIcmpv4NetProhibited = 9,
  kIcmpv4HostProhibited = 10,
  kIcmpv4CommunicationProhibited = 13,
};

/// The eight bytes that echo messages and errors begin with.
struct IcmpHeader {
  std::uint8_t type = 0;
  std::uint8_t code = 0;
  std::uint32_t rest = 0;  ///< bytes 4 to 7
  bool operator==(const IcmpHeader&) const = default;

  static IcmpHeader echo(std::uint8_t type, std::uint16_t identifier, std::uint16_t sequence) {
    return {type, 0, static_cast<std::uint32_t>(identifier) << 16 | sequence};
  }
  std::uint16_t identifier() const { return static_cast<std::uint16_t>(rest >> 16); }
  std::uint16_t sequence() const { return static_cast<std::uint16_t>(rest); }
  /// The next-hop MTU of Fragmentation Needed, 0 from a router that knows none (RFC 1191 4).
  std::uint16_t next_hop_mtu() const { return static_cast<std::uint16_t>(rest); }
};

/// True for the types that say that a packet of ours failed. Source quench and redirect are not
/// among them (RFC 6633; a host's redirects are ignored).
bool icmpv4_is_error(std::uint8_t type);
/// True for each type that no ICMP error may answer (RFC 1122 3.2.2): all errors, redirect, source
/// quench, and types that are unknown.
bool icmpv4_forbids_answer(std::uint8_t type);

/// Nothing if there are fewer than 8 bytes. Does not verify the checksum.
std::optional<IcmpHeader> parse_icmpv4(std::span<const std::uint8_t> bytes);
inline constexpr std::size_t icmpv4_size(const IcmpHeader&) { return kIcmpHeader; }
/// Writes the eight bytes with a checksum of 0.
void emit_icmpv4(const IcmpHeader& header, std::span<std::uint8_t> out);

/// The packet that an ICMP or ICMPv6 error is about.
struct QuotedPacket {
  IpAddress source;
  IpAddress destination;
  std::uint8_t protocol = 0;
  std::span<const std::uint8_t> transport;  ///< at least 8 bytes behind the IP header
};

/// Reads the packet quoted in an error; `bytes` is what stands behind its eight bytes. Nothing if
/// the header is not whole, fewer than 8 bytes follow it (RFC 792), or it was not a first fragment,
/// so that those bytes are no transport header.
std::optional<QuotedPacket> parse_icmpv4_quote(std::span<const std::uint8_t> bytes);

}  // namespace vpollnet::wire
