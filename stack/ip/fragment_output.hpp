// SPDX-License-Identifier: MIT
// Cutting packets of this host that are larger than the path (RFC 791 3.2, RFC 8200 4.5).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "util/packet.hpp"

namespace vpollnet::ip {

/// Cuts `packet`, an IPv4 packet from its header on, into fragments of at most `mtu` bytes, under
/// the identification that its header has; the bodies are shared. Its transport checksum must be in
/// it already: no ChecksumState::partial. None if the header forbids it (DF), if `mtu` leaves no
/// room for eight bytes of data, or if there is no header.
std::vector<Packet> fragment_ipv4(Packet&& packet, std::size_t mtu, BlockPool& pool);

/// The same for an IPv6 packet without extension headers, or with a Hop-by-Hop header alone, which
/// goes with each fragment. `identification` must be hard to guess (RFC 7739). A packet that fits
/// comes back as it is: no atomic fragments (RFC 8021).
std::vector<Packet> fragment_ipv6(Packet&& packet, std::size_t mtu, std::uint32_t identification,
                                  BlockPool& pool);

}  // namespace vpollnet::ip
