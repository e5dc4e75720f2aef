// SPDX-License-Identifier: MIT
// Segments that came before their turn (RFC 9293 3.10.7.4, "segments ... held for later
// processing"), and the SACK blocks that tell the peer about them (RFC 2018, RFC 2883).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "util/byte_queue.hpp"
#include "util/intervals.hpp"
#include "wire/tcp.hpp"

namespace vpollnet::tcp {

/// Bytes above rcv_nxt, in disjoint ranges of stream positions. What came first stays: a later
/// segment with other bytes for the same positions changes nothing.
class Reassembly {
 public:
  /// Ranges kept at once; a segment that needs one more is not taken (CVE-2018-5390).
  static constexpr std::size_t kMaxRanges = 128;

  /// Takes the bytes for [begin, begin + sum of slices). False if there is no place for them; there
  /// always is if they touch a range.
  bool insert(std::uint64_t begin, std::vector<Slice> slices, BlockPool& pool);
  /// Moves the bytes that follow `next` without a gap to `stream`; returns the new position.
  std::uint64_t take_in_order(std::uint64_t next, ByteQueue& stream, BlockPool& pool);
  /// The blocks to report, newest first (RFC 2018 4), `limit` at most.
  std::uint8_t sack_blocks(std::span<wire::SackBlock> out) const;

  bool empty() const { return ranges_.empty(); }
  std::size_t ranges() const { return ranges_.size(); }
  std::size_t bytes() const { return bytes_; }
  /// Where the first range begins; UINT64_MAX if there is none.
  std::uint64_t begin() const { return ranges_.empty() ? UINT64_MAX : ranges_.front().begin; }
  /// Where the last range ends; 0 if there is none.
  std::uint64_t end() const { return ranges_.empty() ? 0 : ranges_.back().end; }
  /// Memory held, within a factor of about two: what is charged for it.
  std::size_t footprint() const { return bytes_ + ranges_.size() * kPieceCost; }
  void clear();

 private:
  /// A block that a small piece is copied to, and what keeps track of it.
  static constexpr std::size_t kPieceCost = 2048;

  struct Range {
    std::uint64_t begin;
    std::uint64_t end;
    std::uint64_t stamp;  ///< when it last grew: the newest is reported first
    ByteQueue bytes;
    std::size_t pieces;  ///< slices in `bytes`, at most
  };

  static void join(ByteQueue& front, ByteQueue&& back, BlockPool& pool);
  static void compact(Range& range, BlockPool& pool);

  std::vector<Range> ranges_;  ///< ascending
  std::size_t bytes_ = 0;
  std::uint64_t clock_ = 0;
};

}  // namespace vpollnet::tcp
