// SPDX-License-Identifier: MIT
// vpoll_ctl_many: one call, any number of fds.
#include "support.hpp"

#include <algorithm>
#include <thread>

using namespace vpoll_test;

namespace {

/// As many fds as the limit leaves room for, at most `wished`.
std::vector<VpollFd> make_fds(size_t wished) {
  rlimit limit{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  size_t room = (static_cast<size_t>(limit.rlim_cur) - open_fds().size() - 16) / 3;
  std::vector<VpollFd> fds;
  for (size_t i = 0; i < std::min(wished, room); i++) fds.emplace_back(0u);
  return fds;
}

}  // namespace

TEST_CASE("one call changes many fds, each as vpoll_ctl would") {
  on_each_backend([](const std::string&) {
    std::vector<VpollFd> fds = make_fds(1500);
    std::vector<vpoll_change> changes;
    for (size_t i = 0; i < fds.size(); i++)
      changes.push_back({fds[i].get(), VPOLL_CTL_SETEVENTS, i % 3 == 0 ? EPOLLIN : EPOLLOUT, -1});
    REQUIRE(vpoll_ctl_many(changes.data(), changes.size()) == 0);
    for (size_t i = 0; i < fds.size(); i++) {
      CHECK(changes[i].error == 0);
      REQUIRE(shown_by_poll(fds[i].get()) == changes[i].events);
    }
    for (vpoll_change& each : changes) each = {each.fd, VPOLL_CTL_DELEVENTS, EPOLLIN, -1};
    REQUIRE(vpoll_ctl_many(changes.data(), changes.size()) == 0);
    for (size_t i = 0; i < fds.size(); i++)
      REQUIRE(shown_by_poll(fds[i].get()) == (i % 3 == 0 ? 0u : EPOLLOUT));
  });
}

TEST_CASE("one fd may be changed several times by one call, in order") {
  on_each_backend([](const std::string&) {
    VpollFd fd;
    vpoll_change changes[] = {{fd.get(), VPOLL_CTL_ADDEVENTS, EPOLLIN | EPOLLOUT, 0},
                              {fd.get(), VPOLL_CTL_DELEVENTS, EPOLLIN, 0},
                              {fd.get(), VPOLL_CTL_ADDEVENTS, EPOLLIN, 0},
                              {fd.get(), VPOLL_CTL_DELEVENTS, EPOLLOUT, 0}};
    REQUIRE(vpoll_ctl_many(changes, 4) == 0);
    CHECK(shown_by_poll(fd.get()) == EPOLLIN);
  });
}

TEST_CASE("changes that fail say so and keep no other back") {
  on_each_backend([](const std::string& backend) {
    VpollFd first;
    VpollFd last;
    int pipe_ends[2];
    REQUIRE(pipe2(pipe_ends, O_CLOEXEC) == 0);
    vpoll_change changes[] = {{first.get(), VPOLL_CTL_ADDEVENTS, EPOLLIN, -1},
                              {pipe_ends[0], VPOLL_CTL_ADDEVENTS, EPOLLIN, -1},
                              {-1, VPOLL_CTL_ADDEVENTS, EPOLLIN, -1},
                              {first.get(), 7, EPOLLOUT, -1},
                              {first.get(), VPOLL_CTL_SETEVENTS, EPOLLET, -1},
                              {first.get(), VPOLL_CTL_ADDEVENTS, EPOLLMSG, -1},
                              {last.get(), VPOLL_CTL_ADDEVENTS, EPOLLOUT, -1}};
    CHECK(vpoll_ctl_many(changes, std::size(changes)) == -1);
    CHECK(errno == EBADF);
    const int cannot_show = backend == "socketpair" ? EOPNOTSUPP : 0;
    const int expected[] = {0, EBADF, EBADF, EINVAL, EINVAL, cannot_show, 0};
    for (size_t i = 0; i < std::size(changes); i++) {
      CAPTURE(i);
      CHECK(changes[i].error == expected[i]);
    }
    CHECK(shown_by_poll(first.get()) == EPOLLIN);
    CHECK(shown_by_poll(last.get()) == EPOLLOUT);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
  });
}

TEST_CASE("no changes are no failure, and changes at NULL are EINVAL") {
  CHECK(vpoll_ctl_many(nullptr, 0) == 0);
  CHECK(vpoll_ctl_many(nullptr, 3) == -1);
  CHECK(errno == EINVAL);
}

TEST_CASE("all that wait for any of the fds are woken by one call") {
  on_each_backend([](const std::string&) {
    std::vector<VpollFd> fds = make_fds(1200);
    int set = epoll_create1(EPOLL_CLOEXEC);
    std::vector<vpoll_change> changes;
    for (VpollFd& fd : fds) {
      epoll_event event{};
      event.events = EPOLLIN | EPOLLET;
      event.data.fd = fd.get();
      REQUIRE(epoll_ctl(set, EPOLL_CTL_ADD, fd.get(), &event) == 0);
      changes.push_back({fd.get(), VPOLL_CTL_ADDEVENTS, EPOLLIN, 0});
    }
    for (int round = 0; round < 3; round++) {
      size_t seen = 0;
      std::thread waiter([&] {
        epoll_event got[64];
        while (seen < fds.size()) {
          int count = epoll_wait(set, got, 64, 10'000);
          if (count <= 0) break;
          seen += static_cast<size_t>(count);
        }
      });
      pollfd one{fds.back().get(), POLLIN, 0};
      std::thread poller([&] { poll(&one, 1, 10'000); });
      CHECK(vpoll_ctl_many(changes.data(), changes.size()) == 0);
      waiter.join();
      poller.join();
      CHECK(seen == fds.size());
      CHECK(one.revents == POLLIN);
      for (VpollFd& fd : fds) REQUIRE(fd.set(0) == 0);
    }
    close(set);
  });
}
