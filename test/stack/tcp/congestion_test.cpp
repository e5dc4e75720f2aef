// SPDX-License-Identifier: MIT
// CUBIC (RFC 9438), alone and on a connection, and the choice between it and NewReno.
#include <cmath>

#include "stack/tcp/bench.hpp"

using namespace vpollnet;
using namespace vpollnet::tcp;

namespace {

constexpr std::uint32_t kMss = 1000;
constexpr std::uint64_t segments(std::uint64_t count) { return count * kMss; }

/// A sender in congestion avoidance whose window is always full.
struct Sender {
  explicit Sender(std::uint64_t window, Nanos round_trip = 100 * kMillisecond)
      : cubic(kMss, segments(window), UINT64_MAX), rtt(round_trip) {}

  /// The acknowledgments of `span`, one a segment, evenly.
  void run(Nanos span) {
    const Nanos end = now + span;
    while (now < end) {
      const std::uint64_t window = cubic.window();
      const Nanos step = rtt * kMss / static_cast<Nanos>(window);
      now += std::max<Nanos>(step, 1);
      cubic.on_ack(kMss, now, rtt);
    }
  }
  void lose() { cubic.on_recovery(cubic.window()); }
  double window() const { return static_cast<double>(cubic.window()) / kMss; }

  Cubic cubic;
  Nanos rtt;
  Nanos now = 1000 * kSecond;
};

Nanos k_of(double w_max, double cwnd) {
  return static_cast<Nanos>(std::cbrt((w_max - cwnd) / 0.4) * 1e9);
}

}  // namespace

TEST_CASE("a loss cuts the window to seven tenths, and to two segments at least (RFC 9438 4.6)") {
  Sender s(1000);
  s.lose();
  CHECK(s.cubic.window() == segments(700));
  CHECK(s.cubic.threshold() == segments(700));
  Sender small(2);
  small.lose();
  CHECK(small.cubic.window() == segments(2));
}

TEST_CASE("a loss cuts what was in use: the flight, not more than the window (RFC 9438 4.6)") {
  Sender idle(1000);
  idle.cubic.on_recovery(segments(100));
  CHECK(idle.cubic.window() == segments(70));
  Sender limited_transmit(10);
  limited_transmit.cubic.on_recovery(segments(12));
  CHECK(limited_transmit.cubic.window() == segments(7));
}

TEST_CASE("after K seconds the window is again what it was at the loss (RFC 9438 4.2, figure 2)") {
  Sender s(1000);
  s.lose();
  s.run(k_of(1000, 700));  // 9.1 s
  CHECK(s.window() == doctest::Approx(1000).epsilon(0.005));
}

TEST_CASE("W_cubic: fast at first, flat where the loss was, then ever faster (RFC 9438 4.2, figure "
          "1; 4.4, 4.5)") {
  Sender s(1000);
  s.lose();
  const double k = static_cast<double>(k_of(1000, 700)) / 1e9;
  for (int second = 1; second <= 20; second++) {
    s.run(kSecond);
    const double from_k = second - k;
    CHECK(s.window() == doctest::Approx(1000 + 0.4 * from_k * from_k * from_k).epsilon(0.01));
  }
}

TEST_CASE("the window never grows by more than half in a round trip (RFC 9438 4.2, target)") {
  Sender s(10);
  s.lose();
  s.run(kSecond);
  const double before = s.window();
  s.now += 100 * kSecond;  // as if no acknowledgment had come: the curve is far above
  s.run(s.rtt);
  CHECK(s.window() > 1.3 * before);
  CHECK(s.window() < 1.7 * before);
}

TEST_CASE("where Reno would be faster, the window is Reno's (RFC 9438 4.3)") {
  Sender s(100, kMillisecond);  // the curve would need 4.2 s for what Reno does in 57 ms
  s.lose();
  const double alpha = 3 * 0.3 / 1.7;
  s.run(30 * kMillisecond);
  CHECK(s.window() == doctest::Approx(70 + 30 * alpha).epsilon(0.01));
  // From the window of the loss on, a segment a round trip.
  s.run(27 * kMillisecond);
  const double there = s.window();
  CHECK(there == doctest::Approx(100).epsilon(0.01));
  s.run(50 * kMillisecond);
  CHECK(s.window() == doctest::Approx(there + 50).epsilon(0.01));
}

TEST_CASE("who loses below his last window leaves room for others (RFC 9438 4.7, fast "
          "convergence)") {
  Sender s(1000);
  s.lose();
  while (s.window() < 800) s.run(10 * kMillisecond);
  s.lose();
  CHECK(s.window() == doctest::Approx(560).epsilon(0.01));
  // The plateau is at 680 = 800 * 1.7 / 2 now, no longer at 800.
  s.run(k_of(680, 560));
  CHECK(s.window() == doctest::Approx(680).epsilon(0.01));
}

TEST_CASE("a timeout: one segment, slow start, and a curve that begins at the threshold (RFC 9438 "
          "4.8)") {
  Sender s(1000, 100 * kMillisecond);
  s.cubic.on_timeout(segments(1000), true);
  CHECK(s.cubic.window() == segments(1));
  CHECK(s.cubic.threshold() == segments(700));
  Sender twice = s;
  twice.cubic.on_timeout(segments(1), false);  // of the same segment
  CHECK(twice.cubic.threshold() == segments(700));
  for (int i = 0; i < 699; i++) s.cubic.on_ack(kMss, s.now, s.rtt);
  CHECK(s.cubic.window() == segments(700));
  s.run(10 * kSecond);  // K is 0, W_max 700
  CHECK(s.window() == doctest::Approx(700 + 0.4 * std::pow(10, 3)).epsilon(0.01));
}

TEST_CASE("time in which the window is not the limit does not count (RFC 9438 4.2, 5.8)") {
  Sender busy(1000);
  Sender resting(1000);
  busy.lose();
  resting.lose();
  busy.run(5 * kSecond);
  resting.run(5 * kSecond);
  resting.now += 3600 * kSecond;
  resting.cubic.on_pause(3600 * kSecond);
  busy.run(10 * kSecond);
  resting.run(10 * kSecond);
  CHECK(resting.window() == doctest::Approx(busy.window()).epsilon(0.001));
}

TEST_CASE("after a pause of a timeout it starts slowly, and goes on below the last loss (RFC 5681 "
          "4.1)") {
  Sender s(1000);
  s.lose();
  s.run(5 * kSecond);
  s.now += 60 * kSecond;
  s.cubic.on_idle();
  CHECK(s.cubic.window() == initial_window(kMss));
  CHECK(s.cubic.threshold() == segments(700));
  while (s.cubic.window() < s.cubic.threshold()) s.run(s.rtt);
  s.run(k_of(1000, s.window()));
  CHECK(s.window() == doctest::Approx(1000).epsilon(0.02));
}

TEST_CASE("another algorithm goes on from the window and threshold of the one before") {
  Congestion congestion(Algorithm::cubic);
  congestion.start(kMss);
  congestion.on_ack(segments(90), 0, kMillisecond);
  congestion.on_recovery(segments(100));
  REQUIRE(congestion.window() == segments(70));
  for (const Algorithm algorithm : {Algorithm::newreno, Algorithm::cubic, Algorithm::cubic}) {
    congestion.select(algorithm);
    CHECK(congestion.algorithm() == algorithm);
    CHECK(congestion.window() == segments(70));
    CHECK(congestion.threshold() == segments(70));
  }
  congestion.select(Algorithm::newreno);
  congestion.on_recovery(segments(70));
  CHECK(congestion.window() == segments(35));
}

TEST_CASE("algorithms are known by their names, and by no other") {
  for (const Algorithm algorithm : {Algorithm::cubic, Algorithm::newreno}) {
    CHECK(algorithm_named(to_string(algorithm)) == algorithm);
  }
  for (const char* name : {"", "CUBIC", "reno", "cubic ", "bbr"}) CHECK(!algorithm_named(name));
}

// --- on a connection ---

namespace {

/// Twenty segments at a time, of which the first is lost at the beginning; each round trip is 100
/// ms.
struct Rounds : Bench {
  Rounds() {
    peer_options = "mss 1000 sackok ws 7";
    settings.send_buffer = 4 << 20;
    establish();
    round();
    send(connection->info().cwnd);
    all();
    const std::uint64_t end = acked + connection->info().in_flight;
    in(ack(acked) + " sack " + std::to_string(acked + 1000) + "-" + std::to_string(end));
    all();
    now += kRtt;
    acked = end;
    in(ack(acked));
    REQUIRE(connection->info().cwnd == 14'000);
    REQUIRE(connection->info().in_flight == 0);
  }
  /// A full window, acknowledged a round trip later at once.
  void round() {
    send(connection->info().cwnd);
    all();
    now += kRtt;
    acked += connection->info().in_flight;
    in(ack(acked));
  }
  static std::string ack(std::uint64_t position) {
    return "A 1 win 10000 ack " + std::to_string(position);
  }
  static constexpr Nanos kRtt = 100 * kMillisecond;
  std::uint64_t acked = 1;
};

}  // namespace

TEST_CASE("a connection cuts by its algorithm, and takes another one at any time") {
  Rounds b;
  Settings settings = b->settings();
  CHECK(settings.congestion == Algorithm::cubic);
  settings.congestion = Algorithm::newreno;
  b.apply(settings);
  CHECK(b->info().cwnd == 14'000);
  b.send(14'000);
  b.all();
  b.in(Rounds::ack(b.acked) + " sack " + std::to_string(b.acked + 1000) + "-" +
       std::to_string(b.acked + 14'000));
  CHECK(b->info().cwnd == 7000);
  b.all();
}

TEST_CASE("a connection that pauses between its windows does not jump up the curve (RFC 9438 "
          "5.8)") {
  Rounds busy;
  for (int i = 0; i < 40; i++) busy.round();
  Rounds pausing;
  for (int i = 0; i < 40; i++) {
    pausing.now += 100 * kMillisecond;  // with the round trip, less than the timeout
    pausing.round();
  }
  CHECK(busy->info().cwnd < 60'000);
  CHECK(pausing->info().cwnd == doctest::Approx(busy->info().cwnd).epsilon(0.05));
}

TEST_CASE("a connection that sends little for long does not jump up the curve (RFC 9438 5.8)") {
  Rounds b;
  b.round();
  const std::uint64_t window = b->info().cwnd;
  for (int i = 0; i < 600; i++) {
    b.send(1000);
    b.all();
    b.now += Rounds::kRtt;
    b.acked += 1000;
    b.in(Rounds::ack(b.acked));
  }
  CHECK(b->info().cwnd == window);
  b.round();
  CHECK(b->info().cwnd < window + 3000);
}
