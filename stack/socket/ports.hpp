// SPDX-License-Identifier: MIT
// Which local port a socket gets that did not ask for one.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "util/random.hpp"

namespace vpollnet::socket {

/// The dynamic ports of RFC 6335 6.
inline constexpr std::uint16_t kFirstEphemeralPort = 49152;
inline constexpr std::uint16_t kLastEphemeralPort = 65535;

/// Random tries before the scan: with half of the range taken, 255 of 256 sockets need no scan,
/// whose choice tells more about the ports beside it.
inline constexpr int kRandomPortTries = 8;

/// A port between the two that `is_free` says yes to; nothing if there is none. Hard to guess
/// (RFC 6056 3.3.2: a random port each time), and each port is tried if need be (3.3.1).
std::optional<std::uint16_t> choose_port(KeyedRandom& random,
                                         const std::function<bool(std::uint16_t)>& is_free);

}  // namespace vpollnet::socket
