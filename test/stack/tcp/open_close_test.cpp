// SPDX-License-Identifier: MIT
// How connections begin and end (RFC 9293 3.5, 3.6, 3.10).
#include "stack/tcp/bench.hpp"

using namespace vpollnet;
using namespace vpollnet::tcp;

TEST_CASE("an active open sends a SYN and answers the SYN-ACK (RFC 9293 3.5, figure 6)") {
  Bench b;
  b.connect();
  CHECK(b->state() == State::syn_sent);
  CHECK(b.all() == "S 0 mss 1460 ws 7 sackok ts");
  CHECK(b.exchange("SA 0 ack 1 mss 1460") == "A 1 ack 1");
  CHECK(b->state() == State::established);
  CHECK(b->writable());
  CHECK_FALSE(b->readable());
}

TEST_CASE("a passive open answers only what was offered (RFC 7323 2.2, 3.2, RFC 2018 2)") {
  Bench b;
  SUBCASE("nothing") {
    b.peer_options = "";
    b.listen();
    CHECK(b.all() == "SA 0 ack 1 mss 1460");
  }
  SUBCASE("everything") {
    b.peer_options = "mss 1000 ws 3 sackok ts 5/0";
    b.listen();
    CHECK(b.all() == "SA 0 ack 1 mss 1460 ws 7 sackok ts");
    b.in("A 1 ack 1 ts 6/0");
    CHECK(b->state() == State::established);
    return;
  }
  CHECK(b->state() == State::syn_received);
  b.in("A 1 ack 1");
  CHECK(b->state() == State::established);
  CHECK(b.all() == "-");
}

TEST_CASE("text on the ACK that completes the handshake is taken") {
  Bench b;
  b.listen();
  b.all();
  b.in("PA 1+10 ack 1");
  CHECK(b->state() == State::established);
  CHECK(b.read() == 10);
}

TEST_CASE("a simultaneous open ends in ESTABLISHED (RFC 9293 3.5, figure 8)") {
  Bench b;
  b.connect();
  b.all();
  CHECK(b.exchange("S 0 mss 1460") == "SA 0 ack 1 mss 1460");
  CHECK(b->state() == State::syn_received);
  SUBCASE("by the peer's SYN-ACK") { b.in("SA 0 ack 1 mss 1460"); }
  SUBCASE("by a plain ACK") { b.in("A 1 ack 1"); }
  CHECK(b->state() == State::established);
  b.send(10);
  CHECK(b.all() == "PA 1+10 ack 1");
}

TEST_CASE("SYN-SENT answers an ACK of something never sent with RST (RFC 9293 3.10.7.3)") {
  Bench b;
  b.connect();
  b.all();
  CHECK(b.in("A 7 ack 0") == Answer::reset);
  CHECK(b.in("A 7 ack 2") == Answer::reset);
  CHECK(b.in("RA 7 ack 2") == Answer::none);
  CHECK(b.in("SA 0 ack 2") == Answer::reset);
  CHECK(b->state() == State::syn_sent);
}

TEST_CASE("SYN-SENT takes a RST only with an acceptable ACK (RFC 9293 3.10.7.3, RFC 5961 3.2)") {
  Bench b;
  b.connect();
  b.all();
  b.in("R 7");
  CHECK(b->state() == State::syn_sent);
  b.in("RA 0 ack 1");
  CHECK(b->state() == State::closed);
  CHECK(b->error() == Errno::refused);
  CHECK(b.read_error() == Errno::refused);
}

TEST_CASE("SYN-SENT passes over segments without SYN, RST or ACK, and an ACK alone") {
  Bench b;
  b.connect();
  b.all();
  CHECK(b.in("- 0") == Answer::none);
  CHECK(b.in("F 0") == Answer::none);
  CHECK(b.in("A 0 ack 1") == Answer::none);
  CHECK(b->state() == State::syn_sent);
  CHECK(b.all() == "-");
}

TEST_CASE("a SYN that comes again gets the SYN-ACK again") {
  Bench b;
  b.listen();
  CHECK(b.all() == "SA 0 ack 1 mss 1460");
  CHECK(b.exchange("S 0 mss 1460") == "SA 0 ack 1 mss 1460");
  b.in("A 1 ack 1");
  CHECK(b->state() == State::established);
}

TEST_CASE("SYN-RECEIVED answers an ACK of something never sent with RST (RFC 9293 3.10.7.4)") {
  Bench b;
  b.listen();
  b.all();
  CHECK(b.in("A 1 ack 2") == Answer::reset);
  CHECK(b.in("A 1 ack 0") == Answer::reset);
  CHECK(b->state() == State::syn_received);
  b.in("R 1");
  CHECK(b->state() == State::closed);
}

TEST_CASE(
    "we close first: FIN-WAIT-1, FIN-WAIT-2, TIME-WAIT, and 2 MSL later CLOSED (RFC 9293 3.6)") {
  Bench b;
  b.establish();
  b->shutdown_write();
  CHECK(b.all() == "FA 1 ack 1");
  CHECK(b->state() == State::fin_wait_1);
  b.in("A 1 ack 2");
  CHECK(b->state() == State::fin_wait_2);
  CHECK(b.exchange("FA 1 ack 2") == "A 2 ack 2");
  CHECK(b->state() == State::time_wait);
  CHECK(b.run(Connection::kTimeWait - 1) == "-");
  CHECK(b->state() == State::time_wait);
  b.run(1);
  CHECK(b->state() == State::closed);
  CHECK(b->error() == Errno::ok);
}

TEST_CASE("the peer closes first: CLOSE-WAIT, LAST-ACK, CLOSED (RFC 9293 3.6)") {
  Bench b;
  b.establish();
  CHECK(b.exchange("FA 1 ack 1") == "A 1 ack 2");
  CHECK(b->state() == State::close_wait);
  CHECK(b->readable());
  CHECK(b->read_closed());
  std::uint8_t byte;
  CHECK(*b->receive({&byte, 1}, false) == 0);
  b->shutdown_write();
  CHECK(b.all() == "FA 1 ack 2");
  CHECK(b->state() == State::last_ack);
  b.in("A 2 ack 2");
  CHECK(b->state() == State::closed);
  CHECK(b->error() == Errno::ok);
}

TEST_CASE("a reset behind the peer's FIN: the end stays the end, and who writes on is told") {
  Bench b;
  b.establish();
  b.exchange("FA 1 ack 1");
  b.in("R 2");
  CHECK(b->state() == State::closed);
  std::uint8_t byte = 0;
  CHECK(*b->receive({&byte, 1}, false) == 0);
  CHECK(b->error() == Errno::broken_pipe);
}

TEST_CASE("both close at once: CLOSING, TIME-WAIT (RFC 9293 3.6, figure 13)") {
  Bench b;
  b.establish();
  b->shutdown_write();
  CHECK(b.all() == "FA 1 ack 1");
  CHECK(b.exchange("FA 1 ack 1") == "A 2 ack 2");
  CHECK(b->state() == State::closing);
  b.in("A 2 ack 2");
  CHECK(b->state() == State::time_wait);
}

TEST_CASE("a FIN with the ACK of ours goes from FIN-WAIT-1 to TIME-WAIT") {
  Bench b;
  b.establish();
  b->shutdown_write();
  b.all();
  CHECK(b.exchange("FA 1 ack 2") == "A 2 ack 2");
  CHECK(b->state() == State::time_wait);
}

TEST_CASE("half-closed by us, the peer's text still comes in (RFC 9293 3.6)") {
  Bench b;
  b.establish();
  b->shutdown_write();
  b.all();
  CHECK(b.send_error() == Errno::broken_pipe);
  b.in("PA 1+100 ack 2");
  CHECK(b.read() == 100);
  b.in("PFA 101+50 ack 2");
  CHECK(b.read() == 50);
  CHECK(b->state() == State::time_wait);
}

TEST_CASE("half-closed by the peer, our text still goes out, and the FIN rides on the last of it") {
  Bench b;
  b.establish();
  b.exchange("FA 1 ack 1");
  CHECK(b.send(100) == 100);
  CHECK(b.all() == "PA 1+100 ack 2");
  b.send(10);
  b->shutdown_write();
  CHECK(b.all() == "FPA 101+10 ack 2");
  b.in("A 2 ack 112");
  CHECK(b->state() == State::closed);
}

TEST_CASE("a FIN out of order waits for the text before it") {
  Bench b;
  b.establish();
  CHECK(b.exchange("FA 101 ack 1") == "A 1 ack 1");
  CHECK(b->state() == State::established);
  CHECK(b.exchange("PA 1+100 ack 1") == "A 1 ack 102");
  CHECK(b->state() == State::close_wait);
  CHECK(b.read() == 100);
}

TEST_CASE("no text behind the FIN is taken, whichever came first") {
  Bench b;
  b.establish();
  SUBCASE("the FIN") {
    b.exchange("FA 101 ack 1");
    b.exchange("PA 101+50 ack 1");
    b.exchange("PA 51+100 ack 1");
    b.exchange("PA 1+50 ack 1");
    CHECK(b.read() == 100);
    CHECK(b->state() == State::close_wait);
  }
  SUBCASE("the text: then that FIN is none") {
    b.exchange("PA 51+100 ack 1");
    b.exchange("FA 101 ack 1");
    b.exchange("PA 1+50 ack 1");
    CHECK(b.read() == 150);
    CHECK(b->state() == State::established);
    b.exchange("FA 151 ack 1");
    CHECK(b->state() == State::close_wait);
  }
}

TEST_CASE("TIME-WAIT acknowledges the FIN again and starts over (RFC 9293 3.10.7.4)") {
  Bench b;
  b.establish();
  b->shutdown_write();
  b.all();
  b.exchange("FA 1 ack 2");
  b.run(40 * kSecond);
  CHECK(b.exchange("FA 1 ack 2") == "A 2 ack 2");
  b.run(40 * kSecond);
  CHECK(b->state() == State::time_wait);
  b.run(20 * kSecond);
  CHECK(b->state() == State::closed);
}

TEST_CASE("[T23] TIME-WAIT is not cut short by a RST (RFC 1337)") {
  Bench b;
  b.establish();
  b->shutdown_write();
  b.all();
  b.exchange("FA 1 ack 2");
  b.in("R 2");
  CHECK(b->state() == State::time_wait);
}

TEST_CASE("a user who closed does not wait in FIN-WAIT-2 for ever") {
  Bench b;
  b.establish();
  b->orphan(b.now);
  b.all();
  b.in("A 1 ack 2");
  CHECK(b->state() == State::fin_wait_2);
  b.run(Connection::kFinWait2);
  CHECK(b->state() == State::closed);
}

TEST_CASE("a half-close may stay in FIN-WAIT-2") {
  Bench b;
  b.establish();
  b->shutdown_write();
  b.all();
  b.in("A 1 ack 2");
  CHECK(b.run(24 * 3600 * kSecond) == "-");
  CHECK(b->state() == State::fin_wait_2);
}

TEST_CASE("closing with unread text sends RST (RFC 9293 3.6.1, RFC 2525 2.17)") {
  Bench b;
  b.establish();
  b.in("PA 1+10 ack 1");
  b->orphan(b.now);
  CHECK(b.all() == "RA 1 ack 11");
  CHECK(b->state() == State::closed);
}

TEST_CASE("text after close is answered with RST (RFC 9293 3.6.1)") {
  Bench b;
  b.establish();
  b->orphan(b.now);
  b.all();
  b.in("A 1 ack 2");
  CHECK(b.exchange("PA 1+10 ack 2") == "RA 2 ack 1");
  CHECK(b->state() == State::closed);
}

TEST_CASE("abort sends RST and forgets everything (RFC 9293 3.10.5)") {
  Bench b;
  b.establish();
  b.send(5000);
  b.all();
  b.in("PA 1+10 ack 1");
  b->abort();
  CHECK(b.all() == "RA 4381 ack 11");
  CHECK(b->state() == State::closed);
  CHECK(b.budget->used() == 0);
}

TEST_CASE("closing before the handshake is done: SYN-SENT is forgotten, SYN-RECEIVED sends its FIN "
          "later") {
  Bench b;
  SUBCASE("SYN-SENT") {
    b.connect();
    b.all();
    b->shutdown_write();
    CHECK(b->state() == State::closed);
    CHECK(b.all() == "-");
  }
  SUBCASE("SYN-RECEIVED") {
    b.connect();
    b.all();
    b.exchange("S 0 mss 1460");
    b->orphan(b.now);
    CHECK(b.all() == "-");
    CHECK(b.run(kSecond) == "1000 SA 0 ack 1 mss 1460");
    CHECK(b.exchange("A 1 ack 1") == "FA 1 ack 1");
    CHECK(b->state() == State::fin_wait_1);
  }
}
