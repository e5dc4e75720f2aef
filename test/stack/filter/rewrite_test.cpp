// SPDX-License-Identifier: MIT
#include "filter/rewrite.hpp"

#include <doctest/doctest.h>

#include "link/offload.hpp"
#include "test/stack/support/router.hpp"

namespace vpollnet::test {
namespace {

using filter::FlowTuple;
using filter::read_flow;

Bytes bytes_of(const Packet& packet) {
  Bytes bytes(packet.size());
  packet.copy_out(0, bytes);
  return bytes;
}

/// The same ends, each changed.
FlowTuple changed(FlowTuple tuple) {
  const bool v4 = tuple.source.is_v4();
  tuple.source = v4 ? ip("203.0.113.200") : ip("2001:db8:77::99");
  tuple.destination = v4 ? ip("192.0.2.1") : ip("2001:db8:1234:5678:9abc:def0:1:2");
  if (tuple.protocol == 6 || tuple.protocol == 17 || tuple.echo == filter::EchoKind::request) {
    tuple.source_port = 61'000;
  }
  if (tuple.protocol == 6 || tuple.protocol == 17) tuple.destination_port = 3;
  return tuple;
}

std::vector<Bytes> samples() {
  std::vector<Bytes> all;
  for (const auto& [a, b] :
       {std::pair{ip("10.1.0.2"), ip("198.51.100.7")}, {ip("fd01::2"), ip("2001:db8::7")}}) {
    for (const std::size_t size : {0u, 1u, 33u, 1000u}) {
      all.push_back(udp_packet(a, 1000, b, 53, pattern(size)));
      all.push_back(tcp_packet(a, 1000, b, 443, wire::kAck, 5, 6, pattern(size)));
    }
    all.push_back(echo_packet(a, b, true, 0x1234));
  }
  return all;
}

TEST_CASE("a packet gets other ends, and all its checksums stay right (RFC 1624)") {
  BlockPool pool;
  for (const Bytes& bytes : samples()) {
    Packet packet = packet_of(bytes, pool);
    const auto flow = read_flow(packet, pool);
    REQUIRE(flow);
    const FlowTuple to = changed(flow->tuple);
    filter::rewrite(packet, *flow, to, std::nullopt, pool);
    const Ends ends = ends_of(bytes_of(packet));
    CHECK(ends.source == to.source);
    CHECK(ends.destination == to.destination);
    if (to.protocol == 6 || to.protocol == 17) {
      CHECK(ends.source_port == 61'000);
      CHECK(ends.destination_port == 3);
    } else {
      CHECK(ends.source_port == 61'000);
    }
    // And back again it is the packet that it was.
    filter::rewrite(packet, *read_flow(packet, pool), flow->tuple, std::nullopt, pool);
    CHECK(bytes_of(packet) == bytes);
  }
}

TEST_CASE("a checksum that is left for the device stays so, with the new ends in it") {
  BlockPool pool;
  for (const Bytes& bytes : samples()) {
    Packet packet = packet_of(bytes, pool);
    auto flow = read_flow(packet, pool);
    if (flow->tuple.protocol != 6 && flow->tuple.protocol != 17) continue;
    const std::size_t field = flow->tuple.protocol == 6 ? 16 : 6;
    const auto length = static_cast<std::uint32_t>(bytes.size() - flow->transport);
    const auto pseudo = wire::pseudo_header(flow->tuple.source, flow->tuple.destination,
                                            flow->tuple.protocol, length);
    Bytes partial = bytes;
    wire::store16(&partial[flow->transport + field], pseudo.folded());
    packet = packet_of(partial, pool);
    packet.checksum = ChecksumState::partial;
    packet.checksum_from_end = length;
    packet.checksum_field = static_cast<std::uint16_t>(field);
    filter::rewrite(packet, *flow, changed(flow->tuple), std::nullopt, pool);
    CHECK(packet.checksum == ChecksumState::partial);
    link::finish_checksum(packet, pool);
    CHECK(ends_of(bytes_of(packet)).source_port == 61'000);
  }
}

TEST_CASE("a UDP datagram without a checksum gets none (RFC 768)") {
  BlockPool pool;
  Bytes bytes = udp_packet(ip("10.0.0.1"), 1, ip("10.0.0.2"), 2);
  wire::store16(&bytes[26], 0);
  Packet packet = packet_of(bytes, pool);
  const auto flow = read_flow(packet, pool);
  filter::rewrite(packet, *flow, changed(flow->tuple), std::nullopt, pool);
  CHECK(wire::load16(&bytes_of(packet)[26]) == 0);
}

TEST_CASE("a checksum that was wrong stays wrong") {
  BlockPool pool;
  Bytes bytes = tcp_packet(ip("10.0.0.1"), 1, ip("10.0.0.2"), 2, wire::kSyn);
  bytes[36] ^= 1;
  Packet packet = packet_of(bytes, pool);
  const auto flow = read_flow(packet, pool);
  filter::rewrite(packet, *flow, changed(flow->tuple), std::nullopt, pool);
  CHECK(ends_of(bytes_of(packet)) == Ends{});
}

TEST_CASE("an ICMP error gets other ends outside and inside (RFC 5508 4.2)") {
  BlockPool pool;
  for (const auto& [a, b, router] :
       {std::tuple{ip("192.0.2.1"), ip("198.51.100.7"), ip("198.51.100.1")},
        {ip("2001:db8:9::1"), ip("2001:db8::7"), ip("2001:db8::1")}}) {
    for (const Bytes& about :
         {udp_packet(a, 1000, b, 53, pattern(100)), tcp_packet(a, 1000, b, 443, wire::kSyn),
          echo_packet(a, b, true, 7)}) {
      const Bytes bytes = a.is_v4()
                              ? ipv4({.protocol = 1, .source = router, .destination = a},
                                     icmpv4({wire::kIcmpv4TimeExceeded, 0, 0}, about))
                              : ipv6({.next_header = 58, .source = router, .destination = a},
                                     icmpv6(router, a, {wire::kIcmpv6TimeExceeded, 0, 0}, about));
      Packet packet = packet_of(bytes, pool);
      const auto flow = read_flow(packet, pool);
      REQUIRE(flow->quote);
      CHECK(filter::icmp_checksum_ok(packet, *flow));
      FlowTuple inner = flow->quote->tuple;
      inner.source = a.is_v4() ? ip("10.1.0.2") : ip("fd01::2");
      inner.source_port = 4321;
      FlowTuple outer = flow->tuple;
      outer.destination = inner.source;
      filter::rewrite(packet, *flow, outer, inner, pool);
      const Bytes result = bytes_of(packet);
      CHECK(ends_of(result).destination == inner.source);
      const std::size_t header = a.is_v4() ? 28 : 48;
      const Ends quoted =
          ends_of({result.begin() + static_cast<std::ptrdiff_t>(header), result.end()});
      CHECK(quoted.source == inner.source);
      CHECK(quoted.source_port == 4321);
      CHECK(quoted.destination == b);
    }
  }
}

TEST_CASE("packets of any bytes are read and rewritten within their bounds") {
  BlockPool pool;
  KeyedRandom random({11, 12});
  std::vector<Bytes> seeds = samples();
  const std::size_t plain = seeds.size();
  for (std::size_t i = 0; i < plain; i++) {
    const auto v4 = wire::parse_ipv4(seeds[i], SIZE_MAX);
    seeds.push_back(
        v4 ? ipv4({.protocol = 1, .source = ip("1.2.3.4"), .destination = ip("5.6.7.8")},
                  icmpv4({wire::kIcmpv4Unreachable, 3, 0}, seeds[i]))
           : ipv6({.next_header = 58, .source = ip("1::1"), .destination = ip("2::2")},
                  icmpv6(ip("1::1"), ip("2::2"), {wire::kIcmpv6Unreachable, 4, 0}, seeds[i])));
  }
  unsigned read = 0;
  for (int round = 0; round < 20'000; round++) {
    Bytes bytes = seeds[random.below(static_cast<std::uint32_t>(seeds.size()))];
    for (unsigned flips = random.below(4); flips > 0; flips--) {
      bytes[random.below(static_cast<std::uint32_t>(std::min<std::size_t>(bytes.size(), 120)))] =
          static_cast<std::uint8_t>(random.next());
    }
    if (random.below(3) == 0) {
      bytes.resize(random.below(static_cast<std::uint32_t>(bytes.size())) + 1);
      // Lengths that agree with the cut, so that it is seen behind the IP header too.
      if (bytes.size() >= 20 && bytes[0] >> 4 == 4) {
        wire::store16(&bytes[2], static_cast<std::uint16_t>(bytes.size()));
      } else if (bytes.size() >= 40) {
        wire::store16(&bytes[4], static_cast<std::uint16_t>(bytes.size() - 40));
      }
    }
    Packet packet = packet_of(bytes, pool);
    const auto flow = read_flow(packet, pool);
    if (!flow) continue;
    read++;
    const auto quote = flow->quote ? std::optional(changed(flow->quote->tuple)) : std::nullopt;
    filter::rewrite(packet, *flow, changed(flow->tuple), quote, pool);
    CHECK(packet.size() == bytes.size());
  }
  CHECK(read > 5000);
}

}  // namespace
}  // namespace vpollnet::test
