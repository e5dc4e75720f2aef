// SPDX-License-Identifier: MIT
// A stream read and written as slices, as a relay does it: the same as bytes, without a copy.
#include "stack/tcp/bench.hpp"

using namespace vpollnet;
using namespace vpollnet::tcp;

namespace {

/// What peek_slices() shows, or the error, negative.
int peek(Bench& b, std::size_t limit, std::vector<std::uint8_t>& bytes) {
  std::vector<Slice> slices;
  const auto there = b->peek_slices(limit, slices);
  bytes.clear();
  for (const Slice& slice : slices) {
    bytes.insert(bytes.end(), slice.bytes().begin(), slice.bytes().end());
  }
  if (!there) return -static_cast<int>(there.error());
  CHECK(bytes.size() == *there);
  return static_cast<int>(*there);
}

int peek(Bench& b, std::size_t limit = 1 << 20) {
  std::vector<std::uint8_t> bytes;
  return peek(b, limit, bytes);
}

/// Slices of `sizes` bytes each, with the text that the bench expects from `from` on.
std::vector<Slice> slices_of(Bench& b, std::size_t from, std::initializer_list<std::size_t> sizes) {
  std::vector<Slice> slices;
  for (const std::size_t size : sizes) {
    std::vector<std::uint8_t> bytes(size);
    for (std::uint8_t& byte : bytes) byte = Bench::text(from++);
    slices.push_back(b.pool.copy(bytes));
  }
  return slices;
}

constexpr int kAgain = -static_cast<int>(Errno::again);

}  // namespace

TEST_CASE("what slices show is what came, it stays until it is consumed, and then is gone") {
  Bench b;
  b.establish();
  CHECK(peek(b) == kAgain);
  b.in("PA 1+100 ack 1");
  b.in("PA 101+50 ack 1");
  std::vector<std::uint8_t> bytes;
  CHECK(peek(b, 1 << 20, bytes) == 150);
  for (std::size_t i = 0; i < bytes.size(); i++) CHECK(bytes[i] == Bench::text(1 + i));
  CHECK(peek(b, 7) == 7);
  CHECK(peek(b) == 150);
  b->consume(120);
  CHECK(peek(b, 1 << 20, bytes) == 30);
  CHECK(bytes[0] == Bench::text(121));
  b->consume(30);
  CHECK(peek(b) == kAgain);
  CHECK(b->unread() == 0);
}

TEST_CASE("the end of the stream comes behind the last slice, a reset in place of it") {
  Bench b;
  b.establish();
  b.in("FPA 1+10 ack 1");
  CHECK(peek(b) == 10);
  b->consume(10);
  CHECK(peek(b) == 0);
  CHECK(peek(b) == 0);
  Bench broken;
  broken.establish();
  broken.in("RA 1 ack 1");
  CHECK(peek(broken) == -static_cast<int>(Errno::reset));
}

TEST_CASE("consuming opens the window again, as reading does (RFC 9293 3.8.6.2.2)") {
  Bench b;
  b.settings.receive_buffer = 8000;
  b.peer_options = "mss 1000";
  b.show_window = true;
  b.establish();
  std::string last;
  for (int i = 0; i < 8; i++) {
    last = b.exchange("PA " + std::to_string(1 + 1000 * i) + "+1000 ack 1");
  }
  CHECK(last.find("win 0") != std::string::npos);
  CHECK(peek(b) == 8000);
  b->consume(500);
  CHECK(b.all() == "-");  // a silly window
  b->consume(1500);
  CHECK(b.all() == "A 1 ack 8001 win 2000");
  b->consume(6000);
  CHECK(b.all() == "A 1 ack 8001 win 8000");
}

TEST_CASE("with urgent data in line its byte is one of the slices, and nothing is left of it") {
  Bench b;  // RFC 6093 2.1
  b.settings.oob_inline = true;
  b.establish();
  b.in("UPA 1+10 ack 1 urg 4");
  std::vector<std::uint8_t> bytes;
  CHECK(peek(b, 1 << 20, bytes) == 10);
  for (std::size_t i = 0; i < bytes.size(); i++) CHECK(bytes[i] == Bench::text(1 + i));
  b->consume(10);
  CHECK(peek(b) == kAgain);
  CHECK_FALSE(b->readable());
}

TEST_CASE("slices are sent as the bytes that they hold, and shared with whoever has them still") {
  Bench b;
  b.settings.no_delay = true;
  b.peer_options = "mss 1000";
  b.establish();
  CHECK(b->send_slices(slices_of(b, 1, {300, 1, 2000}), b.now) == Errno::ok);
  CHECK(b.all() == "A 1+1000 ack 1 | A 1001+1000 ack 1 | PA 2001+301 ack 1");
  CHECK(b->unacknowledged() == 2301);
  b.in("A 1 ack 2302");
  CHECK(b->unacknowledged() == 0);
  CHECK(b->send_slices({}, b.now) == Errno::ok);
  CHECK(b.all() == "-");
}

TEST_CASE("there is room for as much as the buffer has, and as much as memory has") {
  Bench b;
  b.settings.send_buffer = 5000;
  b.establish(0);
  CHECK(b->send_room() == 5000);
  CHECK(b->send_slices(slices_of(b, 1, {3000}), b.now) == Errno::ok);
  CHECK(b->send_room() == 2000);
  CHECK(b->send_slices(slices_of(b, 3001, {2000}), b.now) == Errno::ok);
  CHECK(b->send_room() == 0);
  Bench poor;
  poor.memory = 1000;
  poor.establish(0);
  CHECK(poor->send_room() == 1000);
  CHECK(poor->send_slices(slices_of(poor, 1, {900}), poor.now) == Errno::ok);
  CHECK(poor->send_room() == 100);
}

TEST_CASE("slices are refused where bytes would be") {
  Bench early;
  early.connect();
  CHECK(early->send_slices(slices_of(early, 1, {1}), early.now) == Errno::again);
  Bench b;
  b.establish();
  b->shutdown_write();
  CHECK(b->send_slices(slices_of(b, 1, {1}), b.now) == Errno::broken_pipe);
  Bench broken;
  broken.establish();
  broken.in("RA 1 ack 1");
  CHECK(broken->send_slices(slices_of(broken, 1, {1}), broken.now) == Errno::reset);
}
