// SPDX-License-Identifier: MIT
#include "socket/syn_cookie.hpp"

#include <array>

namespace vpollnet::socket {
namespace {

/// Common MSS values, ascending: the peer's is rounded down to one of them.
constexpr std::array<std::uint16_t, 8> kMss{88, 536, 1220, 1300, 1440, 1460, 8960, 65495};
constexpr Nanos kPeriod = 64 * kSecond;

}  // namespace

std::uint32_t SynCookies::hash(const FlowKey& key, std::uint32_t peer_sequence,
                               std::uint64_t period, std::uint32_t mss_index) const {
  std::array<std::uint8_t, 24> bytes;
  const std::uint64_t flow = FlowKeyHash{secret_}(key);
  std::memcpy(bytes.data(), &flow, 8);
  std::memcpy(bytes.data() + 8, &period, 8);
  std::memcpy(bytes.data() + 16, &peer_sequence, 4);
  std::memcpy(bytes.data() + 20, &mss_index, 4);
  return static_cast<std::uint32_t>(siphash(secret_, bytes) & 0xffffff);
}

std::uint32_t SynCookies::make(const FlowKey& key, std::uint32_t peer_sequence,
                               std::uint16_t peer_mss, Nanos now) const {
  std::uint32_t index = 0;
  while (index + 1 < kMss.size() && kMss[index + 1] <= peer_mss) index++;
  const std::uint64_t period = static_cast<std::uint64_t>(now / kPeriod);
  return static_cast<std::uint32_t>(period & 31) << 27 | index << 24 |
         hash(key, peer_sequence, period, index);
}

std::optional<std::uint16_t> SynCookies::check(const FlowKey& key, std::uint32_t peer_sequence,
                                               std::uint32_t cookie, Nanos now) const {
  const std::uint64_t current = static_cast<std::uint64_t>(now / kPeriod);
  const std::uint32_t index = (cookie >> 24) & 7;
  for (std::uint64_t age = 0; age < 2 && age <= current; age++) {
    const std::uint64_t period = current - age;
    if (cookie >> 27 == (period & 31) &&
        (cookie & 0xffffff) == hash(key, peer_sequence, period, index)) {
      return kMss[index];
    }
  }
  return std::nullopt;
}

}  // namespace vpollnet::socket
