// SPDX-License-Identifier: MIT
// The urgent byte (RFC 9293 3.8.5, RFC 6093).
#include "stack/tcp/bench.hpp"

using namespace vpollnet;
using namespace vpollnet::tcp;

namespace {

int urgent_byte(Bench& b) {
  std::uint8_t byte = 0;
  const Result<std::size_t> got = b->receive_urgent({&byte, 1}, false);
  return got ? byte : -static_cast<int>(got.error());
}

}  // namespace

TEST_CASE("the last byte of an urgent send is pointed at, from one behind it (RFC 6093 3.2)") {
  Bench b;
  b.establish();
  b.send(10);
  CHECK(b.all() == "PA 1+10 ack 1");
  b.send(5, true);
  CHECK(b.all() == "PA 11+5 ack 1 urg 5");  // and no waiting for Nagle
  b.in("A 1 ack 16");
  b.send(5);
  CHECK(b.all() == "PA 16+5 ack 1");
}

TEST_CASE("with a closed window the pointer goes out on its own (RFC 9293 3.8.5)") {
  Bench b;
  b.establish(0);
  b.send(5, true);
  b.all();
  CHECK(b.exchange("A 1+2000 ack 1 win 0") == "-");
  CHECK(b.exchange("A 2001+2000 ack 1 win 0") == "A 1 ack 4001 urg 5");
}

TEST_CASE("the urgent byte is read apart, and a read stops before it") {
  Bench b;
  b.establish();
  CHECK(urgent_byte(b) == -static_cast<int>(Errno::invalid));
  b.in("UPA 1+10 ack 1 urg 4");  // byte 4
  CHECK(b->urgent_ready());
  CHECK(b.read() == 3);
  CHECK(urgent_byte(b) == Bench::text(4));
  CHECK_FALSE(b->urgent_ready());
  CHECK(urgent_byte(b) == -static_cast<int>(Errno::invalid));
  b.skip_read(1);
  CHECK(b.read() == 6);
}

TEST_CASE("read in line, the urgent byte is in the stream, and a read stops before it") {
  Bench b;
  b.settings.oob_inline = true;
  b.establish();
  b.in("UPA 1+10 ack 1 urg 4");
  CHECK(urgent_byte(b) == -static_cast<int>(Errno::invalid));
  CHECK(b.read() == 3);
  CHECK(b.read() == 7);
}

TEST_CASE("the pointer may come before its byte") {
  Bench b;
  b.establish();
  b.in("UA 1 ack 1 urg 5");
  CHECK_FALSE(b->urgent_ready());
  CHECK(urgent_byte(b) == -static_cast<int>(Errno::again));
  b.in("PA 1+4 ack 1");
  CHECK_FALSE(b->urgent_ready());
  b.in("PA 5+1 ack 1");
  CHECK(b->urgent_ready());
  CHECK(urgent_byte(b) == Bench::text(5));
}

TEST_CASE("a lone urgent byte is nothing to read") {
  Bench b;
  b.establish();
  b.in("UPA 1+1 ack 1 urg 1");
  CHECK_FALSE(b->readable());
  CHECK(b->urgent_ready());
  CHECK(b.read_error() == Errno::again);
  CHECK(urgent_byte(b) == Bench::text(1));
  CHECK_FALSE(b->readable());
  b.in("FA 2 ack 1");
  CHECK(b->readable());
  std::uint8_t byte;
  const Result<std::size_t> end = b->receive({&byte, 1}, false);
  REQUIRE(end);
  CHECK(*end == 0);
}

TEST_CASE("a second urgent byte takes the place of the first, which stays in the stream") {
  Bench b;
  b.establish();
  b.in("UPA 1+4 ack 1 urg 4");
  b.in("UPA 5+4 ack 1 urg 4");
  CHECK(urgent_byte(b) == Bench::text(8));
  CHECK(b.read() == 7);
}

TEST_CASE("[T04] pointers to nowhere do no harm") {
  for (const int pointer : {0, 1, 2, 10, 11, 1000, 0x7fff, 0x8000, 0xffff}) {
    for (const bool in_line : {false, true}) {
      Bench b;
      b.settings.oob_inline = in_line;
      b.establish();
      b.in("PA 1+100 ack 1");
      CHECK(b.read() == 100);
      b.in("UPA 101+10 ack 1 urg " + std::to_string(pointer));
      b.in("UPA 51+60 ack 1 urg " + std::to_string(pointer));  // it begins below RCV.NXT
      b.in("UPA 111+10 ack 1 urg 0");
      b.in("UFA 121 ack 1 urg " + std::to_string(pointer));
      std::size_t got = 0;
      std::uint8_t byte = 0;
      (void)b->receive_urgent({&byte, 1}, false);
      std::uint8_t buffer[100];
      for (int i = 0; i < 50; i++) {
        const Result<std::size_t> copied = b->receive(buffer, false);
        if (!copied || *copied == 0) break;
        got += *copied;
      }
      CHECK(got >= 18);
      CHECK(got <= 20);
      CHECK(b->state() == State::close_wait);
      b.all();
    }
  }
}

TEST_CASE("a keepalive probe points at nothing") {
  Bench b;
  b.settings.keep_alive = true;
  b.settings.keep_idle = kSecond;
  b.establish();
  b.send(5, true);
  b.all();
  b.in("A 1 ack 6");
  CHECK(b.run(kSecond) == "1000 A 5 ack 1");
}

TEST_CASE("[T04] a pointer behind RCV.NXT does not make urgent what came as plain text") {
  Bench b;
  b.establish();
  b.in("PA 1+10 ack 1");
  b.in("UPA 5+10 ack 1 urg 3");
  CHECK_FALSE(b->urgent_ready());
  CHECK(b.read() == 14);
}
