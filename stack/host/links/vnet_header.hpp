// SPDX-License-Identifier: MIT
// struct virtio_net_hdr, which TAP and TUN (IFF_VNET_HDR) and packet sockets put before each
// frame, as the packet's own words: partial checksum and segment size. virtio 1.2, 5.1.6.
#pragma once

#include <cstdint>

#include "stack.hpp"
#include "util/packet.hpp"

namespace vpollnet::host {

/// The legacy header, in the machine's byte order. <linux/virtio_net.h> is not C++ in each release.
struct VnetHeader {
  enum Flags : std::uint8_t { kNeedsChecksum = 1, kDataValid = 2 };
  enum GsoType : std::uint8_t { kNone = 0, kTcpIpv4 = 1, kTcpIpv6 = 4, kUdp = 5, kEcn = 0x80 };

  std::uint8_t flags = 0;
  std::uint8_t gso_type = kNone;
  std::uint16_t header_length = 0;    ///< hdr_len: all headers, up to the transport's
  std::uint16_t gso_size = 0;         ///< payload bytes of each segment
  std::uint16_t checksum_start = 0;   ///< csum_start
  std::uint16_t checksum_offset = 0;  ///< csum_offset: the field's place from checksum_start
};
static_assert(sizeof(VnetHeader) == 10);

/// The header for a frame that goes out.
VnetHeader to_vnet_header(const Packet& frame, LinkType type);

/// Puts what `header` says into `frame`. False when it cannot be true of a frame of this size: the
/// frame is to be dropped.
bool apply_vnet_header(const VnetHeader& header, Packet& frame);

}  // namespace vpollnet::host
