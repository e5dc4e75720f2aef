// SPDX-License-Identifier: MIT
// Windows: zero, small, shrinking, and the silly ones (RFC 9293 3.8.6).
#include "stack/tcp/bench.hpp"

using namespace vpollnet;
using namespace vpollnet::tcp;

TEST_CASE("a zero window is probed with one byte, ever more seldom, at least each minute (RFC 9293 "
          "3.8.6.1)") {
  Bench b;
  b.peer_options = "mss 1000";
  b.settings.no_delay = true;
  b.establish(0);
  CHECK(b.send(100) == 100);
  CHECK(b.all() == "-");
  Nanos last = b.now;
  Nanos longest = 0;
  int probes = 0;
  while (b.now - last < 3600 * kSecond && probes < 100) {
    const Nanos next = b->deadline();
    REQUIRE(next != kNever);
    b.now = next;
    b->on_deadline(b.now);
    const std::string line = b.all();
    if (line == "-") continue;
    CHECK(line == "A 1+1 ack 1");
    longest = std::max(longest, b.now - last);
    CHECK(b.now - last <= 60 * kSecond);
    last = b.now;
    probes++;
    b.in("A 1 ack 1 win 0");  // alive: MUST-37
  }
  CHECK(probes == 100);
  CHECK(longest == 60 * kSecond);
  CHECK(b->state() == State::established);
  // RFC 9293 3.8.6.1: when it opens, all goes at once.
  CHECK(b.exchange("A 1 ack 1 win 1000") == "A 1+1 ack 1 | PA 2+99 ack 1");
}

TEST_CASE("a window that opens while a probe is under way is used at once, and nothing waits for a "
          "timer") {
  Bench b;
  b.peer_options = "mss 1000";
  b.settings.no_delay = true;
  b.establish(0);
  b.send(5000);
  b.all();
  b.run(20 * kSecond);
  SUBCASE("the probe was dropped") {
    CHECK(b.exchange("A 1 ack 1 win 10000").find("A 1+") == 0);
    CHECK(b->deadline() <= b.now + kSecond);
  }
  SUBCASE("the probe was taken") {
    CHECK(b.exchange("A 1 ack 2 win 10000") == "A 2+1000 ack 1 | A 1002+1000 ack 1 | A 2002+1000 "
                                               "ack 1 | A 3002+1000 ack 1 | PA 4002+999 ack 1");
  }
}

TEST_CASE("a probe that is taken byte by byte moves on") {
  Bench b;
  b.peer_options = "mss 1000";
  b.establish(0);
  b.send(5);
  b.all();
  int at = 1;
  for (int i = 0; i < 5; i++) {
    b.run(70 * kSecond);
    at++;
    b.in("A 1 ack " + std::to_string(at) + " win 0");
    b.all();
  }
  CHECK(b->unacknowledged() == 0);
}

TEST_CASE("a window update that was lost is found by the probes") {
  Bench b;
  b.peer_options = "mss 1000";
  b.establish(1000);
  b.send(2000);
  CHECK(b.all() == "A 1+1000 ack 1");
  b.in("A 1 ack 1001 win 0");
  CHECK(b.all() == "-");
  CHECK(b.run(300 * kMillisecond) == "200 A 1001+1 ack 1");
  CHECK(b.exchange("A 1 ack 1002 win 5000") == "PA 1002+999 ack 1");
}

TEST_CASE("a FIN waits for a window, and is probed with") {
  Bench b;
  b.peer_options = "mss 1000";
  b.establish(0);
  b->shutdown_write();
  CHECK(b.all() == "-");
  CHECK(b.run(300 * kMillisecond) == "200 FA 1 ack 1");
  b.in("A 1 ack 2 win 0");
  CHECK(b->state() == State::fin_wait_2);
}

TEST_CASE("[T18] a peer that does not answer the probes is given up (RFC 9293 3.8.6.1)") {
  Bench b;
  b.peer_options = "mss 1000";
  b.establish(0);
  b.send(100);
  b.all();
  b.run(400 * kSecond);
  CHECK(b->state() == State::closed);
  CHECK(b->error() == Errno::timed_out);
}

TEST_CASE("[T18] the user timeout ends a zero window, answered or not (RFC 6429 2)") {
  Bench b;
  b.peer_options = "mss 1000";
  b.settings.user_timeout = 30 * kSecond;
  b.establish(0);
  b.send(100);
  b.all();
  for (int i = 0; i < 299; i++) {
    b.run(100 * kMillisecond);
    if (b->state() == State::established) b.in("A 1 ack 1 win 0");
  }
  CHECK(b->state() == State::established);
  b.run(200 * kMillisecond);
  CHECK(b->state() == State::closed);
  CHECK(b->error() == Errno::timed_out);
}

TEST_CASE("[T18] nobody waits for ever on behalf of a user who is gone") {
  Bench b;
  b.peer_options = "mss 1000";
  b.establish(0);
  b.send(100);
  b->orphan(b.now);
  b.all();
  for (int i = 0; i < 400 && b->state() != State::closed; i++) {
    b.run(kSecond);
    if (b->state() != State::closed) b.in("A 1 ack 1 win 0");
    b.all();
  }
  CHECK(b->state() == State::closed);
}

TEST_CASE("[T18] a window of one byte is served slowly, not in a storm") {
  Bench b;
  b.peer_options = "mss 1000";
  b.establish(10'000);
  b.send(1000);
  b.all();
  b.in("A 1 ack 1001 win 1");
  b.send(1000);
  CHECK(b.all() == "-");
  int sent = 0;
  for (int i = 0; i < 60; i++) {
    if (b.run(kSecond) != "-") sent++;
    b.in("A 1 ack " + std::to_string(1001 + sent) + " win 1");
    b.all();
  }
  CHECK(sent >= 30);
  CHECK(sent <= 60);
}

TEST_CASE("[T22] a window that shrinks below what is under way loses nothing (RFC 9293 3.8.6)") {
  Bench b;
  b.peer_options = "mss 1000";
  b.establish(5000);
  b.send(10'000);
  b.all();
  CHECK(b->info().in_flight == 5000);
  b.in("A 1 ack 1001 win 500");
  CHECK(b.all() == "-");
  b.run(kSecond);  // only what leads the way is sent again
  CHECK(b->info().in_flight == 4000);
  CHECK(b.exchange("A 1 ack 5001 win 500") == "-");
  CHECK(b.run(2 * kSecond).find("A 5001+500") != std::string::npos);
  CHECK(b.exchange("A 1 ack 5501 win 60000").find("A 5501+1000") == 0);
}

TEST_CASE("the sender avoids silly windows (RFC 9293 3.8.6.2.1)") {
  Bench b;
  b.peer_options = "mss 1000";
  b.settings.no_delay = true;
  b.establish(10'000);
  b.send(10'000);
  b.all();
  CHECK(b.exchange("A 1 ack 10001 win 100") == "-");
  b.send(5000);
  CHECK(b.all() == "-");
  CHECK(b.exchange("A 1 ack 10001 win 999") == "-");
  CHECK(b.exchange("A 1 ack 10001 win 1000") == "A 10001+1000 ack 1");
  // Half of the largest window is enough, too.
  Bench small;
  small.peer_options = "mss 1000";
  small.establish(300);
  small.send(1000);
  CHECK(small.all() == "A 1+300 ack 1");
  CHECK(small.exchange("A 1 ack 301 win 149") == "-");
  CHECK(small.exchange("A 1 ack 301 win 150") == "A 301+150 ack 1");
}

TEST_CASE("the receiver avoids silly windows: the edge moves by a segment or half of the buffer "
          "(3.8.6.2.2)") {
  Bench b;
  b.peer_options = "mss 1000";
  b.settings.receive_buffer = 8000;
  b.show_window = true;
  b.establish();
  for (int at = 1; at < 8001; at += 1000) b.exchange("A " + std::to_string(at) + "+1000 ack 1");
  CHECK(b->unread() == 8000);
  CHECK(b.exchange("A 8001+1 ack 1") == "A 1 ack 8001 win 0");
  CHECK(b.read(999) == 999);
  CHECK(b.all() == "-");
  CHECK(b.exchange("A 8001+1 ack 1") == "A 1 ack 8001 win 0");
  CHECK(b.read(1001) == 1001);
  CHECK(b.all() == "A 1 ack 8001 win 2000");  // RFC 9293 MUST-39: told without being asked
}

TEST_CASE("the right edge of our window never moves back (RFC 9293 3.8.6, SHLD-14)") {
  Bench b;
  b.peer_options = "mss 1000 ws 5";
  b.settings.receive_buffer = 300'000;
  b.show_window = true;
  b.establish();
  std::uint32_t edge = 0;
  std::uint64_t state = 3;
  std::uint64_t at = 1;
  for (int i = 0; i < 3000; i++) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const std::uint64_t length = 1 + (state >> 40) % 1000;
    if (b.budget->used() + length < 300'000 && b->unread() + length <= 290'000) {
      b.exchange("A " + std::to_string(at) + "+" + std::to_string(length) + " ack 1");
      at += length;
    }
    if ((state >> 33) % 3 == 0) b.read((state >> 20) % 3000);
    b.in("R 500000");  // a challenge ACK shows the window
    b.all();
    b.now += kSecond;
    const std::uint32_t now_edge =
        b.last.acknowledgment - b.irs + (std::uint32_t{b.last.window} << 6);
    CHECK(now_edge + 64 >= edge);
    edge = std::max(edge, now_edge);
  }
}

TEST_CASE("reading gives a window update, but not for each byte") {
  Bench b;
  b.peer_options = "mss 1000";
  b.settings.receive_buffer = 60'000;
  b.establish();
  for (int at = 1; at < 40'001; at += 1000) b.exchange("A " + std::to_string(at) + "+1000 ack 1");
  int updates = 0;
  for (int i = 0; i < 40'000; i++) {
    b.read(1);
    if (b.all() != "-") updates++;
  }
  CHECK(updates >= 10);
  CHECK(updates <= 20);
}

TEST_CASE("under memory pressure the window stays small, and the budget is never passed") {
  Bench b;
  b.memory = 100'000;
  b.settings.receive_buffer = 1 << 20;
  b.peer_options = "mss 1000 ws 7";
  b.show_window = true;
  b.establish();
  for (int at = 1; at < 200'001; at += 1000) {
    b.exchange("A " + std::to_string(at) + "+1000 ack 1");
    CHECK(b.budget->used() <= b.budget->limit());
  }
  CHECK(b->unread() == 100'000);
  CHECK(b.dropped(Drop::memory_budget) == 100);
  CHECK(b.read() == 100'000);
  CHECK(b.send(300'000) == 100'000);
  CHECK(b.send_error() == Errno::again);
}
