// SPDX-License-Identifier: MIT
#include "host/links/vnet_header.hpp"

#include <doctest/doctest.h>

#include <array>
#include <vector>

using namespace vpollnet;
using namespace vpollnet::host;

namespace {

/// Ethernet, an IP header of `ip_header` bytes, TCP with 12 bytes of options, and a payload.
Packet large_segment(BlockPool& pool, bool ipv6, std::size_t payload, bool ethernet = true) {
  const std::size_t link = ethernet ? 14 : 0;
  const std::size_t ip_header = ipv6 ? 40 : 20;
  std::vector<std::uint8_t> bytes(link + ip_header + 32 + payload);
  if (ethernet) {
    bytes[12] = ipv6 ? 0x86 : 0x08;
    bytes[13] = ipv6 ? 0xdd : 0x00;
  }
  bytes[link] = ipv6 ? 0x60 : 0x45;
  bytes[link + ip_header + 12] = 8 << 4;
  Packet packet(pool.copy(bytes));
  packet.checksum = ChecksumState::partial;
  packet.checksum_from_end = static_cast<std::uint32_t>(32 + payload);
  packet.checksum_field = 16;
  packet.gso_size = 1448;
  return packet;
}

}  // namespace

TEST_CASE("a finished frame has an empty vnet header") {
  BlockPool pool;
  const std::vector<std::uint8_t> bytes(60);
  const VnetHeader header = to_vnet_header(Packet(pool.copy(bytes)), LinkType::ethernet);
  CHECK(header.flags == 0);
  CHECK(header.gso_type == VnetHeader::kNone);
}

TEST_CASE("a large segment names its checksum, its headers and its segment size") {
  BlockPool pool;
  VnetHeader header = to_vnet_header(large_segment(pool, false, 9000), LinkType::ethernet);
  CHECK(header.flags == VnetHeader::kNeedsChecksum);
  CHECK(header.gso_type == VnetHeader::kTcpIpv4);
  CHECK(header.checksum_start == 34);
  CHECK(header.checksum_offset == 16);
  CHECK(header.header_length == 66);
  CHECK(header.gso_size == 1448);
  header = to_vnet_header(large_segment(pool, true, 9000), LinkType::ethernet);
  CHECK(header.gso_type == VnetHeader::kTcpIpv6);
  CHECK(header.header_length == 86);
  header = to_vnet_header(large_segment(pool, true, 9000, false), LinkType::ip);
  CHECK(header.gso_type == VnetHeader::kTcpIpv6);
  CHECK(header.checksum_start == 40);
}

TEST_CASE("one segment's worth goes without a segment size") {
  BlockPool pool;
  const VnetHeader header = to_vnet_header(large_segment(pool, false, 1448), LinkType::ethernet);
  CHECK(header.flags == VnetHeader::kNeedsChecksum);
  CHECK(header.gso_type == VnetHeader::kNone);
  CHECK(header.gso_size == 0);
}

TEST_CASE("what a header says comes back in the packet") {
  BlockPool pool;
  const Packet sent = large_segment(pool, false, 9000);
  std::vector<std::uint8_t> bytes(sent.size());
  sent.copy_out(0, bytes);
  Packet received(pool.copy(bytes));
  REQUIRE(apply_vnet_header(to_vnet_header(sent, LinkType::ethernet), received));
  CHECK(received.checksum == ChecksumState::partial);
  CHECK(received.checksum_from_end == sent.checksum_from_end);
  CHECK(received.checksum_field == 16);
  CHECK(received.gso_size == 1448);
  Packet checked(pool.copy(bytes));
  REQUIRE(apply_vnet_header({.flags = VnetHeader::kDataValid}, checked));
  CHECK(checked.checksum == ChecksumState::valid);
}

TEST_CASE("a header that points behind the frame is refused") {
  BlockPool pool;
  const std::vector<std::uint8_t> bytes(60);
  Packet frame(pool.copy(bytes));
  VnetHeader header{.flags = VnetHeader::kNeedsChecksum};
  header.checksum_start = 50;
  header.checksum_offset = 9;
  CHECK_FALSE(apply_vnet_header(header, frame));
  header.checksum_start = 65535;
  header.checksum_offset = 65535;
  CHECK_FALSE(apply_vnet_header(header, frame));
  CHECK_FALSE(apply_vnet_header({.gso_type = VnetHeader::kTcpIpv4}, frame));
}

TEST_CASE("a large segment behind VLAN tags is told by its own protocol") {
  BlockPool pool;
  for (const bool ipv6 : {false, true}) {
    for (const std::size_t tags : {1u, 2u}) {
      Packet packet = large_segment(pool, ipv6, 9000);
      std::vector<std::uint8_t> bytes(packet.size());
      packet.copy_out(0, bytes);
      for (std::size_t i = 0; i < tags; i++) {
        const std::array<std::uint8_t, 4> tag{i == 0 ? std::uint8_t{0x81} : std::uint8_t{0x88},
                                              i == 0 ? std::uint8_t{0} : std::uint8_t{0xa8}, 0, 10};
        bytes.insert(bytes.begin() + 12, tag.begin(), tag.end());
      }
      Packet tagged(pool.copy(bytes));
      tagged.gso_size = packet.gso_size;
      tagged.checksum = packet.checksum;
      tagged.checksum_from_end = packet.checksum_from_end;
      tagged.checksum_field = packet.checksum_field;
      const VnetHeader header = to_vnet_header(tagged, LinkType::ethernet);
      CHECK(header.gso_type == (ipv6 ? VnetHeader::kTcpIpv6 : VnetHeader::kTcpIpv4));
      CHECK(header.checksum_start == 14 + 4 * tags + (ipv6 ? 40 : 20));
      CHECK(header.header_length == header.checksum_start + 32);
    }
  }
}
