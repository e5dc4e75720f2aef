// SPDX-License-Identifier: MIT
// The recordings that a network or a switch has running.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "host/links/link_port.hpp"
#include "host/links/recorder.hpp"
#include "host/pump.hpp"

namespace vpollnet::host {

/// start() and stop() take the pump's lock; all other calls come with it held. A recording is let
/// go of by finish_all(), or by whoever called stop(): never here, as its destructor waits.
class Recordings {
 public:
  /// Opens a recording of the ports that `spec` wants, and of those to come if it names none; null
  /// and `failure` filled in if that cannot be. `check()` is the failure if one that is named is
  /// not there; `each(visit)` calls visit(number, LinkPort&) for each that is.
  template <class Check, class Each>
  std::shared_ptr<Recording> start(Pump& pump, const RecordingSpec& spec, Failure& failure,
                                   Check check, Each each) {
    {
      // Before the file is emptied.
      Pump::Hold hold(pump);
      failure = check();
    }
    if (failure) return nullptr;
    std::shared_ptr<Recording> recording = Recording::open(pump, spec, failure);
    if (recording == nullptr) return nullptr;
    {
      Pump::Hold hold(pump);
      failure = check();  // once more: they may have gone meanwhile
      each([&](std::uint32_t number, LinkPort& port) {
        if (spec.wants(number)) port.record(recording);
      });
      running_.push_back({recording, !spec.links});
    }
    if (!failure) return recording;
    stop(pump, recording, each);
    return nullptr;
  }
  /// Ends one. Links that went before wrote their statistics then.
  template <class Each>
  void stop(Pump& pump, const std::shared_ptr<Recording>& recording, Each each) {
    Pump::Hold hold(pump);
    each([&](std::uint32_t, LinkPort& port) { port.stop_recording(*recording); });
    recording->finish();
    std::erase_if(running_, [&](const Running& one) { return one.recording == recording; });
  }
  /// A link comes.
  void join(LinkPort& port) const {
    for (const Running& one : running_) {
      if (one.all) port.record(one.recording);
    }
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
