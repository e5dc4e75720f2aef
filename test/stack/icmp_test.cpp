// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include "test/stack/support/host.hpp"

namespace vpollnet::test {
namespace {

using wire::IcmpHeader;

/// A UDP socket of the host connected to the peer's port 7, and what it sent.
struct Connected {
  explicit Connected(Host& host, const IpAddress& peer) : socket(host.udp_socket(5000)) {
    host.know_peer();
    CHECK(socket.connect({peer, 7}, host.now) == Errno::ok);
    CHECK(socket.send(pattern(20), 0, host.now));
    quoted = host.take().at(0).payload();
  }
  Errno error() { return static_cast<Errno>(*socket.option(socket::Option::error)); }
  socket::Socket& socket;
  Bytes quoted;  ///< from the IP header on
};

Bytes error_v4(const Host& host, std::uint8_t type, std::uint8_t code, std::uint32_t rest,
               const Bytes& quoted) {
  return ipv4({.protocol = 1, .source = host.peer4, .destination = host.our4},
              icmpv4({type, code, rest}, quoted));
}
Bytes error_v6(const Host& host, std::uint8_t type, std::uint8_t code, std::uint32_t rest,
               const Bytes& quoted) {
  return ipv6({.next_header = 58, .source = host.peer6, .destination = host.our6},
              icmpv6(host.peer6, host.our6, {type, code, rest}, quoted));
}
Bytes to_port(const IpAddress& source, const IpAddress& destination, std::uint16_t port,
              std::size_t size = 4) {
  const Bytes datagram = udp(source, destination, 4000, port, pattern(size));
  if (source.is_v4()) {
    return ipv4({.protocol = 17, .source = source, .destination = destination}, datagram);
  }
  return ipv6({.next_header = 17, .source = source, .destination = destination}, datagram);
}

TEST_CASE("an echo request is answered from the address it asked, with its data") {
  Host host;
  host.with_ethernet();
  host.know_peer();
  const Bytes data = pattern(1000);
  host.receive_ipv4(
      ipv4({.traffic_class = 0x20, .protocol = 1, .source = host.peer4, .destination = host.our4},
           icmpv4(IcmpHeader::echo(8, 77, 3), data)));
  host.receive_ipv6(ipv6({.next_header = 58, .source = host.peer6, .destination = host.our6},
                         icmpv6(host.peer6, host.our6, IcmpHeader::echo(128, 77, 3), data)));
  const auto sent = host.take();
  REQUIRE(sent.size() == 2);
  REQUIRE(sent[0].icmp());
  CHECK(*sent[0].icmp() == IcmpHeader::echo(0, 77, 3));
  CHECK(sent[0].ipv4()->header.source == host.our4);
  CHECK(sent[0].ipv4()->header.traffic_class == 0x20);
  CHECK(sent[0].ipv4()->checksum_ok);
  REQUIRE(sent[1].icmp());
  CHECK(*sent[1].icmp() == IcmpHeader::echo(129, 77, 3));
  for (const Sent& reply : sent) {
    const Bytes message = reply.transport();
    CHECK(Bytes(message.begin() + 8, message.end()) == data);
  }
}

TEST_CASE("[V10] echo to groups, and echo shorter than its header, get no answer") {
  Host host;
  host.with_ethernet();
  host.know_peer();
  for (const auto* group : {"255.255.255.255", "10.0.0.255", "224.0.0.1"}) {
    const MacAddress to =
        ip(group).is_multicast() ? ip(group).multicast_mac() : MacAddress::broadcast();
    host.receive(ethernet(to, host.peer_mac, wire::kEtherIpv4,
                          ipv4({.protocol = 1, .source = host.peer4, .destination = ip(group)},
                               icmpv4(IcmpHeader::echo(8, 1, 1), {}))));
  }
  host.receive(
      ethernet(ip("ff02::1").multicast_mac(), host.peer_mac, wire::kEtherIpv6,
               ipv6({.next_header = 58, .source = host.peer6, .destination = ip("ff02::1")},
                    icmpv6(host.peer6, ip("ff02::1"), IcmpHeader::echo(128, 1, 1), {}))));
  CHECK(host.dropped(Drop::icmp_ignored) == 4);
  host.receive_ipv4(
      ipv4({.protocol = 1, .source = host.peer4, .destination = host.our4}, Bytes(7, 8)));
  host.receive_ipv6(
      ipv6({.next_header = 58, .source = host.peer6, .destination = host.our6}, Bytes(7, 128)));
  CHECK(host.dropped(Drop::icmp_malformed) == 2);
  CHECK(host.take().empty());
}

TEST_CASE("a bad ICMP checksum is counted, and one that the device has checked is believed") {
  Host host;
  host.with_ethernet();
  host.know_peer();
  Bytes echo = icmpv4(IcmpHeader::echo(8, 1, 1), {1, 2, 3});
  echo[9] ^= 1;
  const Bytes packet = ipv4({.protocol = 1, .source = host.peer4, .destination = host.our4}, echo);
  host.receive_ipv4(packet);
  CHECK(host.dropped(Drop::icmp_bad_checksum) == 1);
  Packet checked =
      packet_of(ethernet(host.our_mac, host.peer_mac, wire::kEtherIpv4, packet), host.pool);
  checked.checksum = ChecksumState::valid;
  host.stack.receive(host.eth0, std::move(checked), host.now);
  CHECK(host.take().size() == 1);
  Bytes six = ipv6({.next_header = 58, .source = host.peer6, .destination = host.our6},
                   icmpv6(host.peer6, host.our6, IcmpHeader::echo(128, 1, 1), {9}));
  six.back() ^= 1;
  host.receive_ipv6(six);
  CHECK(host.dropped(Drop::icmp_bad_checksum) == 2);
}

TEST_CASE("a datagram for a closed port is answered with what it was, cut to what the RFCs allow") {
  Host host;
  host.with_ethernet();
  host.know_peer();
  const Bytes four = to_port(host.peer4, host.our4, 9, 1000);
  host.receive_ipv4(four);
  const Bytes six = to_port(host.peer6, host.our6, 9, 1400);
  host.receive_ipv6(six);
  const auto sent = host.take();
  REQUIRE(sent.size() == 2);
  REQUIRE(sent[0].icmp());
  CHECK(*sent[0].icmp() == IcmpHeader{3, 3, 0});
  CHECK(sent[0].payload().size() == 576);
  CHECK(std::equal(four.begin(), four.begin() + 548, sent[0].transport().begin() + 8));
  REQUIRE(sent[1].icmp());
  CHECK(*sent[1].icmp() == IcmpHeader{1, 4, 0});
  CHECK(sent[1].payload().size() == 1280);
  const Bytes quoted = sent[1].transport();
  CHECK(std::equal(quoted.begin() + 8, quoted.end(), six.begin()));
}

TEST_CASE("[I05] unknown protocols and tunnels are answered as unreachable, not looked into") {
  Host host;
  host.with_ethernet();
  host.know_peer();
  const Bytes inner = to_port(host.peer4, host.our4, 9);
  for (const std::uint8_t protocol : {4, 41, 99}) {
    host.receive_ipv4(
        ipv4({.protocol = protocol, .source = host.peer4, .destination = host.our4}, inner));
    host.receive_ipv6(
        ipv6({.next_header = protocol, .source = host.peer6, .destination = host.our6}, inner));
  }
  const auto sent = host.take();
  REQUIRE(sent.size() == 6);
  for (std::size_t i = 0; i < 6; i += 2) {
    CHECK(*sent[i].icmp() == IcmpHeader{3, 2, 0});
    CHECK(*sent[i + 1].icmp() == IcmpHeader{4, 1, 6});  // pointer to Next Header
  }
  CHECK(host.dropped(Drop::ip_unknown_protocol) == 6);
  CHECK(host.dropped(Drop::udp_no_socket) == 0);
}

TEST_CASE("[C04] no error is sent about errors, groups, broadcast frames, or later fragments") {
  Host host;
  host.with_ethernet();
  host.know_peer();
  const auto quiet = [&](const Bytes& frame) {
    host.receive(frame);
    CHECK(host.take().empty());
  };
  const auto frame4 = [&](const MacAddress& to, const Bytes& packet) {
    return ethernet(to, host.peer_mac, wire::kEtherIpv4, packet);
  };
  const auto frame6 = [&](const MacAddress& to, const Bytes& packet) {
    return ethernet(to, host.peer_mac, wire::kEtherIpv6, packet);
  };
  quiet(frame4(MacAddress::broadcast(), to_port(host.peer4, ip("10.0.0.255"), 9)));
  quiet(frame4(ip("224.0.0.1").multicast_mac(), to_port(host.peer4, ip("224.0.0.1"), 9)));
  quiet(frame4(MacAddress::broadcast(), to_port(host.peer4, host.our4, 9)));  // link broadcast only
  quiet(frame6(ip("ff02::1").multicast_mac(), to_port(host.peer6, ip("ff02::1"), 9)));
  quiet(frame6(MacAddress::broadcast(), to_port(host.peer6, host.our6, 9)));
  // A fragment that is not the first, of an unknown protocol.
  quiet(frame4(
      host.our_mac,
      ipv4({.fragment_offset = 8, .protocol = 99, .source = host.peer4, .destination = host.our4},
           pattern(16))));
  // An error that quotes nonsense; an ICMPv6 error of an unknown type.
  quiet(frame4(host.our_mac, error_v4(host, 3, 3, 0, pattern(40))));
  quiet(frame6(host.our_mac, error_v6(host, 100, 0, 0, pattern(60))));
  // An ICMPv6 error behind an unknown option that asks for a report.
  const Bytes options{58, 0, 0x80 | 0x1e, 4, 0, 0, 0, 0};
  quiet(
      frame6(host.our_mac, ipv6({.next_header = 0, .source = host.peer6, .destination = host.our6},
                                options + icmpv6(host.peer6, host.our6, {1, 4, 0}, pattern(60)))));
}

TEST_CASE("[V02] an unknown option is reported or not as its two highest bits say") {
  Host host;
  host.with_ethernet();
  host.know_peer();
  const auto receive = [&](std::uint8_t action, const IpAddress& to) {
    const Bytes options{17, 0, static_cast<std::uint8_t>(action << 6 | 0x1e), 4, 0, 0, 0, 0};
    host.receive(ethernet(to.is_multicast() ? to.multicast_mac() : host.our_mac, host.peer_mac,
                          wire::kEtherIpv6,
                          ipv6({.next_header = 0, .source = host.peer6, .destination = to},
                               options + udp(host.peer6, to, 1, 9, {}))));
    return host.take();
  };
  auto sent = receive(0, host.our6);  // passed over: the port is closed
  REQUIRE(sent.size() == 1);
  CHECK(*sent[0].icmp() == IcmpHeader{1, 4, 0});
  CHECK(receive(1, host.our6).empty());
  sent = receive(2, host.our6);
  REQUIRE(sent.size() == 1);
  CHECK(*sent[0].icmp() == IcmpHeader{4, 2, 42});
  CHECK(receive(3, host.our6).size() == 1);
  sent = receive(2, ip("ff02::1"));
  REQUIRE(sent.size() == 1);  // RFC 4443 2.4 (e.3)
  CHECK(sent[0].ipv6()->source == host.our6);
  CHECK(receive(3, ip("ff02::1")).empty());
}

TEST_CASE("[C05] errors are limited for one destination, and for all together") {
  Host host;
  host.with_ethernet();
  host.know_peer();
  for (int i = 0; i < 1000; i++) host.receive_ipv4(to_port(host.peer4, host.our4, 9));
  CHECK(host.take().size() == 6);
  CHECK(host.dropped(Drop::icmp_rate_limited) == 994);
  host.run_for(10 * kSecond);
  host.know_peer();
  host.receive_ipv4(to_port(host.peer4, host.our4, 9));
  CHECK(host.take().size() == 1);
  // A thousand senders at once: between 42 and 50 answers, by chance. They are all off link, so
  // count what was let through.
  host.stack.add_route({cidr("0.0.0.0/0"), host.peer4, host.eth0});
  const auto before = host.dropped(Drop::icmp_rate_limited);
  for (int i = 0; i < 1000; i++) {
    const IpAddress from =
        IpAddress::v4(192, 0, static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i));
    host.receive_ipv4(to_port(from, host.our4, 9));
  }
  const auto passed = 1000 - (host.dropped(Drop::icmp_rate_limited) - before);
  CHECK(passed <= 50);
  CHECK(passed >= 30);
}

TEST_CASE("errors reach the socket with the errno that Linux gives") {
  struct Row {
    std::uint8_t type, code;
    Errno error;
  };
  SUBCASE("IPv4") {
    for (const Row& row : {Row{3, 2, Errno::no_protocol_option},
                           {3, 3, Errno::refused},
                           {3, 10, Errno::host_unreachable},
                           {3, 13, Errno::host_unreachable}}) {
      Host host;
      host.with_ethernet();
      Connected udp_peer(host, host.peer4);
      host.receive_ipv4(error_v4(host, row.type, row.code, 0, udp_peer.quoted));
      CHECK(udp_peer.error() == row.error);
    }
  }
  SUBCASE("IPv6") {
    for (const Row& row :
         {Row{1, 4, Errno::refused}, {1, 1, Errno::access_denied}, {4, 1, Errno::protocol}}) {
      Host host;
      host.with_ethernet();
      Connected udp_peer(host, host.peer6);
      host.receive_ipv6(error_v6(host, row.type, row.code, 0, udp_peer.quoted));
      CHECK(udp_peer.error() == row.error);
    }
  }
}

TEST_CASE("[C01] errors with a cut quotation, or about packets that we did not send, are ignored") {
  Host host;
  host.with_ethernet();
  Connected peer(host, host.peer4);
  for (std::size_t length = 0; length < 28; length++) {
    host.receive_ipv4(error_v4(
        host, 3, 3, 0,
        Bytes(peer.quoted.begin(), peer.quoted.begin() + static_cast<std::ptrdiff_t>(length))));
  }
  CHECK(host.dropped(Drop::icmp_malformed) == 28);
  Bytes other = peer.quoted;
  other[15] = 9;  // 10.0.0.9 is not our address
  host.receive_ipv4(error_v4(host, 3, 3, 0, other));
  CHECK(host.dropped(Drop::icmp_ignored) == 1);
  Bytes port = peer.quoted;
  port[23] ^= 1;  // another destination port
  host.receive_ipv4(error_v4(host, 3, 3, 0, port));
  CHECK(peer.error() == Errno::ok);
  CHECK(host.take().empty());
}

TEST_CASE(
    "[C02] the path MTU goes down as a router says, to a floor, and comes back in ten minutes") {
  Host host;
  host.with_ethernet();
  Connected peer(host, host.peer4);
  const auto largest = [&] {
    CHECK(peer.socket.send(pattern(1400), 0, host.now));
    std::size_t size = 0;
    for (const Sent& sent : host.take()) size = std::max(size, sent.payload().size());
    return size;
  };
  CHECK(largest() == 1428);
  host.receive_ipv4(error_v4(host, 3, 4, 1000, peer.quoted));
  CHECK(largest() <= 1000);
  host.receive_ipv4(error_v4(host, 3, 4, 1400, peer.quoted));  // never wider
  CHECK(largest() <= 1000);
  CHECK(host.dropped(Drop::icmp_ignored) == 1);
  for (const std::uint32_t mtu : {68u, 0u}) {
    host.receive_ipv4(error_v4(host, 3, 4, mtu, peer.quoted));
    const std::size_t size = largest();
    CHECK(size <= 552);
    CHECK(size > 540);
  }
  host.run_for(601 * kSecond);
  host.know_peer();
  CHECK(largest() == 1428);
}

TEST_CASE("[V11] Packet Too Big below 1280 leaves 1280, and makes no atomic fragments") {
  Host host;
  host.with_ethernet();
  Connected peer(host, host.peer6);
  host.receive_ipv6(error_v6(host, 2, 0, 600, peer.quoted));
  CHECK(peer.socket.send(pattern(1232), 0, host.now));
  auto sent = host.take();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].payload().size() == 1280);
  CHECK(sent[0].ipv6()->next_header == 17);
  CHECK(peer.socket.send(pattern(1233), 0, host.now));
  sent = host.take();
  REQUIRE(sent.size() == 2);
  CHECK(sent[0].ipv6()->next_header == wire::kNextFragment);
  CHECK(sent[0].payload().size() <= 1280);
}

TEST_CASE("[C06] source quench, redirects, timestamps and address masks are ignored") {
  Host host;
  host.with_ethernet();
  host.know_peer();
  for (const std::uint8_t type : {4, 5, 9, 10, 13, 14, 15, 16, 17, 18, 40, 255}) {
    host.receive_ipv4(error_v4(host, type, 0, 0, pattern(40)));
  }
  CHECK(host.dropped(Drop::icmp_ignored) == 12);
  CHECK(host.take().empty());
}

TEST_CASE("a ping socket hears the echo of its own packets, over the wire and over loopback") {
  Host host;
  host.with_ethernet();
  host.know_peer();
  socket::Socket& ping = **host.stack.sockets().open(socket::Type::ping);
  CHECK(ping.send_to(pattern(9), {host.peer4, 0}, 0, host.now));
  const auto request = host.take().at(0);
  CHECK(request.icmp()->type == 8);
  Bytes answer = request.transport();
  answer.erase(answer.begin(), answer.begin() + 8);
  host.receive_ipv4(
      ipv4({.protocol = 1, .source = host.peer4, .destination = host.our4},
           icmpv4(IcmpHeader::echo(0, request.icmp()->identifier(), request.icmp()->sequence()),
                  answer)));
  std::array<std::uint8_t, 100> buffer;
  const auto received = ping.receive(buffer, 0, host.now);
  REQUIRE(received);
  CHECK(received->from.address == host.peer4);
  for (const auto* own : {"127.0.0.1", "::1", "10.0.0.1", "fd00::1"}) {
    CHECK(ping.send_to(pattern(9), {ip(own), 0}, 0, host.now));
    host.settle();
    const auto echoed = ping.receive(buffer, 0, host.now);
    REQUIRE(echoed);
    CHECK(echoed->from.address == ip(own));
    CHECK(Bytes(buffer.begin(), buffer.begin() + 9) == pattern(9));
  }
  CHECK(host.take().empty());
}

}  // namespace
}  // namespace vpollnet::test
