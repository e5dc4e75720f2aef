// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "ip/fragment_output.hpp"
#include "ip/fragments.hpp"
#include "wire/bytes.hpp"
#include "wire/checksum.hpp"

namespace vpollnet::ip {
namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::uint8_t kUdp = 17;
constexpr std::uint8_t kTcp = 6;

Bytes all_bytes(const Packet& packet) {
  Bytes bytes(packet.size());
  packet.copy_out(0, bytes);
  return bytes;
}

Bytes pattern(std::size_t count) {
  Bytes bytes(count);
  for (std::size_t i = 0; i < count; i++) bytes[i] = static_cast<std::uint8_t>(i * 7 + i / 256);
  return bytes;
}

/// A reassembler with its surroundings, and short ways to feed it.
struct Bench {
  BlockPool pool;
  Budget budget{8u << 20};
  Fragments fragments;
  Nanos now = 0;

  explicit Bench(FragmentLimits limits = {}) : fragments(pool, budget, {1, 2}, limits) {}

  FragmentResult receive(Packet&& packet) {
    const auto bytes = packet.linear(pool);
    if (bytes[0] >> 4 == 4) {
      const auto parsed = wire::parse_ipv4(bytes, bytes.size());
      REQUIRE(parsed);
      REQUIRE(parsed->header.is_fragment());
      return fragments.add(*parsed, std::move(packet), now);
    }
    const auto header = wire::parse_ipv6(bytes, bytes.size());
    REQUIRE(header);
    const auto chain = wire::walk_ipv6(bytes);
    REQUIRE(chain.verdict == wire::Ipv6Chain::Verdict::fragment);
    return fragments.add(*header, chain, std::move(packet), now);
  }
  FragmentResult receive(const Bytes& bytes) { return receive(Packet(pool.copy(bytes))); }

  /// One fragment by hand, of either family.
  FragmentResult fragment(Family family, std::uint16_t offset, bool more, Bytes data,
                          std::uint32_t id = 1, std::uint8_t ecn = 0,
                          std::uint8_t protocol = kUdp) {
    Bytes packet;
    if (family == Family::ipv4) {
      wire::Ipv4Header header;
      header.identification = static_cast<std::uint16_t>(id);
      header.more_fragments = more;
      header.fragment_offset = offset;
      header.protocol = protocol;
      header.traffic_class = ecn;
      header.source = *IpAddress::parse("10.0.0.1");
      header.destination = *IpAddress::parse("10.0.0.2");
      header.payload_length = static_cast<std::uint16_t>(data.size());
      packet.resize(20);
      wire::emit_ipv4(header, packet);
    } else {
      wire::Ipv6Header header;
      header.traffic_class = ecn;
      header.next_header = wire::kNextFragment;
      header.source = *IpAddress::parse("fd00::1");
      header.destination = *IpAddress::parse("fd00::2");
      header.payload_length = static_cast<std::uint16_t>(data.size() + 8);
      packet.resize(48);
      wire::emit_ipv6(header, packet);
      wire::emit_ipv6_fragment({protocol, offset, more, id}, std::span(packet).subspan(40));
    }
    packet.insert(packet.end(), data.begin(), data.end());
    return receive(packet);
  }
};

Packet whole_packet(Family family, std::size_t size, BlockPool& pool) {
  const Bytes data = pattern(size - (family == Family::ipv4 ? 20 : 40));
  Packet packet(pool.copy(std::span(data).subspan(8)));
  std::copy_n(data.begin(), 8, packet.prepend(8).begin());  // a UDP header in the head
  if (family == Family::ipv4) {
    wire::Ipv4Header header;
    header.identification = 77;
    header.protocol = kUdp;
    header.source = *IpAddress::parse("10.0.0.1");
    header.destination = *IpAddress::parse("10.0.0.2");
    header.payload_length = static_cast<std::uint16_t>(data.size());
    wire::emit_ipv4(header, packet.prepend(20));
  } else {
    wire::Ipv6Header header;
    header.next_header = kUdp;
    header.source = *IpAddress::parse("fd00::1");
    header.destination = *IpAddress::parse("fd00::2");
    header.payload_length = static_cast<std::uint16_t>(data.size());
    wire::emit_ipv6(header, packet.prepend(40));
  }
  return packet;
}

std::vector<Packet> cut(Family family, Packet&& packet, std::size_t mtu, BlockPool& pool) {
  return family == Family::ipv4 ? fragment_ipv4(std::move(packet), mtu, pool)
                                : fragment_ipv6(std::move(packet), mtu, 0xabcdef01, pool);
}

constexpr Family kFamilies[] = {Family::ipv4, Family::ipv6};

TEST_CASE("what is cut up and comes in any order is whole again, byte for byte") {
  std::mt19937 random(1);
  for (const Family family : kFamilies) {
    for (const std::size_t size : {1281u, 1400u, 1501u, 2000u, 9000u, 40000u, 65535u}) {
      Bench bench;
      const Bytes original = all_bytes(whole_packet(family, size, bench.pool));
      auto fragments = cut(family, whole_packet(family, size, bench.pool), 1280, bench.pool);
      REQUIRE(fragments.size() >= 2);
      for (const Packet& fragment : fragments) CHECK(fragment.size() <= 1280);
      std::shuffle(fragments.begin(), fragments.end(), random);
      for (std::size_t i = 0; i + 1 < fragments.size(); i++) {
        const auto result = bench.receive(fragments[i].clone());
        CHECK_FALSE(result.complete);
        CHECK_FALSE(result.dropped);
        // The network may deliver a fragment twice.
        CHECK_FALSE(bench.receive(fragments[i].clone()).dropped);
      }
      auto result = bench.receive(std::move(fragments.back()));
      REQUIRE(result.complete);
      CHECK(all_bytes(*result.complete) == original);
      CHECK(bench.fragments.datagrams() == 0);
      CHECK(bench.fragments.bytes() == 0);
      CHECK(bench.budget.used() == 0);
    }
  }
}

TEST_CASE("a packet that fits is not cut, DF forbids it, and a tiny MTU makes it impossible") {
  BlockPool pool;
  for (const Family family : kFamilies) {
    CHECK(cut(family, whole_packet(family, 1280, pool), 1280, pool).size() == 1);
    CHECK(cut(family, whole_packet(family, 1280, pool), family == Family::ipv4 ? 27 : 55, pool)
              .empty());
    CHECK(cut(family, whole_packet(family, 1280, pool), family == Family::ipv4 ? 28 : 56, pool)
              .size() > 100);
    CHECK(cut(family, Packet(pool.copy(Bytes(10))), 1280, pool).empty());
  }
  Packet packet = whole_packet(Family::ipv4, 1400, pool);
  packet.writable(20, pool)[6] = 0x40;
  CHECK(fragment_ipv4(std::move(packet), 1280, pool).empty());
}

TEST_CASE("a Hop-by-Hop header goes with each IPv6 fragment") {
  Bench bench;
  Packet packet = whole_packet(Family::ipv6, 3000, bench.pool);
  Bytes bytes = all_bytes(packet);
  bytes.insert(bytes.begin() + 40, 8, 0);
  wire::emit_ipv6_router_alert(kUdp, std::span(bytes).subspan(40, 8));
  bytes[6] = wire::kNextHopByHop;
  wire::store16(&bytes[4], static_cast<std::uint16_t>(bytes.size() - 40));
  auto fragments = fragment_ipv6(Packet(bench.pool.copy(bytes)), 1280, 5, bench.pool);
  REQUIRE(fragments.size() == 3);
  std::optional<Packet> whole;
  for (Packet& fragment : fragments) whole = bench.receive(std::move(fragment)).complete;
  REQUIRE(whole);
  CHECK(all_bytes(*whole) == bytes);
}

TEST_CASE("[F01][V07] overlapping fragments discard the datagram, and what comes later of it") {
  for (const Family family : kFamilies) {
    struct Second {
      std::uint16_t offset;
      std::size_t length;
      bool more;
    };
    for (const Second& second :
         {Second{8, 16, true}, Second{8, 24, true}, Second{16, 8, false}, Second{24, 16, true},
          Second{0, 32, true}, Second{0, 64, true}, Second{8, 40, false}}) {
      Bench bench;
      CHECK_FALSE(bench.fragment(family, 0, true, pattern(32)).dropped);
      CHECK(bench.fragment(family, second.offset, second.more, Bytes(second.length, 9)).dropped ==
            Drop::fragment_overlap);
      CHECK(bench.fragment(family, 32, false, pattern(8)).dropped == Drop::fragment_overlap);
      CHECK(bench.fragment(family, 0, true, pattern(32)).dropped == Drop::fragment_overlap);
      bench.now += Fragments::kTimeout;
      // Nothing is owed to the sender of such a thing.
      const auto timeout = bench.fragments.advance(bench.now);
      REQUIRE(timeout);
      CHECK_FALSE(timeout->first);
      CHECK(bench.budget.used() == 0);
    }
  }
}

TEST_CASE("[F02] a fragment that ends beyond 65535 is refused") {
  Bench bench;
  CHECK(bench.fragment(Family::ipv4, 65528, false, Bytes(8)).dropped == Drop::fragment_malformed);
  CHECK(bench.fragment(Family::ipv4, 65512, false, Bytes(4)).dropped == Drop::fragment_malformed);
  CHECK_FALSE(bench.fragment(Family::ipv4, 65512, false, Bytes(3)).dropped);
}

TEST_CASE("[F03] fragments of odd or no length and TCP without its header are refused") {
  Bench bench;
  CHECK(bench.fragment(Family::ipv4, 0, true, Bytes(9)).dropped == Drop::fragment_malformed);
  CHECK(bench.fragment(Family::ipv4, 8, true, {}).dropped == Drop::fragment_malformed);
  CHECK(bench.fragment(Family::ipv4, 8, false, {}).dropped == Drop::fragment_malformed);
  CHECK(bench.fragment(Family::ipv6, 8, false, {}).dropped == Drop::fragment_malformed);
  CHECK(bench.fragment(Family::ipv4, 0, true, Bytes(16), 2, 0, kTcp).dropped ==
        Drop::fragment_malformed);
  CHECK(bench.fragments.datagrams() == 0);
}

TEST_CASE("[F03] two ends that differ discard the datagram") {
  for (const Family family : kFamilies) {
    Bench bench;
    CHECK_FALSE(bench.fragment(family, 64, false, Bytes(8)).dropped);
    CHECK(bench.fragment(family, 128, false, Bytes(8)).dropped == Drop::fragment_overlap);
    Bench beyond;
    CHECK_FALSE(beyond.fragment(family, 64, false, Bytes(8)).dropped);
    CHECK(beyond.fragment(family, 128, true, Bytes(8)).dropped == Drop::fragment_overlap);
    Bench before;
    CHECK_FALSE(before.fragment(family, 128, true, Bytes(8)).dropped);
    CHECK(before.fragment(family, 64, false, Bytes(8)).dropped == Drop::fragment_overlap);
  }
}

TEST_CASE("[F04] a flood stays within its caps, and a whole datagram gets through it") {
  for (const Family family : kFamilies) {
    const FragmentLimits limits{.bytes = 64 * 1024, .datagrams = 32, .per_datagram = 16};
    Bench bench(limits);
    for (std::uint32_t id = 100; id < 5000; id++) {
      for (std::uint16_t i = 0; i < 3; i++)
        bench.fragment(family, static_cast<std::uint16_t>(64 + i * 1024), true, Bytes(1024), id);
      CHECK(bench.fragments.datagrams() <= limits.datagrams);
      CHECK(bench.fragments.bytes() <= limits.bytes);
      CHECK(bench.budget.used() == bench.fragments.bytes());
    }
    CHECK_FALSE(bench.fragment(family, 0, true, pattern(1024), 7).dropped);
    CHECK(bench.fragment(family, 1024, false, pattern(10), 7).complete);
    // One datagram in too many pieces.
    std::optional<Drop> dropped;
    for (std::uint16_t i = 0; i < 17; i++)
      dropped =
          bench.fragment(family, static_cast<std::uint16_t>(i * 16 + 8), true, Bytes(8), 8).dropped;
    CHECK(dropped == Drop::fragment_limit);
  }
}

TEST_CASE("[F04] one datagram alone cannot pass the cap either") {
  for (const Family family : kFamilies) {
    Bench bench({.bytes = 8 * 1024, .datagrams = 32, .per_datagram = 256});
    int refused = 0;
    for (std::uint16_t i = 0; i < 20; i++) {
      const auto offset = static_cast<std::uint16_t>(i * 1024);
      refused += bench.fragment(family, offset, true, Bytes(1024)).dropped == Drop::memory_budget;
      CHECK(bench.fragments.bytes() <= 8 * 1024);
    }
    CHECK(refused == 14);
  }
}

TEST_CASE("[F04] small fragments do not hold on to large blocks") {
  Bench bench;
  for (std::uint16_t i = 0; i < 100; i++) {
    Packet packet = whole_packet(Family::ipv4, 60, bench.pool);
    Bytes bytes = all_bytes(packet);
    wire::store16(&bytes[6], static_cast<std::uint16_t>(0x2000 | (1 + i * 8)));
    wire::finish_ipv4(std::span(bytes).first(20));
    Slice large = bench.pool.allocate(BlockPool::kLargeCapacity);
    std::copy(bytes.begin(), bytes.end(), large.block()->data());
    large.block()->filled = static_cast<std::uint32_t>(bytes.size());
    large.extend(static_cast<std::uint32_t>(bytes.size()));
    Block* block = large.block();
    const Slice watch = large;
    CHECK_FALSE(bench.receive(Packet(std::move(large))).dropped);
    CHECK(block->references == 1);
  }
}

TEST_CASE(
    "[F04] an incomplete datagram ends after a minute, and only its first fragment is quoted") {
  for (const Family family : kFamilies) {
    Bench bench;
    bench.now = 5 * kSecond;
    CHECK_FALSE(bench.fragment(family, 0, true, pattern(32), 1).dropped);
    bench.now += kSecond;
    CHECK_FALSE(bench.fragment(family, 32, true, pattern(32), 2).dropped);
    CHECK(bench.fragments.next_deadline() == 5 * kSecond + Fragments::kTimeout);
    CHECK_FALSE(bench.fragments.advance(bench.fragments.next_deadline() - 1));
    const auto first = bench.fragments.advance(bench.fragments.next_deadline());
    REQUIRE(first);
    REQUIRE(first->first);
    CHECK(first->first->size() == (family == Family::ipv4 ? 20 : 48) + 32);
    CHECK_FALSE(bench.fragments.advance(65 * kSecond));
    const auto second = bench.fragments.advance(66 * kSecond);
    REQUIRE(second);
    CHECK_FALSE(second->first);
    CHECK(bench.fragments.next_deadline() == kNever);
    CHECK(bench.budget.used() == 0);
  }
}

TEST_CASE("an exhausted budget drops fragments and leaks nothing") {
  BlockPool pool;
  Budget budget(2000);
  {
    Bench bench;
    Fragments small(pool, budget, {3, 4});
    Packet packet = whole_packet(Family::ipv4, 2000, pool);
    auto fragments = fragment_ipv4(std::move(packet), 1500, pool);
    int refused = 0;
    for (Packet& fragment : fragments) {
      const auto parsed = wire::parse_ipv4(fragment.contiguous(20, pool), fragment.size());
      refused += small.add(*parsed, std::move(fragment), 0).dropped == Drop::memory_budget;
    }
    CHECK(refused == 1);
    CHECK(budget.used() > 0);
  }
  CHECK(budget.used() == 0);
  CHECK(pool.live() == 0);
}

TEST_CASE("[V08] a datagram whose first fragment is missing never completes") {
  Bench bench;
  CHECK_FALSE(bench.fragment(Family::ipv6, 8, true, pattern(8)).complete);
  CHECK_FALSE(bench.fragment(Family::ipv6, 16, false, pattern(8)).complete);
  CHECK(bench.fragments.datagrams() == 1);
}

TEST_CASE("datagrams are told apart by identification, and IPv4 ones by protocol too") {
  for (const Family family : kFamilies) {
    Bench bench;
    CHECK_FALSE(bench.fragment(family, 0, true, pattern(8), 1, 0, kUdp).dropped);
    CHECK_FALSE(bench.fragment(family, 8, false, pattern(8), 2, 0, kUdp).complete);
    CHECK(bench.fragment(family, 8, false, pattern(8), 1, 0, 99).complete.has_value() ==
          (family == Family::ipv6));
  }
}

TEST_CASE("a congestion mark on one fragment is on the whole, unless the others are Not-ECT") {
  for (const Family family : kFamilies) {
    Bench bench;
    bench.fragment(family, 0, true, pattern(8), 1, 2);
    auto result = bench.fragment(family, 8, false, pattern(8), 1, 3);
    REQUIRE(result.complete);
    const Bytes bytes = all_bytes(*result.complete);
    CHECK((family == Family::ipv4 ? bytes[1] & 3 : bytes[1] >> 4 & 3) == 3);
    if (family == Family::ipv4) CHECK(wire::checksum_of(std::span(bytes).first(20)) == 0);
    bench.fragment(family, 0, true, pattern(8), 2, 0);
    CHECK(bench.fragment(family, 8, false, pattern(8), 2, 3).dropped == Drop::fragment_malformed);
  }
}

TEST_CASE("random fragments of random datagrams never break the bookkeeping") {
  std::mt19937 random(9);
  Bench bench({.bytes = 32 * 1024, .datagrams = 8, .per_datagram = 12});
  std::size_t whole = 0;
  for (int round = 0; round < 30000; round++) {
    const Family family = kFamilies[random() % 2];
    const auto offset = static_cast<std::uint16_t>(random() % 6 * 8);
    const bool more = offset == 0 || random() % 3 != 0;
    const std::size_t length = more ? (1 + random() % 3) * 8 : 1 + random() % 24;
    // Mostly what one sender would send, so that some of it completes.
    const std::uint16_t place =
        random() % 8 != 0 ? static_cast<std::uint16_t>(offset / 16 * 16) : offset;
    const auto result =
        random() % 8 != 0 ? bench.fragment(family, place, place != 32, Bytes(16, 1), random() % 12)
                          : bench.fragment(family, offset, more, Bytes(length, 1), random() % 12);
    whole += result.complete.has_value();
    bench.now += kSecond / 4;
    while (bench.fragments.advance(bench.now)) {
    }
    REQUIRE(bench.budget.used() == bench.fragments.bytes());
    REQUIRE(bench.fragments.datagrams() <= 8);
  }
  CHECK(whole > 50);
}

}  // namespace
}  // namespace vpollnet::ip
