// SPDX-License-Identifier: MIT
// What the options of the SYNs bring about: MSS (RFC 9293 3.7.1), window scale, timestamps and PAWS
// (RFC 7323).
#include "stack/tcp/bench.hpp"

using namespace vpollnet;
using namespace vpollnet::tcp;

TEST_CASE("without an MSS option the peer gets 536 or 1220 bytes (RFC 9293 MUST-15, MUST-16)") {
  Bench b;
  b.peer_options = "";
  SUBCASE("IPv4") {
    b.establish();
    b.send(2000);
    CHECK(b.out() == "A 1+536 ack 1");
  }
  SUBCASE("IPv6") {
    b.start.ipv6 = true;
    b.establish();
    b.send(2000);
    CHECK(b.out() == "A 1+1220 ack 1");
  }
}

TEST_CASE("no segment is larger than the path, whatever the peer takes") {
  Bench b;
  b.start.path_mss = 1000;
  b.peer_options = "mss 9000";
  b.establish();
  b.send(2000);
  CHECK(b.all() == "A 1+1000 ack 1 | PA 1001+1000 ack 1");
}

TEST_CASE("[T02] a tiny MSS does not make us send tiny segments (CVE-2019-11479)") {
  for (const char* options : {"mss 0", "mss 1", "mss 47", "mss 0 sackok ts 1/1"}) {
    Bench b;
    b.peer_options = options;
    b.listen();
    b.all();
    b.in(std::string("A 1 ack 1") + (b.peer_options.size() > 6 ? " ts 1/1" : ""));
    b.send(1000);
    b.out();
    CHECK(b->info().mss >= 40);
  }
}

TEST_CASE("Option max_segment bounds both what is announced and what is sent") {
  Bench b;
  b.settings.max_segment = 700;
  b.connect();
  CHECK(b.all() == "S 0 mss 700 ws 7 sackok ts");
  b.in("SA 0 ack 1 mss 1460");
  b.all();
  b.send(1000);
  CHECK(b.out() == "A 1+700 ack 1");
}

TEST_CASE("the window of a SYN is not scaled, that of everything else is (RFC 7323 2.2)") {
  Bench b;
  b.show_window = true;
  b.peer_options = "mss 1000 ws 2";
  b.connect();
  CHECK(b.all() == "S 0 win 65535 mss 1460 ws 7 sackok ts");
  SUBCASE("theirs") {
    b.in("SA 0 ack 1 win 1000 mss 1000 ws 2");
    b.send(10'000);
    b.all();
    CHECK(b->info().send_window == 1000);
    CHECK(b->info().in_flight == 1000);
    b.in("A 1 ack 1001 win 1000");
    CHECK(b->info().send_window == 4000);
  }
  SUBCASE("ours") {
    // 512 KiB of buffer in units of 128.
    CHECK(b.exchange("SA 0 ack 1 mss 1000 ws 2") == "A 1 ack 1 win 4096");
  }
  SUBCASE("neither, if the peer has no option") {
    CHECK(b.exchange("SA 0 ack 1 mss 1000") == "A 1 ack 1 win 65535");
  }
}

TEST_CASE("[T01] a shift over 14 counts as 14 (RFC 7323 2.3)") {
  Bench b;
  b.peer_options = "mss 1000 ws 200";
  b.establish();
  b.in("A 1 ack 1 win 65535");
  CHECK(b->info().send_window == 65535ull << 14);
}

TEST_CASE("[T22] a window of 2^30 and more does not confuse the arithmetic") {
  Bench b;
  b.peer_options = "mss 1000 ws 14";
  b.start.initial_sequence = 0xc0000000;
  b.establish();
  b.in("A 1 ack 1 win 65535");
  b.send(20'000);
  CHECK(b->info().in_flight == 0);
  b.all();
  CHECK(b->info().in_flight == 10'000);
  b.in("A 1 ack 10001 win 65535");
  b.all();
  CHECK(b->info().in_flight == 10'000);
}

TEST_CASE("a small buffer announces a small window and no needless scale") {
  Bench b;
  b.settings.receive_buffer = 4000;
  b.show_window = true;
  b.connect();
  CHECK(b.all() == "S 0 win 4000 mss 1460 ws 0 sackok ts");
}

TEST_CASE("with timestamps on, every segment carries one, and echoes the peer's (RFC 7323 3.2)") {
  Bench b;
  b.start.timestamp_offset = 77;
  b.show_timestamps = true;
  b.connect();
  CHECK(b.all() == "S 0 mss 1460 ws 7 sackok ts 1000077/0");
  b.now += 5 * kMillisecond;
  CHECK(b.exchange("SA 0 ack 1 mss 1460 ts 500/1000077") == "A 1 ack 1 ts 1000082/500");
  CHECK(b->info().mss == 1448);
  b.in("PA 1+10 ack 1 ts 501/1000082");
  b.send(10);
  CHECK(b.all() == "PA 1+10 ack 11 ts 1000082/501");
  b->shutdown_write();
  CHECK(b.all() == "FA 11 ack 11 ts 1000082/501");
  b->abort();
}

TEST_CASE(
    "[T20] once negotiated, a segment without timestamps is dropped; a RST is not (RFC 7323 3.2)") {
  Bench b;
  b.peer_options = "mss 1460 ts 500/1000000";
  b.establish();
  CHECK(b.exchange("PA 1+10 ack 1") == "-");
  CHECK(b->unread() == 0);
  CHECK(b.dropped(Drop::tcp_paws) == 1);
  b.in("R 1");
  CHECK(b->state() == State::closed);
}

TEST_CASE("[T20] PAWS: an older timestamp is dropped with an ACK (RFC 7323 5.3 R1)") {
  Bench b;
  b.peer_options = "mss 1460 ts 500/1000000";
  b.establish();
  b.in("PA 1+10 ack 1 ts 500/1000000");
  CHECK(b.read() == 10);
  b.all();
  CHECK(b.exchange("PA 11+10 ack 1 ts 499/1000000") == "A 1 ack 11");
  CHECK(b->unread() == 0);
  CHECK(b.exchange("PA 11+10 ack 1 ts 2147484149/1000000") ==
        "A 1 ack 11");  // 2^31 + 501: older, too
  CHECK(b->unread() == 0);
  b.in("PA 11+10 ack 1 ts 2147484147/1000000");  // just in the future
  CHECK(b.read() == 10);
}

TEST_CASE("PAWS does not apply after 24 days of silence (RFC 7323 5.5)") {
  Bench b;
  b.peer_options = "mss 1460 ts 500/1000000";
  b.establish();
  b.now += 25LL * 24 * 3600 * kSecond;
  b.in("PA 1+10 ack 1 ts 400/1000000");
  CHECK(b.read() == 10);
}

TEST_CASE("TS.Recent does not move with a segment beyond the last ACK (RFC 7323 4.3)") {
  Bench b;
  b.show_timestamps = true;
  b.peer_options = "mss 1460 ts 500/1000000";
  b.establish();
  CHECK(b.exchange("PA 101+10 ack 1 ts 600/1000000") == "A 1 ack 1 ts 1000000/500");
  CHECK(b.exchange("PA 1+100 ack 1 ts 601/1000000") == "A 1 ack 111 ts 1000000/601");
}

TEST_CASE("[T20] an echo of what was never sent measures nothing") {
  Bench b;
  b.peer_options = "mss 1460 ts 500/1000000";
  b.establish();
  b.now += 100 * kMillisecond;
  b.send(10);
  b.all();
  b.now += 300 * kMillisecond;
  b.run(300 * kMillisecond);  // sent again: only an echo can tell the round trip now
  const Nanos before = b->info().srtt;
  SUBCASE("in the future") { b.in("A 1 ack 11 ts 501/1900000000"); }
  SUBCASE("long ago") { b.in("A 1 ack 11 ts 501/5"); }
  SUBCASE("none") { b.in("A 1 ack 11 ts 501/0"); }
  CHECK(b->info().srtt == before);
}
