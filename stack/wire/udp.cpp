// SPDX-License-Identifier: MIT
#include "wire/udp.hpp"

#include "wire/bytes.hpp"

namespace vpollnet::wire {

std::optional<UdpHeader> parse_udp(std::span<const std::uint8_t> bytes, std::size_t packet_size) {
  if (bytes.size() < kUdpHeader) return std::nullopt;
  UdpHeader header{load16(&bytes[0]), load16(&bytes[2]), load16(&bytes[4]),
                   load16(&bytes[kUdpChecksumOffset])};
  // RFC 768: the minimum length is eight. A length of 0 (RFC 2675) needs a jumbogram.
  if (header.length < kUdpHeader || header.length > packet_size) return std::nullopt;
  return header;
}

void emit_udp(const UdpHeader& header, std::span<std::uint8_t> out) {
  store16(&out[0], header.source_port);
  store16(&out[2], header.destination_port);
  store16(&out[4], header.length);
  store16(&out[kUdpChecksumOffset], header.checksum);
}

}  // namespace vpollnet::wire
