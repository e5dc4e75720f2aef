// SPDX-License-Identifier: MIT
// The time that the host hands to the core.
#pragma once

#include "util/time.hpp"

namespace vpollnet::host {

/// CLOCK_MONOTONIC in nanoseconds. No system call where the kernel has a vDSO clock.
Nanos monotonic_now();

}  // namespace vpollnet::host
