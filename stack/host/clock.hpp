// SPDX-License-Identifier: MIT
// The time that the host hands to the core.
#pragma once

#include <cstdint>

#include "util/time.hpp"

namespace vpollnet::host {

/// CLOCK_MONOTONIC in nanoseconds. No system call where the kernel has a vDSO clock.
Nanos monotonic_now();

/// CLOCK_REALTIME: nanoseconds since 1970, for people and files. It may jump.
std::uint64_t wall_now();

}  // namespace vpollnet::host
