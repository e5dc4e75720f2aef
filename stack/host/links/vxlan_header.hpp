// SPDX-License-Identifier: MIT
// The VXLAN header (RFC 7348 5): bytes <-> values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "wire/bytes.hpp"

namespace vpollnet::host {

inline constexpr std::size_t kVxlanHeader = 8;
inline constexpr std::uint16_t kVxlanPort = 4789;          ///< RFC 7348 5, "Destination Port"
inline constexpr std::uint32_t kMostVni = (1u << 24) - 1;  ///< 24 bits

/// RFC 7348 5, "VXLAN Flags": the I flag says that there is a valid VNI.
inline constexpr std::uint8_t kVxlanHasVni = 0x08;

/// The VXLAN network identifier; none for fewer than 8 bytes, or without the I flag. What is
/// reserved is ignored on receipt (RFC 7348 5).
inline std::optional<std::uint32_t> parse_vxlan(std::span<const std::uint8_t> bytes) {
  if (bytes.size() < kVxlanHeader || (bytes[0] & kVxlanHasVni) == 0) return std::nullopt;
  return wire::load32(&bytes[4]) >> 8;
}

/// `out` has 8 bytes. What is reserved is zero (RFC 7348 5).
inline void emit_vxlan(std::uint32_t vni, std::span<std::uint8_t> out) {
  wire::store32(out.data(), std::uint32_t{kVxlanHasVni} << 24);
  wire::store32(out.data() + 4, vni << 8);
}

}  // namespace vpollnet::host
