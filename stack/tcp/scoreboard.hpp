// SPDX-License-Identifier: MIT
// What the sender knows of the bytes that are under way: which have arrived, which are lost, which
// went out again (RFC 6675; RFC 6582 for a peer without SACK).
#pragma once

#include <cstdint>
#include <list>
#include <span>

#include "util/intervals.hpp"
#include "wire/tcp.hpp"

namespace vpollnet::tcp {

/// Positions are 64-bit stream positions of the sending direction.
class Scoreboard {
 public:
  /// RFC 6675 2, RFC 5681 3.2.
  static constexpr std::uint32_t kDupThresh = 3;
  /// Ranges that a peer's SACK may open; more are passed over, which costs a retransmission at
  /// most.
  static constexpr std::size_t kMaxRanges = 256;

  /// Notes the blocks of an ACK. Those outside (una, nxt] are ignored (RFC 2018 5.1; security case
  /// T15); `una` is where the ACK itself points. How many bytes are reported for the first time.
  std::uint64_t on_sack(std::span<const Interval> blocks, std::uint64_t una, std::uint64_t nxt);
  /// The cumulative acknowledgment moved by `acked` bytes to `una`; how many of them no SACK had
  /// reported before.
  std::uint64_t on_ack(std::uint64_t una, std::uint64_t acked, std::uint32_t mss);
  /// Another duplicate ACK of a peer without SACK: one segment has left the network.
  void on_duplicate(std::uint32_t mss, std::uint64_t flight);

  /// RFC 6675 4, IsLost(una): three ranges, or more than two segments' bytes, have arrived above
  /// it.
  bool lost_by_sack(std::uint64_t una, std::uint32_t mss) const;
  /// Marks as lost all that IsLost says.
  void update_lost(std::uint32_t mss);
  /// What went out again and is lost again: three segments' bytes that were sent after it have
  /// arrived. Marks it, and says whether there was any.
  bool update_lost_again(std::uint64_t una, std::uint32_t mss);
  /// Marks [una, end) as lost; nothing of it counts as sent again.
  void mark_lost(std::uint64_t una, std::uint64_t end);
  /// The retransmission timer expired: all is lost, and what SACK said may have been taken back
  /// (RFC 2018 8).
  void on_timeout(std::uint64_t una, std::uint64_t nxt);

  /// RFC 6675 4, SetPipe: bytes believed to be in the network.
  std::uint64_t pipe(std::uint64_t una, std::uint64_t nxt) const;
  /// Bytes above `una` that count as lost, those that went out again too.
  std::uint64_t lost(std::uint64_t una) const;
  /// Bytes that SACK has reported and no cumulative acknowledgment yet.
  std::uint64_t reported() const { return sacked_.total(); }
  /// RFC 6675 4, NextSeg rule 1: the next lost range that was not sent again; empty if none.
  Interval next_lost(std::uint64_t una) const;
  /// NextSeg rule 3: the next range below what SACK reported that was neither sent again nor counts
  /// as lost yet; empty if none.
  Interval next_suspect(std::uint64_t una) const;
  /// NextSeg rule 4: the highest range that was not reported and not sent again; empty if none.
  Interval last_unreported(std::uint64_t una, std::uint64_t nxt) const;
  /// `range`, from one of those, goes out while `nxt` is the next new position.
  void on_retransmit(Interval range, std::uint64_t nxt);

  /// All that was under way at the start of recovery has arrived.
  void end_recovery() { duplicates_ = 0; }
  void clear();

 private:
  /// A retransmission. Whatever lies at or above `mark` was sent after it.
  struct Again {
    Interval range;
    std::uint64_t mark;
  };
  /// More than this many at once are not followed: the timer is there for them.
  static constexpr std::size_t kMaxAgain = 512;

  IntervalSet<kMaxRanges> sacked_;
  std::uint64_t lost_edge_ = 0;        ///< all below that is not in sacked_ is lost
  std::uint64_t high_retransmit_ = 0;  ///< RFC 6675 2, HighRxt: all below was sent again
  /// In the order of sending, so `mark` ascends. Mostly empty, and then a list takes no memory.
  std::list<Again> again_;
  IntervalSet<kMaxRanges> lost_again_;  ///< below high_retransmit_, but to be sent once more
  std::uint64_t duplicates_ = 0;        ///< bytes that duplicate ACKs stand for, without SACK
};

}  // namespace vpollnet::tcp
