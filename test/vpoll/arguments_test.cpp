// SPDX-License-Identifier: MIT
// Wrong arguments: the documented errno, and nothing changed.
#include "support.hpp"

using namespace vpoll_test;

namespace {

int errno_of(int result) { return result == -1 ? errno : 0; }

int create_errno(uint32_t events, int flags) {
  int fd = vpoll_create(events, flags);
  int error = errno_of(fd);
  if (fd >= 0) vpoll_close(fd);
  return error;
}

}  // namespace

TEST_CASE("the operations have libvpoll's numbers") {
  CHECK(VPOLL_CTL_ADDEVENTS == 1);
  CHECK(VPOLL_CTL_DELEVENTS == 2);
  CHECK(VPOLL_CTL_SETEVENTS == 3);
}

TEST_CASE("an fd that is none, closed, or of another kind gives EBADF") {
  int other[2];
  REQUIRE(pipe2(other, O_CLOEXEC) == 0);
  int closed = vpoll_create(0, 0);
  REQUIRE(vpoll_close(closed) == 0);
  for (int fd : {-1, -1000, INT32_MAX, INT32_MIN, 5'000'000, closed, other[0], 0}) {
    CAPTURE(fd);
    CHECK(errno_of(vpoll_ctl(fd, VPOLL_CTL_SETEVENTS, EPOLLIN)) == EBADF);
    CHECK(errno_of(vpoll_close(fd)) == EBADF);
    errno = 0;
    CHECK(vpoll_backend(fd) == nullptr);
    CHECK(errno == EBADF);
    CHECK(errno_of(vpoll_exact(fd)) == EBADF);
  }
  CHECK(fcntl(other[0], F_GETFD) >= 0);
  close(other[0]);
  close(other[1]);
}

TEST_CASE("an unknown operation gives EINVAL and changes nothing") {
  on_each_backend([](const std::string&) {
    VpollFd fd(EPOLLOUT);
    for (int op : {0, 4, -1, INT32_MAX}) {
      CHECK(errno_of(vpoll_ctl(fd.get(), op, EPOLLIN)) == EINVAL);
      CHECK(shown_by_poll(fd.get()) == EPOLLOUT);
    }
  });
}

TEST_CASE("K04: a bit that is no event gives EINVAL and changes nothing") {
  on_each_backend([](const std::string&) {
    VpollFd fd(EPOLLOUT);
    const uint32_t no_events[] = {EPOLLET,        EPOLLONESHOT, EPOLLEXCLUSIVE, EPOLLWAKEUP,
                                  uint32_t{0x20}, 0x800,        0x10000,        UINT32_MAX};
    for (uint32_t bits : no_events) {
      CAPTURE(bits);
      for (int op : {VPOLL_CTL_ADDEVENTS, VPOLL_CTL_DELEVENTS, VPOLL_CTL_SETEVENTS})
        CHECK(errno_of(vpoll_ctl(fd.get(), op, bits | EPOLLIN)) == EINVAL);
      CHECK(shown_by_poll(fd.get()) == EPOLLOUT);
      CHECK(create_errno(bits | EPOLLIN, 0) == EINVAL);
    }
    REQUIRE(fd.add(EPOLLIN) == 0);
    CHECK(shown_by_poll(fd.get()) == (EPOLLIN | EPOLLOUT));
  });
}

TEST_CASE("an event that the back end cannot show gives EOPNOTSUPP, and can be taken back") {
  on_each_backend([](const std::string& backend) {
    for (uint32_t bit : {EPOLLMSG, EPOLLRDBAND}) {
      VpollFd fd(EPOLLOUT);
      int expected = backend == "socketpair" ? EOPNOTSUPP : 0;
      CHECK(errno_of(fd.add(bit | EPOLLIN)) == expected);
      CHECK(shown_by_poll(fd.get()) == (expected == 0 ? EPOLLIN | EPOLLOUT : EPOLLOUT));
      CHECK(create_errno(bit, 0) == expected);
      CHECK(fd.del(bit) == 0);
    }
  });
}

TEST_CASE("unknown flags give EINVAL") {
  on_each_backend([](const std::string&) {
    for (int flags : {2, 4, -1, O_CLOEXEC, O_NONBLOCK | FD_CLOEXEC, VPOLL_EXACT << 1}) {
      CAPTURE(flags);
      CHECK(create_errno(0, flags) == EINVAL);
    }
  });
}

TEST_CASE("FD_CLOEXEC is the caller's choice, and the library's own fds always have it") {
  on_each_backend([](const std::string&) {
    std::vector<int> before = open_fds();
    VpollFd with(0, FD_CLOEXEC);
    VpollFd without(0, 0);
    CHECK(fcntl(with.get(), F_GETFD) == FD_CLOEXEC);
    CHECK(fcntl(without.get(), F_GETFD) == 0);
    for (int fd : open_fds()) {
      bool is_new = true;
      for (int old : before) is_new &= old != fd;
      if (is_new && fd != without.get()) CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
    }
  });
}

TEST_CASE("with no fd left vpoll_create says EMFILE, leaks nothing, and works again later") {
  on_each_backend([](const std::string&) {
    size_t before = open_fds().size();
    rlimit normal{};
    REQUIRE(getrlimit(RLIMIT_NOFILE, &normal) == 0);
    int lowest = dup(0);
    close(lowest);
    for (int room = 0; room <= 4; room++) {
      CAPTURE(room);
      rlimit tight = normal;
      tight.rlim_cur = static_cast<rlim_t>(lowest + room);
      REQUIRE(setrlimit(RLIMIT_NOFILE, &tight) == 0);
      int error = create_errno(EPOLLOUT, 0);
      REQUIRE(setrlimit(RLIMIT_NOFILE, &normal) == 0);
      CHECK((error == EMFILE || (error == 0 && room >= 2)));
      if (room == 4) CHECK(error == 0);
      CHECK(open_fds().size() == before);
    }
  });
}
