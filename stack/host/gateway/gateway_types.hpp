// SPDX-License-Identifier: MIT
// What a gateway is told and tells: flows, decisions, rules, forwards, counters.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "util/result.hpp"
#include "util/time.hpp"
#include "wire/address.hpp"

namespace vpollnet::host {

/// Flows of a gateway are numbered from 1; no number is used twice.
using FlowId = std::uint64_t;

enum class FlowKind : std::uint8_t { tcp, udp, echo };

enum class FlowDirection : std::uint8_t {
  outward,  ///< begun behind the gateway
  inward,   ///< begun on the far side, at a forward
};

/// Where an address lies, seen from the far stack. Bits, so that a rule can name several.
enum Reach : std::uint8_t {
  kReachPublic = 1,
  /// RFC 1918, RFC 6598, RFC 4193, and what the far stack has on its links.
  kReachPrivate = 2,
  kReachLinkLocal = 4,  ///< 169.254.0.0/16, where clouds keep their secrets
  /// The far stack's own addresses, loopback among them. Of a plug-in: the host's.
  kReachHost = 8,
  kReachSpecial = 16,  ///< what no host has: documentation, benchmarks, translators, reserved
  kReachAll = 31,
};

/// Where a flow leads. With a `path` to a Unix stream socket of the host, else to `endpoint`; with
/// no address, or port 0, that of the flow's destination stays.
struct FlowTarget {
  Endpoint endpoint;
  std::string path;
};

enum class FlowState : std::uint8_t {
  asking,      ///< nobody has decided yet
  connecting,  ///< allowed, and the far side has not answered
  open,
  closing,  ///< one direction has ended
  taken,    ///< somebody's socket
  closed,
};

/// Why a flow ended, or never began.
enum class FlowEnd : std::uint8_t {
  none,             ///< it has not
  finished,         ///< both sides closed it
  reset_by_source,  ///< RST from who began it
  reset_by_target,
  refused,      ///< the target's port is closed
  unreachable,  ///< no way there, or nobody answers
  expired,      ///< idle for too long
  denied,       ///< the decision was to refuse
  dropped,      ///< the decision was to say nothing
  undecided,    ///< no decision came in time
  killed,
  limit,   ///< too many flows, or no descriptor left
  failed,  ///< anything else: `error` says what
};

struct FlowInfo {
  FlowId id = 0;
  FlowKind kind = FlowKind::tcp;
  FlowDirection direction = FlowDirection::outward;
  FlowState state = FlowState::asking;
  FlowEnd end = FlowEnd::none;
  Errno error = Errno::ok;
  InterfaceId interface = kAnyInterface;  ///< of the gateway's stack
  Endpoint source;                        ///< who began it
  Endpoint destination;                   ///< whom the source means; echo: without port
  std::string path;                       ///< instead of the two, where it came to a path
  FlowTarget target;                      ///< where it was led, once that is known
  std::uint8_t reach = kReachPublic;      ///< of the destination
  std::uint64_t bytes_out = 0;            ///< payload away from the source
  std::uint64_t bytes_in = 0;             ///< payload towards it
  std::uint64_t packets_out = 0;          ///< datagrams; 0 for tcp
  std::uint64_t packets_in = 0;
  Nanos age = 0;
  Nanos idle = 0;
};

enum class Verdict : std::uint8_t {
  allow,
  refuse,  ///< RST, or ICMP "administratively prohibited"
  drop,
  ask,  ///< in a rule: somebody has to decide()
};

struct Decision {
  Verdict verdict = Verdict::refuse;
  FlowTarget target;  ///< with allow
};

/// The first rule that fits a new outward flow decides it.
struct GatewayRule {
  std::optional<FlowKind> kind;
  std::optional<Cidr> source;
  std::optional<Cidr> destination;
  std::uint16_t first_port = 0;  ///< of the destination; echo has port 0
  std::uint16_t last_port = 65535;
  std::uint8_t reach = kReachAll;
  Decision decision;
};

struct GatewayConfig {
  std::vector<InterfaceId> interfaces;  ///< empty: all links that there are
  std::vector<GatewayRule> rules;
  Verdict otherwise = Verdict::refuse;  ///< what no rule fits
  Nanos ask_timeout = 30 * kSecond;     ///< then refusal
  std::size_t max_flows = 16'384;
  std::size_t max_flows_per_source = 8'192;  ///< address of the source
  std::size_t max_asking = 1024;
  /// RFC 4787 4.3: at least two minutes, five recommended; ports below 1024 may have less.
  Nanos udp_timeout = 300 * kSecond;
  Nanos udp_service_timeout = 60 * kSecond;
  Nanos echo_timeout = 60 * kSecond;  ///< RFC 5508 REQ-1
  /// Events for flows that open and close. Without it, for those alone that were asked about and
  /// close undecided.
  bool tell_flows = false;
};

using ForwardId = std::uint32_t;

/// Ports of one side that lead to the other.
struct ForwardSpec {
  /// inward: listens on the far stack, leads to an address behind the gateway. outward: listens on
  /// the gateway's own addresses, leads to the far side without asking.
  FlowDirection direction = FlowDirection::inward;
  FlowKind kind = FlowKind::tcp;  ///< tcp or udp
  /// A path: a Unix stream socket on the host (inward). No address: any.
  FlowTarget listen;
  std::uint16_t count = 1;  ///< ports from listen.endpoint.port on, each to the one beside it
  FlowTarget to;            ///< a path: a Unix stream socket on the host (outward)
};

struct ForwardInfo {
  ForwardId id = 0;
  ForwardSpec spec;  ///< with the port that was found, where 0 was asked for
  std::uint64_t flows = 0;
};

struct GatewayEvent {
  enum class What : std::uint8_t { asked, opened, closed } what = What::asked;
  FlowInfo flow;
};

/// Why something behind a gateway got nowhere, beyond what the stack's own counters tell.
enum class GatewayDrop : std::uint8_t {
  flow_limit,
  source_limit,
  asking_limit,
  no_descriptors,
  denied,
  dropped,
  undecided,
  refused,
  unreachable,
  datagram_queue_full,  ///< kept while somebody decides, or the far side is full
  datagram_too_big,
  echo_not_allowed,  ///< the host has no ping sockets for this user
  events_lost,       ///< nobody took them
  count_,
};
inline constexpr std::size_t kGatewayDrops = static_cast<std::size_t>(GatewayDrop::count_);
inline constexpr std::array<std::string_view, kGatewayDrops> kGatewayDropNames{
    "flow_limit",       "source_limit",     "asking_limit", "no_descriptors", "denied",
    "dropped",          "undecided",        "refused",      "unreachable",    "datagram_queue_full",
    "datagram_too_big", "echo_not_allowed", "events_lost",
};

struct GatewayCounters {
  std::array<std::uint64_t, kGatewayDrops> drops{};
  std::uint64_t flows = 0;  ///< that opened
  std::uint64_t bytes_out = 0;
  std::uint64_t bytes_in = 0;
  std::size_t open_flows = 0;
  std::size_t asking = 0;

  void drop(GatewayDrop reason) { drops[static_cast<std::size_t>(reason)]++; }
};

}  // namespace vpollnet::host
