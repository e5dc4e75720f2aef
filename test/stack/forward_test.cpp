// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include "test/stack/support/router.hpp"

namespace vpollnet::test {
namespace {

/// What the ICMP error in `frame` quotes, from its IP header on.
Bytes quote_of(const Sent& frame) {
  const Bytes message = frame.transport();
  return {message.begin() + wire::kIcmpHeader, message.end()};
}

TEST_CASE("a host forwards nothing, and a stack is a host unless it is told otherwise") {
  Router router;
  router.from_lan(udp_packet(router.inner4, 1000, router.outer4, 2000));
  router.from_lan(udp_packet(router.inner6, 1000, router.outer6, 2000));
  CHECK(router.take().empty());
  CHECK(router.host.dropped(Drop::ipv4_not_for_us) == 1);
  CHECK(router.host.dropped(Drop::ipv6_not_for_us) == 1);
}

TEST_CASE("a packet goes on to the next link with one hop less, and is otherwise as it was") {
  Router router;
  router.forward();
  for (const auto& [from, to] :
       {std::pair{router.inner4, router.outer4}, {router.inner6, router.outer6}}) {
    const Bytes packet = udp_packet(from, 1000, to, 2000, pattern(100), 9);
    router.from_lan(packet);
    const auto sent = router.take();
    REQUIRE(sent.size() == 1);
    CHECK(sent[0].interface == router.wan);
    CHECK(sent[0].ethernet().source == mac(0x03));
    CHECK(sent[0].ethernet().destination == mac(0x22));
    Bytes expected = packet;
    if (from.is_v4()) {
      CHECK(sent[0].ipv4()->checksum_ok);  // RFC 1624
      expected[8] = 8;
      wire::finish_ipv4(std::span(expected).first(20));
    } else {
      expected[7] = 8;
    }
    CHECK(sent[0].payload() == expected);
  }
}

TEST_CASE("every TTL keeps a right checksum on its way (RFC 1624)") {
  Router router;
  router.forward();
  for (unsigned ttl = 2; ttl < 256; ttl++) {
    router.from_lan(udp_packet(router.inner4, 1000, router.outer4, static_cast<std::uint16_t>(ttl),
                               {}, static_cast<std::uint8_t>(ttl)));
  }
  const auto sent = router.take();
  REQUIRE(sent.size() == 254);
  for (const Sent& frame : sent) CHECK(frame.ipv4()->checksum_ok);
}

TEST_CASE("with its last hop a packet ends here, and its sender is told (RFC 1812 5.3.1)") {
  Router router;
  router.forward();
  const Bytes v4 = udp_packet(router.inner4, 1000, router.world4, 2000, {1}, 1);
  router.from_lan(v4);
  auto sent = router.take();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].interface == router.lan);
  CHECK(sent[0].icmp() == wire::IcmpHeader{wire::kIcmpv4TimeExceeded, 0, 0});
  CHECK(sent[0].ipv4()->header.source == router.lan4);
  CHECK(sent[0].ipv4()->header.destination == router.inner4);
  CHECK(quote_of(sent[0]) == v4);

  const Bytes v6 = udp_packet(router.inner6, 1000, router.world6, 2000, {1}, 1);
  router.from_lan(v6);
  sent = router.take();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].icmp() == wire::IcmpHeader{wire::kIcmpv6TimeExceeded, 0, 0});
  CHECK(sent[0].ipv6()->source == router.lan6);
  CHECK(quote_of(sent[0]) == v6);
  CHECK(router.host.dropped(Drop::ip_hop_limit) == 2);
}

TEST_CASE("[C04] no error answers an error or a fragment that is not the first") {
  Router router;
  router.forward();
  const Bytes error =
      icmpv4({wire::kIcmpv4TimeExceeded, 0, 0}, udp_packet(router.world4, 1, router.inner4, 2));
  router.from_lan(
      ipv4({.hop_limit = 1, .protocol = 1, .source = router.inner4, .destination = router.world4},
           error));
  router.from_lan(ipv4({.fragment_offset = 800,
                        .hop_limit = 1,
                        .protocol = 17,
                        .source = router.inner4,
                        .destination = router.world4},
                       pattern(100)));
  CHECK(router.take().empty());
  CHECK(router.host.dropped(Drop::ip_hop_limit) == 2);
}

TEST_CASE("where no route leads, the network is unreachable (RFC 1812 5.2.7.1, RFC 4443 3.1)") {
  Router router;
  router.forward();
  router.host.stack.remove_route({.destination = cidr("0.0.0.0/0"), .gateway = router.outer4});
  router.host.stack.remove_route({.destination = cidr("::/0"), .gateway = router.outer6});
  router.from_lan(udp_packet(router.inner4, 1000, router.world4, 2000));
  router.from_lan(udp_packet(router.inner6, 1000, router.world6, 2000));
  const auto sent = router.take();
  REQUIRE(sent.size() == 2);
  CHECK(sent[0].icmp() ==
        wire::IcmpHeader{wire::kIcmpv4Unreachable, wire::kIcmpv4NetUnreachable, 0});
  CHECK(sent[1].icmp() == wire::IcmpHeader{wire::kIcmpv6Unreachable, wire::kIcmpv6NoRoute, 0});
  CHECK(router.host.dropped(Drop::forward_no_route) == 2);
}

TEST_CASE("a next hop that does not answer makes the host unreachable (RFC 4861 7.2.2)") {
  Router router;
  router.forward();
  router.from_lan(udp_packet(router.inner4, 1000, ip("10.2.0.99"), 2000));
  router.from_lan(udp_packet(router.inner6, 1000, ip("fd02::99"), 2000));
  router.host.run_for(5 * kSecond);
  std::vector<wire::IcmpHeader> errors;
  for (const Sent& frame : router.take()) {
    const auto icmp = frame.interface == router.lan ? frame.icmp() : std::nullopt;
    if (icmp && icmp->type < 100) errors.push_back(*icmp);  // no neighbour discovery
  }
  REQUIRE(errors.size() == 2);
  CHECK(errors[0] == wire::IcmpHeader{wire::kIcmpv4Unreachable, wire::kIcmpv4HostUnreachable, 0});
  CHECK(errors[1] ==
        wire::IcmpHeader{wire::kIcmpv6Unreachable, wire::kIcmpv6AddressUnreachable, 0});
}

TEST_CASE("a packet with DF that does not fit is answered with the MTU (RFC 1191 4)") {
  Router router({.wan_mtu = 1000});
  router.forward();
  wire::Ipv4Header header{
      .dont_fragment = true, .protocol = 17, .source = router.inner4, .destination = router.outer4};
  router.from_lan(ipv4(header, udp(router.inner4, router.outer4, 1, 2, pattern(973))));
  auto sent = router.take();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].interface == router.lan);
  CHECK(sent[0].icmp() ==
        wire::IcmpHeader{wire::kIcmpv4Unreachable, wire::kIcmpv4FragmentationNeeded, 1000});
  CHECK(router.host.dropped(Drop::forward_too_big) == 1);

  router.from_lan(ipv4(header, udp(router.inner4, router.outer4, 1, 2, pattern(972))));
  sent = router.take();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].interface == router.wan);
}

TEST_CASE("an IPv6 packet that does not fit is Packet Too Big, never cut (RFC 8200 5)") {
  Router router({.wan_mtu = 1280});
  router.forward();
  router.from_lan(udp_packet(router.inner6, 1, router.outer6, 2, pattern(1233)));
  const auto sent = router.take();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].interface == router.lan);
  CHECK(sent[0].icmp() == wire::IcmpHeader{wire::kIcmpv6PacketTooBig, 0, 1280});
  CHECK(sent[0].payload().size() == 1280);  // RFC 4443 2.4 (c)
}

TEST_CASE("path MTU discovery is told to each of many flows of one host") {
  Router router({.wan_mtu = 1280});
  router.forward();
  for (std::uint16_t flow = 0; flow < 30; flow++) {
    router.from_lan(udp_packet(router.inner6, flow, router.outer6, 2, pattern(1300)));
  }
  CHECK(router.take().size() == 30);
}

TEST_CASE("without DF an IPv4 packet is cut up, and its fragments again (RFC 1812 5.2.6)") {
  Router router({.wan_mtu = 596});
  router.forward();
  const Bytes datagram = udp(router.inner4, router.outer4, 1, 2, pattern(1400));
  const wire::Ipv4Header whole{
      .identification = 99, .protocol = 17, .source = router.inner4, .destination = router.outer4};
  const auto together = [&](std::vector<Sent> frames) {
    Bytes data(datagram.size());
    for (const Sent& frame : frames) {
      const auto parsed = frame.ipv4();
      REQUIRE(parsed->checksum_ok);
      CHECK(frame.payload().size() <= 596);
      CHECK(parsed->header.identification == 99);
      CHECK(parsed->header.hop_limit == 63);
      const Bytes part = frame.transport();
      std::copy(part.begin(), part.end(), data.begin() + parsed->header.fragment_offset);
      CHECK(parsed->header.more_fragments ==
            (parsed->header.fragment_offset + part.size() < datagram.size()));
    }
    return data;
  };
  router.from_lan(ipv4(whole, datagram));
  CHECK(together(router.take()) == datagram);

  wire::Ipv4Header first = whole;
  first.more_fragments = true;
  wire::Ipv4Header second = whole;
  second.fragment_offset = 800;
  router.from_lan(ipv4(first, {datagram.begin(), datagram.begin() + 800}));
  router.from_lan(ipv4(second, {datagram.begin() + 800, datagram.end()}));
  CHECK(together(router.take()) == datagram);
}

TEST_CASE("an option without the copied flag is in the first fragment alone (RFC 791 3.1)") {
  Router router({.wan_mtu = 576});
  router.forward();
  Bytes packet;
  const wire::Ipv4Header header{.identification = 5,
                                .protocol = 17,
                                .source = router.inner4,
                                .destination = router.outer4,
                                .payload_length = 1000,
                                .router_alert = true};
  // Record Route of one entry, empty, after Router Alert.
  packet.resize(32);
  wire::emit_ipv4(header, std::span(packet).first(24));
  const Bytes record_route{7, 7, 4, 0, 0, 0, 0, 0};
  std::copy(record_route.begin(), record_route.end(), packet.begin() + 24);
  packet[0] = 0x48;
  wire::store16(&packet[2], 1032);
  wire::finish_ipv4(packet);
  router.from_lan(packet + pattern(1000));
  const auto sent = router.take();
  REQUIRE(sent.size() == 2);
  CHECK(sent[0].payload()[24] == 7);
  CHECK(sent[1].payload()[24] == 1);
  CHECK(sent[1].payload()[20] == 148);  // copied
  CHECK(sent[1].ipv4()->checksum_ok);
}

TEST_CASE("fragments go on as fragments, of both families") {
  Router router;
  router.forward();
  router.from_lan(ipv4({.identification = 1,
                        .more_fragments = true,
                        .protocol = 17,
                        .source = router.inner4,
                        .destination = router.outer4},
                       pattern(80)));
  Bytes part(wire::kIpv6FragmentHeader);
  wire::emit_ipv6_fragment({17, 80, false, 9}, part);
  router.from_lan(ipv6(
      {.next_header = wire::kNextFragment, .source = router.inner6, .destination = router.outer6},
      part + pattern(80)));
  const auto sent = router.take();
  REQUIRE(sent.size() == 2);
  CHECK(sent[0].ipv4()->header.more_fragments);
  CHECK(sent[1].ipv6()->next_header == wire::kNextFragment);
}

TEST_CASE("addresses that no router passes on are dropped (RFC 1812 5.3.7, RFC 4291 2.5)") {
  Router router;
  router.forward({.enabled = true, .interfaces = {}, .reverse_path = ReversePath::off});
  const auto blocked = [&](const IpAddress& from, const IpAddress& to) {
    router.from_lan(udp_packet(from, 1, to, 2));
    for (const Sent& frame : router.take()) {
      if (frame.interface == router.wan) return false;
    }
    return true;
  };
  CHECK_FALSE(blocked(router.inner4, router.world4));
  CHECK_FALSE(blocked(router.inner6, router.world6));
  for (const char* bad : {"0.0.0.0", "0.1.2.3", "127.0.0.1", "169.254.1.1", "224.0.0.9",
                          "240.0.0.1", "255.255.255.255", "10.2.0.255", "10.1.0.255"}) {
    CAPTURE(bad);
    CHECK(blocked(ip(bad), router.world4));
    CHECK(blocked(router.inner4, ip(bad)));
  }
  for (const char* bad : {"::", "::1", "fe80::5", "ff02::1", "ff0e::1", "::ffff:10.0.0.1"}) {
    CAPTURE(bad);
    CHECK(blocked(ip(bad), router.world6));
    CHECK(blocked(router.inner6, ip(bad)));
  }
  CHECK(blocked(router.wan4, router.world4));
  CHECK(blocked(router.lan6, router.world6));
}

TEST_CASE("a link-local source cannot leave its link, and is told so (RFC 4443 3.1, RFC 4007 9)") {
  Router router;
  InterfaceConfig config = router.host.config("spare", 0x05);
  config.ipv6 = true;
  const InterfaceId spare = *router.host.stack.add_interface(config, router.host.now);
  router.forward();
  const IpAddress neighbour = ip("fe80::77");
  const IpAddress ours = router.host.stack.addresses().back().address.address;
  router.receive(spare, mac(0x05), mac(0x55),
                 ndp(neighbour, ours, wire::NeighbourSolicitation{ours, mac(0x55), std::nullopt}));
  router.take();
  router.receive(spare, mac(0x05), mac(0x55), udp_packet(neighbour, 1, router.world6, 2));
  const auto sent = router.take();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].interface == spare);
  CHECK(sent[0].icmp() == wire::IcmpHeader{wire::kIcmpv6Unreachable, wire::kIcmpv6BeyondScope, 0});
}

TEST_CASE("what came as a link-layer broadcast is not forwarded (RFC 1812 5.3.4)") {
  Router router;
  router.forward();
  router.receive(router.lan, MacAddress::broadcast(), mac(0x12),
                 udp_packet(router.inner4, 1, router.outer4, 2));
  CHECK(router.take().empty());
}

TEST_CASE("a source route is refused") {
  Router router;
  router.forward();
  Bytes packet(28);
  const wire::Ipv4Header header{
      .protocol = 17, .source = router.inner4, .destination = router.outer4, .router_alert = true};
  wire::emit_ipv4(header, std::span(packet).first(24));
  const Bytes loose{131, 7, 4, 9, 9, 9, 9, 0};
  std::copy(loose.begin(), loose.end(), packet.begin() + 20);
  packet[0] = 0x47;
  wire::store16(&packet[2], 28);
  wire::finish_ipv4(packet);
  router.from_lan(packet);
  CHECK(router.take().empty());
  CHECK(router.host.dropped(Drop::ipv4_source_route) == 1);
}

TEST_CASE(
    "a source that belongs to another link is dropped; loose and off let it pass (RFC 3704 2)") {
  Router router;
  const auto passes = [&](ReversePath mode, const IpAddress& from, const IpAddress& to) {
    router.forward({.enabled = true, .interfaces = {}, .reverse_path = mode});
    router.from_lan(udp_packet(from, 1, to, 2));
    return !router.take().empty();
  };
  CHECK_FALSE(passes(ReversePath::strict, ip("10.2.0.50"), router.world4));
  CHECK_FALSE(passes(ReversePath::strict, router.world6, router.outer6));
  CHECK(router.host.dropped(Drop::ip_reverse_path) == 2);
  CHECK(passes(ReversePath::loose, ip("10.2.0.50"), router.world4));
  CHECK(passes(ReversePath::off, ip("10.2.0.50"), router.world4));
  router.host.stack.remove_route({.destination = cidr("0.0.0.0/0"), .gateway = router.outer4});
  CHECK_FALSE(passes(ReversePath::loose, ip("203.0.113.9"), router.outer4));
  CHECK(passes(ReversePath::off, ip("203.0.113.9"), router.outer4));
}

TEST_CASE("with interfaces named, packets come and go over those alone") {
  Router router;
  CHECK(router.host.stack.set_forwarding({.enabled = true, .interfaces = {99}}) ==
        Errno::no_such_device);
  CHECK(router.host.stack.set_forwarding({.enabled = true, .interfaces = {1}}) == Errno::invalid);
  router.forward({.enabled = true, .interfaces = {router.lan}});
  router.from_lan(udp_packet(router.inner4, 1, router.outer4, 2));
  REQUIRE(router.take().size() == 1);  // unreachable
  CHECK(router.host.dropped(Drop::forward_no_route) == 1);
  router.from_wan(udp_packet(router.outer4, 1, router.inner4, 2));
  CHECK(router.take().empty());
  router.forward({.enabled = true, .interfaces = {router.lan, router.wan}});
  router.from_wan(udp_packet(router.outer4, 1, router.inner4, 2));
  CHECK(router.take().size() == 1);
  router.forward({});
  router.from_wan(udp_packet(router.outer4, 1, router.inner4, 2));
  CHECK(router.take().empty());
}

TEST_CASE("packets for an address of the router's are the router's, on whichever link it is") {
  Router router;
  router.forward();
  const socket::Socket& socket = router.host.udp_socket(7);
  router.from_lan(udp_packet(router.inner4, 1, router.wan4, 7));
  CHECK((socket.readiness() & socket::kIn) != 0);
  CHECK(router.take().empty());
}

TEST_CASE("a router says in its advertisements that it is one (RFC 4861 7.2.4)") {
  Router router;
  const Bytes question = ndp(router.inner6, router.lan6,
                             wire::NeighbourSolicitation{router.lan6, mac(0x12), std::nullopt});
  router.from_lan(question);
  CHECK_FALSE(router.take().at(0).advertisement()->router);
  router.forward();
  router.from_lan(question);
  CHECK(router.take().at(0).advertisement()->router);
}

// --- large packets
// -----------------------------------------------------------------------------------------

/// A TCP segment of `data` bytes in its IPv4 packet, for the device to cut up, as a TAP gives it.
Packet large_packet(Router& router, std::size_t data, bool dont_fragment, std::uint16_t segment) {
  Bytes header(wire::kTcpHeaderMin);
  wire::TcpHeader fields;
  fields.sequence = 1000;
  fields.flags = wire::kAck;
  wire::emit_tcp(fields, header);
  const Bytes tcp = header + pattern(data);
  Bytes packet = ipv4({.dont_fragment = dont_fragment,
                       .protocol = 6,
                       .source = router.inner4,
                       .destination = router.outer4},
                      tcp);
  const std::uint16_t pseudo =
      wire::pseudo_header(router.inner4, router.outer4, 6, static_cast<std::uint32_t>(tcp.size()))
          .folded();
  wire::store16(&packet[20 + wire::kTcpChecksumOffset], pseudo);
  Packet frame =
      packet_of(ethernet(mac(0x01), mac(0x12), wire::kEtherIpv4, packet), router.host.pool);
  frame.gso_size = segment;
  frame.checksum = ChecksumState::partial;
  frame.checksum_from_end = static_cast<std::uint32_t>(tcp.size());
  frame.checksum_field = wire::kTcpChecksumOffset;
  return frame;
}

TEST_CASE("a large packet goes whole to a link that cuts it up itself") {
  const Offloads all{.segmentation = true, .checksum = true};
  Router router({.lan_offloads = all, .wan_offloads = all});
  router.forward();
  router.host.stack.receive(router.lan, large_packet(router, 40'000, true, 1460), router.host.now);
  const auto sent = router.take();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].payload().size() == 40'040);
  CHECK(sent[0].gso_size == 1460);
  CHECK(sent[0].checksum == ChecksumState::partial);
}

TEST_CASE("a large packet is cut up and summed for a link that cannot do that") {
  Router router({.lan_offloads = {.segmentation = true, .checksum = true}});
  router.forward();
  router.host.stack.receive(router.lan, large_packet(router, 40'000, true, 1460), router.host.now);
  const auto sent = router.take();
  REQUIRE(sent.size() == 28);
  Bytes data;
  for (const Sent& frame : sent) {
    CHECK(frame.payload().size() <= 1500);
    CHECK(frame.gso_size == 0);
    const Bytes segment = frame.transport();
    CHECK(wire::transport_checksum_ok(packet_of(segment, router.host.pool), router.inner4,
                                      router.outer4, 6));
    data.insert(data.end(), segment.begin() + wire::kTcpHeaderMin, segment.end());
  }
  CHECK(data == pattern(40'000));
}

TEST_CASE("the MTU is compared with a large packet's segments (RFC 1191 4)") {
  const Offloads all{.segmentation = true, .checksum = true};
  Router router({.lan_mtu = 9000, .wan_mtu = 1500, .lan_offloads = all, .wan_offloads = all});
  router.forward();
  router.host.stack.receive(router.lan, large_packet(router, 40'000, true, 8960), router.host.now);
  auto sent = router.take();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].icmp() ==
        wire::IcmpHeader{wire::kIcmpv4Unreachable, wire::kIcmpv4FragmentationNeeded, 1500});

  router.host.stack.receive(router.lan, large_packet(router, 20'000, false, 8960), router.host.now);
  sent = router.take();
  CHECK(sent.size() == 2 * 7 + 2);  // two segments of 8,980 bytes and one of 2,100
  for (const Sent& frame : sent) CHECK(frame.payload().size() <= 1500);
}

}  // namespace
}  // namespace vpollnet::test
