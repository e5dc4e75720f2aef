// SPDX-License-Identifier: MIT
#include "host/poll.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <memory>
#include <vector>

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
constexpr std::uint32_t kOut = socket::kOut;

struct Pipe {
  Pipe() { REQUIRE(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0); }
  ~Pipe() {
    ::close(ends[0]);
    ::close(ends[1]);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  int reader() const { return ends[0]; }
  int writer() const { return ends[1]; }
  void fill() const { REQUIRE(write(ends[1], "x", 1) == 1); }
  int ends[2] = {-1, -1};
};

struct Own {
  explicit Own(std::uint32_t mask) : readiness(std::make_shared<Readiness>(mask)) {
    const auto made = readiness->fd();
    REQUIRE(made);
    fd = *made;
  }
  std::shared_ptr<Readiness> readiness;
  int fd = -1;
};

std::thread later(std::function<void()> action) {
  return std::thread([action = std::move(action)] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    action();
  });
}

int poll_one(int fd, std::uint32_t events, int timeout_ms, std::uint32_t& returned) {
  std::array<PollEntry, 1> entries{PollEntry{.fd = fd, .events = events}};
  const auto found = host::poll(entries, timeout_ms);
  REQUIRE(found);
  returned = entries[0].returned;
  return *found;
}

}  // namespace

TEST_CASE("poll finds exactly what a socket has and is asked for") {
  Own own(kIn | kOut | socket::kRdHup);
  std::uint32_t returned = 0;
  CHECK(poll_one(own.fd, POLLIN, 0, returned) == 1);
  CHECK(returned == POLLIN);
  CHECK(poll_one(own.fd, POLLPRI, 0, returned) == 0);
  CHECK(returned == 0);
  CHECK(poll_one(own.fd, POLLIN | POLLOUT | POLLRDHUP | POLLRDNORM, -1, returned) == 1);
  CHECK(returned == (POLLIN | POLLOUT | POLLRDHUP | POLLRDNORM));
}

TEST_CASE("ERR and HUP come unasked, and can be taken back, on every back end") {
  Own own(socket::kErr | socket::kHup);
  std::uint32_t returned = 0;
  CHECK(poll_one(own.fd, 0, 0, returned) == 1);
  CHECK(returned == (POLLERR | POLLHUP));
  set(*own.readiness, 0);
  CHECK(poll_one(own.fd, POLLIN | POLLOUT, 0, returned) == 0);
}

TEST_CASE("poll without entries or with nothing ready ends with its timeout") {
  const Nanos start = monotonic_now();
  auto none = host::poll({}, 15);
  REQUIRE(none);
  CHECK(*none == 0);
  Own own(0);
  std::uint32_t returned = 1;
  CHECK(poll_one(own.fd, POLLIN, 15, returned) == 0);
  CHECK(returned == 0);
  CHECK(monotonic_now() - start >= 30 * kMillisecond);
}

TEST_CASE("an entry with a negative descriptor is left out") {
  Own own(kIn);
  std::array<PollEntry, 2> entries{PollEntry{.fd = -1, .events = POLLIN, .returned = 9},
                                   PollEntry{.fd = own.fd, .events = POLLIN}};
  CHECK(*host::poll(entries, -1) == 1);
  CHECK(entries[0].returned == 0);
}

TEST_CASE("poll wakes when another thread makes a socket ready") {
  Own own(kOut);
  std::thread other = later([&] { set(*own.readiness, kOut | kIn); });
  std::uint32_t returned = 0;
  CHECK(poll_one(own.fd, POLLIN, -1, returned) == 1);
  CHECK(returned == POLLIN);
  other.join();
}

TEST_CASE("poll over a socket and a pipe sees either") {
  Own own(0);
  const Pipe pipe;
  std::array<PollEntry, 2> entries{PollEntry{.fd = own.fd, .events = POLLIN},
                                   PollEntry{.fd = pipe.reader(), .events = POLLIN}};
  std::thread other = later([&] { pipe.fill(); });
  CHECK(*host::poll(entries, -1) == 1);
  CHECK(entries[0].returned == 0);
  CHECK(entries[1].returned == POLLIN);
  other.join();
  // Both at once: neither hides the other.
  set(*own.readiness, kIn);
  CHECK(*host::poll(entries, -1) == 2);
  CHECK(entries[0].returned == POLLIN);
  char byte = 0;
  CHECK(read(pipe.reader(), &byte, 1) == 1);
  set(*own.readiness, 0);
  other = later([&] { set(*own.readiness, kIn); });
  CHECK(*host::poll(entries, 10'000) == 1);
  CHECK(entries[0].returned == POLLIN);
  CHECK(entries[1].returned == 0);
  other.join();
}

TEST_CASE("a readiness that comes and goes again does not end a poll early") {
  Own own(0);
  std::atomic<bool> stop{false};
  std::thread other([&] {
    while (!stop) {
      set(*own.readiness, kIn);
      set(*own.readiness, 0);
      std::this_thread::sleep_for(std::chrono::microseconds(300));
    }
  });
  for (int i = 0; i < 20; i++) {
    const Nanos start = monotonic_now();
    std::uint32_t returned = 0;
    const int found = poll_one(own.fd, POLLIN, 5, returned);
    CHECK((found == 1 ? returned == POLLIN : returned == 0));
    if (found == 0) CHECK(monotonic_now() - start >= 5 * kMillisecond);
  }
  stop = true;
  other.join();
}

TEST_CASE("a closed socket and a bad descriptor are POLLNVAL") {
  Own own(kIn);
  const int number = own.fd;
  own.readiness->close();
  std::uint32_t returned = 0;
  CHECK(poll_one(number, POLLIN, -1, returned) == 1);
  CHECK(returned == POLLNVAL);
}

TEST_CASE("a socket that another thread closes ends the poll over it") {
  Own own(0);
  std::thread other = later([&] { own.readiness->close(); });
  std::uint32_t returned = 0;
  CHECK(poll_one(own.fd, POLLIN, -1, returned) == 1);
  CHECK(returned == POLLNVAL);
  other.join();
}

TEST_CASE("the same socket twice in a list is seen twice") {
  Own own(0);
  std::array<PollEntry, 2> entries{PollEntry{.fd = own.fd, .events = POLLIN},
                                   PollEntry{.fd = own.fd, .events = POLLOUT}};
  std::thread other = later([&] { set(*own.readiness, kIn | kOut); });
  CHECK(*host::poll(entries, -1) == 2);
  CHECK(entries[0].returned == POLLIN);
  CHECK(entries[1].returned == POLLOUT);
  other.join();
}

TEST_CASE("a signal ends a poll with EINTR") {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  struct sigaction before {};
  REQUIRE(sigaction(SIGUSR1, &action, &before) == 0);
  Own own(0);
  const pthread_t self = pthread_self();
  std::atomic<bool> over{false};
  // Again and again: a signal that comes before the wait is lost.
  std::thread other([&] {
    while (!over) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      pthread_kill(self, SIGUSR1);
    }
  });
  std::array<PollEntry, 1> entries{PollEntry{.fd = own.fd, .events = POLLIN}};
  CHECK(host::poll(entries, -1).error() == Errno(EINTR));
  over = true;
  other.join();
  sigaction(SIGUSR1, &before, nullptr);
}

TEST_CASE("threads that poll leave no descriptor behind") {
  const Holdings before;
  for (int i = 0; i < 10; i++) {
    std::thread([] {
      Own own(0);
      std::uint32_t returned = 0;
      poll_one(own.fd, POLLIN, 1, returned);
    }).join();
  }
  CHECK(test::back_to(before));
}

TEST_CASE("many threads poll many sockets that flip and close") {
  std::vector<std::unique_ptr<Own>> sockets;
  for (int i = 0; i < 16; i++) sockets.push_back(std::make_unique<Own>(0));
  std::vector<std::thread> pollers;
  std::atomic<int> starts{0};
  std::atomic<int> ends{0};
  for (int t = 0; t < 4; t++) {
    pollers.emplace_back([&] {
      std::vector<PollEntry> entries;
      for (const auto& own : sockets) entries.push_back({.fd = own->fd, .events = POLLIN});
      // Makes the thread's own descriptor, which must not get the number of a closed socket.
      (void)host::poll(entries, 1);
      starts++;
      for (;;) {
        const auto found = host::poll(entries, -1);
        if (!found) continue;
        std::size_t invalid = 0;
        for (const PollEntry& entry : entries) invalid += entry.returned == POLLNVAL;
        if (invalid == entries.size()) break;
      }
      ends++;
    });
  }
  CHECK(test::eventually([&] { return starts == 4; }));
  for (int round = 0; round < 300; round++) {
    for (const auto& own : sockets) set(*own->readiness, round % 2 == 0 ? kIn : 0);
  }
  for (const auto& own : sockets) own->readiness->close();
  for (std::thread& poller : pollers) poller.join();
  CHECK(ends == 4);
}
