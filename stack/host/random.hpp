// SPDX-License-Identifier: MIT
// Unpredictable bytes from the operating system.
#pragma once

#include <cstdint>
#include <span>

#include "util/random.hpp"
#include "wire/address.hpp"

namespace vpollnet::host {

/// Fills `out` by getrandom(2). Waits until the kernel's generator is seeded, which is over soon
/// after boot. Throws std::system_error where the system call is forbidden: a stack must not run
/// on a secret that can be guessed.
void fill_random(std::span<std::uint8_t> out);

SecretKey random_secret();

/// Unicast and locally administered (IEEE 802c), otherwise random.
MacAddress random_mac();

}  // namespace vpollnet::host
