// SPDX-License-Identifier: MIT
#include "udp/endpoint.hpp"

#include <algorithm>
#include <cstring>

namespace vpollnet::udp {

std::optional<Drop> ReceiveQueue::push(const vpollnet::Endpoint& from, Packet&& payload,
                                       BlockPool& pool) {
  const std::size_t size = payload.size();
  const std::size_t overhead = (datagrams_.size() + 1) * kOverhead;
  if (!empty() && (bytes_ + size > limit_ || bytes_ + size + overhead > 2 * limit_))
    return Drop::udp_queue_full;
  if (!budget_.charge(size + kOverhead)) return Drop::memory_budget;
  datagrams_.push_back({from, size, payload.take_compact(pool)});
  bytes_ += size;
  return std::nullopt;
}

std::size_t ReceiveQueue::copy_front(std::span<std::uint8_t> out) const {
  std::size_t done = 0;
  for (const Slice& slice : front().payload) {
    const std::size_t step = std::min<std::size_t>(slice.size(), out.size() - done);
    if (step == 0) break;
    std::memcpy(out.data() + done, slice.bytes().data(), step);
    done += step;
  }
  return done;
}

void ReceiveQueue::pop() {
  const std::size_t size = datagrams_.front().size;
  datagrams_.pop_front();
  bytes_ -= size;
  budget_.release(size + kOverhead);
}

void ReceiveQueue::clear() {
  while (!empty()) pop();
}

}  // namespace vpollnet::udp
