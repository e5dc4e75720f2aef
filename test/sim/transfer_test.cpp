// SPDX-License-Identifier: MIT
// Bulk transfer between two stacks over a bad cable, in virtual time.
#include <doctest/doctest.h>

#include <cstdlib>
#include <vector>

#include "support/simulation.hpp"

using namespace vpollnet;
using namespace vpollnet::test;
using socket::Socket;

namespace {

/// Byte `position` of the stream that is sent; cheap, and never the same for long.
class Pattern {
 public:
  explicit Pattern(std::uint64_t seed) : state_(seed | 1) {}
  void fill(std::span<std::uint8_t> out) {
    for (std::uint8_t& byte : out) {
      if (left_ == 0) {
        state_ ^= state_ << 13;
        state_ ^= state_ >> 7;
        state_ ^= state_ << 17;
        word_ = state_;
        left_ = 8;
      }
      byte = static_cast<std::uint8_t>(word_);
      word_ >>= 8;
      left_--;
    }
  }

 private:
  std::uint64_t state_;
  std::uint64_t word_ = 0;
  int left_ = 0;
};

struct Outcome {
  std::uint64_t trace = 0;
  std::uint64_t received = 0;
  bool equal = true;
  bool ended = false;
  Nanos took = 0;
  std::uint64_t lost = 0;
  std::size_t memory_left = 0;
  std::size_t blocks_left = 0;
};

struct Ends {
  Socket* sender = nullptr;
  Socket* receiver = nullptr;
};

Ends establish(Simulation& simulation, Node& a, Node& b, const std::string& address) {
  Socket& listener = b.open(socket::Type::tcp);
  REQUIRE(listener.bind({IpAddress(), 7000}, simulation.now()) == Errno::ok);
  REQUIRE(listener.listen(8, simulation.now()) == Errno::ok);
  Socket& client = a.open(socket::Type::tcp);
  REQUIRE(client.connect({*IpAddress::parse(address), 7000}, simulation.now()) ==
          Errno::in_progress);
  REQUIRE(simulation.run([&] { return (listener.readiness() & socket::kIn) != 0; },
                         simulation.now() + 300 * kSecond));
  Ends ends{&client, *listener.accept(simulation.now())};
  listener.close(simulation.now());
  return ends;
}

Outcome transfer(std::uint64_t seed, std::uint64_t bytes, const InterfaceConfig& config,
                 const Impairment& impairment, const std::string& a_address,
                 const std::string& b_address, int prefix) {
  Simulation simulation(seed);
  Node& a = simulation.add("a");
  Node& b = simulation.add("b");
  simulation.connect(a, {a_address + "/" + std::to_string(prefix)}, b,
                     {b_address + "/" + std::to_string(prefix)}, config, impairment);
  const Ends ends = establish(simulation, a, b, b_address);
  const Nanos begin = simulation.now();

  Outcome outcome;
  Pattern sent(seed), expected(seed);
  std::vector<std::uint8_t> chunk(64 * 1024), buffer(64 * 1024), wanted(64 * 1024);
  std::size_t chunk_at = chunk.size();
  std::uint64_t left = bytes;
  bool shut = false;
  const auto pump = [&] {
    for (;;) {
      if (chunk_at == chunk.size() && left > 0) {
        chunk.resize(std::min<std::uint64_t>(left, 64 * 1024));
        sent.fill(chunk);
        left -= chunk.size();
        chunk_at = 0;
      }
      if (chunk_at == chunk.size()) {
        if (!shut)
          REQUIRE(ends.sender->shutdown(socket::Shutdown::write, simulation.now()) == Errno::ok);
        shut = true;
        break;
      }
      const auto taken = ends.sender->send(std::span(chunk).subspan(chunk_at), 0, simulation.now());
      if (!taken) {
        REQUIRE(taken.error() == Errno::again);
        break;
      }
      chunk_at += *taken;
    }
    while (!outcome.ended) {
      const auto got = ends.receiver->receive(buffer, 0, simulation.now());
      if (!got) {
        REQUIRE(got.error() == Errno::again);
        break;
      }
      if (got->copied == 0) outcome.ended = true;
      const auto part = std::span(wanted).first(got->copied);
      expected.fill(part);
      outcome.equal = outcome.equal && std::equal(part.begin(), part.end(), buffer.begin());
      outcome.received += got->copied;
    }
    return outcome.ended;
  };
  simulation.run(pump, simulation.now() + 24 * 3600 * kSecond);
  outcome.took = simulation.now() - begin;
  ends.receiver->close(simulation.now());
  ends.sender->close(simulation.now());
  simulation.run_for(200 * kSecond);
  outcome.trace = simulation.trace();
  outcome.lost = simulation.lost();
  outcome.memory_left = a.stack().memory_used() + b.stack().memory_used();
  outcome.blocks_left = simulation.pool().live();
  return outcome;
}

InterfaceConfig ethernet() {
  InterfaceConfig config;
  config.mtu = 1500;
  return config;
}

constexpr Impairment kBad{.delay = 500 * kMicrosecond,
                          .jitter = 100 * kMicrosecond,
                          .loss = 0.01,
                          .duplication = 0.01,
                          .corruption = 0,
                          .rate = 0};

/// Sanitizers make each byte ten times as dear: the whole gigabyte goes through the plain build.
std::uint64_t scaled(std::uint64_t bytes) {
  return std::getenv("VPOLLNET_SANITIZED") != nullptr ? bytes / 32 : bytes;
}

}  // namespace

TEST_CASE("a gigabyte crosses a cable with loss, reordering and duplication byte for byte") {
  const std::uint64_t bytes = scaled(1'000'000'000);
  const Outcome outcome = transfer(1, bytes, ethernet(), kBad, "10.0.0.1", "10.0.0.2", 24);
  CHECK(outcome.ended);
  CHECK(outcome.equal);
  CHECK(outcome.received == bytes);
  CHECK(outcome.lost > bytes / 1500 / 200);
  CHECK(outcome.memory_left == 0);
  CHECK(outcome.blocks_left == 0);
  MESSAGE("virtual seconds: " << static_cast<double>(outcome.took) / 1e9
                              << ", frames lost: " << outcome.lost);
}

TEST_CASE("the same seed gives the same trace, another seed another one") {
  const Outcome first = transfer(7, 4'000'000, ethernet(), kBad, "fd00::1", "fd00::2", 64);
  const Outcome second = transfer(7, 4'000'000, ethernet(), kBad, "fd00::1", "fd00::2", 64);
  const Outcome other = transfer(8, 4'000'000, ethernet(), kBad, "fd00::1", "fd00::2", 64);
  CHECK(first.trace == second.trace);
  CHECK(first.took == second.took);
  CHECK(first.trace != other.trace);
  CHECK(first.equal);
  CHECK(first.received == 4'000'000);
}

TEST_CASE("corrupted frames never reach the stream") {
  Impairment corrupting = kBad;
  corrupting.corruption = 0.02;
  for (std::uint64_t seed = 20; seed < 30; seed++) {
    const Outcome outcome =
        transfer(seed, 2'000'000, ethernet(), corrupting, "10.0.0.1", "10.0.0.2", 24);
    CHECK(outcome.ended);
    CHECK(outcome.equal);
    CHECK(outcome.received == 2'000'000);
  }
}

TEST_CASE("large segments cross a lossy cable that offloads segmentation") {
  InterfaceConfig config;
  config.mtu = 65535;
  config.offloads = {true, true};
  const Outcome outcome =
      transfer(3, scaled(200'000'000), config, kBad, "10.0.0.1", "10.0.0.2", 24);
  CHECK(outcome.ended);
  CHECK(outcome.equal);
  CHECK(outcome.memory_left == 0);
  CHECK(outcome.blocks_left == 0);
}

TEST_CASE("a slow link with a long delay is filled") {
  Impairment slow;
  slow.delay = 20 * kMillisecond;
  slow.rate = 1'250'000;  // 10 Mbit/s
  const Outcome outcome = transfer(4, 5'000'000, ethernet(), slow, "10.0.0.1", "10.0.0.2", 24);
  CHECK(outcome.ended);
  CHECK(outcome.equal);
  // 5 MB at 1.25 MB/s are 4 s and headers; slow start and the last round trip come on top.
  CHECK(outcome.took < 6 * kSecond);
}
