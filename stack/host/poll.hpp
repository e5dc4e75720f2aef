// SPDX-License-Identifier: MIT
// poll(2) over any descriptors, exact for the stacks' own sockets on every vpoll back end: for
// those the stack is asked, for the others the kernel.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "util/result.hpp"

namespace vpollnet::host {

/// poll(2)'s struct, with room for POLLRDHUP.
struct PollEntry {
  int fd = -1;                 ///< negative: left out, `returned` is 0
  std::uint32_t events = 0;    ///< POLL* bits asked for
  std::uint32_t returned = 0;  ///< POLL* bits found; POLLERR, POLLHUP and POLLNVAL unasked
};

/// Waits until an entry has something, or `timeout_ms` is over (-1: no limit, 0: look only).
/// Returns how many entries have something. EINTR is reported, not hidden: Errno(EINTR).
Result<int> poll(std::span<PollEntry> entries, int timeout_ms);

/// A wait that blocks nobody: descriptors to watch in one epoll set whose own descriptor becomes
/// readable when poll() over the same entries would return at once. For event loops.
class PollWatch {
 public:
  /// Errors as poll(2) and epoll_create1(2).
  static Result<std::unique_ptr<PollWatch>> open(std::span<const PollEntry> entries);
  virtual ~PollWatch() = default;
  /// To be watched for POLLIN by the event loop. Owned by the watch.
  virtual int fd() const = 0;
  /// True if something is ready already, so that nobody needs to wait.
  virtual bool ready() const = 0;
  /// Fills in `returned` of the entries as they are now; how many have something (0: spurious).
  virtual Result<int> collect(std::span<PollEntry> entries) = 0;
};

}  // namespace vpollnet::host
