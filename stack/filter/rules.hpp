// SPDX-License-Identifier: MIT
// The packet filter: rules in order, of which the first that fits decides.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "filter/flow.hpp"
#include "util/time.hpp"
#include "wire/address.hpp"

namespace vpollnet::filter {

enum class Direction : std::uint8_t {
  forward,  ///< from one link to another
  input,    ///< for the stack itself
  output,   ///< from the stack itself
};
inline constexpr std::size_t kDirections = 3;

enum class FlowState : std::uint8_t {
  fresh,        ///< "new": of a flow whose other side has not answered
  established,  ///< of a flow that has been answered
  related,      ///< an ICMP error about a flow that is known
  invalid,      ///< none of these, such as TCP without a connection
};

enum class Action : std::uint8_t {
  accept,
  drop,
  reject,    ///< with a RST for TCP, port unreachable for the rest, as if nobody were there
  prohibit,  ///< with ICMP: administratively prohibited (RFC 1812 5.2.7.1, RFC 4443 3.1)
  count,     ///< counted, and the next rules are looked at
  log,       ///< as count, and the packet is noted in the log
};

struct PortRange {
  std::uint16_t first = 0;
  std::uint16_t last = 65'535;
  bool contains(std::uint16_t port) const { return first <= port && port <= last; }
  std::uint32_t size() const { return last - first + 1u; }
};

/// Fits a packet that fits all that is given; a list that is empty fits all.
struct Rule {
  static constexpr std::uint8_t kAll = 0xff;

  std::uint8_t directions = kAll;  ///< bit 1 << Direction
  std::vector<InterfaceId> in;
  std::vector<InterfaceId> out;
  std::vector<Cidr> sources;       ///< before the source is translated
  std::vector<Cidr> destinations;  ///< after the destination was translated
  std::optional<std::uint8_t> protocol;
  std::vector<PortRange> source_ports;
  std::vector<PortRange> destination_ports;
  std::optional<std::uint8_t> icmp_type;
  std::optional<std::uint8_t> icmp_code;
  std::uint8_t states = kAll;  ///< bit 1 << FlowState
  Action action = Action::accept;
};

struct RuleSet {
  static constexpr std::size_t kMaxRules = 1024;

  std::vector<Rule> rules;
  /// What becomes of a packet that no rule decides about, by direction: accept, drop, reject or
  /// prohibit.
  Action policy[kDirections] = {Action::accept, Action::accept, Action::accept};
};

/// What a rule is compared with.
struct Subject {
  Direction direction = Direction::forward;
  InterfaceId in = kAnyInterface;
  InterfaceId out = kAnyInterface;
  FlowTuple tuple;
  FlowState state = FlowState::fresh;
  bool icmp = false;
  std::uint8_t icmp_type = 0;
  std::uint8_t icmp_code = 0;
  std::size_t size = 0;
};

struct RuleCount {
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
};

struct LogEntry {
  Nanos at = 0;
  std::size_t rule = 0;
  Subject subject;
};

class Filter {
 public:
  static constexpr std::size_t kLogEntries = 256;  ///< the newest

  /// Takes the place of all rules that were; counts begin at 0.
  void set(RuleSet rules);
  /// accept, drop, reject or prohibit.
  Action decide(const Subject& subject, Nanos now);

  const RuleSet& rules() const { return rules_; }
  const std::vector<RuleCount>& counts() const { return counts_; }
  const RuleCount& policy_count(Direction direction) const {
    return policy_counts_[static_cast<std::size_t>(direction)];
  }
  /// What was logged since the last call, the oldest first.
  std::vector<LogEntry> take_log();

 private:
  RuleSet rules_;
  std::vector<RuleCount> counts_;
  RuleCount policy_counts_[kDirections];
  std::deque<LogEntry> log_;
};

bool fits(const Rule& rule, const Subject& subject);
/// Empty, or one of them has it.
bool contains(const std::vector<Cidr>& prefixes, const IpAddress& address);

}  // namespace vpollnet::filter
