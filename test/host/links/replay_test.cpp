// SPDX-License-Identifier: MIT
// In virtual time: when the frames of a recording come.
#include "host/links/replay.hpp"

#include <doctest/doctest.h>

#include <vector>

#include "host/links/pcapng.hpp"

using namespace vpollnet;
using namespace vpollnet::host;
using pcapng::Direction;

namespace {

struct Receiver final : FrameReceiver {
  void receive(Packet&& frame, Nanos) override { sizes.push_back(frame.size()); }
  std::vector<std::size_t> sizes;
};

struct Fixture {
  BlockPool pool;
  Recorded recorded;
  Receiver receiver;

  Fixture() {
    pcapng::append_section(recorded.file, "");
    pcapng::append_interface(recorded.file,
                             {.name = "eth0", .description = "", .snap_length = 1000});
  }
  void add(Nanos time, Direction direction, std::size_t size) {
    pcapng::append_packet(recorded.file, 0,
                          1'700'000'000'000'000'000u + static_cast<std::uint64_t>(time), direction,
                          Packet(pool.copy(std::vector<std::uint8_t>(size))), 1000);
  }
  void add_conversation() {
    add(0, Direction::inbound, 61);
    add(10 * kMillisecond, Direction::outbound, 62);
    add(30 * kMillisecond, Direction::unknown, 63);
    add(20 * kMillisecond, Direction::inbound, 64);  // behind a later one
    add(50 * kMillisecond, Direction::inbound, 65);
  }
  bool deliver(Replay& replay, Nanos now, int budget = 100) {
    return replay.deliver(receiver, now, budget);
  }
};

using Sizes = std::vector<std::size_t>;

}  // namespace

TEST_CASE_FIXTURE(Fixture, "replay: frames come when they came, from the first call on") {
  add_conversation();
  REQUIRE_FALSE(recorded.check(Recorded::Frames::incoming));
  Replay replay(std::move(recorded), 1, pool);
  CHECK(replay.next_deadline() <= 0);
  const Nanos start = 7 * kSecond;
  CHECK(deliver(replay, start));
  CHECK(receiver.sizes == Sizes{61});
  CHECK(replay.next_deadline() == start + 30 * kMillisecond);
  CHECK(deliver(replay, start + 30 * kMillisecond - 1));
  CHECK(receiver.sizes.size() == 1);
  CHECK(deliver(replay, start + 30 * kMillisecond));
  CHECK(receiver.sizes == Sizes{61, 63, 64});
  CHECK(deliver(replay, start + kSecond));
  CHECK(receiver.sizes == Sizes{61, 63, 64, 65});
  CHECK(replay.next_deadline() == kNever);
  CHECK(replay.counters().frames_in == 4);
}

TEST_CASE_FIXTURE(Fixture, "replay: a frame of before the first comes right behind it") {
  add(kSecond, Direction::inbound, 61);
  add(0, Direction::inbound, 62);
  REQUIRE_FALSE(recorded.check(Recorded::Frames::incoming));
  Replay replay(std::move(recorded), 1, pool);
  CHECK(deliver(replay, 5));
  CHECK(receiver.sizes == Sizes{61, 62});
}

TEST_CASE_FIXTURE(Fixture, "replay: twice as fast, and as fast as can be") {
  add_conversation();
  REQUIRE_FALSE(recorded.check(Recorded::Frames::all));
  SUBCASE("2") {
    Replay replay(std::move(recorded), 2, pool);
    deliver(replay, 0);
    CHECK(replay.next_deadline() == 5 * kMillisecond);
  }
  SUBCASE("0, in bounded steps") {
    Replay replay(std::move(recorded), 0, pool);
    CHECK_FALSE(deliver(replay, 0, 2));
    CHECK(receiver.sizes == Sizes{61, 62});
    CHECK(deliver(replay, 0, 3));
    CHECK(receiver.sizes.size() == 5);
  }
}

TEST_CASE_FIXTURE(Fixture, "replay: the direction is chosen, and one without frames is refused") {
  add_conversation();
  Recorded copy = recorded;
  REQUIRE_FALSE(copy.check(Recorded::Frames::outgoing));
  CHECK(copy.frames.size() == 1);

  Fixture other;
  other.add(0, Direction::outbound, 60);
  const Failure failure = other.recorded.check(Recorded::Frames::incoming);
  CHECK(failure.error == Errno::invalid);
  CHECK(failure.detail ==
        "it has no frame of that direction, and 1 of the other: see the parameter 'direction'");
}

TEST_CASE_FIXTURE(Fixture, "replay: a frame that was cut is no frame") {
  add(0, Direction::inbound, 1500);
  add(1, Direction::inbound, 100);
  REQUIRE_FALSE(recorded.check(Recorded::Frames::incoming));
  Replay replay(std::move(recorded), 0, pool);
  CHECK(deliver(replay, 0));
  CHECK(receiver.sizes == Sizes{100});
  CHECK(replay.counters().dropped(LinkDrop::malformed) == 1);
}

TEST_CASE_FIXTURE(Fixture, "replay: what is sent is dropped and counted") {
  add_conversation();
  REQUIRE_FALSE(recorded.check(Recorded::Frames::incoming));
  Replay replay(std::move(recorded), 1, pool);
  replay.transmit(Packet(pool.copy(std::vector<std::uint8_t>(60))));
  CHECK(replay.counters().dropped(LinkDrop::receive_only) == 1);
}

TEST_CASE_FIXTURE(Fixture, "replay: frames of IP make a link of IP, and a mixture is refused") {
  pcapng::append_interface(
      recorded.file, {.name = "tun", .description = "", .type = LinkType::ip, .snap_length = 1000});
  pcapng::append_packet(recorded.file, 1, 1, Direction::inbound,
                        Packet(pool.copy(std::vector<std::uint8_t>(40))), 1000);
  Recorded copy = recorded;
  REQUIRE_FALSE(copy.check(Recorded::Frames::incoming));
  CHECK(Replay(std::move(copy), 1, pool).capabilities().type == LinkType::ip);
  add(0, Direction::inbound, 60);
  CHECK(recorded.check(Recorded::Frames::incoming).error == Errno::invalid);
}
