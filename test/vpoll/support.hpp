// SPDX-License-Identifier: MIT
// What the vpoll tests share: the back ends that work here, and what an fd shows to each waiter.
#pragma once

#include <doctest/doctest.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <string>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "vpoll/vpoll.h"

namespace vpoll_test {

inline constexpr uint32_t kAllSix =
    EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR;

/// Sets an environment variable for its lifetime, or takes it away (value NULL).
class Environment {
 public:
  Environment(const char* name, const char* value) : name_(name) {
    const char* before = std::getenv(name);
    had_ = before != nullptr;
    if (had_) before_ = before;
    if (value != nullptr)
      setenv(name, value, 1);
    else
      unsetenv(name);
  }
  ~Environment() {
    if (had_)
      setenv(name_, before_.c_str(), 1);
    else
      unsetenv(name_);
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  const char* name_;
  bool had_;
  std::string before_;
};

/// Forces a back end for its lifetime.
class Backend : public Environment {
 public:
  explicit Backend(const char* name) : Environment("VPOLL_BACKEND", name) {}
};

/// All names that VPOLL_BACKEND can have, in the library's order.
inline constexpr const char* kBackendNames[] = {"table", "eventfd", "dev", "socketpair", "fuse"};

/// The back ends that the tests use: the one that VPOLL_BACKEND names as the program starts, else
/// all that can be had here.
const std::vector<std::string>& available_backends();

/// Runs `body` once for each back end that this kernel has, with that one forced.
template <class Body>
void on_each_backend(Body body) {
  for (const std::string& name : available_backends()) {
    CAPTURE(name);
    Backend forced(name.c_str());
    body(name);
  }
}

/// A vpoll fd, closed with the scope.
class VpollFd {
 public:
  explicit VpollFd(uint32_t events = 0, int flags = FD_CLOEXEC) : fd_(vpoll_create(events, flags)) {
    REQUIRE_MESSAGE(fd_ >= 0, "vpoll_create: ", std::strerror(errno));
  }
  ~VpollFd() { close(); }
  VpollFd(VpollFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  VpollFd(const VpollFd&) = delete;
  VpollFd& operator=(const VpollFd&) = delete;
  VpollFd& operator=(VpollFd&&) = delete;

  int get() const { return fd_; }
  int add(uint32_t events) { return vpoll_ctl(fd_, VPOLL_CTL_ADDEVENTS, events); }
  int del(uint32_t events) { return vpoll_ctl(fd_, VPOLL_CTL_DELEVENTS, events); }
  int set(uint32_t events) { return vpoll_ctl(fd_, VPOLL_CTL_SETEVENTS, events); }
  void close() {
    if (fd_ >= 0) vpoll_close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
};

/// What fd shows at this moment, as EPOLL bits out of kAllSix.
uint32_t shown_by_poll(int fd);
uint32_t shown_by_epoll(int fd);

struct SelectSets {
  bool read;
  bool write;
  bool except;
};
SelectSets shown_by_select(int fd);

/// The events that the back end shows exactly and can take back.
uint32_t exact_events(const std::string& backend);

/// "IN OUT PRI" for the bits of kAllSix.
std::string names_of(uint32_t events);

/// Open descriptors of this process.
std::vector<int> open_fds();

/// What the library's contract says that an fd shows, for each back end (README.md's table).
class Model {
 public:
  explicit Model(std::string backend) : exact_(backend != "socketpair") {}
  void set(uint32_t mask);
  uint32_t mask() const { return mask_; }
  uint32_t shown() const;

 private:
  bool exact_;
  uint32_t mask_ = 0;
  bool urgent_ = false;
  bool ended_ = false;
  bool hung_up_ = false;
  bool peer_gone_ = false;
  bool error_read_ = false;
};

/// Runs `body` in a forked child and gives its wait status. `body` returns the exit code.
template <class Body>
int status_of_child(Body body) {
  pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) _exit(body());
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return status;
}

template <class Body>
int exit_code_of_child(Body body) {
  int status = status_of_child(body);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace vpoll_test
