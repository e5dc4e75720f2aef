// SPDX-License-Identifier: MIT
// What a guest without manners gets: limits, forgetting, nothing that grows for ever.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "host/gateway/support.hpp"

using namespace vpollnet;
using namespace vpollnet::host;
using namespace vpollnet::host::test;
using socket::Option;
using socket::Type;

namespace {

/// As long as it lives this process gets no more descriptors.
class Famine {
 public:
  Famine() {
    getrlimit(RLIMIT_NOFILE, &before_);
    const int next = dup(0);
    ::close(next);
    rlimit none = before_;
    none.rlim_cur = static_cast<rlim_t>(next);
    setrlimit(RLIMIT_NOFILE, &none);
  }
  ~Famine() { setrlimit(RLIMIT_NOFILE, &before_); }
  Famine(const Famine&) = delete;
  Famine& operator=(const Famine&) = delete;

 private:
  rlimit before_{};
};

bool is_open(const Handle& socket) {
  return eventually([&] { return std::string(socket->state()) == "ESTABLISHED"; });
}

TEST_CASE("at the limit of flows a new one is not answered, until there is room") {
  GatewayConfig config = with_loopback();
  config.max_flows = 2;
  Bench bench(config);
  const Handle listener = bench.listener();
  const Endpoint to = at("198.51.100.1", listener->local()->port);
  const Handle first = bench.tcp();
  const Handle second = bench.tcp();
  REQUIRE(connect(first, to) == Errno::ok);
  REQUIRE(connect(second, to) == Errno::ok);
  const Handle third = bench.tcp();
  CHECK(third->connect(to) == Errno::in_progress);
  REQUIRE(eventually([&] { return bench.dropped(GatewayDrop::flow_limit) >= 1; }));
  CHECK(std::string(third->state()) == "SYN-SENT");
  CHECK(bench.gateway->counters().open_flows == 2);
  first->set_option(Option::linger, 0);
  first->close();
  CHECK(is_open(third));  // its SYN comes again (RFC 6298 2.1)
  // The flow that was there is untouched.
  Bench::accept(listener);
  const Handle server = Bench::accept(listener);
  REQUIRE(second->send(bytes_of("still here"), 0));
  CHECK(read_text(server) == "still here");
}

TEST_CASE("one source has its own limit, and others are not hurt by it") {
  GatewayConfig config = with_loopback();
  config.max_flows_per_source = 3;
  Bench bench(config);
  const Handle sink = bench.kernel_udp();
  const Endpoint to = at("198.51.100.1", sink->local()->port);
  std::vector<Handle> sockets;
  for (int i = 0; i < 5; i++) {
    sockets.push_back(bench.udp());
    REQUIRE(sockets.back()->send_to(bytes_of("x"), to, 0));
  }
  CHECK(eventually([&] { return bench.dropped(GatewayDrop::source_limit) == 2; }));
  CHECK(bench.gateway->flows().size() == 3);
  REQUIRE(bench.guest->add_address(bench.guest_link, *Cidr::parse("10.5.0.3/24")) == Errno::ok);
  const Handle other = bench.udp();
  REQUIRE(other->bind(at("10.5.0.3")) == Errno::ok);
  REQUIRE(other->send_to(bytes_of("y"), to, 0));
  CHECK(eventually([&] { return bench.gateway->flows().size() == 4; }));
}

TEST_CASE("no more questions at once than the limit, and the rest is asked later") {
  GatewayConfig config = asking();
  config.max_asking = 2;
  Bench bench(config);
  std::vector<Handle> clients;
  for (std::uint16_t i = 0; i < 4; i++) {
    clients.push_back(bench.tcp());
    CHECK(clients.back()->connect(at("198.51.100.1", static_cast<std::uint16_t>(80 + i))) ==
          Errno::in_progress);
  }
  REQUIRE(eventually([&] { return bench.dropped(GatewayDrop::asking_limit) >= 2; }));
  CHECK(bench.gateway->counters().asking == 2);
  std::vector<GatewayEvent> asked = bench.gateway->take_events();
  REQUIRE(asked.size() == 2);
  for (const GatewayEvent& event : asked) {
    CHECK(bench.gateway->decide(event.flow.id, {Verdict::refuse, {}}) == Errno::ok);
  }
  std::size_t later = 0;
  CHECK(eventually([&] { return (later += bench.gateway->take_events().size()) == 2; }));
}

TEST_CASE("while somebody decides, a few datagrams wait, and then go in their order") {
  Bench bench(asking());
  const Handle sink = bench.kernel_udp();
  const Handle client = bench.udp();
  for (std::uint8_t i = 0; i < 40; i++) {
    const std::array<std::uint8_t, 1> datagram{i};
    REQUIRE(client->send_to(datagram, at("198.51.100.1", 53), 0));
  }
  const GatewayEvent asked = bench.event();
  REQUIRE(eventually([&] { return bench.dropped(GatewayDrop::datagram_queue_full) == 24; }));
  CHECK(bench.gateway->decide(asked.flow.id,
                              {Verdict::allow, {at("127.0.0.1", sink->local()->port), ""}}) ==
        Errno::ok);
  for (char i = 0; i < 16; i++) CHECK(read_text(sink) == std::string(1, i));
  // By bytes there is a limit too.
  const Handle large = bench.udp();
  const std::vector<std::uint8_t> twenty(20'000);
  for (int i = 0; i < 5; i++) REQUIRE(large->send_to(twenty, at("198.51.100.1", 54), 0));
  bench.event();
  CHECK(eventually([&] { return bench.dropped(GatewayDrop::datagram_queue_full) == 26; }));
}

TEST_CASE("a decision against a flow holds: nobody is asked again for its next packets") {
  GatewayConfig config = asking();
  config.tell_flows = true;
  Bench bench(config);
  const Handle udp = bench.udp();
  REQUIRE(udp->connect(at("198.51.100.1", 53)) == Errno::ok);
  REQUIRE(udp->send(bytes_of("one"), 0));
  GatewayEvent event = bench.event();
  CHECK(bench.gateway->decide(event.flow.id, {Verdict::refuse, {}}) == Errno::ok);
  CHECK(bench.gateway->decide(event.flow.id, {Verdict::allow, {}}) == Errno(ENOENT));
  CHECK(read_text(udp) == error_text(Errno::host_unreachable));  // as Linux has code 13
  event = bench.event();
  CHECK(event.what == GatewayEvent::What::closed);
  CHECK(event.flow.end == FlowEnd::denied);
  CHECK(bench.gateway->flows().empty());
  CHECK(bench.gateway->counters().open_flows == 0);
  REQUIRE(udp->send(bytes_of("two"), 0));
  CHECK(read_text(udp) == error_text(Errno::host_unreachable));  // as Linux has code 13
  CHECK(bench.dropped(GatewayDrop::denied) == 2);
  CHECK(bench.gateway->take_events().empty());

  const Handle silent = bench.tcp();
  CHECK(silent->connect(at("198.51.100.1", 80)) == Errno::in_progress);
  event = bench.event();
  CHECK(bench.gateway->decide(event.flow.id, {Verdict::drop, {}}) == Errno::ok);
  event = bench.event();
  CHECK(event.flow.end == FlowEnd::dropped);
  // Its SYN comes again after a second.
  CHECK(eventually([&] { return bench.dropped(GatewayDrop::dropped) == 2; }));
  CHECK(bench.gateway->take_events().empty());
  // Killed, it is forgotten, and asked about again.
  CHECK(bench.gateway->kill(event.flow.id));
  event = bench.event();
  CHECK(event.what == GatewayEvent::What::asked);
}

TEST_CASE("new rules hold for the senders too that were decided against") {
  Bench bench;
  const Handle sink = bench.kernel_udp();
  const Handle udp = bench.udp();
  REQUIRE(udp->connect(at("198.51.100.1", sink->local()->port)) == Errno::ok);
  REQUIRE(udp->send(bytes_of("denied"), 0));
  CHECK(read_text(udp) == error_text(Errno::host_unreachable));
  GatewayRule rule;
  rule.decision = {Verdict::allow, {at("127.0.0.1", sink->local()->port), {}}};
  CHECK(bench.gateway->set_rules({rule}, Verdict::refuse) == Errno::ok);
  REQUIRE(udp->send(bytes_of("allowed"), 0));
  CHECK(read_text(sink) == "allowed");
}

TEST_CASE("datagrams and echoes expire when nothing moves, and not before") {
  GatewayConfig config = with_loopback();
  config.udp_timeout = 300 * kMillisecond;
  config.udp_service_timeout = 100 * kMillisecond;
  config.tell_flows = true;
  Bench bench(config);
  const Handle sink = bench.kernel_udp();
  const Handle client = bench.udp();
  REQUIRE(client->connect(at("198.51.100.1", sink->local()->port)) == Errno::ok);
  Nanos last = 0;
  for (int i = 0; i < 10; i++) {  // longer than its time, and always something
    last = monotonic_now();
    REQUIRE(client->send(bytes_of("x"), 0));
    CHECK(read_text(sink) == "x");
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  CHECK(bench.gateway->flows().size() == 1);
  CHECK(bench.no_flows());
  CHECK(monotonic_now() - last >= 300 * kMillisecond);
  const auto events = bench.gateway->take_events();
  REQUIRE(events.size() == 2);
  CHECK(events[1].flow.end == FlowEnd::expired);
  CHECK(events[1].flow.packets_out == 10);
  // RFC 4787 4.3: a service of one question and one answer may have less.
  const Handle question = bench.udp();
  REQUIRE(question->send_to(bytes_of("?"), at("198.51.100.1", 53), 0));
  const Nanos asked = monotonic_now();
  CHECK(bench.no_flows());
  CHECK(monotonic_now() - asked >= 90 * kMillisecond);
}

TEST_CASE("events that nobody takes are counted, and no more are kept than were promised") {
  GatewayConfig config;
  config.tell_flows = true;
  Bench bench(config);
  const Handle client = bench.udp();
  std::size_t sent = 0;
  for (std::uint16_t port = 1; port <= Gateway::kEvents + 100; port++) {
    if (client->send_to(bytes_of("x"), at("198.51.100.1", port), 0)) sent++;
    REQUIRE(eventually([&] { return bench.dropped(GatewayDrop::denied) == sent; }));
  }
  REQUIRE(sent == Gateway::kEvents + 100);
  CHECK(bench.dropped(GatewayDrop::events_lost) == 100);
  CHECK(bench.gateway->take_events().size() == Gateway::kEvents);
  CHECK(bench.gateway->take_events().empty());
}

TEST_CASE("without a descriptor a flow waits, others go on, and afterwards all is well") {
  GatewayConfig config = with_loopback();
  Bench bench(config);
  const Handle listener = bench.listener();
  const Endpoint to = at("198.51.100.1", listener->local()->port);
  const Handle open = bench.tcp();
  REQUIRE(connect(open, to) == Errno::ok);
  const Handle server = Bench::accept(listener);
  REQUIRE(open->send(bytes_of("before"), 0));
  CHECK(read_text(server) == "before");
  const Handle late = bench.tcp();
  const Handle udp = bench.udp();
  {
    const Famine famine;
    REQUIRE(dup(0) == -1);
    CHECK(late->connect(to) == Errno::in_progress);
    REQUIRE(eventually([&] { return bench.dropped(GatewayDrop::no_descriptors) == 1; }));
    REQUIRE(udp->send_to(bytes_of("x"), to, 0));
    REQUIRE(eventually([&] { return bench.dropped(GatewayDrop::no_descriptors) == 2; }));
    CHECK(std::string(late->state()) == "SYN-SENT");
    REQUIRE(open->send(bytes_of("in between"), 0));
    CHECK(read_text(server) == "in between");
    CHECK(bench.gateway->flows().size() == 1);
  }
  CHECK(is_open(late));
}

TEST_CASE("a forward without a descriptor lets connections wait, and takes them up again") {
  Bench bench;
  const Handle behind = bench.guest_listener("10.5.0.2", 80);
  ForwardSpec spec;
  spec.listen.endpoint = at("127.0.0.1");
  spec.to.endpoint = at("10.5.0.2", 80);
  const std::uint16_t port = bench.forward(spec);
  const Handle client = bench.kernel_tcp();
  REQUIRE(client->fd());
  REQUIRE(behind->fd());
  {
    const Famine famine;
    CHECK(connect(client, at("127.0.0.1", port)) == Errno::ok);  // the kernel's backlog has it
    REQUIRE(eventually([&] { return bench.dropped(GatewayDrop::no_descriptors) >= 1; }));
    CHECK(bench.gateway->flows().empty());
  }
  const Handle server = Bench::accept(behind);
  REQUIRE(client->send(bytes_of("late"), 0));
  CHECK(read_text(server) == "late");
}

TEST_CASE("5,000 flows at once, and the next works, with the bytes of each its own") {
  constexpr std::size_t kFlows = 5000;
  const Holdings before;
  {
    Bench bench(with_loopback());
    const Handle listener = bench.listener("127.0.0.1", 4096);
    const Endpoint to = at("198.51.100.1", listener->local()->port);
    std::vector<Handle> clients;
    std::vector<Handle> servers;
    REQUIRE(listener->fd());
    const auto open_one = [&] {
      clients.push_back(bench.tcp());
      REQUIRE(clients.back()->connect(to) == Errno::in_progress);
      servers.push_back(Bench::accept(listener));
    };
    while (clients.size() < kFlows) open_one();
    REQUIRE(eventually([&] { return bench.gateway->counters().open_flows == kFlows; }));
    CHECK(bench.gateway->flows().size() == kFlows);
    open_one();
    const auto text_of = [](std::size_t i) { return "flow " + std::to_string(i); };
    REQUIRE(eventually(
        [&] { return clients.back()->send(bytes_of(text_of(kFlows)), 0).error() == Errno::ok; }));
    CHECK(read_text(servers.back()) == text_of(kFlows));
    for (std::size_t i = 0; i < kFlows; i++) REQUIRE(clients[i]->send(bytes_of(text_of(i)), 0));
    for (std::size_t i = 0; i < kFlows; i++) {
      const std::string got = read_text(servers[i]);
      REQUIRE(got == text_of(i));
    }
    CHECK(bench.gateway->counters().flows == kFlows + 1);
    for (const Handle& socket : clients) socket->close();
    for (const Handle& socket : servers) socket->close();
    CHECK(bench.no_flows());
  }
  CHECK(back_to(before));
}

}  // namespace
