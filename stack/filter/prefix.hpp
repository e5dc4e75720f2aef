// SPDX-License-Identifier: MIT
// Translation of one prefix to another of the same length, with no state: NPTv6 (RFC 6296), and the
// same for IPv4, where transport checksums have to be brought along.
#pragma once

#include <optional>

#include "wire/address.hpp"

namespace vpollnet::filter {

/// `internal` stands behind the interface `out`, where it is seen as `external`.
struct PrefixNat {
  InterfaceId out = kAnyInterface;
  Cidr internal;
  Cidr external;

  /// Same family, same length; IPv6 up to /64 (RFC 6296 3.4, 3.5).
  bool is_valid() const;
};

/// `address`, which is in `from`, as it is in `to`. For IPv6 the sum of its 16-bit words stays as
/// it is (RFC 6296 3.1), so no checksum that covers it changes. Nothing for an IPv6 address that
/// cannot be mapped that way (RFC 6296 3.5: an interface identifier, or subnet, of all ones).
std::optional<IpAddress> map_prefix(const IpAddress& address, const Cidr& from, const Cidr& to);

}  // namespace vpollnet::filter
