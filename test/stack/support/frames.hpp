// SPDX-License-Identifier: MIT
// Frames by hand: each builder returns the bytes of one layer, to be put into the next.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "wire/arp.hpp"
#include "wire/bytes.hpp"
#include "wire/checksum.hpp"
#include "wire/ethernet.hpp"
#include "wire/icmpv4.hpp"
#include "wire/icmpv6.hpp"
#include "wire/ipv4.hpp"
#include "wire/ipv6.hpp"
#include "wire/ndp.hpp"
#include "wire/udp.hpp"

namespace vpollnet::test {

using Bytes = std::vector<std::uint8_t>;

inline IpAddress ip(std::string_view text) { return IpAddress::parse(text).value(); }
inline Cidr cidr(std::string_view text) { return Cidr::parse(text).value(); }
inline MacAddress mac(std::uint8_t last) { return {{2, 0, 0, 0, 0, last}}; }

inline Bytes pattern(std::size_t count) {
  Bytes bytes(count);
  for (std::size_t i = 0; i < count; i++) bytes[i] = static_cast<std::uint8_t>(i * 7 + i / 256);
  return bytes;
}

inline Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

inline Packet packet_of(std::span<const std::uint8_t> bytes, BlockPool& pool) {
  return Packet(pool.copy(bytes));
}

/// The Internet checksum of a message with its pseudo header, put in at `field`.
inline void fill_checksum(Bytes& message, std::size_t field, const IpAddress& source,
                          const IpAddress& destination, std::uint8_t protocol) {
  wire::store16(&message[field], 0);
  wire::Checksum sum = wire::pseudo_header(source, destination, protocol,
                                           static_cast<std::uint32_t>(message.size()));
  sum.add(message);
  wire::store16(&message[field], sum.finish());
}

inline Bytes ethernet(const MacAddress& to, const MacAddress& from, std::uint16_t type,
                      const Bytes& payload) {
  Bytes bytes(wire::kEthernetHeader);
  wire::emit_ethernet({to, from, type}, bytes);
  return bytes + payload;
}

inline Bytes arp(const wire::ArpPacket& packet) {
  Bytes bytes(wire::kArpSize);
  wire::emit_arp(packet, bytes);
  return bytes;
}

inline Bytes ipv4(wire::Ipv4Header header, const Bytes& payload) {
  header.payload_length = static_cast<std::uint16_t>(payload.size());
  Bytes bytes(wire::ipv4_size(header));
  wire::emit_ipv4(header, bytes);
  return bytes + payload;
}

inline Bytes ipv6(wire::Ipv6Header header, const Bytes& payload) {
  header.payload_length = static_cast<std::uint16_t>(payload.size());
  Bytes bytes(wire::kIpv6Header);
  wire::emit_ipv6(header, bytes);
  return bytes + payload;
}

/// With its checksum, for the family of the addresses.
inline Bytes udp(const IpAddress& source, const IpAddress& destination, std::uint16_t from,
                 std::uint16_t to, const Bytes& payload) {
  Bytes bytes(wire::kUdpHeader);
  wire::emit_udp({from, to, static_cast<std::uint16_t>(wire::kUdpHeader + payload.size()), 0},
                 bytes);
  bytes = bytes + payload;
  fill_checksum(bytes, wire::kUdpChecksumOffset, source, destination, 17);
  return bytes;
}

inline Bytes icmpv4(const wire::IcmpHeader& header, const Bytes& payload) {
  Bytes bytes(wire::kIcmpHeader);
  wire::emit_icmpv4(header, bytes);
  bytes = bytes + payload;
  wire::store16(&bytes[2], wire::checksum_of(bytes));
  return bytes;
}

inline Bytes icmpv6(const IpAddress& source, const IpAddress& destination,
                    const wire::IcmpHeader& header, const Bytes& payload) {
  Bytes bytes(wire::kIcmpHeader);
  wire::emit_icmpv6(header, bytes);
  bytes = bytes + payload;
  fill_checksum(bytes, 2, source, destination, 58);
  return bytes;
}

/// A neighbour discovery message in its IPv6 packet, hop limit 255.
inline Bytes ndp(const IpAddress& source, const IpAddress& destination,
                 const wire::NeighbourSolicitation& value, std::uint8_t hop_limit = 255) {
  Bytes bytes(wire::neighbour_solicitation_size(value));
  wire::emit_neighbour_solicitation(value, bytes);
  fill_checksum(bytes, 2, source, destination, 58);
  return ipv6(
      {.next_header = 58, .hop_limit = hop_limit, .source = source, .destination = destination},
      bytes);
}
inline Bytes ndp(const IpAddress& source, const IpAddress& destination,
                 const wire::NeighbourAdvertisement& value, std::uint8_t hop_limit = 255) {
  Bytes bytes(wire::neighbour_advertisement_size(value));
  wire::emit_neighbour_advertisement(value, bytes);
  fill_checksum(bytes, 2, source, destination, 58);
  return ipv6(
      {.next_header = 58, .hop_limit = hop_limit, .source = source, .destination = destination},
      bytes);
}

}  // namespace vpollnet::test
