// SPDX-License-Identifier: MIT
// What an address says about where it lies (IANA's special-purpose registries, RFC 6890).
#pragma once

#include <cstdint>
#include <vector>

#include "host/gateway/gateway_types.hpp"
#include "util/time.hpp"
#include "wire/address.hpp"

namespace vpollnet::host {

/// By the address alone: one bit of Reach; loopback is kReachHost. An IPv6 address that stands for
/// an IPv4 one (mapped, compatible, NAT64, 6to4, Teredo) has at least that one's reach, and is
/// never public if the IPv4 one is not.
std::uint8_t reach_of(const IpAddress& address);

/// The host's own addresses and networks, as getifaddrs(3) has them, looked at again each second.
class HostAddresses {
 public:
  /// kReachHost for an address of the host, kReachPrivate for one on its links; else reach_of().
  std::uint8_t reach(const IpAddress& address, Nanos now);

 private:
  void refresh();

  static constexpr Nanos kFresh = kSecond;
  Nanos looked_at_ = 0;
  bool looked_ = false;
  bool failed_ = false;
  std::vector<Cidr> addresses_;
};

}  // namespace vpollnet::host
