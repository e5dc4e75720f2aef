// SPDX-License-Identifier: MIT
#include "wire/ethernet.hpp"

#include "wire/bytes.hpp"

namespace vpollnet::wire {

std::optional<EthernetHeader> parse_ethernet(std::span<const std::uint8_t> bytes) {
  if (bytes.size() < kEthernetHeader) return std::nullopt;
  return EthernetHeader{load_mac(&bytes[0]), load_mac(&bytes[6]), load16(&bytes[12])};
}

std::optional<EthernetPayload> ethernet_payload(std::span<const std::uint8_t> bytes) {
  for (std::size_t offset = kEthernetHeader; bytes.size() >= offset; offset += kVlanTag) {
    const std::uint16_t type = load16(&bytes[offset - 2]);
    const bool tag = type == kEtherVlan || type == kEtherServiceVlan;
    if (!tag || offset >= kEthernetTagged) return EthernetPayload{offset, type};
  }
  return std::nullopt;
}

void emit_ethernet(const EthernetHeader& header, std::span<std::uint8_t> out) {
  store_mac(&out[0], header.destination);
  store_mac(&out[6], header.source);
  store16(&out[12], header.type);
}

}  // namespace vpollnet::wire
