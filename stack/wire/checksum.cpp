// SPDX-License-Identifier: MIT
#include "wire/checksum.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "wire/bytes.hpp"

namespace vpollnet::wire {

namespace {

constexpr std::uint8_t kUdpProtocol = 17;

std::uint64_t load_native64(const std::uint8_t* at) {
  std::uint64_t word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

/// One's complement addition: the carry comes back in at the low end.
std::uint64_t add_carry(std::uint64_t sum, std::uint64_t word) {
  sum += word;
  return sum + (sum < word ? 1 : 0);
}

std::uint16_t fold(std::uint64_t sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}

std::uint16_t swap16(std::uint16_t value) {
  return static_cast<std::uint16_t>(value << 8 | value >> 8);
}

std::uint16_t to_native(std::uint16_t value) {
  return std::endian::native == std::endian::little ? swap16(value) : value;
}

/// RFC 1071 2 (C): any word size will do. Four sums, so that no addition waits for the one before.
std::uint64_t sum_words(const std::uint8_t* at, std::size_t length) {
  std::uint64_t a = 0, b = 0, c = 0, d = 0;
  for (; length >= 32; at += 32, length -= 32) {
    a = add_carry(a, load_native64(at));
    b = add_carry(b, load_native64(at + 8));
    c = add_carry(c, load_native64(at + 16));
    d = add_carry(d, load_native64(at + 24));
  }
  for (; length >= 8; at += 8, length -= 8) a = add_carry(a, load_native64(at));
  if (length > 0) {
    std::uint64_t last = 0;  // an odd byte is padded with zero on its right (RFC 768)
    std::memcpy(&last, at, length);
    b = add_carry(b, last);
  }
  return add_carry(add_carry(a, b), add_carry(c, d));
}

}  // namespace

void Checksum::add(std::span<const std::uint8_t> bytes) {
  if (bytes.empty()) return;
  std::uint64_t sum = sum_words(bytes.data(), bytes.size());
  if (odd_) sum = swap16(fold(sum));
  sum_ = add_carry(sum_, sum);
  odd_ = odd_ != (bytes.size() % 2 != 0);
}

void Checksum::add(const Packet& packet, std::size_t offset, std::size_t length) {
  const auto take = [&](std::span<const std::uint8_t> bytes) {
    if (offset >= bytes.size()) {
      offset -= bytes.size();
      return;
    }
    const std::size_t step = std::min(length, bytes.size() - offset);
    add(bytes.subspan(offset, step));
    length -= step;
    offset = 0;
  };
  take(packet.head());
  for (const Slice& slice : packet.body()) {
    if (length == 0) break;
    take(slice.bytes());
  }
}

void Checksum::add16(std::uint16_t value) { sum_ = add_carry(sum_, to_native(value)); }

std::uint16_t Checksum::folded() const { return to_native(fold(sum_)); }

Checksum pseudo_header(const IpAddress& source, const IpAddress& destination, std::uint8_t protocol,
                       std::uint32_t length) {
  Checksum sum;
  sum.add(source.bytes());
  sum.add(destination.bytes());
  sum.add16(static_cast<std::uint16_t>(length >> 16));
  sum.add16(static_cast<std::uint16_t>(length));
  sum.add16(protocol);
  return sum;
}

bool transport_checksum_ok(const Packet& packet, const IpAddress& source,
                           const IpAddress& destination, std::uint8_t protocol) {
  Checksum sum =
      pseudo_header(source, destination, protocol, static_cast<std::uint32_t>(packet.size()));
  sum.add(packet, 0, packet.size());
  return sum.folded() == 0xffff;
}

std::uint16_t transport_checksum(const Packet& packet, const IpAddress& source,
                                 const IpAddress& destination, std::uint8_t protocol) {
  Checksum sum =
      pseudo_header(source, destination, protocol, static_cast<std::uint32_t>(packet.size()));
  sum.add(packet, 0, packet.size());
  const std::uint16_t value = sum.finish();
  // RFC 768: a computed zero goes out as all ones, because zero says that there is none.
  return protocol == kUdpProtocol && value == 0 ? 0xffff : value;
}

std::uint16_t checksum_of(std::span<const std::uint8_t> bytes) {
  Checksum sum;
  sum.add(bytes);
  return sum.finish();
}

std::uint16_t update_checksum(std::uint16_t checksum, std::uint16_t before, std::uint16_t after) {
  // RFC 1624 3: HC' = ~(~HC + ~m + m').
  std::uint32_t sum = static_cast<std::uint16_t>(~checksum);
  sum += static_cast<std::uint16_t>(~before);
  sum += after;
  return static_cast<std::uint16_t>(~fold(sum));
}

}  // namespace vpollnet::wire
