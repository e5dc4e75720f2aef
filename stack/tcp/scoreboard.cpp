// SPDX-License-Identifier: MIT
#include "tcp/scoreboard.hpp"

namespace vpollnet::tcp {

std::uint64_t Scoreboard::on_sack(std::span<const Interval> blocks, std::uint64_t una,
                                  std::uint64_t nxt) {
  std::uint64_t fresh = 0;
  for (const Interval& block : blocks) {
    // A block at or below `una` is a D-SACK (RFC 2883 4); one beyond nxt, or reversed, is a lie.
    if (block.begin >= block.end || block.begin < una || block.end > nxt) continue;
    fresh += sacked_.add(block.begin, block.end);
  }
  return fresh;
}

std::uint64_t Scoreboard::on_ack(std::uint64_t una, std::uint64_t acked, std::uint32_t mss) {
  // RFC 6582 3.2 step 3: a partial ACK takes what it covers out of the count, but for one segment.
  const std::uint64_t explained = acked > mss ? acked - mss : 0;
  duplicates_ = duplicates_ > explained ? duplicates_ - explained : 0;
  const std::uint64_t reported = sacked_.total();
  sacked_.remove_below(una);
  const std::uint64_t known = reported - sacked_.total();
  lost_again_.remove_below(una);
  while (!again_.empty() && again_.front().range.end <= una) again_.pop_front();
  lost_edge_ = std::max(lost_edge_, una);
  high_retransmit_ = std::max(high_retransmit_, una);
  return acked > known ? acked - known : 0;
}

void Scoreboard::on_duplicate(std::uint32_t mss, std::uint64_t flight) {
  // One segment, the lost one, is never reported: no more duplicates than the rest can cause.
  const std::uint64_t most = flight > mss ? flight - mss : 0;
  duplicates_ = std::min(duplicates_ + mss, most);
}

bool Scoreboard::lost_by_sack(std::uint64_t una, std::uint32_t mss) const {
  const std::span<const Interval> ranges = sacked_.all();
  if (ranges.empty() || ranges.front().begin <= una) return false;
  return ranges.size() >= kDupThresh || sacked_.total() > (kDupThresh - 1) * std::uint64_t{mss};
}

void Scoreboard::update_lost(std::uint32_t mss) {
  // From the top down: the highest position with three ranges or two segments' bytes above it.
  const std::span<const Interval> ranges = sacked_.all();
  std::uint64_t bytes = 0;
  for (std::size_t i = ranges.size(); i > 0; i--) {
    bytes += ranges[i - 1].size();
    if (ranges.size() - i + 1 >= kDupThresh || bytes > (kDupThresh - 1) * std::uint64_t{mss}) {
      lost_edge_ = std::max(lost_edge_, ranges[i - 1].begin);
      return;
    }
  }
}

bool Scoreboard::update_lost_again(std::uint64_t una, std::uint32_t mss) {
  bool any = false;
  while (!again_.empty()) {
    const Again& oldest = again_.front();
    // Marks ascend: if there is too little above this one, there is less above the others.
    if (sacked_.covered(oldest.mark, UINT64_MAX) <= (kDupThresh - 1) * std::uint64_t{mss}) break;
    std::uint64_t from = std::max(oldest.range.begin, una);
    while (from < oldest.range.end) {
      const Interval gap = sacked_.first_gap(from, oldest.range.end);
      any = lost_again_.add(gap.begin, gap.end) > 0 || any;
      from = gap.end;
    }
    again_.pop_front();
  }
  return any;
}

void Scoreboard::mark_lost(std::uint64_t una, std::uint64_t end) {
  lost_edge_ = std::max(lost_edge_, end);
  high_retransmit_ = una;
  again_.clear();
  lost_again_.clear();
}

void Scoreboard::on_timeout(std::uint64_t una, std::uint64_t nxt) {
  sacked_.clear();
  duplicates_ = 0;
  lost_edge_ = nxt;
  high_retransmit_ = una;
  again_.clear();
  lost_again_.clear();
}

std::uint64_t Scoreboard::pipe(std::uint64_t una, std::uint64_t nxt) const {
  const auto unreported = [this](std::uint64_t from, std::uint64_t to) {
    return from < to ? to - from - sacked_.covered(from, to) : 0;
  };
  const std::uint64_t not_lost = unreported(std::max(lost_edge_, una), nxt);
  std::uint64_t again = unreported(una, std::min(high_retransmit_, nxt));
  for (const Interval& range : lost_again_.all())
    again -= unreported(std::max(range.begin, una), range.end);
  const std::uint64_t sum = not_lost + again;
  return sum > duplicates_ ? sum - duplicates_ : 0;
}

std::uint64_t Scoreboard::lost(std::uint64_t una) const {
  return lost_edge_ > una ? lost_edge_ - una - sacked_.covered(una, lost_edge_) : 0;
}

Interval Scoreboard::next_lost(std::uint64_t una) const {
  for (const Interval& range : lost_again_.all()) {
    const Interval gap = sacked_.first_gap(std::max(range.begin, una), range.end);
    if (gap.begin < gap.end) return gap;
  }
  return sacked_.first_gap(std::max(una, high_retransmit_), lost_edge_);
}

Interval Scoreboard::next_suspect(std::uint64_t una) const {
  if (sacked_.empty()) return {};
  return sacked_.first_gap(std::max(una, high_retransmit_), sacked_.all().back().begin);
}

Interval Scoreboard::last_unreported(std::uint64_t una, std::uint64_t nxt) const {
  std::uint64_t end = nxt;
  std::uint64_t begin = std::max(una, high_retransmit_);
  const std::span<const Interval> ranges = sacked_.all();
  for (std::size_t i = ranges.size(); i > 0; i--) {
    if (ranges[i - 1].end < end) {
      begin = std::max(begin, ranges[i - 1].end);
      break;
    }
    end = std::min(end, ranges[i - 1].begin);
  }
  return begin < end ? Interval{begin, end} : Interval{};
}

void Scoreboard::on_retransmit(Interval range, std::uint64_t nxt) {
  high_retransmit_ = std::max(high_retransmit_, range.end);
  // Served from below: whatever is below the end of this one was sent or has arrived.
  if (!lost_again_.empty() && range.begin < lost_again_.all().back().end)
    lost_again_.remove_below(range.end);
  if (!again_.empty() && again_.back().mark == nxt && again_.back().range.end == range.begin) {
    again_.back().range.end = range.end;
  } else if (again_.size() < kMaxAgain) {
    again_.push_back({range, nxt});
  }
}

void Scoreboard::clear() {
  sacked_.clear();
  duplicates_ = 0;
  lost_edge_ = 0;
  high_retransmit_ = 0;
  again_ = {};
  lost_again_.clear();
}

}  // namespace vpollnet::tcp
