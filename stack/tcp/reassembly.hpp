// SPDX-License-Identifier: MIT
// Segments that came before their turn (RFC 9293 3.10.7.4, "segments ... held for later processing"),
// and the SACK blocks that tell the peer about them (RFC 2018, RFC 2883).
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

  /// Takes the bytes for [begin, begin + sum of slices). False if there is no place for them.
  bool insert(std::uint64_t begin, std::vector<Slice> slices, BlockPool& pool);
  /// Moves the bytes that follow `next` without a gap to `stream`; returns the new position.
  std::uint64_t take_in_order(std::uint64_t next, ByteQueue& stream);
  /// The blocks to report, newest first (RFC 2018 4), `limit` at most.
  std::uint8_t sack_blocks(std::span<wire::SackBlock> out) const;

  bool empty() const { return ranges_.empty(); }
  std::size_t ranges() const { return ranges_.size(); }
  std::size_t bytes() const { return bytes_; }
  void clear();

 private:
  struct Range {
    std::uint64_t begin;
    std::uint64_t end;
    std::uint64_t stamp;  ///< when it last grew: the newest is reported first
    ByteQueue bytes;
  };

  std::vector<Range> ranges_;  ///< ascending
  std::size_t bytes_ = 0;
  std::uint64_t clock_ = 0;
};

}  // namespace vpollnet::tcp
