// SPDX-License-Identifier: MIT
#include "ip/identification.hpp"

#include <cstring>

namespace vpollnet::ip {

Identification::Identification(KeyedRandom& random)
    : counter_(static_cast<std::uint16_t>(random.next())) {
  for (auto& round : rounds_) {
    for (std::size_t at = 0; at < round.size(); at += sizeof(std::uint64_t)) {
      const std::uint64_t bits = random.next();
      std::memcpy(&round[at], &bits, sizeof bits);
    }
  }
}

std::uint16_t Identification::next() {
  const std::uint16_t value = counter_++;
  auto left = static_cast<std::uint8_t>(value >> 8);
  auto right = static_cast<std::uint8_t>(value);
  for (const auto& round : rounds_) {
    const auto mixed = static_cast<std::uint8_t>(left ^ round[right]);
    left = right;
    right = mixed;
  }
  return static_cast<std::uint16_t>(left << 8 | right);
}

}  // namespace vpollnet::ip
