// SPDX-License-Identifier: MIT
// Connections through a gateway in less usual situations: IPv6, urgent bytes, a server that ends
// before anybody spoke, a client that begins anew, ports used again.
#include <doctest/doctest.h>

#include "host/gateway/support.hpp"

using namespace vpollnet;
using namespace vpollnet::host;
using namespace vpollnet::host::test;
using socket::Option;
using socket::Shutdown;
using socket::Type;

namespace {

TEST_CASE("IPv6 leads to IPv6, and to IPv4 where it is told to") {
  GatewayConfig config;
  config.rules = {allow("2001:db8:1::/48", at("::1")), allow("2001:db8:2::/48", at("127.0.0.1"))};
  Bench bench(config);
  for (const auto& [far, near] :
       {std::pair{"2001:db8:1::1", "::1"}, {"2001:db8:2::1", "127.0.0.1"}}) {
    const Handle listener = bench.listener(near);
    const Handle client = bench.tcp();
    REQUIRE(connect(client, at(far, listener->local()->port)) == Errno::ok);
    const Handle server = Bench::accept(listener);
    REQUIRE(client->send(bytes_of("six"), 0));
    CHECK(read_text(server) == "six");
    REQUIRE(server->send(bytes_of("back"), 0));
    CHECK(read_text(client) == "back");
    CHECK(client->peer()->address == at(far).address);
  }
}

TEST_CASE("an urgent byte is one of the stream, in both directions (RFC 6093 2.1)") {
  Bench bench(with_loopback());
  const Handle listener = bench.listener();
  const Handle client = bench.tcp();
  REQUIRE(connect(client, at("198.51.100.1", listener->local()->port)) == Errno::ok);
  const Handle server = Bench::accept(listener);
  const auto all_of = [](const Handle& socket, std::size_t size) {
    std::string text;
    while (text.size() < size) {
      const std::string part = read_text(socket);
      if (part.empty()) break;
      text += part;
    }
    return text;
  };
  for (const auto& [from, to] : {std::pair{client, server}, {server, client}}) {
    REQUIRE(from->send(bytes_of("abc"), 0));
    REQUIRE(from->send(bytes_of("!"), socket::kSendOutOfBand));
    REQUIRE(from->send(bytes_of("def"), 0));
    CHECK(all_of(to, 7) == "abc!def");
  }
}

TEST_CASE("a server that closes at once gives the client a connection that ends at once") {
  Bench bench(with_loopback());
  const Handle listener = bench.listener();
  for (int i = 0; i < 20; i++) {
    const Handle client = bench.tcp();
    REQUIRE(client->connect(at("198.51.100.1", listener->local()->port)) == Errno::in_progress);
    const Handle server = Bench::accept(listener);
    if (i % 2 == 0) REQUIRE(server->send(bytes_of("go away"), 0));
    server->close();
    if (i % 2 == 0) CHECK(read_text(client) == "go away");
    CHECK(read_text(client) == "");
    client->close();
  }
  CHECK(bench.no_flows());
}

TEST_CASE("a client that begins anew while somebody decides is answered by its newest SYN") {
  Bench bench(asking());
  const Handle listener = bench.listener();
  Handle client = bench.tcp();
  client->set_option(Option::reuse_address, 1);
  REQUIRE(client->bind(at("10.5.0.2", 40'000)) == Errno::ok);
  CHECK(client->connect(at("203.0.113.1", 80)) == Errno::in_progress);
  const GatewayEvent asked = bench.event();
  client->close();
  client = bench.tcp();
  client->set_option(Option::reuse_address, 1);
  REQUIRE(client->bind(at("10.5.0.2", 40'000)) == Errno::ok);
  // Its sequence numbers have moved on meanwhile (RFC 6528 3).
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK(client->connect(at("203.0.113.1", 80)) == Errno::in_progress);
  CHECK(bench.gateway->decide(asked.flow.id,
                              {Verdict::allow, {at("127.0.0.1", listener->local()->port), ""}}) ==
        Errno::ok);
  REQUIRE(wait_for(client, socket::kOut, 900));
  CHECK(std::string(client->state()) == "ESTABLISHED");
  const Handle server = Bench::accept(listener);
  REQUIRE(client->send(bytes_of("anew"), 0));
  CHECK(read_text(server) == "anew");
}

TEST_CASE("the gateway's answers keep up with ports that are used again and again") {
  Bench bench(with_loopback());
  const Handle listener = bench.listener();
  for (int i = 0; i < 30; i++) {
    const Handle client = bench.tcp();
    client->set_option(Option::reuse_address, 1);
    REQUIRE(client->bind(at("10.5.0.2", 41'000)) == Errno::ok);
    REQUIRE(connect(client, at("198.51.100.1", listener->local()->port)) == Errno::ok);
    const Handle server = Bench::accept(listener);
    REQUIRE(server->send(bytes_of("bye"), 0));
    server->close();  // this side first: TIME-WAIT is in the gateway's stack
    CHECK(read_text(client) == "bye");
    CHECK(read_text(client) == "");
    client->close();
    // Closed entirely, or its port is not free.
    REQUIRE(eventually([&] {
      for (const auto& one : bench.guest->sockets()) {
        if (one.local.port == 41'000) return false;
      }
      return true;
    }));
  }
  CHECK(bench.no_flows());
}

TEST_CASE("rules are tried in their order, and each part of one has to fit") {
  GatewayConfig config;
  Bench bench(config);
  const Handle listener = bench.listener();
  const std::uint16_t port = listener->local()->port;
  const Endpoint to = at("198.51.100.1", port);
  const auto with = [&](auto change) {
    GatewayRule rule = to_loopback("198.51.100.0/24");
    change(rule);
    CHECK(bench.gateway->set_rules({rule}, Verdict::refuse) == Errno::ok);
    return connect(bench.tcp(), to) == Errno::ok;
  };
  CHECK(with([](GatewayRule&) {}));
  CHECK(with([](GatewayRule& rule) { rule.kind = FlowKind::tcp; }));
  CHECK(!with([](GatewayRule& rule) { rule.kind = FlowKind::udp; }));
  CHECK(with([](GatewayRule& rule) { rule.source = Cidr::parse("10.5.0.0/24"); }));
  CHECK(!with([](GatewayRule& rule) { rule.source = Cidr::parse("10.6.0.0/24"); }));
  CHECK(!with([](GatewayRule& rule) { rule.destination = Cidr::parse("198.51.100.2"); }));
  CHECK(with([&](GatewayRule& rule) { rule.first_port = rule.last_port = port; }));
  CHECK(!with([&](GatewayRule& rule) { rule.last_port = static_cast<std::uint16_t>(port - 1); }));
  CHECK(!with([&](GatewayRule& rule) { rule.first_port = static_cast<std::uint16_t>(port + 1); }));
  CHECK(with([](GatewayRule& rule) { rule.reach = kReachSpecial; }));
  CHECK(!with([](GatewayRule& rule) { rule.reach = kReachPublic | kReachPrivate; }));
  GatewayRule refuse;
  refuse.destination = Cidr::parse("198.51.100.1");
  CHECK(bench.gateway->set_rules({refuse, to_loopback("198.51.100.0/24")}, Verdict::allow) ==
        Errno::ok);
  CHECK(connect(bench.tcp(), to) == Errno::refused);
  CHECK(connect(bench.tcp(), at("198.51.100.2", port)) == Errno::ok);
}

}  // namespace
