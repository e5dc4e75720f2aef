// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <array>
#include <random>
#include <vector>

#include "wire/bytes.hpp"
#include "wire/checksum.hpp"

namespace vpollnet::wire {
namespace {

using Bytes = std::vector<std::uint8_t>;

/// The definition, word by word.
std::uint16_t plain_sum(std::span<const std::uint8_t> bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); i++) {
    sum += i % 2 == 0 ? static_cast<std::uint32_t>(bytes[i]) << 8 : bytes[i];
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return static_cast<std::uint16_t>(sum);
}

Bytes random_bytes(std::mt19937& random, std::size_t count) {
  Bytes bytes(count);
  for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
  return bytes;
}

TEST_CASE("the example of RFC 1071 3 sums up to ddf2") {
  const Bytes bytes{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
  Checksum sum;
  sum.add(bytes);
  CHECK(sum.folded() == 0xddf2);
  CHECK(sum.finish() == 0x220d);
  CHECK(checksum_of(bytes) == 0x220d);
}

TEST_CASE("sums of every length and alignment equal the definition") {
  std::mt19937 random(1);
  const Bytes bytes = random_bytes(random, 300);
  for (std::size_t begin = 0; begin < 9; begin++) {
    for (std::size_t length = 0; begin + length <= bytes.size(); length++) {
      const auto part = std::span(bytes).subspan(begin, length);
      Checksum sum;
      sum.add(part);
      REQUIRE(sum.folded() == plain_sum(part));
    }
  }
  const Bytes ones(65535, 0xff);
  CHECK(checksum_of(ones) == static_cast<std::uint16_t>(~plain_sum(ones)));
}

TEST_CASE("pieces of odd length sum up as if they were one") {
  std::mt19937 random(2);
  BlockPool pool;
  for (int round = 0; round < 500; round++) {
    const Bytes bytes = random_bytes(random, random() % 400);
    Packet packet;
    Checksum spans;
    for (std::size_t at = 0; at < bytes.size();) {
      const std::size_t step = std::min<std::size_t>(bytes.size() - at, 1 + random() % 40);
      packet.append(pool.copy(std::span(bytes).subspan(at, step)));
      spans.add(std::span(bytes).subspan(at, step));
      at += step;
    }
    REQUIRE(spans.folded() == plain_sum(bytes));
    if (!bytes.empty())
      packet.contiguous(random() % std::min<std::size_t>(bytes.size(), 150), pool);
    const std::size_t begin = bytes.empty() ? 0 : random() % bytes.size();
    const std::size_t length = random() % (bytes.size() - begin + 1);
    Checksum sum;
    sum.add(packet, begin, length);
    REQUIRE(sum.folded() == plain_sum(std::span(bytes).subspan(begin, length)));
  }
}

TEST_CASE("transport checksums hold for both families and fail for any flipped bit") {
  BlockPool pool;
  for (const auto& [source, destination] :
       {std::pair{*IpAddress::parse("10.0.0.1"), *IpAddress::parse("10.0.0.2")},
        std::pair{*IpAddress::parse("fd00::1"), *IpAddress::parse("fd00::2")}}) {
    Bytes bytes{0x12, 0x34, 0x00, 0x07, 0x00, 0x0b, 0x00, 0x00, 'a', 'b', 'c'};
    const std::uint16_t value =
        transport_checksum(Packet(pool.copy(bytes)), source, destination, 17);
    store16(&bytes[6], value);
    CHECK(transport_checksum_ok(Packet(pool.copy(bytes)), source, destination, 17));
    CHECK_FALSE(transport_checksum_ok(Packet(pool.copy(bytes)), source, destination, 6));
    CHECK_FALSE(transport_checksum_ok(Packet(pool.copy(bytes)), source, source, 17));
    for (std::size_t bit = 0; bit < bytes.size() * 8; bit++) {
      bytes[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
      CHECK_FALSE(transport_checksum_ok(Packet(pool.copy(bytes)), source, destination, 17));
      bytes[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
    }
  }
}

TEST_CASE("a UDP checksum that comes out as zero is sent as all ones") {
  BlockPool pool;
  const auto source = *IpAddress::parse("10.0.0.1");
  const auto destination = *IpAddress::parse("10.0.0.2");
  Bytes bytes{0x12, 0x34, 0x00, 0x07, 0x00, 0x0a, 0x00, 0x00, 0, 0};
  store16(&bytes[8], transport_checksum(Packet(pool.copy(bytes)), source, destination, 17));
  CHECK(transport_checksum(Packet(pool.copy(bytes)), source, destination, 17) == 0xffff);
  CHECK(transport_checksum(Packet(pool.copy(bytes)), source, destination, 17) != 0);
}

TEST_CASE("incremental updates equal a new sum, at the edge of RFC 1624 3 too") {
  // RFC 1624 4: HC 0xdd2f, m 0x5555, m' 0x3285 gives 0x0000.
  CHECK(update_checksum(0xdd2f, 0x5555, 0x3285) == 0x0000);
  std::mt19937 random(3);
  for (int round = 0; round < 1000; round++) {
    Bytes bytes = random_bytes(random, 20);
    const std::uint16_t before = load16(&bytes[4]);
    const std::uint16_t checksum = checksum_of(bytes);
    const auto after = static_cast<std::uint16_t>(random());
    store16(&bytes[4], after);
    REQUIRE(update_checksum(checksum, before, after) == checksum_of(bytes));
  }
}

}  // namespace
}  // namespace vpollnet::wire
