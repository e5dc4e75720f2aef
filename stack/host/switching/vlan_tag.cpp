// SPDX-License-Identifier: MIT
#include "host/switching/vlan_tag.hpp"

#include <cstring>

#include "wire/bytes.hpp"
#include "wire/ethernet.hpp"

namespace vpollnet::host {
namespace {

constexpr std::size_t kAddresses = 12;
constexpr std::size_t kControl = kAddresses + 2;

/// The same frame with its head empty, for one whose head has no room left: a device may have made
/// us pull many bytes there.
void empty_head(Packet& frame, BlockPool& pool) {
  Packet moved;
  moved.gso_size = frame.gso_size;
  moved.checksum = frame.checksum;
  moved.checksum_from_end = frame.checksum_from_end;
  moved.checksum_field = frame.checksum_field;
  for (Slice& slice : frame.take_body(pool)) moved.append(std::move(slice));
  frame = std::move(moved);
}

}  // namespace

void insert_vlan_tag(Packet& frame, std::uint16_t control, BlockPool& pool) {
  if (frame.head_size() + wire::kVlanTag > Packet::kHeadCapacity) empty_head(frame, pool);
  frame.writable(kAddresses, pool);
  frame.prepend(wire::kVlanTag);
  const auto bytes = frame.writable(kControl + 2, pool);
  std::memmove(bytes.data(), bytes.data() + wire::kVlanTag, kAddresses);
  wire::store16(&bytes[kAddresses], wire::kEtherVlan);
  wire::store16(&bytes[kControl], control);
}

void remove_vlan_tag(Packet& frame, BlockPool& pool) {
  const auto bytes = frame.writable(kAddresses + wire::kVlanTag, pool);
  std::memmove(bytes.data() + wire::kVlanTag, bytes.data(), kAddresses);
  frame.trim_front(wire::kVlanTag);
}

void rewrite_vlan_tag(Packet& frame, std::uint16_t control, BlockPool& pool) {
  wire::store16(&frame.writable(kControl + 2, pool)[kControl], control);
}

}  // namespace vpollnet::host
