// SPDX-License-Identifier: MIT
#include "wire/ipv4.hpp"

#include <cstring>

#include "wire/bytes.hpp"
#include "wire/checksum.hpp"

namespace vpollnet::wire {

namespace {

constexpr std::uint16_t kDontFragment = 0x4000;
constexpr std::uint16_t kMoreFragments = 0x2000;
constexpr std::uint16_t kOffsetMask = 0x1fff;
constexpr std::size_t kTotalLengthField = 2;
constexpr std::size_t kChecksumField = 10;

/// Option types with their copy bit and class (RFC 791 3.1, RFC 2113 2.1).
enum OptionType : std::uint8_t {
  kEndOfList = 0,
  kNoOperation = 1,
  kRecordRoute = 7,
  kLooseSourceRoute = 131,
  kStrictSourceRoute = 137,
  kRouterAlert = 148,
};
constexpr std::uint8_t kRouterAlertLength = 4;
/// The smallest legal value of the pointer of a route option (RFC 791 3.1).
constexpr std::uint8_t kRoutePointerMin = 4;

void read_options(std::span<const std::uint8_t> options, ParsedIpv4& parsed) {
  std::size_t at = 0;
  while (at < options.size()) {
    const std::uint8_t type = options[at];
    if (type == kEndOfList) return;
    if (type == kNoOperation) {
      at++;
      continue;
    }
    // RFC 1122 3.2.1.8: an option whose length lies must not take the reader past the header.
    if (options.size() - at < 2 || options[at + 1] < 2 || options[at + 1] > options.size() - at) {
      parsed.options_ok = false;
      return;
    }
    const std::uint8_t length = options[at + 1];
    switch (type) {
    case kLooseSourceRoute:
    case kStrictSourceRoute: parsed.source_route = true; [[fallthrough]];
    case kRecordRoute:
      // A pointer beyond the option means that the route data is full: length + 1 at most.
      if (length < 3 || options[at + 2] < kRoutePointerMin || options[at + 2] > length + 1) {
        parsed.options_ok = false;
        return;
      }
      break;
    case kRouterAlert:
      if (length == kRouterAlertLength) parsed.header.router_alert = true;
      break;
    default: break;  // RFC 1122 3.2.1.8: unknown options are ignored silently
    }
    at += length;
  }
}

}  // namespace

std::optional<std::size_t> ipv4_header_length(std::span<const std::uint8_t> bytes) {
  if (bytes.size() < kIpv4HeaderMin || bytes[0] >> 4 != 4) return std::nullopt;
  const std::size_t length = (bytes[0] & 0x0fu) * 4;
  if (length < kIpv4HeaderMin) return std::nullopt;
  return length;
}

std::optional<ParsedIpv4> parse_ipv4(std::span<const std::uint8_t> bytes, std::size_t packet_size) {
  const auto length = ipv4_header_length(bytes);
  if (!length || *length > bytes.size()) return std::nullopt;
  const std::size_t total = load16(&bytes[kTotalLengthField]);
  if (total < *length || total > packet_size) return std::nullopt;

  ParsedIpv4 parsed;
  parsed.length = *length;
  parsed.checksum_ok = checksum_of(bytes.first(*length)) == 0;  // RFC 1122 3.2.1.2
  Ipv4Header& header = parsed.header;
  header.traffic_class = bytes[1];
  header.payload_length = static_cast<std::uint16_t>(total - *length);
  header.identification = load16(&bytes[4]);
  const std::uint16_t fragment = load16(&bytes[6]);
  header.dont_fragment = (fragment & kDontFragment) != 0;
  header.more_fragments = (fragment & kMoreFragments) != 0;
  header.fragment_offset = static_cast<std::uint16_t>((fragment & kOffsetMask) * 8);
  header.hop_limit = bytes[8];
  header.protocol = bytes[9];
  header.source = IpAddress::from_bytes(bytes.subspan(12, 4));
  header.destination = IpAddress::from_bytes(bytes.subspan(16, 4));
  read_options(bytes.subspan(kIpv4HeaderMin, *length - kIpv4HeaderMin), parsed);
  return parsed;
}

std::size_t ipv4_size(const Ipv4Header& header) {
  return kIpv4HeaderMin + (header.router_alert ? kRouterAlertLength : 0);
}

void emit_ipv4(const Ipv4Header& header, std::span<std::uint8_t> out) {
  const std::size_t length = ipv4_size(header);
  out[0] = static_cast<std::uint8_t>(4 << 4 | length / 4);
  out[1] = header.traffic_class;
  store16(&out[kTotalLengthField], static_cast<std::uint16_t>(length + header.payload_length));
  store16(&out[4], header.identification);
  store16(&out[6], static_cast<std::uint16_t>((header.dont_fragment ? kDontFragment : 0) |
                                              (header.more_fragments ? kMoreFragments : 0) |
                                              header.fragment_offset / 8));
  out[8] = header.hop_limit;
  out[9] = header.protocol;
  store_address(&out[12], header.source);
  store_address(&out[16], header.destination);
  if (header.router_alert) {
    out[20] = kRouterAlert;
    out[21] = kRouterAlertLength;
    store16(&out[22], 0);  // RFC 2113 2.1: routers shall examine the packet
  }
  finish_ipv4(out.first(length));
}

void decrement_ttl(std::span<std::uint8_t> header) {
  constexpr std::size_t kTtlField = 8;
  const std::uint16_t before = load16(&header[kTtlField]);
  header[kTtlField]--;
  store16(&header[kChecksumField],
          update_checksum(load16(&header[kChecksumField]), before, load16(&header[kTtlField])));
}

void blank_uncopied_options(std::span<std::uint8_t> header) {
  constexpr std::uint8_t kCopied = 0x80;
  std::size_t at = kIpv4HeaderMin;
  while (at < header.size() && header[at] != kEndOfList) {
    std::size_t length = 1;
    if (header[at] != kNoOperation) {
      if (header.size() - at < 2) return;
      length = header[at + 1];
      if (length < 2 || length > header.size() - at) return;
      if ((header[at] & kCopied) == 0) std::memset(&header[at], kNoOperation, length);
    }
    at += length;
  }
}

void finish_ipv4(std::span<std::uint8_t> header) {
  store16(&header[kChecksumField], 0);
  store16(&header[kChecksumField], checksum_of(header));
}

}  // namespace vpollnet::wire
