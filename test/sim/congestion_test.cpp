// SPDX-License-Identifier: MIT
// What congestion control makes of a long fat link, in virtual time.
#include <doctest/doctest.h>

#include <vector>

#include "support/simulation.hpp"

using namespace vpollnet;
using namespace vpollnet::test;
using socket::Option;
using socket::Socket;

namespace {

constexpr std::uint64_t kRate = 5'000'000;  // bytes a second
constexpr Nanos kDelay = 100 * kMillisecond;
/// What fills the link, and all that may be under way.
constexpr std::int64_t kBuffer = 1'000'000;

/// How many bytes come in during `span` after some frames were lost once.
std::uint64_t received_after_loss(const char* algorithm, Nanos span) {
  Simulation simulation(1);
  Node& a = simulation.add("a");
  Node& b = simulation.add("b");
  InterfaceConfig config;
  config.mtu = 1500;
  Impairment link;
  link.delay = kDelay;
  link.rate = kRate;
  simulation.connect(a, {"10.0.0.1/24"}, b, {"10.0.0.2/24"}, config, link);

  Socket& listener = b.open(socket::Type::tcp);
  Socket& sender = a.open(socket::Type::tcp);
  for (Socket* socket : {&listener, &sender}) {
    REQUIRE(socket->set_text_option(Option::congestion, algorithm, simulation.now()) == Errno::ok);
    for (const Option option : {Option::send_buffer, Option::receive_buffer})
      REQUIRE(socket->set_option(option, kBuffer, simulation.now()) == Errno::ok);
  }
  REQUIRE(listener.bind({IpAddress(), 7000}, simulation.now()) == Errno::ok);
  REQUIRE(listener.listen(1, simulation.now()) == Errno::ok);
  REQUIRE(sender.connect({*IpAddress::parse("10.0.0.2"), 7000}, simulation.now()) ==
          Errno::in_progress);
  REQUIRE(simulation.run([&] { return (listener.readiness() & socket::kIn) != 0; },
                         simulation.now() + 10 * kSecond));
  Socket& receiver = **listener.accept(simulation.now());
  CHECK(*receiver.text_option(Option::congestion) == algorithm);

  std::uint64_t received = 0;
  std::vector<std::uint8_t> chunk(256 * 1024);
  const auto transfer = [&](Nanos during) {
    simulation.run(
        [&] {
          while (sender.send(chunk, 0, simulation.now())) {
          }
          for (;;) {
            const auto got = receiver.receive(chunk, 0, simulation.now());
            if (!got) break;
            received += got->copied;
          }
          return false;
        },
        simulation.now() + during);
  };
  transfer(5 * kSecond);
  REQUIRE(received > 3 * kRate);  // the link is full
  simulation.cut(a, true);
  transfer(kMillisecond);
  simulation.cut(a, false);
  received = 0;
  transfer(span);
  const std::uint64_t result = received;
  sender.close(simulation.now());
  receiver.close(simulation.now());
  listener.close(simulation.now());
  return result;
}

}  // namespace

TEST_CASE("after a loss CUBIC fills a long fat link again, while NewReno is far from it") {
  const std::uint64_t cubic = received_after_loss("cubic", 10 * kSecond);
  const std::uint64_t newreno = received_after_loss("newreno", 10 * kSecond);
  MESSAGE("of " << 10 * kRate << " bytes: cubic " << cubic << ", newreno " << newreno);
  CHECK(cubic > 8 * kRate);
  CHECK(cubic > newreno + newreno / 4);
}
