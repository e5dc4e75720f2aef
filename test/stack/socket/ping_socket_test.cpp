// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include "stack/socket/datagram_bench.hpp"
#include "wire/icmpv6.hpp"

namespace vpollnet::socket {
namespace {

Packet reply_to(DatagramBench& bench, const FakeIp::Sent& sent) {
  Packet packet = sent.packet.clone();
  packet.writable(8, bench.net.pool())[0] = sent.meta.protocol == kIcmp
                                                ? std::uint8_t{wire::kIcmpv4EchoReply}
                                                : std::uint8_t{wire::kIcmpv6EchoReply};
  return packet;
}
IpMeta turned(const IpMeta& meta) {
  IpMeta back = meta;
  std::swap(back.source, back.destination);
  back.interface = 2;
  return back;
}

TEST_CASE("an echo socket sends requests of its destination's family and gets their replies") {
  for (const Endpoint& peer : {at("10.0.0.2", 0), at("fd00::2", 0)}) {
    DatagramBench bench;
    Socket* socket = bench.ping();
    for (std::uint16_t sequence = 0; sequence < 3; sequence++) {
      REQUIRE(socket->send_to(bytes_of("ping!"), peer, 0, 0));
      auto& [meta, packet] = bench.net.sent.back();
      const auto header = *wire::parse_icmpv4(packet.linear(bench.net.pool()));
      CHECK(header.identifier() == socket->local().port);
      CHECK(header.sequence() == sequence);
      if (peer.address.is_v4()) {
        CHECK(meta.protocol == kIcmp);
        CHECK(header.type == wire::kIcmpv4EchoRequest);
        CHECK(wire::checksum_of(packet.linear(bench.net.pool())) == 0);
      } else {
        CHECK(meta.protocol == kIcmpv6);
        CHECK(header.type == wire::kIcmpv6EchoRequest);
        CHECK(wire::transport_checksum_ok(packet, meta.source, meta.destination, kIcmpv6));
      }
    }
    const auto& sent = bench.net.sent.back();
    bench.table.on_echo_reply(turned(sent.meta), reply_to(bench, sent), 0);
    std::uint8_t buffer[10];
    const auto received = socket->receive(buffer, 0, 0);
    REQUIRE(received);
    CHECK(std::string(reinterpret_cast<char*>(buffer), received->copied) == "ping!");
    CHECK(received->from.address == peer.address);
    CHECK(received->from.port == socket->local().port);
  }
}

TEST_CASE("[V10] replies go to the socket with their identifier and peer, short ones nowhere") {
  DatagramBench bench;
  Socket* first = bench.ping();
  Socket* second = bench.ping();
  REQUIRE(first->connect(at("10.0.0.2", 0), 0) == Errno::ok);
  REQUIRE(second->bind({IpAddress(), 77}, 0) == Errno::ok);
  REQUIRE(first->send(bytes_of("one"), 0, 0));
  const auto& sent = bench.net.sent.back();
  IpMeta stranger = turned(sent.meta);
  stranger.source = ip("10.0.0.3");
  bench.table.on_echo_reply(stranger, reply_to(bench, sent), 0);
  CHECK(bench.dropped(Drop::ping_no_socket) == 1);
  for (std::size_t length = 0; length < 8; length++) {
    Packet packet = reply_to(bench, sent);
    packet.truncate(length);
    bench.table.on_echo_reply(turned(sent.meta), std::move(packet), 0);
  }
  CHECK(bench.dropped(Drop::icmp_malformed) == 8);
  bench.table.on_echo_reply(turned(sent.meta), reply_to(bench, sent), 0);
  CHECK(bench.read(first) == "one");
  CHECK(bench.read(second) == kAgain);
  second->set_option(Option::receive_buffer, 0, 0);
  Packet packet = reply_to(bench, sent);
  wire::store16(&packet.writable(8, bench.net.pool())[4], 77);
  for (int i = 0; i < 100; i++) bench.table.on_echo_reply(turned(sent.meta), packet.clone(), 0);
  CHECK(bench.dropped(Drop::ping_queue_full) > 80);
}

TEST_CASE("an unreachable host is reported to the echo socket that is connected to it") {
  DatagramBench bench;
  Socket* socket = bench.ping();
  REQUIRE(socket->connect(at("10.0.0.2", 0), 0) == Errno::ok);
  std::vector<std::uint8_t> quote(8);
  wire::emit_icmpv4(wire::IcmpHeader::echo(wire::kIcmpv4EchoRequest, socket->local().port, 3),
                    quote);
  IcmpError error;
  error.error = Errno::refused;
  error.hard = true;
  error.source = bench.net.v4;
  error.destination = ip("10.0.0.2");
  error.protocol = kIcmp;
  error.transport = quote;
  quote[0] = wire::kIcmpv4EchoReply;
  bench.table.on_icmp_error(error, 0);
  CHECK(socket->readiness() == kOut);
  quote[0] = wire::kIcmpv4EchoRequest;
  bench.table.on_icmp_error(error, 0);
  CHECK(socket->readiness() == (kOut | kErr));
}

}  // namespace
}  // namespace vpollnet::socket
