// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <array>
#include <vector>

#include "wire/arp.hpp"
#include "wire/bytes.hpp"
#include "wire/ethernet.hpp"
#include "wire/udp.hpp"

namespace vpollnet::wire {
namespace {

TEST_CASE("[L01] Ethernet headers come back, and nothing shorter is one") {
  const EthernetHeader header{MacAddress::broadcast(), *MacAddress::parse("02:00:00:00:00:01"),
                              kEtherArp};
  std::array<std::uint8_t, kEthernetHeader> bytes{};
  emit_ethernet(header, bytes);
  CHECK(parse_ethernet(bytes) == header);
  for (std::size_t length = 0; length < bytes.size(); length++)
    CHECK_FALSE(parse_ethernet(std::span(bytes).first(length)));
}

TEST_CASE("what is behind VLAN tags is found, up to two of them, and never past the end") {
  const auto with_tags = [](std::initializer_list<std::uint16_t> types) {
    std::vector<std::uint8_t> bytes(12);
    for (const std::uint16_t type : types) {
      bytes.insert(bytes.end(),
                   {static_cast<std::uint8_t>(type >> 8), static_cast<std::uint8_t>(type), 0, 7});
    }
    // The type of the payload has no tag control.
    bytes.erase(bytes.end() - 2, bytes.end());
    return bytes;
  };
  const auto check = [](const std::vector<std::uint8_t>& bytes, std::size_t offset,
                        std::uint16_t type) {
    const auto payload = ethernet_payload(bytes);
    REQUIRE(payload.has_value());
    CHECK(payload->offset == offset);
    CHECK(payload->type == type);
    for (std::size_t length = 0; length < bytes.size(); length++) {
      CHECK_FALSE(ethernet_payload(std::span(bytes).first(length)).has_value());
    }
  };
  check(with_tags({kEtherIpv4}), 14, kEtherIpv4);
  check(with_tags({kEtherVlan, kEtherIpv6}), 18, kEtherIpv6);
  check(with_tags({kEtherServiceVlan, kEtherVlan, kEtherIpv6}), 22, kEtherIpv6);
  check(with_tags({kEtherVlan, kEtherVlan, kEtherVlan}), 22, kEtherVlan);
}

TEST_CASE("[L01] ARP packets come back, and one wrong length or type is enough to refuse one") {
  const ArpPacket packet{kArpReply, *MacAddress::parse("02:00:00:00:00:01"),
                         *IpAddress::parse("10.0.0.1"), *MacAddress::parse("02:00:00:00:00:02"),
                         *IpAddress::parse("10.0.0.2")};
  std::array<std::uint8_t, kArpSize> bytes{};
  emit_arp(packet, bytes);
  CHECK(parse_arp(bytes) == packet);
  for (std::size_t length = 0; length < bytes.size(); length++)
    CHECK_FALSE(parse_arp(std::span(bytes).first(length)));
  for (std::size_t field = 0; field < 8; field++) {
    for (const std::uint8_t value : {0x03, 0x05, 0x07, 0xff}) {
      auto wrong = bytes;
      wrong[field] = value;
      CHECK_FALSE(parse_arp(wrong));
    }
  }
}

TEST_CASE("[U01] UDP headers come back; lengths below eight or beyond the packet are refused") {
  const UdpHeader header{1234, 53, 20, 0xabcd};
  std::array<std::uint8_t, kUdpHeader> bytes{};
  emit_udp(header, bytes);
  CHECK(parse_udp(bytes, 20) == header);
  CHECK(parse_udp(bytes, 100) == header);
  CHECK_FALSE(parse_udp(bytes, 19));
  for (std::size_t length = 0; length < bytes.size(); length++)
    CHECK_FALSE(parse_udp(std::span(bytes).first(length), 20));
  for (std::uint16_t length = 0; length < 8; length++) {
    store16(&bytes[4], length);
    CHECK_FALSE(parse_udp(bytes, 20));
  }
}

}  // namespace
}  // namespace vpollnet::wire
