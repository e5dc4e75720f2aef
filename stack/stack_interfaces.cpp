// SPDX-License-Identifier: MIT
// Interfaces, addresses and routes: everything that is set up from outside, and the listings.
#include <algorithm>

#include "ip/interface_identifier.hpp"
#include "stack_implementation.hpp"

namespace vpollnet {

namespace {

constexpr std::uint32_t kSmallestMtu = 68;  // RFC 791 3.2
constexpr std::uint32_t kLargestMtu = 65535;

unsigned bits_of(Family family) { return family == Family::ipv4 ? 32 : 128; }

bool is_valid(const Cidr& cidr) {
  return cidr.address.family() != Family::none && cidr.prefix <= bits_of(cidr.address.family());
}

}  // namespace

// --- interfaces
// -----------------------------------------------------------------------------------

Result<InterfaceId> Stack::Implementation::add_interface(const InterfaceConfig& config, Nanos now) {
  const bool ethernet = config.type == LinkType::ethernet;
  if (config.name.empty() || config.mtu < kSmallestMtu || config.mtu > kLargestMtu) {
    return Errno::invalid;
  }
  if (ethernet && (config.mac.is_multicast() || config.mac.is_zero())) return Errno::invalid;
  for (const auto& other : interfaces_) {
    if (other != nullptr && other->config.name == config.name) return Errno::exists;
  }
  if (interface_count_ >= kMaxInterfaces || interfaces_.size() >= kMaxInterfaceIds) {
    return Errno::no_buffers;
  }
  auto added = std::make_unique<Interface>();
  Interface& on = *added;
  on.id = static_cast<InterfaceId>(interfaces_.size());
  on.config = config;
  on.ipv6_off = config.mtu < wire::kIpv6MinimumMtu;  // RFC 8200 5
  if (ethernet) {
    on.neighbours = std::make_unique<link::Neighbours>(budget_, counters_, random_);
  }
  interfaces_.push_back(std::move(added));
  interface_count_++;
  generation_++;
  if (config.ipv6 && !on.ipv6_off) form_link_local(on, now);
  return on.id;
}

void Stack::Implementation::form_link_local(Interface& on, Nanos now) {
  const Cidr address =
      ip::form_link_local(identifier_secret_, on.config.name, on.config.mac, on.link_local_counter);
  // RFC 7217 6: a random delay before the next attempt, too (IDGEN_DELAY). Without link-layer
  // addresses there is nobody on the link to have the same one.
  const Errno error = addresses_.add(on.id, address,
                                     {.transmits = on.ethernet() ? on.config.dad_transmits : 0,
                                      .wait_first = true,
                                      .formed = true},
                                     now);
  if (error == Errno::ok) add_connected_route(on.id, address);
  generation_++;
}

Errno Stack::Implementation::remove_interface(InterfaceId id, Nanos now) {
  const Interface* gone = find(id);
  if (gone == nullptr) return Errno::no_such_device;
  if (gone->loopback()) return Errno::invalid;
  if (gone->advertising != nullptr) end_advertising(id, now);
  if (gone->interceptor != nullptr) sockets_->on_interception_end(id, now);
  std::vector<IpAddress> lost;
  for (const auto& own : addresses_.all()) {
    if (own->interface == id) lost.push_back(own->cidr.address);
  }
  for (const IpAddress& address : lost) addresses_.remove(id, address);
  routes_.remove_interface(id);
  groups_.remove_interface(id);
  interfaces_[id].reset();
  interface_count_--;
  generation_++;
  for (const IpAddress& address : lost) {
    sockets_->on_address_removed(address, now);
    if (firewall_ != nullptr) firewall_->forget_address(address);
  }
  return Errno::ok;
}

Errno Stack::Implementation::set_up(InterfaceId id, bool up, Nanos now) {
  Interface* on = find(id);
  if (on == nullptr) return Errno::no_such_device;
  if (on->loopback()) return Errno::invalid;
  if (on->up == up) return Errno::ok;
  on->up = up;
  routes_.set_usable(id, up);
  generation_++;
  if (up) {
    // As on Linux, addresses that were in use stay so; what had not been found out begins anew.
    on->has_sent = false;
    addresses_.resume(id, now);
    groups_.resume(id, now);
    if (on->advertising != nullptr) on->advertising->timer.start(now);
  } else {
    addresses_.suspend(id);
    groups_.suspend(id);
    if (on->ethernet()) on->neighbours->clear(Drop::interface_down);
    if (on->advertising != nullptr) on->advertising->timer.stop();
  }
  return Errno::ok;
}

// --- addresses
// ------------------------------------------------------------------------------------

bool Stack::Implementation::may_assign(const Interface& on, const Cidr& cidr) const {
  const IpAddress& address = cidr.address;
  if (!is_valid(cidr) || cidr.prefix == 0) return false;
  if (address.is_multicast() || address.is_unspecified()) return false;
  if (address.is_limited_broadcast() || address == cidr.directed_broadcast()) return false;
  if (address.is_loopback() && !on.loopback()) return false;
  return !address.is_v6() || !on.ipv6_off;
}

Errno Stack::Implementation::add_address(InterfaceId id, const Cidr& address, Nanos now) {
  Interface* on = find(id);
  if (on == nullptr) return Errno::no_such_device;
  if (!may_assign(*on, address)) return Errno::invalid;
  const Errno error = addresses_.add(id, address,
                                     {.transmits = on->ethernet() ? on->config.dad_transmits : 0,
                                      .wait_first = !on->has_sent,
                                      .announce = on->ethernet() && on->up},
                                     now);
  if (error != Errno::ok) return error;
  if (!on->up) addresses_.suspend(id);
  if (!on->loopback()) add_connected_route(id, address);
  generation_++;
  return Errno::ok;
}

Errno Stack::Implementation::remove_address(InterfaceId id, const IpAddress& address, Nanos now) {
  if (find(id) == nullptr) return Errno::no_such_device;
  const ip::Address* own = addresses_.find_on(id, address);
  if (own == nullptr) return Errno::address_not_available;
  const Cidr cidr = own->cidr;
  addresses_.remove(id, cidr.address);
  remove_connected_route(id, cidr);
  generation_++;
  sockets_->on_address_removed(cidr.address, now);
  if (firewall_ != nullptr) firewall_->forget_address(cidr.address);
  return Errno::ok;
}

void Stack::Implementation::add_connected_route(InterfaceId id, const Cidr& address) {
  if (address.prefix == bits_of(address.address.family())) return;  // nobody else is in it
  routes_.add({.destination = address,
               .gateway = {},
               .interface = id,
               .connected = true,
               .usable = find(id)->up});
}

void Stack::Implementation::remove_connected_route(InterfaceId id, const Cidr& address) {
  const bool shared =
      std::any_of(addresses_.all().begin(), addresses_.all().end(), [&](const auto& other) {
        return other->interface == id && other->cidr.prefix == address.prefix &&
               other->cidr.network() == address.network();
      });
  if (shared) return;
  routes_.remove(address, {}, id);
  routes_.remove_stranded();
}

// --- routes
// ---------------------------------------------------------------------------------------

Errno Stack::Implementation::add_route(const RouteConfig& config) {
  const Cidr& destination = config.destination;
  const IpAddress& gateway = config.gateway;
  if (!is_valid(destination) || destination.address.is_loopback()) return Errno::invalid;
  if (config.interface == kLoopback) return Errno::invalid;
  InterfaceId interface = config.interface;
  if (interface != kAnyInterface && find(interface) == nullptr) return Errno::no_such_device;
  if (gateway.family() == Family::none) {
    if (interface == kAnyInterface) return Errno::invalid;
  } else {
    if (gateway.family() != destination.address.family() || gateway.is_unspecified() ||
        gateway.is_multicast() || gateway.is_loopback() || is_broadcast(gateway) ||
        addresses_.find(gateway, interface) != nullptr) {
      return Errno::invalid;
    }
    // RFC 4007 9: a link-local gateway says nothing without its interface.
    const bool scoped = gateway.is_v6() && gateway.is_link_local();
    if (scoped && interface == kAnyInterface && interface_count_ > 2) return Errno::invalid;
    const ip::Route* link = routes_.find_on_link(gateway, interface);
    if (link == nullptr) return Errno::network_unreachable;
    interface = link->interface;
  }
  const Errno error = routes_.add({.destination = destination,
                                   .gateway = gateway,
                                   .interface = interface,
                                   .metric = config.metric,
                                   .usable = find(interface)->up});
  if (error == Errno::ok) generation_++;
  return error;
}

Errno Stack::Implementation::remove_route(const RouteConfig& config) {
  if (!is_valid(config.destination)) return Errno::invalid;
  if (!routes_.remove(config.destination, config.gateway, config.interface)) return Errno::invalid;
  routes_.remove_stranded();
  generation_++;
  return Errno::ok;
}

// --- listings
// -------------------------------------------------------------------------------------

std::vector<InterfaceInfo> Stack::Implementation::interfaces() const {
  std::vector<InterfaceInfo> result;
  for (const auto& on : interfaces_) {
    if (on == nullptr) continue;
    result.push_back({.id = on->id,
                      .config = on->config,
                      .up = on->up,
                      .packets_in = on->packets_in,
                      .bytes_in = on->bytes_in,
                      .packets_out = on->packets_out,
                      .bytes_out = on->bytes_out});
  }
  return result;
}

std::vector<AddressInfo> Stack::Implementation::addresses() const {
  const auto state_of = [](const ip::Address& own) {
    switch (own.state) {
    case ip::Address::State::tentative: return AddressState::tentative;
    case ip::Address::State::duplicated: return AddressState::duplicated;
    case ip::Address::State::preferred: break;
    }
    return AddressState::preferred;
  };
  std::vector<AddressInfo> result;
  for (const auto& own : addresses_.all()) {
    result.push_back({own->interface, own->cidr, state_of(*own)});
  }
  return result;
}

std::vector<RouteConfig> Stack::Implementation::routes() const {
  std::vector<RouteConfig> result;
  for (const ip::Route& route : routes_.all()) {
    result.push_back({route.destination, route.gateway, route.interface, route.metric});
  }
  return result;
}

std::vector<NeighbourInfo> Stack::Implementation::neighbours() const {
  std::vector<NeighbourInfo> result;
  for (const auto& on : interfaces_) {
    if (on == nullptr || !on->ethernet()) continue;
    for (const link::NeighbourEntry& entry : on->neighbours->list()) {
      result.push_back({on->id, entry.address, entry.mac, link::to_string(entry.state)});
    }
  }
  return result;
}

const char* to_string(AddressState state) {
  switch (state) {
  case AddressState::tentative: return "tentative";
  case AddressState::preferred: return "preferred";
  case AddressState::duplicated: return "duplicated";
  }
  return "";
}

}  // namespace vpollnet
