// SPDX-License-Identifier: MIT
#include "ip/addresses.hpp"

#include <algorithm>
#include <cstring>

namespace vpollnet::ip {

namespace {

bool is_scoped(const IpAddress& address) { return address.is_v6() && address.is_link_local(); }

}  // namespace

Errno Addresses::add(InterfaceId interface, const Cidr& cidr, const Uptake& uptake, Nanos now) {
  if (find(cidr.address, interface) != nullptr) return Errno::exists;
  if (all_.size() >= kMax) return Errno::no_buffers;
  all_.push_back(std::make_unique<Address>());
  Address& address = *all_.back();
  address.interface = interface;
  address.cidr = cidr;
  address.broadcast = cidr.directed_broadcast();
  address.formed = uptake.formed;
  address.transmits = uptake.transmits;
  if (cidr.address.is_v4()) {
    address.announcements_left = uptake.announce ? kAnnouncements : 0;
    if (uptake.announce) set_deadline(address, now);
  } else if (uptake.transmits > 0) {
    address.state = Address::State::tentative;
    begin(address, uptake.wait_first, now);
  }
  index_.emplace(cidr.address, &address);
  return Errno::ok;
}

bool Addresses::remove(InterfaceId interface, const IpAddress& address) {
  Address* found = find_on(interface, address);
  if (found == nullptr) return false;
  timers_.cancel(*found);
  auto [at, end] = index_.equal_range(address);
  while (at != end && at->second != found) ++at;
  if (at != end) index_.erase(at);
  std::erase_if(all_, [found](const auto& entry) { return entry.get() == found; });
  return true;
}

Address* Addresses::find(const IpAddress& address, InterfaceId scope) {
  const bool any = scope == kAnyInterface || !is_scoped(address);
  auto [at, end] = index_.equal_range(address);
  for (; at != end; ++at) {
    if (any || at->second->interface == scope) return at->second;
  }
  return nullptr;
}

Address* Addresses::find_on(InterfaceId interface, const IpAddress& address) {
  auto [at, end] = index_.equal_range(address);
  for (; at != end; ++at) {
    if (at->second->interface == interface) return at->second;
  }
  return nullptr;
}

bool Addresses::is_directed_broadcast(const IpAddress& address, InterfaceId interface) const {
  if (!address.is_v4()) return false;
  return std::any_of(all_.begin(), all_.end(), [&](const auto& own) {
    return own->broadcast == address && (interface == kAnyInterface || own->interface == interface);
  });
}

bool Addresses::listens(InterfaceId interface, const IpAddress& group) const {
  return std::any_of(all_.begin(), all_.end(), [&](const auto& own) {
    return own->interface == interface && own->cidr.address.is_v6() &&
           own->state != Address::State::duplicated && own->cidr.address.solicited_node() == group;
  });
}

void Addresses::mark_duplicated(Address& address) {
  address.state = Address::State::duplicated;
  address.deadline = kNever;
  timers_.cancel(address);
}

bool Addresses::defend(Address& address, Nanos now) {
  if (address.defended_at && now - *address.defended_at < kDefendInterval) return false;
  address.defended_at = now;
  return true;
}

void Addresses::suspend(InterfaceId interface) {
  for (const auto& address : all_) {
    if (address->interface != interface) continue;
    address->deadline = kNever;
    timers_.cancel(*address);
  }
}

void Addresses::resume(InterfaceId interface, Nanos now) {
  for (const auto& address : all_) {
    if (address->interface != interface) continue;
    if (address->cidr.address.is_v4()) {
      address->announcements_left = kAnnouncements;
      set_deadline(*address, now);
    } else if (address->state == Address::State::tentative) {
      begin(*address, true, now);
    }
  }
}

std::optional<AddressEvent> Addresses::advance(Nanos now) {
  using Kind = AddressEvent::Kind;
  while (Address* address = timers_.pop_due(now)) {
    if (address->deadline > now) {
      set_deadline(*address, address->deadline);
      continue;
    }
    AddressEvent event{Kind::announce, address->interface, address->cidr.address, {}};
    if (address->cidr.address.is_v4()) {
      if (address->announcements_left == 0) continue;
      if (--address->announcements_left > 0) set_deadline(*address, now + kAnnounceInterval);
      return event;
    }
    if (address->state != Address::State::tentative) continue;
    if (address->probes_left == 0) {
      // RFC 4862 5.4: nobody has answered within RetransTimer of the last solicitation.
      address->state = Address::State::preferred;
      address->deadline = kNever;
      event.kind = Kind::assigned;
      return event;
    }
    address->probes_left--;
    const std::uint64_t bits = random_.next();
    std::memcpy(address->nonce.data(), &bits, address->nonce.size());
    set_deadline(*address, now + kRetransmit);
    event.kind = Kind::probe;
    event.nonce = address->nonce;
    return event;
  }
  return std::nullopt;
}

void Addresses::begin(Address& address, bool wait_first, Nanos now) {
  address.probes_left = address.transmits;
  // RFC 4862 5.4.2: a random delay before the first message of an interface, so that nodes that
  // start together do not speak together.
  const Nanos delay = wait_first ? kMaxDelay / 1024 * random_.below(1024) : 0;
  set_deadline(address, now + delay);
}

void Addresses::set_deadline(Address& address, Nanos deadline) {
  address.deadline = deadline;
  timers_.arm(address, deadline);
}

}  // namespace vpollnet::ip
