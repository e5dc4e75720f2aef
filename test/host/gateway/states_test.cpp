// SPDX-License-Identifier: MIT
// A flow that ends in each of its states: by a kill, by the gateway's end, by that of a stack.
#include <doctest/doctest.h>

#include <functional>

#include "host/gateway/support.hpp"

using namespace vpollnet;
using namespace vpollnet::host;
using namespace vpollnet::host::test;
using socket::Option;
using socket::Shutdown;
using socket::Type;

namespace {

const std::string kReset = error_text(Errno::reset);
const std::string kRefused = error_text(Errno::refused);

/// One flow in each state that a flow can be in, with the sockets that see what becomes of it.
struct Everything {
  Bench bench;
  Handle listener = bench.listener();
  Handle full = bench.listener("127.0.0.1", 0);
  Handle asking, connecting, open, open_server, closing, closing_server, taken_client, taken;
  Handle asking_udp, open_udp, open_udp_server, inward, inward_server;
  std::vector<Handle> filling;

  static GatewayConfig config() {
    GatewayConfig config = with_loopback();
    GatewayRule asked;
    asked.destination = Cidr::parse("203.0.113.0/24");
    asked.decision.verdict = Verdict::ask;
    config.rules.push_back(asked);
    return config;
  }
  Handle begun(const Endpoint& to) const {
    Handle client = bench.tcp();
    REQUIRE(client->connect(to) == Errno::in_progress);
    return client;
  }
  std::pair<Handle, Handle> connected() const {
    Handle client = bench.tcp();
    REQUIRE(connect(client, at("198.51.100.1", listener->local()->port)) == Errno::ok);
    return {client, Bench::accept(listener)};
  }

  Everything() : bench(config()) {
    asking = begun(at("203.0.113.1", 80));
    bench.event();
    asking_udp = bench.udp();
    REQUIRE(asking_udp->send_to(bytes_of("x"), at("203.0.113.1", 53), 0));
    bench.event();
    // Once its backlog is full, Linux does not answer a SYN.
    for (int i = 0; i < 2; i++) {
      filling.push_back(bench.kernel_tcp());
      REQUIRE(filling.back()->connect(at("127.0.0.1", full->local()->port)) == Errno::in_progress);
    }
    connecting = begun(at("198.51.100.1", full->local()->port));
    std::tie(open, open_server) = connected();
    std::tie(closing, closing_server) = connected();
    REQUIRE(closing->shutdown(Shutdown::write) == Errno::ok);
    CHECK(read_text(closing_server) == "");
    open_udp_server = bench.kernel_udp();
    open_udp = bench.udp();
    REQUIRE(open_udp->connect(at("198.51.100.1", open_udp_server->local()->port)) == Errno::ok);
    REQUIRE(open_udp->send(bytes_of("y"), 0));
    CHECK(read_text(open_udp_server) == "y");
    taken_client = begun(at("203.0.113.2", 80));
    taken = made(bench.gateway->take(bench.event().flow.id));
    REQUIRE(wait_for(taken_client, socket::kOut));
    const Handle behind = bench.guest_listener("10.5.0.2", 80);
    ForwardSpec spec;
    spec.listen.endpoint = at("127.0.0.1");
    spec.to.endpoint = at("10.5.0.2", 80);
    inward = bench.kernel_tcp();
    REQUIRE(connect(inward, at("127.0.0.1", bench.forward(spec))) == Errno::ok);
    inward_server = Bench::accept(behind);
    REQUIRE(eventually([&] { return states() == expected(); }));
  }
  std::vector<FlowState> states() const {
    std::vector<FlowState> all;
    for (const FlowInfo& flow : bench.gateway->flows()) all.push_back(flow.state);
    return all;
  }
  static std::vector<FlowState> expected() {
    return {FlowState::asking,  FlowState::asking, FlowState::connecting, FlowState::open,
            FlowState::closing, FlowState::open,   FlowState::open};
  }
  void check_reset() const {
    CHECK(read_text(asking) == kRefused);
    CHECK(read_text(connecting) == kRefused);
    CHECK(read_text(open) == kReset);
    CHECK(read_text(open_server) == kReset);
    CHECK(read_text(closing) == kReset);
    CHECK(!closing_server->send(bytes_of("into the void"), 0));
    CHECK(read_text(inward) == kReset);
    CHECK(read_text(inward_server) == kReset);
  }
};

TEST_CASE("a flow can be killed in each state, and both its sides hear of it") {
  const Holdings before;
  {
    Everything all;
    for (const FlowInfo& flow : all.bench.gateway->flows()) {
      CHECK(all.bench.gateway->kill(flow.id));
      CHECK(!all.bench.gateway->kill(flow.id));
    }
    all.check_reset();
    CHECK(all.bench.gateway->flows().empty());
    CHECK(all.bench.gateway->counters().asking == 0);
    // Who has a port still is sent on as if nothing had been.
    REQUIRE(all.open_udp->send(bytes_of("z"), 0));
    CHECK(read_text(all.open_udp_server) == "z");
  }
  CHECK(back_to(before));
}

TEST_CASE("a gateway that closes ends flows in each state, and leaves nothing") {
  const Holdings before;
  {
    Everything all;
    all.bench.gateway->close();
    all.check_reset();
    CHECK(read_text(all.taken_client) == kReset);
    CHECK(read_text(all.taken) == error_text(Errno::network_down));
    CHECK(all.bench.gateway->flows().empty());
    CHECK(all.bench.gateway->forwards().empty());
    ForwardId id = 0;
    CHECK(all.bench.gateway->add_forward({}, id).error == Errno::invalid);
    ForwardSpec spec;
    spec.listen.endpoint = at("127.0.0.1");
    spec.to.endpoint = at("10.5.0.2", 80);
    CHECK(all.bench.gateway->add_forward(spec, id).error == Errno::bad_descriptor);
    CHECK(!all.bench.gateway->kill(1));
    // Another may follow.
    Failure failure;
    const auto next = Gateway::open(all.bench.near, all.bench.kernel, with_loopback(), failure);
    REQUIRE(next);
    const Handle client = all.bench.tcp();
    CHECK(connect(client, at("198.51.100.1", all.listener->local()->port)) == Errno::ok);
    next->close();
  }
  CHECK(back_to(before));
}

TEST_CASE("the near stack's close ends its gateway, flows in each state first") {
  const Holdings before;
  {
    Everything all;
    all.bench.near->close();
    all.check_reset();
    CHECK(all.bench.gateway->flows().empty());
    CHECK(all.bench.gateway->decide(1, {}) == Errno(ENOENT));
  }
  CHECK(back_to(before));
}

TEST_CASE("the far stack's close ends the gateway to it, and both ends hear of it") {
  CoreBench bench([] {
    GatewayConfig config;
    config.otherwise = Verdict::allow;
    return config;
  }());
  const Handle listener = bench.listener();
  const Handle client = bench.tcp();
  REQUIRE(connect(client, at("192.0.2.2", 80)) == Errno::ok);
  const Handle server = CoreBench::accept(listener);
  const Handle udp = bench.udp();
  REQUIRE(udp->send_to(bytes_of("x"), at("192.0.2.2", 53), 0));
  REQUIRE(eventually([&] { return bench.gateway->flows().size() == 2; }));
  bench.far->close();
  CHECK(read_text(client) == kReset);
  CHECK(read_text(server) == kReset);
  CHECK(bench.gateway->flows().empty());
  CHECK(bench.gateway->set_rules({}, Verdict::allow) == Errno::bad_descriptor);
}

TEST_CASE("a link that is removed takes its flows with it, and the far side hears of it") {
  Everything all;
  REQUIRE(all.bench.near->remove_link(all.bench.near_link) == Errno::ok);
  CHECK(read_text(all.open_server) == kReset);
  CHECK(read_text(all.inward) == kReset);
  CHECK(read_text(all.taken) == error_text(Errno::network_down));
  // The gateway stays, and closes well.
  CHECK(all.bench.gateway->set_rules({}, Verdict::refuse) == Errno::ok);
}

TEST_CASE("a gateway that closes late leaves the next one's link alone") {
  Bench bench(with_loopback());
  REQUIRE(bench.near->remove_link(bench.near_link) == Errno::ok);
  InterfaceId again = 0;
  LinkSpec spec;
  spec.url = "cable:gateway-test";
  spec.addresses = {*Cidr::parse("10.5.0.1/24")};
  spec.dad_transmits = 0;
  REQUIRE(!bench.near->add_link(spec, again));
  Failure failure;
  const auto next = Gateway::open(bench.near, bench.kernel, with_loopback(), failure);
  REQUIRE(next);
  bench.gateway->close();
  const Handle listener = bench.listener();
  CHECK(connect(bench.tcp(), at("198.51.100.1", listener->local()->port)) == Errno::ok);
  next->close();
}

TEST_CASE("two gateways do not fit on one link, nor one without a link or with a closed stack") {
  Bench bench;
  Failure failure;
  CHECK(!Gateway::open(bench.near, bench.kernel, {}, failure));
  CHECK(failure.error == Errno::exists);
  GatewayConfig config;
  config.interfaces = {77};
  CHECK(!Gateway::open(bench.near, bench.kernel, config, failure));
  CHECK(failure.error == Errno::no_such_device);
  CHECK(!Gateway::open(bench.near, bench.near, {}, failure));
  CHECK(failure.error == Errno::invalid);
  const auto closed = BsdStack::open_kernel();
  closed->close();
  CHECK(!Gateway::open(bench.guest, closed, {}, failure));
  CHECK(failure.error == Errno::bad_descriptor);
}

}  // namespace
