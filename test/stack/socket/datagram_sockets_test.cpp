// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include "stack/socket/datagram_bench.hpp"

namespace vpollnet::socket {
namespace {

TEST_CASE("a datagram goes out with ports, length and a checksum that its receiver takes") {
  for (const Endpoint& peer : {kPeer, kPeer6}) {
    DatagramBench bench;
    Socket* socket = bench.bound({IpAddress(), 5000});
    const auto sent = socket->send_to(bytes_of("hello"), peer, 0, 0);
    REQUIRE(sent);
    CHECK(*sent == 5);
    REQUIRE(bench.net.sent.size() == 1);
    auto& [meta, packet] = bench.net.sent[0];
    CHECK(meta.destination == peer.address);
    CHECK(meta.protocol == kUdp);
    CHECK(meta.hop_limit == 64);
    CHECK(packet.checksum == ChecksumState::partial);
    CHECK(packet.checksum_from_end == 13);
    CHECK(packet.checksum_field == 6);
    const auto header = *wire::parse_udp(packet.linear(bench.net.pool()), packet.size());
    CHECK(header.source_port == 5000);
    CHECK(header.destination_port == 4000);
    CHECK(header.length == 13);
    CHECK(header.checksum == wire::pseudo_header(meta.source, meta.destination, kUdp, 13).folded());
    // What comes back to it: the same datagram, turned round.
    IpMeta back = meta;
    std::swap(back.source, back.destination);
    back.interface = 2;
    Packet reply = bench.datagram(peer, {meta.source, 5000}, "hi");
    CHECK(bench.table.on_udp(back, std::move(reply), 0) == Delivery::delivered);
    std::uint8_t buffer[10];
    const auto received = socket->receive(buffer, 0, 0);
    REQUIRE(received);
    CHECK(received->from == peer);
    CHECK(received->size == 2);
  }
}

TEST_CASE("receive peeks, cuts and keeps the borders between datagrams") {
  DatagramBench bench;
  Socket* socket = bench.bound(at("10.0.0.1", 5000));
  CHECK(socket->readiness() == kOut);
  CHECK(bench.read(socket) == kAgain);
  bench.arrive(kPeer, at("10.0.0.1", 5000), "first");
  bench.arrive(kPeer, at("10.0.0.1", 5000), "");
  bench.arrive(kPeer, at("10.0.0.1", 5000), "third");
  CHECK(socket->readiness() == (kIn | kOut));
  CHECK(*socket->option(Option::unread) == 5);
  CHECK(bench.read(socket, kPeek) == "first");
  std::uint8_t buffer[2];
  const auto received = socket->receive(buffer, 0, 0);
  REQUIRE(received);
  CHECK(received->copied == 2);
  CHECK(received->size == 5);
  CHECK(bench.read(socket) == "");
  CHECK(bench.read(socket) == "third");
  CHECK(socket->readiness() == kOut);
  CHECK(bench.net.budget().used() == 0);
}

TEST_CASE("the most specific socket gets the datagram: connected, then bound, then any") {
  DatagramBench bench;
  const auto make = [&](const Endpoint& local) {
    Socket* socket = bench.udp();
    socket->set_option(Option::reuse_address, 1, 0);
    REQUIRE(socket->bind(local, 0) == Errno::ok);
    return socket;
  };
  Socket* both = make({IpAddress(), 5000});
  Socket* any = make(at("0.0.0.0", 5000));
  Socket* one = make(at("10.0.0.1", 5000));
  Socket* connected = make(at("10.0.0.1", 5000));
  REQUIRE(connected->connect(kPeer, 0) == Errno::ok);
  bench.arrive(kPeer, at("10.0.0.1", 5000), "connected");
  bench.arrive(at("10.0.0.2", 4001), at("10.0.0.1", 5000), "bound");
  bench.arrive(kPeer, at("10.0.0.9", 5000), "any");
  bench.arrive(kPeer6, at("fd00::1", 5000), "both");
  CHECK(bench.read(connected) == "connected");
  CHECK(bench.read(one) == "bound");
  CHECK(bench.read(any) == "any");
  CHECK(bench.read(both) == "both");
  for (Socket* socket : {both, any, one, connected}) CHECK(bench.read(socket) == kAgain);
  connected->close(0);
  bench.arrive(kPeer, at("10.0.0.1", 5000), "bound again");
  CHECK(bench.read(one) == "bound again");
}

TEST_CASE(
    "a connected socket hears its peer alone, and all again when the connection is dissolved") {
  DatagramBench bench;
  Socket* socket = bench.udp();
  REQUIRE(socket->connect(kPeer, 0) == Errno::ok);
  const Endpoint local = socket->local();
  CHECK(local.address == bench.net.v4);
  CHECK(local.port >= 49152);
  CHECK(*socket->peer() == kPeer);
  CHECK(bench.arrive(at("10.0.0.3", 4000), local) == Delivery::no_socket);
  CHECK(bench.arrive(at("10.0.0.2", 4001), local) == Delivery::no_socket);
  CHECK(bench.arrive(kPeer, at("10.0.0.9", local.port)) == Delivery::no_socket);
  CHECK(bench.arrive(kPeer, local, "mine") == Delivery::delivered);
  CHECK(bench.read(socket) == "mine");
  REQUIRE(socket->connect({}, 0) == Errno::ok);
  CHECK(socket->peer().error() == Errno::not_connected);
  CHECK(bench.arrive(at("10.0.0.3", 4000), at("10.0.0.9", local.port)) == Delivery::delivered);
  CHECK(socket->send(bytes_of("x"), 0, 0).error() == Errno::destination_required);
}

TEST_CASE("sockets bound to :: take IPv4 unless they are for IPv6 only") {
  DatagramBench bench;
  Socket* dual = bench.bound(at("::", 5000));
  CHECK(bench.arrive(kPeer, at("10.0.0.1", 5000)) == Delivery::delivered);
  CHECK(bench.udp()->bind(at("0.0.0.0", 5000), 0) == Errno::address_in_use);
  dual->close(0);
  Socket* only = bench.udp();
  CHECK(only->set_option(Option::ipv6_only, 1, 0) == Errno::ok);
  REQUIRE(only->bind(at("::", 5000), 0) == Errno::ok);
  CHECK(only->set_option(Option::ipv6_only, 0, 0) == Errno::invalid);
  CHECK(bench.arrive(kPeer, at("10.0.0.1", 5000)) == Delivery::no_socket);
  CHECK(bench.arrive(kPeer6, at("fd00::1", 5000)) == Delivery::delivered);
  CHECK(only->send_to(bytes_of("x"), kPeer, 0, 0).error() == Errno::family_not_supported);
  CHECK(bench.udp()->bind(at("0.0.0.0", 5000), 0) == Errno::ok);
}

TEST_CASE("a port is bound once, unless both sides agree or the addresses differ") {
  DatagramBench bench;
  bench.bound(at("10.0.0.1", 5000));
  CHECK(bench.udp()->bind(at("10.0.0.1", 5000), 0) == Errno::address_in_use);
  CHECK(bench.udp()->bind({IpAddress(), 5000}, 0) == Errno::address_in_use);
  CHECK(bench.udp()->bind(at("10.0.0.9", 5000), 0) == Errno::ok);
  CHECK(bench.udp()->bind(at("::", 5000), 0) == Errno::address_in_use);
  CHECK(bench.udp()->bind(at("fd00::1", 5000), 0) == Errno::ok);
  CHECK(bench.ping()->bind(at("10.0.0.1", 5000), 0) == Errno::ok);
  Socket* again = bench.udp();
  again->set_option(Option::reuse_address, 1, 0);
  CHECK(again->bind(at("10.0.0.1", 5000), 0) == Errno::address_in_use);
  CHECK(bench.udp()->bind(at("10.0.0.77", 1), 0) == Errno::address_not_available);
  Socket* twice = bench.bound(at("10.0.0.1", 5001));
  CHECK(twice->bind(at("10.0.0.1", 5002), 0) == Errno::invalid);
  twice->close(0);
  CHECK(bench.udp()->bind(at("10.0.0.1", 5001), 0) == Errno::ok);
}

TEST_CASE("[T10] when every ephemeral port is taken the next bind fails with EADDRINUSE") {
  DatagramBench bench;
  for (int i = 0; i < 16384; i++) REQUIRE(bench.udp()->bind(at("10.0.0.1", 0), 0) == Errno::ok);
  CHECK(bench.udp()->bind(at("10.0.0.1", 0), 0) == Errno::address_in_use);
  CHECK(bench.udp()->bind(at("10.0.0.9", 0), 0) == Errno::ok);
}

TEST_CASE("[U01] datagrams with impossible lengths are dropped, longer packets cut to length") {
  DatagramBench bench;
  Socket* socket = bench.bound(at("10.0.0.1", 5000));
  const Endpoint to = at("10.0.0.1", 5000);
  for (std::size_t length = 0; length < 13; length++) {
    Packet packet = bench.datagram(kPeer, to, "hello");
    packet.truncate(length);
    CHECK(bench.table.on_udp(DatagramBench::meta(kPeer, to), std::move(packet), 0) ==
          Delivery::dropped);
  }
  CHECK(bench.dropped(Drop::udp_malformed) == 13);
  Packet packet = bench.datagram(kPeer, to, "hello");
  packet.append(bench.net.pool().copy(bytes_of("trailer")));
  CHECK(bench.table.on_udp(DatagramBench::meta(kPeer, to), std::move(packet), 0) ==
        Delivery::delivered);
  CHECK(bench.read(socket) == "hello");
}

TEST_CASE("[U02] bad checksums are dropped, and so is none over IPv6") {
  DatagramBench bench;
  Socket* socket = bench.bound({IpAddress(), 5000});
  const auto arrive = [&](const Endpoint& from, const Endpoint& to, std::uint16_t field,
                          ChecksumState state) {
    Packet packet = bench.datagram(from, to, "hello");
    wire::store16(&packet.writable(8, bench.net.pool())[6], field);
    packet.checksum = state;
    return bench.table.on_udp(DatagramBench::meta(from, to), std::move(packet), 0);
  };
  const auto unverified = ChecksumState::unverified;
  CHECK(arrive(kPeer, at("10.0.0.1", 5000), 0x1234, unverified) == Delivery::dropped);
  CHECK(arrive(kPeer6, at("fd00::1", 5000), 0x1234, unverified) == Delivery::dropped);
  CHECK(arrive(kPeer6, at("fd00::1", 5000), 0, unverified) == Delivery::dropped);
  CHECK(bench.dropped(Drop::udp_bad_checksum) == 3);
  CHECK(arrive(kPeer, at("10.0.0.1", 5000), 0, unverified) == Delivery::delivered);
  CHECK(arrive(kPeer, at("10.0.0.1", 5000), 0x1234, ChecksumState::valid) == Delivery::delivered);
  CHECK(arrive(kPeer, at("10.0.0.1", 5000), 0x1234, ChecksumState::partial) == Delivery::delivered);
  CHECK(bench.read(socket) == "hello");
}

TEST_CASE("[U03] a flood fills one queue to its limit and no other") {
  DatagramBench bench;
  Socket* flooded = bench.bound(at("10.0.0.1", 5000));
  Socket* other = bench.bound(at("10.0.0.1", 5001));
  flooded->set_option(Option::receive_buffer, 10000, 0);
  for (int i = 0; i < 1000; i++) {
    bench.arrive(kPeer, at("10.0.0.1", 5000), std::string(i % 2 == 0 ? 1000 : 0, 'x'));
    CHECK(bench.net.budget().used() <= 20000);
  }
  CHECK(bench.dropped(Drop::udp_queue_full) > 900);
  CHECK(bench.arrive(kPeer, at("10.0.0.1", 5001), "calm") == Delivery::delivered);
  CHECK(bench.read(other) == "calm");
  flooded->close(0);
  CHECK(bench.net.budget().used() == 0);
  CHECK(bench.arrive(kPeer, at("10.0.0.1", 5000)) == Delivery::no_socket);
  CHECK(bench.dropped(Drop::udp_no_socket) == 1);
}

TEST_CASE("[U03] payload is counted against the receive buffer") {
  DatagramBench bench;
  Socket* socket = bench.bound(at("10.0.0.1", 5000));
  socket->set_option(Option::receive_buffer, 10000, 0);
  for (int i = 0; i < 3; i++) bench.arrive(kPeer, at("10.0.0.1", 5000), std::string(4000, 'x'));
  CHECK(bench.dropped(Drop::udp_queue_full) == 1);
  bench.read(socket);
  CHECK(bench.arrive(kPeer, at("10.0.0.1", 5000), "y") == Delivery::delivered);
}

TEST_CASE("[U03] empty datagrams are bounded too, and an empty queue takes a large one") {
  DatagramBench bench;
  Socket* socket = bench.bound(at("10.0.0.1", 5000));
  socket->set_option(Option::receive_buffer, 0, 0);
  CHECK(*socket->option(Option::receive_buffer) == 2048);
  CHECK(bench.arrive(kPeer, at("10.0.0.1", 5000), std::string(60000, 'x')) == Delivery::delivered);
  CHECK(bench.arrive(kPeer, at("10.0.0.1", 5000)) == Delivery::dropped);
  bench.read(socket);
  for (int i = 0; i < 1000; i++) bench.arrive(kPeer, at("10.0.0.1", 5000), "");
  CHECK(bench.net.budget().used() <= 4096);
}

TEST_CASE("[U04] port zero is nobody's") {
  DatagramBench bench;
  Socket* socket = bench.bound(at("10.0.0.1", 5000));
  CHECK(bench.arrive(kPeer, at("10.0.0.1", 0)) == Delivery::dropped);
  CHECK(bench.arrive(at("10.0.0.2", 0), at("10.0.0.1", 5000)) == Delivery::delivered);
  CHECK(socket->send_to(bytes_of("x"), at("10.0.0.2", 0), 0, 0).error() == Errno::invalid);
  CHECK(socket->connect(at("10.0.0.2", 0), 0) == Errno::invalid);
}

TEST_CASE("a datagram for a group goes to each socket that matches") {
  DatagramBench bench;
  const auto make = [&](const Endpoint& local) {
    Socket* socket = bench.udp();
    socket->set_option(Option::reuse_address, 1, 0);
    REQUIRE(socket->bind(local, 0) == Errno::ok);
    return socket;
  };
  Socket* first = make(at("0.0.0.0", 5000));
  Socket* second = make({IpAddress(), 5000});
  Socket* group = make(at("224.0.0.1", 5000));
  Socket* unicast = make(at("10.0.0.1", 5000));
  CHECK(bench.arrive(kPeer, at("224.0.0.1", 5000), "all") == Delivery::delivered);
  CHECK(bench.read(first) == "all");
  CHECK(bench.read(second) == "all");
  CHECK(bench.read(group) == "all");
  CHECK(bench.read(unicast) == kAgain);
  CHECK(bench.arrive(kPeer, at("224.0.0.1", 5001)) == Delivery::no_socket);
}

TEST_CASE("a socket bound to a group and connected hears the group from its peer alone") {
  DatagramBench bench;
  Socket* socket = bench.bound(at("224.0.0.1", 5000));
  REQUIRE(socket->connect(kPeer, 0) == Errno::ok);
  const Endpoint group = at("224.0.0.1", 5000);
  CHECK(bench.arrive(at("10.0.0.2", 4001), group) == Delivery::no_socket);
  CHECK(bench.arrive(at("10.0.0.3", 4000), group) == Delivery::no_socket);
  CHECK(bench.arrive(kPeer, group, "news") == Delivery::delivered);
  CHECK(bench.read(socket) == "news");
  CHECK(socket->send(bytes_of("thanks"), 0, 0));
  CHECK(bench.net.sent.back().meta.source == bench.net.v4);
}

TEST_CASE("broadcasts need permission, and groups have a hop limit of their own") {
  DatagramBench bench;
  Socket* socket = bench.udp();
  CHECK(socket->send_to(bytes_of("x"), at("255.255.255.255", 7), 0, 0).error() ==
        Errno::access_denied);
  CHECK(socket->send_to(bytes_of("x"), at("10.0.0.255", 7), 0, 0).error() == Errno::access_denied);
  CHECK(socket->connect(at("10.0.0.255", 7), 0) == Errno::access_denied);
  CHECK(bench.net.sent.empty());
  socket->set_option(Option::broadcast, 1, 0);
  CHECK(socket->send_to(bytes_of("x"), at("10.0.0.255", 7), 0, 0));
  CHECK(socket->send_to(bytes_of("x"), at("224.0.0.1", 7), 0, 0));
  CHECK(bench.net.sent[0].meta.hop_limit == 64);
  CHECK(bench.net.sent[1].meta.hop_limit == 1);
}

TEST_CASE("options keep what they are given and refuse what is not theirs") {
  DatagramBench bench;
  Socket* socket = bench.udp();
  for (const auto& [option, value] :
       {std::pair{Option::reuse_address, 1}, std::pair{Option::broadcast, 1},
        std::pair{Option::send_buffer, 9000}, std::pair{Option::receive_buffer, 9000},
        std::pair{Option::hop_limit, 255}, std::pair{Option::hop_limit, 1},
        std::pair{Option::multicast_hop_limit, 0}, std::pair{Option::traffic_class, 0xb8},
        std::pair{Option::ipv6_only, 1}, std::pair{Option::dont_fragment, 1},
        std::pair{Option::bind_interface, 3}, std::pair{Option::multicast_loop, 0},
        std::pair{Option::multicast_interface, 3}}) {
    CHECK(socket->set_option(option, value, 0) == Errno::ok);
    CHECK(*socket->option(option) == value);
  }
  CHECK(socket->set_option(Option::hop_limit, 0, 0) == Errno::invalid);
  CHECK(socket->set_option(Option::hop_limit, 256, 0) == Errno::invalid);
  CHECK(socket->set_option(Option::traffic_class, -1, 0) == Errno::invalid);
  CHECK(socket->set_option(Option::receive_buffer, -1, 0) == Errno::invalid);
  CHECK(socket->set_option(Option::no_delay, 1, 0) == Errno::no_protocol_option);
  CHECK(socket->set_option(Option::error, 1, 0) == Errno::no_protocol_option);
  CHECK(*socket->option(Option::type) == static_cast<int>(Type::udp));
  CHECK(bench.ping()->set_option(Option::broadcast, 1, 0) == Errno::no_protocol_option);
  CHECK(socket->listen(1, 0) == Errno::not_supported);
  CHECK(socket->accept(0).error() == Errno::not_supported);
}

TEST_CASE("a socket bound to an interface hears and uses that interface alone") {
  DatagramBench bench;
  Socket* socket = bench.udp();
  socket->set_option(Option::bind_interface, 3, 0);
  REQUIRE(socket->bind({IpAddress(), 5000}, 0) == Errno::ok);
  CHECK(bench.arrive(kPeer, at("10.0.0.1", 5000)) == Delivery::no_socket);
  CHECK(socket->send_to(bytes_of("x"), kPeer, 0, 0));
  CHECK(bench.net.sent[0].meta.interface == 3);
  // Another interface is another world.
  Socket* other = bench.udp();
  other->set_option(Option::bind_interface, 2, 0);
  CHECK(other->bind({IpAddress(), 5000}, 0) == Errno::ok);
  CHECK(bench.arrive(at("fe80::9", 1), at("fd00::1", 5000)) == Delivery::delivered);
  std::uint8_t buffer[4];
  CHECK(other->receive(buffer, 0, 0)->from.scope == 2);
}

TEST_CASE("the listing shows each socket, and destruction leaves nothing behind") {
  DatagramBench bench;
  Socket* socket = bench.bound(at("10.0.0.1", 5000));
  bench.ping();
  bench.arrive(kPeer, at("10.0.0.1", 5000), "four");
  std::vector<SocketInfo> lines;
  std::size_t place = 0;
  CHECK_FALSE(bench.table.list(place, SIZE_MAX, lines));
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].local == socket->local());
  CHECK(lines[0].receive_queue == 4);
  CHECK(std::string(lines[0].state) == "OPEN");
  CHECK(lines[1].type == Type::ping);
  socket->close(0);
  CHECK(bench.table.size() == 1);
  CHECK(bench.net.pool().live() == 0);
}

struct Recorder final : ReadinessSink {
  std::vector<std::uint32_t> masks;
  void on_readiness(Socket&, std::uint32_t mask) override { masks.push_back(mask); }
};

TEST_CASE("readiness is told on change alone") {
  DatagramBench bench;
  Recorder recorder;
  Socket* socket = bench.bound(at("10.0.0.1", 5000));
  socket->set_sink(&recorder);
  for (int i = 0; i < 3; i++) bench.arrive(kPeer, at("10.0.0.1", 5000));
  for (int i = 0; i < 3; i++) bench.read(socket);
  CHECK(recorder.masks == std::vector<std::uint32_t>{kIn | kOut, kOut});
}

}  // namespace
}  // namespace vpollnet::socket
