// SPDX-License-Identifier: MIT
// Neighbour discovery messages: bytes <-> values (RFC 4861 4, RFC 8106 5, RFC 4191 2.2).
//
// Each parser gets the whole ICMPv6 message, checksum verified, and does every check of RFC 4861
// 6.1, 7.1 and 8.1 that the packet alone allows: a message that fails one is discarded whole.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "wire/address.hpp"

namespace vpollnet::wire {

/// The fields of the IPv6 header that those checks look at.
struct NdpEnvelope {
  IpAddress source;
  IpAddress destination;
  std::uint8_t hop_limit = 0;
};

/// RFC 3971 5.3.2, used by RFC 7527 4.1: six random bytes.
using NdpNonce = std::array<std::uint8_t, 6>;

struct NeighbourSolicitation {
  IpAddress target;
  std::optional<MacAddress> source_mac;
  std::optional<NdpNonce> nonce;
  bool operator==(const NeighbourSolicitation&) const = default;
};
std::optional<NeighbourSolicitation>
parse_neighbour_solicitation(std::span<const std::uint8_t> message, const NdpEnvelope& envelope);
std::size_t neighbour_solicitation_size(const NeighbourSolicitation& value);
/// This and the other emit functions write the ICMPv6 header too, with a checksum of 0.
void emit_neighbour_solicitation(const NeighbourSolicitation& value, std::span<std::uint8_t> out);

struct NeighbourAdvertisement {
  IpAddress target;
  bool router = false;
  bool solicited = false;
  bool override_entry = false;
  std::optional<MacAddress> target_mac;
  bool operator==(const NeighbourAdvertisement&) const = default;
};
std::optional<NeighbourAdvertisement>
parse_neighbour_advertisement(std::span<const std::uint8_t> message, const NdpEnvelope& envelope);
std::size_t neighbour_advertisement_size(const NeighbourAdvertisement& value);
void emit_neighbour_advertisement(const NeighbourAdvertisement& value, std::span<std::uint8_t> out);

struct RouterSolicitation {
  std::optional<MacAddress> source_mac;
  bool operator==(const RouterSolicitation&) const = default;
};
std::optional<RouterSolicitation> parse_router_solicitation(std::span<const std::uint8_t> message,
                                                            const NdpEnvelope& envelope);
std::size_t router_solicitation_size(const RouterSolicitation& value);
void emit_router_solicitation(const RouterSolicitation& value, std::span<std::uint8_t> out);

inline constexpr std::uint32_t kInfiniteLifetime = 0xffffffff;  ///< RFC 4861 4.6.2

struct PrefixInformation {
  Cidr prefix;
  bool on_link = false;
  bool autonomous = false;
  std::uint32_t valid_lifetime = 0;      ///< seconds, or kInfiniteLifetime
  std::uint32_t preferred_lifetime = 0;  ///< seconds, or kInfiniteLifetime
  bool operator==(const PrefixInformation&) const = default;
};

struct RecursiveDns {
  IpAddress server;
  std::uint32_t lifetime = 0;  ///< seconds, or kInfiniteLifetime
  bool operator==(const RecursiveDns&) const = default;
};

/// Names to complete others with (RFC 8106 5.2), as domain_name.hpp writes them.
struct DnsSearchList {
  static constexpr std::size_t kMaxBytes = 248;

  std::uint32_t lifetime = 0;  ///< seconds, or kInfiniteLifetime
  std::array<std::uint8_t, kMaxBytes> names{};
  std::size_t size = 0;  ///< of `names`, in bytes; 0: no option
  bool operator==(const DnsSearchList&) const = default;
};

struct RouterAdvertisement {
  /// More than these are passed over: no advertisement can make a host hold more.
  static constexpr std::size_t kMaxPrefixes = 16;
  static constexpr std::size_t kMaxServers = 8;

  std::uint8_t hop_limit = 0;  ///< 0: unspecified
  bool managed = false;
  bool other_config = false;
  std::int8_t preference = 0;             ///< -1 low, 0 medium, 1 high (RFC 4191 2.1)
  std::uint16_t router_lifetime = 0;      ///< seconds; 0: not a default router
  std::uint32_t reachable_time = 0;       ///< milliseconds; 0: unspecified
  std::uint32_t retransmission_time = 0;  ///< milliseconds; 0: unspecified
  std::optional<MacAddress> source_mac;
  std::optional<std::uint32_t> mtu;
  std::array<PrefixInformation, kMaxPrefixes> prefixes{};
  std::size_t prefix_count = 0;
  std::array<RecursiveDns, kMaxServers> servers{};
  std::size_t server_count = 0;
  DnsSearchList search;  ///< the first that fits
  bool operator==(const RouterAdvertisement&) const = default;
};
std::optional<RouterAdvertisement> parse_router_advertisement(std::span<const std::uint8_t> message,
                                                              const NdpEnvelope& envelope);
std::size_t router_advertisement_size(const RouterAdvertisement& value);
void emit_router_advertisement(const RouterAdvertisement& value, std::span<std::uint8_t> out);

struct Redirect {
  IpAddress target;
  IpAddress destination;
  std::optional<MacAddress> target_mac;
  bool operator==(const Redirect&) const = default;
};
/// That the sender is the present first hop of `destination` is for the caller to check (8.1).
std::optional<Redirect> parse_redirect(std::span<const std::uint8_t> message,
                                       const NdpEnvelope& envelope);
std::size_t redirect_size(const Redirect& value);
void emit_redirect(const Redirect& value, std::span<std::uint8_t> out);

}  // namespace vpollnet::wire
