// SPDX-License-Identifier: MIT
#include "host/clock.hpp"

#include <ctime>

namespace vpollnet::host {

Nanos monotonic_now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<Nanos>(now.tv_sec) * kSecond + now.tv_nsec;
}

}  // namespace vpollnet::host
