// SPDX-License-Identifier: MIT
// Interfaces, addresses and routes of a stack that has rtnetlink(7) behind its BSD calls: the
// kernel's, and those of the libioth kind.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "host/sockets/bsd_calls.hpp"
#include "util/result.hpp"
#include "wire/address.hpp"

namespace vpollnet::host {

/// One netlink socket. What comes back is checked for every length: a plug-in may have written it.
class Rtnetlink {
 public:
  struct Interface {
    InterfaceId index = kAnyInterface;
    std::string name;
    bool loopback = false;
  };

  /// Where packets to an address go.
  struct Route {
    enum class Kind : std::uint8_t { local, on_link, by_gateway, special };
    Kind kind = Kind::special;
    unsigned prefix = 0;  ///< of the route's destination
  };

  /// `calls` must outlive it.
  explicit Rtnetlink(const BsdCalls& calls) : calls_(calls) {}
  ~Rtnetlink();
  Rtnetlink(const Rtnetlink&) = delete;
  Rtnetlink& operator=(const Rtnetlink&) = delete;

  /// Once, before the rest. EAFNOSUPPORT where the stack has no netlink.
  Errno open();
  /// By index. EBADMSG for an answer that is none.
  Result<std::vector<Interface>> interfaces();
  Errno set_up(InterfaceId index);
  /// An IPv6 address is used at once, without a look for duplicates.
  Errno add_address(InterfaceId index, const Cidr& address);
  /// ENETUNREACH, EHOSTUNREACH, EACCES and EINVAL (a black hole) say that there is none.
  Result<Route> route_to(const IpAddress& address);
  /// A default route.
  Errno add_gateway(InterfaceId index, const IpAddress& gateway);

 private:
  using Bytes = std::vector<std::uint8_t>;
  using Take = std::function<void(std::uint16_t type, std::span<const std::uint8_t> payload)>;

  Errno ask(Bytes message, std::uint16_t type, std::uint16_t flags, const Take& take);
  Errno wait() const;

  const BsdCalls& calls_;
  int fd_ = -1;
  std::uint32_t sequence_ = 0;
};

}  // namespace vpollnet::host
