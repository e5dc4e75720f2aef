// SPDX-License-Identifier: MIT
// In virtual time: what the impairment does to a stream of frames, from a seed.
#include "host/links/impairment.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <vector>

using namespace vpollnet;
using namespace vpollnet::host;

namespace {

constexpr std::size_t kSize = 1000;

struct Arrival {
  std::uint32_t number = 0;
  Nanos at = 0;
  bool operator==(const Arrival&) const = default;
};

struct Fixture {
  BlockPool pool;

  Packet frame(std::uint32_t number, std::size_t size = kSize) {
    std::vector<std::uint8_t> bytes(size);
    std::memcpy(bytes.data(), &number, sizeof number);
    return Packet(pool.copy(bytes));
  }
  static std::uint32_t number_of(const Packet& frame) {
    std::array<std::uint8_t, 4> bytes{};
    frame.copy_out(0, bytes);
    std::uint32_t number = 0;
    std::memcpy(&number, bytes.data(), sizeof number);
    return number;
  }

  /// `count` frames, one each `gap`; when each comes out.
  std::vector<Arrival> run(Impairment& impairment, std::uint32_t count, Nanos gap) {
    std::vector<Arrival> arrivals;
    const auto collect = [&](Nanos until) {
      while (impairment.next_deadline() <= until) {
        const Nanos due = impairment.next_deadline();
        const auto released = impairment.pop(due);
        arrivals.push_back({number_of(released->frame), due});
      }
    };
    for (std::uint32_t i = 0; i < count; i++) {
      const Nanos now = i * gap;
      collect(now);
      impairment.push(frame(i), now, pool);
    }
    collect(kNever - 1);
    return arrivals;
  }
  std::vector<Arrival> run(const ImpairmentConfig& config, std::uint32_t count, Nanos gap,
                           std::uint64_t seed = 1, std::uint64_t stream = 0) {
    Impairment impairment(config, seed, stream);
    return run(impairment, count, gap);
  }
};

/// Within five standard deviations of what a fair coin of this `share` gives.
bool plausible(std::uint64_t hits, std::uint64_t of, double share) {
  const double expected = static_cast<double>(of) * share;
  const double deviation = std::sqrt(expected * (1 - share));
  return std::abs(static_cast<double>(hits) - expected) <= 5 * deviation;
}

}  // namespace

TEST_CASE_FIXTURE(Fixture, "impairment: a delay shifts every frame by itself, in order") {
  const auto arrivals = run({.delay = 20 * kMillisecond}, 100, kMillisecond);
  REQUIRE(arrivals.size() == 100);
  for (std::uint32_t i = 0; i < 100; i++) {
    CHECK(arrivals[i] == Arrival{i, (i + 20) * kMillisecond});
  }
}

TEST_CASE_FIXTURE(Fixture, "impairment: frames of one moment keep their order") {
  const auto arrivals = run({.delay = kMillisecond}, 100, 0);
  for (std::uint32_t i = 0; i < 100; i++) CHECK(arrivals[i].number == i);
}

TEST_CASE_FIXTURE(Fixture, "impairment: the rate sets the gap, and the delay follows the sending") {
  // 1000 bytes at 8 Mbit/s take a millisecond.
  const auto arrivals = run({.delay = 5 * kMillisecond, .rate = 8'000'000}, 10, 0);
  for (std::uint32_t i = 0; i < 10; i++) {
    CHECK(arrivals[i] == Arrival{i, (i + 1 + 5) * kMillisecond});
  }
  // Frames that come slower than that wait for nobody.
  const auto slow = run({.rate = 8'000'000}, 3, 10 * kMillisecond);
  CHECK(slow[2] == Arrival{2, 21 * kMillisecond});
}

TEST_CASE_FIXTURE(Fixture,
                  "impairment: a share of the frames is lost, the same for the same seed") {
  const auto first = run({.loss = 0.05}, 20'000, 0);
  CHECK(plausible(20'000 - first.size(), 20'000, 0.05));
  CHECK(first == run({.loss = 0.05}, 20'000, 0));
  CHECK_FALSE(first == run({.loss = 0.05}, 20'000, 0, 2));
  // The other direction has the same seed, and its own fate.
  CHECK_FALSE(first == run({.loss = 0.05}, 20'000, 0, 1, 1));
  CHECK(run({.loss = 1}, 1000, 0).empty());
}

TEST_CASE_FIXTURE(Fixture, "impairment: exactly these of the first forty frames are lost") {
  std::vector<std::uint32_t> lost;
  Impairment impairment({.loss = 0.2, .seed = 42}, 0, 0);
  for (std::uint32_t i = 0; i < 40; i++) {
    if (impairment.push(frame(i), 0, pool).lost) lost.push_back(i);
  }
  CHECK(lost == std::vector<std::uint32_t>{3, 11, 14, 17, 28, 39});
}

TEST_CASE_FIXTURE(Fixture, "impairment: what a smaller loss takes, a larger one takes too") {
  Impairment small({.loss = 0.01}, 7, 0);
  Impairment large({.delay = kSecond, .jitter = kSecond, .loss = 0.1, .queue = 100'000}, 7, 0);
  for (std::uint32_t i = 0; i < 5000; i++) {
    const bool lost = small.push(frame(i), 0, pool).lost;
    if (large.push(frame(i), 0, pool).lost) continue;
    CHECK_FALSE(lost);
  }
  CHECK(small.counters().lost > 0);
}

TEST_CASE_FIXTURE(Fixture, "impairment: a share of the frames comes twice") {
  Impairment impairment({.duplicate = 0.1}, 3, 0);
  const auto arrivals = run(impairment, 5000, 1);
  CHECK(arrivals.size() == 5000 + impairment.counters().duplicated);
  CHECK(plausible(impairment.counters().duplicated, 5000, 0.1));
  std::uint64_t twins = 0;
  for (std::size_t i = 1; i < arrivals.size(); i++) twins += arrivals[i] == arrivals[i - 1];
  CHECK(twins == impairment.counters().duplicated);
}

TEST_CASE_FIXTURE(Fixture, "impairment: reordered frames overtake those that are delayed") {
  Impairment impairment({.delay = 10 * kMillisecond, .reorder = 0.25}, 3, 0);
  const auto arrivals = run(impairment, 4000, kMillisecond);
  REQUIRE(arrivals.size() == 4000);
  CHECK(plausible(impairment.counters().reordered, 4000, 0.25));
  std::uint64_t ahead = 0;
  for (const Arrival& one : arrivals) {
    const Nanos took = one.at - one.number * kMillisecond;
    CHECK((took == 0 || took == 10 * kMillisecond));
    ahead += took == 0;
  }
  CHECK(ahead == impairment.counters().reordered);
}

TEST_CASE_FIXTURE(Fixture, "impairment: jitter spreads the delay evenly, and never below zero") {
  const auto arrivals =
      run({.delay = 10 * kMillisecond, .jitter = 4 * kMillisecond}, 5000, kSecond);
  double sum = 0;
  Nanos least = kNever;
  Nanos most = 0;
  for (const Arrival& one : arrivals) {
    const Nanos took = one.at - one.number * kSecond;
    least = std::min(least, took);
    most = std::max(most, took);
    sum += static_cast<double>(took);
  }
  CHECK(least >= 6 * kMillisecond);
  CHECK(least < 6 * kMillisecond + 20 * kMicrosecond);
  CHECK(most <= 14 * kMillisecond);
  CHECK(most > 14 * kMillisecond - 20 * kMicrosecond);
  CHECK(std::abs(sum / 5000 - 10e6) < 0.2e6);
  for (const Arrival& one : run({.delay = 1, .jitter = kSecond}, 100, 10 * kSecond)) {
    CHECK(one.at >= one.number * 10 * kSecond);
  }
}

TEST_CASE_FIXTURE(Fixture, "impairment: a corrupted frame has one bit flipped, in a copy") {
  Impairment impairment({.corrupt = 1}, 3, 0);
  for (std::uint32_t i = 0; i < 200; i++) {
    Packet original = frame(i, i % 2 == 0 ? 60 : 1500);
    Packet shared = original.clone();
    shared.checksum = ChecksumState::valid;
    CHECK(impairment.push(std::move(shared), 0, pool).corrupted);
    auto released = impairment.pop(0);
    REQUIRE(released);
    CHECK(released->frame.checksum == ChecksumState::unverified);
    const auto before = original.linear(pool);
    const auto after = released->frame.linear(pool);
    REQUIRE(before.size() == after.size());
    int flipped = 0;
    for (std::size_t at = 0; at < before.size(); at++) {
      flipped += __builtin_popcount(static_cast<unsigned>(before[at] ^ after[at]));
    }
    CHECK(flipped == 1);
    CHECK(number_of(original) == i);
  }
}

TEST_CASE_FIXTURE(Fixture, "impairment: what the queue has no room for is dropped and counted") {
  Impairment impairment({.delay = kSecond, .queue = 10}, 1, 0);
  for (std::uint32_t i = 0; i < 15; i++) {
    CHECK(impairment.push(frame(i), 0, pool).queue_full == (i >= 10));
  }
  CHECK(impairment.counters().queue_full == 5);
  CHECK(impairment.waiting() == 10);
  CHECK_FALSE(impairment.pop(kSecond - 1));
  CHECK(impairment.pop(kSecond));
  CHECK_FALSE(impairment.push(frame(99), kSecond, pool).queue_full);
}

TEST_CASE_FIXTURE(Fixture, "impairment: the bytes that wait are bounded too") {
  Impairment impairment({.delay = kSecond, .queue = 1'000'000}, 1, 0);
  std::uint64_t taken = 0;
  const Packet large = frame(0, 65'000);
  while (!impairment.push(large.clone(), 0, pool).queue_full) taken++;
  CHECK(taken == Impairment::kQueueBytes / 65'000);
}

TEST_CASE_FIXTURE(Fixture,
                  "impairment: a small frame that waits does not hold on to a large block") {
  Impairment impairment({.delay = kSecond}, 1, 0);
  const Packet large = frame(7, 60'000);
  Packet small = large.range(0, 60, pool);
  small.checksum = ChecksumState::partial;
  small.checksum_from_end = 20;
  small.checksum_field = 16;
  impairment.push(std::move(small), 0, pool);
  const auto released = impairment.pop(kSecond);
  REQUIRE(released);
  CHECK(released->frame.size() == 60);
  CHECK(number_of(released->frame) == 7);
  CHECK(released->frame.checksum == ChecksumState::partial);
  CHECK(released->frame.checksum_from_end == 20);
  CHECK(released->frame.checksum_field == 16);
  for (const Slice& slice : released->frame.body()) CHECK(slice.block()->capacity < 1000);
}

TEST_CASE_FIXTURE(Fixture, "impairment: a change leaves alone what waits") {
  Impairment impairment({.delay = 10 * kMillisecond}, 1, 0);
  impairment.push(frame(0), 0, pool);
  impairment.configure({.delay = kMillisecond});
  impairment.push(frame(1), 0, pool);
  CHECK(impairment.next_deadline() == kMillisecond);
  CHECK(number_of(impairment.pop(kMillisecond)->frame) == 1);
  CHECK(impairment.next_deadline() == 10 * kMillisecond);
}

TEST_CASE_FIXTURE(Fixture, "impairment: a seed that is set again starts the same run again") {
  Impairment impairment({.loss = 0.5, .seed = 9}, 1, 0);
  const auto first = run(impairment, 100, 0);
  CHECK_FALSE(run(impairment, 100, 0) == first);
  impairment.configure({.loss = 0.5, .seed = 9});
  CHECK(run(impairment, 100, 0) == first);
}

TEST_CASE_FIXTURE(Fixture, "impairment: released frames follow at once, in their order") {
  Impairment impairment({.delay = kSecond, .jitter = kSecond / 2}, 1, 0);
  for (std::uint32_t i = 0; i < 50; i++) impairment.push(frame(i), 0, pool);
  impairment.release(5);
  for (std::uint32_t i = 0; i < 50; i++) CHECK(impairment.pop(5));
  CHECK(impairment.waiting() == 0);
  CHECK(impairment.next_deadline() == kNever);
}
