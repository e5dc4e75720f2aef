// SPDX-License-Identifier: MIT
// What a link without offloads needs done in software at its edge: checksums and segmentation.
#pragma once

#include <cstddef>
#include <functional>

#include "util/packet.hpp"

namespace vpollnet::link {

/// Completes a checksum that is ChecksumState::partial and leaves the packet `unverified`: nothing
/// is known of it that its bytes do not say. Does nothing in any other state.
void finish_checksum(Packet& packet, BlockPool& pool);

/// Bytes of the largest packet that segment() makes of `packet`, which begins with its IP header:
/// its own size without gso_size.
std::size_t segment_size(Packet& packet, BlockPool& pool);

/// Cuts a TCP or UDP packet with gso_size into packets of at most that much payload and hands each
/// to `emit`, in order; the bodies are shared. A packet without gso_size, or that has no more
/// payload than that, is handed on whole, with gso_size 0.
///
/// The packet begins with `link_header` bytes that are copied to the front of each piece, then an
/// IPv4 or IPv6 header without extension headers. `finish`: the link has no checksum offload
/// either, so checksums are completed; otherwise they are left ChecksumState::partial.
void segment(Packet&& packet, std::size_t link_header, bool finish, BlockPool& pool,
             const std::function<void(Packet&&)>& emit);

}  // namespace vpollnet::link
