// SPDX-License-Identifier: MIT
#include "host/links/flow_hash.hpp"

#include <algorithm>
#include <span>

#include "wire/bytes.hpp"
#include "wire/ethernet.hpp"

namespace vpollnet::host {
namespace {

constexpr std::uint32_t kFnvOffset = 2166136261;
constexpr std::uint32_t kFnvPrime = 16777619;
constexpr std::uint8_t kTcp = 6;
constexpr std::uint8_t kUdp = 17;
constexpr std::size_t kPorts = 4;
constexpr std::size_t kIpv6Header = 40;
/// Ethernet, IPv4 with all options, ports.
constexpr std::size_t kLooksAt = wire::kEthernetHeader + 60 + kPorts;

/// FNV-1a.
std::uint32_t mix(std::uint32_t hash, std::span<const std::uint8_t> bytes) {
  for (const std::uint8_t byte : bytes) hash = (hash ^ byte) * kFnvPrime;
  return hash;
}

bool has_ports(std::uint8_t protocol) { return protocol == kTcp || protocol == kUdp; }

}  // namespace

std::uint32_t flow_hash_bytes(std::span<const std::uint8_t> bytes) {
  return mix(kFnvOffset, bytes);
}

std::uint32_t flow_hash(Packet& frame, BlockPool& pool) {
  const auto bytes = frame.contiguous(std::min(frame.size(), kLooksAt), pool);
  const auto header = wire::parse_ethernet(bytes);
  if (!header) return kFnvOffset;
  const auto ip = bytes.subspan(wire::kEthernetHeader);
  // RFC 791 3.1
  if (header->type == wire::kEtherIpv4 && ip.size() >= 20) {
    std::uint32_t hash = mix(mix(kFnvOffset, ip.subspan(12, 8)), ip.subspan(9, 1));
    const std::size_t length = std::size_t{ip[0]} % 16 * 4;
    const bool fragment = (wire::load16(&ip[6]) & 0x3fff) != 0;
    if (has_ports(ip[9]) && !fragment && length >= 20 && ip.size() >= length + kPorts) {
      hash = mix(hash, ip.subspan(length, kPorts));
    }
    return hash;
  }
  // RFC 8200 3
  if (header->type == wire::kEtherIpv6 && ip.size() >= kIpv6Header) {
    std::uint32_t hash = mix(mix(kFnvOffset, ip.subspan(8, 32)), ip.subspan(6, 1));
    if (has_ports(ip[6]) && ip.size() >= kIpv6Header + kPorts) {
      hash = mix(hash, ip.subspan(kIpv6Header, kPorts));
    }
    return hash;
  }
  return mix(kFnvOffset, bytes.first(12));
}

}  // namespace vpollnet::host
