// SPDX-License-Identifier: MIT
// ICMP and ICMPv6 errors: when one may be sent, how often, how much it quotes, and what one that
// was received means to a socket (RFC 1122 3.2.2, RFC 4443 2.4).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "util/packet.hpp"
#include "util/random.hpp"
#include "util/result.hpp"
#include "util/time.hpp"
#include "wire/address.hpp"
#include "wire/icmpv4.hpp"
#include "wire/icmpv6.hpp"

namespace vpollnet::ip {

/// What a received error is to the socket that sent the packet.
struct ErrorMeaning {
  Errno error = Errno::ok;
  bool hard = false;  ///< it will not mend itself: who has no state to lose may give up
};
/// Linux's choice of errno for each code. Nothing for a type that is no error, or unknown.
std::optional<ErrorMeaning> icmpv4_meaning(std::uint8_t type, std::uint8_t code);
std::optional<ErrorMeaning> icmpv6_meaning(std::uint8_t type, std::uint8_t code);

/// An error that is to be sent.
struct ErrorReport {
  std::uint8_t type = 0;
  std::uint8_t code = 0;
  std::uint32_t rest = 0;  ///< MTU or pointer
  bool even_to_group =
      false;  ///< Packet Too Big, and Parameter Problem code 2 (RFC 4443 2.4 (e.3))
};

/// True if `packet`, which begins with its IP header, may be answered with `report` (RFC 1122
/// 3.2.2, RFC 4443 2.4 (e); security case C04). `to_group`: it came by broadcast or multicast, of
/// IP or of the link. That its source is no broadcast address of a subnet is for the caller to
/// check.
bool may_report(const ErrorReport& report, Packet& packet, bool to_group, BlockPool& pool);

/// The message: header, as much of `packet` as fits (RFC 1812 4.3.2.3: 576 bytes with its IP
/// header; RFC 4443 2.4 (c): 1280), and for ICMP the checksum. ICMPv6 needs addresses for that: it
/// has 0.
Packet make_report(const ErrorReport& report, Family family, const Packet& packet, BlockPool& pool);

/// How often errors go out: a bucket for all and one for each destination (RFC 4443 2.4 (f)).
///
/// Whoever counts the errors that come back must not learn how many others were sent (security case
/// C05, CVE-2020-25705): the bucket of the destination is asked first, so that a sender cannot use
/// up the common one through it, and the level at which the common one says no is random.
class ErrorLimiter {
 public:
  static constexpr std::uint32_t kPerSecond = 1000;
  static constexpr std::uint32_t kBurst = 50;
  static constexpr std::uint32_t kJitter = 8;
  static constexpr std::uint32_t kPerDestinationPerSecond = 1;
  static constexpr std::uint32_t kDestinationBurst = 6;
  /// Destinations share these by a keyed hash: bounded without a list.
  static constexpr std::size_t kSlots = 256;

  /// `random` must outlive it.
  explicit ErrorLimiter(KeyedRandom& random) : random_(random), key_(random.derive()) {}
  /// Takes a token, if there is one. `essential`: path MTU discovery depends on it, for each flow
  /// of the destination, so its own bucket is not asked.
  bool allow(const IpAddress& destination, Nanos now, bool essential = false);

 private:
  /// A token bucket kept as the time at which it would be full.
  struct Bucket {
    Nanos full_at = INT64_MIN;
    /// Tokens in it, of `burst`.
    std::int64_t level(std::int64_t per_second, std::int64_t burst, Nanos now) const;
    void take(std::int64_t per_second, Nanos now);
  };

  KeyedRandom& random_;
  SecretKey key_;
  Bucket all_;
  std::array<Bucket, kSlots> slots_;
};

}  // namespace vpollnet::ip
