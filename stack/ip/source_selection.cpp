// SPDX-License-Identifier: MIT
// Source address selection (RFC 6724 5), as far as static addresses need it: the rules on
// deprecated, home and temporary addresses (3, 4, 7) have nothing to decide yet.
#include <algorithm>
#include <array>
#include <bit>

#include "ip/addresses.hpp"

namespace vpollnet::ip {

namespace {

/// RFC 6724 2.1: the label of each prefix, the longest that matches. IPv4 has its own.
struct Policy {
  std::array<std::uint8_t, 16> prefix;
  std::uint8_t length;
  std::uint8_t label;
};
constexpr std::array<Policy, 7> kPolicies{{
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 128, 0},  // ::1
    {{0x20, 0x01, 0, 0}, 32, 5},                                 // 2001::/32, Teredo
    {{0x20, 0x02}, 16, 2},                                       // 2002::/16, 6to4
    {{0x3f, 0xfe}, 16, 12},                                      // 3ffe::/16, 6bone
    {{0xfe, 0xc0}, 10, 11},                                      // fec0::/10, site-local
    {{0xfc}, 7, 13},                                             // fc00::/7, unique local
    {{0}, 0, 1},                                                 // ::/0
}};
constexpr unsigned kIpv4Label = 4;

unsigned common_prefix(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b) {
  unsigned bits = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); i++) {
    const auto different = static_cast<std::uint8_t>(a[i] ^ b[i]);
    bits += static_cast<unsigned>(std::countl_zero(different));
    if (different != 0) break;
  }
  return bits;
}

unsigned label(const IpAddress& address) {
  if (address.is_v4()) return kIpv4Label;
  for (const Policy& policy : kPolicies) {
    if (common_prefix(policy.prefix, address.bytes()) >= policy.length) return policy.label;
  }
  return 1;
}

/// RFC 6724 3.1, 3.2: as the scope field of IPv6 multicast counts.
unsigned scope(const IpAddress& address) {
  constexpr unsigned kLinkLocal = 2;
  constexpr unsigned kGlobal = 14;
  if (address.is_v6() && address.is_multicast()) return address.bytes()[1] & 0x0f;
  if (address.is_loopback() || address.is_link_local() || address.is_link_local_multicast()) {
    return kLinkLocal;
  }
  return kGlobal;
}

}  // namespace

const Address* select_source(const Addresses& addresses, const IpAddress& destination,
                             InterfaceId interface, const IpAddress& next_hop) {
  const unsigned wanted = scope(destination);
  const unsigned wanted_label = label(destination);
  // What an address has going for it, the most important first; the larger array wins.
  using Rank = std::array<unsigned, 6>;
  const auto rank = [&](const Address& candidate) {
    const IpAddress& source = candidate.cidr.address;
    const unsigned own = scope(source);
    return Rank{
        source == destination ? 1u : 0u,  // rule 1
        // Rule 2: the smallest scope that is large enough; else the largest there is.
        own >= wanted ? 32 - own : own,
        candidate.interface == interface ? 1u : 0u,   // rule 5
        candidate.cidr.contains(next_hop) ? 1u : 0u,  // rule 5.5, for static prefixes
        label(source) == wanted_label ? 1u : 0u,      // rule 6
        std::min<unsigned>(common_prefix(source.bytes(), destination.bytes()),
                           candidate.cidr.prefix),  // rule 8
    };
  };
  const Address* best = nullptr;
  Rank best_rank{};
  for (const auto& candidate : addresses.all()) {
    const IpAddress& source = candidate->cidr.address;
    if (!candidate->usable() || source.family() != destination.family()) continue;
    // A loopback address must not leave the node (RFC 1122 3.2.1.3 (g), RFC 4291 2.5.3); one that
    // is link-local means nothing on another link (RFC 4007 5).
    if (source.is_loopback() && candidate->interface != interface) continue;
    if (source.is_link_local() && candidate->interface != interface) continue;
    const Rank own = rank(*candidate);
    if (best == nullptr || own > best_rank) {
      best = candidate.get();
      best_rank = own;
    }
  }
  return best;
}

}  // namespace vpollnet::ip
