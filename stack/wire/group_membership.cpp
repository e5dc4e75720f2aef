// SPDX-License-Identifier: MIT
#include "wire/group_membership.hpp"

#include <algorithm>

#include "wire/bytes.hpp"
#include "wire/checksum.hpp"
#include "wire/icmpv6.hpp"

namespace vpollnet::wire {

namespace {

enum IgmpType : std::uint8_t {
  kIgmpQuery = 0x11,
  kIgmpReport1 = 0x12,
  kIgmpReport2 = 0x16,
  kIgmpLeave = 0x17,
  kIgmpReport3 = 0x22,
};

constexpr std::size_t kIgmpSize = 8;
constexpr std::size_t kIgmpQuery3Size = 12;
constexpr std::size_t kMldSize = 24;
constexpr std::size_t kMldQuery2Size = 28;
constexpr std::size_t kReportHeader = 8;
constexpr std::size_t kRecordHeader = 4;  // before the group's address

/// RFC 3376 4.1.1 and RFC 3810 5.1.3: large numbers have `bits` of mantissa, and three of exponent.
std::uint32_t decode_time(std::uint32_t code, unsigned bits) {
  if (code < 1u << (bits + 3)) return code;
  const std::uint32_t mantissa = (code & ((1u << bits) - 1)) | 1u << bits;
  return mantissa << ((code >> bits & 7) + 3);
}

IpAddress igmpv3_routers() { return IpAddress::v4(224, 0, 0, 22); }
IpAddress all_ipv4_routers() { return IpAddress::v4(224, 0, 0, 2); }
IpAddress mldv2_routers() {
  static const IpAddress address = *IpAddress::parse("ff02::16");
  return address;
}

bool is_newest(const GroupReport& report) {
  return report.version == (report.records.front().group.is_v4() ? 3 : 2);
}

bool is_leave(const GroupReport& report) {
  return report.records.front().change == GroupChange::to_include;
}

/// The sources that a query names, which are `size` bytes each behind their number at
/// `count_at`. Nothing if the message is too short for them.
std::optional<std::vector<IpAddress>> parse_sources(std::span<const std::uint8_t> message,
                                                    std::size_t count_at, std::size_t size) {
  const std::size_t count = load16(&message[count_at]);
  const auto bytes = message.subspan(count_at + 2);
  if (bytes.size() < count * size) return std::nullopt;
  std::vector<IpAddress> sources;
  for (std::size_t i = 0; i < count; i++)
    sources.push_back(IpAddress::from_bytes(bytes.subspan(i * size, size)));
  return sources;
}

/// RFC 3376 4.2, RFC 3810 5.2: a header and records.
std::vector<std::uint8_t> emit_records(std::uint8_t type, const GroupReport& report) {
  std::vector<std::uint8_t> out(kReportHeader);
  out[0] = type;
  store16(&out[6], static_cast<std::uint16_t>(report.records.size()));
  for (const auto& [change, group, sources] : report.records) {
    std::size_t at = out.size();
    const std::size_t size = group.bytes().size();
    out.resize(at + kRecordHeader + size * (1 + sources.size()));
    out[at] = static_cast<std::uint8_t>(change);
    store16(&out[at + 2], static_cast<std::uint16_t>(sources.size()));
    store_address(&out[at += kRecordHeader], group);
    for (const IpAddress& source : sources) store_address(&out[at += size], source);
  }
  return out;
}

}  // namespace

std::optional<GroupQuery> parse_igmp_query(std::span<const std::uint8_t> message) {
  if (message.size() < kIgmpSize || message[0] != kIgmpQuery) return std::nullopt;
  if (checksum_of(message) != 0) return std::nullopt;
  GroupQuery query;
  const IpAddress group = IpAddress::from_bytes(message.subspan(4, 4));
  if (!group.is_unspecified()) {
    if (!group.is_multicast()) return std::nullopt;
    query.group = group;
  }
  // RFC 3376 7.1: the version is told by the length and the code.
  constexpr std::uint32_t kUnit = 100;  // ms
  const std::uint32_t code = message[1];
  if (message.size() >= kIgmpQuery3Size) {
    query.version = 3;
    query.max_response = decode_time(code, 4) * kUnit;
    auto sources = parse_sources(message, 10, 4);
    if (!sources) return std::nullopt;
    query.sources = std::move(*sources);
  } else if (message.size() != kIgmpSize) {
    return std::nullopt;
  } else {
    query.version = code == 0 ? 1 : 2;
    // RFC 2236 4: version 1 means ten seconds.
    query.max_response = code == 0 ? 100 * kUnit : code * kUnit;
  }
  return query;
}

std::optional<GroupQuery> parse_mld_query(std::span<const std::uint8_t> message) {
  if (message.size() < kMldSize || message[0] != kIcmpv6MulticastListenerQuery) return std::nullopt;
  GroupQuery query;
  const IpAddress group = IpAddress::from_bytes(message.subspan(8, 16));
  if (!group.is_unspecified()) {
    if (!group.is_multicast()) return std::nullopt;
    query.group = group;
  }
  // RFC 3810 8.1.
  const std::uint32_t code = load16(&message[4]);
  if (message.size() >= kMldQuery2Size) {
    query.version = 2;
    query.max_response = decode_time(code, 12);
    auto sources = parse_sources(message, 26, 16);
    if (!sources) return std::nullopt;
    query.sources = std::move(*sources);
  } else if (message.size() != kMldSize) {
    return std::nullopt;
  } else {
    query.version = 1;
    query.max_response = code;
  }
  return query;
}

IpAddress GroupReport::destination() const {
  const IpAddress& group = records.front().group;
  if (is_newest(*this)) return group.is_v4() ? igmpv3_routers() : mldv2_routers();
  if (!is_leave(*this)) return group;
  return group.is_v4() ? all_ipv4_routers() : IpAddress::all_routers();
}

std::vector<GroupReport> split(const GroupReport& report, std::size_t room) {
  std::vector<GroupReport> parts;
  std::size_t left = 0;
  for (const auto& [change, group, sources] : report.records) {
    const std::size_t size = group.bytes().size();
    std::size_t done = 0;
    do {
      // A report that has no room for the record with a source of it is full.
      const std::size_t smallest = kRecordHeader + size * (sources.empty() ? 1 : 2);
      if (parts.empty() || left < smallest) {
        parts.push_back({.version = report.version, .records = {}});
        left = room - kReportHeader;
      }
      left -= kRecordHeader + size;
      const std::size_t count = std::min(sources.size() - done, left / size);
      left -= count * size;
      const auto from = sources.begin() + static_cast<std::ptrdiff_t>(done);
      parts.back().records.push_back(
          {change, group, {from, from + static_cast<std::ptrdiff_t>(count)}});
      done += count;
    } while (done < sources.size());
  }
  return parts;
}

std::vector<std::uint8_t> emit_igmp_report(const GroupReport& report) {
  std::vector<std::uint8_t> out;
  if (is_newest(report)) {
    out = emit_records(kIgmpReport3, report);
  } else {
    out.resize(kIgmpSize);
    out[0] = is_leave(report)      ? std::uint8_t{kIgmpLeave}
             : report.version == 2 ? std::uint8_t{kIgmpReport2}
                                   : std::uint8_t{kIgmpReport1};
    store_address(&out[4], report.records.front().group);
  }
  store16(&out[2], checksum_of(out));
  return out;
}

std::vector<std::uint8_t> emit_mld_report(const GroupReport& report) {
  if (is_newest(report)) return emit_records(kIcmpv6MulticastListenerReport2, report);
  std::vector<std::uint8_t> out(kMldSize);
  out[0] = is_leave(report) ? std::uint8_t{kIcmpv6MulticastListenerDone}
                            : std::uint8_t{kIcmpv6MulticastListenerReport};
  store_address(&out[8], report.records.front().group);
  return out;
}

}  // namespace vpollnet::wire
