// SPDX-License-Identifier: MIT
// Numbers in network byte order (RFC 1700, "Data Notations"). The caller has checked the length.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>

#include "wire/address.hpp"

namespace vpollnet::wire {

inline std::uint16_t load16(const std::uint8_t* at) {
  return static_cast<std::uint16_t>(at[0] << 8 | at[1]);
}
inline std::uint32_t load32(const std::uint8_t* at) {
  return static_cast<std::uint32_t>(load16(at)) << 16 | load16(at + 2);
}
inline void store16(std::uint8_t* at, std::uint16_t value) {
  at[0] = static_cast<std::uint8_t>(value >> 8);
  at[1] = static_cast<std::uint8_t>(value);
}
inline void store32(std::uint8_t* at, std::uint32_t value) {
  store16(at, static_cast<std::uint16_t>(value >> 16));
  store16(at + 2, static_cast<std::uint16_t>(value));
}
inline void store_address(std::uint8_t* at, const IpAddress& address) {
  const auto bytes = address.bytes();
  if (!bytes.empty()) std::memcpy(at, bytes.data(), bytes.size());
}
inline MacAddress load_mac(const std::uint8_t* at) {
  MacAddress mac;
  std::memcpy(mac.bytes.data(), at, mac.bytes.size());
  return mac;
}
inline void store_mac(std::uint8_t* at, const MacAddress& mac) {
  std::memcpy(at, mac.bytes.data(), mac.bytes.size());
}

}  // namespace vpollnet::wire
