// SPDX-License-Identifier: MIT
// A router's part of neighbour discovery: advertisements (RFC 4861 6.2) and answers to
// solicitations. Whether packets are forwarded is not decided here.
#include <algorithm>

#include "stack_implementation.hpp"
#include "wire/domain_name.hpp"

namespace vpollnet {

using socket::IpMeta;

namespace {

/// RFC 4861 6.2.1, in seconds.
constexpr std::uint32_t kLongestIntervalMin = 4;
constexpr std::uint32_t kLongestIntervalMax = 1800;
constexpr std::uint32_t kShortestIntervalMin = 3;
constexpr std::uint32_t kReachableTimeMax = 3'600'000;  // ms

/// What has no link-local address yet is looked after again.
constexpr Nanos kAddressPause = kSecond;

bool is_valid(const wire::PrefixInformation& prefix) {
  const IpAddress& address = prefix.prefix.address;
  // RFC 4861 4.6.2: the link-local prefix is not to be sent; RFC 4862 5.5.3 (c).
  return address.is_v6() && prefix.prefix.prefix <= 128 && !address.is_multicast() &&
         !address.is_link_local() && prefix.preferred_lifetime <= prefix.valid_lifetime;
}

/// The message as it will be sent; none if RFC 4861 6.2.1 does not allow it.
std::optional<wire::RouterAdvertisement> message_of(const RouterAdvertisementConfig& config,
                                                    const InterfaceConfig& interface) {
  const bool times_ok =
      config.longest_interval >= kLongestIntervalMin &&
      config.longest_interval <= kLongestIntervalMax &&
      config.shortest_interval >= kShortestIntervalMin &&
      config.shortest_interval <= std::max(kShortestIntervalMin, config.longest_interval * 3 / 4) &&
      (config.router_lifetime == 0 || config.router_lifetime >= config.longest_interval) &&
      config.reachable_time <= kReachableTimeMax;
  const bool mtu_ok =
      config.mtu == 0 || (config.mtu >= wire::kIpv6MinimumMtu && config.mtu <= interface.mtu);
  if (!times_ok || !mtu_ok || config.preference < -1 || config.preference > 1) return std::nullopt;

  wire::RouterAdvertisement message;
  message.hop_limit = config.hop_limit;
  message.managed = config.managed;
  message.other_config = config.other_config;
  message.preference = config.preference;
  message.router_lifetime = config.router_lifetime;
  message.reachable_time = config.reachable_time;
  message.retransmission_time = config.retransmission_time;
  if (interface.type == LinkType::ethernet) message.source_mac = interface.mac;
  if (config.mtu != 0) message.mtu = config.mtu;
  if (config.prefixes.size() > message.prefixes.size()) return std::nullopt;
  for (const wire::PrefixInformation& prefix : config.prefixes) {
    if (!is_valid(prefix)) return std::nullopt;
    wire::PrefixInformation& sent = message.prefixes[message.prefix_count++];
    sent = prefix;
    sent.prefix.address = prefix.prefix.network();  // RFC 4861 4.6.2: the rest is zero
  }
  if (config.dns.size() > message.servers.size()) return std::nullopt;
  for (const IpAddress& server : config.dns) {
    if (!server.is_v6() || server.is_multicast() || server.is_unspecified()) return std::nullopt;
    message.servers[message.server_count++] = {server, config.dns_lifetime};
  }
  std::vector<std::uint8_t> names;
  for (const std::string& name : config.search) {
    if (!wire::append_domain_name(name, names)) return std::nullopt;
  }
  if (names.size() > wire::DnsSearchList::kMaxBytes) return std::nullopt;
  message.search.lifetime = config.dns_lifetime;
  message.search.size = names.size();
  std::copy(names.begin(), names.end(), message.search.names.begin());
  return message;
}

}  // namespace

Errno Stack::Implementation::advertise(InterfaceId id, const RouterAdvertisementConfig& config,
                                       Nanos now) {
  Interface* on = find(id);
  if (on == nullptr) return Errno::no_such_device;
  if (on->loopback()) return Errno::invalid;
  if (on->ipv6_off) return Errno::family_not_supported;
  const auto message = message_of(config, on->config);
  if (!message) return Errno::invalid;
  auto advertising = std::make_unique<Advertising>(
      Advertising{*message, ip::RouterAdvertiser(random_, config.shortest_interval * kSecond,
                                                 config.longest_interval * kSecond)});
  if (on->advertising != nullptr) advertising->timer.follow(on->advertising->timer);
  on->advertising = std::move(advertising);
  if (on->up) on->advertising->timer.start(now);
  return Errno::ok;
}

Errno Stack::Implementation::end_advertising(InterfaceId id, Nanos now) {
  Interface* on = find(id);
  if (on == nullptr) return Errno::no_such_device;
  if (on->advertising == nullptr) return Errno::invalid;
  // RFC 4861 6.2.5: hosts look for another router at once.
  on->advertising->message.router_lifetime = 0;
  send_router_advertisement(*on, now);
  on->advertising = nullptr;
  return Errno::ok;
}

void Stack::Implementation::advance_router(Interface& on, Nanos now) {
  if (on.advertising == nullptr || on.advertising->timer.next_deadline() > now) return;
  if (send_router_advertisement(on, now)) {
    on.advertising->timer.on_sent(now);
  } else {
    on.advertising->timer.postpone(now + kAddressPause);
  }
}

/// To all nodes. False if there is no address to send it from.
bool Stack::Implementation::send_router_advertisement(Interface& on, Nanos now) {
  const ip::Address* source = nullptr;
  for (const auto& own : addresses_.all()) {
    // RFC 4861 6.1.2: from a link-local address.
    const IpAddress& address = own->cidr.address;
    if (own->interface == on.id && address.is_v6() && address.is_link_local() && own->usable()) {
      source = own.get();
      break;
    }
  }
  if (source == nullptr || !on.up || on.ipv6_off) return false;
  const wire::RouterAdvertisement& message = on.advertising->message;
  std::vector<std::uint8_t> bytes(wire::router_advertisement_size(message));
  wire::emit_router_advertisement(message, bytes);
  send_ndp(on, source->cidr.address, IpAddress::all_nodes(), Packet(pool_.copy(bytes)), now);
  return true;
}

/// RFC 4861 6.2.6.
void Stack::Implementation::receive_router_solicitation(Interface& in, const IpMeta& meta,
                                                        const wire::RouterSolicitation& message,
                                                        Nanos now) {
  if (!meta.source.is_unspecified() && message.source_mac && in.ethernet()) {
    perform(in,
            in.neighbours->on_solicitation(meta.source, *message.source_mac,
                                           is_on_link(in, meta.source), now),
            now);
  }
  in.advertising->timer.on_solicitation(now);
}

}  // namespace vpollnet
