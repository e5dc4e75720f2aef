// SPDX-License-Identifier: MIT
// Which interface and which next hop lead to a destination: the longest prefix that matches, and
// of equal ones the lowest metric (RFC 1122 3.3.1, RFC 4861 5.2). One table for both families.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "util/result.hpp"
#include "wire/address.hpp"

namespace vpollnet::ip {

struct Route {
  Cidr destination;   ///< host bits are cleared
  IpAddress gateway;  ///< Family::none: the destination is on the link itself
  InterfaceId interface = kAnyInterface;
  std::uint32_t metric = 0;
  bool connected = false;  ///< came with an address, and goes with it
  bool usable = true;      ///< its interface is up

  bool on_link() const { return gateway.family() == Family::none; }
};

class Routes {
 public:
  static constexpr std::size_t kMax = 1024;

  /// EEXIST when prefix, gateway, interface and metric are those of another; ENOBUFS.
  Errno add(Route route);
  /// Removes the first that agrees; an interface of kAnyInterface agrees with all. False if none.
  bool remove(const Cidr& destination, const IpAddress& gateway, InterfaceId interface);
  void remove_interface(InterfaceId interface);
  /// Routes whose gateway is on no link any more (its on-link route was removed).
  void remove_stranded();
  void set_usable(InterfaceId interface, bool usable);

  /// Null when nothing matches. `interface`: only routes over it, unless kAnyInterface.
  const Route* find(const IpAddress& destination, InterfaceId interface) const;
  /// The on-link route that a gateway or neighbour is reached by; null if it is not on link. Routes
  /// over interfaces that are down count.
  const Route* find_on_link(const IpAddress& address, InterfaceId interface) const;
  const std::vector<Route>& all() const { return routes_; }

 private:
  std::vector<Route>
      routes_;  ///< the longest prefix first, then the lowest metric, then the oldest
};

}  // namespace vpollnet::ip
