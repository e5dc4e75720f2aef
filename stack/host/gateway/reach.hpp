// SPDX-License-Identifier: MIT
// What an address says about where it lies (IANA's special-purpose registries, RFC 6890).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "host/gateway/gateway_types.hpp"
#include "host/sockets/rtnetlink.hpp"
#include "util/time.hpp"
#include "wire/address.hpp"

namespace vpollnet::host {

/// By the address alone: one bit of Reach; loopback is kReachHost. An IPv6 address that stands for
/// an IPv4 one (mapped, compatible, NAT64, 6to4, Teredo) has at least that one's reach, and is
/// never public if the IPv4 one is not.
std::uint8_t reach_of(const IpAddress& address);

/// The host's own addresses and networks, as getifaddrs(3) and its routes have them, looked at
/// again each second.
class HostAddresses {
 public:
  /// kReachHost for an address of the host, kReachPrivate for one on its links; else reach_of().
  std::uint8_t reach(const IpAddress& address, Nanos now);

 private:
  void refresh();
  std::uint8_t look(const IpAddress& address);
  std::uint8_t by_route(const IpAddress& address, std::uint8_t general);

  static constexpr Nanos kFresh = kSecond;
  static constexpr std::size_t kKnown = 4096;
  Nanos looked_at_ = 0;
  bool looked_ = false;
  bool failed_ = false;
  std::vector<Cidr> addresses_;
  std::unique_ptr<Rtnetlink> routes_;
  std::map<IpAddress, std::uint8_t> known_;  ///< what was found since the last look
};

}  // namespace vpollnet::host
