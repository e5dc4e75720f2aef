// SPDX-License-Identifier: MIT
#include "host/readiness.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

#include "vpoll/vpoll.h"

namespace vpollnet::host {
namespace {

/// All vpoll descriptors of the process's sockets. The mutex is also held over each call to vpoll:
/// a number that the user has closed, and that serves another socket by now, must not be told
/// about the old one (ours know from the table; other users of vpoll are on their own).
struct Table {
  std::mutex mutex;
  std::vector<Readiness*> by_fd;
};

Table& table() {
  // Never destroyed: sockets may be closed by destructors of static objects.
  static Table* const the_table = new Table;
  return *the_table;
}

/// With the names that poll(2) has for the same: what tcp_poll() of Linux returns together.
std::uint32_t with_aliases(std::uint32_t mask) {
  if ((mask & socket::kIn) != 0) mask |= EPOLLRDNORM;
  if ((mask & socket::kOut) != 0) mask |= EPOLLWRNORM;
  return mask;
}

/// What to show of `mask` on a back end that cannot take back HUP and ERR (AF_UNIX). They are shown
/// when a connection is over, which HUP and RDHUP together say. HUP alone is a socket that was
/// never connected, and may be. ERR alone is an error that reading it clears (of a datagram
/// socket): it shows as IN and OUT, so that whoever waits for either comes and gets it.
std::uint32_t without_passing_ends(std::uint32_t mask) {
  constexpr std::uint32_t kOver = socket::kHup | socket::kRdHup;
  if ((mask & kOver) == kOver) return mask;
  if ((mask & socket::kErr) != 0) mask |= socket::kIn | socket::kOut;
  return mask & ~std::uint32_t{socket::kHup | socket::kErr};
}

thread_local std::string the_fd_error;

bool can_take_back_all(int fd) { return (vpoll_exact(fd) & EPOLLHUP) != 0; }

/// vpoll_ctl or vpoll_create, by `call`, with what the back end can show of `mask`.
template <class Call>
int with_fallback(std::uint32_t mask, Call call) {
  const int result = call(mask);
  // Only PRI is ever missing: AF_UNIX without MSG_OOB.
  if (result >= 0 || errno != EOPNOTSUPP || (mask & socket::kPri) == 0) return result;
  return call(mask & ~std::uint32_t{socket::kPri});
}

}  // namespace

Watcher::~Watcher() {
  if (fd_ != kNone) ::close(fd_);
}

Result<int> Watcher::open() {
  if (fd_ == kNone) {
    const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) return Errno(errno);
    fd_ = fd;
  }
  return fd_;
}

void Watcher::wake() {
  if (!raised_.exchange(true)) eventfd_write(fd_, 1);
}

void Watcher::clear() {
  eventfd_t count = 0;
  eventfd_read(fd_, &count);
  raised_ = false;
}

std::uint32_t Readiness::matching(std::uint32_t events) const {
  return with_aliases(mask()) & (events | POLLERR | POLLHUP | POLLNVAL);
}

bool Readiness::set(std::uint32_t mask) {
  const std::uint32_t old = mask_.load(std::memory_order_relaxed);
  if (old == mask || (old & kInvalid) != 0) return false;
  // Sequentially consistent, as is waited_for_: either we see the waiter, or it sees the mask.
  mask_.store(mask);
  if (fd_.load(std::memory_order_relaxed) >= 0) push(mask);
  return waited_for_.load();
}

void Readiness::push(std::uint32_t mask) {
  Table& all = table();
  const std::lock_guard guard(all.mutex);
  const int fd = fd_.load(std::memory_order_relaxed);
  if (fd < 0) return;
  with_fallback(exact_ ? mask : without_passing_ends(mask),
                [fd](std::uint32_t events) { return vpoll_ctl(fd, VPOLL_CTL_SETEVENTS, events); });
}

void Readiness::wake() {
  const std::lock_guard guard(waiters_mutex_);
  const std::uint32_t found = with_aliases(mask());
  for (Waiter* waiter = waiters_; waiter != nullptr; waiter = waiter->next) {
    if ((found & (waiter->events | POLLERR | POLLHUP | POLLNVAL)) != 0) waiter->watcher->wake();
  }
}

std::string fd_error() { return the_fd_error; }

void set_fd_error(std::string text) { the_fd_error = std::move(text); }

Result<int> Readiness::fd() {
  const int known = fd_.load(std::memory_order_relaxed);
  if (known >= 0) return known;
  const std::uint32_t mask = mask_.load(std::memory_order_relaxed);
  if (known == kLostFd || (mask & kInvalid) != 0) return Errno::bad_descriptor;
  Table& all = table();
  const std::lock_guard guard(all.mutex);
  // Which back end it will be is known only afterwards: begin with what each can take back.
  const int fd = with_fallback(without_passing_ends(mask), [](std::uint32_t events) {
    return vpoll_create(events, FD_CLOEXEC);
  });
  if (fd < 0) {
    const int error = errno;
    set_fd_error(vpoll_error());
    return Errno(error);
  }
  exact_ = can_take_back_all(fd);
  if (exact_) {
    with_fallback(
        mask, [fd](std::uint32_t events) { return vpoll_ctl(fd, VPOLL_CTL_SETEVENTS, events); });
  }
  enter(fd);
  return fd;
}

/// With the table's lock held.
void Readiness::enter(int fd) {
  std::vector<Readiness*>& by_fd = table().by_fd;
  const auto place = static_cast<std::size_t>(fd);
  if (place >= by_fd.size()) by_fd.resize(place + 64);
  // The number is new, so its last owner's descriptor was closed by somebody who did not own it.
  if (by_fd[place] != nullptr) by_fd[place]->fd_ = kLostFd;
  by_fd[place] = this;
  fd_ = fd;
}

void Readiness::adopt(int fd) {
  const std::lock_guard guard(table().mutex);
  adopted_ = true;
  enter(fd);
}

void Readiness::close() { release(); }

int Readiness::release() {
  if ((mask_.load(std::memory_order_relaxed) & kInvalid) != 0) return kNoFd;
  mask_.store(kInvalid);
  int fd = kNoFd;
  if (fd_.load(std::memory_order_relaxed) != kNoFd) {
    Table& all = table();
    const std::lock_guard guard(all.mutex);
    fd = fd_.exchange(kNoFd);
    if (fd >= 0) {
      all.by_fd[static_cast<std::size_t>(fd)] = nullptr;
      if (!adopted_) vpoll_close(fd);
    }
  }
  if (waited_for_.load()) wake();
  return fd;
}

void Readiness::add(Waiter& waiter) {
  const std::lock_guard guard(waiters_mutex_);
  waiter.previous = nullptr;
  waiter.next = waiters_;
  if (waiters_ != nullptr) waiters_->previous = &waiter;
  waiters_ = &waiter;
  waited_for_ = true;
}

void Readiness::remove(Waiter& waiter) {
  const std::lock_guard guard(waiters_mutex_);
  (waiter.previous == nullptr ? waiters_ : waiter.previous->next) = waiter.next;
  if (waiter.next != nullptr) waiter.next->previous = waiter.previous;
  if (waiters_ == nullptr) waited_for_ = false;
}

Readiness::Lookup::Lookup() : lock_(table().mutex) {}

Readiness* Readiness::Lookup::find(int fd) const {
  const std::vector<Readiness*>& by_fd = table().by_fd;
  const auto place = static_cast<std::size_t>(fd);
  return fd >= 0 && place < by_fd.size() ? by_fd[place] : nullptr;
}

}  // namespace vpollnet::host
