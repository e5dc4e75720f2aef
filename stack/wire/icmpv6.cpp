// SPDX-License-Identifier: MIT
#include "wire/icmpv6.hpp"

#include "wire/ipv6.hpp"

namespace vpollnet::wire {

namespace {
constexpr std::size_t kQuotedTransport = 8;
}  // namespace

std::optional<IcmpHeader> parse_icmpv6(std::span<const std::uint8_t> bytes) {
  return parse_icmpv4(bytes);  // the same eight bytes (RFC 4443 2.1, 3, 4)
}

void emit_icmpv6(const IcmpHeader& header, std::span<std::uint8_t> out) {
  emit_icmpv4(header, out);
}

std::optional<QuotedPacket> parse_icmpv6_quote(std::span<const std::uint8_t> bytes) {
  const auto header = parse_ipv6(bytes, SIZE_MAX);
  if (!header) return std::nullopt;
  const Ipv6Chain chain = walk_ipv6_quote(bytes);
  if (chain.verdict != Ipv6Chain::Verdict::upper) return std::nullopt;
  const auto transport = bytes.subspan(chain.offset);
  if (transport.size() < kQuotedTransport) return std::nullopt;
  return QuotedPacket{header->source, header->destination, chain.protocol, transport};
}

}  // namespace vpollnet::wire
