// SPDX-License-Identifier: MIT
// UDP and echo through a gateway: sizes, ports, errors, both families, both kinds of far side.
#include <doctest/doctest.h>

#include <set>

#include "host/gateway/support.hpp"
#include "host/namespace.hpp"

using namespace vpollnet;
using namespace vpollnet::host;
using namespace vpollnet::host::test;
using socket::Option;
using socket::Type;

namespace {

std::vector<std::uint8_t> pattern(std::size_t size) {
  std::vector<std::uint8_t> bytes(size);
  for (std::size_t i = 0; i < size; i++) bytes[i] = static_cast<std::uint8_t>(i * 31 + (i >> 8));
  return bytes;
}

struct Came {
  std::vector<std::uint8_t> bytes;
  Endpoint from;
};

Came receive(const Handle& socket) {
  REQUIRE(wait_for(socket, socket::kIn));
  Came came{std::vector<std::uint8_t>(70'000), {}};
  const auto got = socket->receive(came.bytes, 0);
  REQUIRE(got);
  came.bytes.resize(got->copied);
  came.from = got->from;
  return came;
}

GatewayConfig both_loopbacks() {
  GatewayConfig config = with_loopback();
  config.rules.push_back(allow("2001:db8:1::/48", at("::1")));
  return config;
}

TEST_CASE("datagrams of all sizes go and come whole, larger ones than the MTU in fragments") {
  Bench bench(both_loopbacks());
  struct Side {
    const char *far, *loopback;
    std::size_t largest;
  };
  for (const Side& side :
       {Side{"198.51.100.1", "127.0.0.1", 65'507}, Side{"2001:db8:1::1", "::1", 65'527}}) {
    const Handle sink = bench.kernel_udp(side.loopback);
    sink->set_option(Option::receive_buffer, 1 << 20);
    const Handle client = bench.udp();
    client->set_option(Option::receive_buffer, 1 << 20);
    const Endpoint to = at(side.far, sink->local()->port);
    for (const std::size_t size :
         {std::size_t{0}, std::size_t{1}, std::size_t{1400}, std::size_t{1472}, std::size_t{1473},
          std::size_t{4000}, std::size_t{40'000}, side.largest}) {
      REQUIRE(client->send_to(pattern(size), to, 0));
      const Came there = receive(sink);
      CHECK(there.bytes == pattern(size));
      REQUIRE(sink->send_to(pattern(size), there.from, 0));
      const Came back = receive(client);
      CHECK(back.bytes == pattern(size));
      CHECK(back.from == to);
    }
  }
}

TEST_CASE("what no datagram of the other family can hold is counted, and the flow goes on") {
  // From IPv6, where a datagram has 20 bytes more, to IPv4.
  GatewayConfig config;
  config.rules = {allow("2001:db8:1::/48", at("127.0.0.1"))};
  Bench bench(config);
  const Handle sink = bench.kernel_udp();
  const Handle client = bench.udp();
  const Endpoint to = at("2001:db8:1::1", sink->local()->port);
  REQUIRE(client->send_to(pattern(65'527), to, 0));
  CHECK(eventually([&] { return bench.dropped(GatewayDrop::datagram_too_big) == 1; }));
  REQUIRE(client->send_to(pattern(100), to, 0));
  CHECK(receive(sink).bytes == pattern(100));
}

TEST_CASE("sources never share a port, and the flows of one source do (RFC 4787 REQ-1)") {
  Bench bench(with_loopback());
  const Handle first = bench.kernel_udp();
  const Handle second = bench.kernel_udp();
  constexpr int kSources = 600;
  std::vector<Handle> clients;
  std::set<std::uint16_t> ports;
  for (int i = 0; i < kSources; i++) {
    clients.push_back(bench.udp());
    REQUIRE(clients.back()->send_to(bytes_of("1"), at("198.51.100.1", first->local()->port), 0));
    const Endpoint seen = receive(first).from;
    CHECK(ports.insert(seen.port).second);
    REQUIRE(clients.back()->send_to(bytes_of("2"), at("198.51.100.1", second->local()->port), 0));
    CHECK(receive(second).from == seen);
  }
  // Whoever answers reaches him who asked.
  int i = 0;
  for (const Handle& client : clients) {
    const std::string text = std::to_string(i++);
    REQUIRE(client->send_to(bytes_of("?"), at("198.51.100.1", first->local()->port), 0));
    REQUIRE(first->send_to(bytes_of(text), receive(first).from, 0));
    CHECK(read_text(client) == text);
  }
}

TEST_CASE("only the peer of a flow gets through to its source (RFC 4787 REQ-8)") {
  Bench bench(with_loopback());
  const Handle peer = bench.kernel_udp();
  const Handle stranger = bench.kernel_udp();
  const Handle client = bench.udp();
  REQUIRE(client->send_to(bytes_of("x"), at("198.51.100.1", peer->local()->port), 0));
  const Endpoint mapped = receive(peer).from;
  (void)stranger->send_to(bytes_of("let me in"), mapped, 0);
  REQUIRE(peer->send_to(bytes_of("answer"), mapped, 0));
  CHECK(read_text(client) == "answer");
  CHECK(!wait_for(client, socket::kIn, 50));
}

TEST_CASE("a source that has closed its port ends the flow, and the far peer is told so") {
  Bench bench(with_loopback());
  const Handle peer = bench.kernel_udp();
  const Handle client = bench.udp();
  REQUIRE(client->send_to(bytes_of("x"), at("198.51.100.1", peer->local()->port), 0));
  REQUIRE(peer->connect(receive(peer).from) == Errno::ok);
  client->close();
  REQUIRE(peer->send(bytes_of("nobody hears this"), 0));
  CHECK(bench.no_flows());
  REQUIRE(peer->send(bytes_of("nor this"), 0));
  CHECK(read_text(peer) == error_text(Errno::refused));
}

TEST_CASE("where no road leads, a flow ends at once, and is counted") {
  check_in_network_namespace([]() -> std::string {
    GatewayConfig config;
    config.otherwise = Verdict::allow;
    Bench bench(config, Pump::create());
    const Handle client = bench.udp();
    if (client->connect(at("8.8.8.8", 53)) != Errno::ok) return "connect";
    if (!client->send(bytes_of("x"), 0)) return "send";
    // No route at all here, as the kernel says at once. A datagram socket hears nothing of a soft
    // error (RFC 1122 4.1.3.3), a connection does when it gives up.
    if (!eventually([&] { return bench.dropped(GatewayDrop::unreachable) == 1; })) return "udp";
    if (!bench.no_flows()) return "a flow stays";
    const Handle tcp = bench.tcp();
    if (tcp->connect(at("8.8.8.8", 53)) != Errno::in_progress) return "tcp";
    if (!eventually([&] { return bench.dropped(GatewayDrop::unreachable) == 2; })) return "tcp";
    return "";
  });
}

TEST_CASE("to another core datagrams and echoes go as to the kernel, errors included") {
  GatewayConfig config;
  config.otherwise = Verdict::allow;
  CoreBench bench(config);
  for (const char* address : {"192.0.2.2", "2001:db8::2"}) {
    const Handle sink = made(bench.server->socket(Type::udp));
    REQUIRE(sink->bind(at(address, 99)) == Errno::ok);
    const Handle client = bench.udp();
    for (const std::size_t size : {1u, 1472u, 5000u, 60'000u}) {
      REQUIRE(client->send_to(pattern(size), at(address, 99), 0));
      const Came there = receive(sink);
      CHECK(there.bytes == pattern(size));
      REQUIRE(sink->send_to(pattern(size), there.from, 0));
      CHECK(receive(client).bytes == pattern(size));
    }
    const Handle connected = bench.udp();
    REQUIRE(connected->connect(at(address, 100)) == Errno::ok);
    REQUIRE(connected->send(bytes_of("x"), 0));
    CHECK(read_text(connected) == error_text(Errno::refused));

    const Handle ping = bench.ping();
    REQUIRE(ping->connect(at(address)) == Errno::ok);
    for (const std::size_t size : {0u, 56u, 1472u, 30'000u}) {
      REQUIRE(ping->send(pattern(size), 0));
      CHECK(receive(ping).bytes == pattern(size));
    }
  }
  CHECK(bench.gateway->flows().size() == 6);
}

TEST_CASE("echoes keep their sequence numbers and identifiers through another core") {
  GatewayConfig config;
  config.otherwise = Verdict::allow;
  CoreBench bench(config);
  const Handle first = bench.ping();
  const Handle second = bench.ping();
  for (const Handle& ping : {first, second}) {
    REQUIRE(ping->set_option(Option::echo_sequence, 1) == Errno::ok);
    REQUIRE(ping->connect(at("192.0.2.2")) == Errno::ok);
  }
  const std::array<std::uint8_t, 3> one{0x12, 0x34, 'a'};
  const std::array<std::uint8_t, 3> two{0xff, 0xfe, 'b'};
  REQUIRE(first->send(one, 0));
  REQUIRE(second->send(two, 0));
  CHECK(receive(first).bytes == std::vector<std::uint8_t>(one.begin(), one.end()));
  CHECK(receive(second).bytes == std::vector<std::uint8_t>(two.begin(), two.end()));
  CHECK(bench.gateway->flows().size() == 2);
}

TEST_CASE("the kernel's ping sockets carry echoes, where the user may have them (icmp(7))") {
  check_in_network_namespace([]() -> std::string {
    if (!set_up_host_side("lo", "127.0.0.1")) return "no loopback";
    GatewayConfig config = with_loopback();
    Bench bench(config, Pump::create());
    write_file("/proc/sys/net/ipv4/ping_group_range", "1 0");
    const Handle denied = bench.ping();
    if (denied->connect(at("198.51.100.1")) != Errno::ok) return "connect";
    if (!denied->send(bytes_of("x"), 0)) return "send";
    // "Administratively prohibited", as Linux has it.
    if (const auto got = read_text(denied); got != error_text(Errno::host_unreachable)) {
      return "denied: " + got;
    }
    if (bench.dropped(GatewayDrop::echo_not_allowed) != 1) return "not counted";
    write_file("/proc/sys/net/ipv4/ping_group_range", "0 0");
    const Handle ping = bench.ping();
    if (ping->connect(at("198.51.100.1")) != Errno::ok) return "connect again";
    for (const std::size_t size : {std::size_t{0}, std::size_t{56}, std::size_t{20'000}}) {
      if (!ping->send(pattern(size), 0)) return "send again";
      if (!wait_for(ping, socket::kIn)) return "no answer to " + std::to_string(size);
      std::vector<std::uint8_t> bytes(70'000);
      const auto got = ping->receive(bytes, 0);
      if (!got) return "receive";
      bytes.resize(got->copied);
      if (bytes != pattern(size)) return "not what was sent";
      if (got->from.address != at("198.51.100.1").address) return "from somebody else";
    }
    return "";
  });
}

TEST_CASE("a forward of datagrams answers each sender, whole, and expires") {
  GatewayConfig config;
  config.udp_timeout = 200 * kMillisecond;
  Bench bench(config);
  const Handle behind = bench.udp();
  REQUIRE(behind->bind(at("10.5.0.2", 99)) == Errno::ok);
  ForwardSpec spec;
  spec.kind = FlowKind::udp;
  spec.listen.endpoint = at("127.0.0.1");
  spec.to.endpoint = at("10.5.0.2", 99);
  ForwardId id = 0;
  const std::uint16_t port = bench.forward(spec, &id);
  const Handle first = bench.kernel_udp();
  const Handle second = bench.kernel_udp();
  for (const std::size_t size : {std::size_t{0}, std::size_t{5000}, std::size_t{65'507}}) {
    for (const Handle& sender : {first, second}) {
      REQUIRE(sender->send_to(pattern(size), at("127.0.0.1", port), 0));
      const Came there = receive(behind);
      CHECK(there.bytes == pattern(size));
      CHECK(there.from.address == at("10.5.0.1").address);
      REQUIRE(behind->send_to(pattern(size), there.from, 0));
      const Came back = receive(sender);
      CHECK(back.bytes == pattern(size));
      CHECK(back.from == at("127.0.0.1", port));
    }
  }
  CHECK(bench.gateway->flows().size() == 2);
  CHECK(bench.gateway->forwards()[0].flows == 2);
  CHECK(bench.no_flows());
  // And with the forward its flows end.
  REQUIRE(first->send_to(bytes_of("x"), at("127.0.0.1", port), 0));
  receive(behind);
  CHECK(bench.gateway->flows().size() == 1);
  CHECK(bench.gateway->remove_forward(id));
  CHECK(bench.gateway->flows().empty());
}

TEST_CASE("a forward on all addresses answers from the one that was asked (RFC 1122 4.1.3.5)") {
  Bench bench;
  const Handle behind = bench.udp();
  REQUIRE(behind->bind(at("10.5.0.2", 99)) == Errno::ok);
  ForwardSpec spec;
  spec.kind = FlowKind::udp;
  spec.to.endpoint = at("10.5.0.2", 99);
  const std::uint16_t both = bench.forward(spec);
  spec.listen.endpoint = at("0.0.0.0");
  const std::uint16_t four = bench.forward(spec);
  for (const Endpoint& to : {at("127.0.0.1", four), at("127.0.0.2", four), at("127.0.0.1", both),
                             at("127.0.0.3", both), at("::1", both)}) {
    const Handle sender = made(bench.kernel->socket(Type::udp));
    REQUIRE(sender->connect(to) == Errno::ok);
    REQUIRE(sender->send(bytes_of("?"), 0));
    REQUIRE(behind->send_to(bytes_of("!"), receive(behind).from, 0));
    CHECK(read_text(sender) == "!");
  }
}

}  // namespace
