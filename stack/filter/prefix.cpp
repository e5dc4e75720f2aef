// SPDX-License-Identifier: MIT
#include "filter/prefix.hpp"

#include <algorithm>
#include <array>

#include "wire/bytes.hpp"

namespace vpollnet::filter {

namespace {

constexpr std::size_t kWords = 8;
constexpr std::uint16_t kMinusZero = 0xffff;
using Words = std::array<std::uint16_t, kWords>;

Words words_of(const IpAddress& address) {
  Words words{};
  const auto bytes = address.bytes();
  for (std::size_t i = 0; i < kWords; i++) words[i] = wire::load16(&bytes[2 * i]);
  return words;
}

std::uint16_t add(std::uint32_t a, std::uint32_t b) {
  const std::uint32_t sum = a + b;
  return static_cast<std::uint16_t>((sum & 0xffff) + (sum >> 16));
}

std::uint16_t sum_of(const Words& words) {
  std::uint16_t sum = 0;
  for (const std::uint16_t word : words) sum = add(sum, word);
  return sum;
}

/// The bits of `prefix` in front, those of `address` behind.
IpAddress with_prefix(const IpAddress& address, const Cidr& prefix) {
  std::array<std::uint8_t, 16> bytes{};
  const auto own = address.bytes();
  const auto front = prefix.address.bytes();
  for (std::size_t i = 0; i < own.size(); i++) {
    const std::size_t before = std::min<std::size_t>(i * 8, prefix.prefix);
    const std::size_t bits = std::min<std::size_t>(prefix.prefix - before, 8);
    const auto mask = static_cast<std::uint8_t>(0xff00u >> bits);
    bytes[i] = static_cast<std::uint8_t>((front[i] & mask) | (own[i] & ~mask));
  }
  return IpAddress::from_bytes(std::span(bytes).first(own.size()));
}

}  // namespace

bool PrefixNat::is_valid() const {
  if (internal.address.family() != external.address.family()) return false;
  if (internal.prefix != external.prefix || internal.prefix == 0) return false;
  return internal.address.is_v4() || (internal.address.is_v6() && internal.prefix <= 64);
}

std::optional<IpAddress> map_prefix(const IpAddress& address, const Cidr& from, const Cidr& to) {
  const IpAddress moved = with_prefix(address, to);
  if (address.is_v4()) return moved;
  Words words = words_of(moved);
  // RFC 6296 3.4: up to /48 the subnet word takes the difference; 3.5: else the first word of the
  // interface identifier that is not all ones.
  std::size_t at = 3;
  if (std::max(from.prefix, to.prefix) > 48) {
    for (at = 4; at < kWords && words[at] == kMinusZero; at++) {
    }
  }
  if (at == kWords || words[at] == kMinusZero) return std::nullopt;
  const std::uint16_t was = sum_of(words_of(address));
  const std::uint16_t is = sum_of(words);
  words[at] = add(add(words[at], was), static_cast<std::uint16_t>(~is));
  if (words[at] == kMinusZero) words[at] = 0;  // RFC 6296 3.6: minus zero never comes about
  std::array<std::uint8_t, 16> bytes{};
  for (std::size_t i = 0; i < kWords; i++) wire::store16(&bytes[2 * i], words[i]);
  return IpAddress::from_bytes(bytes);
}

}  // namespace vpollnet::filter
