// SPDX-License-Identifier: MIT
// A gateway with a guest behind it, and the sockets that the tests use on both sides.
#pragma once

#include <doctest/doctest.h>

#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "host/gateway/gateway.hpp"
#include "host/poll.hpp"
#include "host/support.hpp"

namespace vpollnet::host::test {

using Handle = std::shared_ptr<SocketHandle>;

inline Endpoint at(const char* address, std::uint16_t port = 0) {
  return {.address = *IpAddress::parse(address), .port = port};
}

inline Handle made(Result<Handle> result) {
  REQUIRE(result);
  return *result;
}

inline bool wait_for(const Handle& socket, std::uint32_t events, int timeout_ms = 5000) {
  const auto fd = socket->fd();
  std::array<PollEntry, 1> entries{{{*fd, events, 0}}};
  const auto found = host::poll(entries, timeout_ms);
  return found && *found == 1;
}

inline std::string error_text(Errno error) {
  return "error " + std::to_string(static_cast<int>(error));
}

inline std::string read_text(const Handle& socket) {
  if (!wait_for(socket, socket::kIn)) return "nothing came";
  std::array<std::uint8_t, 2048> buffer{};
  const auto got = socket->receive(buffer, 0);
  if (!got) return error_text(got.error());
  return {reinterpret_cast<const char*>(buffer.data()), got->copied};
}

inline Errno connect(const Handle& socket, const Endpoint& to) {
  const Errno begun = socket->connect(to);
  if (begun != Errno::in_progress) return begun;
  if (!wait_for(socket, socket::kOut)) return Errno::timed_out;
  return static_cast<Errno>(*socket->option(socket::Option::error));
}

inline GatewayRule allow(const char* destination, const Endpoint& target = {}) {
  GatewayRule rule;
  if (destination != nullptr) rule.destination = Cidr::parse(destination);
  rule.decision = {Verdict::allow, {target, ""}};
  return rule;
}

inline GatewayRule to_loopback(const char* from) { return allow(from, at("127.0.0.1")); }

inline GatewayConfig with_loopback(const char* from = "198.51.100.1") {
  GatewayConfig config;
  config.rules = {to_loopback(from)};
  return config;
}

inline GatewayConfig asking() {
  GatewayConfig config;
  config.otherwise = Verdict::ask;
  return config;
}

/// A network with one link, `address4` and `address6`.
inline std::shared_ptr<Network> network_on(const std::shared_ptr<Pump>& pump, const char* cable,
                                           const char* address4, const char* address6,
                                           std::vector<IpAddress> gateways = {},
                                           InterfaceId* link = nullptr) {
  auto network = Network::open(pump);
  InterfaceId id = 0;
  LinkSpec spec;
  spec.url = cable;
  spec.addresses = {*Cidr::parse(address4), *Cidr::parse(address6)};
  spec.dad_transmits = 0;
  spec.gateways = std::move(gateways);
  REQUIRE(!network->add_link(spec, id));
  if (link != nullptr) *link = id;
  return network;
}

inline std::uint64_t drops(const std::shared_ptr<Gateway>& gateway, GatewayDrop reason) {
  return gateway->counters().drops[static_cast<std::size_t>(reason)];
}

/// What both benches have: guest 10.5.0.2 -- cable -- 10.5.0.1 gateway.
struct GuestSide {
  explicit GuestSide(std::shared_ptr<Pump> its_pump) : pump(std::move(its_pump)) {
    near = network_on(pump, "cable:gateway-test", "10.5.0.1/24", "fd05::1/64", {}, &near_link);
    guest = network_on(pump, "cable:gateway-test", "10.5.0.2/24", "fd05::2/64",
                       {*IpAddress::parse("10.5.0.1"), *IpAddress::parse("fd05::1")}, &guest_link);
  }
  Handle tcp() const { return made(guest->socket(socket::Type::tcp)); }
  Handle udp() const { return made(guest->socket(socket::Type::udp)); }
  Handle ping() const { return made(guest->socket(socket::Type::ping)); }
  static Handle accept(const Handle& listener) {
    REQUIRE(wait_for(listener, socket::kIn));
    return made(listener->accept());
  }
  Handle guest_listener(const char* address, std::uint16_t port) const {
    const Handle socket = tcp();
    REQUIRE(socket->bind(at(address, port)) == Errno::ok);
    REQUIRE(socket->listen(16) == Errno::ok);
    return socket;
  }
  GatewayEvent event() const {
    std::vector<GatewayEvent> events;
    REQUIRE(eventually([&] { return !(events = gateway->take_events()).empty(); }));
    CHECK(events.size() == 1);
    return events[0];
  }
  FlowInfo flow() const {
    std::vector<FlowInfo> flows;
    REQUIRE(eventually([&] { return (flows = gateway->flows()).size() == 1; }));
    return flows[0];
  }
  bool no_flows() const {
    return eventually([&] { return gateway->flows().empty(); });
  }
  std::uint64_t dropped(GatewayDrop reason) const { return drops(gateway, reason); }
  std::uint16_t forward(const ForwardSpec& spec, ForwardId* number = nullptr) const {
    ForwardId id = 0;
    const Failure failure = gateway->add_forward(spec, id);
    REQUIRE_MESSAGE(!failure, failure.detail);
    if (number != nullptr) *number = id;
    return gateway->forwards().back().spec.listen.endpoint.port;
  }

  std::shared_ptr<Pump> pump;
  InterfaceId near_link = kAnyInterface;
  InterfaceId guest_link = kAnyInterface;
  std::shared_ptr<Network> guest;
  std::shared_ptr<Network> near;
  std::shared_ptr<Gateway> gateway;
};

/// To the host's kernel.
struct Bench : GuestSide {
  explicit Bench(GatewayConfig config = {}, std::shared_ptr<Pump> its_pump = default_pump())
      : GuestSide(std::move(its_pump)) {
    Failure failure;
    gateway = Gateway::open(near, kernel, config, failure);
    REQUIRE(!failure);
  }
  ~Bench() {
    gateway->close();
    guest->close();
    near->close();
    kernel->close();
  }
  Handle listener(const char* address = "127.0.0.1", int backlog = 16) const {
    const Handle socket = made(kernel->socket(socket::Type::tcp));
    REQUIRE(socket->bind(at(address)) == Errno::ok);
    REQUIRE(socket->listen(backlog) == Errno::ok);
    return socket;
  }
  Handle kernel_udp(const char* address = "127.0.0.1") const {
    const Handle socket = made(kernel->socket(socket::Type::udp));
    REQUIRE(socket->bind(at(address)) == Errno::ok);
    return socket;
  }
  Handle kernel_tcp() const { return made(kernel->socket(socket::Type::tcp)); }

  std::shared_ptr<BsdStack> kernel = BsdStack::open_kernel();
};

/// To another core: far 192.0.2.1 -- cable -- 192.0.2.2 server.
struct CoreBench : GuestSide {
  explicit CoreBench(GatewayConfig config = {}) : GuestSide(default_pump()) {
    far = network_on(pump, "cable:gateway-far", "192.0.2.1/24", "2001:db8::1/64");
    server = network_on(pump, "cable:gateway-far", "192.0.2.2/24", "2001:db8::2/64");
    Failure failure;
    gateway = Gateway::open(near, far, config, failure);
    REQUIRE(!failure);
  }
  ~CoreBench() {
    gateway->close();
    for (const auto& network : {guest, near, far, server}) network->close();
  }
  Handle listener(std::uint16_t port = 80, const char* address = "192.0.2.2") const {
    const Handle socket = made(server->socket(socket::Type::tcp));
    REQUIRE(socket->bind(at(address, port)) == Errno::ok);
    REQUIRE(socket->listen(16) == Errno::ok);
    return socket;
  }

  std::shared_ptr<Network> far;
  std::shared_ptr<Network> server;
};

}  // namespace vpollnet::host::test
