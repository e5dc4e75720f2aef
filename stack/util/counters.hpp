// SPDX-License-Identifier: MIT
// Why packets are dropped. Each drop has one reason, and each reason a counter that can be read.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace vpollnet {

/// One row a reason; the names below are in the same order.
enum class Drop : std::uint8_t {
  ethernet_malformed,
  ethernet_not_for_us,
  ethernet_unknown_type,
  arp_malformed,
  arp_ignored,
  neighbour_unresolved,
  neighbour_queue_full,
  ipv4_malformed,
  ipv4_bad_checksum,
  ipv4_bad_address,
  ipv4_not_for_us,
  ipv4_source_route,
  ipv6_malformed,
  ipv6_bad_address,
  ipv6_not_for_us,
  ipv6_bad_header_chain,
  ip_unknown_protocol,
  ip_reverse_path,
  ip_hop_limit,
  ip_no_route,
  ip_too_big,
  forward_no_route,
  forward_too_big,
  filter_dropped,
  filter_rejected,
  connection_limit,
  nat_conflict,
  nat_no_port,
  nat_untranslatable,
  fragment_malformed,
  fragment_overlap,
  fragment_timeout,
  fragment_limit,
  icmp_malformed,
  icmp_bad_checksum,
  icmp_ignored,
  icmp_rate_limited,
  igmp_ignored,
  ndp_malformed,
  ndp_ignored,
  udp_malformed,
  udp_bad_checksum,
  udp_no_socket,
  udp_source_filtered,
  udp_queue_full,
  ping_no_socket,
  ping_queue_full,
  tcp_malformed,
  tcp_bad_checksum,
  tcp_bad_address,
  tcp_no_connection,
  tcp_syn_queue_full,
  tcp_accept_queue_full,
  tcp_unacceptable,
  tcp_challenge,
  tcp_paws,
  tcp_out_of_window,
  tcp_queue_full,
  memory_budget,
  interface_down,
  link_queue_full,
  count_,
};

inline constexpr std::size_t kDropReasons = static_cast<std::size_t>(Drop::count_);

// A row each: clang-format would fill the lines.
// clang-format off
inline constexpr std::array<std::string_view, kDropReasons> kDropNames{
    "ethernet_malformed",
    "ethernet_not_for_us",
    "ethernet_unknown_type",
    "arp_malformed",
    "arp_ignored",
    "neighbour_unresolved",
    "neighbour_queue_full",
    "ipv4_malformed",
    "ipv4_bad_checksum",
    "ipv4_bad_address",
    "ipv4_not_for_us",
    "ipv4_source_route",
    "ipv6_malformed",
    "ipv6_bad_address",
    "ipv6_not_for_us",
    "ipv6_bad_header_chain",
    "ip_unknown_protocol",
    "ip_reverse_path",
    "ip_hop_limit",
    "ip_no_route",
    "ip_too_big",
    "forward_no_route",
    "forward_too_big",
    "filter_dropped",
    "filter_rejected",
    "connection_limit",
    "nat_conflict",
    "nat_no_port",
    "nat_untranslatable",
    "fragment_malformed",
    "fragment_overlap",
    "fragment_timeout",
    "fragment_limit",
    "icmp_malformed",
    "icmp_bad_checksum",
    "icmp_ignored",
    "icmp_rate_limited",
    "igmp_ignored",
    "ndp_malformed",
    "ndp_ignored",
    "udp_malformed",
    "udp_bad_checksum",
    "udp_no_socket",
    "udp_source_filtered",
    "udp_queue_full",
    "ping_no_socket",
    "ping_queue_full",
    "tcp_malformed",
    "tcp_bad_checksum",
    "tcp_bad_address",
    "tcp_no_connection",
    "tcp_syn_queue_full",
    "tcp_accept_queue_full",
    "tcp_unacceptable",
    "tcp_challenge",
    "tcp_paws",
    "tcp_out_of_window",
    "tcp_queue_full",
    "memory_budget",
    "interface_down",
    "link_queue_full",
};
// clang-format on

/// Whether a packet that comes in ends for this reason. The others befall what is sent, perhaps in
/// answer to it.
constexpr bool is_of_input(Drop reason) {
  switch (reason) {
  case Drop::neighbour_unresolved:
  case Drop::neighbour_queue_full:
  case Drop::ip_no_route:
  case Drop::ip_too_big:
  case Drop::fragment_timeout:
  case Drop::icmp_rate_limited:
  case Drop::link_queue_full:
  case Drop::count_: return false;
  default: return true;
  }
}

/// What one stack has seen. Plain numbers, read under the same lock as everything else.
struct Counters {
  std::array<std::uint64_t, kDropReasons> drops{};
  std::uint64_t packets_in = 0;
  std::uint64_t bytes_in = 0;
  std::uint64_t packets_out = 0;
  std::uint64_t bytes_out = 0;
  std::uint64_t tcp_segments_in = 0;
  std::uint64_t tcp_segments_out = 0;
  std::uint64_t tcp_retransmits = 0;
  std::uint64_t tcp_resets_out = 0;

  /// The first reason for which something was dropped since it was last set to Drop::count_.
  Drop first_drop = Drop::count_;

  void drop(Drop reason) {
    drops[static_cast<std::size_t>(reason)]++;
    if (first_drop == Drop::count_) first_drop = reason;
  }
  std::uint64_t dropped(Drop reason) const { return drops[static_cast<std::size_t>(reason)]; }
};

}  // namespace vpollnet
