// SPDX-License-Identifier: MIT
// Segments out of order, and what the peer is told about them (RFC 2018, RFC 2883).
#include "stack/tcp/bench.hpp"

using namespace vpollnet;
using namespace vpollnet::tcp;

TEST_CASE("out of order: an ACK at once, with the newest block first (RFC 2018 4, RFC 5681 4.2)") {
  Bench b;
  b.peer_options = "mss 1460 sackok";
  b.establish();
  CHECK(b.exchange("A 101+100 ack 1") == "A 1 ack 1 sack 101-201");
  CHECK(b.exchange("A 301+100 ack 1") == "A 1 ack 1 sack 301-401,101-201");
  CHECK(b.exchange("A 501+100 ack 1") == "A 1 ack 1 sack 501-601,301-401,101-201");
  CHECK(b.exchange("A 701+100 ack 1") == "A 1 ack 1 sack 701-801,501-601,301-401,101-201");
  CHECK(b.exchange("A 901+100 ack 1") == "A 1 ack 1 sack 901-1001,701-801,501-601,301-401");
  CHECK(b.exchange("A 201+100 ack 1") == "A 1 ack 1 sack 101-401,901-1001,701-801,501-601");
  CHECK(b.exchange("A 1+100 ack 1") == "A 1 ack 401 sack 901-1001,701-801,501-601");
  CHECK(b.exchange("A 401+500 ack 1") == "A 1 ack 1001");
  CHECK(b.read() == 1000);
}

TEST_CASE("with timestamps there is room for three blocks (RFC 2018 3)") {
  Bench b;
  b.peer_options = "mss 1460 sackok ts 1/1";
  b.connect();
  b.out();
  b.in("SA 0 ack 1 " + b.peer_options);
  b.all();
  b.exchange("A 101+100 ack 1 ts 1/1");
  b.exchange("A 301+100 ack 1 ts 1/1");
  b.exchange("A 501+100 ack 1 ts 1/1");
  CHECK(b.exchange("A 701+100 ack 1 ts 1/1") == "A 1 ack 1 sack 701-801,501-601,301-401");
}

TEST_CASE("SACK blocks only if the peer permitted them (RFC 2018 2)") {
  Bench b;
  b.establish();
  CHECK(b.exchange("A 101+100 ack 1") == "A 1 ack 1");
}

TEST_CASE("a duplicate is reported first, and once (RFC 2883 4)") {
  Bench b;
  b.peer_options = "mss 1460 sackok";
  b.establish();
  b.exchange("A 1+100 ack 1");
  SUBCASE("below the cumulative acknowledgment") {
    CHECK(b.exchange("A 1+100 ack 1") == "A 1 ack 101 sack 1-101");
    CHECK(b.exchange("A 301+10 ack 1") == "A 1 ack 101 sack 301-311");
    CHECK(b.exchange("A 51+40 ack 1") == "A 1 ack 101 sack 51-91,301-311");
  }
  SUBCASE("in part") { CHECK(b.exchange("A 51+2950 ack 1") == "A 1 ack 3001 sack 51-101"); }
  SUBCASE("above it, followed by the block that holds it (RFC 2883 4.1.2)") {
    b.exchange("A 301+100 ack 1");
    b.exchange("A 501+100 ack 1");
    CHECK(b.exchange("A 321+10 ack 1") == "A 1 ack 101 sack 321-331,301-401,501-601");
    CHECK(b.exchange("A 701+10 ack 1") == "A 1 ack 101 sack 701-711,301-401,501-601");
  }
}

TEST_CASE(
    "text goes on the same segment as SACK blocks, and is shortened by them (RFC 9293 3.7.1)") {
  Bench b;
  b.peer_options = "mss 1000 sackok";
  b.establish();
  b.in("A 101+100 ack 1");
  b.send(2000);
  CHECK(b.all() == "A 1+988 ack 1 sack 101-201 | A 989+988 ack 1 sack 101-201");
}

TEST_CASE("[T16] thousands of one-byte segments out of order stay within bounds (CVE-2018-5390)") {
  Bench b;
  b.peer_options = "mss 1460 sackok";
  b.establish();
  for (int i = 0; i < 5000; i++) b.exchange("A " + std::to_string(3 + 2 * i) + "+1 ack 1");
  CHECK(b.pool.live() <= Reassembly::kMaxRanges);
  CHECK(b.dropped(Drop::tcp_queue_full) == 5000 - Reassembly::kMaxRanges);
  // What they cost counts, not the bytes that they carry.
  CHECK(b.budget->used() >= b.pool.live() * 2048);
  // The stream is not harmed.
  for (int at = 1; at < 2000; at += 100) b.exchange("A " + std::to_string(at) + "+100 ack 1");
  CHECK(b.read() == 2000);
}

TEST_CASE("[T16] a stream of one-byte segments keeps no block for each byte, in whatever order "
          "they come") {
  Bench b;
  b.peer_options = "mss 1460 sackok";
  b.establish();
  SUBCASE("upwards, behind a gap") {
    for (int at = 2; at <= 20'000; at++) b.exchange("A " + std::to_string(at) + "+1 ack 1");
  }
  SUBCASE("downwards") {
    for (int at = 20'000; at >= 2; at--) b.exchange("A " + std::to_string(at) + "+1 ack 1");
  }
  SUBCASE("every second, then those between, 100 at a time") {
    for (int base = 2; base < 20'000; base += 200) {
      for (int i = 0; i < 100; i++)
        b.exchange("A " + std::to_string(base + 1 + 2 * i) + "+1 ack 1");
      for (int i = 0; i < 100; i++) b.exchange("A " + std::to_string(base + 2 * i) + "+1 ack 1");
    }
  }
  SUBCASE("pairs swapped: always a gap, always filled at once") {
    for (int at = 1; at < 20'000; at += 2) {
      b.exchange("A " + std::to_string(at + 1) + "+1 ack 1");
      b.exchange("A " + std::to_string(at) + "+1 ack 1");
    }
  }
  CHECK(b.pool.live() <= 40);
  b.exchange("A 1+1 ack 1");
  CHECK(b.pool.live() <= 40);
  CHECK(b.read() >= 20'000);
}

TEST_CASE("Reassembly: any order of any overlapping pieces gives the stream") {
  std::uint64_t state = 1;
  const auto random = [&state](std::uint64_t below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % below;
  };
  for (int round = 0; round < 200; round++) {
    BlockPool pool;
    {
      Reassembly queue;
      ByteQueue stream;
      std::uint64_t next = 1000;
      const std::uint64_t end = 1000 + 5000;
      while (next < end) {
        const std::uint64_t begin = next + random(2000);
        const std::uint64_t stop = std::min(end, begin + 1 + random(700));
        if (begin < stop) {
          std::vector<Slice> slices;
          for (std::uint64_t at = begin; at < stop;) {
            std::vector<std::uint8_t> bytes(std::min(stop - at, 1 + random(300)));
            for (std::uint8_t& byte : bytes) byte = Bench::text(at++);
            slices.push_back(pool.copy(bytes));
          }
          queue.insert(begin, std::move(slices), pool);
        }
        next = queue.take_in_order(next, stream, pool);
        if (random(10) == 0) {
          stream.append_copy(std::vector<std::uint8_t>{Bench::text(next)}, pool);
          next = queue.take_in_order(next + 1, stream, pool);
        }
      }
      std::vector<std::uint8_t> bytes(stream.size());
      stream.copy_out(0, bytes);
      REQUIRE(bytes.size() == next - 1000);
      bool equal = true;
      for (std::size_t i = 0; i < bytes.size(); i++)
        equal = equal && bytes[i] == Bench::text(1000 + i);
      REQUIRE(equal);
      queue.take_in_order(UINT64_MAX, stream, pool);
      CHECK(queue.empty());
      CHECK(queue.bytes() == 0);
      CHECK(queue.footprint() == 0);
    }
    CHECK(pool.live() == 0);
  }
}
