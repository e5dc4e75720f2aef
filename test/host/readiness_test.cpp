// SPDX-License-Identifier: MIT
#include "host/readiness.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "host/support.hpp"

using namespace vpollnet;
using namespace vpollnet::host;
using test::Holdings;

namespace {

constexpr std::uint32_t kIn = socket::kIn;
constexpr std::uint32_t kOut = socket::kOut;

short kernel_events(int fd) {
  pollfd file{fd, POLLIN | POLLOUT | POLLPRI | POLLRDHUP, 0};
  ::poll(&file, 1, 0);
  return file.revents;
}

}  // namespace

TEST_CASE("a readiness has no descriptor until one is asked for") {
  const Holdings before;
  auto readiness = std::make_shared<Readiness>(kOut);
  readiness->set(kIn | kOut);
  CHECK(test::back_to(before));
  CHECK(readiness->known_fd() < 0);
}

TEST_CASE("the descriptor shows the mask that was there, and each one after it") {
  auto readiness = std::make_shared<Readiness>(kOut);
  const auto fd = readiness->fd();
  REQUIRE(fd);
  CHECK(kernel_events(*fd) == POLLOUT);
  readiness->set(kIn | kOut);
  CHECK(kernel_events(*fd) == (POLLIN | POLLOUT));
  readiness->set(kIn);
  CHECK(kernel_events(*fd) == POLLIN);
  readiness->set(0);
  CHECK(kernel_events(*fd) == 0);
  CHECK(*readiness->fd() == *fd);
}

TEST_CASE("the descriptor is closed on exec, and with its readiness") {
  const Holdings before;
  auto readiness = std::make_shared<Readiness>(0u);
  const auto fd = readiness->fd();
  REQUIRE(fd);
  CHECK((fcntl(*fd, F_GETFD) & FD_CLOEXEC) != 0);
  readiness->close();
  readiness->close();
  CHECK(readiness->mask() == Readiness::kInvalid);
  CHECK(readiness->fd().error() == Errno::bad_descriptor);
  readiness->set(kIn);
  CHECK(readiness->mask() == Readiness::kInvalid);
  CHECK(test::back_to(before));
  readiness = std::make_shared<Readiness>(0u);
  REQUIRE(readiness->fd());
  readiness = nullptr;
  CHECK(test::back_to(before));
}

TEST_CASE(
    "a socket that is not connected yet, or had a passing error, has a descriptor that lasts") {
  auto readiness = std::make_shared<Readiness>(kOut | socket::kHup);
  const auto fd = readiness->fd();
  REQUIRE(fd);
  CHECK((kernel_events(*fd) & ~POLLHUP) == POLLOUT);
  readiness->set(0);  // connecting
  CHECK(kernel_events(*fd) == 0);
  readiness->set(kOut);
  CHECK(kernel_events(*fd) == POLLOUT);
  readiness->set(kOut | socket::kErr);  // an ICMP error about a datagram
  CHECK((kernel_events(*fd) & (POLLIN | POLLERR)) != 0);
  readiness->set(kOut);
  CHECK(kernel_events(*fd) == POLLOUT);
  readiness->set(kIn | kOut | socket::kRdHup | socket::kHup);
  CHECK(kernel_events(*fd) == (POLLIN | POLLOUT | POLLRDHUP | POLLHUP));
}

TEST_CASE("K02: a descriptor that the user closed is never told about its old socket") {
  const Holdings before;
  auto old = std::make_shared<Readiness>(0u);
  const int number = *old->fd();
  ::close(number);
  auto fresh = std::make_shared<Readiness>(kOut);
  const auto reused = fresh->fd();
  REQUIRE(reused);
  if (*reused != number) {
    // The back end takes more than one number: bring the fresh one to the old place by hand.
    MESSAGE("the number was not used again");
  }
  old->set(kIn);
  CHECK(kernel_events(*reused) == POLLOUT);
  if (*reused == number) CHECK(old->fd().error() == Errno::bad_descriptor);
  old->close();
  CHECK(kernel_events(*reused) == POLLOUT);
  fresh->close();
  CHECK(test::back_to(before));
}

TEST_CASE("K02: a number that serves a file by now is not closed with the socket") {
  const Holdings before;
  auto readiness = std::make_shared<Readiness>(0u);
  const int number = *readiness->fd();
  int pipe_ends[2];
  REQUIRE(pipe2(pipe_ends, O_CLOEXEC) == 0);
  REQUIRE(dup3(pipe_ends[0], number, O_CLOEXEC) == number);
  readiness->set(kIn);
  readiness->close();
  CHECK(fcntl(number, F_GETFD) >= 0);
  ::close(number);
  ::close(pipe_ends[0]);
  ::close(pipe_ends[1]);
  CHECK(test::back_to(before));
}

TEST_CASE("only who waits for an event is woken by it") {
  auto readiness = std::make_shared<Readiness>(0u);
  Watcher reader;
  Watcher writer;
  REQUIRE(reader.open());
  REQUIRE(writer.open());
  Waiter for_in{.watcher = &reader, .events = POLLIN};
  Waiter for_out{.watcher = &writer, .events = POLLOUT};
  readiness->add(for_in);
  readiness->add(for_out);
  REQUIRE(readiness->set(kOut));
  readiness->wake();
  CHECK(kernel_events(*writer.open()) == (POLLIN | POLLOUT));
  CHECK(kernel_events(*reader.open()) == POLLOUT);
  writer.clear();
  CHECK(kernel_events(*writer.open()) == POLLOUT);
  readiness->remove(for_out);
  readiness->set(0);
  readiness->set(kOut);
  readiness->wake();
  CHECK_FALSE(writer.raised());
  readiness->close();
  CHECK(reader.raised());
  readiness->remove(for_in);
}
