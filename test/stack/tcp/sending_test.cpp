// SPDX-License-Identifier: MIT
// When text and ACKs go out: Nagle, cork, delayed ACKs, large packets, ICMP errors (RFC
// 9293 3.7, 3.8, 3.9).
#include "stack/tcp/bench.hpp"

using namespace vpollnet;
using namespace vpollnet::tcp;

TEST_CASE("Nagle: one short segment at a time (RFC 9293 3.7.4)") {
  Bench b;
  b.peer_options = "mss 1000";
  b.establish();
  b.send(10);
  CHECK(b.all() == "PA 1+10 ack 1");
  b.send(10);
  CHECK(b.all() == "-");
  b.send(10);
  CHECK(b.all() == "-");
  b.send(1000);
  CHECK(b.all() == "A 11+1000 ack 1");
  CHECK(b.exchange("A 1 ack 11") == "-");
  CHECK(b.exchange("A 1 ack 1011") == "PA 1011+20 ack 1");
}

TEST_CASE("no_delay: at once") {
  Bench b;
  b.settings.no_delay = true;
  b.establish();
  for (int i = 0; i < 5; i++) {
    b.send(10);
    CHECK(b.all() == "PA " + std::to_string(1 + 10 * i) + "+10 ack 1");
  }
}

TEST_CASE("cork: full segments only, the rest when uncorked") {
  Bench b;
  b.settings.no_delay = true;
  b.settings.cork = true;
  b.peer_options = "mss 1000";
  b.establish();
  b.send(2300);
  CHECK(b.all() == "A 1+1000 ack 1 | A 1001+1000 ack 1");
  Settings open = b.settings;
  open.cork = false;
  b.apply(open);
  CHECK(b.all() == "PA 2001+300 ack 1");
}

TEST_CASE("cork: no longer than 200 ms (tcp(7))") {
  Bench b;
  b.settings.cork = true;
  b.establish();
  b.send(300);
  CHECK(b.all() == "-");
  CHECK(b.run(kSecond).find("200 PA 1+300 ack 1") == 0);
}

TEST_CASE("kMore holds a tail back until the next send, or 200 ms") {
  Bench b;
  b.establish();
  b.send(300, false, true);
  CHECK(b.all() == "-");
  SUBCASE("the next send") {
    b.send(100);
    CHECK(b.all() == "PA 1+400 ack 1");
  }
  SUBCASE("200 ms") { CHECK(b.run(201 * kMillisecond) == "200 PA 1+300 ack 1"); }
  SUBCASE("the end") {
    b->shutdown_write();
    CHECK(b.all() == "FPA 1+300 ack 1");
  }
}

TEST_CASE("ACKs are delayed 40 ms, and sent for every second full segment (RFC 9293 3.8.6.3, "
          "MUST-59, SHLD-18)") {
  Bench b;
  b.peer_options = "mss 1460";
  b.establish();
  CHECK(b.exchange("A 1+1000 ack 1") == "-");
  CHECK(b.run(40 * kMillisecond) == "40 A 1 ack 1001");
  CHECK(b.exchange("A 1001+1000 ack 1") == "-");
  CHECK(b.exchange("A 2001+1000 ack 1") == "A 1 ack 3001");
  CHECK(b.run(kSecond) == "-");
  // A large packet of a link that puts segments together is many segments.
  CHECK(b.exchange("A 3001+3000 ack 1 gso 1000") == "A 1 ack 6001");
}

TEST_CASE("an ACK rides on text that goes out") {
  Bench b;
  b.establish();
  b.in("PA 1+100 ack 1");
  b.send(10);
  CHECK(b.all() == "PA 1+10 ack 101");
  b.in("A 101 ack 11");
  CHECK(b.run(kSecond) == "-");
}

TEST_CASE("quick_ack, set while an ACK is delayed, sends it") {
  Bench b;
  b.establish();
  CHECK(b.exchange("PA 1+100 ack 1") == "-");
  Settings settings = b->settings();
  settings.quick_ack = true;
  b.apply(settings);
  CHECK(b.all() == "A 1 ack 101");
}

TEST_CASE("quick_ack: each segment at once") {
  Bench b;
  b.settings.quick_ack = true;
  b.establish();
  CHECK(b.exchange("PA 1+1 ack 1") == "A 1 ack 2");
  CHECK(b.exchange("PA 2+1 ack 1") == "A 1 ack 3");
}

TEST_CASE("a link that cuts up packets gets large ones, of whole segments, the last one short") {
  Bench b;
  b.start.segmentation = true;
  b.peer_options = "mss 1000";
  b.establish();
  b.send(7300);
  b->shutdown_write();
  CHECK(b.all() == "FPA 1+7300 ack 1 gso 1000");
  Bench more;
  more.start.segmentation = true;
  more.peer_options = "mss 1000";
  more.establish();
  more.send(300'000);
  std::uint64_t acked = 1;
  for (int i = 0; i < 6; i++) {
    while (more.out() != "-") {
      CHECK((more.last_gso == 0 || more.last_gso == 1000));
    }
    acked += more->info().in_flight;
    CHECK(more->info().in_flight % 1000 == 0);
    more.in("A 1 ack " + std::to_string(acked));
  }
}

TEST_CASE("an urgent pointer goes in no large packet") {
  Bench b;
  b.start.segmentation = true;
  b.peer_options = "mss 1000";
  b.establish();
  b.send(2500, true);
  CHECK(b.all() ==
        "A 1+1000 ack 1 urg 2500 | A 1001+1000 ack 1 urg 1500 | PA 2001+500 ack 1 urg 500");
  b.send(3000);
  b.in("A 1 ack 2501");
  CHECK(b.all() == "PA 2501+3000 ack 1 gso 1000");
}

TEST_CASE("[C01] an ICMP error counts only for what is under way (RFC 5927 4.1)") {
  Bench b;
  b.connect();
  b.all();
  CHECK_FALSE(b->on_icmp_error(Errno::refused, b.start.initial_sequence + 7));
  CHECK(b->state() == State::syn_sent);
  CHECK(b->on_icmp_error(Errno::host_unreachable, b.start.initial_sequence));
  CHECK(b->state() == State::closed);
  CHECK(b->error() == Errno::host_unreachable);
}

TEST_CASE("[C03] an ICMP error, hard or soft, does not end an established connection (RFC 9293 "
          "3.9.2.2)") {
  Bench b;
  b.establish();
  CHECK_FALSE(b->on_icmp_error(Errno::refused, b.start.initial_sequence));
  b.send(100);
  b.all();
  CHECK(b->on_icmp_error(Errno::refused, b.start.initial_sequence + 1));
  CHECK(b->on_icmp_error(Errno::refused, b.start.initial_sequence + 100));
  CHECK_FALSE(b->on_icmp_error(Errno::refused, b.start.initial_sequence + 101));
  CHECK(b->state() == State::established);
  CHECK(b->error() == Errno::ok);
}

TEST_CASE("send takes what the buffer has room for; it is writable again when a third is free") {
  Bench b;
  b.peer_options = "mss 1000";
  b.settings.send_buffer = 9000;
  b.establish();
  CHECK(b.send(20'000) == 9000);
  CHECK(b.send_error() == Errno::again);
  CHECK_FALSE(b->writable());
  b.all();
  b.in("A 1 ack 2001");
  CHECK_FALSE(b->writable());
  b.in("A 1 ack 3001");
  CHECK(b->writable());
}

TEST_CASE("send says why it cannot, in each state") {
  Bench b;
  b.connect();
  CHECK(b.send_error() == Errno::again);
  b.all();
  b.in("SA 0 ack 1 mss 1000");
  CHECK(b.send(1) == 1);
  b->shutdown_write();
  CHECK(b.send_error() == Errno::broken_pipe);
  b.all();
  b.in("R 1");
  CHECK(b.send_error() == Errno::reset);
  CHECK(b.send_error() == Errno::broken_pipe);
}

TEST_CASE("what came before a RST can still be read, then the error, then the end") {
  Bench b;
  b.establish();
  b.in("PA 1+10 ack 1");
  b.in("R 11");
  CHECK(b.read() == 10);
  std::uint8_t byte;
  CHECK(b->receive({&byte, 1}, false).error() == Errno::reset);
  CHECK(*b->receive({&byte, 1}, false) == 0);
}

TEST_CASE("peek leaves the text where it is") {
  Bench b;
  b.establish();
  b.in("PA 1+10 ack 1");
  std::uint8_t bytes[4];
  CHECK(*b->receive(bytes, true) == 4);
  CHECK(*b->receive(bytes, true) == 4);
  CHECK(b.read() == 10);
}
