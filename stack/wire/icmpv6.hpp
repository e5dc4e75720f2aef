// SPDX-License-Identifier: MIT
// ICMPv6 messages: bytes <-> values (RFC 4443). Neighbour discovery is in ndp.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "wire/icmpv4.hpp"

namespace vpollnet::wire {

enum Icmpv6Type : std::uint8_t {
  kIcmpv6Unreachable = 1,
  kIcmpv6PacketTooBig = 2,
  kIcmpv6TimeExceeded = 3,
  kIcmpv6ParameterProblem = 4,
  kIcmpv6EchoRequest = 128,
  kIcmpv6EchoReply = 129,
  kIcmpv6MulticastListenerQuery = 130,
  kIcmpv6MulticastListenerReport = 131,
  kIcmpv6MulticastListenerDone = 132,
  kIcmpv6RouterSolicitation = 133,
  kIcmpv6RouterAdvertisement = 134,
  kIcmpv6NeighbourSolicitation = 135,
  kIcmpv6NeighbourAdvertisement = 136,
  kIcmpv6Redirect = 137,
  kIcmpv6MulticastListenerReport2 = 143,
};

/// Codes of Destination Unreachable (RFC 4443 3.1).
enum Icmpv6Unreachable : std::uint8_t {
  kIcmpv6NoRoute = 0,
  kIcmpv6Prohibited = 1,
  kIcmpv6BeyondScope = 2,
  kIcmpv6AddressUnreachable = 3,
  kIcmpv6PortUnreachable = 4,
  kIcmpv6SourcePolicy = 5,
  kIcmpv6RejectRoute = 6,
};

/// Types below 128 are errors (RFC 4443 2.1), those that are unknown too.
inline constexpr bool icmpv6_is_error(std::uint8_t type) { return type < 128; }

/// Nothing if there are fewer than 8 bytes. Does not verify the checksum. `rest` is the MTU of
/// Packet Too Big, the pointer of Parameter Problem, identifier and sequence number of echo.
std::optional<IcmpHeader> parse_icmpv6(std::span<const std::uint8_t> bytes);
inline constexpr std::size_t icmpv6_size(const IcmpHeader&) { return kIcmpHeader; }
/// Writes the eight bytes with a checksum of 0.
void emit_icmpv6(const IcmpHeader& header, std::span<std::uint8_t> out);

/// Reads the packet quoted in an error; `bytes` is what stands behind its eight bytes. Extension
/// headers are walked. Nothing if the header chain is not whole, fewer than 8 bytes follow it, or
/// it was not a first fragment.
std::optional<QuotedPacket> parse_icmpv6_quote(std::span<const std::uint8_t> bytes);

}  // namespace vpollnet::wire
