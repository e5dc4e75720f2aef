// SPDX-License-Identifier: MIT
// A bounded set of half-open ranges of 64-bit positions.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace vpollnet {

/// [begin, end)
struct Interval {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::uint64_t size() const { return end - begin; }
  bool operator==(const Interval&) const = default;
};

/// Disjoint, not touching, ascending. At most `kLimit` ranges.
template <std::size_t kLimit>
class IntervalSet {
 public:
  std::span<const Interval> all() const { return ranges_; }
  bool empty() const { return ranges_.empty(); }
  /// Positions in all ranges.
  std::uint64_t total() const { return total_; }

  /// Adds [begin, end); how many positions are new. A range that needs a place of its own when
  /// there is none left is not added: 0.
  std::uint64_t add(std::uint64_t begin, std::uint64_t end) {
    if (begin >= end) return 0;
    auto first =
        std::lower_bound(ranges_.begin(), ranges_.end(), begin,
                         [](const Interval& range, std::uint64_t at) { return range.end < at; });
    auto last = first;
    std::uint64_t merged = 0;
    Interval grown{begin, end};
    while (last != ranges_.end() && last->begin <= end) {
      grown.begin = std::min(grown.begin, last->begin);
      grown.end = std::max(grown.end, last->end);
      merged += last->size();
      ++last;
    }
    if (first == last) {
      if (ranges_.size() >= kLimit) return 0;
      ranges_.insert(first, grown);
    } else {
      *first = grown;
      ranges_.erase(first + 1, last);
    }
    total_ += grown.size() - merged;
    return grown.size() - merged;
  }

  /// Forgets everything below `position`.
  void remove_below(std::uint64_t position) {
    auto keep = ranges_.begin();
    while (keep != ranges_.end() && keep->end <= position) {
      total_ -= keep->size();
      ++keep;
    }
    ranges_.erase(ranges_.begin(), keep);
    if (!ranges_.empty() && ranges_.front().begin < position) {
      total_ -= position - ranges_.front().begin;
      ranges_.front().begin = position;
    }
  }

  /// The first range within [from, to) that is in no range of the set; empty (begin == end) if
  /// none.
  Interval first_gap(std::uint64_t from, std::uint64_t to) const {
    auto range = std::upper_bound(ranges_.begin(), ranges_.end(), from,
                                  [](std::uint64_t at, const Interval& r) { return at < r.end; });
    if (range != ranges_.end() && range->begin <= from) {
      from = range->end;
      ++range;
    }
    if (from >= to) return {to, to};
    return {from, range == ranges_.end() ? to : std::min(to, range->begin)};
  }

  /// Positions within [from, to) that are in a range of the set.
  std::uint64_t covered(std::uint64_t from, std::uint64_t to) const {
    std::uint64_t sum = 0;
    for (const Interval& range : ranges_) {
      const std::uint64_t begin = std::max(from, range.begin);
      const std::uint64_t end = std::min(to, range.end);
      if (begin < end) sum += end - begin;
    }
    return sum;
  }

  void clear() {
    ranges_.clear();
    total_ = 0;
  }

 private:
  std::vector<Interval> ranges_;
  std::uint64_t total_ = 0;
};

}  // namespace vpollnet
