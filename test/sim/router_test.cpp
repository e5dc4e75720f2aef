// SPDX-License-Identifier: MIT
// Stacks in virtual time, those in the middle routers, of which the first filters and translates.
// The link between them is the narrowest:
//
//   client 10.1.0.2 --- 10.1.0.1 router 10.2.0.1 --- 10.2.0.2 relay 10.3.0.1 --- 10.3.0.2 server
#include <doctest/doctest.h>

#include <vector>

#include "support/simulation.hpp"

using namespace vpollnet;
using namespace vpollnet::test;
using socket::Socket;

namespace {

struct Network {
  Simulation simulation;
  Node& client;
  Node& router;
  Node& relay;
  Node& server;

  Network(std::uint64_t seed, const Impairment& impairment, std::uint32_t wan_mtu, bool offloads)
      : simulation(seed), client(simulation.add("client")), router(simulation.add("router")),
        relay(simulation.add("relay")), server(simulation.add("server")) {
    InterfaceConfig config;
    config.offloads = {.segmentation = offloads, .checksum = offloads};
    simulation.connect(client, {"10.1.0.2/24", "fd01::2/64"}, router, {"10.1.0.1/24", "fd01::1/64"},
                       config, impairment);
    config.mtu = wan_mtu;
    simulation.connect(router, {"10.2.0.1/24", "fd02::1/64"}, relay, {"10.2.0.2/24", "fd02::2/64"},
                       config, impairment);
    config.mtu = 1500;
    simulation.connect(relay, {"10.3.0.1/24", "fd03::1/64"}, server, {"10.3.0.2/24", "fd03::2/64"},
                       config, impairment);
    const auto default_route = [](Node& node, const char* all, const char* gateway) {
      RouteConfig route;
      route.destination = *Cidr::parse(all);
      route.gateway = *IpAddress::parse(gateway);
      REQUIRE(node.stack().add_route(route) == Errno::ok);
    };
    default_route(client, "0.0.0.0/0", "10.1.0.1");
    default_route(client, "::/0", "fd01::1");
    default_route(router, "0.0.0.0/0", "10.2.0.2");
    default_route(router, "::/0", "fd02::2");
    default_route(relay, "0.0.0.0/0", "10.2.0.1");
    default_route(relay, "::/0", "fd02::1");
    default_route(server, "0.0.0.0/0", "10.3.0.1");
    default_route(server, "::/0", "fd03::1");
    ForwardingConfig forwarding;
    forwarding.enabled = true;
    REQUIRE(router.stack().set_forwarding(forwarding) == Errno::ok);
    REQUIRE(relay.stack().set_forwarding(forwarding) == Errno::ok);
    simulation.run_for(3 * kSecond);
  }

  InterfaceId interface_of(Node& node, const std::string& name) {
    for (const InterfaceInfo& one : node.stack().interfaces()) {
      if (one.config.name == name) return one.id;
    }
    return kAnyInterface;
  }

  /// Bytes that arrive at the server of `count` that the client sends; they are compared.
  std::size_t transfer(const std::string& to, std::size_t count, IpAddress& seen_as) {
    Socket& listener = server.open(socket::Type::tcp);
    REQUIRE(listener.bind({IpAddress(), 80}, simulation.now()) == Errno::ok);
    REQUIRE(listener.listen(8, simulation.now()) == Errno::ok);
    Socket& sender = client.open(socket::Type::tcp);
    sender.connect({*IpAddress::parse(to), 80}, simulation.now());
    REQUIRE(simulation.run([&] { return (listener.readiness() & socket::kIn) != 0; },
                           simulation.now() + 100 * kSecond));
    Socket& receiver = **listener.accept(simulation.now());
    seen_as = receiver.peer()->address;
    std::vector<std::uint8_t> data(64 * 1024);
    for (std::size_t i = 0; i < data.size(); i++)
      data[i] = static_cast<std::uint8_t>(i * 31 + i / 256);
    std::vector<std::uint8_t> buffer(64 * 1024);
    std::size_t sent = 0;
    std::size_t got = 0;
    const auto step = [&] {
      while (sent < count) {
        const std::size_t at = sent % data.size();
        const auto wrote = sender.send(std::span(data).subspan(at), 0, simulation.now());
        if (!wrote) break;
        sent += *wrote;
      }
      for (;;) {
        const auto read = receiver.receive(buffer, 0, simulation.now());
        if (!read || read->copied == 0) break;
        for (std::size_t i = 0; i < read->copied; i++) {
          if (buffer[i] != data[(got + i) % data.size()]) return true;
        }
        got += read->copied;
      }
      return got >= count;
    };
    simulation.run(step, simulation.now() + 600 * kSecond);
    sender.close(simulation.now());
    receiver.close(simulation.now());
    listener.close(simulation.now());
    return got;
  }
};

TEST_CASE("a transfer through a router arrives whole, with loss, reordering and a narrower link") {
  for (const bool offloads : {false, true}) {
    for (const std::string to : {"10.3.0.2", "fd03::2"}) {
      CAPTURE(offloads);
      CAPTURE(to);
      Network network(offloads ? 5 : 6,
                      {.jitter = 200 * kMicrosecond, .loss = 0.01, .duplication = 0.005}, 1300,
                      offloads);
      IpAddress seen;
      CHECK(network.transfer(to, 1u << 20, seen) >= 1u << 20);
      CHECK(seen == *IpAddress::parse(to == "10.3.0.2" ? "10.1.0.2" : "fd01::2"));
      CHECK(network.router.stack().counters().dropped(Drop::forward_too_big) > 0);
    }
  }
}

TEST_CASE("a transfer through a router that translates and filters arrives whole, loss included") {
  for (const std::string to : {"10.3.0.2", "fd03::2"}) {
    CAPTURE(to);
    Network network(9, {.jitter = 100 * kMicrosecond, .loss = 0.01, .corruption = 0.002}, 1300,
                    false);
    const InterfaceId lan = network.interface_of(network.router, "eth0");
    const InterfaceId wan = network.interface_of(network.router, "eth1");
    filter::SourceNat masquerade;
    masquerade.out = wan;
    REQUIRE(network.router.stack().set_nat({{masquerade}, {}, {}}) == Errno::ok);
    filter::RuleSet rules;
    filter::Rule known;
    known.states = 1u << static_cast<unsigned>(filter::FlowState::established) |
                   1u << static_cast<unsigned>(filter::FlowState::related);
    filter::Rule outward;
    outward.in = {lan};
    outward.out = {wan};
    outward.states = 1u << static_cast<unsigned>(filter::FlowState::fresh);
    rules.rules = {known, outward};
    rules.policy[0] = filter::Action::drop;
    REQUIRE(network.router.stack().set_filter(rules) == Errno::ok);
    IpAddress seen;
    CHECK(network.transfer(to, 1u << 20, seen) >= 1u << 20);
    CHECK(seen == *IpAddress::parse(to == "10.3.0.2" ? "10.2.0.1" : "fd02::1"));
    const auto flows = network.router.stack().connections();
    REQUIRE(flows.size() == 1);
    CHECK(flows[0].original.source == *IpAddress::parse(to == "10.3.0.2" ? "10.1.0.2" : "fd01::2"));
    // Once both sides are done, it is forgotten, and its memory given back.
    network.simulation.run_for(600 * kSecond);
    CHECK(network.router.stack().connections().empty());
    CHECK(network.router.stack().memory_used() == 0);
  }
}

}  // namespace
