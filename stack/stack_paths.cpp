// SPDX-License-Identifier: MIT
// From a destination to a Path: loopback, link, route, source address, path MTU.
#include <algorithm>

#include "stack_implementation.hpp"

namespace vpollnet {

using socket::Path;

namespace {

bool is_given(const IpAddress& source) {
  return source.family() != Family::none && !source.is_unspecified();
}

}  // namespace

Result<Path> Stack::Implementation::find_path(const IpAddress& destination, const IpAddress& source,
                                              InterfaceId interface) {
  const auto bytes = destination.bytes();
  const std::size_t slot =
      bytes.empty() ? 0 : (bytes.back() ^ bytes[bytes.size() - 2]) % kCachedPaths;
  CachedPath& cached = cached_paths_[slot];
  if (cached.generation == generation_ && cached.interface == interface &&
      cached.destination == destination && cached.source == source) {
    return cached.path;
  }
  const auto path = resolve_path(destination, source, interface);
  if (path) cached = {generation_, destination, source, interface, *path};
  return path;
}

Result<Path> Stack::Implementation::resolve_path(const IpAddress& destination,
                                                 const IpAddress& source, InterfaceId interface) {
  const Family family = destination.family();
  if (family == Family::none) return Errno::family_not_supported;
  if (source.family() != Family::none && source.family() != family) {
    return Errno::family_not_supported;
  }
  if (interface != kAnyInterface) {
    const Interface* forced = find(interface);
    if (forced == nullptr) return Errno::no_such_device;
    if (!forced->up) return Errno::network_down;
  }
  const Interface* over = find(interface);
  const bool may_borrow = over != nullptr && over->interceptor != nullptr && !source.is_loopback();
  if (is_given(source) && !may_borrow && !is_local(source, interface)) {
    return Errno::address_not_available;
  }
  if (destination.is_unspecified()) return Errno::network_unreachable;
  if (destination.is_multicast() || is_broadcast(destination)) {
    return path_to_group(destination, source, interface);
  }

  const ip::Address* own = addresses_.find(destination, interface);
  if (own != nullptr || destination.is_loopback()) {
    if (own != nullptr && !own->usable()) return Errno::network_unreachable;
    IpAddress from = source;
    if (!is_given(source)) {
      from = destination.is_loopback() ? IpAddress::loopback(family) : destination;
    }
    // A link-local address of ours belongs to its own link also when it talks to itself.
    const bool scoped = own != nullptr && destination.is_link_local();
    return Path{.source = from,
                .interface = scoped ? own->interface : kLoopback,
                .mtu = find(kLoopback)->config.mtu,
                .segmentation = true};
  }
  if (source.is_loopback()) return Errno::address_not_available;

  if (destination.is_v6() && destination.is_link_local()) {
    const Interface* out = find(interface);
    const ip::Address* from = source.is_link_local() ? addresses_.find(source, interface) : nullptr;
    if (out == nullptr && from != nullptr) out = find(from->interface);
    // Two interfaces are loopback and one other: then there is no doubt which is meant.
    if (out == nullptr && interface_count_ == 2) out = first_with(Family::ipv6);
    if (out == nullptr) return interface_count_ > 2 ? Errno::invalid : Errno::network_unreachable;
    return path_over(*out, destination, source, destination);
  }
  const ip::Route* route = routes_.find(destination, interface);
  const Interface* out = route != nullptr ? find(route->interface) : nullptr;
  if (out == nullptr) return Errno::network_unreachable;
  return path_over(*out, destination, source, route->on_link() ? destination : route->gateway);
}

Result<Path> Stack::Implementation::path_to_group(const IpAddress& destination,
                                                  const IpAddress& source, InterfaceId interface) {
  const Interface* out = find(interface);
  bool broadcast = false;
  if (destination.is_v4() && !destination.is_multicast()) {
    broadcast = true;
    if (!destination.is_limited_broadcast()) {
      for (const auto& own : addresses_.all()) {
        const bool fits = interface == kAnyInterface || own->interface == interface;
        if (own->broadcast == destination && fits) out = find(own->interface);
      }
    }
  }
  if (out == nullptr && is_given(source)) {
    const ip::Address* own = addresses_.find(source, interface);
    if (own != nullptr) out = find(own->interface);
  }
  if (out == nullptr) {
    const ip::Route* route = routes_.find(destination, interface);
    out = route != nullptr ? find(route->interface) : first_with(destination.family());
  }
  // Over the loopback only who asks for it: members there hear of it, and nobody else.
  if (out != nullptr && out->loopback() && out->id == interface && !broadcast) {
    return Path{.source = is_given(source) ? source : IpAddress::loopback(destination.family()),
                .interface = kLoopback,
                .mtu = out->config.mtu,
                .segmentation = true};
  }
  if (out == nullptr || out->loopback() || !out->up) return Errno::network_unreachable;
  auto path = path_over(*out, destination, source, destination);
  if (path) path->broadcast = broadcast;
  return path;
}

Result<Path> Stack::Implementation::path_over(const Interface& out, const IpAddress& destination,
                                              const IpAddress& source, const IpAddress& next_hop) {
  if (!out.up) return Errno::network_down;
  if (destination.is_v6() && out.ipv6_off) return Errno::network_unreachable;
  IpAddress from = source;
  if (!is_given(source)) {
    const ip::Address* chosen = ip::select_source(addresses_, destination, out.id, next_hop);
    if (chosen == nullptr) return Errno::address_not_available;
    from = chosen->cidr.address;
  }
  return Path{.source = from,
              .interface = out.id,
              .mtu = std::min(out.config.mtu, path_mtu_.find(destination, out.id)),
              .segmentation = true,
              .next_hop = next_hop};
}

const Stack::Implementation::Interface* Stack::Implementation::first_with(Family family) const {
  for (const auto& own : addresses_.all()) {
    const Interface* on = find(own->interface);
    if (on != nullptr && on->up && !on->loopback() && own->usable() &&
        own->cidr.address.family() == family) {
      return on;
    }
  }
  return nullptr;
}

void Stack::Implementation::confirm_reachable(const IpAddress&, const Path& path, Nanos now) {
  Interface* out = find(path.interface);
  if (out != nullptr && out->ethernet()) out->neighbours->confirm(path.next_hop, now);
}

bool Stack::Implementation::is_local(const IpAddress& address, InterfaceId interface) const {
  if (address.is_loopback()) return true;  // 127.0.0.0/8 is all ours (RFC 1122 3.2.1.3 (g))
  const ip::Address* own = addresses_.find(address, interface);
  return own != nullptr && own->usable();
}

bool Stack::Implementation::is_broadcast(const IpAddress& address) const {
  return address.is_v4() && (address.is_limited_broadcast() ||
                             addresses_.is_directed_broadcast(address, kAnyInterface));
}

}  // namespace vpollnet
