// SPDX-License-Identifier: MIT
// Multicast groups: sockets join and leave them, queries come in, reports go out (IGMP: RFC 3376,
// MLD: RFC 3810).
#include <algorithm>

#include "stack_implementation.hpp"
#include "wire/bytes.hpp"
#include "wire/checksum.hpp"
#include "wire/ethernet.hpp"

namespace vpollnet {

using socket::IpMeta;
using wire::GroupChange;

namespace {

constexpr std::uint8_t kInternetworkControl = 0xc0;  // RFC 3376 4: the precedence of IGMP

}  // namespace

Result<InterfaceId> Stack::Implementation::group_interface(const IpAddress& group,
                                                           InterfaceId interface) {
  if (!group.is_multicast()) return Errno::invalid;
  if (interface != kAnyInterface) {
    if (find(interface) == nullptr) return Errno::no_such_device;
    return interface;
  }
  const auto path = path_to_group(group, {}, kAnyInterface);
  if (!path) return path.error();
  return path->interface;
}

Errno Stack::Implementation::join_group(const IpAddress& group, const IpAddress& source,
                                        InterfaceId interface, Nanos now) {
  const Interface* on = find(interface);
  if (on == nullptr) return Errno::no_such_device;
  const Errno error = groups_.join(interface, group, source, now);
  if (error != Errno::ok) return error;
  if (!on->up) groups_.suspend(interface);
  send_group_reports(now);
  return Errno::ok;
}

void Stack::Implementation::leave_group(const IpAddress& group, const IpAddress& source,
                                        InterfaceId interface, Nanos now) {
  groups_.leave(interface, group, source, now);
  send_group_reports(now);
}

bool Stack::Implementation::is_member(InterfaceId interface, const IpAddress& group) const {
  return groups_.listens(interface, group) ||
         (group.is_v6() && addresses_.listens(interface, group));
}

void Stack::Implementation::receive_igmp(const Arrival& arrival, const IpMeta& meta,
                                         Packet&& message, Nanos now) {
  const auto query = wire::parse_igmp_query(message.linear(pool_));
  // RFC 3376 4: from this link, hence with a TTL of 1. What other hosts report is of no interest:
  // it does not keep us from reporting (RFC 3376 A.2).
  if (!query || arrival.looped || meta.hop_limit != 1) return drop(Drop::igmp_ignored);
  groups_.on_query(arrival.interface, Family::ipv4, *query,
                   is_member(arrival.interface, query->group), now);
}

void Stack::Implementation::receive_mld_query(const Arrival& arrival, const IpMeta& meta,
                                              Packet&& message, Nanos now) {
  const auto query = wire::parse_mld_query(message.linear(pool_));
  if (!query) return drop(Drop::icmp_malformed);
  // RFC 3810 5.1.14, 6.2: from a router of this link, with Router Alert; others are ignored
  // silently.
  const bool from_link = meta.source.is_link_local() && meta.hop_limit == 1 && arrival.router_alert;
  if (!from_link || arrival.looped) return drop(Drop::icmp_ignored);
  groups_.on_query(arrival.interface, Family::ipv6, *query,
                   is_member(arrival.interface, query->group), now);
}

void Stack::Implementation::send_group_reports(Nanos now) {
  while (auto due = groups_.advance(now)) {
    Interface* on = find(due->interface);
    if (on == nullptr || !on->up || on->loopback()) continue;
    send_group_report(*on, std::move(*due));
  }
}

void Stack::Implementation::send_group_report(Interface& on, ip::DueReport&& due) {
  auto& records = due.report.records;
  // Who has left meanwhile says nothing; what comes with an address is said with the rest.
  const auto is_answer = [](const wire::GroupRecord& record) {
    return record.change == GroupChange::is_exclude || record.change == GroupChange::is_include;
  };
  std::erase_if(records, [&](const auto& record) {
    return is_answer(record) && !is_member(on.id, record.group);
  });
  // An address hears any source, whatever sockets have joined.
  for (wire::GroupRecord& record : records) {
    if (is_answer(record) && record.group.is_v6() && addresses_.listens(on.id, record.group))
      record = {GroupChange::is_exclude, record.group};
  }
  if (due.general && due.family == Family::ipv6) {
    for (const auto& own : addresses_.all()) {
      if (own->interface != on.id || !own->cidr.address.is_v6()) continue;
      const wire::GroupRecord record{GroupChange::is_exclude, own->cidr.address.solicited_node()};
      std::erase_if(records, [&](const auto& each) { return each.group == record.group; });
      records.push_back(record);
    }
  }
  const bool v4 = due.family == Family::ipv4;
  // RFC 1112: the first version has no leave.
  const bool silent = v4 && due.report.version == 1 && !records.empty() &&
                      records.front().change == GroupChange::to_include;
  if (silent) return;
  wire::Ipv4Header alerting;
  alerting.router_alert = true;
  const std::size_t header =
      v4 ? wire::ipv4_size(alerting) : wire::kIpv6Header + wire::kIpv6RouterAlert;
  // IPv6 is off where the link is too small for it.
  const std::size_t mtu = std::max<std::size_t>(on.config.mtu, v4 ? 68 : 1280);
  for (const wire::GroupReport& part : wire::split(due.report, mtu - header))
    v4 ? send_igmp(on, part) : send_mld(on, part);
}

void Stack::Implementation::send_igmp(Interface& on, const wire::GroupReport& report) {
  const IpAddress to = report.destination();
  // RFC 3376 4.2.13: 0.0.0.0 where there is no address yet.
  const ip::Address* source = ip::select_source(addresses_, to, on.id, to);
  const auto bytes = wire::emit_igmp_report(report);
  Packet packet(pool_.copy(bytes));
  const wire::Ipv4Header header{.traffic_class = kInternetworkControl,
                                .identification = identification_.next(),
                                .hop_limit = 1,
                                .protocol = socket::kIgmp,
                                .source = source != nullptr ? source->cidr.address
                                                            : IpAddress::any(Family::ipv4),
                                .destination = to,
                                .payload_length = static_cast<std::uint16_t>(bytes.size()),
                                .router_alert = true};
  wire::emit_ipv4(header, packet.prepend(wire::ipv4_size(header)));
  if (!on.ethernet()) return transmit(on, 0, std::move(packet));
  transmit_frame(on, to.multicast_mac(), wire::kEtherIpv4, std::move(packet));
}

void Stack::Implementation::send_mld(Interface& on, const wire::GroupReport& report) {
  if (on.ipv6_off) return;
  // RFC 3810 5.2.13: from a link-local address, or "::" where there is none yet.
  IpAddress source = IpAddress::any(Family::ipv6);
  for (const auto& own : addresses_.all()) {
    const IpAddress& address = own->cidr.address;
    if (own->interface == on.id && address.is_v6() && address.is_link_local() && own->usable()) {
      source = address;
      break;
    }
  }
  const IpAddress to = report.destination();
  auto bytes = wire::emit_mld_report(report);
  wire::Checksum sum =
      wire::pseudo_header(source, to, socket::kIcmpv6, static_cast<std::uint32_t>(bytes.size()));
  sum.add(bytes);
  wire::store16(&bytes[2], sum.finish());
  Packet packet(pool_.copy(bytes));
  wire::emit_ipv6_router_alert(socket::kIcmpv6, packet.prepend(wire::kIpv6RouterAlert));
  const auto length = static_cast<std::uint16_t>(packet.size());
  wire::emit_ipv6({.payload_length = length,
                   .next_header = wire::kNextHopByHop,
                   .hop_limit = 1,
                   .source = source,
                   .destination = to},
                  packet.prepend(wire::kIpv6Header));
  if (!on.ethernet()) return transmit(on, 0, std::move(packet));
  transmit_frame(on, to.multicast_mac(), wire::kEtherIpv6, std::move(packet));
}

}  // namespace vpollnet
