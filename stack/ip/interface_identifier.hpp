// SPDX-License-Identifier: MIT
// Stable and opaque interface identifiers (RFC 7217): a link-local address that says nothing about
// the hardware and stays the same as long as secret, interface and counter do.
#pragma once

#include <cstdint>
#include <string_view>

#include "util/random.hpp"
#include "wire/address.hpp"

namespace vpollnet::ip {

inline constexpr unsigned kIdgenRetries = 3;  ///< IDGEN_RETRIES (RFC 7217 7)

/// fe80::/64 with the identifier of RFC 7217 5. `counter` is DAD_Counter; it is raised further
/// when it leads to a reserved identifier (RFC 5453).
Cidr form_link_local(const SecretKey& secret, std::string_view interface_name,
                     const MacAddress& mac, unsigned& counter);

}  // namespace vpollnet::ip
