// SPDX-License-Identifier: MIT
// IPv4 identifications for packets that may be fragmented (RFC 6864 4.3): none comes twice within
// 65,536 packets, and who sees some cannot tell the others (RFC 7739 3, security case F05).
#pragma once

#include <array>
#include <cstdint>

#include "util/random.hpp"

namespace vpollnet::ip {

/// A counter behind a secret permutation of the 16-bit numbers: a Feistel network over two bytes,
/// whose round functions are tables drawn once. Each next() is four look-ups.
class Identification {
 public:
  explicit Identification(KeyedRandom& random);
  std::uint16_t next();

 private:
  std::array<std::array<std::uint8_t, 256>, 4> rounds_;
  std::uint16_t counter_;
};

}  // namespace vpollnet::ip
