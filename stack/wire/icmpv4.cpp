// SPDX-License-Identifier: MIT
#include "wire/icmpv4.hpp"

#include "wire/bytes.hpp"
#include "wire/ipv4.hpp"

namespace vpollnet::wire {

namespace {
constexpr std::size_t kQuotedTransport = 8;  // RFC 792: the IP header and 64 bits of its data
}  // namespace

bool icmpv4_is_error(std::uint8_t type) {
  return type == kIcmpv4Unreachable || type == kIcmpv4TimeExceeded ||
         type == kIcmpv4ParameterProblem;
}

bool icmpv4_forbids_answer(std::uint8_t type) {
  // RFC 1122 3.2.2.6 and the query types of RFC 792 and RFC 950; what is none of them may be an
  // error of a kind that came later.
  switch (type) {
  case kIcmpv4EchoReply:
  case kIcmpv4EchoRequest:
  case 13:  // timestamp and its reply
  case 14:
  case 15:  // information request and its reply
  case 16:
  case 17:  // address mask request and its reply
  case 18: return false;
  default: return true;
  }
}

std::optional<IcmpHeader> parse_icmpv4(std::span<const std::uint8_t> bytes) {
  if (bytes.size() < kIcmpHeader) return std::nullopt;
  return IcmpHeader{bytes[0], bytes[1], load32(&bytes[4])};
}

void emit_icmpv4(const IcmpHeader& header, std::span<std::uint8_t> out) {
  out[0] = header.type;
  out[1] = header.code;
  store16(&out[2], 0);
  store32(&out[4], header.rest);
}

std::optional<QuotedPacket> parse_icmpv4_quote(std::span<const std::uint8_t> bytes) {
  // The quotation is cut short as a rule, so its total length says nothing about these bytes, and
  // its checksum may have been left as some router changed it.
  const auto parsed = parse_ipv4(bytes, SIZE_MAX);
  if (!parsed || parsed->header.fragment_offset != 0) return std::nullopt;
  const auto transport = bytes.subspan(parsed->length);
  if (transport.size() < kQuotedTransport) return std::nullopt;
  return QuotedPacket{parsed->header.source, parsed->header.destination, parsed->header.protocol,
                      transport};
}

}  // namespace vpollnet::wire
