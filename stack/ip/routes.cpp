// SPDX-License-Identifier: MIT
#include "ip/routes.hpp"

#include <algorithm>
#include <utility>

namespace vpollnet::ip {

namespace {

bool goes_before(const Route& a, const Route& b) {
  return std::pair(b.destination.prefix, a.metric) < std::pair(a.destination.prefix, b.metric);
}

bool is_over(const Route& route, InterfaceId interface) {
  return interface == kAnyInterface || route.interface == interface;
}

}  // namespace

Errno Routes::add(Route route) {
  route.destination.address = route.destination.network();
  const bool known = std::any_of(routes_.begin(), routes_.end(), [&](const Route& other) {
    return other.destination == route.destination && other.gateway == route.gateway &&
           other.interface == route.interface && other.metric == route.metric;
  });
  if (known) return Errno::exists;
  if (routes_.size() >= kMax) return Errno::no_buffers;
  routes_.insert(std::upper_bound(routes_.begin(), routes_.end(), route, goes_before), route);
  return Errno::ok;
}

bool Routes::remove(const Cidr& destination, const IpAddress& gateway, InterfaceId interface) {
  const Cidr wanted{destination.network(), destination.prefix};
  const auto found = std::find_if(routes_.begin(), routes_.end(), [&](const Route& route) {
    return route.destination == wanted && route.gateway == gateway && is_over(route, interface);
  });
  if (found == routes_.end()) return false;
  routes_.erase(found);
  return true;
}

void Routes::remove_interface(InterfaceId interface) {
  std::erase_if(routes_, [=](const Route& route) { return route.interface == interface; });
}

void Routes::remove_stranded() {
  const auto stranded = [this](const Route& route) {
    return !route.on_link() && find_on_link(route.gateway, route.interface) == nullptr;
  };
  // Gateways are reached by on-link routes alone, so one pass over a copy of them is enough.
  std::vector<Route> kept;
  kept.reserve(routes_.size());
  for (const Route& route : routes_) {
    if (!stranded(route)) kept.push_back(route);
  }
  routes_ = std::move(kept);
}

void Routes::set_usable(InterfaceId interface, bool usable) {
  for (Route& route : routes_) {
    if (route.interface == interface) route.usable = usable;
  }
}

const Route* Routes::find(const IpAddress& destination, InterfaceId interface) const {
  for (const Route& route : routes_) {
    if (route.usable && is_over(route, interface) && route.destination.contains(destination)) {
      return &route;
    }
  }
  return nullptr;
}

const Route* Routes::find_on_link(const IpAddress& address, InterfaceId interface) const {
  for (const Route& route : routes_) {
    if (route.on_link() && is_over(route, interface) && route.destination.contains(address)) {
      return &route;
    }
  }
  return nullptr;
}

}  // namespace vpollnet::ip
