// SPDX-License-Identifier: MIT
#include "host/links/flow_hash.hpp"

#include <doctest/doctest.h>

#include <set>
#include <vector>

using namespace vpollnet;
using namespace vpollnet::host;

namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes ipv4(std::uint8_t protocol, std::uint8_t port, std::uint8_t fragment = 0) {
  Bytes bytes(14 + 20 + 8);
  bytes[12] = 0x08;
  bytes[14] = 0x45;
  bytes[14 + 7] = fragment;
  bytes[14 + 9] = protocol;
  bytes[14 + 19] = 2;
  bytes[14 + 21] = port;
  return bytes;
}

Bytes ipv6(std::uint8_t next, std::uint8_t port) {
  Bytes bytes(14 + 40 + 8);
  bytes[12] = 0x86;
  bytes[13] = 0xdd;
  bytes[14 + 6] = next;
  bytes[14 + 41] = port;
  return bytes;
}

std::uint32_t hash(const Bytes& bytes) {
  BlockPool pool;
  Packet packet(pool.copy(bytes));
  return flow_hash(packet, pool);
}

}  // namespace

TEST_CASE("the ports of TCP and UDP tell flows apart, over IPv4 and IPv6") {
  for (const std::uint8_t protocol : {6, 17}) {
    CHECK(hash(ipv4(protocol, 1)) != hash(ipv4(protocol, 2)));
    CHECK(hash(ipv6(protocol, 1)) != hash(ipv6(protocol, 2)));
    CHECK(hash(ipv4(protocol, 1)) == hash(ipv4(protocol, 1)));
  }
  CHECK(hash(ipv4(6, 1)) != hash(ipv4(17, 1)));
  std::set<std::uint32_t> places;
  for (int port = 0; port < 64; port++) {
    places.insert(hash(ipv4(6, static_cast<std::uint8_t>(port))) % 8);
  }
  CHECK(places.size() == 8);
}

TEST_CASE("fragments of one packet, and what has no ports, stay together") {
  CHECK(hash(ipv4(17, 1, 1)) == hash(ipv4(17, 9, 2)));
  CHECK(hash(ipv4(1, 1)) == hash(ipv4(1, 2)));
  CHECK(hash(ipv6(58, 1)) == hash(ipv6(58, 2)));
}

TEST_CASE("frames of any length and kind have a hash") {
  for (const Bytes& bytes : {ipv4(6, 1), ipv6(6, 1), Bytes(60, 0xff)}) {
    for (std::size_t size = 0; size <= bytes.size(); size++) {
      hash(Bytes(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size)));
    }
  }
}
