// SPDX-License-Identifier: MIT
// The VLAN tag of a frame (IEEE 802.1Q 9.6): puts it on, takes it off.
#pragma once

#include <cstdint>

#include "util/packet.hpp"

namespace vpollnet::host {

inline constexpr std::uint16_t kVidMask = 0x0fff;
/// IEEE 802.1Q table 9-2: 0 is "no VLAN, a priority only", 4095 must not be used.
inline constexpr std::uint16_t kLeastVid = 1;
inline constexpr std::uint16_t kMostVid = 4094;

// What a packet knows of its checksum and its segments counts from its end, and stays true. The
// frame must have a whole Ethernet header, and for the last two a whole tag behind the addresses.

/// Puts a tag with `control` (priority, drop eligibility, VID) behind the addresses.
void insert_vlan_tag(Packet& frame, std::uint16_t control, BlockPool& pool);
void remove_vlan_tag(Packet& frame, BlockPool& pool);
void rewrite_vlan_tag(Packet& frame, std::uint16_t control, BlockPool& pool);

}  // namespace vpollnet::host
