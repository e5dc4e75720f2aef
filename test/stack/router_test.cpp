// SPDX-License-Identifier: MIT
// Router advertisements in virtual time (RFC 4861 6.2, RFC 8106).
#include <doctest/doctest.h>

#include "test/stack/support/host.hpp"
#include "wire/domain_name.hpp"

namespace vpollnet::test {
namespace {

constexpr Nanos kSpan = 30 * kSecond;

/// The advertisement in a frame, if it is one to all nodes.
std::optional<wire::RouterAdvertisement> advertisement_in(const Sent& sent) {
  const auto v6 = sent.ipv6();
  if (!v6 || !sent.icmp() || v6->destination != IpAddress::all_nodes()) return std::nullopt;
  if (sent.ethernet().destination != IpAddress::all_nodes().multicast_mac()) return std::nullopt;
  return wire::parse_router_advertisement(sent.transport(),
                                          {v6->source, v6->destination, v6->hop_limit});
}

/// A host with link-local address fe80::1 and a clock that notes when advertisements go out.
struct Router {
  Host host;
  std::vector<std::pair<Nanos, wire::RouterAdvertisement>> heard;

  Router() {
    host.with_ethernet();
    host.add(host.eth0, "fe80::1/64");
    host.run_for(3 * kSecond);
    host.sent.clear();
  }
  Errno advertise(const RouterAdvertisementConfig& config) {
    return host.stack.advertise(host.eth0, config, host.now);
  }
  void run_for(Nanos span) {
    const Nanos end = host.now + span;
    while (host.stack.next_deadline() <= end) {
      host.now = std::max(host.now, host.stack.next_deadline());
      host.stack.advance(host.now);
      collect();
    }
    host.now = end;
  }
  void collect() {
    for (const Sent& sent : host.take()) {
      if (const auto message = advertisement_in(sent)) heard.emplace_back(host.now, *message);
    }
  }
  void solicit(const IpAddress& from, const wire::RouterSolicitation& value,
               std::uint8_t hop_limit = 255) {
    const IpAddress to = IpAddress::all_routers();
    Bytes bytes(wire::router_solicitation_size(value));
    wire::emit_router_solicitation(value, bytes);
    fill_checksum(bytes, 2, from, to, 58);
    const Bytes packet =
        ipv6({.next_header = 58, .hop_limit = hop_limit, .source = from, .destination = to}, bytes);
    host.receive(ethernet(to.multicast_mac(), host.peer_mac, wire::kEtherIpv6, packet));
  }
};

TEST_CASE("an advertisement says all that it was told to say (RFC 4861 4.2, 6.2.3, RFC 8106 5)") {
  Router router;
  RouterAdvertisementConfig config;
  config.hop_limit = 61;
  config.managed = true;
  config.other_config = true;
  config.preference = 1;
  config.router_lifetime = 1234;
  config.reachable_time = 30'000;
  config.retransmission_time = 1000;
  config.mtu = 1400;
  config.prefixes = {{cidr("2001:db8:1::77/64"), true, true, 7200, 3600},
                     {cidr("fd01::/48"), true, false, wire::kInfiniteLifetime, 0}};
  config.dns = {ip("fd00::53"), ip("2001:db8::53")};
  config.search = {"lan.example", "example.org."};
  config.dns_lifetime = 999;
  REQUIRE(router.advertise(config) == Errno::ok);
  router.run_for(0);
  REQUIRE(router.heard.size() == 1);
  const wire::RouterAdvertisement& message = router.heard[0].second;
  CHECK(message.hop_limit == 61);
  CHECK(message.managed);
  CHECK(message.other_config);
  CHECK(message.preference == 1);
  CHECK(message.router_lifetime == 1234);
  CHECK(message.reachable_time == 30'000);
  CHECK(message.retransmission_time == 1000);
  CHECK(message.source_mac == router.host.our_mac);
  CHECK(message.mtu == 1400);
  REQUIRE(message.prefix_count == 2);
  // Bits behind the prefix are zero (RFC 4861 4.6.2).
  CHECK(message.prefixes[0] ==
        wire::PrefixInformation{cidr("2001:db8:1::/64"), true, true, 7200, 3600});
  CHECK(message.prefixes[1] ==
        wire::PrefixInformation{cidr("fd01::/48"), true, false, wire::kInfiniteLifetime, 0});
  REQUIRE(message.server_count == 2);
  CHECK(message.servers[1] == wire::RecursiveDns{ip("2001:db8::53"), 999});
  CHECK(message.search.lifetime == 999);
  Bytes names;
  REQUIRE(wire::append_domain_name("lan.example", names));
  REQUIRE(wire::append_domain_name("example.org", names));
  REQUIRE(message.search.size >= names.size());
  CHECK(std::equal(names.begin(), names.end(), message.search.names.begin()));
}

TEST_CASE("the first three come within 16 s of each other, then at random intervals (RFC 4861 "
          "6.2.4)") {
  Router router;
  RouterAdvertisementConfig config;
  config.shortest_interval = 200;
  config.longest_interval = 600;
  REQUIRE(router.advertise(config) == Errno::ok);
  router.run_for(2 * 16 * kSecond);
  CHECK(router.heard.size() == 3);
  router.run_for(6000 * kSecond);
  REQUIRE(router.heard.size() > 3 + 9);
  bool differ = false;
  for (std::size_t i = 3; i < router.heard.size(); i++) {
    const Nanos interval = router.heard[i].first - router.heard[i - 1].first;
    CHECK(interval >= 200 * kSecond);
    CHECK(interval <= 600 * kSecond);
    differ |= interval != router.heard[3].first - router.heard[2].first;
  }
  CHECK(differ);
}

TEST_CASE("solicitations are answered within half a second, never twice within three (RFC 4861 "
          "6.2.6)") {
  Router router;
  REQUIRE(router.advertise({}) == Errno::ok);
  router.run_for(100 * kSecond);
  router.heard.clear();
  const Nanos asked = router.host.now;
  router.solicit(ip("fe80::2"), {router.host.peer_mac});
  router.solicit(ip("::"), {});
  router.run_for(kSecond);
  REQUIRE(router.heard.size() == 1);
  CHECK(router.heard[0].first - asked <= 500 * kMillisecond);
  CHECK(router.host.neighbour_mac(ip("fe80::2")) == router.host.peer_mac);

  // A thousand that ask all the time: one answer in three seconds.
  for (int i = 0; i < 1000; i++) {
    router.solicit(ip("fe80::2"), {router.host.peer_mac});
    router.run_for(30 * kMillisecond);
  }
  CHECK(router.heard.size() >= 1 + 7);
  CHECK(router.heard.size() <= 1 + 10);
  for (std::size_t i = 1; i < router.heard.size(); i++) {
    CHECK(router.heard[i].first - router.heard[i - 1].first >= 3 * kSecond);
  }
}

TEST_CASE("[L05] a solicitation that is not proper is not answered; a host answers none") {
  Router router;
  router.solicit(ip("fe80::2"), {router.host.peer_mac});
  CHECK(router.host.dropped(Drop::ipv6_not_for_us) == 1);  // no member of ff02::2
  REQUIRE(router.advertise({}) == Errno::ok);
  router.run_for(100 * kSecond);
  router.heard.clear();
  router.solicit(ip("fe80::2"), {router.host.peer_mac}, 254);  // RFC 4861 6.1.1
  router.solicit(ip("::"), {router.host.peer_mac});
  CHECK(router.host.dropped(Drop::ndp_malformed) == 2);
  router.run_for(4 * kSecond);
  CHECK(router.heard.empty());
}

TEST_CASE("the end is told with a lifetime of 0, by end_advertising and with the interface (RFC "
          "4861 6.2.5)") {
  Router router;
  CHECK(router.host.stack.end_advertising(router.host.eth0, router.host.now) == Errno::invalid);
  REQUIRE(router.advertise({}) == Errno::ok);
  router.run_for(kSecond);
  router.heard.clear();
  REQUIRE(router.host.stack.end_advertising(router.host.eth0, router.host.now) == Errno::ok);
  router.collect();
  REQUIRE(router.heard.size() == 1);
  CHECK(router.heard[0].second.router_lifetime == 0);
  router.run_for(2000 * kSecond);
  CHECK(router.heard.size() == 1);

  REQUIRE(router.advertise({}) == Errno::ok);
  router.run_for(kSecond);
  router.heard.clear();
  REQUIRE(router.host.stack.remove_interface(router.host.eth0, router.host.now) == Errno::ok);
  router.collect();
  REQUIRE(router.heard.size() == 1);
  CHECK(router.heard[0].second.router_lifetime == 0);
}

TEST_CASE("a router says so in its neighbour advertisements, a host does not (RFC 4861 7.2.4)") {
  Router router;
  const auto asked = [&] {
    router.host.receive_ipv6(
        ndp(ip("fe80::2"), ip("fe80::1"),
            wire::NeighbourSolicitation{ip("fe80::1"), router.host.peer_mac, std::nullopt}));
    const auto answer = router.host.take().back().advertisement();
    return answer && answer->router;
  };
  CHECK_FALSE(asked());
  REQUIRE(router.advertise({}) == Errno::ok);
  router.run_for(kSecond);
  CHECK(asked());
}

TEST_CASE("the first goes out when there is a link-local address, and when the link is up again") {
  Host host;
  host.with_ethernet();
  REQUIRE(host.stack.advertise(host.eth0, {}, host.now) == Errno::ok);
  const auto advertised = [&] {
    const auto sent = host.take();
    return std::count_if(sent.begin(), sent.end(),
                         [](const Sent& one) { return advertisement_in(one).has_value(); });
  };
  host.run_for(kSpan);
  CHECK(advertised() == 0);
  host.add(host.eth0, "fe80::1/64");
  host.run_for(2 * kSecond);
  CHECK(advertised() == 1);
  host.stack.set_up(host.eth0, false, host.now);
  host.run_for(1000 * kSecond);
  CHECK(advertised() == 0);
  host.stack.set_up(host.eth0, true, host.now);
  host.run_for(kSecond);
  CHECK(advertised() == 1);
}

TEST_CASE("what changes is told at once, though not twice within three seconds (RFC 4861 6.2.4)") {
  Router router;
  REQUIRE(router.advertise({}) == Errno::ok);
  router.run_for(100 * kSecond);
  router.heard.clear();
  RouterAdvertisementConfig config;
  for (std::uint16_t lifetime = 1000; lifetime < 1010; lifetime++) {
    config.router_lifetime = lifetime;
    REQUIRE(router.advertise(config) == Errno::ok);
    router.run_for(100 * kMillisecond);
  }
  router.run_for(3 * kSecond);
  REQUIRE(router.heard.size() == 2);
  CHECK(router.heard[0].second.router_lifetime == 1000);
  CHECK(router.heard[1].second.router_lifetime == 1009);
}

TEST_CASE("advertisements that RFC 4861 6.2.1 does not allow are refused") {
  Router router;
  const auto refused = [&](auto change) {
    RouterAdvertisementConfig config;
    change(config);
    return router.advertise(config) == Errno::invalid;
  };
  using Config = RouterAdvertisementConfig;
  CHECK(refused([](Config& it) { it.longest_interval = 3; }));
  CHECK(refused([](Config& it) { it.longest_interval = 1801; }));
  CHECK(refused([](Config& it) { it.shortest_interval = 2; }));
  CHECK(refused([](Config& it) { it.shortest_interval = 451; }));
  CHECK(refused([](Config& it) { it.router_lifetime = 599; }));
  CHECK(refused([](Config& it) { it.mtu = 1279; }));
  CHECK(refused([](Config& it) { it.mtu = 1501; }));
  CHECK(refused([](Config& it) { it.preference = 2; }));
  CHECK(refused([](Config& it) { it.prefixes = {{cidr("fe80::/64"), true, true, 60, 60}}; }));
  CHECK(refused([](Config& it) { it.prefixes = {{cidr("10.0.0.0/24"), true, true, 60, 60}}; }));
  CHECK(refused([](Config& it) { it.prefixes = {{cidr("fd00::/64"), true, true, 60, 61}}; }));
  CHECK(refused([](Config& it) { it.prefixes.resize(17, {cidr("fd00::/64"), true, true, 1, 1}); }));
  CHECK(refused([](Config& it) { it.dns = {ip("10.0.0.1")}; }));
  CHECK(refused([](Config& it) { it.dns.resize(9, ip("fd00::1")); }));
  CHECK(refused([](Config& it) { it.search = {"bad..name"}; }));
  CHECK(refused([](Config& it) { it.search.resize(30, "some.domain.example"); }));
  CHECK(router.host.stack.advertise(1, {}, router.host.now) == Errno::invalid);
  CHECK(router.host.stack.advertise(99, {}, router.host.now) == Errno::no_such_device);
}

TEST_CASE("domain names are written as RFC 1035 3.1 says, and only whole ones are read") {
  Bytes out;
  CHECK(wire::append_domain_name("a.bc", out));
  CHECK(out == Bytes{1, 'a', 2, 'b', 'c', 0});
  CHECK_FALSE(wire::append_domain_name("", out));
  CHECK_FALSE(wire::append_domain_name(".", out));
  CHECK_FALSE(wire::append_domain_name("a..b", out));
  CHECK_FALSE(wire::append_domain_name(std::string(64, 'a'), out));
  CHECK_FALSE(wire::append_domain_name(std::string(63, 'a') + "." + std::string(63, 'a') + "." +
                                           std::string(63, 'a') + "." + std::string(63, 'a'),
                                       out));
  CHECK(out.size() == 6);
  CHECK(wire::are_domain_names(out + Bytes{0, 0}));
  CHECK(wire::are_domain_names(Bytes{}));
  CHECK_FALSE(wire::are_domain_names(Bytes{1, 'a'}));      // no root
  CHECK_FALSE(wire::are_domain_names(Bytes{5, 'a', 0}));   // past the end
  CHECK_FALSE(wire::are_domain_names(Bytes{0xc0, 0x0c}));  // compressed
  CHECK_FALSE(wire::are_domain_names(Bytes{1, 'a', 0, 0, 7}));
}

}  // namespace
}  // namespace vpollnet::test
