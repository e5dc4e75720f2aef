// SPDX-License-Identifier: MIT
// The recordings that a network or a switch has running.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "host/links/link_port.hpp"
#include "host/links/recorder.hpp"

namespace vpollnet::host {

/// All calls come with the pump's lock held. A recording is let go of by finish_all(), or by
/// whoever called finish(): never here, as its destructor waits.
class Recordings {
 public:
  /// `all`: links that come later are recorded too.
  void add(std::shared_ptr<Recording> recording, bool all) {
    running_.push_back({std::move(recording), all});
  }
  /// A link comes.
  void join(LinkPort& port) const {
    for (const Running& one : running_) {
      if (one.all) port.record(one.recording);
    }
  }
  /// Ends one, which no port records to any more.
  void finish(const std::shared_ptr<Recording>& recording) {
    recording->finish();
    std::erase_if(running_, [&](const Running& one) { return one.recording == recording; });
  }
  /// Ends all of them, which no port records to any more. To be destroyed without the lock.
  [[nodiscard]] std::vector<std::shared_ptr<Recording>> finish_all() {
    std::vector<std::shared_ptr<Recording>> finished;
    for (Running& one : running_) {
      one.recording->finish();
      finished.push_back(std::move(one.recording));
    }
    running_.clear();
    return finished;
  }

 private:
  struct Running {
    std::shared_ptr<Recording> recording;
    bool all;
  };
  std::vector<Running> running_;
};

}  // namespace vpollnet::host
