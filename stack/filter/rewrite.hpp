// SPDX-License-Identifier: MIT
// Changes addresses and ports of a packet, and brings its checksums along (RFC 1624, RFC 3022 4).
#pragma once

#include <optional>

#include "filter/flow.hpp"
#include "util/packet.hpp"

namespace vpollnet::filter {

/// Gives `packet`, which `flow` was read from, the ends of `to`. Checksums are updated, not
/// computed: what was wrong stays wrong, what is left for a device (ChecksumState::partial) stays
/// so, and a UDP datagram without a checksum stays without one.
///
/// `quote`: the packet is an ICMP error, and the packet in it gets these ends (RFC 5508 4); the
/// error's own checksum is computed anew, so it must have been right before.
void rewrite(Packet& packet, const FlowPacket& flow, const FlowTuple& to,
             const std::optional<FlowTuple>& quote, BlockPool& pool);

/// The checksum of an ICMP or ICMPv6 message is right, or the device vouches for it.
bool icmp_checksum_ok(const Packet& packet, const FlowPacket& flow);

}  // namespace vpollnet::filter
