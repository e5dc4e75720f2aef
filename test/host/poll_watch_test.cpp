// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <memory>

#include "host/poll.hpp"
#include "host/readiness.hpp"
#include "host/support.hpp"

using namespace vpollnet;
using namespace vpollnet::host;
using test::Holdings;

namespace {

/// As at the end of a pump's hold.
void set(Readiness& readiness, std::uint32_t mask) {
  if (readiness.set(mask)) readiness.wake();
}

constexpr std::uint32_t kIn = socket::kIn;

bool is_readable(int fd, int timeout_ms = 0) {
  pollfd file{fd, POLLIN, 0};
  return ::poll(&file, 1, timeout_ms) == 1;
}

}  // namespace

TEST_CASE("a watch becomes readable with one of our sockets, and quiet again after it") {
  const Holdings before;
  {
    auto own = std::make_shared<Readiness>(0u);
    std::array<PollEntry, 1> entries{PollEntry{.fd = *own->fd(), .events = POLLIN}};
    auto watch = PollWatch::open(entries);
    REQUIRE(watch);
    CHECK_FALSE((*watch)->ready());
    CHECK_FALSE(is_readable((*watch)->fd()));
    std::thread other([&] { set(*own, kIn); });
    CHECK(is_readable((*watch)->fd(), 10'000));
    other.join();
    CHECK(*(*watch)->collect(entries) == 1);
    CHECK(entries[0].returned == POLLIN);
    CHECK(is_readable((*watch)->fd()));  // a level: nobody has read
    set(*own, 0);
    CHECK(*(*watch)->collect(entries) == 0);
    CHECK_FALSE(is_readable((*watch)->fd()));
    set(*own, kIn);
    CHECK(is_readable((*watch)->fd()));
  }
  CHECK(test::back_to(before));
}

TEST_CASE("a watch over a ready socket is ready from the start") {
  auto own = std::make_shared<Readiness>(kIn);
  std::array<PollEntry, 1> entries{PollEntry{.fd = *own->fd(), .events = POLLIN}};
  auto watch = PollWatch::open(entries);
  REQUIRE(watch);
  CHECK((*watch)->ready());
  CHECK(is_readable((*watch)->fd()));
}

TEST_CASE("a watch sees a pipe, also one that is in the list twice") {
  int ends[2];
  REQUIRE(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
  std::array<PollEntry, 2> entries{PollEntry{.fd = ends[0], .events = POLLPRI},
                                   PollEntry{.fd = ends[0], .events = POLLIN}};
  auto watch = PollWatch::open(entries);
  REQUIRE(watch);
  CHECK_FALSE((*watch)->ready());
  CHECK(write(ends[1], "x", 1) == 1);
  CHECK(is_readable((*watch)->fd()));
  CHECK(*(*watch)->collect(entries) == 1);
  CHECK(entries[0].returned == 0);
  CHECK(entries[1].returned == POLLIN);
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_CASE("a watch says of a regular file what poll says: always ready") {
  const int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  REQUIRE(file >= 0);
  std::array<PollEntry, 1> entries{PollEntry{.fd = file, .events = POLLIN}};
  auto watch = PollWatch::open(entries);
  REQUIRE(watch);
  CHECK((*watch)->ready());
  CHECK(is_readable((*watch)->fd()));
  CHECK(*(*watch)->collect(entries) == 1);
  CHECK(entries[0].returned == POLLIN);
  entries[0].events = POLLPRI;
  auto for_nothing = PollWatch::open(entries);
  REQUIRE(for_nothing);
  CHECK_FALSE((*for_nothing)->ready());
  ::close(file);
}

TEST_CASE("a watch over a bad descriptor is ready with POLLNVAL") {
  std::array<PollEntry, 2> entries{PollEntry{.fd = 1 << 20, .events = POLLIN},
                                   PollEntry{.fd = -1, .events = POLLIN}};
  auto watch = PollWatch::open(entries);
  REQUIRE(watch);
  CHECK((*watch)->ready());
  CHECK(is_readable((*watch)->fd()));
  CHECK(*(*watch)->collect(entries) == 1);
  CHECK(entries[0].returned == POLLNVAL);
  CHECK(entries[1].returned == 0);
}

TEST_CASE("a socket that closes wakes the watch over it") {
  auto own = std::make_shared<Readiness>(0u);
  std::array<PollEntry, 1> entries{PollEntry{.fd = *own->fd(), .events = POLLIN}};
  auto watch = PollWatch::open(entries);
  REQUIRE(watch);
  own->close();
  CHECK(is_readable((*watch)->fd()));
  CHECK(*(*watch)->collect(entries) == 1);
  CHECK(entries[0].returned == POLLNVAL);
}

TEST_CASE("a watch refuses another list than its own") {
  std::array<PollEntry, 1> entries{PollEntry{.fd = -1, .events = 0}};
  auto watch = PollWatch::open(entries);
  REQUIRE(watch);
  CHECK((*watch)->collect({}).error() == Errno::invalid);
}
