// SPDX-License-Identifier: MIT
#include "host/gateway/gateway.hpp"

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <thread>
#include <vector>

#include "host/gateway/support.hpp"

using namespace vpollnet;
using namespace vpollnet::host;
using namespace vpollnet::host::test;
using socket::Option;
using socket::Shutdown;
using socket::Type;

TEST_CASE("a connection through a gateway carries bytes both ways, and each end of its own") {
  Bench bench(with_loopback());
  const Handle listener = bench.listener();
  const Handle client = bench.tcp();
  REQUIRE(connect(client, at("198.51.100.1", listener->local()->port)) == Errno::ok);
  const Handle server = Bench::accept(listener);
  REQUIRE(client->send(bytes_of("question"), 0));
  CHECK(read_text(server) == "question");
  REQUIRE(client->shutdown(Shutdown::write) == Errno::ok);
  CHECK(read_text(server) == "");
  REQUIRE(server->send(bytes_of("answer after the end"), 0));
  CHECK(read_text(client) == "answer after the end");
  const auto flows = bench.gateway->flows();
  REQUIRE(flows.size() == 1);
  CHECK(flows[0].state == FlowState::closing);
  CHECK(flows[0].bytes_out == 8);
  CHECK(flows[0].bytes_in == 20);
  server->close();
  CHECK(read_text(client) == "");
  CHECK(eventually([&] { return bench.gateway->flows().empty(); }));
}

TEST_CASE(
    "bulk in both directions at once arrives whole, and a reader that stops stops the sender") {
  Bench bench(with_loopback());
  const Handle listener = bench.listener();
  const Handle client = bench.tcp();
  REQUIRE(connect(client, at("198.51.100.1", listener->local()->port)) == Errno::ok);
  const Handle server = Bench::accept(listener);
  constexpr std::size_t kTotal = 48u << 20;
  std::vector<std::uint8_t> pattern(1 << 20);
  for (std::size_t i = 0; i < pattern.size(); i++) {
    pattern[i] = static_cast<std::uint8_t>(i * 31 + (i >> 8));
  }
  const auto sent_of = [&](const Handle& socket, std::size_t total, bool may_block) {
    std::size_t sent = 0;
    while (sent < total) {
      const std::size_t from = sent % pattern.size();
      const auto part =
          std::span(pattern).subspan(from).first(std::min(pattern.size() - from, total - sent));
      const auto took = socket->send(part, 0);
      if (took) {
        sent += *took;
      } else if (took.error() != Errno::again ||
                 !wait_for(socket, socket::kOut, may_block ? 300 : 5000)) {
        break;
      }
    }
    return sent;
  };
  // Nobody reads: the buffers on the way fill, and that is all.
  const std::size_t taken = sent_of(client, kTotal, true);
  CHECK(taken < kTotal / 2);
  CHECK(bench.near->memory_used() < 4u << 20);
  const auto checked_of = [&](const Handle& socket, std::size_t total) {
    std::size_t got = 0;
    bool same = true;
    std::vector<std::uint8_t> buffer(256 * 1024);
    while (got < total && wait_for(socket, socket::kIn)) {
      const auto part = socket->receive(buffer, 0);
      if (!part || part->copied == 0) break;
      for (std::size_t i = 0; i < part->copied; i++) {
        same = same && buffer[i] == pattern[(got + i) % pattern.size()];
      }
      got += part->copied;
    }
    return same ? got : 0;
  };
  std::size_t at_server = 0;
  std::size_t back = 0;
  std::thread reader([&] { at_server = checked_of(server, taken); });
  std::thread answerer([&] { back = sent_of(server, kTotal, false); });
  CHECK(checked_of(client, kTotal) == kTotal);
  reader.join();
  answerer.join();
  CHECK(at_server == taken);
  CHECK(back == kTotal);
}

TEST_CASE("a refusal of the far side is a refusal behind the gateway, and a reset a reset") {
  Bench bench(with_loopback());
  std::uint16_t closed_port = 0;
  {
    const Handle listener = bench.listener();
    closed_port = listener->local()->port;
    listener->close();
  }
  CHECK(connect(bench.tcp(), at("198.51.100.1", closed_port)) == Errno::refused);
  const Handle listener = bench.listener();
  const Handle client = bench.tcp();
  REQUIRE(connect(client, at("198.51.100.1", listener->local()->port)) == Errno::ok);
  const Handle server = Bench::accept(listener);
  REQUIRE(server->set_option(Option::linger, 0) == Errno::ok);
  server->close();
  CHECK(read_text(client) == "error " + std::to_string(ECONNRESET));
  const Handle other = bench.tcp();
  REQUIRE(connect(other, at("198.51.100.1", listener->local()->port)) == Errno::ok);
  const Handle other_server = Bench::accept(listener);
  REQUIRE(other->set_option(Option::linger, 0) == Errno::ok);
  other->close();
  CHECK(read_text(other_server) == "error " + std::to_string(ECONNRESET));
}

TEST_CASE("without a rule nothing gets through, and a drop says nothing") {
  GatewayConfig config;
  GatewayRule dropped;
  dropped.destination = Cidr::parse("198.51.100.2");
  dropped.decision.verdict = Verdict::drop;
  config.rules = {dropped};
  Bench bench(config);
  CHECK(connect(bench.tcp(), at("198.51.100.1", 80)) == Errno::refused);
  const Handle silent = bench.tcp();
  CHECK(silent->connect(at("198.51.100.2", 80)) == Errno::in_progress);
  CHECK(!wait_for(silent, socket::kOut, 200));
  const GatewayCounters counters = bench.gateway->counters();
  CHECK(counters.drops[static_cast<std::size_t>(GatewayDrop::denied)] == 1);
  CHECK(counters.drops[static_cast<std::size_t>(GatewayDrop::dropped)] >= 1);
  CHECK(bench.gateway->flows().empty());
}

TEST_CASE("a flow that nobody decides waits with its SYN unanswered, and is then refused") {
  GatewayConfig config;
  config.otherwise = Verdict::ask;
  config.ask_timeout = 200 * kMillisecond;
  Bench bench(config);
  const Handle client = bench.tcp();
  CHECK(client->connect(at("198.51.100.1", 80)) == Errno::in_progress);
  const GatewayEvent asked = bench.event();
  CHECK(asked.what == GatewayEvent::What::asked);
  CHECK(asked.flow.destination == at("198.51.100.1", 80));
  CHECK(asked.flow.source.address == at("10.5.0.2").address);
  CHECK(asked.flow.reach == kReachSpecial);
  CHECK(client->state() == "SYN-SENT");
  CHECK(bench.gateway->counters().asking == 1);
  CHECK(connect(client, at("198.51.100.1", 80)) == Errno::already);
  REQUIRE(wait_for(client, socket::kOut));
  CHECK(static_cast<Errno>(*client->option(Option::error)) == Errno::refused);
  CHECK(bench.gateway->decide(asked.flow.id, {Verdict::allow, {}}) == Errno(ENOENT));
  CHECK(bench.gateway->counters().asking == 0);
}

TEST_CASE("a decision leads a flow elsewhere, or hands it out as a socket with its own addresses") {
  GatewayConfig config;
  config.otherwise = Verdict::ask;
  Bench bench(config);
  const Handle listener = bench.listener();
  const Handle client = bench.tcp();
  CHECK(client->connect(at("203.0.113.9", 443)) == Errno::in_progress);
  GatewayEvent asked = bench.event();
  const FlowTarget elsewhere{at("127.0.0.1", listener->local()->port), ""};
  CHECK(bench.gateway->decide(asked.flow.id, {Verdict::allow, elsewhere}) == Errno::ok);
  const Handle server = Bench::accept(listener);
  REQUIRE(server->send(bytes_of("redirected"), 0));
  CHECK(read_text(client) == "redirected");

  const Handle second = bench.tcp();
  CHECK(second->connect(at("203.0.113.9", 444)) == Errno::in_progress);
  asked = bench.event();
  const Handle taken = made(bench.gateway->take(asked.flow.id));
  CHECK(*taken->peer() == *second->local());
  CHECK(*taken->local() == at("203.0.113.9", 444));
  REQUIRE(eventually([&] { return taken->send(bytes_of("from us"), 0).error() == Errno::ok; }));
  CHECK(read_text(second) == "from us");

  const Handle udp = made(bench.guest->socket(Type::udp));
  REQUIRE(udp->send_to(bytes_of("one"), at("203.0.113.9", 53), 0));
  asked = bench.event();
  REQUIRE(udp->send_to(bytes_of("two"), at("203.0.113.9", 53), 0));
  const Handle taken_udp = made(bench.gateway->take(asked.flow.id));
  CHECK(read_text(taken_udp) == "one");
  CHECK(read_text(taken_udp) == "two");
  REQUIRE(udp->send_to(bytes_of("three"), at("203.0.113.9", 53), 0));
  CHECK(read_text(taken_udp) == "three");
  REQUIRE(taken_udp->send(bytes_of("back"), 0));
  CHECK(read_text(udp) == "back");
}

TEST_CASE("datagrams go and come, from one port for all peers of a source, and errors come back") {
  Bench bench(with_loopback());
  const Handle first = made(bench.kernel->socket(Type::udp));
  const Handle second = made(bench.kernel->socket(Type::udp));
  REQUIRE(first->bind(at("127.0.0.1")) == Errno::ok);
  REQUIRE(second->bind(at("127.0.0.1")) == Errno::ok);
  const Handle client = made(bench.guest->socket(Type::udp));
  std::array<std::uint8_t, 64> buffer{};
  REQUIRE(client->send_to(bytes_of("a"), at("198.51.100.1", first->local()->port), 0));
  REQUIRE(wait_for(first, socket::kIn));
  const auto at_first = first->receive(buffer, 0);
  REQUIRE(client->send_to(bytes_of("b"), at("198.51.100.1", second->local()->port), 0));
  REQUIRE(wait_for(second, socket::kIn));
  const auto at_second = second->receive(buffer, 0);
  CHECK(at_first->from == at_second->from);  // RFC 4787 REQ-1
  REQUIRE(first->send_to(bytes_of("from the first"), at_first->from, 0));
  REQUIRE(wait_for(client, socket::kIn));
  const auto back = client->receive(buffer, 0);
  CHECK(back->from == at("198.51.100.1", first->local()->port));
  CHECK(bench.gateway->flows().size() == 2);
  const std::uint16_t port = second->local()->port;
  second->close();
  const Handle connected = made(bench.guest->socket(Type::udp));
  REQUIRE(connected->connect(at("198.51.100.1", port)) == Errno::ok);
  REQUIRE(connected->send(bytes_of("x"), 0));
  CHECK(read_text(connected) == "error " + std::to_string(ECONNREFUSED));
}

TEST_CASE("a forward brings connections and datagrams from the host behind the gateway") {
  Bench bench;
  const Handle listener = made(bench.guest->socket(Type::tcp));
  REQUIRE(listener->bind(at("10.5.0.2", 80)) == Errno::ok);
  REQUIRE(listener->listen(4) == Errno::ok);
  ForwardSpec spec;
  spec.listen.endpoint = at("127.0.0.1");
  spec.to.endpoint = at("10.5.0.2", 80);
  ForwardId id = 0;
  REQUIRE(!bench.gateway->add_forward(spec, id));
  const std::uint16_t port = bench.gateway->forwards()[0].spec.listen.endpoint.port;
  const Handle client = made(bench.kernel->socket(Type::tcp));
  REQUIRE(connect(client, at("127.0.0.1", port)) == Errno::ok);
  const Handle server = Bench::accept(listener);
  CHECK(server->peer()->address == at("10.5.0.1").address);
  REQUIRE(client->send(bytes_of("inward"), 0));
  CHECK(read_text(server) == "inward");
  ForwardId second = 0;
  spec.listen.endpoint.port = port;
  CHECK(bench.gateway->add_forward(spec, second).error == Errno::address_in_use);

  const Handle udp = made(bench.guest->socket(Type::udp));
  REQUIRE(udp->bind(at("10.5.0.2", 99)) == Errno::ok);
  ForwardSpec datagrams;
  datagrams.kind = FlowKind::udp;
  datagrams.listen.endpoint = at("127.0.0.1");
  datagrams.to.endpoint = at("10.5.0.2", 99);
  REQUIRE(!bench.gateway->add_forward(datagrams, second));
  const Handle sender = made(bench.kernel->socket(Type::udp));
  const std::uint16_t udp_port = bench.gateway->forwards()[1].spec.listen.endpoint.port;
  REQUIRE(sender->connect(at("127.0.0.1", udp_port)) == Errno::ok);
  REQUIRE(sender->send(bytes_of("ping"), 0));
  REQUIRE(wait_for(udp, socket::kIn));
  std::array<std::uint8_t, 64> buffer{};
  const auto got = udp->receive(buffer, 0);
  REQUIRE(udp->send_to(bytes_of("pong"), got->from, 0));
  CHECK(read_text(sender) == "pong");

  CHECK(bench.gateway->remove_forward(id));
  CHECK(!bench.gateway->remove_forward(id));
  REQUIRE(client->send(bytes_of("goes on"), 0));
  CHECK(read_text(server) == "goes on");
  CHECK(connect(made(bench.kernel->socket(Type::tcp)), at("127.0.0.1", port)) == Errno::refused);
}

TEST_CASE("a killed flow is reset on both sides, and closing leaves nothing behind") {
  const Holdings before;
  {
    Bench bench(with_loopback());
    const Handle listener = bench.listener();
    const Handle client = bench.tcp();
    REQUIRE(connect(client, at("198.51.100.1", listener->local()->port)) == Errno::ok);
    const Handle server = Bench::accept(listener);
    CHECK(bench.gateway->kill(bench.gateway->flows()[0].id));
    CHECK(read_text(client) == "error " + std::to_string(ECONNRESET));
    CHECK(read_text(server) == "error " + std::to_string(ECONNRESET));
    const Handle other = bench.tcp();
    REQUIRE(connect(other, at("198.51.100.1", listener->local()->port)) == Errno::ok);
    const Handle other_server = Bench::accept(listener);
    bench.near->close();
    CHECK(read_text(other_server) == "error " + std::to_string(ECONNRESET));
    CHECK(bench.gateway->flows().empty());
    CHECK(bench.gateway->set_rules({}, Verdict::allow) == Errno::bad_descriptor);
  }
  CHECK(test::back_to(before));
}
