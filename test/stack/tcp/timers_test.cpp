// SPDX-License-Identifier: MIT
// Retransmission timeouts (RFC 6298), giving up (RFC 9293 3.8.3), keepalive (3.8.4).
#include "stack/tcp/bench.hpp"

using namespace vpollnet;
using namespace vpollnet::tcp;

TEST_CASE("the first timeout is 1 s, and each further one twice as long (RFC 6298 2.1, 5.5)") {
  Bench b;
  b.connect();
  CHECK(b.all() == "S 0 mss 1460 ws 7 sackok ts");
  const std::string syn = " S 0 mss 1460 ws 7 sackok ts";
  CHECK(b.run(70 * kSecond) == "1000" + syn + " | 3000" + syn + " | 7000" + syn + " | 15000" + syn +
                                   " | 31000" + syn + " | 63000" + syn);
}

TEST_CASE("a SYN without an answer fails after 3 minutes (RFC 9293 MUST-23)") {
  Bench b;
  b.connect();
  b.all();
  b.run(180 * kSecond - 1);
  CHECK(b->state() == State::syn_sent);
  b.run(1);
  CHECK(b->state() == State::closed);
  CHECK(b->error() == Errno::timed_out);
}

TEST_CASE("a SYN-ACK without an answer is sent again, and forgotten after 3 minutes") {
  Bench b;
  b.listen();
  b.all();
  CHECK(b.run(3 * kSecond) == "1000 SA 0 ack 1 mss 1460 | 3000 SA 0 ack 1 mss 1460");
  b.run(177 * kSecond);
  CHECK(b->state() == State::closed);
}

TEST_CASE("RttEstimator follows the formulas of RFC 6298 2.2 and 2.3") {
  RttEstimator rtt;
  CHECK(rtt.timeout() == kSecond);
  rtt.sample(400 * kMillisecond);
  CHECK(rtt.srtt() == 400 * kMillisecond);
  CHECK(rtt.rttvar() == 200 * kMillisecond);
  CHECK(rtt.timeout() == 1200 * kMillisecond);
  rtt.sample(480 * kMillisecond);
  CHECK(rtt.rttvar() == 170 * kMillisecond);  // 3/4 * 200 + 1/4 * 80
  CHECK(rtt.srtt() == 410 * kMillisecond);    // 7/8 * 400 + 1/8 * 480
  CHECK(rtt.timeout() == 1090 * kMillisecond);
}

TEST_CASE("RttEstimator stays between 200 ms above the round trip and 120 s (RFC 6298 2.4, 2.5)") {
  RttEstimator rtt;
  for (int i = 0; i < 100; i++) rtt.sample(10 * kMillisecond);
  CHECK(rtt.timeout() >= 209 * kMillisecond);
  CHECK(rtt.timeout() <= 210 * kMillisecond);
  for (int i = 0; i < 30; i++) rtt.back_off();
  CHECK(rtt.timeout() == 120 * kSecond);
  for (int i = 0; i < 100; i++) rtt.sample(300 * kSecond);
  CHECK(rtt.timeout() == 120 * kSecond);
}

TEST_CASE("the timer starts with the first segment and is restarted by each ACK of something new "
          "(RFC 6298 5.1, 5.3)") {
  Bench b;
  b.peer_options = "mss 1000";
  b.establish();  // a round trip of 0 was measured: 200 ms
  b.send(2000);
  b.all();
  b.now += 150 * kMillisecond;
  b.in("A 1 ack 1001");
  CHECK(b->deadline() == b.now + b->info().rto);
  b.in("A 1 ack 2001");
  CHECK(b->deadline() == kNever);  // RFC 6298 5.2
}

TEST_CASE("a timeout sends the first segment again and doubles (RFC 6298 5.4, 5.5)") {
  Bench b;
  b.peer_options = "mss 1000";
  b.establish();
  b.send(3000);
  CHECK(b.all() == "A 1+1000 ack 1 | A 1001+1000 ack 1 | PA 2001+1000 ack 1");
  CHECK(b.run(1500 * kMillisecond) ==
        "200 A 1+1000 ack 1 | 600 A 1+1000 ack 1 | 1400 A 1+1000 ack 1");
}

TEST_CASE("Karn: what was sent again measures nothing, and the timeout stays backed off (RFC 6298 "
          "3, 5)") {
  Bench b;
  b.peer_options = "mss 1000";
  b.establish();
  b.send(1000);
  b.all();
  b.run(601 * kMillisecond);  // sent three times
  CHECK(b->info().rto / kMillisecond == 800);
  b.now += 50 * kMillisecond;
  b.in("A 1 ack 1001");
  CHECK(b->info().srtt == 1);
  CHECK(b->info().rto / kMillisecond == 800);
  b.send(1000);
  b.all();
  b.now += 80 * kMillisecond;
  b.in("A 1 ack 2001");
  CHECK(b->info().srtt / kMillisecond == 10);
  CHECK(b->info().rto < 400 * kMillisecond);
}

TEST_CASE("with timestamps the copies are told apart (RFC 7323 4.1)") {
  Bench b;
  b.peer_options = "mss 1012 ts 1/1000000";
  b.establish();
  b.send(1000);
  b.all();
  b.run(201 * kMillisecond);
  b.now += 39 * kMillisecond;
  b.in("A 1 ack 1001 ts 2/1000200");  // the second copy: 40 ms
  CHECK(b->info().srtt / kMillisecond == 5);
  CHECK(b->info().rto < 400 * kMillisecond);
}

TEST_CASE("after a lost SYN: 3 s, and one segment to begin with (RFC 6298 5.7, RFC 5681 3.1)") {
  Bench b;
  b.peer_options = "mss 1000";
  b.connect();
  b.all();
  b.run(kSecond);
  b.in("SA 0 ack 1 mss 1000");
  b.all();
  CHECK(b->info().rto == 3 * kSecond);
  CHECK(b->info().cwnd == 1000);
  b.send(3000);
  CHECK(b.all() == "A 1+1000 ack 1");
  CHECK(b.run(3 * kSecond) == "3000 A 1+1000 ack 1");
}

TEST_CASE("without an answer for 5 minutes the connection fails (RFC 9293 3.8.3, R2)") {
  Bench b;
  b.establish();
  b.now += 3600 * kSecond;  // idle before: that does not count
  b.send(10);
  b.all();
  b.run(299 * kSecond);
  CHECK(b->state() == State::established);
  b.run(121 * kSecond);
  CHECK(b->state() == State::closed);
  CHECK(b->error() == Errno::timed_out);
}

TEST_CASE("the user timeout ends it earlier, to the millisecond (RFC 5482)") {
  Bench b;
  b.settings.user_timeout = 5 * kSecond;
  b.establish();
  b.send(10);
  b.all();
  b.run(5 * kSecond - 1);
  CHECK(b->state() == State::established);
  b.run(1);
  CHECK(b->state() == State::closed);
  CHECK(b->error() == Errno::timed_out);
}

TEST_CASE("a soft error is what a timeout tells the user (RFC 9293 3.9.2.2)") {
  Bench b;
  b.settings.user_timeout = 5 * kSecond;
  b.establish();
  b.send(10);
  b.all();
  CHECK(b->on_icmp_error(Errno::host_unreachable, b.start.initial_sequence + 1));
  CHECK(b->state() == State::established);
  CHECK(b->error() == Errno::ok);
  b.run(5 * kSecond);
  CHECK(b->error() == Errno::host_unreachable);
}

TEST_CASE("keepalive is off by default (RFC 9293 MUST-25)") {
  Bench b;
  b.establish();
  CHECK(b.run(100 * 3600 * kSecond) == "-");
  CHECK(b->state() == State::established);
}

TEST_CASE("keepalive, on, probes after two hours, every 75 s, 9 times (RFC 9293 MUST-28, 3.8.4)") {
  Bench b;
  b.settings.keep_alive = true;
  b.establish();
  CHECK(b.run(7200 * kSecond - 1) == "-");
  CHECK(b.run(kSecond) == "0 A 0 ack 1");  // SEG.SEQ = SND.NXT - 1, no text
  std::string probes = b.run(8 * 75 * kSecond);
  CHECK(std::count(probes.begin(), probes.end(), 'A') == 8);
  CHECK(b.run(75 * kSecond).find("RA 1") != std::string::npos);
  CHECK(b->state() == State::closed);
  CHECK(b->error() == Errno::timed_out);
}

TEST_CASE(
    "keepalive goes on quietly as long as the peer answers, and begins with the last segment") {
  Bench b;
  b.settings.keep_alive = true;
  b.settings.keep_idle = 10 * kSecond;
  b.settings.keep_interval = 75 * kSecond;
  b.settings.keep_count = 2;
  b.establish();
  b.now += 4 * kSecond;
  b.in("PA 1+1 ack 1");
  b.run(kSecond);
  CHECK(b.run(9 * kSecond) == "9000 A 0 ack 2");
  for (int i = 0; i < 100; i++) {
    b.in("A 2 ack 1");
    CHECK(b.run(10 * kSecond) == "10000 A 0 ack 2");
  }
  CHECK(b->state() == State::established);
}

TEST_CASE("keepalive can be turned on and off while the connection lives") {
  Bench b;
  b.establish();
  Settings on = b.settings;
  on.keep_alive = true;
  on.keep_idle = kSecond;
  b.apply(on);
  CHECK(b.run(kSecond) == "1000 A 0 ack 1");
  b.apply(b.settings);
  CHECK(b.run(10'000 * kSecond) == "-");
}

TEST_CASE("the user timeout rules keepalive (tcp(7), TCP_USER_TIMEOUT)") {
  Bench b;
  b.settings.keep_alive = true;
  b.settings.keep_idle = kSecond;
  b.settings.keep_interval = kSecond;
  b.settings.user_timeout = 20 * kSecond;
  b.establish();
  b.run(15 * kSecond);
  CHECK(b->state() == State::established);
  b.run(5 * kSecond);
  CHECK(b->state() == State::closed);
}

TEST_CASE("the user timeout, set while the timers are backed off, ends it in time too (RFC 5482)") {
  Bench b;
  b.establish();
  b.send(100);
  b.all();
  b.run(20 * kSecond);  // the next retransmission is seconds away
  Settings settings = b->settings();
  settings.user_timeout = 21 * kSecond;
  b.apply(settings);
  CHECK(b->state() == State::established);
  b.run(kSecond);
  CHECK(b->state() == State::closed);
  CHECK(b->error() == Errno::timed_out);
}
