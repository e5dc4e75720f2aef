// SPDX-License-Identifier: MIT
#include "filter/prefix.hpp"

#include <doctest/doctest.h>

#include "test/stack/support/frames.hpp"
#include "util/random.hpp"

namespace vpollnet::test {
namespace {

using filter::map_prefix;

std::uint16_t sum_of(const IpAddress& address) {
  wire::Checksum sum;
  sum.add(address.bytes());
  return sum.folded() == 0xffff ? std::uint16_t{0} : sum.folded();
}

TEST_CASE("a prefix of up to /48 is mapped with the subnet adjusted (RFC 6296 3.4, its example)") {
  const Cidr inner = cidr("fd01:203:405::/48");
  const Cidr outer = cidr("2001:db8:1::/48");
  const IpAddress host = ip("fd01:203:405:1::1234");
  CHECK(map_prefix(host, inner, outer) == ip("2001:db8:1:d550::1234"));
  CHECK(map_prefix(ip("2001:db8:1:d550::1234"), outer, inner) == host);
}

TEST_CASE(
    "mapped and mapped back an address is what it was, and no checksum notices (RFC 6296 3.1)") {
  const std::pair<Cidr, Cidr> pairs[] = {
      {cidr("fd01:203:405::/48"), cidr("2001:db8:1::/48")},
      {cidr("fd00::/8"), cidr("2000::/8")},
      {cidr("fd00:1:2:3::/64"), cidr("2001:db8:ffff:9::/64")},
      {cidr("fd00:1:2:4700::/56"), cidr("2001:db8:5:6600::/56")},
  };
  KeyedRandom random({3, 4});
  for (const auto& [inner, outer] : pairs) {
    for (int i = 0; i < 500; i++) {
      Bytes bytes(16);
      for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random.next());
      const auto front = inner.address.bytes();
      for (unsigned bit = 0; bit < inner.prefix; bit++) {
        const auto mask = static_cast<std::uint8_t>(0x80 >> bit % 8);
        bytes[bit / 8] =
            static_cast<std::uint8_t>((bytes[bit / 8] & ~mask) | (front[bit / 8] & mask));
      }
      const IpAddress host = IpAddress::from_bytes(bytes);
      const auto mapped = map_prefix(host, inner, outer);
      REQUIRE(mapped);
      CHECK(outer.contains(*mapped));
      CHECK(sum_of(*mapped) == sum_of(host));
      CHECK(map_prefix(*mapped, outer, inner) == host);
    }
  }
}

TEST_CASE(
    "a longer prefix adjusts the interface identifier, past words of all ones (RFC 6296 3.5)") {
  const Cidr inner = cidr("fd00:1:2:3::/64");
  const Cidr outer = cidr("2001:db8:1:9::/64");
  const auto mapped = map_prefix(ip("fd00:1:2:3:ffff:ffff:1:2"), inner, outer);
  REQUIRE(mapped);
  CHECK(cidr("2001:db8:1:9:ffff:ffff::/96").contains(*mapped));
  CHECK_FALSE(map_prefix(ip("fd00:1:2:3:ffff:ffff:ffff:ffff"), inner, outer));
  CHECK_FALSE(
      map_prefix(ip("fd01:203:405:ffff::1"), cidr("fd01:203:405::/48"), cidr("2001:db8:1::/48")));
}

TEST_CASE("an IPv4 prefix takes the place of another, and the host stays") {
  CHECK(map_prefix(ip("10.1.2.77"), cidr("10.1.2.0/24"), cidr("192.0.2.0/24")) == ip("192.0.2.77"));
  CHECK(map_prefix(ip("10.1.2.77"), cidr("10.1.2.64/27"), cidr("192.0.2.160/27")) ==
        ip("192.0.2.173"));
}

TEST_CASE("prefixes that do not fit each other are not valid") {
  const auto valid = [](const char* inner, const char* outer) {
    return filter::PrefixNat{2, cidr(inner), cidr(outer)}.is_valid();
  };
  CHECK(valid("10.0.0.0/24", "192.0.2.0/24"));
  CHECK(valid("fd00::/48", "2001:db8::/48"));
  CHECK_FALSE(valid("10.0.0.0/24", "192.0.2.0/25"));
  CHECK_FALSE(valid("10.0.0.0/24", "2001:db8::/24"));
  CHECK_FALSE(valid("fd00::/80", "2001:db8::/80"));
  CHECK_FALSE(valid("0.0.0.0/0", "192.0.2.0/0"));
}

}  // namespace
}  // namespace vpollnet::test
