// SPDX-License-Identifier: MIT
// The memory that one stack may hold in its queues.
#pragma once

#include <cstddef>

namespace vpollnet {

/// Counts bytes against a limit. Each queue charges what it keeps (with an allowance for its
/// bookkeeping) and gives back what it lets go, so that `used` is 0 when all is closed.
class Budget {
 public:
  explicit Budget(std::size_t limit) : limit_(limit) {}
  /// False, and nothing charged, if the limit would be passed.
  bool charge(std::size_t bytes) {
    if (bytes > limit_ - used_) return false;
    used_ += bytes;
    return true;
  }
  void release(std::size_t bytes) { used_ -= bytes; }
  std::size_t used() const { return used_; }
  std::size_t limit() const { return limit_; }
  /// True from three quarters on: time to stop growing windows.
  bool pressed() const { return used_ > limit_ - limit_ / 4; }

 private:
  std::size_t limit_;
  std::size_t used_ = 0;
};

}  // namespace vpollnet
