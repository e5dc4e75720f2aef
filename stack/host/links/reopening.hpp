// SPDX-License-Identifier: MIT
// A device that died is opened anew. Opening may take as long as it likes, so that it is done by a
// thread of its own, without the pump's lock.
#pragma once

#include <functional>
#include <memory>
#include <mutex>

#include "host/failure.hpp"
#include "host/links/device.hpp"

namespace vpollnet::host {

/// Opens a device. Null, and the failure filled in, if that is not possible. Called by any thread,
/// perhaps after the link is gone: it owns all that it needs.
using OpenDevice = std::function<std::unique_ptr<Device>(Failure&)>;

/// One attempt, shared by a link and the thread that makes it. The thread ends with the attempt and
/// touches nothing but what is in here, so that a link may go at any time, and its pump too.
class Reopening {
 public:
  /// How many threads of a process open devices at a time.
  static constexpr int kAtOnce = 16;

  /// Calls `open` on another thread. Null if there is no descriptor or thread to be had now.
  static std::shared_ptr<Reopening> start(OpenDevice open);
  ~Reopening();
  Reopening(const Reopening&) = delete;
  Reopening& operator=(const Reopening&) = delete;

  /// Readable when the attempt is over. Closed by abandon().
  int fd() const { return fd_; }
  /// Once fd() is readable: the device, or null if the attempt failed.
  std::unique_ptr<Device> take();
  /// Nobody waits any more: what is opened nevertheless is closed at once, by the thread.
  void abandon();

 private:
  explicit Reopening(int fd) : fd_(fd) {}
  void finish(std::unique_ptr<Device>&& device);

  std::mutex mutex_;
  int fd_;  ///< an eventfd; -1 once abandoned
  std::unique_ptr<Device> device_;
};

}  // namespace vpollnet::host
