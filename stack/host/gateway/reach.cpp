// SPDX-License-Identifier: MIT
#include "host/gateway/reach.hpp"

#include <ifaddrs.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <bit>

namespace vpollnet::host {
namespace {

struct Block {
  std::array<std::uint8_t, 4> bytes;
  std::uint8_t prefix;
  std::uint8_t reach;
};

/// IANA IPv4 Special-Purpose Address Registry; the first that fits counts.
constexpr std::array kIpv4{
    Block{{0, 0, 0, 0}, 8, kReachSpecial},           // RFC 791 3.2; connect() takes it for loopback
    Block{{10, 0, 0, 0}, 8, kReachPrivate},          // RFC 1918
    Block{{100, 64, 0, 0}, 10, kReachPrivate},       // RFC 6598
    Block{{127, 0, 0, 0}, 8, kReachHost},            // RFC 1122 3.2.1.3
    Block{{168, 63, 129, 16}, 32, kReachLinkLocal},  // a public address, and Azure's metadata
    Block{{169, 254, 0, 0}, 16, kReachLinkLocal},    // RFC 3927
    Block{{172, 16, 0, 0}, 12, kReachPrivate},       // RFC 1918
    Block{{192, 0, 0, 0}, 24, kReachSpecial},        // RFC 6890
    Block{{192, 0, 2, 0}, 24, kReachSpecial},        // RFC 5737
    Block{{192, 88, 99, 0}, 24, kReachSpecial},      // RFC 7526
    Block{{192, 168, 0, 0}, 16, kReachPrivate},      // RFC 1918
    Block{{198, 18, 0, 0}, 15, kReachSpecial},       // RFC 2544
    Block{{198, 51, 100, 0}, 24, kReachSpecial},     // RFC 5737
    Block{{203, 0, 113, 0}, 24, kReachSpecial},      // RFC 5737
    Block{{224, 0, 0, 0}, 4, kReachSpecial},         // RFC 5771
    Block{{240, 0, 0, 0}, 4, kReachSpecial},         // RFC 1112 4, and broadcast
};

bool begins_with(std::span<const std::uint8_t> bytes, std::initializer_list<std::uint8_t> front) {
  return std::equal(front.begin(), front.end(), bytes.begin());
}

bool is_zero(std::span<const std::uint8_t> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t byte) { return byte == 0; });
}

std::uint8_t reach_of_embedded(std::span<const std::uint8_t> four) {
  const std::uint8_t reach = reach_of(IpAddress::from_bytes(four));
  // Whether a translator is there is not known: what it would lead to is no reason to trust it.
  return reach == kReachPublic ? std::uint8_t{kReachSpecial} : reach;
}

std::uint8_t reach_of_ipv6(std::span<const std::uint8_t> bytes) {
  if (is_zero(bytes.first(15)) && bytes[15] == 1) return kReachHost;  // ::1
  if (is_zero(bytes.first(10)) && bytes[10] == 0xff && bytes[11] == 0xff) {
    return reach_of_embedded(bytes.subspan(12));  // mapped (RFC 4291 2.5.5.2)
  }
  if (is_zero(bytes.first(12))) return reach_of_embedded(bytes.subspan(12));  // compatible, "::"
  if (begins_with(bytes, {0x00, 0x64, 0xff, 0x9b})) {
    return reach_of_embedded(bytes.subspan(12));  // NAT64 (RFC 6052, RFC 8215)
  }
  if (begins_with(bytes, {0x20, 0x02})) return reach_of_embedded(bytes.subspan(2, 4));  // RFC 3056
  if (begins_with(bytes, {0x20, 0x01, 0x00, 0x00})) return kReachSpecial;               // RFC 4380
  if ((bytes[0] & 0xfe) == 0xfc) return kReachPrivate;                                  // RFC 4193
  if (bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80) return kReachLinkLocal;            // RFC 4291
  if (bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0xc0) return kReachPrivate;              // RFC 3879
  if (begins_with(bytes, {0x20, 0x01, 0x0d, 0xb8})) return kReachSpecial;               // RFC 3849
  if (begins_with(bytes, {0x3f, 0xff}) && bytes[2] < 0x10) return kReachSpecial;        // RFC 9637
  if (begins_with(bytes, {0x20, 0x01}) && bytes[2] < 2) return kReachSpecial;           // RFC 2928
  // RFC 4291 2.4: 2000::/3 is what is global unicast today.
  return (bytes[0] & 0xe0) == 0x20 ? kReachPublic : kReachSpecial;
}

/// Of an address of which the host could not tell whether it has it.
std::uint8_t closed(std::uint8_t general) {
  return general == kReachPublic ? std::uint8_t{kReachPrivate} : general;
}

std::uint8_t prefix_of(std::span<const std::uint8_t> mask) {
  unsigned bits = 0;
  for (const std::uint8_t byte : mask) bits += static_cast<unsigned>(std::popcount(byte));
  return static_cast<std::uint8_t>(bits);
}

}  // namespace

std::uint8_t reach_of(const IpAddress& address) {
  if (address.is_v6()) return reach_of_ipv6(address.bytes());
  if (!address.is_v4()) return kReachSpecial;
  for (const Block& block : kIpv4) {
    if (Cidr{IpAddress::from_bytes(block.bytes), block.prefix}.contains(address)) {
      return block.reach;
    }
  }
  return kReachPublic;
}

void HostAddresses::refresh() {
  addresses_.clear();
  ifaddrs* list = nullptr;
  failed_ = ::getifaddrs(&list) != 0;
  if (failed_) return;
  if (routes_ == nullptr) {
    routes_ = std::make_unique<Rtnetlink>(BsdCalls::kernel());
    failed_ = routes_->open() != Errno::ok;
    if (failed_) routes_.reset();
  }
  for (const ifaddrs* at = list; at != nullptr; at = at->ifa_next) {
    if (at->ifa_addr == nullptr) continue;
    const auto bytes_of = [](const sockaddr* address) -> std::span<const std::uint8_t> {
      if (address->sa_family == AF_INET) {
        const auto* in = reinterpret_cast<const sockaddr_in*>(address);
        return {reinterpret_cast<const std::uint8_t*>(&in->sin_addr), 4};
      }
      if (address->sa_family == AF_INET6) {
        const auto* in6 = reinterpret_cast<const sockaddr_in6*>(address);
        return {in6->sin6_addr.s6_addr, 16};
      }
      return {};
    };
    const auto bytes = bytes_of(at->ifa_addr);
    if (bytes.empty()) continue;
    const std::uint8_t prefix = at->ifa_netmask != nullptr
                                    ? prefix_of(bytes_of(at->ifa_netmask))
                                    : static_cast<std::uint8_t>(8 * bytes.size());
    addresses_.push_back({IpAddress::from_bytes(bytes), prefix});
  }
  ::freeifaddrs(list);
}

std::uint8_t HostAddresses::reach(const IpAddress& address, Nanos now) {
  if (!looked_ || now - looked_at_ >= kFresh) {
    refresh();
    known_.clear();
    looked_ = true;
    looked_at_ = now;
  }
  const auto found = known_.find(address);
  if (found != known_.end()) return found->second;
  const std::uint8_t reach = look(address);
  if (known_.size() < kKnown) known_.emplace(address, reach);
  return reach;
}

std::uint8_t HostAddresses::look(const IpAddress& address) {
  const std::uint8_t general = reach_of(address);
  if (general == kReachHost) return general;
  if (failed_) return closed(general);
  std::uint8_t reach = general;
  for (const Cidr& own : addresses_) {
    if (own.address == address) return kReachHost;
    if (general == kReachPublic && own.prefix > 0 && own.contains(address)) reach = kReachPrivate;
  }
  return reach == kReachPublic || reach == kReachPrivate ? by_route(address, reach) : reach;
}

/// A host takes in more than its addresses: local routes, as clouds' agents make them for load
/// balancers; and more is on its links than their networks: peers, and routes without a gateway.
std::uint8_t HostAddresses::by_route(const IpAddress& address, std::uint8_t general) {
  const auto route = routes_->route_to(address);
  if (!route) {
    const Errno why = route.error();
    const bool no_way = why == Errno::network_unreachable || why == Errno::host_unreachable ||
                        why == Errno::access_denied || why == Errno::invalid;
    return no_way ? general : closed(general);
  }
  using Kind = Rtnetlink::Route::Kind;
  if (route->kind == Kind::local) return kReachHost;
  if (route->kind == Kind::special) return kReachSpecial;
  // What a tunnel takes instead of a default route, 0.0.0.0/1 or 2000::/3, is not a link's network.
  const unsigned least = address.is_v6() ? 16 : 8;
  const bool on_link = route->kind == Kind::on_link && route->prefix >= least;
  return on_link && general == kReachPublic ? std::uint8_t{kReachPrivate} : general;
}

}  // namespace vpollnet::host
