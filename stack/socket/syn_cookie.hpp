// SPDX-License-Identifier: MIT
// SYN cookies (RFC 4987 3.6): an answer to a SYN that keeps no state, for when too many are half
// open.
#pragma once

#include <cstdint>
#include <optional>

#include "socket/tcp_flow.hpp"
#include "util/random.hpp"
#include "util/time.hpp"

namespace vpollnet::socket {

/// Makes and checks initial sequence numbers that carry the peer's MSS: 5 bits of time (64 s each),
/// 3 bits of MSS, 24 bits of keyed hash.
class SynCookies {
 public:
  explicit SynCookies(SecretKey secret) : secret_(secret) {}
  std::uint32_t make(const FlowKey& key, std::uint32_t peer_sequence, std::uint16_t peer_mss,
                     Nanos now) const;
  /// The MSS of a cookie that this object made for this key in the last two minutes.
  std::optional<std::uint16_t> check(const FlowKey& key, std::uint32_t peer_sequence,
                                     std::uint32_t cookie, Nanos now) const;

 private:
  std::uint32_t hash(const FlowKey& key, std::uint32_t peer_sequence, std::uint64_t period,
                     std::uint32_t mss_index) const;
  SecretKey secret_;
};

}  // namespace vpollnet::socket
