// SPDX-License-Identifier: MIT
// Packets for addresses that are not the stack's, answered in the name of their destination.
#include <doctest/doctest.h>

#include <stdexcept>

#include "test/stack/support/intercepted.hpp"

namespace vpollnet::test {
namespace {

using socket::Option;
using socket::Type;

/// What the ICMP error in `frame` quotes, from its IP header on.
Bytes quote_of(const Sent& frame) {
  const Bytes message = frame.transport();
  return {message.begin() + wire::kIcmpHeader, message.end()};
}

/// An ICMP error from `reporter` to `to` about `about`.
Bytes error_packet(const IpAddress& reporter, const IpAddress& to, wire::IcmpHeader header,
                   const Bytes& about) {
  if (to.is_v4()) return packet(reporter, to, 1, icmpv4(header, about));
  return packet(reporter, to, 58, icmpv6(reporter, to, header, about));
}

TEST_CASE("a SYN for somebody else is handed out unanswered, again each time it comes again") {
  Intercepted bench;
  for (const IpAddress& to : {bench.world4, bench.world6}) {
    const IpAddress& peer = to.is_v4() ? bench.host.peer4 : bench.host.peer6;
    bench.from_peer(tcp_packet(peer, to, Intercepted::syn()));
    bench.host.run_for(kSecond);
    bench.from_peer(tcp_packet(peer, to, Intercepted::syn()));
    CHECK(bench.take().empty());
    REQUIRE(bench.noting.syns.size() == 2);
    const socket::InterceptedSyn& got = bench.noting.syns[1];
    CHECK(got.meta.source == peer);
    CHECK(got.meta.destination == to);
    CHECK(got.meta.interface == bench.host.eth0);
    CHECK(got.meta.foreign);
    CHECK(got.header.source_port == 40'000);
    CHECK(got.header.destination_port == 80);
    CHECK(got.header.mss == std::uint16_t{1460});

    const auto accepted = bench.sockets().accept(got, bench.host.now);
    REQUIRE(accepted);
    CHECK((*accepted)->local() == Endpoint{to, 80, kAnyInterface});
    CHECK(std::string((*accepted)->state()) == "SYN-RECEIVED");
    const Sent answer = bench.taken();
    CHECK(source_of(answer) == to);
    CHECK(destination_of(answer) == peer);
    CHECK(tcp_of(answer)->flags == (wire::kSyn | wire::kAck));
    CHECK(tcp_of(answer)->acknowledgment == 1001);
    CHECK(bench.sockets().accept(got, bench.host.now).error() == Errno::address_in_use);
    bench.noting.syns.clear();
    (*accepted)->set_option(Option::linger, 0, bench.host.now);
    (*accepted)->close(bench.host.now);
    bench.host.sent.clear();
  }
}

TEST_CASE("a request is refused with RST in the name of its destination (RFC 9293 3.10.7.1)") {
  Intercepted bench;
  for (const IpAddress& to : {bench.world4, bench.world6}) {
    const IpAddress& peer = to.is_v4() ? bench.host.peer4 : bench.host.peer6;
    bench.from_peer(tcp_packet(peer, to, Intercepted::syn()));
    bench.sockets().refuse(bench.noting.syns.back(), bench.host.now);
    const Sent answer = bench.taken();
    CHECK(source_of(answer) == to);
    CHECK(tcp_of(answer)->flags == (wire::kRst | wire::kAck));
    CHECK(tcp_of(answer)->acknowledgment == 1001);
  }
}

TEST_CASE("a segment of no connection is reset, and a RST answered with nothing") {
  Intercepted bench;
  wire::TcpHeader stray = Intercepted::syn();
  stray.flags = wire::kAck;
  stray.acknowledgment = 77;
  bench.from_peer(tcp_packet(bench.host.peer4, bench.world4, stray));
  const Sent answer = bench.taken();
  CHECK(source_of(answer) == bench.world4);
  CHECK(tcp_of(answer)->flags == wire::kRst);
  CHECK(tcp_of(answer)->sequence == 77);
  stray.flags = wire::kRst;
  bench.from_peer(tcp_packet(bench.host.peer4, bench.world4, stray));
  CHECK(bench.take().empty());
  CHECK(bench.noting.nothing());
}

TEST_CASE("a connection in somebody else's name carries bytes, and its end, both ways") {
  Intercepted bench;
  for (const IpAddress& to : {bench.world4, bench.world6}) {
    const IpAddress& peer = to.is_v4() ? bench.host.peer4 : bench.host.peer6;
    wire::TcpHeader next;
    socket::Socket& socket = bench.established(to, next);
    CHECK(std::string(socket.state()) == "ESTABLISHED");
    CHECK(socket.peer()->address == peer);
    bench.from_peer(tcp_packet(peer, to, next, {'h', 'i'}));
    std::array<std::uint8_t, 10> buffer{};
    const auto got = socket.receive(buffer, 0, bench.host.now);
    REQUIRE(got);
    CHECK(got->copied == 2);
    bench.host.sent.clear();
    REQUIRE(socket.send(Bytes{'y', 'o'}, 0, bench.host.now));
    const Sent data = bench.taken();
    CHECK(source_of(data) == to);
    const Bytes segment = data.transport();
    CHECK(Bytes(segment.end() - 2, segment.end()) == Bytes{'y', 'o'});
    socket.close(bench.host.now);
    CHECK((tcp_of(bench.taken())->flags & wire::kFin) != 0);
  }
}

TEST_CASE("a connection in TIME-WAIT makes room for a new request of the same peer (RFC 6191 2)") {
  Intercepted bench;
  wire::TcpHeader next;
  socket::Socket& socket = bench.established(bench.world4, next);
  socket.close(bench.host.now);
  const wire::TcpHeader fin = tcp_of(bench.taken()).value();
  next.acknowledgment = fin.sequence + 1;
  next.flags = wire::kAck | wire::kFin;
  bench.from_peer(tcp_packet(bench.host.peer4, bench.world4, next));
  bench.host.sent.clear();
  REQUIRE(bench.sockets().list().size() == 1);
  CHECK(std::string(bench.sockets().list()[0].state) == "TIME-WAIT");
  // An old duplicate is not one.
  bench.from_peer(tcp_packet(bench.host.peer4, bench.world4, Intercepted::syn(40'000, 900)));
  CHECK(bench.noting.nothing());
  bench.host.sent.clear();
  bench.from_peer(tcp_packet(bench.host.peer4, bench.world4, Intercepted::syn(40'000, 5000)));
  REQUIRE(bench.noting.syns.size() == 1);
  CHECK(bench.sockets().accept(bench.noting.syns[0], bench.host.now));
  CHECK(tcp_of(bench.taken())->acknowledgment == 5001);
}

TEST_CASE("what is for others goes to no socket of the stack, whatever it is bound to") {
  Intercepted bench;
  socket::Socket& any_udp = bench.host.udp_socket(53);
  socket::Socket& any_tcp = **bench.sockets().open(Type::tcp);
  REQUIRE(any_tcp.bind({{}, 80}, bench.host.now) == Errno::ok);
  REQUIRE(any_tcp.listen(4, bench.host.now) == Errno::ok);
  for (const IpAddress& to : {bench.world4, bench.world6}) {
    const IpAddress& peer = to.is_v4() ? bench.host.peer4 : bench.host.peer6;
    bench.from_peer(packet(peer, to, 17, udp(peer, to, 1000, 53, {1, 2, 3})));
    bench.from_peer(tcp_packet(peer, to, Intercepted::syn()));
  }
  CHECK(bench.take().empty());
  CHECK((any_udp.readiness() & socket::kIn) == 0);
  CHECK((any_tcp.readiness() & socket::kIn) == 0);
  REQUIRE(bench.noting.datagrams.size() == 2);
  CHECK(bench.noting.datagrams[0].payload == Bytes{1, 2, 3});
  CHECK(bench.noting.datagrams[0].ports.source == 1000);
  CHECK(bench.noting.datagrams[0].ports.destination == 53);
  CHECK(bench.noting.datagrams[1].meta.destination == bench.world6);
  CHECK(bench.noting.syns.size() == 2);
  // What is for us goes to them first, and only then to the interceptor.
  bench.from_peer(packet(bench.host.peer4, bench.host.our4, 17,
                         udp(bench.host.peer4, bench.host.our4, 1000, 53, {4})));
  bench.from_peer(packet(bench.host.peer4, bench.host.our4, 17,
                         udp(bench.host.peer4, bench.host.our4, 1000, 54, {5})));
  CHECK((any_udp.readiness() & socket::kIn) != 0);
  REQUIRE(bench.noting.datagrams.size() == 3);
  CHECK(bench.noting.datagrams[2].payload == Bytes{5});
  CHECK(!bench.noting.datagrams[2].meta.foreign);
}

TEST_CASE("a datagram goes out in somebody else's name, cut up where it does not fit") {
  Intercepted bench;
  for (const IpAddress& from : {bench.world4, bench.world6}) {
    const IpAddress& peer = from.is_v4() ? bench.host.peer4 : bench.host.peer6;
    const auto send = [&](std::size_t size) {
      return bench.host.stack.send_datagram({from, 53}, {peer, 1000}, bench.host.eth0,
                                            packet_of(pattern(size), bench.host.pool),
                                            bench.host.now);
    };
    CHECK(send(100) == Errno::ok);
    const Sent one = bench.taken();
    CHECK(source_of(one) == from);
    const Bytes datagram = one.transport();
    CHECK(datagram.size() == 108);
    CHECK(wire::load16(&datagram[0]) == 53);
    wire::Checksum sum = wire::pseudo_header(from, peer, 17, 108);
    sum.add(datagram);
    CHECK(sum.folded() == 0xffff);
    CHECK(send(0) == Errno::ok);
    CHECK(bench.taken().transport().size() == 8);
    CHECK(send(4000) == Errno::ok);
    CHECK(bench.take().size() == 3);
    CHECK(send(from.is_v4() ? 65507 : 65527) == Errno::ok);
    CHECK(bench.take().size() >= 45);
    CHECK(send(from.is_v4() ? 65508 : 65528) == Errno::message_size);
    CHECK(bench.take().empty());
  }
}

TEST_CASE("an echo request for somebody else is handed out, and answered in his name") {
  Intercepted bench;
  for (const IpAddress& to : {bench.world4, bench.world6}) {
    const IpAddress& peer = to.is_v4() ? bench.host.peer4 : bench.host.peer6;
    bench.from_peer(echo_packet(peer, to, 7, 300, pattern(30)));
    CHECK(bench.take().empty());
    REQUIRE(!bench.noting.echoes.empty());
    const Noting::Echo echo = bench.noting.echoes.back();
    CHECK(echo.identifier == 7);
    CHECK(echo.sequence == 300);
    CHECK(echo.payload == pattern(30));
    CHECK(bench.host.stack.send_echo_reply(echo.meta, 7, 300,
                                           packet_of(echo.payload, bench.host.pool),
                                           bench.host.now) == Errno::ok);
    const Sent answer = bench.taken();
    CHECK(source_of(answer) == to);
    CHECK(answer.icmp() == wire::IcmpHeader::echo(to.is_v4() ? 0 : 129, 7, 300));
    CHECK(quote_of(answer) == pattern(30));
  }
  // Its own addresses the stack answers for itself.
  bench.noting.echoes.clear();
  bench.from_peer(echo_packet(bench.host.peer4, bench.host.our4, 7, 1, {}));
  CHECK(bench.taken().icmp()->type == wire::kIcmpv4EchoReply);
  CHECK(bench.noting.nothing());
}

TEST_CASE("with its last hop a packet ends here, and its sender hears it from us") {
  Intercepted bench;  // RFC 1812 5.3.1, RFC 4443 3.3
  const Bytes v4 = packet(bench.host.peer4, bench.world4, 17,
                          udp(bench.host.peer4, bench.world4, 1000, 33434, {1}), 1);
  bench.from_peer(v4);
  Sent told = bench.taken();
  CHECK(told.icmp() == wire::IcmpHeader{wire::kIcmpv4TimeExceeded, 0, 0});
  CHECK(source_of(told) == bench.host.our4);
  CHECK(quote_of(told) == v4);
  const Bytes v6 = tcp_packet(bench.host.peer6, bench.world6, Intercepted::syn(), {}, 1);
  bench.from_peer(v6);
  told = bench.taken();
  CHECK(told.icmp() == wire::IcmpHeader{wire::kIcmpv6TimeExceeded, 0, 0});
  CHECK(source_of(told) == bench.host.our6);
  CHECK(quote_of(told) == v6);
  CHECK(bench.host.dropped(Drop::ip_hop_limit) == 2);
  CHECK(bench.noting.nothing());
  // For us, one hop is enough (RFC 1122 3.2.1.7).
  bench.from_peer(echo_packet(bench.host.peer4, bench.host.our4, 1, 1, {}, 1));
  CHECK(bench.taken().icmp()->type == wire::kIcmpv4EchoReply);
}

TEST_CASE("who could not be answered over the link that he came by is not heard (RFC 3704 2.2)") {
  Intercepted bench;
  const InterfaceId eth1 = *bench.host.stack.add_interface(bench.host.config("eth1", 9), 0);
  bench.host.add(eth1, "10.9.0.1/24");
  bench.host.run_for(3 * kSecond);
  bench.host.sent.clear();
  const auto from = [&](const char* source, const IpAddress& to) {
    const IpAddress address = ip(source);
    bench.from_peer(packet(address, to, 17, udp(address, to, 1000, 53, {1})));
  };
  from("10.9.0.7", bench.world4);    // of the other link
  from("198.18.0.1", bench.world4);  // of nowhere
  from("2001:db8::9", bench.world6);
  CHECK(bench.noting.nothing());
  CHECK(bench.host.dropped(Drop::ip_reverse_path) == 3);
  // With a way back over this link it is.
  REQUIRE(bench.host.stack.add_route({cidr("198.18.0.0/15"), bench.host.peer4}) == Errno::ok);
  from("198.18.0.1", bench.world4);
  CHECK(bench.noting.datagrams.size() == 1);
  CHECK(bench.take().empty());
}

TEST_CASE("[I04] addresses that no router passes on are nobody's to answer for") {
  Intercepted bench;
  // Also where all roads lead here.
  REQUIRE(bench.host.stack.add_route({cidr("0.0.0.0/0"), bench.host.peer4}) == Errno::ok);
  REQUIRE(bench.host.stack.add_route({cidr("::/0"), bench.host.peer6}) == Errno::ok);
  const auto try_all = [&](const IpAddress& from, const IpAddress& to) {
    bench.from_peer(packet(from, to, 17, udp(from, to, 1000, 53, {1})));
    bench.from_peer(tcp_packet(from, to, Intercepted::syn()));
    bench.from_peer(echo_packet(from, to, 1, 1, {}));
    CHECK_MESSAGE(bench.noting.nothing(), from.to_string(), " to ", to.to_string());
    bench.host.settle();
    CHECK_MESSAGE(bench.take().empty(), from.to_string(), " to ", to.to_string());
  };
  for (const char* to : {"0.0.0.0", "0.1.2.3", "127.0.0.1", "127.9.9.9", "224.0.0.1", "224.0.0.251",
                         "239.1.2.3", "240.0.0.1", "255.255.255.255", "10.0.0.255"}) {
    try_all(bench.host.peer4, ip(to));
  }
  for (const char* from : {"0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "240.0.0.1",
                           "255.255.255.255", "10.0.0.255", "10.0.0.1"}) {
    try_all(ip(from), bench.world4);
  }
  for (const char* to : {"::", "::1", "ff02::1", "ff05::2", "ff0e::1", "fe80::1",
                         "::ffff:203.0.113.5", "::ffff:127.0.0.1"}) {
    try_all(bench.host.peer6, ip(to));
  }
  for (const char* from : {"::", "::1", "ff02::1", "fe80::2", "::ffff:10.0.0.2", "fd00::1"}) {
    try_all(ip(from), bench.world6);
  }
}

TEST_CASE("a frame to all or to a group of the link carries nothing for a single stranger") {
  Intercepted bench;
  const Bytes datagram = packet(bench.host.peer4, bench.world4, 17,
                                udp(bench.host.peer4, bench.world4, 1000, 53, {1}));
  bench.receive({{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}, datagram);
  bench.receive({{1, 0, 0x5e, 0, 0, 1}}, datagram);
  CHECK(bench.noting.nothing());
  CHECK(bench.take().empty());
}

TEST_CASE("an interface that nobody intercepts drops what is for others, as it always did") {
  Intercepted bench;
  const Bytes datagram = packet(bench.host.peer4, bench.world4, 17,
                                udp(bench.host.peer4, bench.world4, 1000, 53, {1}));
  CHECK(bench.host.stack.is_intercepted(bench.host.eth0));
  bench.host.stack.stop_intercepting(bench.noting, bench.host.now);
  CHECK(!bench.host.stack.is_intercepted(bench.host.eth0));
  bench.from_peer(datagram);
  bench.from_peer(tcp_packet(bench.host.peer4, bench.world4, Intercepted::syn()));
  CHECK(bench.noting.nothing());
  CHECK(bench.take().empty());
  CHECK(bench.host.dropped(Drop::ipv4_not_for_us) == 2);
  // Nor may anybody send in the name of others.
  CHECK(bench.host.stack.send_datagram({bench.world4, 1}, {bench.host.peer4, 2}, bench.host.eth0,
                                       packet_of(pattern(1), bench.host.pool),
                                       bench.host.now) == Errno::address_not_available);
  CHECK(bench.host.stack.intercept(99, &bench.noting) == Errno::no_such_device);
  CHECK(bench.host.stack.intercept(1, &bench.noting) == Errno::invalid);
}

TEST_CASE("one interceptor that goes leaves the interfaces of another alone") {
  Intercepted bench;
  const InterfaceId eth1 = *bench.host.stack.add_interface(bench.host.config("eth1", 9), 0);
  Noting other;
  REQUIRE(bench.host.stack.intercept(eth1, &other) == Errno::ok);
  bench.host.stack.stop_intercepting(other, bench.host.now);
  CHECK(!bench.host.stack.is_intercepted(eth1));
  CHECK(bench.host.stack.is_intercepted(bench.host.eth0));
}

TEST_CASE("connections in the name of others take no port of the stack's own") {
  Intercepted bench;
  wire::TcpHeader next;
  bench.established(bench.world4, next);
  socket::Socket& own = **bench.sockets().open(Type::tcp);
  CHECK(own.bind({bench.host.our4, 80}, bench.host.now) == Errno::ok);
  CHECK(own.listen(4, bench.host.now) == Errno::ok);
  // And its socket cannot be bound to an address that is not the stack's.
  socket::Socket& thief = **bench.sockets().open(Type::tcp);
  CHECK(thief.set_option(Option::bind_interface, bench.host.eth0, bench.host.now) == Errno::ok);
  CHECK(thief.bind({bench.world4, 81}, bench.host.now) == Errno::address_not_available);
}

TEST_CASE("a taken datagram flow is a socket between its two ends, and goes before all others") {
  Intercepted bench;
  bench.from_peer(packet(bench.host.peer4, bench.world4, 17,
                         udp(bench.host.peer4, bench.world4, 1000, 53, {1})));
  const Noting::Datagram first = bench.noting.datagrams[0];
  const auto opened = bench.sockets().open_intercepted(first.meta, first.ports);
  REQUIRE(opened);
  CHECK(bench.sockets().open_intercepted(first.meta, first.ports).error() == Errno::address_in_use);
  CHECK((*opened)->local() == Endpoint{bench.world4, 53, kAnyInterface});
  bench.from_peer(packet(bench.host.peer4, bench.world4, 17,
                         udp(bench.host.peer4, bench.world4, 1000, 53, {2})));
  bench.from_peer(packet(bench.host.peer4, bench.world4, 17,
                         udp(bench.host.peer4, bench.world4, 1001, 53, {3})));
  std::array<std::uint8_t, 4> buffer{};
  REQUIRE((*opened)->receive(buffer, 0, bench.host.now));
  CHECK(buffer[0] == 2);
  CHECK(bench.noting.datagrams.size() == 2);
  REQUIRE((*opened)->send(Bytes{9}, 0, bench.host.now));
  CHECK(source_of(bench.taken()) == bench.world4);
  (*opened)->close(bench.host.now);
  bench.from_peer(packet(bench.host.peer4, bench.world4, 17,
                         udp(bench.host.peer4, bench.world4, 1000, 53, {4})));
  CHECK(bench.noting.datagrams.size() == 3);
}

TEST_CASE("[C01] only who quotes what was sent in the name of his destination is believed") {
  Intercepted bench;
  for (const IpAddress& to : {bench.world4, bench.world6}) {
    const bool v4 = to.is_v4();
    const IpAddress& peer = v4 ? bench.host.peer4 : bench.host.peer6;
    const wire::IcmpHeader closed = v4 ? wire::IcmpHeader{wire::kIcmpv4Unreachable, 3, 0}
                                       : wire::IcmpHeader{wire::kIcmpv6Unreachable, 4, 0};
    const Bytes ours = packet(to, peer, 17, udp(to, peer, 53, 1000, {1}));
    bench.noting.errors.clear();
    // Sent to somebody else than whom the quoted packet is from.
    bench.from_peer(error_packet(peer, v4 ? ip("203.0.113.6") : ip("2001:db8::6"), closed, ours));
    // A quoted packet that is not complete enough to tell.
    bench.from_peer(error_packet(peer, to, closed, Bytes(ours.begin(), ours.end() - 4)));
    CHECK(bench.noting.nothing());
    bench.from_peer(error_packet(peer, to, closed, ours));
    REQUIRE(bench.noting.errors.size() == 1);
    const Noting::Failed& told = bench.noting.errors[0];
    CHECK(told.error == Errno::refused);
    CHECK(told.reporter == peer);
    CHECK(told.source == to);
    CHECK(told.destination == peer);
    CHECK(told.protocol == 17);
    CHECK(bench.take().empty());
  }
}

TEST_CASE("[C01] an error about a connection in another's name counts if its number is in flight") {
  Intercepted bench;
  wire::TcpHeader next;
  socket::Socket& socket = bench.established(bench.world4, next);
  REQUIRE(socket.send(pattern(100), 0, bench.host.now));
  const Bytes data = bench.taken().payload();
  // RFC 5927 7.2: a forged number tells nothing, and neither does the wrong port.
  Bytes forged = data;
  forged[20 + 4] ^= 0x40;
  const wire::IcmpHeader narrow{wire::kIcmpv4Unreachable, wire::kIcmpv4FragmentationNeeded, 900};
  bench.from_peer(error_packet(bench.host.peer4, bench.world4, narrow, forged));
  CHECK(*socket.option(Option::max_segment) == std::int64_t{1460});
  CHECK(bench.host.dropped(Drop::icmp_ignored) == 1);
  bench.from_peer(error_packet(bench.host.peer4, bench.world4, narrow, data));
  CHECK(*socket.option(Option::max_segment) == std::int64_t{860});  // RFC 1191 4
  CHECK(bench.noting.nothing());
}

TEST_CASE("who sent what could not be delivered is told: a router's word, or the destination's") {
  Intercepted bench;
  struct Case {
    Errno why;
    std::uint8_t code4, code6;
    bool destination;
  };
  for (const Case& expected :
       {Case{Errno::refused, 3, 4, true}, Case{Errno::access_denied, 13, 1, false},
        Case{Errno::host_unreachable, 1, 3, false},
        Case{Errno::network_unreachable, 0, 0, false}}) {
    for (const IpAddress& to : {bench.world4, bench.world6}) {
      const bool v4 = to.is_v4();
      const IpAddress& peer = v4 ? bench.host.peer4 : bench.host.peer6;
      bench.host.run_for(10 * kSecond);  // or there were too many at once
      bench.host.know_peer();
      bench.from_peer(packet(peer, to, 17, udp(peer, to, 1000, 53, {1})));
      const Noting::Datagram& got = bench.noting.datagrams.back();
      const Bytes header = udp(peer, to, 1000, 53, {});
      bench.host.stack.send_unreachable(got.meta, expected.why, packet_of(header, bench.host.pool),
                                        bench.host.now);
      const Sent told = bench.taken();
      CHECK(told.icmp() == (v4 ? wire::IcmpHeader{wire::kIcmpv4Unreachable, expected.code4, 0}
                               : wire::IcmpHeader{wire::kIcmpv6Unreachable, expected.code6, 0}));
      const IpAddress& us = v4 ? bench.host.our4 : bench.host.our6;
      CHECK(source_of(told) == (expected.destination ? to : us));
      const Bytes quote = quote_of(told);
      const std::size_t ip_header = v4 ? 20 : 40;
      CHECK(Bytes(quote.begin() + static_cast<std::ptrdiff_t>(ip_header), quote.end()) == header);
      if (v4) CHECK(wire::parse_ipv4(quote, SIZE_MAX)->checksum_ok);
    }
  }
}

TEST_CASE("a fragmented datagram for somebody else comes in one piece") {
  Intercepted bench;
  const Bytes whole = udp(bench.host.peer4, bench.world4, 1000, 53, pattern(1992));
  const auto piece = [&](std::size_t from, std::size_t to, bool more) {
    return ipv4({.identification = 5,
                 .more_fragments = more,
                 .fragment_offset = static_cast<std::uint16_t>(from),
                 .protocol = 17,
                 .source = bench.host.peer4,
                 .destination = bench.world4},
                Bytes(whole.begin() + static_cast<std::ptrdiff_t>(from),
                      whole.begin() + static_cast<std::ptrdiff_t>(to)));
  };
  bench.from_peer(piece(1000, 2000, false));
  CHECK(bench.noting.nothing());
  bench.from_peer(piece(0, 1000, true));
  REQUIRE(bench.noting.datagrams.size() == 1);
  CHECK(bench.noting.datagrams[0].payload == pattern(1992));
}

TEST_CASE("connections in another's name end with the link that they came by") {
  Intercepted bench;
  wire::TcpHeader next;
  socket::Socket& socket = bench.established(bench.world4, next);
  REQUIRE(bench.host.stack.remove_interface(bench.host.eth0, bench.host.now) == Errno::ok);
  CHECK(*socket.option(Option::error) == static_cast<std::int64_t>(Errno::network_down));
  CHECK(std::string(socket.state()) == "CLOSED");
}

TEST_CASE("a connection without an answer to its SYN-ACK gives up, and its socket says so") {
  Intercepted bench;
  bench.from_peer(tcp_packet(bench.host.peer4, bench.world4, Intercepted::syn()));
  socket::Socket& socket = **bench.sockets().accept(bench.noting.syns[0], bench.host.now);
  bench.host.run_for(300 * kSecond);
  CHECK(std::string(socket.state()) == "CLOSED");
  // Nobody answers for the peer's address any more either.
  CHECK(*socket.option(Option::error) == static_cast<std::int64_t>(Errno::host_unreachable));
  socket.close(bench.host.now);
}

}  // namespace
}  // namespace vpollnet::test
