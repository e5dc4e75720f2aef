// SPDX-License-Identifier: MIT
#include "ip/router_advertiser.hpp"

#include <algorithm>

namespace vpollnet::ip {

namespace {

/// Even in [0, span], in milliseconds.
Nanos up_to(KeyedRandom& random, Nanos span) {
  return Nanos{random.below(static_cast<std::uint32_t>(span / kMillisecond) + 1)} * kMillisecond;
}

}  // namespace

void RouterAdvertiser::start(Nanos now) {
  initial_left_ = kInitialCount;
  deadline_ = std::max(now, earliest_);
}

void RouterAdvertiser::on_solicitation(Nanos now) {
  if (deadline_ == kNever) return;
  // RFC 4861 6.2.6: after a random time, no sooner than MIN_DELAY_BETWEEN_RAS after the last one;
  // one that is due before that will do.
  const Nanos delay = up_to(random_, kMaxAnswerDelay);
  deadline_ = std::min(deadline_, std::max(now, earliest_) + delay);
}

void RouterAdvertiser::on_sent(Nanos now) {
  earliest_ = now + kMinDelay;
  Nanos interval = shortest_ + up_to(random_, longest_ - shortest_);
  if (initial_left_ > 0) initial_left_--;
  // RFC 4861 6.2.4: between the first few the time is at most 16 s.
  if (initial_left_ > 0) interval = std::min(interval, kMaxInitialInterval);
  deadline_ = now + interval;
}

}  // namespace vpollnet::ip
