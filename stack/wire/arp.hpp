// SPDX-License-Identifier: MIT
// ARP for IPv4 over Ethernet: bytes <-> values (RFC 826).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "wire/address.hpp"

namespace vpollnet::wire {

inline constexpr std::size_t kArpSize = 28;

enum ArpOperation : std::uint16_t { kArpRequest = 1, kArpReply = 2 };

struct ArpPacket {
  std::uint16_t operation = kArpRequest;
  MacAddress sender_mac;
  IpAddress sender;  ///< 0.0.0.0 in a probe (RFC 5227 2.1.1)
  MacAddress target_mac;
  IpAddress target;
  bool operator==(const ArpPacket&) const = default;
};

/// Nothing if there are fewer than 28 bytes, or hardware or protocol type or their lengths are not
/// those of IPv4 over Ethernet, or the operation is neither request nor reply. Bytes behind it are
/// padding.
std::optional<ArpPacket> parse_arp(std::span<const std::uint8_t> bytes);
inline constexpr std::size_t arp_size(const ArpPacket&) { return kArpSize; }
void emit_arp(const ArpPacket& packet, std::span<std::uint8_t> out);

}  // namespace vpollnet::wire
