// SPDX-License-Identifier: MIT
// PollWatch: the same entries as poll(), behind one descriptor for an event loop.
#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>

#include "host/poll.hpp"
#include "host/poll_set.hpp"

namespace vpollnet::host {
namespace {

/// What poll(2) says of a file that has no poll method (DEFAULT_POLLMASK of Linux).
constexpr std::uint32_t kAlways = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;

class PollWatchImplementation final : public PollWatch {
 public:
  ~PollWatchImplementation() override {
    set_.clear();  // before the watcher that it is subscribed for
    if (epoll_fd_ >= 0) ::close(epoll_fd_);
  }

  Errno start(std::span<const PollEntry> entries) {
    entries_.assign(entries.begin(), entries.end());
    set_.assign(entries);
    epoll_fd_ = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd_ < 0) return Errno(errno);
    const Result<int> waker = watcher_.open();
    if (!waker) return waker.error();
    Errno error = add(*waker, EPOLLIN);
    for (const pollfd& file : set_.foreign()) {
      if (error == Errno::ok) error = add(file.fd, static_cast<unsigned short>(file.events));
    }
    if (error != Errno::ok) return error;
    set_.subscribe(watcher_);
    const Result<int> found = collect(entries_);
    ready_ = found && *found > 0;
    return found.error();
  }

  int fd() const override { return epoll_fd_; }
  bool ready() const override { return ready_; }

  Result<int> collect(std::span<PollEntry> entries) override {
    if (entries.size() != entries_.size()) return Errno::invalid;
    // The eventfd stays readable as long as something is ready that epoll does not show.
    if (!shown_by_us()) watcher_.clear();
    if (shown_by_us()) watcher_.wake();
    return set_.look(entries);
  }

 private:
  bool shown_by_us() const { return always_ready_ || set_.own_is_ready(); }

  Errno add(int fd, std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    if (epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) == 0) return Errno::ok;
    switch (errno) {
    case EEXIST:  // in the list twice: one registration for both
      for (const pollfd& file : set_.foreign()) {
        if (file.fd == fd) event.events |= static_cast<unsigned short>(file.events);
      }
      return epoll_ctl(epoll_fd_, EPOLL_CTL_MOD, fd, &event) == 0 ? Errno::ok : Errno(errno);
    case EPERM:  // a regular file
      if ((events & kAlways) != 0) always_ready_ = true;
      return Errno::ok;
    case EBADF:  // POLLNVAL
      always_ready_ = true;
      return Errno::ok;
    default: return Errno(errno);
    }
  }

  int epoll_fd_ = -1;
  bool always_ready_ = false;
  bool ready_ = false;
  std::vector<PollEntry> entries_;
  Watcher watcher_;
  PollSet set_;
};

}  // namespace

Result<std::unique_ptr<PollWatch>> PollWatch::open(std::span<const PollEntry> entries) {
  auto watch = std::make_unique<PollWatchImplementation>();
  const Errno error = watch->start(entries);
  if (error != Errno::ok) return error;
  return std::unique_ptr<PollWatch>(std::move(watch));
}

}  // namespace vpollnet::host
