// SPDX-License-Identifier: MIT
#include "host/links/vnet_header.hpp"

#include <array>

#include "wire/ethernet.hpp"

namespace vpollnet::host {
namespace {

// RFC 9293 3.1. The checksum field's place tells TCP from UDP.
constexpr std::uint16_t kTcpChecksumField = 16;
constexpr std::size_t kTcpDataOffset = 12;

std::uint8_t byte_at(const Packet& frame, std::size_t offset) {
  std::array<std::uint8_t, 1> byte{};
  frame.copy_out(offset, byte);
  return byte[0];
}

bool is_ipv6(const Packet& frame, LinkType type) {
  if (type == LinkType::ip) return byte_at(frame, 0) >> 4 == 6;
  std::array<std::uint8_t, wire::kEthernetTagged> front{};
  const auto payload = wire::ethernet_payload(std::span(front).first(frame.copy_out(0, front)));
  return payload && payload->type == wire::kEtherIpv6;
}

}  // namespace

VnetHeader to_vnet_header(const Packet& frame, LinkType type) {
  VnetHeader header{};
  if (frame.checksum != ChecksumState::partial || frame.checksum_from_end > frame.size()) {
    return header;
  }
  const std::size_t start = frame.size() - frame.checksum_from_end;
  header.flags = VnetHeader::kNeedsChecksum;
  header.checksum_start = static_cast<std::uint16_t>(start);
  header.checksum_offset = frame.checksum_field;
  // Only TCP comes as a large packet (stack.hpp, Offloads).
  if (frame.gso_size == 0 || frame.checksum_field != kTcpChecksumField) return header;
  const std::size_t headers = start + std::size_t{byte_at(frame, start + kTcpDataOffset)} / 16 * 4;
  // One segment's worth is no large packet, and the kernel takes offence at some of those.
  if (frame.size() <= headers + frame.gso_size) return header;
  header.gso_type = is_ipv6(frame, type) ? VnetHeader::kTcpIpv6 : VnetHeader::kTcpIpv4;
  header.header_length = static_cast<std::uint16_t>(headers);
  header.gso_size = frame.gso_size;
  return header;
}

bool apply_vnet_header(const VnetHeader& header, Packet& frame) {
  if ((header.flags & VnetHeader::kNeedsChecksum) != 0) {
    if (std::size_t{header.checksum_start} + header.checksum_offset + 2 > frame.size())
      return false;
    frame.checksum = ChecksumState::partial;
    frame.checksum_from_end = static_cast<std::uint32_t>(frame.size() - header.checksum_start);
    frame.checksum_field = header.checksum_offset;
  } else if ((header.flags & VnetHeader::kDataValid) != 0) {
    frame.checksum = ChecksumState::valid;
  }
  if ((header.gso_type & ~VnetHeader::kEcn) != VnetHeader::kNone) {
    if (header.gso_size == 0) return false;
    frame.gso_size = header.gso_size;
  }
  return true;
}

}  // namespace vpollnet::host
