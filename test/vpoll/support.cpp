// SPDX-License-Identifier: MIT
#include "support.hpp"

#include <cstdio>
#include <dirent.h>

namespace vpoll_test {

namespace {

// Prints a line a back end, for whoever runs the tests (fuse_test.cpp runs parts of itself).
std::vector<std::string> find_backends() {
  std::vector<std::string> found;
  // The tests ask for many; 1024, the usual start, also leaves no room above FD_SETSIZE.
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  const bool prints = std::getenv("VPOLL_TEST_SUBJECT") == nullptr;
  const char* only = std::getenv("VPOLL_BACKEND");
  for (const char* name : kBackendNames) {
    if (only != nullptr && *only != '\0' && std::strcmp(only, name) != 0) continue;
    Backend forced(name);
    int fd = vpoll_create(0, FD_CLOEXEC);
    if (fd < 0) {
      if (prints) std::printf("[backend] %s cannot be had here: %s\n", name, vpoll_error());
      continue;
    }
    uint32_t exact = static_cast<uint32_t>(vpoll_exact(fd)) & kAllSix;
    if (prints) std::printf("[backend] %s exact: %s\n", name, names_of(exact).c_str());
    found.emplace_back(name);
    vpoll_close(fd);
  }
  std::fflush(stdout);
  return found;
}

// Before the first test: a test may set VPOLL_BACKEND, or fork.
const std::vector<std::string> found_at_start = find_backends();

}  // namespace

const std::vector<std::string>& available_backends() { return found_at_start; }

std::string names_of(uint32_t events) {
  static const std::pair<uint32_t, const char*> kNames[] = {
      {EPOLLIN, "IN"},       {EPOLLOUT, "OUT"}, {EPOLLPRI, "PRI"},
      {EPOLLRDHUP, "RDHUP"}, {EPOLLHUP, "HUP"}, {EPOLLERR, "ERR"}};
  std::string text;
  for (const auto& [bit, name] : kNames)
    if ((events & bit) != 0) text += (text.empty() ? "" : " ") + std::string(name);
  return text;
}

uint32_t shown_by_poll(int fd) {
  pollfd shown{fd, POLLIN | POLLOUT | POLLPRI | POLLRDHUP, 0};
  REQUIRE(poll(&shown, 1, 0) >= 0);
  return static_cast<uint16_t>(shown.revents);
}

uint32_t shown_by_epoll(int fd) {
  int set = epoll_create1(EPOLL_CLOEXEC);
  REQUIRE(set >= 0);
  epoll_event event{};
  event.events = kAllSix;
  REQUIRE(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0);
  epoll_event got{};
  int count = epoll_wait(set, &got, 1, 0);
  close(set);
  return count == 1 ? got.events : 0;
}

SelectSets shown_by_select(int fd) {
  REQUIRE(fd < FD_SETSIZE);
  fd_set read;
  fd_set write;
  fd_set except;
  for (fd_set* each : {&read, &write, &except}) {
    FD_ZERO(each);
    FD_SET(fd, each);
  }
  timeval at_once{0, 0};
  REQUIRE(select(fd + 1, &read, &write, &except, &at_once) >= 0);
  return {FD_ISSET(fd, &read) != 0, FD_ISSET(fd, &write) != 0, FD_ISSET(fd, &except) != 0};
}

uint32_t exact_events(const std::string& backend) {
  return backend == "socketpair" ? EPOLLIN | EPOLLOUT : kAllSix;
}

std::vector<int> open_fds() {
  std::vector<int> found;
  DIR* folder = opendir("/proc/self/fd");
  REQUIRE(folder != nullptr);
  while (dirent* entry = readdir(folder)) {
    int fd = std::atoi(entry->d_name);
    if (entry->d_name[0] != '.' && fd != dirfd(folder)) found.push_back(fd);
  }
  closedir(folder);
  return found;
}

void Model::set(uint32_t mask) {
  mask_ = mask;
  bool could_send = !ended_ && !hung_up_;
  urgent_ = (mask & EPOLLPRI) != 0 && (urgent_ || could_send);
  if ((mask & EPOLLRDHUP) != 0) ended_ = true;
  if ((mask & (EPOLLHUP | EPOLLERR)) != 0) hung_up_ = true;
  if ((mask & EPOLLERR) != 0) peer_gone_ = true;
  if (peer_gone_ && (mask & EPOLLERR) == 0) error_read_ = true;
}

uint32_t Model::shown() const {
  if (exact_) return mask_;
  uint32_t shown = mask_ & (EPOLLIN | EPOLLOUT);
  if (urgent_) shown |= EPOLLIN | EPOLLPRI;
  if (ended_ || hung_up_) shown |= EPOLLIN | EPOLLRDHUP;
  if (hung_up_) shown |= EPOLLHUP;
  if (peer_gone_) shown |= EPOLLOUT;
  if (peer_gone_ && !error_read_) shown |= EPOLLERR;
  return shown;
}

}  // namespace vpoll_test
