// SPDX-License-Identifier: MIT
// Streams through a gateway whose ends do as they please: sizes, stalls, ends and resets at random.
// What arrives is what was sent, byte for byte; and what a side did to its stream, the other sees.
#include <doctest/doctest.h>

#include <cstdlib>
#include <random>

#include "host/gateway/support.hpp"

using namespace vpollnet;
using namespace vpollnet::host;
using namespace vpollnet::host::test;
using socket::Option;
using socket::Shutdown;
using socket::Type;

namespace {

using Random = std::mt19937_64;

std::size_t below(Random& random, std::size_t limit) { return random() % limit; }

std::uint8_t byte_at(std::uint64_t key, std::size_t position) {
  return static_cast<std::uint8_t>((position * 0x9e3779b97f4a7c15u + key) >> 29);
}

/// One end of a stream, with its mind made up.
struct End {
  enum class Way : std::uint8_t { finish, close, reset };

  End(Handle its_socket, std::uint64_t its_key, std::uint64_t key_of_other, Random& random)
      : socket(std::move(its_socket)), key(its_key), other_key(key_of_other) {
    // Small steps for small streams alone, or it takes all day.
    largest = std::size_t{1} << below(random, 18);
    total = below(random, std::min<std::size_t>(300 * largest, 500'000));
    const std::size_t dice = below(random, 10);
    way = dice < 7 ? Way::finish : dice < 9 ? Way::close : Way::reset;
    stalls = below(random, 4);
  }

  /// A step, if it does not rest. True when something moved.
  bool step(Random& random) {
    if (gone || below(random, 8) < stalls) return false;
    return below(random, 2) == 0 ? write(random) || read(random) : read(random) || write(random);
  }
  bool done() const { return gone || (ended && read_end); }

  Handle socket;
  std::uint64_t key, other_key;
  std::size_t total = 0, largest = 0, stalls = 0;
  Way way = Way::finish;
  std::size_t sent = 0, got = 0;
  bool ended = false;      ///< it will write no more
  bool read_end = false;   ///< the other's end was read
  bool gone = false;       ///< closed, reset, or broken
  bool was_reset = false;  ///< by the other
  bool wrong = false;

 private:
  bool broke(Errno error) {
    if (error == Errno::again) return false;
    was_reset = true;
    gone = true;
    socket->close();
    return true;
  }
  bool write(Random& random) {
    if (ended) return false;
    if (sent == total) {
      ended = true;
      if (way == Way::finish) return socket->shutdown(Shutdown::write) == Errno::ok;
      if (way == Way::reset) socket->set_option(Option::linger, 0);
      socket->close();
      gone = true;
      return true;
    }
    std::vector<std::uint8_t> part(std::min(total - sent, 1 + below(random, largest)));
    for (std::size_t i = 0; i < part.size(); i++) part[i] = byte_at(key, sent + i);
    const auto took = socket->send(part, 0);
    if (!took) return broke(took.error());
    sent += *took;
    return *took > 0;
  }
  bool read(Random& random) {
    if (read_end) return false;
    std::vector<std::uint8_t> part(1 + below(random, largest));
    const auto came = socket->receive(part, 0);
    if (!came) return broke(came.error());
    if (came->copied == 0) {
      read_end = true;
      return true;
    }
    for (std::size_t i = 0; i < came->copied; i++) {
      wrong = wrong || part[i] != byte_at(other_key, got + i);
    }
    got += came->copied;
    return true;
  }
};

/// What `one` saw of the stream of `other`.
void check(const End& one, const End& other) {
  CHECK(!one.wrong);
  CHECK(one.got <= other.sent);
  if (one.read_end) {
    // The end of a stream comes behind its last byte, and nobody is told an end that is none.
    CHECK(one.got == other.sent);
    CHECK(other.ended);
    CHECK(other.sent == other.total);
    CHECK(other.way != End::Way::reset);
  }
  // Both only finished: all must have arrived.
  if (one.way == End::Way::finish && other.way == End::Way::finish) {
    CHECK(!one.was_reset);
    CHECK(one.read_end);
    CHECK(one.got == other.total);
  }
  if (other.way == End::Way::reset && other.ended && !other.was_reset) {
    CHECK(!one.read_end);
    CHECK((one.was_reset || one.ended));
  }
}

/// Lives of streams that `open` makes, several at a time.
template <class Open>
void live(const GuestSide& bench, Open open) {
  const char* given = std::getenv("VPOLLNET_SEED");
  const std::uint64_t seed =
      given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  INFO("VPOLLNET_SEED=", seed);
  Random random(seed);
  for (int round = 0; round < 3; round++) {
    std::vector<std::pair<End, End>> streams;
    for (int i = 0; i < 12; i++) {
      auto [client, server] = open();
      const std::uint64_t out = random(), in = random();
      End one(client, out, in, random);
      End other(server, in, out, random);
      streams.emplace_back(std::move(one), std::move(other));
    }
    Nanos moved = monotonic_now();
    for (bool all = false; !all;) {
      all = true;
      bool any = false;
      for (auto& [one, other] : streams) {
        any |= one.step(random);
        any |= other.step(random);
        all = all && one.done() && other.done();
      }
      if (any) moved = monotonic_now();
      if (!any && monotonic_now() - moved > 20 * kSecond) FAIL("something is stuck");
      if (!any) std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    for (auto& [one, other] : streams) {
      INFO("round ", round, ": ", one.sent, " of ", one.total, " way ", static_cast<int>(one.way),
           " got ", one.got, " and ", other.sent, " of ", other.total, " way ",
           static_cast<int>(other.way), " got ", other.got);
      check(one, other);
      check(other, one);
      one.socket->close();
      other.socket->close();
    }
    CHECK(bench.no_flows());
  }
}

TEST_CASE("streams of all sorts from behind a gateway to the kernel") {
  Bench bench(with_loopback());
  const Handle listener = bench.listener();
  live(bench, [&] {
    Handle client = bench.tcp();
    REQUIRE(connect(client, at("198.51.100.1", listener->local()->port)) == Errno::ok);
    return std::pair{client, Bench::accept(listener)};
  });
}

TEST_CASE("streams of all sorts from the kernel, by a forward") {
  Bench bench;
  const Handle behind = bench.guest_listener("fd05::2", 80);
  ForwardSpec spec;
  spec.listen.endpoint = at("::1");
  spec.to.endpoint = at("fd05::2", 80);
  const std::uint16_t port = bench.forward(spec);
  live(bench, [&] {
    Handle client = bench.kernel_tcp();
    REQUIRE(connect(client, at("::1", port)) == Errno::ok);
    return std::pair{client, Bench::accept(behind)};
  });
}

TEST_CASE("streams of all sorts from core to core") {
  GatewayConfig config;
  config.otherwise = Verdict::allow;
  CoreBench bench(config);
  const Handle listener = bench.listener();
  live(bench, [&] {
    Handle client = bench.tcp();
    REQUIRE(connect(client, at("192.0.2.2", 80)) == Errno::ok);
    return std::pair{client, CoreBench::accept(listener)};
  });
}

}  // namespace
