// SPDX-License-Identifier: MIT
#include "ip/icmp.hpp"

#include <algorithm>

#include "wire/bytes.hpp"
#include "wire/checksum.hpp"
#include "wire/ipv4.hpp"
#include "wire/ipv6.hpp"

namespace vpollnet::ip {

namespace {

constexpr std::uint8_t kIcmpProtocol = 1;
constexpr std::uint8_t kIcmpv6Protocol = 58;
constexpr std::size_t kIpv4ErrorMax = 576;

/// RFC 1122 3.2.2: the source must be one host.
bool is_one_host(const IpAddress& source) {
  return !source.is_unspecified() && !source.is_multicast() && !source.is_limited_broadcast();
}

bool may_report_ipv4(Packet& packet, BlockPool& pool) {
  const auto front = packet.contiguous(std::min(packet.size(), wire::kIpv4HeaderMax + 1), pool);
  const auto parsed = wire::parse_ipv4(front, SIZE_MAX);
  if (!parsed || !is_one_host(parsed->header.source)) return false;
  if (parsed->header.fragment_offset != 0) return false;
  if (parsed->header.protocol != kIcmpProtocol) return true;
  return front.size() > parsed->length && !wire::icmpv4_forbids_answer(front[parsed->length]);
}

bool may_report_ipv6(Packet& packet, BlockPool& pool) {
  const auto bytes =
      packet.contiguous(std::min<std::size_t>(packet.size(), wire::kIpv6MinimumMtu), pool);
  const auto header = wire::parse_ipv6(bytes, SIZE_MAX);
  if (!header || !is_one_host(header->source)) return false;
  const wire::Ipv6Chain chain = wire::walk_ipv6_quote(bytes);
  // A chain that cannot be followed hides what it carries; that it is broken is the very thing
  // that is reported.
  if (chain.verdict != wire::Ipv6Chain::Verdict::upper) return true;
  if (chain.protocol != kIcmpv6Protocol) return true;
  // (e.1) no error about an error, (e.2) none about a redirect.
  if (chain.offset >= bytes.size()) return false;
  const std::uint8_t type = bytes[chain.offset];
  return !wire::icmpv6_is_error(type) && type != wire::kIcmpv6Redirect;
}

}  // namespace

std::optional<ErrorMeaning> icmpv4_meaning(std::uint8_t type, std::uint8_t code) {
  if (type == wire::kIcmpv4TimeExceeded) return ErrorMeaning{Errno::host_unreachable, false};
  if (type == wire::kIcmpv4ParameterProblem) return ErrorMeaning{Errno::protocol, true};
  if (type != wire::kIcmpv4Unreachable) return std::nullopt;
  switch (code) {  // RFC 1122 3.2.2.1, RFC 1812 5.2.7.1
  case wire::kIcmpv4NetUnreachable: return ErrorMeaning{Errno::network_unreachable, false};
  case wire::kIcmpv4HostUnreachable: return ErrorMeaning{Errno::host_unreachable, false};
  case wire::kIcmpv4ProtocolUnreachable: return ErrorMeaning{Errno::no_protocol_option, true};
  case wire::kIcmpv4PortUnreachable: return ErrorMeaning{Errno::refused, true};
  case wire::kIcmpv4FragmentationNeeded: return ErrorMeaning{Errno::message_size, false};
  case wire::kIcmpv4SourceRouteFailed: return ErrorMeaning{Errno::not_supported, false};
  case 6: return ErrorMeaning{Errno::network_unreachable, true};  // network unknown
  case 7: return ErrorMeaning{Errno::host_down, true};            // host unknown
  case wire::kIcmpv4NetProhibited: return ErrorMeaning{Errno::network_unreachable, true};
  case wire::kIcmpv4HostProhibited: return ErrorMeaning{Errno::host_unreachable, true};
  case 11: return ErrorMeaning{Errno::network_unreachable, false};  // for this type of service
  case 12: return ErrorMeaning{Errno::host_unreachable, false};
  case wire::kIcmpv4CommunicationProhibited:
  case 14:
  case 15: return ErrorMeaning{Errno::host_unreachable, true};
  default: return std::nullopt;
  }
}

std::optional<ErrorMeaning> icmpv6_meaning(std::uint8_t type, std::uint8_t code) {
  switch (type) {
  case wire::kIcmpv6PacketTooBig: return ErrorMeaning{Errno::message_size, false};
  case wire::kIcmpv6TimeExceeded: return ErrorMeaning{Errno::host_unreachable, false};
  case wire::kIcmpv6ParameterProblem: return ErrorMeaning{Errno::protocol, true};
  case wire::kIcmpv6Unreachable: break;
  default: return std::nullopt;
  }
  switch (code) {  // RFC 4443 3.1
  case wire::kIcmpv6NoRoute: return ErrorMeaning{Errno::network_unreachable, false};
  case wire::kIcmpv6BeyondScope:
  case wire::kIcmpv6AddressUnreachable: return ErrorMeaning{Errno::host_unreachable, false};
  case wire::kIcmpv6PortUnreachable: return ErrorMeaning{Errno::refused, true};
  case wire::kIcmpv6Prohibited:
  case wire::kIcmpv6SourcePolicy:
  case wire::kIcmpv6RejectRoute: return ErrorMeaning{Errno::access_denied, true};
  default: return std::nullopt;
  }
}

bool may_report(const ErrorReport& report, Packet& packet, bool to_group, BlockPool& pool) {
  if (to_group && !report.even_to_group) return false;
  const auto first = packet.contiguous(1, pool);
  if (first.empty()) return false;
  return first[0] >> 4 == 4 ? may_report_ipv4(packet, pool) : may_report_ipv6(packet, pool);
}

Packet make_report(const ErrorReport& report, Family family, const Packet& packet,
                   BlockPool& pool) {
  const bool v4 = family == Family::ipv4;
  const std::size_t limit = v4 ? kIpv4ErrorMax - wire::kIpv4HeaderMin - wire::kIcmpHeader
                               : wire::kIpv6MinimumMtu - wire::kIpv6Header - wire::kIcmpHeader;
  Packet message = packet.range(0, limit, pool);
  const auto out = message.prepend(wire::kIcmpHeader);
  wire::emit_icmpv4({report.type, report.code, report.rest}, out);
  if (v4) {
    wire::Checksum sum;
    sum.add(message, 0, message.size());
    wire::store16(&out[2], sum.finish());
  }
  return message;
}

std::int64_t ErrorLimiter::Bucket::level(std::int64_t per_second, std::int64_t burst,
                                         Nanos now) const {
  if (full_at <= now) return burst;
  // Rounded up: what is missing.
  const Nanos interval = kSecond / per_second;
  return burst - (full_at - now + interval - 1) / interval;
}

void ErrorLimiter::Bucket::take(std::int64_t per_second, Nanos now) {
  full_at = std::max(full_at, now) + kSecond / per_second;
}

bool ErrorLimiter::allow(const IpAddress& destination, Nanos now, bool essential) {
  Bucket& slot = slots_[siphash(key_, destination.bytes()) % kSlots];
  if (!essential && slot.level(kPerDestinationPerSecond, kDestinationBurst, now) <= 0) return false;
  if (all_.level(kPerSecond, kBurst, now) <= random_.below(kJitter)) return false;
  if (!essential) slot.take(kPerDestinationPerSecond, now);
  all_.take(kPerSecond, now);
  return true;
}

}  // namespace vpollnet::ip
