// SPDX-License-Identifier: MIT
// Closing, numbers that are used again (K02), fork, and many fds.
#include "support.hpp"

#include <algorithm>
#include <memory>
#include <signal.h>

using namespace vpoll_test;

namespace {

// One end of a pair of the test's own, moved to a number that a vpoll fd had; notices any touch.
class Stranger {
 public:
  explicit Stranger(int number) : number_(number) {
    int pair[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    far_ = pair[1];
    if (pair[0] != number) {
      REQUIRE(dup2(pair[0], number) == number);
      close(pair[0]);
    }
    REQUIRE(send(far_, "x", 1, 0) == 1);
    sndbuf_ = sndbuf();
  }
  ~Stranger() {
    close(number_);
    close(far_);
  }
  Stranger(const Stranger&) = delete;
  Stranger& operator=(const Stranger&) = delete;

  bool untouched() const {
    char byte = 0;
    return shown_by_poll(number_) == (EPOLLIN | EPOLLOUT) && sndbuf() == sndbuf_ &&
           recv(number_, &byte, 1, MSG_PEEK) == 1 && byte == 'x' &&
           recv(far_, &byte, 1, MSG_PEEK) == -1 && errno == EAGAIN;
  }

 private:
  int sndbuf() const {
    int bytes = 0;
    socklen_t size = sizeof bytes;
    getsockopt(number_, SOL_SOCKET, SO_SNDBUF, &bytes, &size);
    return bytes;
  }
  int number_;
  int far_;
  int sndbuf_;
};

}  // namespace

TEST_CASE("everything that was opened is closed again") {
  on_each_backend([](const std::string&) {
    size_t before = open_fds().size();
    for (uint32_t events : {uint32_t{0}, uint32_t{EPOLLIN}, kAllSix & ~EPOLLERR, kAllSix}) {
      VpollFd fd(events);
      CHECK(open_fds().size() > before);
      fd.close();
      CHECK(open_fds().size() == before);
    }
  });
}

TEST_CASE("the library keeps its own fds out of the numbers that select can take") {
  on_each_backend([](const std::string&) {
    VpollFd first;
    VpollFd second;
    CHECK(second.get() == first.get() + 1);
  });
}

TEST_CASE("K02: the fd was closed with close() and its number belongs to another file") {
  on_each_backend([](const std::string&) {
    size_t before = open_fds().size();
    int fd = vpoll_create(EPOLLIN, FD_CLOEXEC);
    REQUIRE(close(fd) == 0);
    {
      Stranger stranger(fd);
      for (uint32_t events :
           {uint32_t{0}, uint32_t{EPOLLOUT}, uint32_t{EPOLLIN | EPOLLPRI}, uint32_t{0}, kAllSix}) {
        CHECK(vpoll_ctl(fd, VPOLL_CTL_SETEVENTS, events) == 0);
        CHECK(stranger.untouched());
      }
      CHECK(vpoll_close(fd) == -1);
      CHECK(errno == EBADF);
      CHECK(stranger.untouched());
      CHECK(vpoll_ctl(fd, VPOLL_CTL_SETEVENTS, 0) == -1);
      CHECK(errno == EBADF);
    }
    CHECK(open_fds().size() == before);
  });
}

TEST_CASE("K02: vpoll_close after close() gives EBADF and releases what was kept") {
  on_each_backend([](const std::string&) {
    size_t before = open_fds().size();
    int fd = vpoll_create(0, FD_CLOEXEC);
    REQUIRE(close(fd) == 0);
    CHECK(vpoll_close(fd) == -1);
    CHECK(errno == EBADF);
    CHECK(open_fds().size() == before);
  });
}

TEST_CASE("K02: the number is used again by vpoll_create") {
  on_each_backend([](const std::string&) {
    size_t before = open_fds().size();
    int fd = vpoll_create(EPOLLIN | EPOLLHUP, FD_CLOEXEC);
    for (int i = 0; i < 10; i++) {
      REQUIRE(close(fd) == 0);
      REQUIRE(vpoll_create(EPOLLOUT, FD_CLOEXEC) == fd);
      CHECK(shown_by_poll(fd) == EPOLLOUT);
      CHECK(vpoll_ctl(fd, VPOLL_CTL_SETEVENTS, EPOLLIN) == 0);
      CHECK(shown_by_poll(fd) == EPOLLIN);
    }
    CHECK(vpoll_close(fd) == 0);
    CHECK(open_fds().size() == before);
  });
}

TEST_CASE("K02: the number now shows another vpoll fd's file") {
  on_each_backend([](const std::string&) {
    size_t before = open_fds().size();
    int fd = vpoll_create(0, FD_CLOEXEC);
    VpollFd other(EPOLLOUT);
    REQUIRE(dup2(other.get(), fd) == fd);
    CHECK(vpoll_ctl(fd, VPOLL_CTL_SETEVENTS, EPOLLIN) == 0);
    CHECK(shown_by_poll(other.get()) == EPOLLOUT);
    CHECK(vpoll_close(fd) == -1);
    CHECK(errno == EBADF);
    CHECK(shown_by_poll(fd) == EPOLLOUT);
    close(fd);
    other.close();
    CHECK(open_fds().size() == before);
  });
}

TEST_CASE("a dup of a vpoll fd shows the same, also after the first number was closed") {
  on_each_backend([](const std::string&) {
    VpollFd fd;
    int copy = fcntl(fd.get(), F_DUPFD_CLOEXEC, 0);
    fd.add(EPOLLIN);
    CHECK(shown_by_poll(copy) == EPOLLIN);
    fd.close();
    CHECK(fcntl(copy, F_GETFD) >= 0);
    CHECK(vpoll_close(copy) == -1);
    close(copy);
  });
}

TEST_CASE("a child may close its copies, and its parent's fd goes on as before") {
  on_each_backend([](const std::string&) {
    VpollFd fd(EPOLLOUT);
    CHECK(exit_code_of_child([&] { return vpoll_close(fd.get()) == 0 ? 0 : 1; }) == 0);
    CHECK(shown_by_poll(fd.get()) == EPOLLOUT);
    REQUIRE(fd.set(EPOLLIN) == 0);
    CHECK(shown_by_poll(fd.get()) == EPOLLIN);
    REQUIRE(fd.set(0) == 0);
    CHECK(shown_by_poll(fd.get()) == 0);
  });
}

TEST_CASE("parent and child change one set of events: what one sets the other can take back") {
  on_each_backend([](const std::string&) {
    VpollFd fd;
    for (int i = 0; i < 3; i++) {
      CHECK(exit_code_of_child([&] { return fd.add(EPOLLIN) == 0 ? 0 : 1; }) == 0);
      CHECK(shown_by_poll(fd.get()) == EPOLLIN);
      REQUIRE(fd.del(EPOLLIN) == 0);
      CHECK(shown_by_poll(fd.get()) == 0);
    }
  });
}

TEST_CASE("a child goes on with its copy after the parent closed and made new ones") {
  on_each_backend([](const std::string&) {
    auto fd = std::make_unique<VpollFd>(EPOLLIN);
    int number = fd->get();
    int go[2];
    REQUIRE(pipe2(go, O_CLOEXEC) == 0);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      char byte;
      close(go[1]);
      bool right = read(go[0], &byte, 1) == 1;
      // The parent's new fds use the shared states that this one had.
      right &= shown_by_poll(number) == EPOLLIN;
      right &= vpoll_ctl(number, VPOLL_CTL_SETEVENTS, EPOLLOUT) == 0;
      right &= shown_by_poll(number) == EPOLLOUT;
      right &= vpoll_ctl(number, VPOLL_CTL_DELEVENTS, EPOLLOUT) == 0;
      right &= shown_by_poll(number) == 0 && vpoll_close(number) == 0;
      _exit(right ? 0 : 1);
    }
    fd->close();
    std::vector<VpollFd> fresh;
    for (int i = 0; i < 20; i++) fresh.emplace_back(EPOLLPRI);
    REQUIRE(write(go[1], "", 1) == 1);
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    for (VpollFd& each : fresh) {
      CHECK((shown_by_poll(each.get()) & EPOLLPRI) != 0);
      CHECK(each.set(0) == 0);
      CHECK(shown_by_poll(each.get()) == 0);
    }
    close(go[0]);
    close(go[1]);
  });
}

namespace {

/// A child that changes an fd of ours when it is told to.
class Helper {
 public:
  explicit Helper(int fd) {
    int asked[2];
    int told[2];
    REQUIRE((pipe2(asked, O_CLOEXEC) == 0 && pipe2(told, O_CLOEXEC) == 0));
    child_ = fork();
    REQUIRE(child_ >= 0);
    if (child_ == 0) {
      close(asked[1]);
      Order order{};
      while (read(asked[0], &order, sizeof order) == sizeof order) {
        uint32_t answer = kRefused;
        if (vpoll_ctl(fd, order.op, order.events) == 0) answer = shown_by_poll(fd);
        if (write(told[1], &answer, sizeof answer) != sizeof answer) break;
      }
      _exit(0);
    }
    close(asked[0]);
    close(told[1]);
    ask_ = asked[1];
    hear_ = told[0];
  }
  ~Helper() {
    close(ask_);
    close(hear_);
    kill(child_, SIGKILL);  // its brother may have a copy of ask_
    waitpid(child_, nullptr, 0);
  }
  Helper(const Helper&) = delete;
  Helper& operator=(const Helper&) = delete;

  /// What the fd shows after it.
  uint32_t change(int op, uint32_t events) {
    Order order{op, events};
    uint32_t answer = kRefused;
    REQUIRE(write(ask_, &order, sizeof order) == sizeof order);
    REQUIRE(read(hear_, &answer, sizeof answer) == sizeof answer);
    return answer;
  }

 private:
  static constexpr uint32_t kRefused = UINT32_MAX;
  struct Order {
    int op;
    uint32_t events;
  };
  pid_t child_ = -1;
  int ask_ = -1;
  int hear_ = -1;
};

}  // namespace

TEST_CASE("children go on with one set of events after their parent closed and made new ones") {
  on_each_backend([](const std::string&) {
    // Closing more than the 1,024 that the library lets rest makes it use the shared states anew.
    for (size_t crowd : {size_t{8}, size_t{1100}}) {
      CAPTURE(crowd);
      rlimit limit{};
      REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
      if (limit.rlim_cur < 3 * crowd + 100) continue;
      VpollFd bystander(EPOLLOUT);
      auto fd = std::make_unique<VpollFd>();
      std::vector<VpollFd> others;
      for (size_t i = 0; i < crowd; i++) others.emplace_back(0u);
      Helper one(fd->get());
      Helper two(fd->get());
      fd->close();
      others.clear();
      for (size_t i = 0; i < crowd + 1; i++) others.emplace_back(0u);

      for (int turn = 0; turn < 3; turn++) {
        CHECK(one.change(VPOLL_CTL_ADDEVENTS, EPOLLIN) == EPOLLIN);
        CHECK(two.change(VPOLL_CTL_ADDEVENTS, EPOLLIN) == EPOLLIN);
        CHECK(one.change(VPOLL_CTL_DELEVENTS, EPOLLIN) == 0);
        CHECK(two.change(VPOLL_CTL_ADDEVENTS, EPOLLIN) == EPOLLIN);
        CHECK(one.change(VPOLL_CTL_ADDEVENTS, EPOLLOUT) == (EPOLLIN | EPOLLOUT));
        CHECK(two.change(VPOLL_CTL_DELEVENTS, EPOLLIN) == EPOLLOUT);
        CHECK(one.change(VPOLL_CTL_SETEVENTS, 0) == 0);
      }
      CHECK(shown_by_poll(bystander.get()) == EPOLLOUT);
      for (VpollFd& each : others) REQUIRE(shown_by_poll(each.get()) == 0);
    }
  });
}

TEST_CASE("parent and child make fds of their own after a fork without meeting") {
  on_each_backend([](const std::string&) {
    { VpollFd leaves_a_free_state_to_both; }
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      bool right = true;
      for (int i = 0; i < 300; i++) {
        VpollFd fd(EPOLLIN);
        right &= fd.set(EPOLLOUT) == 0 && shown_by_poll(fd.get()) == EPOLLOUT;
      }
      _exit(right ? 0 : 1);
    }
    for (int i = 0; i < 300; i++) {
      VpollFd fd(EPOLLOUT);
      REQUIRE(fd.set(EPOLLIN) == 0);
      REQUIRE(shown_by_poll(fd.get()) == EPOLLIN);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(status == 0);
  });
}

TEST_CASE("a child that is killed at any moment leaves its parent's fd in order") {
  on_each_backend([](const std::string&) {
    VpollFd fd;
    for (int i = 0; i < 20; i++) {
      pid_t child = fork();
      REQUIRE(child >= 0);
      if (child == 0)
        for (;;) vpoll_ctl(fd.get(), VPOLL_CTL_SETEVENTS, rand() % 2 ? EPOLLIN : EPOLLOUT);
      usleep(static_cast<useconds_t>(1000 + 137 * i));
      kill(child, SIGKILL);
      REQUIRE(waitpid(child, nullptr, 0) == child);
      for (uint32_t events : {EPOLLIN, EPOLLOUT, EPOLLIN}) {
        REQUIRE(fd.set(events) == 0);
        REQUIRE(fd.set(0) == 0);
        REQUIRE(fd.set(events) == 0);
        REQUIRE(shown_by_poll(fd.get()) == events);
      }
    }
  });
}

namespace {

// Makes `count` fds, says so, waits until everybody has, and checks each one.
int hold_and_check(int count, int ready, int go) {
  std::vector<VpollFd> fds;
  fds.reserve(static_cast<size_t>(count));
  for (int i = 0; i < count; i++) fds.emplace_back(i % 2 == 0 ? EPOLLOUT : 0u);
  char byte = 0;
  if (write(ready, &byte, 1) != 1 || read(go, &byte, 1) != 0) return 2;
  for (size_t i = 0; i < fds.size(); i += 3)
    if (fds[i].add(EPOLLIN) != 0) return 3;
  for (size_t i = 0; i < fds.size(); i++) {
    uint32_t expected = (i % 2 == 0 ? EPOLLOUT : 0u) | (i % 3 == 0 ? EPOLLIN : 0u);
    if (shown_by_poll(fds[i].get()) != expected) return 4;
  }
  return 0;
}

}  // namespace

// A socket pair keeps three numbers a vpoll fd (the others two), so one process holds as many as a
// third of its limit; where that is less than 10,000, several share them.
TEST_CASE("10,000 fds at once each show their own events") {
  constexpr int kCount = 10'000;
  rlimit limit{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  rlimit raised{limit.rlim_max, limit.rlim_max};
  REQUIRE(setrlimit(RLIMIT_NOFILE, &raised) == 0);
  int share = kCount;
  if (raised.rlim_cur < 3 * kCount + 64) share = static_cast<int>(raised.rlim_cur - 64) / 3;
  REQUIRE_MESSAGE(share >= 300, "ulimit -Hn leaves room for ", share, " vpoll fds only");

  on_each_backend([&](const std::string&) {
    int ready[2];
    int go[2];
    REQUIRE((pipe2(ready, O_CLOEXEC) == 0 && pipe2(go, O_CLOEXEC) == 0));
    std::vector<pid_t> children;
    for (int left = kCount; left > 0; left -= share) {
      pid_t child = fork();
      REQUIRE(child >= 0);
      if (child == 0) {
        close(go[1]);
        close(ready[0]);
        _exit(hold_and_check(std::min(left, share), ready[1], go[0]));
      }
      children.push_back(child);
    }
    MESSAGE(children.size(), " process(es) hold them");
    close(ready[1]);
    char byte;
    for (size_t i = 0; i < children.size(); i++) CHECK(read(ready[0], &byte, 1) == 1);
    close(go[1]);
    for (pid_t child : children) {
      int status = 0;
      REQUIRE(waitpid(child, &status, 0) == child);
      CHECK(status == 0);
    }
    close(go[0]);
    close(ready[0]);
  });
  setrlimit(RLIMIT_NOFILE, &limit);
}
