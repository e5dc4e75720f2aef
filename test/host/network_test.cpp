// SPDX-License-Identifier: MIT
#include "host/network.hpp"

#include <doctest/doctest.h>
#include <poll.h>

#include <array>
#include <string>
#include <vector>

#include "host/poll.hpp"
#include "host/support.hpp"

using namespace vpollnet;
using namespace vpollnet::host;
using test::back_to;
using test::bytes_of;
using test::Holdings;

namespace {

LinkSpec cable(const char* address, const char* name = "cable:test") {
  LinkSpec spec;
  spec.url = name;
  spec.ipv6 = false;
  spec.addresses = {*Cidr::parse(address)};
  return spec;
}

std::shared_ptr<Network> host_on_cable(const std::shared_ptr<Pump>& pump, const char* address) {
  auto network = Network::open(pump);
  InterfaceId id = 0;
  const Failure failure = network->add_link(cable(address), id);
  REQUIRE_MESSAGE(!failure, failure.detail);
  return network;
}

Endpoint at(const char* address, std::uint16_t port) {
  return {.address = *IpAddress::parse(address), .port = port};
}

std::shared_ptr<SocketHandle> udp(const std::shared_ptr<Network>& network) {
  auto socket = network->socket(socket::Type::udp);
  REQUIRE(socket);
  return *socket;
}

std::string read_text(SocketHandle& socket) {
  std::array<std::uint8_t, 64> buffer{};
  const auto got = socket.receive(buffer, 0);
  if (!got) return "";
  return {reinterpret_cast<const char*>(buffer.data()), got->copied};
}

}  // namespace

TEST_CASE("a datagram crosses a cable within the call that sends it") {
  auto pump = Pump::create();
  auto left = host_on_cable(pump, "10.0.0.1/24");
  auto right = host_on_cable(pump, "10.0.0.2/24");
  auto server = udp(right);
  REQUIRE(server->bind(at("10.0.0.2", 7)) == Errno::ok);
  auto client = udp(left);
  CHECK((server->readiness() & socket::kIn) == 0);
  REQUIRE(client->send_to(bytes_of("hello"), at("10.0.0.2", 7), 0));
  CHECK((server->readiness() & socket::kIn) != 0);
  CHECK(read_text(*server) == "hello");
  CHECK((server->readiness() & socket::kIn) == 0);
}

TEST_CASE("a datagram to a loopback address comes back within the call") {
  auto network = Network::open(Pump::create());
  auto server = udp(network);
  REQUIRE(server->bind(at("127.0.0.1", 9)) == Errno::ok);
  REQUIRE(server->send_to(bytes_of("self"), at("127.0.0.1", 9), 0));
  CHECK(read_text(*server) == "self");
}

TEST_CASE("poll and the descriptor agree on a socket") {
  auto pump = Pump::create();
  auto left = host_on_cable(pump, "10.0.0.1/24");
  auto right = host_on_cable(pump, "10.0.0.2/24");
  auto server = udp(right);
  REQUIRE(server->bind(at("10.0.0.2", 7)) == Errno::ok);
  const auto fd = server->fd();
  REQUIRE(fd);
  std::array<PollEntry, 1> entries{PollEntry{.fd = *fd, .events = POLLIN}};
  CHECK(*host::poll(entries, 0) == 0);
  std::thread other([&] {
    auto client = udp(left);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    CHECK(client->send_to(bytes_of("x"), at("10.0.0.2", 7), 0));
  });
  CHECK(*host::poll(entries, 10'000) == 1);
  pollfd file{*fd, POLLIN, 0};
  CHECK(::poll(&file, 1, 0) == 1);
  CHECK(read_text(*server) == "x");
  CHECK(::poll(&file, 1, 0) == 0);
  other.join();
}

TEST_CASE("a closed socket says EBADF, and so does each socket of a closed network") {
  const Holdings before;
  {
    auto network = Network::open(Pump::create());
    auto one = udp(network);
    auto two = udp(network);
    REQUIRE(one->fd());
    REQUIRE(two->fd());
    one->close();
    one->close();
    CHECK(one->closed());
    CHECK(one->bind(at("127.0.0.1", 1)) == Errno::bad_descriptor);
    CHECK(one->state() == "CLOSED");
    CHECK(one->readiness() == POLLNVAL);
    CHECK(one->fd().error() == Errno::bad_descriptor);
    CHECK_FALSE(two->closed());
    network->close();
    network->close();
    CHECK(two->closed());
    CHECK(two->send(bytes_of("x"), 0).error() == Errno::bad_descriptor);
    CHECK(network->socket(socket::Type::udp).error() == Errno::bad_descriptor);
    CHECK(network->interfaces().empty());
    InterfaceId id = 0;
    CHECK(network->add_link(cable("10.0.0.1/24"), id).error == Errno::bad_descriptor);
  }
  CHECK(back_to(before));
}

TEST_CASE("a socket may outlive the last mention of its network, and closes itself") {
  const Holdings before;
  {
    std::shared_ptr<SocketHandle> socket = udp(Network::open(Pump::create()));
    REQUIRE(socket->fd());
    CHECK(socket->bind(at("127.0.0.1", 5)) == Errno::ok);
  }
  CHECK(back_to(before));
}

TEST_CASE("a poll ends with POLLNVAL when the network closes") {
  auto network = Network::open(Pump::create());
  auto socket = udp(network);
  std::array<PollEntry, 1> entries{PollEntry{.fd = *socket->fd(), .events = POLLIN}};
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    network->close();
  });
  CHECK(*host::poll(entries, 10'000) == 1);
  CHECK(entries[0].returned == POLLNVAL);
  other.join();
}

TEST_CASE("a link that cannot be says why and leaves nothing") {
  auto pump = Pump::create();
  auto network = Network::open(pump);
  const std::size_t interfaces = network->interfaces().size();
  InterfaceId id = 77;

  LinkSpec spec = cable("10.0.0.1/24");
  spec.url = "carrier-pigeon:1149";
  Failure failure = network->add_link(spec, id);
  CHECK(failure.error == Errno::invalid);
  CHECK(failure.detail.find("carrier-pigeon:1149") != std::string::npos);

  spec = cable("10.0.0.1/24");
  spec.mac = "01:00:5e:00:00:01";
  CHECK(network->add_link(spec, id).error == Errno::invalid);
  spec = cable("10.0.0.1/24");
  spec.mtu = 67;
  CHECK(network->add_link(spec, id).error == Errno::invalid);
  spec = cable("224.0.0.1/24");
  CHECK(network->add_link(spec, id).error == Errno::invalid);
  spec = cable("10.0.0.1/24");
  spec.gateways = {*IpAddress::parse("192.0.2.1")};
  failure = network->add_link(spec, id);
  CHECK(failure.error == Errno::network_unreachable);
  CHECK(failure.detail.find("192.0.2.1") != std::string::npos);
  CHECK(network->interfaces().size() == interfaces);
  CHECK(network->addresses().size() <= 2);
  CHECK(id == 77);

  // The address that failed above is free.
  spec = cable("10.0.0.1/24");
  spec.mac = "02:00:00:00:00:01";
  CHECK_FALSE(network->add_link(spec, id));
  auto other = Network::open(pump);
  spec.addresses = {*Cidr::parse("10.0.0.2/24")};
  CHECK(other->add_link(spec, id).error == Errno::address_in_use);
}

TEST_CASE("interfaces without a name are numbered") {
  auto network = Network::open(Pump::create());
  InterfaceId id = 0;
  REQUIRE_FALSE(network->add_link(cable("10.0.0.1/24", "cable:a"), id));
  REQUIRE_FALSE(network->add_link(cable("10.0.1.1/24", "cable:b"), id));
  CHECK(network->interfaces().back().config.name == "eth1");
  CHECK(network->remove_link(id) == Errno::ok);
  CHECK(network->remove_link(id) == Errno::no_such_device);
}

TEST_CASE("a cable carries a broadcast to all and a network that left gets nothing") {
  auto pump = Pump::create();
  auto sender = host_on_cable(pump, "10.0.0.1/24");
  std::vector<std::shared_ptr<Network>> hosts;
  std::vector<std::shared_ptr<SocketHandle>> servers;
  for (const char* address : {"10.0.0.2/24", "10.0.0.3/24", "10.0.0.4/24"}) {
    hosts.push_back(host_on_cable(pump, address));
    servers.push_back(udp(hosts.back()));
  }
  for (std::size_t i = 0; i < servers.size(); i++) {
    const std::string address = "10.0.0." + std::to_string(i + 2);
    REQUIRE(servers[i]->bind(at(address.c_str(), 7)) == Errno::ok);
  }
  hosts[1]->close();
  auto client = udp(sender);
  for (std::size_t i = 0; i < servers.size(); i++) {
    const std::string address = "10.0.0." + std::to_string(i + 2);
    CHECK(client->send_to(bytes_of(address), at(address.c_str(), 7), 0));
  }
  CHECK(read_text(*servers[0]) == "10.0.0.2");
  CHECK(servers[1]->closed());
  CHECK(read_text(*servers[2]) == "10.0.0.4");
}

TEST_CASE("threads open, use and close networks on one pump") {
  const Holdings before;
  {
    auto pump = Pump::create();
    std::array<std::thread, 4> threads;
    std::atomic<int> echoes{0};
    for (std::size_t t = 0; t < threads.size(); t++) {
      threads[t] = std::thread([&, t] {
        const std::string mine = "10.0.0." + std::to_string(t + 1);
        for (int round = 0; round < 20; round++) {
          auto network = Network::open(pump);
          InterfaceId id = 0;
          if (network->add_link(cable((mine + "/24").c_str()), id)) continue;
          auto a = udp(network);
          auto b = udp(network);
          if (a->bind(at(mine.c_str(), 7)) != Errno::ok) continue;
          std::array<PollEntry, 1> entries{PollEntry{.fd = *a->fd(), .events = POLLIN}};
          if (!b->send_to(bytes_of("x"), at(mine.c_str(), 7), 0)) continue;
          if (*host::poll(entries, 10'000) == 1 && read_text(*a) == "x") echoes++;
          if (round % 2 == 0) network->close();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(echoes == 80);
  }
  CHECK(back_to(before));
}
