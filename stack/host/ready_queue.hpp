// SPDX-License-Identifier: MIT
// The sockets of one event loop that have something for it: any number of them cost one wake-up a
// batch, and no descriptor (design: "Readiness is a level, computed by the socket, pushed on
// change").
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "host/pump.hpp"
#include "socket/readiness.hpp"

namespace vpollnet::host {

/// Sockets push their numbers, on any thread; the loop takes them. It holds each socket at most
/// once, as ReadyEntry sees to it.
class ReadyQueue final : public Wakeable {
 public:
  /// `loop` is woken when the queue is no longer empty.
  explicit ReadyQueue(std::shared_ptr<Wakeable> loop) : loop_(std::move(loop)) {}

  void push(std::uint64_t id) {
    const std::lock_guard lock(mutex_);
    ids_.push_back(id);
  }
  /// All that was pushed since the last call; `ids` is overwritten.
  void take(std::vector<std::uint64_t>& ids) {
    ids.clear();
    const std::lock_guard lock(mutex_);
    ids.swap(ids_);
  }
  void wake() override { loop_->wake(); }

 private:
  const std::shared_ptr<Wakeable> loop_;
  std::mutex mutex_;
  std::vector<std::uint64_t> ids_;
};

/// One socket's place in a ReadyQueue.
class ReadyEntry {
 public:
  static constexpr std::uint32_t kClosed = 0x20;  ///< POLLNVAL

  /// Before anything else, and once.
  void attach(std::shared_ptr<ReadyQueue> queue, std::uint64_t id) {
    queue_ = std::move(queue);
    id_ = id;
  }
  const std::shared_ptr<ReadyQueue>& queue() const { return queue_; }

  /// What of `mask` the loop is to hear of: as with epoll(7), errors and hang-ups come unasked, but
  /// not to a loop that wants nothing. The end of the socket always does.
  std::uint32_t of_interest(std::uint32_t mask) const {
    const std::uint32_t wanted = wanted_.load();
    if ((mask & kClosed) != 0) return kClosed;
    return wanted == 0 ? 0 : mask & (wanted | socket::kErr | socket::kHup);
  }
  void want(std::uint32_t events) { wanted_.store(events); }
  std::uint32_t wanted() const { return wanted_.load(); }

  /// Queues the socket if `mask` has something for the loop. True if the loop is to be woken.
  bool offer(std::uint32_t mask) {
    if (queue_ == nullptr || of_interest(mask) == 0 || queued_.exchange(true)) return false;
    queue_->push(id_);
    return true;
  }
  /// The loop has taken the socket off the queue. What it looks at afterwards is as new as any
  /// offer() that found the socket queued.
  void taken() { queued_.store(false); }
  /// The queue hears of the socket no more.
  void detach() { queued_.store(true); }

 private:
  std::shared_ptr<ReadyQueue> queue_;
  std::uint64_t id_ = 0;
  // Sequentially consistent, as the readiness mask is: who changes the one looks at the other after
  // that, so that one of the two sides queues the socket.
  std::atomic<std::uint32_t> wanted_{0};
  std::atomic<bool> queued_{false};
};

}  // namespace vpollnet::host
