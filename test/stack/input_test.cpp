// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include "test/stack/support/host.hpp"

namespace vpollnet::test {
namespace {

/// A host with a socket on port 9 that counts what gets through.
struct Listening {
  Listening() {
    host.with_ethernet();
    host.know_peer();
    socket = &host.udp_socket(9);
  }
  std::size_t arrived() {
    std::array<std::uint8_t, 65536> buffer;
    std::size_t count = 0;
    while (socket->receive(buffer, 0, host.now)) count++;
    return count;
  }
  Bytes datagram4(std::size_t size = 8) const {
    return udp(host.peer4, host.our4, 4000, 9, pattern(size));
  }
  wire::Ipv4Header header4() const {
    return {.protocol = 17, .source = host.peer4, .destination = host.our4};
  }
  wire::Ipv6Header header6(std::uint8_t next_header = 17) const {
    return {.next_header = next_header, .source = host.peer6, .destination = host.our6};
  }
  Bytes datagram6(std::size_t size = 8) const {
    return udp(host.peer6, host.our6, 4000, 9, pattern(size));
  }

  Host host;
  socket::Socket* socket = nullptr;
};

void fix_header(Bytes& packet) {
  wire::finish_ipv4(std::span(packet).first((packet[0] & 0x0fu) * 4));
}

TEST_CASE("a good packet of each family arrives, trailers cut off") {
  Listening on;
  on.host.receive_ipv4(ipv4(on.header4(), on.datagram4()) + Bytes(18, 0xff));  // [I01]
  on.host.receive_ipv6(ipv6(on.header6(), on.datagram6()) + Bytes(5, 0xff));
  CHECK(on.arrived() == 2);
  CHECK(on.host.dropped() == 0);
}

TEST_CASE("[I01] [I02] IPv4 headers whose lengths, version, checksum or TTL are wrong") {
  Listening on;
  const Bytes good = ipv4(on.header4(), on.datagram4());
  const auto bad = [&](std::size_t at, std::uint8_t value, Drop reason) {
    const auto before = on.host.dropped(reason);
    Bytes packet = good;
    packet[at] = value;
    if (reason != Drop::ipv4_bad_checksum && (packet[0] & 0x0fu) >= 5) fix_header(packet);
    on.host.receive_ipv4(packet);
    CHECK(on.host.dropped(reason) == before + 1);
  };
  bad(0, 0x44, Drop::ipv4_malformed);  // IHL 4
  bad(0, 0x40, Drop::ipv4_malformed);
  bad(0, 0x65, Drop::ipv4_malformed);  // version 6 in an IPv4 frame
  bad(3, 19, Drop::ipv4_malformed);    // total length below the header's
  bad(3, 200, Drop::ipv4_malformed);   // and above the frame's
  bad(8, 0, Drop::ipv4_malformed);     // TTL 0
  bad(10, static_cast<std::uint8_t>(good[10] ^ 1), Drop::ipv4_bad_checksum);
  for (std::size_t length = 0; length < 20; length++) {
    on.host.receive_ipv4({good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length)});
  }
  CHECK(on.host.dropped(Drop::ipv4_malformed) == 6 + 20);
  CHECK(on.arrived() == 0);
  CHECK(on.host.take().empty());
  on.host.receive_ipv4(good);
  CHECK(on.arrived() == 1);
}

TEST_CASE("[I03] options that lie are dropped, source routes are refused, others passed over") {
  Listening on;
  const auto with_options = [&](const Bytes& options) {
    Bytes packet = ipv4(on.header4(), options + on.datagram4());
    packet[0] = static_cast<std::uint8_t>(0x45 + options.size() / 4);
    fix_header(packet);
    on.host.receive_ipv4(packet);
  };
  with_options({7, 0, 0, 0});
  with_options({7, 1, 0, 0});
  with_options({7, 40, 4, 0});
  with_options({7, 4, 3, 0});  // a pointer below 4
  CHECK(on.host.dropped(Drop::ipv4_malformed) == 4);
  with_options({131, 7, 4, 10, 0, 0, 9, 0});
  with_options({137, 7, 4, 10, 0, 0, 9, 0});
  CHECK(on.host.dropped(Drop::ipv4_source_route) == 2);
  with_options({1, 1, 1, 0});
  with_options({0x88, 4, 1, 2});
  CHECK(on.arrived() == 2);
  CHECK(on.host.take().empty());
}

TEST_CASE("[I04] packets from impossible sources are dropped without an ICMP error") {
  Listening on;
  for (const auto* source : {"224.0.0.5", "255.255.255.255", "10.0.0.255", "0.0.0.0", "127.0.0.1",
                             "127.3.2.1", "10.0.0.1"}) {
    for (const std::uint16_t port : {std::uint16_t{9}, std::uint16_t{10}}) {
      wire::Ipv4Header header = on.header4();
      header.source = ip(source);
      on.host.receive_ipv4(ipv4(header, udp(header.source, on.host.our4, 1, port, {})));
    }
  }
  CHECK(on.host.dropped(Drop::ipv4_bad_address) == 14);
  for (const auto* source : {"ff02::5", "::", "::1", "fd00::1", "::ffff:10.0.0.2"}) {
    wire::Ipv6Header header = on.header6();
    header.source = ip(source);
    on.host.receive_ipv6(ipv6(header, udp(header.source, on.host.our6, 1, 10, {})));
  }
  CHECK(on.host.dropped(Drop::ipv6_bad_address) == 5);
  CHECK(on.arrived() == 0);
  CHECK(on.host.take().empty());
}

TEST_CASE("packets for others are counted, never forwarded; loopback never comes from a wire") {
  Listening on;
  const std::size_t quiet = on.host.sent.size();
  wire::Ipv4Header header = on.header4();
  header.destination = ip("10.0.0.77");
  on.host.receive_ipv4(ipv4(header, udp(header.source, header.destination, 1, 9, {})));
  header.destination = ip("224.0.0.77");
  on.host.receive_ipv4(ipv4(header, udp(header.source, header.destination, 1, 9, {})));
  CHECK(on.host.dropped(Drop::ipv4_not_for_us) == 2);
  header.destination = ip("127.0.0.1");
  on.host.receive_ipv4(ipv4(header, udp(header.source, header.destination, 1, 9, {})));
  CHECK(on.host.dropped(Drop::ipv4_bad_address) == 1);
  wire::Ipv6Header six = on.header6();
  for (const auto* other : {"fd00::77", "ff02::77", "ff05::1"}) {
    six.destination = ip(other);
    on.host.receive_ipv6(ipv6(six, udp(six.source, six.destination, 1, 9, {})));
  }
  CHECK(on.host.dropped(Drop::ipv6_not_for_us) == 3);
  for (const auto* other : {"::1", "ff01::1"}) {
    six.destination = ip(other);
    on.host.receive_ipv6(ipv6(six, udp(six.source, six.destination, 1, 9, {})));
  }
  CHECK(on.host.dropped(Drop::ipv6_bad_address) == 2);
  CHECK(on.arrived() == 0);
  CHECK(on.host.sent.size() == quiet);
}

TEST_CASE("RFC 1122 3.3.6: a packet for one host in a broadcast frame is not delivered") {
  Listening on;
  on.host.receive(ethernet(MacAddress::broadcast(), on.host.peer_mac, wire::kEtherIpv4,
                           ipv4(on.header4(), on.datagram4())));
  on.host.receive(ethernet(ip("ff02::1").multicast_mac(), on.host.peer_mac, wire::kEtherIpv6,
                           ipv6(on.header6(), on.datagram6())));
  CHECK(on.arrived() == 0);
  CHECK(on.host.dropped(Drop::ipv4_bad_address) == 1);
  CHECK(on.host.dropped(Drop::ipv6_bad_address) == 1);
}

TEST_CASE("broadcasts and all-hosts multicast arrive") {
  Listening on;
  for (const auto* group : {"255.255.255.255", "10.0.0.255", "224.0.0.1"}) {
    wire::Ipv4Header header = on.header4();
    header.destination = ip(group);
    const MacAddress to =
        ip(group).is_multicast() ? ip(group).multicast_mac() : MacAddress::broadcast();
    on.host.receive(ethernet(to, on.host.peer_mac, wire::kEtherIpv4,
                             ipv4(header, udp(header.source, header.destination, 1, 9, {}))));
  }
  wire::Ipv6Header six = on.header6();
  six.destination = ip("ff02::1");
  on.host.receive(ethernet(six.destination.multicast_mac(), on.host.peer_mac, wire::kEtherIpv6,
                           ipv6(six, udp(six.source, six.destination, 1, 9, {}))));
  CHECK(on.arrived() == 4);
}

TEST_CASE("[V01] [V03] IPv6 packets shorter than they say, and chains that lead out of them") {
  Listening on;
  Bytes packet = ipv6(on.header6(), on.datagram6());
  packet[5]++;
  on.host.receive_ipv6(packet);
  CHECK(on.host.dropped(Drop::ipv6_malformed) == 1);
  for (std::size_t length = 0; length < 40; length++) {
    on.host.receive_ipv6({packet.begin(), packet.begin() + static_cast<std::ptrdiff_t>(length)});
  }
  CHECK(on.host.dropped(Drop::ipv6_malformed) == 41);
  for (const std::uint8_t next : {0, 43, 60}) {
    for (const std::uint8_t length : {1, 0x7f, 0xff}) {
      on.host.receive_ipv6(ipv6(on.header6(next), Bytes{17, length, 1, 0, 1, 0, 0, 0}));
    }
  }
  CHECK(on.host.dropped(Drop::ipv6_bad_header_chain) == 9);
  CHECK(on.arrived() == 0);
  CHECK(on.host.take().empty());
}

TEST_CASE("[V05] [V06] too many headers, a misplaced Hop-by-Hop header, routing headers") {
  Listening on;
  const Bytes pad{60, 0, 1, 4, 0, 0, 0, 0};
  Bytes many;
  for (int i = 0; i < 150; i++) many = many + pad;
  on.host.receive_ipv6(ipv6(on.header6(60), many));
  auto sent = on.host.take();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].icmp()->type == 4);
  on.host.receive_ipv6(ipv6(on.header6(60), Bytes{0, 0, 1, 4, 0, 0, 0, 0} +
                                                Bytes{17, 0, 1, 4, 0, 0, 0, 0} + on.datagram6()));
  sent = on.host.take();
  REQUIRE(sent.size() == 1);
  CHECK(*sent[0].icmp() == wire::IcmpHeader{4, 1, 40});
  on.host.receive_ipv6(ipv6(on.header6(43), Bytes{17, 0, 0, 1, 0, 0, 0, 0} + on.datagram6()));
  sent = on.host.take();
  REQUIRE(sent.size() == 1);
  CHECK(*sent[0].icmp() == wire::IcmpHeader{4, 0, 42});
  CHECK(on.arrived() == 0);
  on.host.receive_ipv6(ipv6(on.header6(43), Bytes{17, 0, 0, 0, 0, 0, 0, 0} + on.datagram6()));
  on.host.receive_ipv6(ipv6(on.header6(60), Bytes{17, 0, 1, 4, 0, 0, 0, 0} + on.datagram6()));
  CHECK(on.arrived() == 2);
}

TEST_CASE("fragments of both families are put together, [V09] atomic ones on their own") {
  Listening on;
  const Bytes whole = on.datagram4(2000);
  wire::Ipv4Header header = on.header4();
  header.identification = 7;
  header.more_fragments = true;
  on.host.receive_ipv4(ipv4(header, {whole.begin(), whole.begin() + 1200}));
  CHECK(on.arrived() == 0);
  header.more_fragments = false;
  header.fragment_offset = 1200;
  on.host.receive_ipv4(ipv4(header, {whole.begin() + 1200, whole.end()}));
  CHECK(on.arrived() == 1);

  const Bytes six = on.datagram6(2000);
  const auto piece = [&](std::size_t from, std::size_t to, bool more) {
    Bytes fragment(wire::kIpv6FragmentHeader);
    wire::emit_ipv6_fragment({17, static_cast<std::uint16_t>(from), more, 7}, fragment);
    on.host.receive_ipv6(ipv6(on.header6(wire::kNextFragment),
                              fragment + Bytes(six.begin() + static_cast<std::ptrdiff_t>(from),
                                               six.begin() + static_cast<std::ptrdiff_t>(to))));
  };
  piece(1200, 2008, false);
  CHECK(on.arrived() == 0);
  const Bytes small = on.datagram6(8);
  Bytes atomic(wire::kIpv6FragmentHeader);
  wire::emit_ipv6_fragment({17, 0, false, 7}, atomic);
  on.host.receive_ipv6(ipv6(on.header6(wire::kNextFragment), atomic + small));
  CHECK(on.arrived() == 1);
  piece(0, 1200, true);
  CHECK(on.arrived() == 1);
  CHECK(on.host.dropped() == 0);
  CHECK(on.host.stack.memory_used() == 0);
}

TEST_CASE("[F04] [V08] what is never whole is given up, with an error if its beginning had come") {
  Listening on;
  wire::Ipv4Header header = on.header4();
  header.more_fragments = true;
  header.identification = 1;
  on.host.receive_ipv4(ipv4(header, on.datagram4(1000)));
  header.identification = 2;
  header.fragment_offset = 800;
  on.host.receive_ipv4(ipv4(header, pattern(80)));
  Bytes fragment(wire::kIpv6FragmentHeader);
  wire::emit_ipv6_fragment({17, 0, true, 7}, fragment);
  on.host.receive_ipv6(ipv6(on.header6(wire::kNextFragment), fragment + on.datagram6(1000)));
  on.host.run_for(59 * kSecond);
  on.host.know_peer();
  on.host.run_for(kSecond);
  CHECK(on.host.dropped(Drop::fragment_timeout) == 3);
  // One of each family; the IPv4 datagram whose beginning never came gets none.
  std::vector<wire::IcmpHeader> errors;
  for (const Sent& sent : on.host.take()) {
    if (!sent.arp() && sent.icmp() && !sent.solicitation()) errors.push_back(*sent.icmp());
  }
  REQUIRE(errors.size() == 2);
  CHECK(errors[0] == wire::IcmpHeader{11, 1, 0});
  CHECK(errors[1] == wire::IcmpHeader{3, 1, 0});
  on.host.receive_ipv4(ipv4(on.header4(), on.datagram4()));
  CHECK(on.arrived() == 1);
}

TEST_CASE("[V08] a first fragment without its whole header chain is reported") {
  Listening on;
  Bytes fragment(wire::kIpv6FragmentHeader);
  wire::emit_ipv6_fragment({60, 0, true, 7}, fragment);
  on.host.receive_ipv6(
      ipv6(on.header6(wire::kNextFragment), fragment + Bytes{17, 4, 1, 4, 0, 0, 0, 0}));
  const auto sent = on.host.take();
  REQUIRE(sent.size() == 1);
  CHECK(*sent[0].icmp() == wire::IcmpHeader{4, 3, 0});
}

TEST_CASE("whatever bytes come, the next good packet arrives") {
  Listening on;
  const Bytes packets[] = {
      ethernet(on.host.our_mac, on.host.peer_mac, wire::kEtherIpv4,
               ipv4(on.header4(), on.datagram4(40))),
      ethernet(on.host.our_mac, on.host.peer_mac, wire::kEtherIpv6,
               ipv6(on.header6(), on.datagram6(40))),
      ethernet(on.host.our_mac, on.host.peer_mac, wire::kEtherArp,
               arp({wire::kArpRequest, on.host.peer_mac, on.host.peer4, {}, on.host.our4})),
      ethernet(on.host.our_mac, on.host.peer_mac, wire::kEtherIpv6,
               ndp(on.host.peer6, on.host.our6,
                   wire::NeighbourSolicitation{on.host.our6, on.host.peer_mac, std::nullopt})),
      ethernet(on.host.our_mac, on.host.peer_mac, wire::kEtherIpv4,
               ipv4({.protocol = 1, .source = on.host.peer4, .destination = on.host.our4},
                    icmpv4({3, 3, 0}, ipv4(on.header4(), on.datagram4())))),
  };
  KeyedRandom random({7, 7});
  for (int i = 0; i < 20'000; i++) {
    Bytes frame = packets[random.below(5)];
    for (std::uint32_t n = random.below(4); n > 0; n--) {
      frame[12 + random.below(static_cast<std::uint32_t>(frame.size() - 12))] =
          static_cast<std::uint8_t>(random.next());
    }
    if (random.below(4) == 0) frame.resize(random.below(static_cast<std::uint32_t>(frame.size())));
    if (frame.size() > 34 && frame[12] == 8 && frame[13] == 0 && (frame[14] & 15) >= 5 &&
        frame.size() >= 14u + (frame[14] & 15u) * 4) {
      wire::finish_ipv4(std::span(frame).subspan(14, (frame[14] & 15u) * 4));
    }
    Packet packet = packet_of(frame, on.host.pool);
    packet.checksum = ChecksumState::valid;
    on.host.stack.receive(on.host.eth0, std::move(packet), on.host.now);
    if (i % 100 == 0) on.host.run_for(kSecond);
  }
  CHECK(on.host.stack.memory_used() < (8u << 20));
  CHECK(on.host.stack.neighbours().size() <= 1024);
  (void)on.arrived();
  on.host.receive_ipv4(ipv4(on.header4(), on.datagram4()));
  on.host.receive_ipv6(ipv6(on.header6(), on.datagram6()));
  CHECK(on.arrived() == 2);
}

}  // namespace
}  // namespace vpollnet::test
