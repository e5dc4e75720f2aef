// SPDX-License-Identifier: MIT
#include "host/links/impairment.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "link/offload.hpp"

namespace vpollnet::host {
namespace {

/// Uniform in [0, 1): the upper 53 bits, which a double holds exactly.
double unit(std::uint64_t number) { return static_cast<double>(number >> 11) * 0x1p-53; }

/// The frame in blocks that are not much larger than it is, so that a queue of small frames holds
/// no more memory than it is charged for.
Packet compacted(Packet&& frame, BlockPool& pool) {
  Packet result;
  result.checksum = frame.checksum;
  result.checksum_from_end = frame.checksum_from_end;
  result.checksum_field = frame.checksum_field;
  for (Slice& slice : frame.take_compact(pool)) result.append(std::move(slice));
  return result;
}

}  // namespace

Impairment::Impairment(const ImpairmentConfig& config, std::uint64_t seed, std::uint64_t stream)
    : seed_(seed), stream_(stream) {
  configure(config);
}

void Impairment::configure(const ImpairmentConfig& config) {
  config_ = config;
  if (config.seed) {
    seed_ = *config.seed;
    number_ = 0;
  }
  if (config.rate == 0) busy_until_ = 0;
}

std::uint64_t Impairment::draw(Purpose purpose) const {
  std::array<std::uint8_t, sizeof number_> bytes;
  std::memcpy(bytes.data(), &number_, bytes.size());
  return siphash({seed_, stream_ << 8 | static_cast<std::uint64_t>(purpose)}, bytes);
}

bool Impairment::happens(Purpose purpose, double share) const {
  return share > 0 && unit(draw(purpose)) < share;
}

Nanos Impairment::sent_at(std::size_t bytes, Nanos now) {
  if (config_.rate == 0) return now;
  const double seconds = static_cast<double>(bytes) * 8 / static_cast<double>(config_.rate);
  busy_until_ = std::max(now, busy_until_) +
                static_cast<Nanos>(std::llround(seconds * static_cast<double>(kSecond)));
  return busy_until_;
}

void Impairment::flip_bit(Packet& frame, BlockPool& pool) const {
  if (frame.size() == 0) return;
  // The bytes alone say now what came.
  link::finish_checksum(frame, pool);
  frame.checksum = ChecksumState::unverified;
  const std::uint64_t bit = draw(Purpose::bit) % (frame.size() * 8);
  frame.writable(bit / 8 + 1, pool)[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
}

bool Impairment::has_room(std::size_t bytes) {
  const bool room = waiting_.size() < config_.queue && bytes <= kQueueBytes - waiting_bytes_;
  if (!room) counters_.queue_full++;
  return room;
}

void Impairment::enqueue(Packet&& frame, const Fate& fate, Nanos due) {
  waiting_bytes_ += frame.size();
  // Mostly the last of all.
  waiting_.emplace_hint(waiting_.end(), due, Released{std::move(frame), fate});
}

Impairment::Fate Impairment::push(Packet&& frame, Nanos now, BlockPool& pool) {
  number_++;
  counters_.frames++;
  Fate fate;
  if (happens(Purpose::loss, config_.loss)) {
    counters_.lost++;
    fate.lost = true;
    return fate;
  }
  fate.duplicated = happens(Purpose::duplicate, config_.duplicate);
  fate.corrupted = happens(Purpose::corrupt, config_.corrupt);
  fate.reordered = happens(Purpose::reorder, config_.reorder);
  if (fate.corrupted) flip_bit(frame, pool);

  if (!has_room(frame.size())) {
    fate.queue_full = true;
    return fate;
  }
  if (fate.corrupted) counters_.corrupted++;
  if (fate.reordered) counters_.reordered++;
  const std::size_t size = frame.size();
  if (config_.delay > 0 || config_.jitter > 0 || config_.rate > 0) {
    frame = compacted(std::move(frame), pool);
  }
  Nanos delay = 0;
  if (!fate.reordered) {
    delay = config_.delay;
    if (config_.jitter > 0) {
      const double swing = unit(draw(Purpose::jitter)) * 2 - 1;
      delay += static_cast<Nanos>(std::llround(swing * static_cast<double>(config_.jitter)));
    }
  }
  delay = std::max<Nanos>(delay, 0);
  Packet twin;
  if (fate.duplicated) twin = frame.clone();
  enqueue(std::move(frame), fate, sent_at(size, now) + delay);
  if (fate.duplicated && has_room(size)) {
    counters_.duplicated++;
    enqueue(std::move(twin), fate, sent_at(size, now) + delay);
  }
  return fate;
}

void Impairment::release(Nanos now) {
  std::multimap<Nanos, Released> due;
  for (auto& [when, released] : waiting_) {
    due.emplace_hint(due.end(), std::min(when, now), std::move(released));
  }
  waiting_ = std::move(due);
  busy_until_ = 0;
}

std::optional<Impairment::Released> Impairment::pop(Nanos now) {
  if (waiting_.empty() || waiting_.begin()->first > now) return std::nullopt;
  Released released = std::move(waiting_.begin()->second);
  waiting_.erase(waiting_.begin());
  waiting_bytes_ -= released.frame.size();
  return released;
}

}  // namespace vpollnet::host
