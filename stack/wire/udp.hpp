// SPDX-License-Identifier: MIT
// UDP headers: bytes <-> values (RFC 768).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace vpollnet::wire {

inline constexpr std::size_t kUdpHeader = 8;
inline constexpr std::size_t kUdpChecksumOffset = 6;

struct UdpHeader {
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  std::uint16_t length = kUdpHeader;  ///< header and payload in bytes
  std::uint16_t checksum = 0;         ///< 0: none was sent (IPv4 only, RFC 768; RFC 8200 8.1)
  bool operator==(const UdpHeader&) const = default;
};

/// `packet_size` is that of the IP payload. Nothing if there are fewer than 8 bytes, or the length
/// field is below 8 or above `packet_size`. The caller cuts the packet to `length`. Does not verify
/// the checksum.
std::optional<UdpHeader> parse_udp(std::span<const std::uint8_t> bytes, std::size_t packet_size);
inline constexpr std::size_t udp_size(const UdpHeader&) { return kUdpHeader; }
void emit_udp(const UdpHeader& header, std::span<std::uint8_t> out);

}  // namespace vpollnet::wire
