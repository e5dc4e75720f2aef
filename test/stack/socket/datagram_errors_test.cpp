// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include "stack/socket/datagram_bench.hpp"

namespace vpollnet::socket {
namespace {

IcmpError icmp_error(const Endpoint& ours, const Endpoint& theirs,
                     std::vector<std::uint8_t>& quote) {
  quote.assign(8, 0);
  wire::emit_udp({ours.port, theirs.port, 8, 0}, quote);
  IcmpError error;
  error.error = Errno::refused;
  error.hard = true;
  error.source = ours.address;
  error.destination = theirs.address;
  error.interface = 2;
  error.protocol = kUdp;
  error.transport = quote;
  return error;
}

TEST_CASE("[C01][C03] an ICMP error reaches the connected socket that it is about, and no other") {
  DatagramBench bench;
  std::vector<std::uint8_t> quote;
  Socket* socket = bench.udp();
  REQUIRE(socket->connect(kPeer, 0) == Errno::ok);
  Socket* unconnected = bench.bound({IpAddress(), 5000});
  bench.table.on_icmp_error(icmp_error({bench.net.v4, 5000}, kPeer, quote), 0);
  bench.table.on_icmp_error(icmp_error(socket->local(), at("10.0.0.2", 4001), quote), 0);
  bench.table.on_icmp_error(icmp_error({bench.net.v4_second, socket->local().port}, kPeer, quote),
                            0);
  IcmpError soft = icmp_error(socket->local(), kPeer, quote);
  soft.hard = false;
  soft.error = Errno::host_unreachable;
  bench.table.on_icmp_error(soft, 0);
  soft.transport = soft.transport.first(7);
  soft.hard = true;
  bench.table.on_icmp_error(soft, 0);
  CHECK(socket->readiness() == kOut);
  CHECK(unconnected->readiness() == kOut);
  bench.table.on_icmp_error(icmp_error(socket->local(), kPeer, quote), 0);
  CHECK(socket->readiness() == (kOut | kErr));
  CHECK(bench.read(socket) == "error " + std::to_string(ECONNREFUSED));
  CHECK(bench.read(socket) == kAgain);
  CHECK(socket->readiness() == kOut);
  bench.table.on_icmp_error(icmp_error(socket->local(), kPeer, quote), 0);
  CHECK(*socket->option(Option::error) == ECONNREFUSED);
  CHECK(*socket->option(Option::error) == 0);
  bench.table.on_icmp_error(icmp_error(socket->local(), kPeer, quote), 0);
  CHECK(socket->send(bytes_of("x"), 0, 0).error() == Errno::refused);
  CHECK(socket->send(bytes_of("x"), 0, 0));
}

TEST_CASE("packets that were too big are EMSGSIZE for who forbade to cut them") {
  DatagramBench bench;
  std::vector<std::uint8_t> quote;
  Socket* socket = bench.udp();
  REQUIRE(socket->connect(kPeer, 0) == Errno::ok);
  IcmpError error = icmp_error(socket->local(), kPeer, quote);
  error.too_big = true;
  error.hard = false;
  bench.table.on_icmp_error(error, 0);
  CHECK(socket->readiness() == kOut);
  socket->set_option(Option::dont_fragment, 1, 0);
  bench.table.on_icmp_error(error, 0);
  CHECK(socket->readiness() == (kOut | kErr));
  CHECK(*socket->option(Option::error) == EMSGSIZE);
  CHECK(socket->send(bytes_of("x"), 0, 0));
  CHECK(bench.net.sent.back().meta.dont_fragment);
  const std::string large(65508, 'x');
  CHECK(socket->send(bytes_of(large), 0, 0).error() == Errno::message_size);
}

TEST_CASE("errors from below are returned, and a path is asked for once until something changes") {
  DatagramBench bench;
  Socket* socket = bench.udp();
  bench.net.reachable = false;
  CHECK(socket->send_to(bytes_of("x"), kPeer, 0, 0).error() == Errno::network_unreachable);
  bench.net.reachable = true;
  bench.net.lookups = 0;
  for (int i = 0; i < 5; i++) CHECK(socket->send_to(bytes_of("x"), kPeer, 0, 0));
  CHECK(bench.net.lookups == 1);
  bench.net.generation++;
  CHECK(socket->send_to(bytes_of("x"), kPeer, 0, 0));
  CHECK(bench.net.lookups == 2);
  bench.net.send_error = Errno::no_buffers;
  CHECK(socket->send_to(bytes_of("x"), kPeer, 0, 0).error() == Errno::no_buffers);
}

TEST_CASE("shutdown is seen in the mask, at the end of reading and in the error of sending") {
  DatagramBench bench;
  Socket* socket = bench.udp();
  CHECK(socket->shutdown(Shutdown::both, 0) == Errno::not_connected);
  REQUIRE(socket->connect(kPeer, 0) == Errno::ok);
  bench.arrive(kPeer, socket->local(), "last");
  CHECK(socket->shutdown(Shutdown::read, 0) == Errno::ok);
  CHECK(socket->readiness() == (kIn | kOut | kRdHup));
  CHECK(bench.arrive(kPeer, socket->local()) == Delivery::dropped);
  CHECK(bench.read(socket) == "last");
  CHECK(bench.read(socket) == "");
  CHECK(socket->shutdown(Shutdown::write, 0) == Errno::ok);
  CHECK(socket->readiness() == (kIn | kOut | kRdHup | kHup));
  CHECK(socket->send(bytes_of("x"), 0, 0).error() == Errno::broken_pipe);
}

TEST_CASE("a socket whose address goes away is told ENETDOWN") {
  DatagramBench bench;
  Socket* bound = bench.bound(at("10.0.0.1", 5000));
  Socket* any = bench.bound({IpAddress(), 5001});
  Socket* connected = bench.udp();
  REQUIRE(connected->connect(kPeer, 0) == Errno::ok);
  bench.table.on_address_removed(bench.net.v4, 0);
  CHECK(*bound->option(Option::error) == ENETDOWN);
  CHECK(*connected->option(Option::error) == ENETDOWN);
  CHECK(*any->option(Option::error) == 0);
}

}  // namespace
}  // namespace vpollnet::socket
