// SPDX-License-Identifier: MIT
// Addresses as values. An IpAddress is IPv4 or IPv6; no code path knows one only.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace vpollnet {

enum class Family : std::uint8_t { none, ipv4, ipv6 };

/// An IEEE 802 48-bit address.
struct MacAddress {
  std::array<std::uint8_t, 6> bytes{};

  static constexpr MacAddress broadcast() { return {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}; }
  /// "02:00:00:aa:bb:cc", also with '-'.
  static std::optional<MacAddress> parse(std::string_view text);
  std::string to_string() const;
  bool is_multicast() const { return (bytes[0] & 1) != 0; }  ///< broadcast too
  bool is_zero() const { return *this == MacAddress{}; }
  auto operator<=>(const MacAddress&) const = default;
};

/// An IPv4 or IPv6 address in network order; Family::none is "no address".
class IpAddress {
 public:
  constexpr IpAddress() = default;
  static IpAddress v4(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d);
  /// From 4 or 16 bytes; any other count gives Family::none.
  static IpAddress from_bytes(std::span<const std::uint8_t> bytes);
  static IpAddress any(Family family);
  static IpAddress loopback(Family family);
  /// 255.255.255.255
  static IpAddress broadcast() { return v4(255, 255, 255, 255); }
  /// ff02::1 and ff02::2 (RFC 4291 2.7.1).
  static IpAddress all_nodes();
  static IpAddress all_routers();
  /// Dotted quad (four decimal parts, no leading zeros) or RFC 4291 2.2 text, without a zone.
  static std::optional<IpAddress> parse(std::string_view text);
  /// Dotted quad or RFC 5952.
  std::string to_string() const;

  Family family() const { return family_; }
  bool is_v4() const { return family_ == Family::ipv4; }
  bool is_v6() const { return family_ == Family::ipv6; }
  /// 4 or 16 bytes; none for Family::none.
  std::span<const std::uint8_t> bytes() const {
    return {bytes_.data(), family_ == Family::ipv4 ? 4u : family_ == Family::ipv6 ? 16u : 0u};
  }

  bool is_unspecified() const;           ///< 0.0.0.0 or ::
  bool is_loopback() const;              ///< 127.0.0.0/8 or ::1
  bool is_multicast() const;             ///< 224.0.0.0/4 or ff00::/8
  bool is_link_local() const;            ///< 169.254.0.0/16 or fe80::/10
  bool is_link_local_multicast() const;  ///< 224.0.0.0/24 or ff02::/16
  bool is_limited_broadcast() const { return *this == broadcast(); }
  /// ff02::1:ffXX:XXXX of this address (RFC 4291 2.7.1).
  IpAddress solicited_node() const;
  /// The Ethernet group of a multicast address (RFC 1112 6.4, RFC 2464 7).
  MacAddress multicast_mac() const;

  auto operator<=>(const IpAddress&) const = default;

 private:
  Family family_ = Family::none;
  std::array<std::uint8_t, 16> bytes_{};
};

/// An address and the length of its network prefix in bits.
struct Cidr {
  IpAddress address;
  std::uint8_t prefix = 0;

  /// "10.0.0.2/24". A missing prefix is 32 or 128.
  static std::optional<Cidr> parse(std::string_view text);
  std::string to_string() const;
  bool contains(const IpAddress& other) const;
  /// The address with its host bits cleared.
  IpAddress network() const;
  /// The directed broadcast address of an IPv4 prefix up to /30; none otherwise.
  IpAddress directed_broadcast() const;
  auto operator<=>(const Cidr&) const = default;
};

/// Interfaces of a stack are numbered from 1; 0 is none, or any.
using InterfaceId = std::uint32_t;
inline constexpr InterfaceId kAnyInterface = 0;

/// Address and port of one end. `scope` is the interface of a link-local address.
struct Endpoint {
  IpAddress address;
  std::uint16_t port = 0;
  InterfaceId scope = kAnyInterface;

  /// "10.0.0.1:7", "[fe80::1%2]:7"
  std::string to_string() const;
  auto operator<=>(const Endpoint&) const = default;
};

}  // namespace vpollnet
