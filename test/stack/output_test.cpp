// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <set>

#include "test/stack/support/host.hpp"

namespace vpollnet::test {
namespace {

TEST_CASE("a datagram larger than the link is cut up, and both ends agree on it") {
  Host host;
  host.with_ethernet();
  host.know_peer();
  Host peer;
  InterfaceConfig config = peer.config("eth0", 2);
  peer.eth0 = *peer.stack.add_interface(config, peer.now);
  peer.add(peer.eth0, "10.0.0.2/24");
  peer.add(peer.eth0, "fd00::2/64");
  socket::Socket& receiver = peer.udp_socket(9);
  socket::Socket& sender = host.udp_socket();
  const Bytes data = pattern(9000);
  for (const IpAddress& to : {host.peer4, host.peer6}) {
    CHECK(host.send(sender, to, 9, data) == Errno::ok);
    const auto sent = host.take();
    CHECK(sent.size() == 7);
    for (const Sent& frame : sent) {
      CHECK(frame.payload().size() <= 1500);
      peer.receive(frame.bytes);
    }
    std::array<std::uint8_t, 10000> buffer;
    const auto received = receiver.receive(buffer, 0, peer.now);
    REQUIRE(received);
    CHECK(Bytes(buffer.begin(), buffer.begin() + 9000) == data);
  }
  CHECK(peer.dropped() == 0);
}

TEST_CASE("with dont_fragment set, what does not fit is EMSGSIZE") {
  Host host;
  host.with_ethernet();
  host.know_peer();
  socket::Socket& socket = host.udp_socket();
  socket.set_option(socket::Option::dont_fragment, 1, host.now);
  CHECK(host.send(socket, host.peer4, 9, pattern(1473)) == Errno::message_size);
  CHECK(host.send(socket, host.peer6, 9, pattern(1453)) == Errno::message_size);
  CHECK(host.take().empty());
  CHECK(host.send(socket, host.peer4, 9, pattern(1472)) == Errno::ok);
  CHECK(host.send(socket, host.peer6, 9, pattern(1452)) == Errno::ok);
  const auto sent = host.take();
  REQUIRE(sent.size() == 2);
  CHECK(sent[0].ipv4()->header.dont_fragment);
  CHECK(sent[0].ipv4()->header.identification == 0);  // RFC 6864 4.1
}

TEST_CASE("[F05] identifications do not repeat, and do not count up") {
  Host host;
  host.with_ethernet();
  host.know_peer();
  socket::Socket& socket = host.udp_socket();
  std::set<std::uint16_t> seen;
  unsigned steps_of_one = 0;
  std::uint16_t before = 0;
  for (int i = 0; i < 5000; i++) {
    host.send(socket, host.peer4, 9, {1});
    if (host.sent.empty()) host.know_peer();
    const std::uint16_t id = host.take().at(0).ipv4()->header.identification;
    if (static_cast<std::uint16_t>(id - before) == 1) steps_of_one++;
    before = id;
    seen.insert(id);
  }
  CHECK(seen.size() == 5000);
  CHECK(steps_of_one < 10);
}

TEST_CASE("checksums are completed where the link does not, and left where it does") {
  for (const bool offload : {false, true}) {
    Host host;
    InterfaceConfig config = host.config("eth0", 1);
    config.offloads.checksum = offload;
    host.with_ethernet(config);
    host.know_peer();
    socket::Socket& socket = host.udp_socket();
    host.send(socket, host.peer4, 9, pattern(100));
    const auto sent = host.take();
    REQUIRE(sent.size() == 1);
    const Bytes datagram = sent[0].transport();
    wire::Checksum sum =
        wire::pseudo_header(host.our4, host.peer4, 17, static_cast<std::uint32_t>(datagram.size()));
    sum.add(datagram);
    if (sent[0].checksum != ChecksumState::partial) CHECK(sum.folded() == 0xffff);
    if (!offload) CHECK(sent[0].checksum != ChecksumState::partial);
  }
}

TEST_CASE("[I04] a broadcast goes to the broadcast MAC, a group to its own, without resolution") {
  Host host;
  host.with_ethernet();
  socket::Socket& socket = host.udp_socket();
  socket.set_option(socket::Option::broadcast, 1, host.now);
  CHECK(host.send(socket, ip("10.0.0.255"), 9, {1}) == Errno::ok);
  CHECK(host.send(socket, ip("255.255.255.255"), 9, {1}) == Errno::ok);
  CHECK(host.send(socket, ip("224.0.0.251"), 9, {1}) == Errno::ok);
  CHECK(host.send(socket, ip("ff02::fb"), 9, {1}) == Errno::ok);
  const auto sent = host.take();
  REQUIRE(sent.size() == 4);
  CHECK(sent[0].ethernet().destination == MacAddress::broadcast());
  CHECK(sent[1].ethernet().destination == MacAddress::broadcast());
  CHECK(sent[2].ethernet().destination == ip("224.0.0.251").multicast_mac());
  CHECK(sent[3].ethernet().destination == ip("ff02::fb").multicast_mac());
  CHECK(host.stack.neighbours().empty());
}

TEST_CASE("packets to ourselves wait for advance and never reach a wire") {
  Host host;
  host.with_ethernet();
  socket::Socket& server = host.udp_socket(9);
  socket::Socket& client = host.udp_socket(5000);
  std::array<std::uint8_t, 65536> buffer;
  for (const auto* to : {"127.0.0.1", "127.9.8.7", "::1", "10.0.0.1", "fd00::1"}) {
    CHECK(host.send(client, ip(to), 9, pattern(20'000)) == Errno::ok);
    CHECK_FALSE(server.receive(buffer, 0, host.now));
    CHECK(host.stack.next_deadline() <= host.now);
    host.stack.advance(host.now);
    const auto received = server.receive(buffer, 0, host.now);
    REQUIRE(received);
    CHECK(received->size == 20'000);
    const IpAddress from = ip(to).is_v4() && ip(to).is_loopback() ? ip("127.0.0.1") : ip(to);
    CHECK(received->from.address == from);
  }
  CHECK(host.take().empty());
  CHECK(host.dropped() == 0);
  CHECK(host.stack.memory_used() == 0);
}

TEST_CASE("a TCP connection over loopback, and over an address of our own, carries its bytes") {
  Host host;
  host.with_ethernet();
  std::uint16_t port = 80;
  for (const auto* own : {"127.0.0.1", "::1", "10.0.0.1", "fd00::1"}) {
    socket::Socket& listener = **host.stack.sockets().open(socket::Type::tcp);
    CHECK(listener.bind({ip(own), ++port}, host.now) == Errno::ok);
    CHECK(listener.listen(5, host.now) == Errno::ok);
    socket::Socket& client = **host.stack.sockets().open(socket::Type::tcp);
    CHECK(client.connect({ip(own), port}, host.now) == Errno::in_progress);
    host.settle();
    const auto accepted = listener.accept(host.now);
    REQUIRE(accepted);
    socket::Socket& server = **accepted;
    const Bytes data = pattern(100'000);
    Bytes received;
    std::size_t taken = 0;
    for (int round = 0; round < 100 && received.size() < data.size(); round++) {
      if (taken < data.size()) {
        const auto count = client.send(std::span(data).subspan(taken), 0, host.now);
        if (count) taken += *count;
      }
      host.run_for(kMillisecond);
      std::array<std::uint8_t, 65536> buffer;
      while (const auto got = server.receive(buffer, 0, host.now)) {
        received.insert(received.end(), buffer.begin(),
                        buffer.begin() + static_cast<std::ptrdiff_t>(got->copied));
      }
    }
    CHECK((received == data));
    client.close(host.now);
    server.close(host.now);
    listener.close(host.now);
    host.run_for(10 * kSecond);
  }
  CHECK(host.take().empty());
}

TEST_CASE("a closed port of our own refuses, as often as it is asked") {
  Host host;
  socket::Socket& socket = host.udp_socket();
  for (int i = 0; i < 100; i++) {
    CHECK(socket.connect({ip("127.0.0.1"), 9}, host.now) == Errno::ok);
    CHECK(socket.send(pattern(1), 0, host.now));
    host.settle();
    CHECK(static_cast<Errno>(*socket.option(socket::Option::error)) == Errno::refused);
  }
}

TEST_CASE("the loopback queue is bounded, and one advance takes a bounded part of it") {
  Host host;
  socket::Socket& server = host.udp_socket(9);
  socket::Socket& client = host.udp_socket();
  unsigned refused = 0;
  for (int i = 0; i < 2000; i++) {
    if (host.send(client, ip("127.0.0.1"), 9, {1}) == Errno::no_buffers) refused++;
  }
  CHECK(refused == 2000 - 1024);
  CHECK(host.dropped(Drop::link_queue_full) == refused);
  host.stack.advance(host.now);
  std::array<std::uint8_t, 16> buffer;
  unsigned received = 0;
  while (server.receive(buffer, 0, host.now)) received++;
  CHECK(received == 64);
  host.settle();
  while (server.receive(buffer, 0, host.now)) received++;
  CHECK(received > 64);
}

TEST_CASE("loopback addresses are refused as a source for the wire") {
  Host host;
  host.with_ethernet();
  socket::Socket& socket = **host.stack.sockets().open(socket::Type::udp);
  CHECK(socket.bind({ip("127.0.0.1"), 0}, host.now) == Errno::ok);
  CHECK(host.send(socket, host.peer4, 9, {1}) == Errno::address_not_available);
  CHECK(host.take().empty());
}

TEST_CASE("a TUN link carries bare packets, without resolution") {
  Host host;
  InterfaceConfig config = host.config("tun0", 0);
  config.type = LinkType::ip;
  config.mac = {};
  const InterfaceId tun = *host.stack.add_interface(config, host.now);
  host.add(tun, "10.1.0.1/24");
  host.add(tun, "fd01::1/64");
  socket::Socket& socket = host.udp_socket(9);
  host.send(socket, ip("10.1.0.2"), 7, {1});
  host.send(socket, ip("fd01::2"), 7, {1});
  const auto sent = host.take();
  REQUIRE(sent.size() == 2);
  CHECK(sent[0].bytes[0] == 0x45);
  CHECK((sent[1].bytes[0] & 0xf0) == 0x60);
  host.receive(tun, ipv4({.protocol = 17, .source = ip("10.1.0.2"), .destination = ip("10.1.0.1")},
                         udp(ip("10.1.0.2"), ip("10.1.0.1"), 7, 9, {1})));
  host.receive(tun, ipv6({.next_header = 17, .source = ip("fd01::2"), .destination = ip("fd01::1")},
                         udp(ip("fd01::2"), ip("fd01::1"), 7, 9, {1})));
  std::array<std::uint8_t, 16> buffer;
  CHECK(socket.receive(buffer, 0, host.now));
  CHECK(socket.receive(buffer, 0, host.now));
  host.receive(tun, {});
  host.receive(tun, {0x00});
  CHECK(host.dropped(Drop::ipv4_malformed) == 2);
}

}  // namespace
}  // namespace vpollnet::test
