// SPDX-License-Identifier: MIT
// What drives stacks: one lock, one thread, one epoll set, one deadline (design: "One lock, run to
// completion"). Start reading host/ here.
//
// Whoever holds the lock runs what its calls set off, so an uncontended call over a cable makes no
// system call and no thread switch. The pump's own thread takes the lock for device input, for
// timers, and for work that a bounded hold left over.
//
// After fork(2) the child has no pump thread and must not use the pump, nor a network or a socket
// of it; exec, or open everything anew before the first use in the child's own processes.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "host/fair_lock.hpp"
#include "util/block.hpp"
#include "util/result.hpp"
#include "util/time.hpp"
#include "util/timer_queue.hpp"

namespace vpollnet::host {

class CableSegments;
class Inspector;
class Pump;

/// Something that the pump runs: a stack with its links. All calls come with the pump's lock held.
class PumpMember {
 public:
  virtual ~PumpMember() = default;
  /// Does what there is to do, up to `budget` frames, and takes them off it. True when nothing is
  /// left; otherwise it is called again. Must not take the pump's lock.
  virtual bool run(Nanos now, int& budget) = 0;
  /// When run() has something to do next, if nothing else happens. O(1).
  virtual Nanos next_deadline() const = 0;

 private:
  friend class Pump;
  TimerEntry timer_;
  PumpMember* next_touched_ = nullptr;
  bool touched_ = false;
};

/// Something to be done once, at the end of a hold: changes that a later step of the same hold may
/// take back cost nothing this way.
class HoldEnd {
 public:
  virtual ~HoldEnd() = default;
  virtual void on_hold_end() = 0;

 private:
  friend class Pump;
  std::size_t place_ = SIZE_MAX;  ///< in the pump's list; SIZE_MAX when not on it
};

/// Somebody to be woken when a hold is over: a thread woken earlier would only wait for the lock.
class Wakeable {
 public:
  virtual ~Wakeable() = default;
  /// Without the lock.
  virtual void wake() = 0;
};

/// A descriptor's owner.
class PumpSource {
 public:
  /// The descriptor has `events` (EPOLL* bits). Called on the pump thread with the lock held;
  /// should only note it and touch() a member, whose run() then reads.
  virtual void on_ready(std::uint32_t events) = 0;

 protected:
  ~PumpSource() = default;
};

class Pump {
 public:
  /// Frames handled in one hold of the lock.
  static constexpr int kFramesPerHold = 64;

  /// Starts the thread. Throws std::system_error where the process has no descriptor or thread
  /// left. When the last holder lets go, the thread is gone and the descriptors are closed; on the
  /// pump thread itself letting go is allowed too, and takes effect when its present work is done.
  static std::shared_ptr<Pump> create();
  Pump(const Pump&) = delete;
  Pump& operator=(const Pump&) = delete;

  class Hold;

  // Everything below: with the lock held.

  /// Shared by all members, as packets move between them.
  BlockPool& pool() { return pool_; }
  CableSegments& cables() { return *cables_; }
  /// Shows what the members do; serves nobody until it is enabled.
  Inspector& inspector() { return *inspector_; }

  /// `member` has something to do, or its deadline may have changed.
  void touch(PumpMember& member) {
    if (member.touched_) return;
    member.touched_ = true;
    member.next_touched_ = nullptr;
    (last_touched_ == nullptr ? first_touched_ : last_touched_->next_touched_) = &member;
    last_touched_ = &member;
  }
  /// Before a member is destroyed.
  void remove(PumpMember& member);

  void at_hold_end(HoldEnd& item) {
    if (item.place_ != SIZE_MAX) return;
    item.place_ = hold_ends_.size();
    hold_ends_.push_back(&item);
  }
  /// Takes it off the list. Before it is destroyed.
  void forget(HoldEnd& item);

  /// The time of the present hold.
  Nanos now() const { return now_; }

  void wake_after_hold(std::shared_ptr<Wakeable> who) { wakes_.push_back(std::move(who)); }

  using SourceId = std::uint64_t;
  /// Watches `fd` for EPOLL* `events`, level-triggered. `source` must outlive the unwatch().
  Result<SourceId> watch(PumpSource& source, int fd, std::uint32_t events);
  void change(SourceId id, int fd, std::uint32_t events);
  void unwatch(SourceId id, int fd);

 private:
  struct SourceSlot {
    PumpSource* source = nullptr;
    std::uint32_t generation = 0;  ///< so that an event fetched before unwatch() finds nobody
  };

  Pump();
  ~Pump();
  static void stop(Pump* pump);

  /// What a hold does before it ends. True when work is left.
  bool work(Nanos now);
  void run_members(Nanos now);
  void arm(Nanos deadline);
  /// After the hold; empties it.
  static void wake(std::vector<std::shared_ptr<Wakeable>>& all);
  void loop();

  FairLock lock_;
  BlockPool pool_;
  std::unique_ptr<CableSegments> cables_;
  std::unique_ptr<Inspector> inspector_;
  PumpMember* first_touched_ = nullptr;
  PumpMember* last_touched_ = nullptr;
  TimerQueue<PumpMember, &PumpMember::timer_> timers_;
  std::vector<HoldEnd*> hold_ends_;
  std::vector<std::shared_ptr<Wakeable>> wakes_;
  std::vector<SourceSlot> sources_;
  std::vector<std::uint32_t> free_sources_;  ///< places in sources_ that nobody has
  Nanos now_ = 0;                            ///< of the present hold
  Nanos armed_ = kNever;  ///< what the timer descriptor is set to, or was until it fired
  int epoll_fd_ = -1;
  int timer_fd_ = -1;
  std::atomic<bool> stopping_{false};
  bool delete_self_ = false;  ///< touched by the pump thread only
  std::thread thread_;
};

/// The lock, as long as the object lives. On release every member runs until nothing is left to
/// do, or kFramesPerHold frames are done; then the pump thread goes on. Not recursive: a thread
/// holds one at a time. The pump must outlive it.
class Pump::Hold {
 public:
  explicit Hold(Pump& pump);
  ~Hold() { release(); }
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;

  /// The time of this hold.
  Nanos now() const { return now_; }

 private:
  void release();

  Pump& pump_;
  Nanos now_;
};

}  // namespace vpollnet::host
