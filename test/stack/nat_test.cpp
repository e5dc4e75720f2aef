// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <set>

#include "test/stack/support/router.hpp"

namespace vpollnet::test {
namespace {

using filter::Admission;
using filter::DestinationNat;
using filter::NatRules;
using filter::SourceNat;

SourceNat masquerade(const Router& router) {
  SourceNat rule;
  rule.out = router.wan;
  return rule;
}

DestinationNat port_forward(const Router& router, std::uint16_t port, const IpAddress& to,
                            std::uint16_t to_port) {
  DestinationNat rule;
  rule.in = router.wan;
  rule.protocol = std::uint8_t{6};
  rule.ports = filter::PortRange{port, port};
  rule.to = to;
  rule.to_port = to_port;
  return rule;
}

struct NatRouter : Router {
  NatRouter() { forward(); }
  explicit NatRouter(const RouterLinks& links) : Router(links) { forward(); }

  void set(NatRules rules) { REQUIRE(host.stack.set_nat(std::move(rules)) == Errno::ok); }
  void masquerade_all() { set({{masquerade(*this)}, {}, {}}); }
  /// The ends of the one packet that was sent, and over which link.
  std::pair<Ends, InterfaceId> only() {
    const auto sent = take();
    if (sent.size() != 1) return {};
    return {ends_of(sent[0].payload()), sent[0].interface};
  }
};

TEST_CASE("what leaves over the outer link has its address, and answers find their way back") {
  NatRouter router;
  router.masquerade_all();
  for (const auto& [inner, world, outer] : {std::tuple{router.inner4, router.world4, router.wan4},
                                            {router.inner6, router.world6, router.wan6}}) {
    router.from_lan(udp_packet(inner, 5000, world, 53));
    CHECK(router.only() == std::pair{Ends{outer, 5000, world, 53}, router.wan});
    router.from_wan(udp_packet(world, 53, outer, 5000));
    CHECK(router.only() == std::pair{Ends{world, 53, inner, 5000}, router.lan});

    router.from_lan(tcp_packet(inner, 5001, world, 80, wire::kSyn));
    CHECK(router.only() == std::pair{Ends{outer, 5001, world, 80}, router.wan});
    router.from_wan(tcp_packet(world, 80, outer, 5001, wire::kSyn | wire::kAck));
    CHECK(router.only() == std::pair{Ends{world, 80, inner, 5001}, router.lan});

    router.from_lan(echo_packet(inner, world, true, 99));
    CHECK(router.only() == std::pair{Ends{outer, 99, world, 99}, router.wan});
    router.from_wan(echo_packet(world, outer, false, 99));
    CHECK(router.only() == std::pair{Ends{world, 99, inner, 99}, router.lan});
  }
}

TEST_CASE("two inner hosts with one port are told apart, for all protocols") {
  NatRouter router;
  router.masquerade_all();
  const IpAddress second = ip("10.1.0.3");
  router.from_lan(udp_packet(router.inner4, 5000, router.world4, 53));
  router.from_lan(udp_packet(second, 5000, router.world4, 53));
  router.from_lan(echo_packet(router.inner4, router.world4, true, 7));
  router.from_lan(echo_packet(second, router.world4, true, 7));
  const auto sent = router.take();
  REQUIRE(sent.size() == 4);
  const Ends other = ends_of(sent[1].payload());
  CHECK(ends_of(sent[0].payload()).source_port == 5000);
  CHECK(other.source_port != 5000);
  CHECK(other.source_port >= 1024);
  const Ends echo = ends_of(sent[3].payload());
  CHECK(echo.source_port != 7);
  router.host.receive(router.lan,
                      ethernet(mac(0x01), mac(0x13), wire::kEtherArp,
                               arp({wire::kArpRequest, mac(0x13), second, {}, router.lan4})));
  router.take();
  router.from_wan(udp_packet(router.world4, 53, router.wan4, other.source_port));
  CHECK(router.only().first == Ends{router.world4, 53, second, 5000});
  router.from_wan(echo_packet(router.world4, router.wan4, false, echo.source_port));
  CHECK(router.only().first == Ends{router.world4, 7, second, 7});
}

TEST_CASE("an inner end is seen as one outer end by everybody (RFC 4787 REQ-1, RFC 5382 REQ-1)") {
  NatRouter router;
  router.masquerade_all();
  router.from_lan(udp_packet(router.inner4, 5000, ip("198.51.100.1"), 1));
  router.from_lan(udp_packet(ip("10.1.0.3"), 5000, ip("198.51.100.1"), 1));
  const std::uint16_t taken = ends_of(router.take()[1].payload()).source_port;
  for (std::uint8_t host = 2; host < 50; host++) {
    router.from_lan(udp_packet(ip("10.1.0.3"), 5000, IpAddress::v4(198, 51, 100, host), host));
    CHECK(router.only().first.source_port == taken);
  }
}

TEST_CASE(
    "ports below 1024 stay there, ports of sockets and forwards are left alone (RFC 4787 REQ-3)") {
  NatRouter router;
  router.set({{masquerade(router)}, {port_forward(router, 8080, router.inner4, 80)}, {}});
  router.from_lan(udp_packet(router.inner4, 500, router.world4, 500));
  router.from_lan(udp_packet(ip("10.1.0.3"), 500, router.world4, 500));
  auto sent = router.take();
  CHECK(ends_of(sent[0].payload()).source_port == 500);
  const std::uint16_t low = ends_of(sent[1].payload()).source_port;
  CHECK(low != 500);
  CHECK(low < 1024);
  router.host.udp_socket(6000);
  router.from_lan(udp_packet(router.inner4, 6000, router.world4, 53));
  CHECK(router.only().first.source_port != 6000);
  router.from_lan(tcp_packet(router.inner4, 8080, router.world4, 53, wire::kSyn));
  CHECK(router.only().first.source_port != 8080);
}

TEST_CASE("given addresses and ports are kept to, one host has one address (RFC 4787 REQ-2)") {
  NatRouter router;
  SourceNat rule = masquerade(router);
  rule.addresses = {ip("203.0.113.1"), ip("203.0.113.2"), ip("203.0.113.3")};
  rule.ports = filter::PortRange{40'000, 40'009};
  router.set({{rule}, {}, {}});
  std::set<IpAddress> used;
  for (std::uint8_t host = 2; host < 40; host++) {
    std::set<IpAddress> of_host;
    for (std::uint8_t to = 1; to < 3; to++) {
      router.from_lan(
          udp_packet(IpAddress::v4(10, 1, 0, host), 40'000, IpAddress::v4(9, 9, 9, to), 5));
      const auto sent = router.take();
      if (sent.empty()) continue;  // no port free
      const Ends ends = ends_of(sent[0].payload());
      CHECK(ends.source_port >= 40'000);
      CHECK(ends.source_port <= 40'009);
      of_host.insert(ends.source);
    }
    CHECK(of_host.size() <= 1);
    used.insert(of_host.begin(), of_host.end());
  }
  CHECK(used.size() == 3);
  CHECK(router.host.dropped(Drop::nat_no_port) > 0);
  CHECK(router.host.stack.connections().size() <= 60);
}

TEST_CASE("a mapping ends with its last flow, and its port is free again") {
  NatRouter router;
  SourceNat rule = masquerade(router);
  rule.ports = filter::PortRange{40'000, 40'000};
  router.set({{rule}, {}, {}});
  router.from_lan(udp_packet(router.inner4, 1, router.world4, 53));
  CHECK(router.only().first.source_port == 40'000);
  router.from_lan(udp_packet(router.inner4, 2, router.world4, 53));
  CHECK(router.take().empty());
  router.host.run_for(121 * kSecond);
  router.know_peers();
  router.from_lan(udp_packet(router.inner4, 2, router.world4, 53));
  CHECK(router.only().first == Ends{router.wan4, 40'000, router.world4, 53});
  CHECK(router.host.stack.connections().size() == 1);
}

TEST_CASE("an unasked packet to a mapped port is let in only where that is wanted (RFC 4787 5)") {
  NatRouter router;
  router.masquerade_all();
  router.from_lan(udp_packet(router.inner4, 5000, router.world4, 53));
  router.take();
  router.from_wan(udp_packet(ip("192.0.2.77"), 9, router.wan4, 5000));
  const auto refused = router.take();  // nobody at home
  REQUIRE(refused.size() == 1);
  CHECK(refused[0].interface == router.wan);
  SourceNat rule = masquerade(router);
  rule.admission = Admission::endpoint_independent;
  router.set({{rule}, {}, {}});
  router.from_lan(udp_packet(router.inner4, 5001, router.world4, 53));
  router.take();
  router.from_wan(udp_packet(ip("192.0.2.77"), 9, router.wan4, 5001));
  CHECK(router.only() == std::pair{Ends{ip("192.0.2.77"), 9, router.inner4, 5001}, router.lan});
  router.from_lan(udp_packet(router.inner4, 5001, ip("192.0.2.77"), 9));
  CHECK(router.only().first == Ends{router.wan4, 5001, ip("192.0.2.77"), 9});
}

TEST_CASE("a forwarded port leads to the inner server, ranges port by port") {
  NatRouter router;
  DestinationNat range = port_forward(router, 0, router.inner4, 100);
  range.ports = filter::PortRange{9000, 9010};
  router.set({{}, {port_forward(router, 8080, router.inner4, 80), range}, {}});
  router.from_wan(tcp_packet(router.world4, 1234, router.wan4, 8080, wire::kSyn));
  CHECK(router.only() == std::pair{Ends{router.world4, 1234, router.inner4, 80}, router.lan});
  router.from_lan(tcp_packet(router.inner4, 80, router.world4, 1234, wire::kSyn | wire::kAck));
  CHECK(router.only() == std::pair{Ends{router.wan4, 8080, router.world4, 1234}, router.wan});
  router.from_wan(tcp_packet(router.world4, 1234, router.wan4, 9007, wire::kSyn));
  CHECK(router.only().first == Ends{router.world4, 1234, router.inner4, 107});
  router.from_wan(tcp_packet(router.world4, 1234, router.wan4, 8081, wire::kSyn));
  CHECK(router.take().at(0).interface == router.wan);  // a RST of the router's own
}

TEST_CASE("a port can lead to a service of the router itself") {
  NatRouter router;
  DestinationNat rule = port_forward(router, 80, router.wan4, 8080);
  rule.protocol = std::uint8_t{17};
  router.set({{}, {rule}, {}});
  socket::Socket& socket = router.host.udp_socket(8080);
  router.from_wan(udp_packet(router.world4, 1234, router.wan4, 80));
  std::array<std::uint8_t, 16> buffer;
  const auto received = socket.receive(buffer, 0, router.host.now);
  REQUIRE(received);
  CHECK(socket.send_to(Bytes{9}, received->from, 0, router.host.now));
  CHECK(router.only().first == Ends{router.wan4, 80, router.world4, 1234});
}

TEST_CASE("inner hosts reach a forwarded port by the outer address (RFC 4787 REQ-9, hairpin)") {
  NatRouter router;
  DestinationNat rule = port_forward(router, 8080, router.inner4, 80);
  router.set({{masquerade(router)}, {rule}, {}});
  const IpAddress client = ip("10.1.0.3");
  router.host.receive(router.lan,
                      ethernet(mac(0x01), mac(0x13), wire::kEtherArp,
                               arp({wire::kArpRequest, mac(0x13), client, {}, router.lan4})));
  router.take();
  router.from_lan(tcp_packet(client, 4000, router.wan4, 8080, wire::kSyn));
  CHECK(router.only() == std::pair{Ends{router.wan4, 4000, router.inner4, 80}, router.lan});
  router.from_lan(tcp_packet(router.inner4, 80, router.wan4, 4000, wire::kSyn | wire::kAck));
  CHECK(router.only() == std::pair{Ends{router.wan4, 8080, client, 4000}, router.lan});
  rule.hairpin = false;
  router.set({{masquerade(router)}, {rule}, {}});
  router.from_lan(tcp_packet(client, 4001, router.wan4, 8080, wire::kSyn));
  const auto refused = router.take();  // the router's own port, where nobody listens
  REQUIRE(refused.size() == 1);
  CHECK(wire::parse_tcp(refused[0].transport())->header.has(wire::kRst));
}

TEST_CASE("inner hosts reach each other by their mapped ends (RFC 4787 REQ-9)") {
  NatRouter router;
  router.masquerade_all();
  const IpAddress other = ip("10.1.0.3");
  router.from_lan(udp_packet(router.inner4, 5000, router.world4, 53));
  router.take();
  router.from_lan(udp_packet(other, 6000, router.wan4, 5000));
  CHECK(router.only() == std::pair{Ends{router.wan4, 6000, router.inner4, 5000}, router.lan});
}

TEST_CASE("an ICMP error about a translated packet reaches who sent that (RFC 5508 REQ-4)") {
  NatRouter router;
  router.masquerade_all();
  // Another host has the port already, so that ports differ too.
  router.from_lan(udp_packet(ip("10.1.0.9"), 5000, router.world4, 53));
  router.from_lan(udp_packet(router.inner4, 5000, router.world4, 53));
  const Bytes about = router.take()[1].payload();
  const IpAddress hop = ip("192.0.2.254");
  Bytes error = ipv4({.protocol = 1, .source = hop, .destination = router.wan4},
                     icmpv4({wire::kIcmpv4TimeExceeded, 0, 0}, about));
  router.from_wan(error);
  auto sent = router.take();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].interface == router.lan);
  CHECK(sent[0].icmp() == wire::IcmpHeader{wire::kIcmpv4TimeExceeded, 0, 0});
  CHECK(sent[0].ipv4()->header.source == hop);
  CHECK(sent[0].ipv4()->header.destination == router.inner4);
  const Bytes message = sent[0].transport();
  CHECK(ends_of({message.begin() + 8, message.end()}) ==
        Ends{router.inner4, 5000, router.world4, 53});

  // An inner host refuses: outside it is the outer address that does (REQ-5).
  const Bytes answer = udp_packet(router.world4, 53, router.inner4, 5000);
  router.from_lan(ipv4({.protocol = 1, .source = router.inner4, .destination = router.world4},
                       icmpv4({wire::kIcmpv4Unreachable, 3, 0}, answer)));
  sent = router.take();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].interface == router.wan);
  CHECK(sent[0].ipv4()->header.source == router.wan4);
  const Bytes outward = sent[0].transport();
  CHECK(ends_of({outward.begin() + 8, outward.end()}).destination == router.wan4);

  // REQ-3: a wrong checksum is not made right.
  error[30] ^= 1;
  router.from_wan(error);
  CHECK(router.take().empty());
}

TEST_CASE("the router's own errors quote a packet as its sender sent it") {
  NatRouter router({.lan_mtu = 1500, .wan_mtu = 1000});
  router.masquerade_all();
  const Bytes packet = ipv4({.dont_fragment = true,
                             .protocol = 17,
                             .source = router.inner4,
                             .destination = router.world4},
                            udp(router.inner4, router.world4, 5, 53, pattern(1200)));
  router.from_lan(packet);
  auto sent = router.take();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].icmp() ==
        wire::IcmpHeader{wire::kIcmpv4Unreachable, wire::kIcmpv4FragmentationNeeded, 1000});
  const Bytes quote = sent[0].transport();
  CHECK(Bytes(quote.begin() + 8, quote.end()) ==
        Bytes(packet.begin(), packet.begin() + static_cast<std::ptrdiff_t>(quote.size()) - 8));

  // A next hop that does not answer.
  router.from_lan(udp_packet(router.inner4, 6, ip("10.2.0.99"), 53));
  router.host.run_for(5 * kSecond);
  bool told = false;
  for (const Sent& frame : router.take()) {
    if (frame.interface != router.lan || !frame.ipv4() || !frame.icmp()) continue;
    const Bytes message = frame.transport();
    told = told || ends_of({message.begin() + 8, message.end()}) ==
                       Ends{router.inner4, 6, ip("10.2.0.99"), 53};
  }
  CHECK(told);
}

TEST_CASE("no inner address leaves in a packet that cannot be translated") {
  NatRouter router;
  router.masquerade_all();
  router.from_lan(tcp_packet(router.inner4, 1, router.world4, 80, wire::kAck));
  router.from_lan(echo_packet(router.inner4, router.world4, false, 9));
  CHECK(router.take().empty());
  CHECK(router.host.dropped(Drop::nat_untranslatable) == 2);
}

TEST_CASE("fragments are translated whole") {
  NatRouter router;
  router.masquerade_all();
  const Bytes datagram = udp(router.inner4, router.world4, 5000, 53, pattern(1000));
  wire::Ipv4Header header{.identification = 8,
                          .more_fragments = true,
                          .protocol = 17,
                          .source = router.inner4,
                          .destination = router.world4};
  router.from_lan(ipv4(header, {datagram.begin(), datagram.begin() + 512}));
  header.more_fragments = false;
  header.fragment_offset = 512;
  router.from_lan(ipv4(header, {datagram.begin() + 512, datagram.end()}));
  Bytes together;
  for (const Sent& frame : router.take()) {
    CHECK(frame.ipv4()->header.source == router.wan4);
    const Bytes data = frame.transport();
    together.insert(together.end(), data.begin(), data.end());
  }
  REQUIRE(together.size() == datagram.size());
  CHECK(ends_of(ipv4({.protocol = 17, .source = router.wan4, .destination = router.world4},
                     together)) == Ends{router.wan4, 5000, router.world4, 53});
}

TEST_CASE("an address that goes takes its flows along") {
  NatRouter router;
  router.masquerade_all();
  router.from_lan(udp_packet(router.inner4, 5000, router.world4, 53));
  CHECK(router.host.stack.connections().size() == 1);
  router.host.stack.remove_address(router.wan, router.wan4, router.host.now);
  CHECK(router.host.stack.connections().empty());
}

TEST_CASE("NPTv6: one prefix stands for another both ways, with no state (RFC 6296)") {
  NatRouter router;
  const filter::PrefixNat rule{router.wan, cidr("fd01::/48"), cidr("2001:db8:aaaa::/48")};
  router.set({{}, {}, {rule}});
  const IpAddress outside = *filter::map_prefix(router.inner6, rule.internal, rule.external);
  router.from_lan(udp_packet(router.inner6, 5, router.world6, 6));
  CHECK(router.only() == std::pair{Ends{outside, 5, router.world6, 6}, router.wan});
  router.from_wan(tcp_packet(router.world6, 6, outside, 80, wire::kAck));
  CHECK(router.only() == std::pair{Ends{router.world6, 6, router.inner6, 80}, router.lan});
  CHECK(router.host.stack.connections().empty());
  // Hairpin (RFC 6296 5): one inner host to another by its outer address.
  const IpAddress other = ip("fd01::3");
  router.from_lan(udp_packet(other, 1, outside, 2));
  const IpAddress other_outside = *filter::map_prefix(other, rule.internal, rule.external);
  CHECK(router.only() == std::pair{Ends{other_outside, 1, router.inner6, 2}, router.lan});
  // An error from outside is about the inner address.
  router.from_wan(ipv6({.next_header = 58, .source = router.outer6, .destination = outside},
                       icmpv6(router.outer6, outside, {wire::kIcmpv6TimeExceeded, 0, 0},
                              udp_packet(outside, 5, router.world6, 6))));
  const auto sent = router.take();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].icmp());
  const Bytes message = sent[0].transport();
  CHECK(ends_of({message.begin() + 8, message.end()}).source == router.inner6);
}

TEST_CASE("an IPv4 prefix one to one, fragments and all") {
  NatRouter router;
  router.set({{}, {}, {{router.wan, cidr("10.1.0.0/24"), cidr("192.0.2.0/24")}}});
  router.from_lan(tcp_packet(router.inner4, 5, router.world4, 6, wire::kAck));
  CHECK(router.only().first == Ends{ip("192.0.2.2"), 5, router.world4, 6});
  router.from_wan(udp_packet(router.world4, 6, ip("192.0.2.2"), 5));
  CHECK(router.only().first == Ends{router.world4, 6, router.inner4, 5});
  router.from_lan(ipv4({.fragment_offset = 80,
                        .protocol = 17,
                        .source = router.inner4,
                        .destination = router.world4},
                       pattern(64)));
  const auto sent = router.take();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].ipv4()->checksum_ok);
  CHECK(sent[0].ipv4()->header.source == ip("192.0.2.2"));
  CHECK(sent[0].transport() == pattern(64));
  CHECK(router.host.stack.set_nat(
            {{}, {}, {{router.wan, cidr("10.1.0.0/24"), cidr("fd00::/24")}}}) == Errno::invalid);
}

TEST_CASE(
    "broken packets of all kinds neither pass nor hurt a router that filters and translates") {
  NatRouter router;
  filter::RuleSet filter;
  filter::Rule invalid;
  invalid.states = 1u << static_cast<unsigned>(filter::FlowState::invalid);
  invalid.action = filter::Action::drop;
  filter.rules = {invalid};
  router.host.stack.set_filter(filter);
  router.set({{masquerade(router)},
              {port_forward(router, 8080, router.inner4, 80)},
              {{router.wan, cidr("fd01::/48"), cidr("2001:db8:aaaa::/48")}}});
  KeyedRandom random({5, 6});
  const std::vector<Bytes> seeds{
      udp_packet(router.inner4, 5000, router.world4, 53),
      tcp_packet(router.inner4, 5000, router.world4, 80, wire::kSyn, 1, 2, pattern(30)),
      echo_packet(router.inner4, router.world4, true, 4),
      udp_packet(router.inner6, 5000, router.world6, 53),
      tcp_packet(router.inner6, 5000, router.world6, 80, wire::kAck, 1, 2, pattern(30)),
      ipv4({.protocol = 1, .source = router.inner4, .destination = router.world4},
           icmpv4({3, 1, 0}, udp_packet(router.world4, 53, router.inner4, 5000))),
  };
  for (int round = 0; round < 30'000; round++) {
    Bytes bytes = seeds[random.below(static_cast<std::uint32_t>(seeds.size()))];
    for (unsigned flips = random.below(5); flips > 0; flips--) {
      bytes[random.below(static_cast<std::uint32_t>(bytes.size()))] =
          static_cast<std::uint8_t>(random.next());
    }
    if (random.below(4) == 0)
      bytes.resize(1 + random.below(static_cast<std::uint32_t>(bytes.size())));
    if (bytes.size() >= 20 && bytes[0] >> 4 == 4 && (bytes[0] & 15) == 5) {
      wire::finish_ipv4(std::span(bytes).first(20));
    }
    if (random.below(2) == 0)
      router.from_lan(bytes);
    else
      router.from_wan(bytes);
    for (const Sent& frame : router.take()) {
      if (frame.interface != router.wan || frame.ethernet().type != wire::kEtherIpv4) continue;
      CHECK_FALSE(cidr("10.1.0.0/24").contains(frame.ipv4()->header.source));
    }
  }
  router.from_lan(udp_packet(router.inner4, 50'001, router.world4, 53));
  CHECK(router.only().first.source == router.wan4);
}

}  // namespace
}  // namespace vpollnet::test
