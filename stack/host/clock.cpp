// SPDX-License-Identifier: MIT
#include "host/clock.hpp"

#include <ctime>

namespace vpollnet::host {

Nanos monotonic_now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<Nanos>(now.tv_sec) * kSecond + now.tv_nsec;
}

std::uint64_t wall_now() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * static_cast<std::uint64_t>(kSecond) +
         static_cast<std::uint64_t>(now.tv_nsec);
}

}  // namespace vpollnet::host
