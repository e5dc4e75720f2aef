// SPDX-License-Identifier: MIT
// Who is woken, when, and how often: level, edge, one-shot and exclusive waiters, one and many.
#include "support.hpp"

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

using namespace vpoll_test;

namespace {

constexpr int kPatience = 10'000;  // ms: a limit, never a measure

/// An epoll set, closed with the scope.
class EpollSet {
 public:
  EpollSet() : set_(epoll_create1(EPOLL_CLOEXEC)) { REQUIRE(set_ >= 0); }
  ~EpollSet() { close(set_); }
  EpollSet(const EpollSet&) = delete;
  EpollSet& operator=(const EpollSet&) = delete;

  int control(int op, int fd, uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    return epoll_ctl(set_, op, fd, &event);
  }
  /// The events of the only fd, 0 if none came in time.
  uint32_t wait(int timeout) {
    epoll_event got{};
    return epoll_wait(set_, &got, 1, timeout) == 1 ? got.events : 0;
  }
  int fd() const { return set_; }

 private:
  int set_;
};

void until(const std::function<bool()>& condition) {
  for (int i = 0; i < kPatience && !condition(); i++)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

/// A thread sleeps in a system call, as /proc says: 'S'.
bool sleeps(pid_t thread) {
  std::string path = "/proc/self/task/" + std::to_string(thread) + "/stat";
  int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  char text[512] = {};
  ssize_t got = read(file, text, sizeof text - 1);
  close(file);
  const char* end = got > 0 ? std::strrchr(text, ')') : nullptr;
  return end != nullptr && end[1] == ' ' && end[2] == 'S';
}

}  // namespace

TEST_CASE("a level-triggered waiter is told again until the event is taken back") {
  on_each_backend([](const std::string& backend) {
    VpollFd fd;
    EpollSet set;
    REQUIRE(set.control(EPOLL_CTL_ADD, fd.get(), kAllSix) == 0);
    CHECK(set.wait(0) == 0);
    for (uint32_t bit : {EPOLLOUT, EPOLLIN, EPOLLPRI, EPOLLRDHUP, EPOLLHUP, EPOLLERR}) {
      if ((exact_events(backend) & bit) == 0) continue;
      CAPTURE(bit);
      REQUIRE(fd.add(bit) == 0);
      for (int i = 0; i < 3; i++) CHECK(set.wait(kPatience) == bit);
      REQUIRE(fd.del(bit) == 0);
      CHECK(set.wait(0) == 0);
    }
  });
}

TEST_CASE("an edge-triggered waiter is told of an event that was set while another shows") {
  on_each_backend([](const std::string&) {
    VpollFd fd;
    EpollSet set;
    REQUIRE(set.control(EPOLL_CTL_ADD, fd.get(), EPOLLIN | EPOLLOUT | EPOLLET) == 0);
    for (int i = 0; i < 50; i++) {
      REQUIRE(fd.add(EPOLLOUT) == 0);
      REQUIRE(set.wait(kPatience) == EPOLLOUT);
      REQUIRE(set.wait(0) == 0);
      REQUIRE(fd.add(EPOLLIN) == 0);
      REQUIRE(set.wait(kPatience) == (EPOLLIN | EPOLLOUT));
      REQUIRE(set.wait(0) == 0);
      REQUIRE(fd.set(0) == 0);
      REQUIRE(set.wait(0) == 0);
    }
  });
}

TEST_CASE("an edge that nobody waited for is told to the next who waits") {
  on_each_backend([](const std::string&) {
    VpollFd fd;
    EpollSet set;
    REQUIRE(set.control(EPOLL_CTL_ADD, fd.get(), EPOLLIN | EPOLLET) == 0);
    for (int i = 0; i < 50; i++) {
      REQUIRE(fd.add(EPOLLIN) == 0);
      REQUIRE(fd.del(EPOLLIN) == 0);
      REQUIRE(fd.add(EPOLLIN) == 0);
      REQUIRE(set.wait(kPatience) == EPOLLIN);
      REQUIRE(set.wait(0) == 0);
      REQUIRE(fd.del(EPOLLIN) == 0);
    }
  });
}

TEST_CASE("a one-shot waiter is told once, until it is armed anew") {
  on_each_backend([](const std::string&) {
    VpollFd fd;
    EpollSet set;
    const uint32_t wanted = EPOLLIN | EPOLLOUT | EPOLLONESHOT;
    REQUIRE(set.control(EPOLL_CTL_ADD, fd.get(), wanted) == 0);
    for (int i = 0; i < 20; i++) {
      REQUIRE(fd.set(EPOLLIN) == 0);
      REQUIRE(set.wait(kPatience) == EPOLLIN);
      REQUIRE(fd.add(EPOLLOUT) == 0);
      REQUIRE(set.wait(0) == 0);
      REQUIRE(fd.set(0) == 0);
      REQUIRE(fd.set(EPOLLOUT) == 0);
      REQUIRE(set.wait(0) == 0);
      // What shows at that moment is told at once.
      REQUIRE(set.control(EPOLL_CTL_MOD, fd.get(), wanted) == 0);
      REQUIRE(set.wait(kPatience) == EPOLLOUT);
      REQUIRE(fd.set(0) == 0);
      REQUIRE(set.control(EPOLL_CTL_MOD, fd.get(), wanted) == 0);
      REQUIRE(set.wait(0) == 0);
    }
  });
}

TEST_CASE("of exclusive waiters at least one is woken each time, and none is forgotten") {
  on_each_backend([](const std::string&) {
    constexpr int kWaiters = 5;
    VpollFd fd;
    EpollSet sets[kWaiters];
    for (EpollSet& set : sets)
      REQUIRE(set.control(EPOLL_CTL_ADD, fd.get(), EPOLLIN | EPOLLEXCLUSIVE | EPOLLET) == 0);
    std::atomic<int> told{0};
    std::atomic<bool> stop{false};
    std::vector<std::thread> threads;
    for (EpollSet& set : sets)
      threads.emplace_back([&] {
        while (!stop)
          if (set.wait(50) == EPOLLIN) told++;
      });
    for (int i = 0; i < 200; i++) {
      int before = told;
      REQUIRE(fd.add(EPOLLIN) == 0);
      until([&] { return told > before; });
      REQUIRE(told > before);
      REQUIRE(fd.del(EPOLLIN) == 0);
    }
    stop = true;
    for (std::thread& thread : threads) thread.join();
  });
}

TEST_CASE("an exclusive waiter for one event does not take the wake-up of another's") {
  on_each_backend([](const std::string& backend) {
    // FUSE wakes without saying what for, so the first of the exclusive waiters takes it.
    if (backend == "fuse") return;
    for (int i = 0; i < 20; i++) {
      VpollFd fd;
      EpollSet readers;
      EpollSet writers;
      // Exclusive waiters are asked in the order in which they came, or the other way round.
      if (i % 2 == 1)
        REQUIRE(readers.control(EPOLL_CTL_ADD, fd.get(), EPOLLIN | EPOLLEXCLUSIVE) == 0);
      REQUIRE(writers.control(EPOLL_CTL_ADD, fd.get(), EPOLLOUT | EPOLLEXCLUSIVE) == 0);
      if (i % 2 == 0)
        REQUIRE(readers.control(EPOLL_CTL_ADD, fd.get(), EPOLLIN | EPOLLEXCLUSIVE) == 0);
      std::atomic<pid_t> ids[2] = {};
      std::atomic<uint32_t> seen[2] = {};
      std::thread reader([&] {
        ids[0] = gettid();
        seen[0] = readers.wait(kPatience);
      });
      std::thread writer([&] {
        ids[1] = gettid();
        seen[1] = writers.wait(kPatience);
      });
      until([&] { return ids[0] != 0 && ids[1] != 0 && sleeps(ids[0]) && sleeps(ids[1]); });
      CHECK(fd.add(EPOLLOUT) == 0);
      writer.join();
      CHECK(seen[1] == EPOLLOUT);
      CHECK(seen[0] == 0);
      CHECK(fd.set(EPOLLIN) == 0);
      reader.join();
      CHECK(seen[0] == EPOLLIN);
    }
  });
}

TEST_CASE("all of many waiters are woken, each for its own events") {
  on_each_backend([](const std::string&) {
    constexpr int kEach = 8;
    for (int round = 0; round < 5; round++) {
      VpollFd fd;
      std::atomic<int> readers{0};
      std::atomic<int> writers{0};
      std::atomic<int> wrong{0};
      std::atomic<pid_t> ids[2 * kEach] = {};
      std::vector<std::thread> threads;
      for (int i = 0; i < 2 * kEach; i++)
        threads.emplace_back([&, i] {
          const bool reads = i % 2 == 0;
          pollfd wait{fd.get(), static_cast<short>(reads ? POLLIN : POLLOUT), 0};
          ids[i] = gettid();
          if (poll(&wait, 1, kPatience) != 1 || wait.revents != wait.events) wrong++;
          (reads ? readers : writers)++;
        });
      until([&] {
        for (std::atomic<pid_t>& id : ids)
          if (id == 0 || !sleeps(id)) return false;
        return true;
      });
      CHECK(readers + writers == 0);
      REQUIRE(fd.add(EPOLLIN) == 0);
      until([&] { return readers == kEach; });
      CHECK(readers == kEach);
      CHECK(writers == 0);
      REQUIRE(fd.add(EPOLLOUT) == 0);
      for (std::thread& thread : threads) thread.join();
      CHECK(writers == kEach);
      CHECK(wrong == 0);
    }
  });
}

TEST_CASE("a waiter asleep on a dup, in a nested epoll set, is woken") {
  on_each_backend([](const std::string&) {
    VpollFd fd;
    int copy = fcntl(fd.get(), F_DUPFD_CLOEXEC, 0);
    EpollSet inner;
    EpollSet outer;
    REQUIRE(inner.control(EPOLL_CTL_ADD, copy, EPOLLIN) == 0);
    REQUIRE(outer.control(EPOLL_CTL_ADD, inner.fd(), EPOLLIN) == 0);
    std::atomic<pid_t> id{0};
    uint32_t seen = 0;
    std::thread waiter([&] {
      id = gettid();
      seen = outer.wait(kPatience);
    });
    until([&] { return id != 0 && sleeps(id); });
    REQUIRE(fd.add(EPOLLIN) == 0);
    waiter.join();
    CHECK(seen == EPOLLIN);
    CHECK(inner.wait(0) == EPOLLIN);
    close(copy);
  });
}

TEST_CASE("a waiter in a child is woken by its parent, and the other way round") {
  on_each_backend([](const std::string&) {
    VpollFd ping;
    VpollFd pong;
    pid_t child = fork();
    REQUIRE(child >= 0);
    constexpr int kTurns = 200;
    auto wait_for = [](int fd) {
      pollfd wait{fd, POLLIN, 0};
      return poll(&wait, 1, kPatience) == 1 && wait.revents == POLLIN;
    };
    if (child == 0) {
      for (int i = 0; i < kTurns; i++)
        if (!wait_for(ping.get()) || ping.set(0) != 0 || pong.add(EPOLLIN) != 0) _exit(1);
      _exit(0);
    }
    for (int i = 0; i < kTurns; i++) {
      REQUIRE(ping.add(EPOLLIN) == 0);
      REQUIRE(wait_for(pong.get()));
      REQUIRE(pong.set(0) == 0);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(status == 0);
  });
}

TEST_CASE("an fd may be closed while it is waited for") {
  on_each_backend([](const std::string&) {
    size_t before = open_fds().size();
    for (int i = 0; i < 5; i++) {
      VpollFd fd;
      EpollSet set;
      REQUIRE(set.control(EPOLL_CTL_ADD, fd.get(), EPOLLIN) == 0);
      std::atomic<pid_t> ids[2] = {};
      std::thread poller([&] {
        ids[0] = gettid();
        pollfd wait{fd.get(), POLLIN, 0};
        poll(&wait, 1, 100);
      });
      std::thread epoller([&] {
        ids[1] = gettid();
        set.wait(100);
      });
      until([&] { return ids[0] != 0 && ids[1] != 0; });
      CHECK(vpoll_close(fd.get()) == 0);
      poller.join();
      epoller.join();
      // close(2) took it out of the set, or the set still holds its file: never a stranger's.
      VpollFd next(EPOLLIN);
      CHECK(next.get() == fd.get());
      CHECK(set.wait(0) == 0);
      CHECK(vpoll_close(next.get()) == 0);
      CHECK(vpoll_close(fd.get()) == -1);
    }
    CHECK(open_fds().size() == before);
  });
}

TEST_CASE("no wake-up is lost between threads that set and take back and one that waits") {
  on_each_backend([](const std::string& backend) {
    const int kTurns = backend == "fuse" ? 300 : 3000;  // each is a message to its server and back
    for (uint32_t mode : {uint32_t{0}, uint32_t{EPOLLET}, uint32_t{EPOLLONESHOT}}) {
      CAPTURE(mode);
      VpollFd fd;
      EpollSet set;
      REQUIRE(set.control(EPOLL_CTL_ADD, fd.get(), EPOLLIN | mode) == 0);
      std::atomic<int> asked{0};
      std::atomic<int> answered{0};
      std::thread setter([&] {
        for (int i = 0; i < kTurns; i++) {
          while (answered < i) std::this_thread::yield();
          asked = i + 1;
          fd.add(EPOLLIN);
        }
      });
      int turn = 0;
      for (; turn < kTurns; turn++) {
        if (set.wait(kPatience) != EPOLLIN) break;
        fd.del(EPOLLIN);
        if (mode == EPOLLONESHOT) set.control(EPOLL_CTL_MOD, fd.get(), EPOLLIN | mode);
        answered = turn + 1;
      }
      CHECK(turn == kTurns);
      answered = kTurns;
      setter.join();
    }
  });
}
