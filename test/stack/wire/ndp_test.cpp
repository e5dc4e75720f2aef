// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <vector>

#include "wire/bytes.hpp"
#include "wire/ndp.hpp"

namespace vpollnet::wire {
namespace {

using Bytes = std::vector<std::uint8_t>;

const MacAddress kMac = *MacAddress::parse("02:00:00:00:00:07");
const IpAddress kPeer = *IpAddress::parse("fe80::1");
const IpAddress kOurs = *IpAddress::parse("fe80::2");
const NdpEnvelope kEnvelope{kPeer, kOurs, 255};

template <class Value>
Bytes bytes_of(const Value& value, std::size_t size,
               void (*emit)(const Value&, std::span<std::uint8_t>)) {
  Bytes bytes(size, 0xee);
  emit(value, bytes);
  return bytes;
}

NeighbourSolicitation solicitation() { return {kOurs, kMac, NdpNonce{1, 2, 3, 4, 5, 6}}; }
Bytes solicitation_bytes(const NeighbourSolicitation& value) {
  return bytes_of(value, neighbour_solicitation_size(value), emit_neighbour_solicitation);
}
NeighbourAdvertisement advertisement() { return {kPeer, true, true, true, kMac}; }
Bytes advertisement_bytes(const NeighbourAdvertisement& value) {
  return bytes_of(value, neighbour_advertisement_size(value), emit_neighbour_advertisement);
}
RouterAdvertisement router() {
  RouterAdvertisement value;
  value.hop_limit = 64;
  value.managed = true;
  value.preference = -1;
  value.router_lifetime = 1800;
  value.reachable_time = 30000;
  value.retransmission_time = 1000;
  value.source_mac = kMac;
  value.mtu = 1400;
  value.prefixes[0] = {*Cidr::parse("2001:db8::/64"), true, true, kInfiniteLifetime, 14400};
  value.prefixes[1] = {*Cidr::parse("fd00::/48"), true, false, 7200, 0};
  value.prefix_count = 2;
  value.servers[0] = {*IpAddress::parse("2001:db8::53"), 600};
  value.server_count = 1;
  return value;
}
Bytes router_bytes(const RouterAdvertisement& value) {
  return bytes_of(value, router_advertisement_size(value), emit_router_advertisement);
}
Redirect redirect() {
  return {*IpAddress::parse("fe80::9"), *IpAddress::parse("2001:db8::5"), kMac};
}
Bytes redirect_bytes(const Redirect& value) {
  return bytes_of(value, redirect_size(value), emit_redirect);
}

TEST_CASE("neighbour discovery messages come back as they were written") {
  CHECK(parse_neighbour_solicitation(solicitation_bytes(solicitation()), kEnvelope) ==
        solicitation());
  CHECK(parse_neighbour_advertisement(advertisement_bytes(advertisement()), kEnvelope) ==
        advertisement());
  CHECK(parse_router_advertisement(router_bytes(router()), kEnvelope) == router());
  CHECK(parse_redirect(redirect_bytes(redirect()), kEnvelope) == redirect());
  const RouterSolicitation value{kMac};
  const Bytes bytes = bytes_of(value, router_solicitation_size(value), emit_router_solicitation);
  CHECK(parse_router_solicitation(bytes, kEnvelope) == value);
}

/// What all five parsers say, in one number.
int accepted(std::span<const std::uint8_t> message, const NdpEnvelope& envelope) {
  return int(parse_neighbour_solicitation(message, envelope).has_value()) +
         int(parse_neighbour_advertisement(message, envelope).has_value()) +
         int(parse_router_solicitation(message, envelope).has_value()) +
         int(parse_router_advertisement(message, envelope).has_value()) +
         int(parse_redirect(message, envelope).has_value());
}

TEST_CASE(
    "[L05] each message is accepted by its own parser, from hop limit 255 with code 0 alone") {
  for (Bytes bytes : {solicitation_bytes(solicitation()), advertisement_bytes(advertisement()),
                      router_bytes(router()), redirect_bytes(redirect())}) {
    CHECK(accepted(bytes, kEnvelope) == 1);
    CHECK(accepted(bytes, {kPeer, kOurs, 254}) == 0);
    CHECK(accepted(bytes, {kPeer, kOurs, 0}) == 0);
    bytes[1] = 1;
    CHECK(accepted(bytes, kEnvelope) == 0);
  }
}

TEST_CASE("[L05] truncated messages and options are refused whole") {
  const auto check = [](const Bytes& bytes, std::size_t smallest) {
    for (std::size_t length = 0; length < bytes.size(); length++) {
      CAPTURE(length);
      // Only between two options is a message whole.
      const bool boundary = length >= smallest && (length - smallest) % 8 == 0;
      if (!boundary) CHECK(accepted(std::span(bytes).first(length), kEnvelope) == 0);
    }
  };
  check(solicitation_bytes(solicitation()), 24);
  check(advertisement_bytes(advertisement()), 24);
  check(redirect_bytes(redirect()), 40);
  const Bytes bytes = router_bytes(router());
  for (std::size_t length = 0; length < bytes.size(); length++) {
    const bool boundary =
        length == 16 || length == 24 || length == 32 || length == 64 || length == 96;
    CHECK(accepted(std::span(bytes).first(length), kEnvelope) == int(boundary));
  }
}

TEST_CASE("[L05] an option of length zero discards the message") {
  for (Bytes bytes : {solicitation_bytes(solicitation()), advertisement_bytes(advertisement()),
                      router_bytes(router()), redirect_bytes(redirect())}) {
    bytes.insert(bytes.end(), {200, 1, 0, 0, 0, 0, 0, 0});
    CHECK(accepted(bytes, kEnvelope) == 1);
    bytes[bytes.size() - 7] = 0;
    CHECK(accepted(bytes, kEnvelope) == 0);
    bytes[bytes.size() - 7] = 2;
    CHECK(accepted(bytes, kEnvelope) == 0);
  }
}

TEST_CASE("[L05] solicitations from nobody go to a solicited-node group and carry no address") {
  NeighbourSolicitation value{kOurs, std::nullopt, std::nullopt};
  const NdpEnvelope probe{IpAddress::any(Family::ipv6), kOurs.solicited_node(), 255};
  CHECK(parse_neighbour_solicitation(solicitation_bytes(value), probe));
  CHECK_FALSE(parse_neighbour_solicitation(solicitation_bytes(value), {probe.source, kOurs, 255}));
  CHECK_FALSE(parse_neighbour_solicitation(solicitation_bytes(value),
                                           {probe.source, IpAddress::all_nodes(), 255}));
  value.source_mac = kMac;
  CHECK_FALSE(parse_neighbour_solicitation(solicitation_bytes(value), probe));
  value.target = IpAddress::all_nodes();
  CHECK_FALSE(parse_neighbour_solicitation(solicitation_bytes(value), kEnvelope));
}

TEST_CASE("[L05] a solicited advertisement to a group is refused") {
  NeighbourAdvertisement value = advertisement();
  const NdpEnvelope group{kPeer, IpAddress::all_nodes(), 255};
  CHECK_FALSE(parse_neighbour_advertisement(advertisement_bytes(value), group));
  value.solicited = false;
  CHECK(parse_neighbour_advertisement(advertisement_bytes(value), group));
}

TEST_CASE(
    "[L07] router advertisements are from link-local addresses, and their options well formed") {
  const Bytes good = router_bytes(router());
  CHECK_FALSE(parse_router_advertisement(good, {*IpAddress::parse("2001:db8::1"), kOurs, 255}));
  Bytes bad = good;
  bad[32 + 2] = 129;  // prefix length
  CHECK_FALSE(parse_router_advertisement(bad, kEnvelope));
  bad = good;
  bad[96 + 1] = 2;  // RDNSS of even length, the rest of it an option of its own
  CHECK_FALSE(parse_router_advertisement(bad, kEnvelope));
  // CVE-2020-16898: an even length that is not at the end.
  bad = good;
  bad[96 + 1] = 4;
  bad.insert(bad.end(), 8, 1);
  CHECK_FALSE(parse_router_advertisement(bad, kEnvelope));
}

TEST_CASE("[L07] an advertisement of any length fills no more than its caps") {
  Bytes bytes = router_bytes(router());
  const Bytes prefix(bytes.begin() + 32, bytes.begin() + 64);
  const Bytes servers(bytes.begin() + 96, bytes.begin() + 120);
  for (int i = 0; i < 100; i++) {
    bytes.insert(bytes.end(), prefix.begin(), prefix.end());
    bytes.insert(bytes.end(), servers.begin(), servers.end());
  }
  const auto parsed = parse_router_advertisement(bytes, kEnvelope);
  REQUIRE(parsed);
  CHECK(parsed->prefix_count == RouterAdvertisement::kMaxPrefixes);
  CHECK(parsed->server_count == RouterAdvertisement::kMaxServers);
}

TEST_CASE("[L08] redirects are from link-local addresses, to a router or the destination itself") {
  Redirect value = redirect();
  CHECK_FALSE(
      parse_redirect(redirect_bytes(value), {*IpAddress::parse("2001:db8::1"), kOurs, 255}));
  value.target = *IpAddress::parse("2001:db8::9");
  CHECK_FALSE(parse_redirect(redirect_bytes(value), kEnvelope));
  value.target = value.destination;
  CHECK(parse_redirect(redirect_bytes(value), kEnvelope));
  value.target = value.destination = IpAddress::all_nodes();
  CHECK_FALSE(parse_redirect(redirect_bytes(value), kEnvelope));
}

}  // namespace
}  // namespace vpollnet::wire
