// SPDX-License-Identifier: MIT
#include "tcp/reassembly.hpp"

#include <algorithm>
#include <array>

namespace vpollnet::tcp {
namespace {

/// The part of `slices`, which begin at stream position `base`, that lies in [begin, end).
ByteQueue cut(const std::vector<Slice>& slices, std::uint64_t base, std::uint64_t begin,
              std::uint64_t end, BlockPool& pool) {
  ByteQueue result;
  for (const Slice& slice : slices) {
    const std::uint64_t slice_end = base + slice.size();
    const std::uint64_t from = std::max(base, begin);
    const std::uint64_t to = std::min(slice_end, end);
    if (from < to) {
      result.append(slice.part(static_cast<std::uint32_t>(from - base),
                               static_cast<std::uint32_t>(to - from)),
                    pool);
    }
    base = slice_end;
  }
  return result;
}

}  // namespace

/// Puts `back` behind `front`. A short one is copied: each piece has a block of its own, and a
/// stream that comes in pieces of one byte must not keep a block for each (security case T16).
void Reassembly::join(ByteQueue& front, ByteQueue&& back, BlockPool& pool) {
  std::array<std::uint8_t, kPieceCost> bytes;
  if (back.size() >= bytes.size()) {
    front.append_all(std::move(back));
    return;
  }
  const std::size_t length = back.copy_out(0, bytes);
  front.append_copy(std::span(bytes).first(length), pool);
  back.clear();
}

/// Copies a range that lies in many more blocks than it needs. It takes a number of further pieces
/// in proportion to its size to get there again, so the copying adds up to little.
void Reassembly::compact(Range& range, BlockPool& pool) {
  if (range.pieces * (kPieceCost / 2) <= range.bytes.size() + 2 * kPieceCost) return;
  std::array<std::uint8_t, kPieceCost> bytes;
  ByteQueue dense;
  for (std::size_t at = 0; at < range.bytes.size(); at += bytes.size()) {
    dense.append_copy(std::span(bytes).first(range.bytes.copy_out(at, bytes)), pool);
  }
  range.pieces = dense.size() / kPieceCost + 1;
  range.bytes = std::move(dense);
}

bool Reassembly::insert(std::uint64_t begin, std::vector<Slice> slices, BlockPool& pool) {
  std::uint64_t end = begin;
  for (const Slice& slice : slices) end += slice.size();
  if (begin == end) return true;

  // Ranges that touch or overlap [begin, end).
  const auto first =
      std::lower_bound(ranges_.begin(), ranges_.end(), begin,
                       [](const Range& range, std::uint64_t at) { return range.end < at; });
  auto last = first;
  while (last != ranges_.end() && last->begin <= end) ++last;
  clock_++;

  if (first == last) {
    if (ranges_.size() >= kMaxRanges) return false;
    Range range{begin, end, clock_, cut(slices, begin, begin, end, pool), slices.size()};
    bytes_ += range.bytes.size();
    ranges_.insert(first, std::move(range));
    return true;
  }

  // Grow the first range over the gaps between it and the following ones.
  const std::size_t index = static_cast<std::size_t>(first - ranges_.begin());
  Range grown{std::min(begin, first->begin), first->begin, clock_, {}, slices.size()};
  if (begin < first->begin) {
    grown.bytes = cut(slices, begin, begin, first->begin, pool);
    bytes_ += grown.bytes.size();
  }
  for (auto range = first; range != last; ++range) {
    if (grown.end < range->begin) {
      ByteQueue gap = cut(slices, begin, grown.end, range->begin, pool);
      bytes_ += gap.size();
      join(grown.bytes, std::move(gap), pool);
    }
    join(grown.bytes, std::move(range->bytes), pool);
    grown.pieces += range->pieces;
    grown.end = range->end;
  }
  if (grown.end < end) {
    ByteQueue tail = cut(slices, begin, grown.end, end, pool);
    bytes_ += tail.size();
    join(grown.bytes, std::move(tail), pool);
    grown.end = end;
  }
  compact(grown, pool);
  ranges_[index] = std::move(grown);
  ranges_.erase(ranges_.begin() + static_cast<std::ptrdiff_t>(index) + 1, last);
  return true;
}

std::uint64_t Reassembly::take_in_order(std::uint64_t next, ByteQueue& stream, BlockPool& pool) {
  std::size_t taken = 0;
  while (taken < ranges_.size() && ranges_[taken].begin <= next) {
    Range& range = ranges_[taken];
    bytes_ -= range.bytes.size();
    if (range.end > next) {
      range.bytes.trim_front(next - range.begin);
      join(stream, std::move(range.bytes), pool);
      next = range.end;
    }
    taken++;
  }
  ranges_.erase(ranges_.begin(), ranges_.begin() + static_cast<std::ptrdiff_t>(taken));
  return next;
}

std::uint8_t Reassembly::sack_blocks(std::span<wire::SackBlock> out) const {
  // Few slots and at most kMaxRanges ranges: pick the newest, then the next newest.
  std::uint64_t below = UINT64_MAX;
  std::uint8_t count = 0;
  while (count < out.size()) {
    const Range* newest = nullptr;
    for (const Range& range : ranges_) {
      if (range.stamp < below && (newest == nullptr || range.stamp > newest->stamp))
        newest = &range;
    }
    if (newest == nullptr) break;
    out[count++] = {static_cast<std::uint32_t>(newest->begin),
                    static_cast<std::uint32_t>(newest->end)};
    below = newest->stamp;
  }
  return count;
}

void Reassembly::clear() {
  ranges_ = {};
  bytes_ = 0;
}

}  // namespace vpollnet::tcp
