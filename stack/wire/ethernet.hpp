// SPDX-License-Identifier: MIT
// Ethernet II frames: bytes <-> values (RFC 894, RFC 2464). No IEEE 802.3 length frames, no tags.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "wire/address.hpp"

namespace vpollnet::wire {

inline constexpr std::size_t kEthernetHeader = 14;

enum EtherType : std::uint16_t {
  kEtherIpv4 = 0x0800,
  kEtherArp = 0x0806,
  kEtherIpv6 = 0x86dd,
};

struct EthernetHeader {
  MacAddress destination;
  MacAddress source;
  std::uint16_t type = 0;
  bool operator==(const EthernetHeader&) const = default;
};

/// Nothing if there are fewer than 14 bytes.
std::optional<EthernetHeader> parse_ethernet(std::span<const std::uint8_t> bytes);
inline constexpr std::size_t ethernet_size(const EthernetHeader&) { return kEthernetHeader; }
void emit_ethernet(const EthernetHeader& header, std::span<std::uint8_t> out);

}  // namespace vpollnet::wire
