// SPDX-License-Identifier: MIT
// Ethernet II frames: bytes <-> values (RFC 894, RFC 2464). No IEEE 802.3 length frames. VLAN tags
// are only found here (IEEE 802.1Q 9.5, 9.6): who has VLANs puts them on and takes them off.
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
  kEtherVlan = 0x8100,  ///< C-TAG (IEEE 802.1Q table 9-1)
  kEtherIpv6 = 0x86dd,
  kEtherServiceVlan = 0x88a8,  ///< S-TAG
};

/// EtherType and tag control information (IEEE 802.1Q 9.4 to 9.6).
inline constexpr std::size_t kVlanTag = 4;
/// A header with as many tags as are looked behind: one of a provider and one of a customer.
inline constexpr std::size_t kEthernetTagged = kEthernetHeader + 2 * kVlanTag;

struct EthernetHeader {
  MacAddress destination;
  MacAddress source;
  std::uint16_t type = 0;
  bool operator==(const EthernetHeader&) const = default;
};

/// Nothing if there are fewer than 14 bytes.
std::optional<EthernetHeader> parse_ethernet(std::span<const std::uint8_t> bytes);

/// What is behind the VLAN tags.
struct EthernetPayload {
  std::size_t offset = 0;  ///< from the first byte of the frame
  std::uint16_t type = 0;
};

/// `bytes` are the first kEthernetTagged of the frame, or all if it has fewer. Nothing if they end
/// within a tag or before the type.
std::optional<EthernetPayload> ethernet_payload(std::span<const std::uint8_t> bytes);

inline constexpr std::size_t ethernet_size(const EthernetHeader&) { return kEthernetHeader; }
void emit_ethernet(const EthernetHeader& header, std::span<std::uint8_t> out);

}  // namespace vpollnet::wire
