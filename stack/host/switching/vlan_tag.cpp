// SPDX-License-Identifier: MIT
#include "host/switching/vlan_tag.hpp"

#include <cstring>

#include "host/links/headroom.hpp"
#include "wire/bytes.hpp"
#include "wire/ethernet.hpp"

namespace vpollnet::host {
namespace {

constexpr std::size_t kAddresses = 12;
constexpr std::size_t kControl = kAddresses + 2;

}  // namespace

void insert_vlan_tag(Packet& frame, std::uint16_t control, BlockPool& pool) {
  make_headroom(frame, wire::kVlanTag, pool);
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
