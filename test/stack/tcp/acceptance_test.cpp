// SPDX-License-Identifier: MIT
// Which segments are taken, in each state (RFC 9293 3.10.7.4, RFC 5961).
#include <functional>

#include "stack/tcp/bench.hpp"

using namespace vpollnet;
using namespace vpollnet::tcp;

namespace {

struct Case {
  State state;
  std::uint64_t next;   ///< what the peer sends next
  std::uint64_t acked;  ///< what it acknowledges
  std::function<void(Bench&)> enter;
};

/// Each synchronized state, and how to get there.
const std::vector<Case>& synchronized_states() {
  static const std::vector<Case> cases{
      {State::established, 1, 1, [](Bench& b) { b.establish(); }},
      {State::fin_wait_1, 1, 1,
       [](Bench& b) {
         b.establish();
         b->shutdown_write();
         b.all();
       }},
      {State::fin_wait_2, 1, 2,
       [](Bench& b) {
         b.establish();
         b->shutdown_write();
         b.all();
         b.exchange("A 1 ack 2");
       }},
      {State::close_wait, 2, 1,
       [](Bench& b) {
         b.establish();
         b.exchange("FA 1 ack 1");
       }},
      {State::closing, 2, 1,
       [](Bench& b) {
         b.establish();
         b->shutdown_write();
         b.all();
         b.exchange("FA 1 ack 1");
       }},
      {State::last_ack, 2, 1,
       [](Bench& b) {
         b.establish();
         b.exchange("FA 1 ack 1");
         b->shutdown_write();
         b.all();
       }},
      {State::time_wait, 2, 2,
       [](Bench& b) {
         b.establish();
         b->shutdown_write();
         b.all();
         b.exchange("FA 1 ack 2");
       }},
  };
  return cases;
}

std::string line(const char* flags, std::uint64_t sequence, const std::string& rest = "") {
  return std::string(flags) + " " + std::to_string(sequence) + (rest.empty() ? "" : " " + rest);
}

void in_each_state(const std::function<void(Bench&, const Case&, const std::string&)>& test) {
  for (const Case& one : synchronized_states()) {
    CAPTURE(to_string(one.state));
    Bench b;
    one.enter(b);
    REQUIRE(b->state() == one.state);
    // What an answer of the connection looks like: it has sent `ours`, and expects `next`.
    const std::uint64_t ours =
        one.state == State::established || one.state == State::close_wait ? 1 : 2;
    test(b, one, "A " + std::to_string(ours) + " ack " + std::to_string(one.next));
  }
}

}  // namespace

TEST_CASE("[T11] a RST with the exact sequence number resets, in each state (RFC 5961 3.2)") {
  in_each_state([](Bench& b, const Case& one, const std::string&) {
    b.in(line("R", one.next));
    CHECK(b.all() == "-");
    if (one.state == State::time_wait) {
      CHECK(b->state() == State::time_wait);  // RFC 1337
      return;
    }
    CHECK(b->state() == State::closed);
    Errno expected = Errno::reset;
    if (one.state == State::closing || one.state == State::last_ack) expected = Errno::ok;
    if (one.state == State::close_wait) expected = Errno::broken_pipe;
    CHECK(b->error() == expected);
  });
}

TEST_CASE(
    "[T11] a RST elsewhere in the window gets a challenge ACK, in each state (RFC 5961 3.2)") {
  in_each_state([](Bench& b, const Case& one, const std::string& answer) {
    b.in(line("R", one.next + 1));
    CHECK(b->state() == one.state);
    CHECK(b.all() == (one.state == State::time_wait ? "-" : answer));
  });
}

TEST_CASE("[T11] a RST outside of the window is dropped, in each state") {
  in_each_state([](Bench& b, const Case& one, const std::string&) {
    b.in(line("R", one.next + 10'000'000));
    b.in(line("R", one.next - 1));
    b.in(line("RA", one.next - 1, "ack 1"));
    CHECK(b->state() == one.state);
    CHECK(b.all() == "-");
  });
}

TEST_CASE("[T12] a SYN gets a challenge ACK, wherever it lies, in each state (RFC 5961 4.2)") {
  in_each_state([](Bench& b, const Case& one, const std::string& answer) {
    for (const std::uint64_t sequence :
         {std::uint64_t{0}, one.next, one.next + 100, one.next + 10'000'000}) {
      b.in(line("S", sequence, "mss 1460"));
      CHECK(b->state() == one.state);
      CHECK(b.all() == answer);
    }
  });
}

TEST_CASE("[T06] odd flags change nothing, in each state") {
  in_each_state([](Bench& b, const Case& one, const std::string&) {
    for (const char* flags : {"-", "F", "P", "U", "SF", "SR", "SFRPU", "SFRPUA", "SRA", "FPU"}) {
      b.in(line(flags, one.next + 5, "ack 1").substr(0, line(flags, one.next + 5).size()));
      b.all();
      CHECK(b->state() == one.state);
    }
  });
}

TEST_CASE("an old duplicate gets an ACK and is not taken, in each state (RFC 9293 3.10.7.4)") {
  in_each_state([](Bench& b, const Case& one, const std::string& answer) {
    b.in(line("A", one.next - 1, "ack 1")
             .insert(std::string("A ").size() + std::to_string(one.next - 1).size(), "+1"));
    CHECK(b->state() == one.state);
    CHECK(b.all() == answer);
    CHECK(b->unread() == 0);
  });
}

TEST_CASE("text beyond the window gets an ACK and is not taken, in each state") {
  in_each_state([](Bench& b, const Case& one, const std::string& answer) {
    b.in("PA " + std::to_string(one.next + 1'000'000) + "+10 ack " + std::to_string(one.acked));
    CHECK(b->state() == one.state);
    CHECK(b.all() == answer);
    CHECK(b->unread() == 0);
  });
}

TEST_CASE(
    "[T19] an ACK of what was never sent gets an ACK and its text is not taken, in each state") {
  in_each_state([](Bench& b, const Case& one, const std::string& answer) {
    b.in("PA " + std::to_string(one.next) + "+10 ack 5000");
    CHECK(b->state() == one.state);
    CHECK(b.all() == answer);
    CHECK(b->unread() == 0);
  });
}

TEST_CASE("[T13] an ACK far below SND.UNA gets a challenge ACK and its text is not taken (RFC 5961 "
          "5.2)") {
  Bench b;
  b.establish(1000);
  for (std::uint64_t at = 1; at < 3001; at += 1000) {
    b.send(1000);
    b.all();
    b.in("A 1 ack " + std::to_string(at + 1000) + " win 1000");
  }
  CHECK(b.exchange("PA 1+10 ack 2000 win 1000") == "A 3001 ack 1");
  CHECK(b->unread() == 0);
  CHECK(b.dropped(Drop::tcp_challenge) == 1);
  b.in("PA 1+10 ack 2001 win 1000");  // the oldest that counts
  CHECK(b.read() == 10);
}

TEST_CASE(
    "[T14] challenge ACKs are limited for each connection by itself (RFC 5961 7, CVE-2016-5696)") {
  Bench b, other;
  b.establish();
  other.establish();
  int answers = 0;
  for (int i = 0; i < 1000; i++) {
    if (b.exchange("R 50") != "-") answers++;
  }
  CHECK(answers == 10);
  CHECK(other.exchange("R 50") == "A 1 ack 1");
  b.run(kSecond);
  CHECK(b.exchange("R 50") == "A 1 ack 1");
}

TEST_CASE("a segment that begins below RCV.NXT is trimmed at the front (RFC 9293 3.10.7.4)") {
  Bench b;
  b.establish();
  b.in("PA 1+100 ack 1");
  b.in("PA 51+100 ack 1");
  CHECK(b.read() == 150);
  CHECK(b->receive_next() == b.irs + 151);
}

TEST_CASE("a segment that ends beyond the window is trimmed at the end") {
  Bench b;
  b.settings.receive_buffer = 1000;
  b.show_window = true;
  b.establish();
  CHECK(b.exchange("PA 1+1500 ack 1") == "A 1 ack 1001 win 0");
  CHECK(b.read() == 1000);
}

TEST_CASE("[T21] of two copies with different bytes the first one counts") {
  Bench b;
  b.establish();
  b.in("A 51+100 ack 1");
  b.salt = 1;
  b.in("A 31+80 ack 1");    // 31..50 are new
  b.in("A 101+100 ack 1");  // 151..200 are new
  b.salt = 2;
  b.in("A 1+60 ack 1");  // 1..30 are new
  std::vector<std::uint8_t> bytes(300);
  REQUIRE(*b->receive(bytes, false) == 200);
  bool equal = true;
  for (std::uint64_t at = 1; at <= 200; at++) {
    const std::uint8_t salt = at <= 30 ? 2 : at <= 50 || at > 150 ? 1 : 0;
    equal = equal && bytes[at - 1] == static_cast<std::uint8_t>(Bench::text(at) + salt);
  }
  CHECK(equal);
}

TEST_CASE("[T22] sequence numbers wrap at 2^32, both ways") {
  Bench b;
  b.start.initial_sequence = 0xfffffff0;
  b.irs = 0xffffff00;
  b.settings.no_delay = true;
  b.establish();
  std::uint64_t received = 0, sent = 0;
  for (int i = 0; i < 20; i++) {
    b.in("PA " + std::to_string(received + 1) + "+100 ack " + std::to_string(sent + 1));
    received += 100;
    CHECK(b.read() == 100);
    b.send(100);
    CHECK(b.all() == "PA " + std::to_string(sent + 1) + "+100 ack " + std::to_string(received + 1));
    sent += 100;
  }
  b.in("A " + std::to_string(received + 1) + " ack " + std::to_string(sent + 1));
  CHECK(b->unacknowledged() == 0);
}

TEST_CASE("[T22] what wraps can be lost, sent again, and reported by SACK") {
  Bench b;
  b.start.initial_sequence = 0xfffff000;
  b.irs = 0xfffffff8;
  b.peer_options = "mss 1000 sackok";
  b.establish();
  b.send(8000);
  b.all();
  b.in("A 1 ack 1001");
  b.in("A 1 ack 1001 sack 2001-3001");
  b.in("A 1 ack 1001 sack 2001-4001");
  CHECK(b.exchange("A 1 ack 1001 sack 2001-5001") == "A 1001+1000 ack 1");
  CHECK(b.exchange("A 11+20 ack 8001") == "A 8001 ack 1 sack 11-31");
  CHECK(b.exchange("A 1+10 ack 8001") == "A 8001 ack 31");
}

TEST_CASE("a closed connection answers nothing but a RST for what comes") {
  Bench b;
  b.establish();
  b->fail(Errno::network_down);
  CHECK(b.in("PA 1+1 ack 1") == Answer::reset);
  CHECK(b.in("R 1") == Answer::none);
  CHECK(b.send_error() == Errno::network_down);
  CHECK(b.send_error() == Errno::broken_pipe);
}
