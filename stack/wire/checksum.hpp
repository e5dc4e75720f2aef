// SPDX-License-Identifier: MIT
// The Internet checksum (RFC 1071), over bytes that may come in pieces of any length.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "util/packet.hpp"
#include "wire/address.hpp"

namespace vpollnet::wire {

/// A one's complement sum in the making. Bytes are added in order; a piece of odd length leaves the
/// next one shifted by a byte (RFC 1071 2 (B)), which the class keeps track of.
///
/// The sum is kept in the machine's byte order, eight bytes at a time: the result is the same with
/// the bytes swapped (RFC 1071 2 (B) again), and it is swapped once, on finishing.
class Checksum {
 public:
  Checksum() = default;
  void add(std::span<const std::uint8_t> bytes);
  /// Bytes [offset, offset + length) of `packet`, as many of them as there are.
  void add(const Packet& packet, std::size_t offset, std::size_t length);
  /// A number in host order, as its two bytes on the wire. Not in the middle of an odd piece.
  void add16(std::uint16_t value);

  /// The sum in 16 bits, host order, NOT complemented: what a field holds in
  /// ChecksumState::partial, and 0xffff when the checksum of received bytes is right.
  std::uint16_t folded() const;
  /// The field's value: the complement of the sum (RFC 1071 1 (1)).
  std::uint16_t finish() const { return static_cast<std::uint16_t>(~folded()); }

 private:
  std::uint64_t sum_ = 0;
  bool odd_ = false;
};

/// The sum over the pseudo header: RFC 9293 3.1 and RFC 768 for IPv4, RFC 8200 8.1 for IPv6.
/// `length` is that of the transport header and its payload.
Checksum pseudo_header(const IpAddress& source, const IpAddress& destination, std::uint8_t protocol,
                       std::uint32_t length);

/// True if `packet`, which begins with its transport header, sums up with its pseudo header.
bool transport_checksum_ok(const Packet& packet, const IpAddress& source,
                           const IpAddress& destination, std::uint8_t protocol);

/// What the checksum field of `packet`, which begins with its transport header and has 0 in the
/// field, must hold.
std::uint16_t transport_checksum(const Packet& packet, const IpAddress& source,
                                 const IpAddress& destination, std::uint8_t protocol);

/// The checksum of bytes without a pseudo header: an IPv4 header, an ICMP or IGMP message.
std::uint16_t checksum_of(std::span<const std::uint8_t> bytes);

/// The new value of a checksum field when a 16-bit field of the summed bytes changes from `before`
/// to `after` (RFC 1624 3, equation 3).
std::uint16_t update_checksum(std::uint16_t checksum, std::uint16_t before, std::uint16_t after);

}  // namespace vpollnet::wire
