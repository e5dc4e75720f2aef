// SPDX-License-Identifier: MIT
// What waits to be received at one end of UDP or echo: whole datagrams with their senders, in
// order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <vector>

#include "util/budget.hpp"
#include "util/counters.hpp"
#include "util/packet.hpp"
#include "wire/address.hpp"

namespace vpollnet::udp {

/// A datagram as it waits: its payload in slices that no one else changes.
struct Datagram {
  vpollnet::Endpoint from;
  std::size_t size = 0;
  std::vector<Slice> payload;
};

/// A bounded queue. `budget` must outlive it.
class ReceiveQueue {
 public:
  /// What a datagram is charged beside its bytes, so that empty ones cannot fill the memory.
  static constexpr std::size_t kOverhead = 256;

  /// `limit` in bytes of payload; the bookkeeping may take as much again.
  ReceiveQueue(Budget& budget, std::size_t limit) : budget_(budget), limit_(limit) {}
  ~ReceiveQueue() { clear(); }
  ReceiveQueue(const ReceiveQueue&) = delete;
  ReceiveQueue& operator=(const ReceiveQueue&) = delete;

  /// Puts the bytes of `payload` behind all others; nothing, or why not: Drop::udp_queue_full or
  /// Drop::memory_budget. An empty queue takes a datagram of any size.
  std::optional<Drop> push(const vpollnet::Endpoint& from, Packet&& payload, BlockPool& pool);

  bool empty() const { return datagrams_.empty(); }
  /// The oldest; the queue must not be empty.
  const Datagram& front() const { return datagrams_.front(); }
  /// Copies as much of the oldest as fits, and returns how much that was.
  std::size_t copy_front(std::span<std::uint8_t> out) const;
  void pop();
  void clear();

  std::size_t bytes() const { return bytes_; }  ///< of payload
  std::size_t limit() const { return limit_; }
  void set_limit(std::size_t limit) { limit_ = limit; }

 private:
  Budget& budget_;
  std::size_t limit_;
  std::size_t bytes_ = 0;
  std::deque<Datagram> datagrams_;
};

}  // namespace vpollnet::udp
