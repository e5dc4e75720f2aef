// SPDX-License-Identifier: MIT
// Valid packets with a few bytes changed and cut anywhere, to every parser. The sanitizers judge.
#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

#include "wire/arp.hpp"
#include "wire/bytes.hpp"
#include "wire/ethernet.hpp"
#include "wire/icmpv6.hpp"
#include "wire/ipv4.hpp"
#include "wire/ipv6.hpp"
#include "wire/ndp.hpp"
#include "wire/tcp.hpp"
#include "wire/udp.hpp"

namespace vpollnet::wire {
namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes hex(const char* text) {
  Bytes bytes;
  for (; text[0] != '\0' && text[1] != '\0'; text += 2)
    bytes.push_back(static_cast<std::uint8_t>(std::stoi(std::string(text, 2), nullptr, 16)));
  return bytes;
}

std::vector<Bytes> seeds() {
  std::vector<Bytes> all;
  // TCP with MSS, SACK permitted, timestamps and window scale; then with SACK blocks.
  all.push_back(hex("9c400050fffffff001020304b0c2ffff00000009020405b40101040201010"
                    "80a112233445566778801030307"));
  all.push_back(hex("9c4000500000000001020304f010ffff00000000"
                    "0101080a0000000100000002"
                    "0101051a000000010000000200000003000000040000000500000006"));
  // IPv4 with a source route, record route and router alert; IPv6 with four extension headers.
  all.push_back(hex("4a000036123400003f11000001020304050607088307040a00000101"
                    "0707040000000001940400000000000000000000000000000000"));
  all.push_back(
      hex("60000000003800ff20010db800000000000000000000000120010db8000000000000000000000002"
          "2b00050200000100"
          "3c000000000000002c000104000000001100000100000007"
          "04d2003500180000aabbccddeeff00112233445566778899"));
  // Router advertisement with link-layer address, MTU, prefix and RDNSS.
  all.push_back(hex("86000000408807080000753000000"
                    "3e801010200000000070501000000000578"
                    "030440c0ffffffff0000384000000000fd000000000000000000000000000000"
                    "1903000000000258fd000000000000000000000000000053"));
  all.push_back(
      hex("8700000000000000fe80000000000000000000000000000201010200000000070e01010203040506"));
  all.push_back(hex("8800000060000000fe8000000000000000000000000000020201020000000007"));
  all.push_back(hex(
      "8900000000000000fe80000000000000000000000000000920010db800000000000000000000000502010200000"
      "00007"));
  all.push_back(hex("ffffffffffff0200000000010806000108000604000102000000000"
                    "10a0000010000000000000a000002"));
  return all;
}

int parse_all(std::span<const std::uint8_t> bytes) {
  const NdpEnvelope envelope{*IpAddress::parse("fe80::1"), *IpAddress::parse("fe80::2"), 255};
  int accepted = 0;
  accepted += parse_ethernet(bytes).has_value();
  accepted += ethernet_payload(bytes).has_value();
  accepted += parse_arp(bytes).has_value();
  accepted += parse_udp(bytes, bytes.size()).has_value();
  accepted += parse_tcp(bytes).has_value();
  accepted += parse_ipv4(bytes, bytes.size()).has_value();
  accepted += parse_icmpv4(bytes).has_value();
  accepted += parse_icmpv4_quote(bytes).has_value();
  accepted += parse_icmpv6_quote(bytes).has_value();
  accepted += parse_neighbour_solicitation(bytes, envelope).has_value();
  accepted += parse_neighbour_advertisement(bytes, envelope).has_value();
  accepted += parse_router_solicitation(bytes, envelope).has_value();
  accepted += parse_router_advertisement(bytes, envelope).has_value();
  accepted += parse_redirect(bytes, envelope).has_value();
  if (parse_ipv6(bytes, bytes.size())) {
    for (const bool reassembled : {false, true}) {
      const Ipv6Chain chain = walk_ipv6(bytes, reassembled);
      if (chain.verdict == Ipv6Chain::Verdict::upper ||
          chain.verdict == Ipv6Chain::Verdict::fragment) {
        REQUIRE(chain.offset <= bytes.size());
        REQUIRE(chain.protocol_field < bytes.size());
        accepted++;
      }
    }
  }
  return accepted;
}

TEST_CASE("mutated packets are parsed within their bounds") {
  std::mt19937 random(20240601);
  const std::vector<Bytes> all = seeds();
  long accepted = 0;
  constexpr std::uint8_t kEdges[] = {0, 1, 2, 3, 7, 8, 0x7f, 0x80, 0xfe, 0xff};
  for (int round = 0; round < 200'000; round++) {
    const Bytes& seed = all[random() % all.size()];
    const std::size_t length = random() % 4 == 0 ? random() % (seed.size() + 1) : seed.size();
    // Exactly as long as it is, so that a byte read behind it is a byte of nobody.
    const std::unique_ptr<std::uint8_t[]> bytes(new std::uint8_t[length]);
    std::copy_n(seed.begin(), length, bytes.get());
    for (unsigned i = 0, count = random() % 5; i < count && length > 0; i++) {
      const std::uint32_t value = random();
      bytes[random() % length] = value % 2 == 0 ? kEdges[value / 2 % std::size(kEdges)]
                                                : static_cast<std::uint8_t>(value >> 8);
    }
    accepted += parse_all({bytes.get(), length});
  }
  CHECK(accepted > 200'000);  // the seeds do reach the parsers
}

TEST_CASE("the seeds are what they are meant to be") {
  const std::vector<Bytes> all = seeds();
  const NdpEnvelope envelope{*IpAddress::parse("fe80::1"), *IpAddress::parse("fe80::2"), 255};
  REQUIRE(parse_tcp(all[0]));
  CHECK(parse_tcp(all[0])->header.timestamps);
  REQUIRE(parse_tcp(all[1]));
  CHECK(parse_tcp(all[1])->header.sack_count == 3);
  REQUIRE(parse_ipv4(all[2], all[2].size()));
  CHECK(parse_ipv4(all[2], all[2].size())->source_route);
  CHECK(walk_ipv6(all[3]).verdict == Ipv6Chain::Verdict::fragment);
  REQUIRE(parse_router_advertisement(all[4], envelope));
  CHECK(parse_router_advertisement(all[4], envelope)->server_count == 1);
  REQUIRE(parse_neighbour_solicitation(all[5], envelope));
  CHECK(parse_neighbour_solicitation(all[5], envelope)->nonce);
  REQUIRE(parse_neighbour_advertisement(all[6], envelope));
  CHECK(parse_neighbour_advertisement(all[6], envelope)->target_mac);
  REQUIRE(parse_redirect(all[7], envelope));
  CHECK(parse_redirect(all[7], envelope)->target_mac);
  CHECK(parse_arp(std::span(all[8]).subspan(14)));
}

}  // namespace
}  // namespace vpollnet::wire
