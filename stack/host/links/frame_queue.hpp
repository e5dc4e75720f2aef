// SPDX-License-Identifier: MIT
// Frames that wait: for a stack to take them in, or for a device to have room.
#pragma once

#include <cstddef>
#include <vector>

#include "util/packet.hpp"

namespace vpollnet::host {

/// A ring of packets, bounded in frames and bytes.
class FrameQueue {
 public:
  FrameQueue(std::size_t max_frames, std::size_t max_bytes)
      : max_frames_(max_frames), max_bytes_(max_bytes) {}

  bool empty() const { return count_ == 0; }
  std::size_t size() const { return count_; }
  std::size_t bytes() const { return bytes_; }

  /// False, and the frame is left alone, when the queue is full.
  bool push(Packet&& frame) {
    const std::size_t size = frame.size();
    if (count_ >= max_frames_ || (count_ > 0 && size > max_bytes_ - bytes_)) return false;
    if (count_ == ring_.size()) grow();
    ring_[(first_ + count_) & (ring_.size() - 1)] = std::move(frame);
    count_++;
    bytes_ += size;
    return true;
  }

  Packet& front() { return ring_[first_]; }

  /// The oldest frame; the queue must not be empty.
  Packet pop() {
    Packet frame = std::move(ring_[first_]);
    first_ = (first_ + 1) & (ring_.size() - 1);
    count_--;
    bytes_ = count_ == 0 ? 0 : bytes_ - frame.size();
    return frame;
  }

  void clear() {
    ring_.clear();
    first_ = count_ = bytes_ = 0;
  }

 private:
  /// To the next power of two, with the oldest frame in the first place.
  void grow() {
    std::vector<Packet> larger(ring_.empty() ? 8 : ring_.size() * 2);
    for (std::size_t i = 0; i < count_; i++) {
      larger[i] = std::move(ring_[(first_ + i) & (ring_.size() - 1)]);
    }
    ring_ = std::move(larger);
    first_ = 0;
  }

  std::vector<Packet> ring_;
  std::size_t first_ = 0;
  std::size_t count_ = 0;
  std::size_t bytes_ = 0;
  std::size_t max_frames_;
  std::size_t max_bytes_;
};

}  // namespace vpollnet::host
