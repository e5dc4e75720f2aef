// SPDX-License-Identifier: MIT
#include "filter/connections.hpp"

#include <doctest/doctest.h>

#include "test/stack/support/router.hpp"

namespace vpollnet::test {
namespace {

using filter::Connection;
using filter::Connections;
using filter::FlowPacket;
using filter::FlowProgress;
using filter::FlowTuple;

FlowTuple tuple_of(std::uint8_t protocol, const IpAddress& from, std::uint16_t port) {
  return {from, ip("198.51.100.7"), port, 80, protocol, filter::EchoKind::none};
}

FlowPacket segment(std::uint8_t flags, std::uint32_t sequence = 0, std::uint32_t ack = 0) {
  FlowPacket packet;
  packet.tuple.protocol = 6;
  packet.size = 40;
  packet.tcp_flags = flags;
  packet.tcp_sequence = sequence;
  packet.tcp_acknowledgment = ack;
  return packet;
}

struct Table {
  Budget budget{16u << 20};
  Counters counters;
  KeyedRandom random{{1, 2}};
  Connections flows;
  Nanos now = 100 * kSecond;

  explicit Table(filter::ConnectionLimits limits = {}) : flows(budget, counters, random, limits) {}

  Connection* open(std::uint8_t protocol, const IpAddress& from, std::uint16_t port) {
    const FlowTuple tuple = tuple_of(protocol, from, port);
    return flows.create(tuple, tuple.reversed(), now);
  }
  Connection* open_udp(const IpAddress& from, std::uint16_t port, bool answered) {
    Connection* made = open(17, from, port);
    FlowPacket packet;
    packet.tuple.protocol = 17;
    if (made != nullptr) {
      flows.on_packet(*made, 0, packet, now);
      if (answered) flows.on_packet(*made, 1, packet, now);
    }
    return made;
  }
  Connection* open_tcp(std::uint16_t port) {
    Connection* made = open(6, ip("10.0.0.1"), port);
    flows.on_packet(*made, 0, segment(wire::kSyn), now);
    flows.on_packet(*made, 1, segment(wire::kSyn | wire::kAck, 7000, 1), now);
    flows.on_packet(*made, 0, segment(wire::kAck, 1, 7001), now);
    return made;
  }
  /// How long it is remembered if nothing comes.
  Nanos lifetime(const FlowTuple& tuple) {
    const Nanos begin = now;
    while (flows.find(tuple)) {
      now = std::max(now, flows.next_deadline());
      flows.advance(now);
    }
    return now - begin;
  }
};

TEST_CASE(
    "a TCP flow lives 4 minutes while it opens or closes, and 2 h 4 min open (RFC 5382 REQ-5)") {
  const FlowTuple tuple = tuple_of(6, ip("10.0.0.1"), 1);
  Table opening;
  opening.flows.on_packet(*opening.open(6, ip("10.0.0.1"), 1), 0, segment(wire::kSyn), opening.now);
  CHECK(opening.lifetime(tuple) == 4 * 60 * kSecond);
  Table open;
  CHECK(open.open_tcp(1)->progress == FlowProgress::established);
  CHECK(open.lifetime(tuple) == (2 * 3600 + 4 * 60) * kSecond);
  Table half;
  Connection* flow = half.open_tcp(1);
  half.flows.on_packet(*flow, 1, segment(wire::kFin | wire::kAck), half.now);
  CHECK(flow->progress == FlowProgress::half_closed);
  CHECK(half.lifetime(tuple) == (2 * 3600 + 4 * 60) * kSecond);
  Table closed;
  flow = closed.open_tcp(1);
  closed.flows.on_packet(*flow, 1, segment(wire::kFin | wire::kAck), closed.now);
  closed.flows.on_packet(*flow, 0, segment(wire::kFin | wire::kAck), closed.now);
  CHECK(flow->progress == FlowProgress::closed);
  CHECK(closed.lifetime(tuple) == 4 * 60 * kSecond);
}

TEST_CASE("what still comes for a closed TCP flow does not keep it, and a SYN begins it anew") {
  Table table;
  Connection* flow = table.open_tcp(1);
  table.flows.on_packet(*flow, 1, segment(wire::kFin | wire::kAck), table.now);
  table.flows.on_packet(*flow, 0, segment(wire::kFin | wire::kAck), table.now);
  const Nanos deadline = flow->deadline;
  table.now += 60 * kSecond;
  table.flows.on_packet(*flow, 1, segment(wire::kAck), table.now);
  CHECK(flow->deadline == deadline);
  table.flows.on_packet(*flow, 0, segment(wire::kSyn), table.now);
  CHECK(flow->progress == FlowProgress::opening);
  CHECK(flow->deadline == table.now + 4 * 60 * kSecond);
}

TEST_CASE("a RST that nobody believed does not end a flow (RFC 6146 3.5.2.2, T11)") {
  Table table;
  Connection* flow = table.open_tcp(1);
  table.flows.on_packet(*flow, 1, segment(wire::kRst), table.now);
  CHECK(flow->progress == FlowProgress::reset);
  CHECK(flow->deadline == table.now + 4 * 60 * kSecond);
  table.flows.on_packet(*flow, 0, segment(wire::kAck), table.now);
  CHECK(flow->progress == FlowProgress::established);
  CHECK(flow->deadline == table.now + Connections::kTcpEstablished);
}

TEST_CASE("[T08] a source that is forged cannot make a TCP flow count as proven") {
  Table table;
  Connection* flow = table.open(6, ip("10.0.0.1"), 1);
  table.flows.on_packet(*flow, 0, segment(wire::kSyn), table.now);
  table.flows.on_packet(*flow, 1, segment(wire::kSyn | wire::kAck, 0x12345678, 1), table.now);
  table.flows.on_packet(*flow, 0, segment(wire::kAck, 1, 99), table.now);  // a guess
  CHECK(flow->progress == FlowProgress::answered);
  CHECK_FALSE(flow->proven());
  table.flows.on_packet(*flow, 0, segment(wire::kAck, 1, 0x12345679), table.now);
  CHECK(flow->proven());
  // Refused, and then a segment: no handshake was.
  Connection* refused = table.open(6, ip("10.0.0.1"), 2);
  table.flows.on_packet(*refused, 0, segment(wire::kSyn), table.now);
  table.flows.on_packet(*refused, 1, segment(wire::kRst | wire::kAck), table.now);
  table.flows.on_packet(*refused, 0, segment(wire::kAck, 1, 1), table.now);
  CHECK_FALSE(refused->proven());
}

TEST_CASE(
    "UDP lives 2 minutes one way and 5 both ways, echo one minute (RFC 4787 REQ-5, RFC 5508)") {
  Table table;
  table.open_udp(ip("10.0.0.1"), 1, false);
  CHECK(table.lifetime(tuple_of(17, ip("10.0.0.1"), 1)) == 120 * kSecond);
  table.open_udp(ip("10.0.0.1"), 1, true);
  CHECK(table.lifetime(tuple_of(17, ip("10.0.0.1"), 1)) == 300 * kSecond);
  FlowTuple echo{ip("10.0.0.1"), ip("10.0.0.2"), 7, 0, 1, filter::EchoKind::request};
  Connection* flow = table.flows.create(echo, echo.reversed(), table.now);
  FlowPacket packet;
  packet.tuple = echo;
  packet.icmp = true;
  packet.icmp_type = wire::kIcmpv4EchoRequest;
  table.flows.on_packet(*flow, 0, packet, table.now);
  CHECK(table.lifetime(echo) == 60 * kSecond);
}

TEST_CASE("an ICMP error about a flow does not prolong it (RFC 5508 4.3)") {
  Table table;
  Connection* flow = table.open_udp(ip("10.0.0.1"), 1, false);
  const Nanos deadline = flow->deadline;
  table.now += kSecond;
  FlowPacket error;
  error.tuple = {ip("9.9.9.9"), ip("10.0.0.1"), 0, 0, 1, filter::EchoKind::none};
  error.icmp = true;
  error.icmp_type = wire::kIcmpv4Unreachable;
  table.flows.on_packet(*flow, 1, error, table.now);
  CHECK(flow->deadline == deadline);
  CHECK_FALSE(flow->proven());
}

TEST_CASE("in a full table a newcomer never costs a proven flow its place") {
  Table table({.connections = 100, .per_source = 100});
  for (std::uint16_t port = 0; port < 40; port++) table.open_udp(ip("10.0.0.1"), port, true);
  for (std::uint32_t i = 0; i < 10'000; i++) {
    table.open_udp(
        IpAddress::v4(10, 9, static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i)), 1,
        false);
  }
  CHECK(table.flows.size() == 100);
  for (std::uint16_t port = 0; port < 40; port++) {
    CHECK(table.flows.find(tuple_of(17, ip("10.0.0.1"), port)));
  }
  CHECK(table.counters.dropped(Drop::connection_limit) == 0);
}

TEST_CASE("who floods a full table competes with itself first") {
  Table table({.connections = 100, .per_source = 90});
  for (std::uint16_t port = 0; port < 10; port++) table.open_udp(ip("10.0.0.1"), port, false);
  for (std::uint16_t port = 0; port < 5000; port++) table.open_udp(ip("10.0.0.66"), port, false);
  CHECK(table.flows.size() == 100);
  for (std::uint16_t port = 0; port < 10; port++) {
    CHECK(table.flows.find(tuple_of(17, ip("10.0.0.1"), port)));
  }
}

TEST_CASE("one source has no more than its share, an IPv6 source with all of its /64") {
  Table table({.connections = 100, .per_source = 25});
  for (std::uint16_t port = 0; port < 50; port++) table.open_udp(ip("10.0.0.66"), port, true);
  CHECK(table.flows.size() == 25);
  CHECK(table.counters.dropped(Drop::connection_limit) == 25);
  CHECK(table.open_udp(ip("10.0.0.1"), 1, true) != nullptr);
  for (std::uint16_t host = 0; host < 50; host++) {
    FlowTuple tuple{
        ip("fd00::" + std::to_string(host)), ip("fd01::1"), 1, 2, 17, filter::EchoKind::none};
    Connection* made = table.flows.create(tuple, tuple.reversed(), table.now);
    FlowPacket packet;
    if (made != nullptr) table.flows.on_packet(*made, 1, packet, table.now);
  }
  CHECK(table.flows.size() == 25 + 1 + 25);
}

TEST_CASE("flows are charged to the stack's memory, and give it back") {
  Table table;
  for (std::uint16_t port = 0; port < 100; port++) table.open_udp(ip("10.0.0.1"), port, false);
  CHECK(table.budget.used() > 100 * sizeof(Connection));
  table.now += 1000 * kSecond;
  table.flows.advance(table.now);
  CHECK(table.flows.size() == 0);
  CHECK(table.budget.used() == 0);
}

}  // namespace
}  // namespace vpollnet::test
