// SPDX-License-Identifier: MIT
// IPv4 headers: bytes <-> values (RFC 791 3.1, RFC 1122 3.2.1).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "wire/address.hpp"

namespace vpollnet::wire {

inline constexpr std::size_t kIpv4HeaderMin = 20;
inline constexpr std::size_t kIpv4HeaderMax = 60;

struct Ipv4Header {
  std::uint8_t traffic_class = 0;  ///< the DS field and ECN (RFC 2474, RFC 3168)
  std::uint16_t identification = 0;
  bool dont_fragment = false;
  bool more_fragments = false;
  std::uint16_t fragment_offset = 0;  ///< in bytes, a multiple of 8
  std::uint8_t hop_limit = 64;        ///< TTL
  std::uint8_t protocol = 0;
  IpAddress source;
  IpAddress destination;
  std::uint16_t payload_length = 0;  ///< bytes behind the header: total length less header length
  bool router_alert = false;         ///< the option of RFC 2113, the only one that is ever written
  bool operator==(const Ipv4Header&) const = default;

  bool is_fragment() const { return more_fragments || fragment_offset != 0; }
};

struct ParsedIpv4 {
  Ipv4Header header;
  std::size_t length = 0;  ///< of the header with its options, in bytes
  bool checksum_ok = false;
  bool source_route = false;  ///< LSRR or SSRR is among the options
  bool options_ok = true;     ///< false: an option list that cannot be read (RFC 791 3.1)
};

/// The header length that IHL claims, for pulling that many bytes together; nothing if there are
/// fewer than 20 bytes, the version is not 4 or IHL is below 5.
std::optional<std::size_t> ipv4_header_length(std::span<const std::uint8_t> bytes);

/// Reads the header at the front of `bytes`, which may end anywhere behind it; `packet_size` is the
/// size of the packet as it came, trailer included. Nothing if the version is not 4, IHL is below
/// 5, the header does not fit in `bytes`, or the total length is below the header's or above
/// `packet_size`. The caller cuts the packet to length + payload_length.
std::optional<ParsedIpv4> parse_ipv4(std::span<const std::uint8_t> bytes, std::size_t packet_size);

/// 20, or 24 with router_alert.
std::size_t ipv4_size(const Ipv4Header& header);

/// Writes `header` with its checksum to `out`, of ipv4_size(header) bytes.
void emit_ipv4(const Ipv4Header& header, std::span<std::uint8_t> out);

/// Computes the checksum of a header in place, for who has changed it.
void finish_ipv4(std::span<std::uint8_t> header);

/// Takes one hop off the TTL of `header` and brings its checksum along (RFC 1141, RFC 1624). The
/// TTL is not 0.
void decrement_ttl(std::span<std::uint8_t> header);

/// Overwrites the options that may not be in fragments behind the first (RFC 791 3.1, the copied
/// flag) with No Operation, in a header whose options parse_ipv4 could read. The checksum is stale
/// afterwards.
void blank_uncopied_options(std::span<std::uint8_t> header);

}  // namespace vpollnet::wire
