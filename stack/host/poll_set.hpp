// SPDX-License-Identifier: MIT
// The entries of a poll, parted into our own sockets and the kernel's descriptors.
#pragma once

#include <poll.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "host/poll.hpp"
#include "host/readiness.hpp"
#include "util/result.hpp"
#include "util/time.hpp"

namespace vpollnet::host {

class PollSet {
 public:
  PollSet() = default;
  ~PollSet() { clear(); }
  PollSet(const PollSet&) = delete;
  PollSet& operator=(const PollSet&) = delete;

  /// The set must be empty.
  void assign(std::span<const PollEntry> entries);
  /// Unsubscribes and lets go of everything but the memory.
  void clear();

  /// `watcher` is woken when one of our own sockets has something for its entry.
  void subscribe(Watcher& watcher);
  bool own_is_ready() const;

  /// Waits up to `timeout` nanoseconds (kNever: no limit) for the kernel's descriptors and for
  /// `waker`. `woken`: only the waker was found.
  Errno wait(int waker, Nanos timeout, bool& woken);
  /// Fills in `returned` from the last wait and from our own sockets; how many have something.
  /// `entries` are those of assign().
  int collect(std::span<PollEntry> entries) const;
  /// The same, after asking the kernel without waiting.
  Result<int> look(std::span<PollEntry> entries);

  /// The kernel's descriptors.
  std::span<const pollfd> foreign() const { return foreign_; }

  /// Clears the set at the end of its scope.
  class Emptied {
   public:
    explicit Emptied(PollSet& set) : set_(set) {}
    ~Emptied() { set_.clear(); }
    Emptied(const Emptied&) = delete;
    Emptied& operator=(const Emptied&) = delete;

   private:
    PollSet& set_;
  };

 private:
  struct Own {
    std::shared_ptr<Readiness> readiness;  ///< null: was being closed at assign()
    std::size_t place;                     ///< in the entries
    std::uint32_t events;
    std::uint32_t now() const {
      return readiness == nullptr ? Readiness::kInvalid : readiness->matching(events);
    }
  };

  std::vector<Own> own_;  ///< also those whose events the kernel shows: they tell of their close
  std::vector<Waiter> waiters_;  ///< one for each of own_, or none
  std::vector<pollfd> foreign_;
  std::vector<std::size_t> foreign_places_;
};

}  // namespace vpollnet::host
