// SPDX-License-Identifier: MIT
// The pump's mutex: as cheap as a plain one while nobody else wants it, fair when somebody does.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>

namespace vpollnet::host {

/// A plain mutex lets the thread that has just unlocked it in again before the one that it woke. A
/// thread that calls in a loop would keep the pump thread out, and the other way round. This lock
/// counts who waits: after `kPatience` passes over their heads the unlocking thread steps back
/// until one of them had its turn. Not recursive.
class FairLock {
 public:
  void lock() {
    if (!mutex_.try_lock()) lock_slowly();
  }

  void unlock() {
    if (somebody_waits() && ++passed_over_ >= kPatience) {
      give_way(unlock_marked());
    } else {
      mutex_.unlock();
    }
  }

  /// What unlock_marked() saw.
  struct Mark {
    std::uint32_t turns;
    bool waited_for;
  };
  /// Unlocks. The thread should give_way() before it locks again.
  [[nodiscard]] Mark unlock_marked();
  /// If others waited at `mark`, returns when one of them has got the lock since.
  void give_way(const Mark& mark);

  bool somebody_waits() const { return waiting_.load(std::memory_order_relaxed) != 0; }

 private:
  static constexpr unsigned kPatience = 64;

  void lock_slowly();

  std::mutex mutex_;
  unsigned passed_over_ = 0;  ///< guarded by mutex_
  std::atomic<std::uint32_t> waiting_{0};
  std::atomic<std::uint32_t> turns_{0};  ///< how often a waiting thread got in
};

}  // namespace vpollnet::host
