// SPDX-License-Identifier: MIT
#include "ip/path_mtu.hpp"

#include <algorithm>

namespace vpollnet::ip {

std::uint32_t PathMtu::floored(Family family, std::uint32_t mtu) {
  // A router without RFC 1191 says 0, which comes out as the floor.
  return std::max(mtu, family == Family::ipv4 ? kFloorIpv4 : kFloorIpv6);
}

std::uint32_t PathMtu::find(const IpAddress& destination, InterfaceId scope) const {
  if (order_.empty()) return UINT32_MAX;
  const auto found = index_.find(key_of(destination, scope));
  return found == index_.end() ? UINT32_MAX : found->second->mtu;
}

bool PathMtu::learn(const IpAddress& destination, InterfaceId scope, std::uint32_t mtu, Nanos now) {
  mtu = floored(destination.family(), mtu);
  const Key key = key_of(destination, scope);
  const auto found = index_.find(key);
  if (found != index_.end()) {
    if (mtu > found->second->mtu) return false;
    const bool narrower = mtu < found->second->mtu;
    found->second->mtu = mtu;
    found->second->deadline = now + kLifetime;
    order_.splice(order_.end(), order_, found->second);
    return narrower;
  }
  if (order_.size() >= kMax) drop_first();
  order_.push_back({key, mtu, now + kLifetime});
  index_.emplace(key, std::prev(order_.end()));
  return true;
}

bool PathMtu::advance(Nanos now) {
  bool any = false;
  while (!order_.empty() && order_.front().deadline <= now) {
    drop_first();
    any = true;
  }
  return any;
}

PathMtu::Key PathMtu::key_of(const IpAddress& destination, InterfaceId scope) {
  const bool scoped = destination.is_v6() && destination.is_link_local();
  return {destination, scoped ? scope : kAnyInterface};
}

void PathMtu::drop_first() {
  index_.erase(order_.front().key);
  order_.pop_front();
}

}  // namespace vpollnet::ip
