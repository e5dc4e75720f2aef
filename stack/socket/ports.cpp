// SPDX-License-Identifier: MIT
#include "socket/ports.hpp"

namespace vpollnet::socket {

namespace {
constexpr std::uint32_t kCount = kLastEphemeralPort - kFirstEphemeralPort + 1;
}  // namespace

std::optional<std::uint16_t> choose_port(KeyedRandom& random,
                                         const std::function<bool(std::uint16_t)>& is_free) {
  for (int i = 0; i < kRandomPortTries; i++) {
    const auto port = static_cast<std::uint16_t>(kFirstEphemeralPort + random.below(kCount));
    if (is_free(port)) return port;
  }
  const std::uint32_t start = random.below(kCount);
  for (std::uint32_t i = 0; i < kCount; i++) {
    const auto port = static_cast<std::uint16_t>(kFirstEphemeralPort + (start + i) % kCount);
    if (is_free(port)) return port;
  }
  return std::nullopt;
}

}  // namespace vpollnet::socket
