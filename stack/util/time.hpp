// SPDX-License-Identifier: MIT
// Time in the core: a monotonic count of nanoseconds that the caller hands in. The core has no
// clock.
#pragma once

#include <cstdint>

namespace vpollnet {

/// A point on the caller's monotonic clock, or a span of it, in nanoseconds.
using Nanos = std::int64_t;

inline constexpr Nanos kMicrosecond = 1'000;
inline constexpr Nanos kMillisecond = 1'000'000;
inline constexpr Nanos kSecond = 1'000'000'000;

/// A deadline that never comes.
inline constexpr Nanos kNever = INT64_MAX;

}  // namespace vpollnet
