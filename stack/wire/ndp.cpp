// SPDX-License-Identifier: MIT
#include "wire/ndp.hpp"

#include <cstring>

#include "wire/bytes.hpp"
#include "wire/domain_name.hpp"
#include "wire/icmpv6.hpp"

namespace vpollnet::wire {

namespace {

/// RFC 4861 4.6, RFC 3971 5.3.2, RFC 8106 5.
enum NdpOption : std::uint8_t {
  kSourceLinkAddress = 1,
  kTargetLinkAddress = 2,
  kPrefixInformation = 3,
  kMtu = 5,
  kNonce = 14,
  kRecursiveDns = 25,
  kDnsSearchList = 31,
};

constexpr std::size_t kUnit = 8;  ///< option lengths count in units of eight bytes
constexpr std::size_t kSolicitationSize = 24;
constexpr std::size_t kRouterSolicitationSize = 8;
constexpr std::size_t kAdvertisementSize = 16;
constexpr std::size_t kRedirectSize = 40;
constexpr std::size_t kPrefixOption = 32;
constexpr std::size_t kServerOption = 24;
constexpr std::size_t kSearchHeader = 8;

/// The checks that are common to RFC 4861 6.1.1, 6.1.2, 7.1.1, 7.1.2 and 8.1.
bool acceptable(std::span<const std::uint8_t> message, const NdpEnvelope& envelope,
                std::uint8_t type, std::size_t smallest) {
  return envelope.hop_limit == 255 && message.size() >= smallest && message[0] == type &&
         message[1] == 0;
}

/// Calls visit(type, option) with each option, type and length included. False, and the message is
/// to be discarded, if an option has length 0 or runs past the end, or a visit says so.
template <class Visit>
bool each_option(std::span<const std::uint8_t> options, Visit visit) {
  while (!options.empty()) {
    if (options.size() < kUnit || options[1] == 0) return false;
    const std::size_t length = options[1] * kUnit;
    if (length > options.size()) return false;
    if (!visit(options[0], options.first(length))) return false;
    options = options.subspan(length);
  }
  return true;
}

/// The Ethernet form of a link-layer address option: one unit (RFC 2464 6).
bool read_mac(std::span<const std::uint8_t> option, std::optional<MacAddress>& mac) {
  if (option.size() != kUnit) return false;
  mac = load_mac(&option[2]);
  return true;
}

IpAddress read_address(std::span<const std::uint8_t> message, std::size_t at) {
  return IpAddress::from_bytes(message.subspan(at, 16));
}

/// ff02::1:ff00:0/104 (RFC 4291 2.7.1).
bool is_solicited_node(const IpAddress& address) {
  return address.is_v6() && address.solicited_node() == address;
}

bool read_prefix(std::span<const std::uint8_t> option, RouterAdvertisement& value) {
  if (option.size() != kPrefixOption || option[2] > 128) return false;
  if (value.prefix_count == RouterAdvertisement::kMaxPrefixes) return true;
  PrefixInformation& prefix = value.prefixes[value.prefix_count++];
  prefix.prefix = {read_address(option, 16), option[2]};
  prefix.on_link = (option[3] & 0x80) != 0;
  prefix.autonomous = (option[3] & 0x40) != 0;
  prefix.valid_lifetime = load32(&option[4]);
  prefix.preferred_lifetime = load32(&option[8]);
  return true;
}

bool read_servers(std::span<const std::uint8_t> option, RouterAdvertisement& value) {
  // RFC 8106 5.1: one unit and two for each address, so the length is odd and at least 3.
  if (option.size() < kServerOption || option.size() % 16 != kUnit) return false;
  for (std::size_t at = kUnit; at < option.size(); at += 16) {
    if (value.server_count == RouterAdvertisement::kMaxServers) break;
    value.servers[value.server_count++] = {read_address(option, at), load32(&option[4])};
  }
  return true;
}

bool read_search_list(std::span<const std::uint8_t> option, RouterAdvertisement& value) {
  if (option.size() < kSearchHeader + kUnit) return false;  // RFC 8106 5.2: two units at least
  const auto names = option.subspan(kSearchHeader);
  // RFC 8106 5.3.1: names that are no names are passed over.
  if (value.search.size != 0 || names.size() > DnsSearchList::kMaxBytes || !are_domain_names(names))
    return true;
  value.search.lifetime = load32(&option[4]);
  value.search.size = names.size();
  std::memcpy(value.search.names.data(), names.data(), names.size());
  return true;
}

bool read_router_option(std::uint8_t type, std::span<const std::uint8_t> option,
                        RouterAdvertisement& value) {
  switch (type) {
  case kSourceLinkAddress: return read_mac(option, value.source_mac);
  case kPrefixInformation: return read_prefix(option, value);
  case kRecursiveDns: return read_servers(option, value);
  case kDnsSearchList: return read_search_list(option, value);
  case kMtu:
    if (option.size() != kUnit) return false;
    value.mtu = load32(&option[4]);
    return true;
  default: return true;  // RFC 4861 6.1.2: options that are not known are ignored
  }
}

/// Writes type, code and checksum, and zeros to all behind them.
void begin_message(std::uint8_t type, std::span<std::uint8_t> out) {
  std::memset(out.data(), 0, out.size());
  out[0] = type;
}

/// Writes a link-layer address option at `at`, if there is one; returns where the next may begin.
std::size_t put_mac(std::uint8_t type, const std::optional<MacAddress>& mac, std::size_t at,
                    std::span<std::uint8_t> out) {
  if (!mac) return at;
  out[at] = type;
  out[at + 1] = 1;
  store_mac(&out[at + 2], *mac);
  return at + kUnit;
}

/// The names padded with zeros to whole units.
std::size_t search_size(const DnsSearchList& search) {
  if (search.size == 0) return 0;
  return kSearchHeader + (search.size + kUnit - 1) / kUnit * kUnit;
}

std::size_t mac_size(const std::optional<MacAddress>& mac) { return mac ? kUnit : 0; }

}  // namespace

std::optional<NeighbourSolicitation>
parse_neighbour_solicitation(std::span<const std::uint8_t> message, const NdpEnvelope& envelope) {
  if (!acceptable(message, envelope, kIcmpv6NeighbourSolicitation, kSolicitationSize))
    return std::nullopt;
  NeighbourSolicitation value;
  value.target = read_address(message, 8);
  if (value.target.is_multicast()) return std::nullopt;
  const bool whole = each_option(message.subspan(kSolicitationSize), [&](auto type, auto option) {
    if (type == kSourceLinkAddress) return read_mac(option, value.source_mac);
    if (type == kNonce && option.size() == kUnit) {
      NdpNonce nonce;
      std::memcpy(nonce.data(), &option[2], nonce.size());
      value.nonce = nonce;
    }
    return true;
  });
  if (!whole) return std::nullopt;
  // RFC 4861 7.1.1: from the unspecified address only to a solicited-node group, without a source
  // link-layer address.
  if (envelope.source.is_unspecified() &&
      (value.source_mac || !is_solicited_node(envelope.destination))) {
    return std::nullopt;
  }
  return value;
}

std::size_t neighbour_solicitation_size(const NeighbourSolicitation& value) {
  return kSolicitationSize + mac_size(value.source_mac) + (value.nonce ? kUnit : 0);
}

void emit_neighbour_solicitation(const NeighbourSolicitation& value, std::span<std::uint8_t> out) {
  begin_message(kIcmpv6NeighbourSolicitation, out);
  store_address(&out[8], value.target);
  const std::size_t at = put_mac(kSourceLinkAddress, value.source_mac, kSolicitationSize, out);
  if (value.nonce) {
    out[at] = kNonce;
    out[at + 1] = 1;
    std::memcpy(&out[at + 2], value.nonce->data(), value.nonce->size());
  }
}

std::optional<NeighbourAdvertisement>
parse_neighbour_advertisement(std::span<const std::uint8_t> message, const NdpEnvelope& envelope) {
  if (!acceptable(message, envelope, kIcmpv6NeighbourAdvertisement, kSolicitationSize))
    return std::nullopt;
  NeighbourAdvertisement value;
  value.router = (message[4] & 0x80) != 0;
  value.solicited = (message[4] & 0x40) != 0;
  value.override_entry = (message[4] & 0x20) != 0;
  value.target = read_address(message, 8);
  // RFC 4861 7.1.2.
  if (value.target.is_multicast()) return std::nullopt;
  if (envelope.destination.is_multicast() && value.solicited) return std::nullopt;
  const bool whole = each_option(message.subspan(kSolicitationSize), [&](auto type, auto option) {
    return type != kTargetLinkAddress || read_mac(option, value.target_mac);
  });
  if (!whole) return std::nullopt;
  return value;
}

std::size_t neighbour_advertisement_size(const NeighbourAdvertisement& value) {
  return kSolicitationSize + mac_size(value.target_mac);
}

void emit_neighbour_advertisement(const NeighbourAdvertisement& value,
                                  std::span<std::uint8_t> out) {
  begin_message(kIcmpv6NeighbourAdvertisement, out);
  out[4] = static_cast<std::uint8_t>((value.router ? 0x80 : 0) | (value.solicited ? 0x40 : 0) |
                                     (value.override_entry ? 0x20 : 0));
  store_address(&out[8], value.target);
  put_mac(kTargetLinkAddress, value.target_mac, kSolicitationSize, out);
}

std::optional<RouterSolicitation> parse_router_solicitation(std::span<const std::uint8_t> message,
                                                            const NdpEnvelope& envelope) {
  if (!acceptable(message, envelope, kIcmpv6RouterSolicitation, kRouterSolicitationSize))
    return std::nullopt;
  RouterSolicitation value;
  const auto options = message.subspan(kRouterSolicitationSize);
  const bool whole = each_option(options, [&](auto type, auto option) {
    return type != kSourceLinkAddress || read_mac(option, value.source_mac);
  });
  if (!whole) return std::nullopt;
  if (envelope.source.is_unspecified() && value.source_mac) return std::nullopt;  // 6.1.1
  return value;
}

std::size_t router_solicitation_size(const RouterSolicitation& value) {
  return kRouterSolicitationSize + mac_size(value.source_mac);
}

void emit_router_solicitation(const RouterSolicitation& value, std::span<std::uint8_t> out) {
  begin_message(kIcmpv6RouterSolicitation, out);
  put_mac(kSourceLinkAddress, value.source_mac, kRouterSolicitationSize, out);
}

std::optional<RouterAdvertisement> parse_router_advertisement(std::span<const std::uint8_t> message,
                                                              const NdpEnvelope& envelope) {
  if (!acceptable(message, envelope, kIcmpv6RouterAdvertisement, kAdvertisementSize))
    return std::nullopt;
  if (!envelope.source.is_v6() || !envelope.source.is_link_local()) return std::nullopt;  // 6.1.2
  RouterAdvertisement value;
  value.hop_limit = message[4];
  value.managed = (message[5] & 0x80) != 0;
  value.other_config = (message[5] & 0x40) != 0;
  value.router_lifetime = load16(&message[6]);
  value.reachable_time = load32(&message[8]);
  value.retransmission_time = load32(&message[12]);
  // RFC 4191 2.2: the reserved value 10, and any value with a lifetime of 0, count as medium.
  const unsigned preference = value.router_lifetime == 0 ? 0 : message[5] >> 3 & 3;
  value.preference = static_cast<std::int8_t>(preference == 1 ? 1 : preference == 3 ? -1 : 0);
  const bool whole = each_option(message.subspan(kAdvertisementSize), [&](auto type, auto option) {
    return read_router_option(type, option, value);
  });
  if (!whole) return std::nullopt;
  return value;
}

std::size_t router_advertisement_size(const RouterAdvertisement& value) {
  return kAdvertisementSize + mac_size(value.source_mac) + (value.mtu ? kUnit : 0) +
         value.prefix_count * kPrefixOption + value.server_count * kServerOption +
         search_size(value.search);
}

void emit_router_advertisement(const RouterAdvertisement& value, std::span<std::uint8_t> out) {
  begin_message(kIcmpv6RouterAdvertisement, out);
  out[4] = value.hop_limit;
  out[5] = static_cast<std::uint8_t>((value.managed ? 0x80 : 0) | (value.other_config ? 0x40 : 0) |
                                     (value.preference & 3) << 3);
  store16(&out[6], value.router_lifetime);
  store32(&out[8], value.reachable_time);
  store32(&out[12], value.retransmission_time);
  std::size_t at = put_mac(kSourceLinkAddress, value.source_mac, kAdvertisementSize, out);
  if (value.mtu) {
    out[at] = kMtu;
    out[at + 1] = 1;
    store32(&out[at + 4], *value.mtu);
    at += kUnit;
  }
  for (std::size_t i = 0; i < value.prefix_count; i++, at += kPrefixOption) {
    const PrefixInformation& prefix = value.prefixes[i];
    out[at] = kPrefixInformation;
    out[at + 1] = kPrefixOption / kUnit;
    out[at + 2] = prefix.prefix.prefix;
    out[at + 3] =
        static_cast<std::uint8_t>((prefix.on_link ? 0x80 : 0) | (prefix.autonomous ? 0x40 : 0));
    store32(&out[at + 4], prefix.valid_lifetime);
    store32(&out[at + 8], prefix.preferred_lifetime);
    store_address(&out[at + 16], prefix.prefix.address);
  }
  for (std::size_t i = 0; i < value.server_count; i++, at += kServerOption) {
    out[at] = kRecursiveDns;
    out[at + 1] = kServerOption / kUnit;
    store32(&out[at + 4], value.servers[i].lifetime);
    store_address(&out[at + 8], value.servers[i].server);
  }
  if (const std::size_t size = search_size(value.search); size != 0) {
    out[at] = kDnsSearchList;
    out[at + 1] = static_cast<std::uint8_t>(size / kUnit);
    store32(&out[at + 4], value.search.lifetime);
    std::memcpy(&out[at + kSearchHeader], value.search.names.data(), value.search.size);
  }
}

std::optional<Redirect> parse_redirect(std::span<const std::uint8_t> message,
                                       const NdpEnvelope& envelope) {
  if (!acceptable(message, envelope, kIcmpv6Redirect, kRedirectSize)) return std::nullopt;
  if (!envelope.source.is_v6() || !envelope.source.is_link_local()) return std::nullopt;
  Redirect value;
  value.target = read_address(message, 8);
  value.destination = read_address(message, 24);
  // RFC 4861 8.1: not for a group, and to a router's link-local address or the destination itself.
  if (value.destination.is_multicast()) return std::nullopt;
  if (!value.target.is_link_local() && value.target != value.destination) return std::nullopt;
  const bool whole = each_option(message.subspan(kRedirectSize), [&](auto type, auto option) {
    return type != kTargetLinkAddress || read_mac(option, value.target_mac);
  });
  if (!whole) return std::nullopt;
  return value;
}

std::size_t redirect_size(const Redirect& value) {
  return kRedirectSize + mac_size(value.target_mac);
}

void emit_redirect(const Redirect& value, std::span<std::uint8_t> out) {
  begin_message(kIcmpv6Redirect, out);
  store_address(&out[8], value.target);
  store_address(&out[24], value.destination);
  put_mac(kTargetLinkAddress, value.target_mac, kRedirectSize, out);
}

}  // namespace vpollnet::wire
