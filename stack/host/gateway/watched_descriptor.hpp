// SPDX-License-Identifier: MIT
#pragma once

#include <sys/epoll.h>

#include <memory>

#include "host/pump.hpp"
#include "host/sockets/bsd_calls.hpp"

namespace vpollnet::host {

/// A descriptor of some BSD calls that the pump watches, closed with the object.
class WatchedDescriptor {
 public:
  static constexpr std::uint32_t kEdges = EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET;

  /// Takes over `fd`. `source` must outlive it.
  WatchedDescriptor(std::shared_ptr<const BsdCalls> calls, int fd, Pump& pump)
      : calls_(std::move(calls)), fd_(fd), pump_(pump) {}
  ~WatchedDescriptor() {
    if (watched_) pump_.unwatch(id_, fd_);
    calls_->close(fd_);
  }
  WatchedDescriptor(const WatchedDescriptor&) = delete;
  WatchedDescriptor& operator=(const WatchedDescriptor&) = delete;

  /// ENOSPC, ENOMEM.
  Errno watch(PumpSource& source, std::uint32_t events) {
    const auto id = pump_.watch(source, fd_, events);
    if (!id) return id.error();
    id_ = *id;
    watched_ = true;
    return Errno::ok;
  }
  void change(std::uint32_t events) { pump_.change(id_, fd_, events); }

  int fd() const { return fd_; }
  const BsdCalls& calls() const { return *calls_; }
  Pump& pump() const { return pump_; }

 private:
  std::shared_ptr<const BsdCalls> calls_;
  int fd_;
  Pump& pump_;
  Pump::SourceId id_ = 0;
  bool watched_ = false;
};

}  // namespace vpollnet::host
