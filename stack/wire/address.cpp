// SPDX-License-Identifier: MIT
#include "wire/address.hpp"

#include <algorithm>
#include <cstring>

namespace vpollnet {

namespace {

constexpr char kHexDigits[] = "0123456789abcdef";

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// A decimal number up to `limit`, without sign or leading zeros.
std::optional<unsigned> parse_decimal(std::string_view text, unsigned limit) {
  if (text.empty() || text.size() > 3 || (text.size() > 1 && text[0] == '0')) return std::nullopt;
  unsigned value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<unsigned>(c - '0');
  }
  if (value > limit) return std::nullopt;
  return value;
}

std::optional<std::array<std::uint8_t, 4>> parse_quad(std::string_view text) {
  std::array<std::uint8_t, 4> bytes{};
  for (std::size_t i = 0; i < 4; i++) {
    const std::size_t dot = text.find('.');
    if ((dot == std::string_view::npos) != (i == 3)) return std::nullopt;
    const auto value = parse_decimal(text.substr(0, dot), 255);
    if (!value) return std::nullopt;
    bytes[i] = static_cast<std::uint8_t>(*value);
    if (i < 3) text.remove_prefix(dot + 1);
  }
  return bytes;
}

/// Groups of `text` between colons, written to `out` from the front. Returns how many bytes, or
/// nothing. The last group may be a dotted quad (RFC 4291 2.2 (3)) if `quad_allowed`.
std::optional<std::size_t> parse_groups(std::string_view text, std::span<std::uint8_t, 16> out,
                                        bool quad_allowed) {
  std::size_t filled = 0;
  if (text.empty()) return filled;
  for (;;) {
    const std::size_t colon = text.find(':');
    const std::string_view group = text.substr(0, colon);
    if (colon == std::string_view::npos && quad_allowed &&
        group.find('.') != std::string_view::npos) {
      const auto quad = parse_quad(group);
      if (!quad || filled > 12) return std::nullopt;
      std::copy(quad->begin(), quad->end(), out.begin() + static_cast<std::ptrdiff_t>(filled));
      return filled + 4;
    }
    if (group.empty() || group.size() > 4 || filled > 14) return std::nullopt;
    unsigned value = 0;
    for (const char c : group) {
      const int digit = hex_value(c);
      if (digit < 0) return std::nullopt;
      value = value << 4 | static_cast<unsigned>(digit);
    }
    out[filled++] = static_cast<std::uint8_t>(value >> 8);
    out[filled++] = static_cast<std::uint8_t>(value);
    if (colon == std::string_view::npos) return filled;
    text.remove_prefix(colon + 1);
  }
}

std::optional<std::array<std::uint8_t, 16>> parse_v6(std::string_view text) {
  std::array<std::uint8_t, 16> front{};
  const std::size_t gap = text.find("::");
  if (gap == std::string_view::npos) {
    const auto count = parse_groups(text, front, true);
    if (!count || *count != 16) return std::nullopt;
    return front;
  }
  std::array<std::uint8_t, 16> back{};
  const auto before = parse_groups(text.substr(0, gap), front, false);
  const auto after = parse_groups(text.substr(gap + 2), back, true);
  // "::" stands for at least one group (RFC 5952 4.2.2 writes it for two or more).
  if (!before || !after || *before + *after > 14) return std::nullopt;
  std::copy_n(back.begin(), *after, front.end() - static_cast<std::ptrdiff_t>(*after));
  return front;
}

std::string quad_text(std::span<const std::uint8_t> bytes) {
  std::string text;
  for (std::size_t i = 0; i < 4; i++) {
    if (i > 0) text += '.';
    text += std::to_string(bytes[i]);
  }
  return text;
}

/// RFC 5952 4: lower case, no leading zeros, "::" for the first of the longest runs of zero groups.
std::string v6_text(std::span<const std::uint8_t> bytes) {
  std::array<unsigned, 8> groups{};
  for (std::size_t i = 0; i < 8; i++) {
    groups[i] = static_cast<unsigned>(bytes[2 * i] << 8 | bytes[2 * i + 1]);
  }
  std::size_t best = 8;
  std::size_t best_length = 1;  // one group alone is not shortened (4.2.2)
  for (std::size_t i = 0; i < 8;) {
    std::size_t end = i;
    while (end < 8 && groups[end] == 0) end++;
    if (end - i > best_length) {
      best = i;
      best_length = end - i;
    }
    i = end > i ? end : i + 1;
  }
  // RFC 5952 5: the well-known IPv4-mapped prefix is shown with a dotted quad.
  const bool mapped = best == 0 && best_length == 5 && groups[5] == 0xffff;
  std::string text;
  for (std::size_t i = 0; i < 8; i++) {
    if (i == best) {
      text += "::";
      i += best_length - 1;
      continue;
    }
    if (!text.empty() && text.back() != ':') text += ':';
    if (mapped && i == 6) return text + quad_text(bytes.subspan(12));
    bool begun = false;
    for (int shift = 12; shift >= 0; shift -= 4) {
      const unsigned digit = groups[i] >> shift & 0xf;
      begun = begun || digit != 0 || shift == 0;
      if (begun) text += kHexDigits[digit];
    }
  }
  return text;
}

}  // namespace

std::optional<MacAddress> MacAddress::parse(std::string_view text) {
  MacAddress mac;
  if (text.size() != 17 || (text[2] != ':' && text[2] != '-')) return std::nullopt;
  for (std::size_t i = 0; i < 6; i++) {
    if (i > 0 && text[3 * i - 1] != text[2]) return std::nullopt;
    const int high = hex_value(text[3 * i]);
    const int low = hex_value(text[3 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    mac.bytes[i] = static_cast<std::uint8_t>(high << 4 | low);
  }
  return mac;
}

std::string MacAddress::to_string() const {
  std::string text;
  for (const std::uint8_t byte : bytes) {
    if (!text.empty()) text += ':';
    text += kHexDigits[byte >> 4];
    text += kHexDigits[byte & 0xf];
  }
  return text;
}

IpAddress IpAddress::v4(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d) {
  const std::array<std::uint8_t, 4> bytes{a, b, c, d};
  return from_bytes(bytes);
}

IpAddress IpAddress::from_bytes(std::span<const std::uint8_t> bytes) {
  IpAddress address;
  if (bytes.size() != 4 && bytes.size() != 16) return address;
  address.family_ = bytes.size() == 4 ? Family::ipv4 : Family::ipv6;
  std::memcpy(address.bytes_.data(), bytes.data(), bytes.size());
  return address;
}

IpAddress IpAddress::any(Family family) {
  IpAddress address;
  address.family_ = family;
  return address;
}

IpAddress IpAddress::loopback(Family family) {
  if (family == Family::ipv4) return v4(127, 0, 0, 1);
  IpAddress address = any(family);
  if (family == Family::ipv6) address.bytes_[15] = 1;
  return address;
}

IpAddress IpAddress::all_nodes() {
  IpAddress address = any(Family::ipv6);
  address.bytes_[0] = 0xff;
  address.bytes_[1] = 0x02;
  address.bytes_[15] = 1;
  return address;
}

IpAddress IpAddress::all_routers() {
  IpAddress address = all_nodes();
  address.bytes_[15] = 2;
  return address;
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  if (text.find(':') != std::string_view::npos) {
    const auto bytes = parse_v6(text);
    if (!bytes) return std::nullopt;
    return from_bytes(*bytes);
  }
  const auto bytes = parse_quad(text);
  if (!bytes) return std::nullopt;
  return from_bytes(*bytes);
}

std::string IpAddress::to_string() const {
  if (is_v4()) return quad_text(bytes());
  if (is_v6()) return v6_text(bytes());
  return {};
}

bool IpAddress::is_unspecified() const { return family_ != Family::none && *this == any(family_); }

bool IpAddress::is_loopback() const {
  return is_v4() ? bytes_[0] == 127 : is_v6() && *this == loopback(Family::ipv6);
}

bool IpAddress::is_multicast() const {
  return is_v4() ? (bytes_[0] & 0xf0) == 0xe0 : is_v6() && bytes_[0] == 0xff;
}

bool IpAddress::is_link_local() const {
  return is_v4() ? bytes_[0] == 169 && bytes_[1] == 254
                 : is_v6() && bytes_[0] == 0xfe && (bytes_[1] & 0xc0) == 0x80;
}

bool IpAddress::is_link_local_multicast() const {
  // RFC 4291 2.7: the four flag bits do not matter to the scope.
  return is_v4() ? bytes_[0] == 224 && bytes_[1] == 0 && bytes_[2] == 0
                 : is_v6() && bytes_[0] == 0xff && (bytes_[1] & 0x0f) == 0x02;
}

IpAddress IpAddress::solicited_node() const {
  IpAddress address = all_nodes();
  address.bytes_[11] = 1;
  address.bytes_[12] = 0xff;
  std::memcpy(address.bytes_.data() + 13, bytes_.data() + 13, 3);
  return address;
}

MacAddress IpAddress::multicast_mac() const {
  // RFC 1112 6.4: 01-00-5e and the low 23 bits. RFC 2464 7: 33-33 and the low 32 bits.
  if (is_v4()) {
    return {{0x01, 0x00, 0x5e, static_cast<std::uint8_t>(bytes_[1] & 0x7f), bytes_[2], bytes_[3]}};
  }
  return {{0x33, 0x33, bytes_[12], bytes_[13], bytes_[14], bytes_[15]}};
}

std::optional<Cidr> Cidr::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  const auto address = IpAddress::parse(text.substr(0, slash));
  if (!address) return std::nullopt;
  const unsigned full = address->is_v4() ? 32 : 128;
  if (slash == std::string_view::npos) return Cidr{*address, static_cast<std::uint8_t>(full)};
  const auto prefix = parse_decimal(text.substr(slash + 1), full);
  if (!prefix) return std::nullopt;
  return Cidr{*address, static_cast<std::uint8_t>(*prefix)};
}

std::string Cidr::to_string() const { return address.to_string() + '/' + std::to_string(prefix); }

bool Cidr::contains(const IpAddress& other) const {
  if (other.family() != address.family() || other.family() == Family::none) return false;
  const auto ours = address.bytes();
  const auto theirs = other.bytes();
  const std::size_t bits = std::min<std::size_t>(prefix, ours.size() * 8);
  const std::size_t whole = bits / 8;
  if (!std::equal(ours.begin(), ours.begin() + static_cast<std::ptrdiff_t>(whole), theirs.begin()))
    return false;
  if (bits % 8 == 0) return true;
  return ((ours[whole] ^ theirs[whole]) >> (8 - bits % 8)) == 0;
}

IpAddress Cidr::network() const {
  std::array<std::uint8_t, 16> bytes{};
  const auto ours = address.bytes();
  for (std::size_t i = 0; i < ours.size(); i++) {
    const std::size_t kept = std::min<std::size_t>(8, prefix > i * 8 ? prefix - i * 8 : 0);
    bytes[i] = static_cast<std::uint8_t>(ours[i] & (0xff00u >> kept));
  }
  return IpAddress::from_bytes(std::span(bytes).first(ours.size()));
}

IpAddress Cidr::directed_broadcast() const {
  // RFC 3021: /31 has none; nor has a host route.
  if (!address.is_v4() || prefix > 30) return {};
  std::array<std::uint8_t, 4> bytes{};
  const auto ours = address.bytes();
  for (std::size_t i = 0; i < 4; i++) {
    const std::size_t kept = std::min<std::size_t>(8, prefix > i * 8 ? prefix - i * 8 : 0);
    bytes[i] = static_cast<std::uint8_t>(ours[i] | (0xffu >> kept));
  }
  return IpAddress::from_bytes(bytes);
}

std::string Endpoint::to_string() const {
  std::string text = address.to_string();
  if (scope != kAnyInterface) text += '%' + std::to_string(scope);
  if (address.is_v6()) text = '[' + text + ']';
  return text + ':' + std::to_string(port);
}

}  // namespace vpollnet
