// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include "test/stack/support/host.hpp"

namespace vpollnet::test {
namespace {

using namespace std::string_view_literals;
using wire::NeighbourAdvertisement;
using wire::NeighbourSolicitation;

NeighbourAdvertisement advertisement(const IpAddress& target, const MacAddress& from,
                                     bool solicited, bool override_entry) {
  return {.target = target,
          .solicited = solicited,
          .override_entry = override_entry,
          .target_mac = from};
}

TEST_CASE("a packet to an IPv6 neighbour waits for its advertisement") {
  Host host;
  host.with_ethernet();
  socket::Socket& socket = host.udp_socket();
  CHECK(host.send(socket, host.peer6, 7, {'h'}) == Errno::ok);
  auto sent = host.take();
  REQUIRE(sent.size() == 1);
  REQUIRE(sent[0].solicitation());
  CHECK(sent[0].ethernet().destination == host.peer6.solicited_node().multicast_mac());
  CHECK(sent[0].ipv6()->source == host.our6);
  CHECK(sent[0].ipv6()->destination == host.peer6.solicited_node());
  CHECK(sent[0].ipv6()->hop_limit == 255);
  CHECK(sent[0].solicitation()->target == host.peer6);
  CHECK(sent[0].solicitation()->source_mac == host.our_mac);

  host.receive_ipv6(
      ndp(host.peer6, host.our6, advertisement(host.peer6, host.peer_mac, true, true)));
  sent = host.take();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].ethernet().destination == host.peer_mac);
  CHECK(sent[0].ipv6()->next_header == 17);
  CHECK(host.neighbour_state(host.peer6) == "REACHABLE"sv);
}

TEST_CASE("three solicitations and then the packets have failed") {
  Host host;
  host.with_ethernet();
  socket::Socket& socket = host.udp_socket();
  host.send(socket, host.peer6, 7, {'h'});
  host.run_for(2 * kSecond);
  CHECK(host.take().size() == 3);
  host.run_for(10 * kSecond);
  CHECK(host.take().empty());
  CHECK(host.dropped(Drop::neighbour_unresolved) == 1);
}

TEST_CASE("[L02] a solicitation for us is answered; an advertisement alone makes no entry") {
  Host host;
  host.with_ethernet();
  host.receive_ipv6(
      ndp(host.peer6, host.our6, advertisement(host.peer6, host.peer_mac, true, true)));
  CHECK(host.stack.neighbours().empty());
  CHECK(host.dropped(Drop::ndp_ignored) == 1);

  host.receive(ethernet(host.our6.solicited_node().multicast_mac(), host.peer_mac, wire::kEtherIpv6,
                        ndp(host.peer6, host.our6.solicited_node(),
                            NeighbourSolicitation{host.our6, host.peer_mac, std::nullopt})));
  const auto sent = host.take();
  REQUIRE(sent.size() == 1);
  const auto answer = sent[0].advertisement();
  REQUIRE(answer);
  CHECK(answer->target == host.our6);
  CHECK(answer->solicited);
  CHECK(answer->override_entry);
  CHECK_FALSE(answer->router);
  CHECK(answer->target_mac == host.our_mac);
  CHECK(sent[0].ipv6()->source == host.our6);
  CHECK(sent[0].ipv6()->destination == host.peer6);
  CHECK(host.neighbour_mac(host.peer6) == host.peer_mac);
}

TEST_CASE("a solicitation from nobody is answered to all nodes and not as solicited") {
  Host host;
  host.with_ethernet();
  host.receive(ethernet(host.our6.solicited_node().multicast_mac(), host.peer_mac, wire::kEtherIpv6,
                        ndp(ip("::"), host.our6.solicited_node(),
                            NeighbourSolicitation{host.our6, std::nullopt, std::nullopt})));
  const auto sent = host.take();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].ipv6()->destination == ip("ff02::1"));
  CHECK_FALSE(sent[0].advertisement()->solicited);
  CHECK(host.stack.neighbours().empty());
}

TEST_CASE("RFC 4861 7.2.5: the table of what an advertisement does to a known neighbour") {
  Host host;
  host.with_ethernet();
  host.know_peer();
  const auto tell = [&](const NeighbourAdvertisement& message) {
    host.receive_ipv6(ndp(host.peer6, host.our6, message));
  };
  CHECK(host.neighbour_state(host.peer6) == "DELAY"sv);  // our answer went there
  tell(advertisement(host.peer6, host.peer_mac, true, false));
  CHECK(host.neighbour_state(host.peer6) == "REACHABLE"sv);
  tell(advertisement(host.peer6, mac(66), true, false));  // another MAC, no override
  CHECK(host.neighbour_mac(host.peer6) == host.peer_mac);
  CHECK(host.neighbour_state(host.peer6) == "STALE"sv);
  tell(advertisement(host.peer6, mac(66), false, true));  // override, not solicited
  CHECK(host.neighbour_mac(host.peer6) == mac(66));
  CHECK(host.neighbour_state(host.peer6) == "STALE"sv);
  tell(advertisement(host.peer6, host.peer_mac, true, true));
  CHECK(host.neighbour_mac(host.peer6) == host.peer_mac);
  CHECK(host.neighbour_state(host.peer6) == "REACHABLE"sv);
  tell(advertisement(host.peer6, MacAddress::broadcast(), true, true));
  CHECK(host.neighbour_mac(host.peer6) == host.peer_mac);
}

TEST_CASE("[L05] discovery messages that fail a check are dropped whole") {
  Host host;
  host.with_ethernet();
  const NeighbourSolicitation good{host.our6, host.peer_mac, std::nullopt};
  host.receive_ipv6(ndp(host.peer6, host.our6, good, 254));
  CHECK(host.dropped(Drop::ndp_malformed) == 1);
  NeighbourSolicitation multicast = good;
  multicast.target = ip("ff02::1");
  host.receive_ipv6(ndp(host.peer6, host.our6, multicast));
  CHECK(host.dropped(Drop::ndp_malformed) == 2);
  // "::" with a link-layer address.
  host.receive(ethernet(host.our6.solicited_node().multicast_mac(), host.peer_mac, wire::kEtherIpv6,
                        ndp(ip("::"), host.our6.solicited_node(), good)));
  CHECK(host.dropped(Drop::ndp_malformed) == 3);
  // An advertisement that is solicited and sent to a group.
  host.receive(ethernet(
      ip("ff02::1").multicast_mac(), host.peer_mac, wire::kEtherIpv6,
      ndp(host.peer6, ip("ff02::1"), advertisement(host.peer6, host.peer_mac, true, true))));
  CHECK(host.dropped(Drop::ndp_malformed) == 4);
  // An option of length 0.
  Bytes message(wire::neighbour_solicitation_size(good));
  wire::emit_neighbour_solicitation(good, message);
  message[25] = 0;
  fill_checksum(message, 2, host.peer6, host.our6, 58);
  host.receive_ipv6(
      ipv6({.next_header = 58, .hop_limit = 255, .source = host.peer6, .destination = host.our6},
           message));
  CHECK(host.dropped(Drop::ndp_malformed) == 5);
  CHECK(host.stack.neighbours().empty());
  CHECK(host.take().empty());
}

TEST_CASE("[L06] a discovery message with a fragment header is ignored") {
  Host host;
  host.with_ethernet();
  const NeighbourSolicitation value{host.our6, host.peer_mac, std::nullopt};
  Bytes message(wire::neighbour_solicitation_size(value));
  wire::emit_neighbour_solicitation(value, message);
  fill_checksum(message, 2, host.peer6, host.our6, 58);
  Bytes fragment(wire::kIpv6FragmentHeader);
  wire::emit_ipv6_fragment({58, 0, false, 1}, fragment);
  host.receive_ipv6(ipv6({.next_header = wire::kNextFragment,
                          .hop_limit = 255,
                          .source = host.peer6,
                          .destination = host.our6},
                         fragment + message));
  CHECK(host.dropped(Drop::ndp_ignored) == 1);
  CHECK(host.take().empty());
  CHECK(host.stack.neighbours().empty());
}

TEST_CASE("[L07] [L08] router advertisements and redirects change nothing and are counted") {
  Host host;
  host.with_ethernet();
  const auto routes = host.stack.routes().size();
  wire::RouterAdvertisement router;
  router.router_lifetime = 1800;
  router.prefixes[0] = {cidr("2001:db8::/64"), true, true, 3600, 3600};
  router.prefix_count = 1;
  Bytes message(wire::router_advertisement_size(router));
  wire::emit_router_advertisement(router, message);
  const IpAddress from = ip("fe80::99");
  fill_checksum(message, 2, from, ip("ff02::1"), 58);
  const auto frame = [&](const Bytes& body) {
    return ethernet(
        ip("ff02::1").multicast_mac(), host.peer_mac, wire::kEtherIpv6,
        ipv6({.next_header = 58, .hop_limit = 255, .source = from, .destination = ip("ff02::1")},
             body));
  };
  for (int i = 0; i < 1000; i++) host.receive(frame(message));
  CHECK(host.dropped(Drop::icmp_ignored) == 1000);
  message[16 + 2] = 200;  // a prefix of 200 bits
  fill_checksum(message, 2, from, ip("ff02::1"), 58);
  host.receive(frame(message));
  CHECK(host.dropped(Drop::ndp_malformed) == 1);

  const wire::Redirect redirect{ip("fe80::66"), ip("2001:db8::1"), mac(66)};
  Bytes moved(wire::redirect_size(redirect));
  wire::emit_redirect(redirect, moved);
  fill_checksum(moved, 2, from, host.our6, 58);
  host.receive_ipv6(
      ipv6({.next_header = 58, .hop_limit = 255, .source = from, .destination = host.our6}, moved));
  CHECK(host.dropped(Drop::icmp_ignored) == 1001);
  CHECK(host.stack.routes().size() == routes);
  CHECK(host.stack.addresses().size() == 4);
}

TEST_CASE("an address is tentative until one solicitation has gone unanswered for a second") {
  Host host;
  InterfaceConfig config = host.config("eth0", 1);
  config.dad_transmits = 1;
  host.eth0 = *host.stack.add_interface(config, host.now);
  const IpAddress own = host.our6;
  host.add(host.eth0, "fd00::1/64");
  CHECK(host.address_state(own) == AddressState::tentative);
  socket::Socket& early = **host.stack.sockets().open(socket::Type::udp);
  CHECK(early.bind({own, 9}, host.now) == Errno::address_not_available);
  host.run_for(kSecond);  // the random delay of an interface that has not sent yet
  const auto sent = host.take();
  REQUIRE(sent.size() == 1);
  REQUIRE(sent[0].solicitation());
  CHECK(sent[0].ipv6()->source == ip("::"));
  CHECK(sent[0].ipv6()->destination == own.solicited_node());
  CHECK(sent[0].solicitation()->target == own);
  CHECK_FALSE(sent[0].solicitation()->source_mac);
  // What comes for it is dropped, echo too (RFC 4862 5.4).
  host.receive_ipv6(ipv6({.next_header = 58, .source = host.peer6, .destination = own},
                         icmpv6(host.peer6, own, {128, 0, 0}, {})));
  CHECK(host.dropped(Drop::ipv6_not_for_us) == 1);
  CHECK(host.take().empty());

  SUBCASE("nobody answers") {
    host.run_for(kSecond);
    CHECK(host.address_state(own) == AddressState::preferred);
    CHECK(early.bind({own, 9}, host.now) == Errno::ok);
    CHECK(host.take().empty());
  }
  SUBCASE("an advertisement for it is a conflict") {
    host.receive(ethernet(ip("ff02::1").multicast_mac(), host.peer_mac, wire::kEtherIpv6,
                          ndp(own, ip("ff02::1"), advertisement(own, host.peer_mac, false, true))));
    host.run_for(60 * kSecond);
    CHECK(host.address_state(own) == AddressState::duplicated);
    CHECK(early.bind({own, 9}, host.now) == Errno::address_not_available);
  }
  SUBCASE("another node that detects duplicates for it is a conflict") {
    host.receive(ethernet(own.solicited_node().multicast_mac(), host.peer_mac, wire::kEtherIpv6,
                          ndp(ip("::"), own.solicited_node(),
                              NeighbourSolicitation{own, std::nullopt, std::nullopt})));
    CHECK(host.address_state(own) == AddressState::duplicated);
  }
  SUBCASE("our own solicitation, sent back by the link, is none") {
    Bytes looped = sent[0].bytes;
    looped[11] = 99;  // by way of something that rewrites MACs
    host.receive(looped);
    CHECK(host.address_state(own) == AddressState::tentative);
    CHECK(host.dropped(Drop::ndp_ignored) == 1);
  }
  SUBCASE("somebody who resolves it is none") {
    host.receive(ethernet(own.solicited_node().multicast_mac(), host.peer_mac, wire::kEtherIpv6,
                          ndp(host.peer6, own.solicited_node(),
                              NeighbourSolicitation{own, host.peer_mac, std::nullopt})));
    CHECK(host.address_state(own) == AddressState::tentative);
    CHECK(host.take().empty());
  }
}

TEST_CASE("an interface forms a stable link-local address that does not show its MAC") {
  const auto form = [](const std::string& name, SecretKey secret) {
    Host host;
    Stack stack({.secret = secret}, host.pool, host);
    InterfaceConfig config = host.config(name, 1);
    config.ipv6 = true;
    REQUIRE(stack.add_interface(config, 0));
    return stack.addresses().back().address;
  };
  const Cidr first = form("eth0", {1, 2});
  CHECK(first.address.is_link_local());
  CHECK(first.prefix == 64);
  CHECK(first.address != ip("fe80::ff:fe00:1"));
  CHECK(form("eth0", {1, 2}) == first);
  CHECK(form("eth1", {1, 2}) != first);
  CHECK(form("eth0", {1, 3}) != first);
}

TEST_CASE("[L09] each duplicate of the link-local address leads to another one, three times") {
  Host host;
  InterfaceConfig config = host.config("eth0", 1);
  config.ipv6 = true;
  config.dad_transmits = 1;
  host.eth0 = *host.stack.add_interface(config, host.now);
  std::vector<IpAddress> tried;
  for (int i = 0; i < 20; i++) {
    host.run_for(kSecond);
    for (const Sent& sent : host.take()) {
      if (!sent.solicitation()) continue;
      const IpAddress target = sent.solicitation()->target;
      tried.push_back(target);
      host.receive(
          ethernet(ip("ff02::1").multicast_mac(), host.peer_mac, wire::kEtherIpv6,
                   ndp(target, ip("ff02::1"), advertisement(target, host.peer_mac, false, true))));
    }
  }
  CHECK(tried.size() == 4);
  std::sort(tried.begin(), tried.end());
  CHECK(std::unique(tried.begin(), tried.end()) == tried.end());
  CHECK(host.stack.next_deadline() == kNever);
  CHECK(host.add(host.eth0, "fd00::1/64") == Errno::invalid);  // IPv6 is off
  CHECK(host.add(host.eth0, "10.0.0.1/24") == Errno::ok);
}

TEST_CASE("a stale neighbour that is used is probed by unicast five seconds later") {
  Host host;
  host.with_ethernet();
  host.know_peer();
  socket::Socket& socket = host.udp_socket();
  host.send(socket, host.peer6, 7, {'x'});
  CHECK(host.neighbour_state(host.peer6) == "DELAY"sv);
  host.run_for(6 * kSecond);
  CHECK(host.neighbour_state(host.peer6) == "PROBE"sv);
  const auto sent = host.take();
  REQUIRE(sent.size() >= 2);
  CHECK(sent.back().ethernet().destination == host.peer_mac);
  CHECK(sent.back().ipv6()->destination == host.peer6);  // by unicast
}

}  // namespace
}  // namespace vpollnet::test
