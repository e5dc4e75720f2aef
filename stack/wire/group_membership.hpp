// SPDX-License-Identifier: MIT
// Who listens to which multicast group: bytes <-> values of IGMP (RFC 1112, RFC 2236, RFC 3376 4)
// and MLD (RFC 2710 3, RFC 3810 5). A host reads queries and writes reports; it has no use for the
// rest.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "wire/address.hpp"

namespace vpollnet::wire {

struct GroupQuery {
  IpAddress group;                 ///< Family::none: a general query
  std::uint8_t version = 0;        ///< IGMP: 1 to 3. MLD: 1 or 2
  std::uint32_t max_response = 0;  ///< milliseconds that an answer may be delayed
  std::vector<IpAddress> sources;  ///< none: of the group as a whole
  bool operator==(const GroupQuery&) const = default;
};

/// `message` is the whole IGMP message. Nothing for what is no query, has a bad checksum, or asks
/// for something that is no group.
std::optional<GroupQuery> parse_igmp_query(std::span<const std::uint8_t> message);
/// `message` is the whole ICMPv6 message, its checksum verified.
std::optional<GroupQuery> parse_mld_query(std::span<const std::uint8_t> message);

/// RFC 3376 4.2.12, RFC 3810 5.2.12. Who excludes, excludes nobody: any source is heard.
enum class GroupChange : std::uint8_t {
  is_include = 1,  ///< hears the sources
  is_exclude = 2,  ///< hears any
  to_include = 3,  ///< hears the sources from now on, and no others: without any, it has left
  to_exclude = 4,  ///< hears any from now on
  allow_new = 5,   ///< hears the sources too
  block_old = 6,   ///< hears the sources no longer
};

struct GroupRecord {
  GroupChange change{};
  IpAddress group;
  std::vector<IpAddress> sources{};
  bool operator==(const GroupRecord&) const = default;
};

struct GroupReport {
  /// IGMP: 1 to 3. MLD: 1 or 2. Those below 3 and 2 carry one record, without sources.
  std::uint8_t version = 0;
  std::vector<GroupRecord> records;

  /// Where it goes: 224.0.0.22 and ff02::16 with the newest versions, else the group or the
  /// routers.
  IpAddress destination() const;
};

/// As many reports as it takes for each to have at most `room` bytes, where a record with one
/// source fits. Sources that do not fit go into another record of the same kind (RFC 3376 4.2.16,
/// RFC 3810 5.2.15).
std::vector<GroupReport> split(const GroupReport& report, std::size_t room);

/// Written with its checksum.
std::vector<std::uint8_t> emit_igmp_report(const GroupReport& report);
/// An ICMPv6 message with a checksum of 0.
std::vector<std::uint8_t> emit_mld_report(const GroupReport& report);

}  // namespace vpollnet::wire
