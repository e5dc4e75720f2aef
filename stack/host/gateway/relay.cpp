// SPDX-License-Identifier: MIT
#include "host/gateway/relay.hpp"

#include <algorithm>

namespace vpollnet::host {
namespace {

/// Moved at once, and in one turn of one direction: others want theirs.
constexpr std::size_t kStep = 512 * 1024;
constexpr int kSteps = 4;
constexpr std::size_t kFrame = 64 * 1024;

}  // namespace

void Relay::reset(Nanos now) {
  source_->reset(now);
  target_->reset(now);
}

void Relay::fail(Broken who, Errno error, Nanos now) {
  broken_ = who;
  error_ = error;
  reset(now);
}

bool Relay::run(Nanos now, int& budget) {
  if (const Errno error = source_->failure(now); error != Errno::ok) {
    fail(Broken::source, error, now);
    return false;
  }
  if (const Errno error = target_->failure(now); error != Errno::ok) {
    fail(Broken::target, error, now);
    return false;
  }
  starved_ = false;
  bool more = move(*source_, *target_, out_, Broken::source, Broken::target, now, budget);
  if (broken_ == Broken::none) {
    more |= move(*target_, *source_, in_, Broken::target, Broken::source, now, budget);
  }
  return more && broken_ == Broken::none;
}

bool Relay::move(StreamEnd& from, StreamEnd& to, Way& way, Broken from_name, Broken to_name,
                 Nanos now, int& budget) {
  for (int steps = 0; !way.finished; steps++) {
    if (steps == kSteps || budget <= 0) return true;
    const std::size_t room = to.room();
    if (room == 0) {
      starved_ |= to.starved();
      return false;
    }
    const auto there = from.peek(std::min(room, kStep), slices_, now);
    if (!there) {
      if (there.error() != Errno::again) fail(from_name, there.error(), now);
      return false;
    }
    if (*there == 0) {
      way.finished = true;
      to.finish(now);
      return false;
    }
    const auto taken = to.write(slices_, now);
    if (!taken) {
      if (taken.error() != Errno::again) fail(to_name, taken.error(), now);
      return false;
    }
    from.consume(*taken, now);
    way.bytes += *taken;
    budget -= static_cast<int>((*taken + kFrame - 1) / kFrame);
  }
  return false;
}

}  // namespace vpollnet::host
