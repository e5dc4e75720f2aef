// SPDX-License-Identifier: MIT
// Unpredictable numbers without a source of their own: SipHash-2-4 (Aumasson and Bernstein, 2012)
// under a secret key that the host draws once. The same key gives the same run.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace vpollnet {

/// 128 secret bits.
using SecretKey = std::array<std::uint64_t, 2>;

/// SipHash-2-4 of `bytes` under `key`: the keyed function F of RFC 6528 3 and RFC 6056 3.3.3, and
/// the hash of every table whose keys a peer can choose.
std::uint64_t siphash(const SecretKey& key, std::span<const std::uint8_t> bytes);

/// A stream of numbers: siphash(key, 0), siphash(key, 1), ... Not thread-safe.
class KeyedRandom {
 public:
  explicit KeyedRandom(SecretKey key) : key_(key) {}
  std::uint64_t next();
  /// Uniform in [0, bound); bound > 0.
  std::uint32_t below(std::uint32_t bound);
  /// A key for a purpose of its own.
  SecretKey derive() { return {next(), next()}; }

 private:
  SecretKey key_;
  std::uint64_t counter_ = 0;
};

}  // namespace vpollnet
