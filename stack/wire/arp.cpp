// SPDX-License-Identifier: MIT
#include "wire/arp.hpp"

#include "wire/bytes.hpp"
#include "wire/ethernet.hpp"

namespace vpollnet::wire {

namespace {
constexpr std::uint16_t kHardwareEthernet = 1;
constexpr std::uint8_t kMacLength = 6;
constexpr std::uint8_t kIpv4Length = 4;
}  // namespace

std::optional<ArpPacket> parse_arp(std::span<const std::uint8_t> bytes) {
  if (bytes.size() < kArpSize) return std::nullopt;
  // RFC 826, "Packet Reception": the hardware and protocol types, and optionally their lengths.
  if (load16(&bytes[0]) != kHardwareEthernet || load16(&bytes[2]) != kEtherIpv4)
    return std::nullopt;
  if (bytes[4] != kMacLength || bytes[5] != kIpv4Length) return std::nullopt;
  ArpPacket packet;
  packet.operation = load16(&bytes[6]);
  if (packet.operation != kArpRequest && packet.operation != kArpReply) return std::nullopt;
  packet.sender_mac = load_mac(&bytes[8]);
  packet.sender = IpAddress::from_bytes(bytes.subspan(14, 4));
  packet.target_mac = load_mac(&bytes[18]);
  packet.target = IpAddress::from_bytes(bytes.subspan(24, 4));
  return packet;
}

void emit_arp(const ArpPacket& packet, std::span<std::uint8_t> out) {
  store16(&out[0], kHardwareEthernet);
  store16(&out[2], kEtherIpv4);
  out[4] = kMacLength;
  out[5] = kIpv4Length;
  store16(&out[6], packet.operation);
  store_mac(&out[8], packet.sender_mac);
  store_address(&out[14], packet.sender);
  store_mac(&out[18], packet.target_mac);
  store_address(&out[24], packet.target);
}

}  // namespace vpollnet::wire
