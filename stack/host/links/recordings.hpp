// SPDX-License-Identifier: MIT
// The recordings that a network or a switch has running.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "host/links/link_port.hpp"
#include "host/links/recorder.hpp"
#include "host/links/socket_filter.hpp"
#include "host/pump.hpp"

namespace vpollnet::host {

/// start() and stop() take the pump's lock; all other calls come with it held. A recording is let
/// go of by finish_all(), by whoever called stop(), or when another one starts: never with the lock
/// held, as its destructor waits.
class Recordings {
 public:
  /// Opens a recording of the ports that `spec` wants, and of those to come if it names none; null
  /// and `failure` filled in if that cannot be. `check()` is the failure if one that is named is
  /// not there; `each(visit)` calls visit(number, LinkPort&) for each that is.
  template <class Check, class Each>
  std::shared_ptr<Recording> start(Pump& pump, const RecordingSpec& spec, Failure& failure,
                                   Check check, Each each,
                                   const std::shared_ptr<SocketFilter>& filter = nullptr) {
    std::vector<std::shared_ptr<Recording>> over;  // goes without the lock
    {
      // Before the file is emptied.
      Pump::Hold hold(pump);
      failure = check();
      std::erase_if(running_, [&over](Running& one) {
        const bool ended = one.over && one.recording->ended();
        if (ended) over.push_back(std::move(one.recording));
        return ended;
      });
    }
    if (failure) return nullptr;
    std::shared_ptr<Recording> recording = Recording::open(pump, spec, failure);
    if (recording == nullptr) return nullptr;
    {
      Pump::Hold hold(pump);
      failure = check();  // once more: they may have gone meanwhile
      each([&](std::uint32_t number, LinkPort& port) {
        if (spec.wants(number)) port.record(recording, filter);
      });
      running_.push_back({recording, !spec.links, filter});
      if (filter != nullptr) of_sockets_++;
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
    std::erase_if(running_, [&](const Running& one) {
      const bool is_it = one.recording == recording;
      if (is_it && one.filter != nullptr && !one.over) of_sockets_--;
      return is_it;
    });
  }
  /// A socket is about to go.
  void on_socket_close(const socket::Socket& socket) {
    if (of_sockets_ == 0) return;
    for (const Running& one : running_) {
      if (one.filter != nullptr && one.filter->socket() == &socket) one.filter->detach();
    }
  }
  /// Ends those of sockets that are gone, and of connections that are. Costs nothing without any.
  template <class Each>
  void end_of_gone(const socket::SocketTable& table, Each each) {
    if (of_sockets_ == 0) return;
    for (Running& one : running_) {
      if (one.filter == nullptr || one.over || !one.filter->is_over(table)) continue;
      each([&](std::uint32_t, LinkPort& port) { port.stop_recording(*one.recording); });
      one.recording->finish();
      one.over = true;
      of_sockets_--;
    }
  }
  /// A link comes.
  void join(LinkPort& port) const {
    for (const Running& one : running_) {
      if (one.all && !one.over) port.record(one.recording, one.filter);
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
    of_sockets_ = 0;
    return finished;
  }

 private:
  struct Running {
    std::shared_ptr<Recording> recording;
    bool all;
    std::shared_ptr<SocketFilter> filter;  ///< null: of links
    bool over = false;                     ///< its socket is gone; it is being written, or was
  };
  std::vector<Running> running_;
  std::size_t of_sockets_ = 0;  ///< those that are not over
};

}  // namespace vpollnet::host
