// SPDX-License-Identifier: MIT
// A bad network between a stack and its link, in one direction: delay, jitter, loss, duplication,
// reordering, corruption, a rate. The words mean what they mean to tc-netem(8); where this departs
// from it, the field says so.
//
// No clock and no randomness of its own: what happens to the n-th frame is a function of the seed,
// the stream and n. Each property has its own numbers, so that the frames that 1% of loss takes are
// among those that 5% takes, and a jitter that is turned on changes nothing about the loss.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>

#include "util/packet.hpp"
#include "util/random.hpp"
#include "util/time.hpp"

namespace vpollnet::host {

struct ImpairmentConfig {
  static constexpr std::size_t kDefaultQueue = 1000;  // as tc-netem's "limit"

  Nanos delay = 0;
  /// Each frame's delay is uniform in [delay - jitter, delay + jitter], at least 0. Frames overtake
  /// each other where it is larger than the gap between them.
  Nanos jitter = 0;
  double loss = 0;       ///< share of frames, 0 to 1
  double duplicate = 0;  ///< share of frames that come twice, the second right behind the first
  /// Share of frames that are not delayed, and so overtake those that are.
  double reorder = 0;
  double corrupt = 0;      ///< share of frames with one bit flipped
  std::uint64_t rate = 0;  ///< bits of frame a second; 0: no limit. The delay follows the sending.
  std::size_t queue = kDefaultQueue;  ///< frames that wait at most
  std::optional<std::uint64_t> seed =
      {};  ///< none: the seed, and the count of frames, stay as they are

  /// Whether a frame can be held, lost or changed at all.
  bool active() const {
    return delay > 0 || jitter > 0 || loss > 0 || duplicate > 0 || reorder > 0 || corrupt > 0 ||
           rate > 0;
  }
};

struct ImpairmentCounters {
  std::uint64_t frames = 0;  ///< that were pushed
  std::uint64_t lost = 0;
  std::uint64_t duplicated = 0;
  std::uint64_t reordered = 0;
  std::uint64_t corrupted = 0;
  std::uint64_t queue_full = 0;  ///< frames and duplicates that found no room
};

/// Not thread-safe.
class Impairment {
 public:
  /// All frames that wait, together.
  static constexpr std::size_t kQueueBytes = 64u << 20;

  struct Fate {
    bool lost = false;
    bool queue_full = false;  ///< the frame, not only its duplicate, was dropped
    bool duplicated = false;
    bool reordered = false;
    bool corrupted = false;
    bool dropped() const { return lost || queue_full; }
  };
  struct Released {
    Packet frame;
    Fate fate;
  };

  /// `seed` holds until a configuration brings one. `stream` sets two directions apart that have
  /// one seed.
  Impairment(const ImpairmentConfig& config, std::uint64_t seed, std::uint64_t stream);

  /// Frames that wait keep their times.
  void configure(const ImpairmentConfig& config);
  /// All frames that wait are due at `now`, in their order.
  void release(Nanos now);
  const ImpairmentConfig& config() const { return config_; }
  std::uint64_t seed() const { return seed_; }

  /// `frame` must not be a large packet (gso_size): each frame has its own fate. One that is
  /// corrupted is no longer vouched for by its ChecksumState.
  Fate push(Packet&& frame, Nanos now, BlockPool& pool);
  /// The next frame that is due, in order of time.
  std::optional<Released> pop(Nanos now);
  /// When pop() has a frame; kNever if none waits.
  Nanos next_deadline() const { return waiting_.empty() ? kNever : waiting_.begin()->first; }
  std::size_t waiting() const { return waiting_.size(); }
  const ImpairmentCounters& counters() const { return counters_; }

 private:
  enum class Purpose : std::uint8_t { loss, duplicate, reorder, corrupt, bit, jitter };
  std::uint64_t draw(Purpose purpose) const;
  bool happens(Purpose purpose, double share) const;
  /// Where on the wire the frame ends, at this rate.
  Nanos sent_at(std::size_t bytes, Nanos now);
  void flip_bit(Packet& frame, BlockPool& pool) const;
  bool has_room(std::size_t bytes);
  void enqueue(Packet&& frame, const Fate& fate, Nanos due);

  ImpairmentConfig config_;
  std::uint64_t seed_;
  std::uint64_t stream_;
  std::uint64_t number_ = 0;                ///< of the frame, since the seed was set
  Nanos busy_until_ = 0;                    ///< the end of the last frame on the wire
  std::multimap<Nanos, Released> waiting_;  ///< equal times: in the order of coming
  std::size_t waiting_bytes_ = 0;
  ImpairmentCounters counters_;
};

}  // namespace vpollnet::host
