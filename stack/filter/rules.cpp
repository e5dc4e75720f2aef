// SPDX-License-Identifier: MIT
#include "filter/rules.hpp"

#include <algorithm>
#include <utility>

namespace vpollnet::filter {

namespace {

bool has(const std::vector<InterfaceId>& interfaces, InterfaceId id) {
  return interfaces.empty() ||
         std::find(interfaces.begin(), interfaces.end(), id) != interfaces.end();
}

bool has(const std::vector<PortRange>& ranges, std::uint16_t port) {
  return ranges.empty() || std::any_of(ranges.begin(), ranges.end(),
                                       [port](const PortRange& one) { return one.contains(port); });
}

bool has_bit(std::uint8_t mask, std::uint8_t bit) { return (mask & 1u << bit) != 0; }

}  // namespace

bool contains(const std::vector<Cidr>& prefixes, const IpAddress& address) {
  return prefixes.empty() || std::any_of(prefixes.begin(), prefixes.end(),
                                         [&](const Cidr& one) { return one.contains(address); });
}

bool fits(const Rule& rule, const Subject& subject) {
  if (!has_bit(rule.directions, static_cast<std::uint8_t>(subject.direction)) ||
      !has_bit(rule.states, static_cast<std::uint8_t>(subject.state))) {
    return false;
  }
  if (rule.protocol && *rule.protocol != subject.tuple.protocol) return false;
  if (!has(rule.in, subject.in) || !has(rule.out, subject.out)) return false;
  if (rule.icmp_type && (!subject.icmp || *rule.icmp_type != subject.icmp_type)) return false;
  if (rule.icmp_code && (!subject.icmp || *rule.icmp_code != subject.icmp_code)) return false;
  return has(rule.destination_ports, subject.tuple.destination_port) &&
         has(rule.source_ports, subject.tuple.source_port) &&
         contains(rule.sources, subject.tuple.source) &&
         contains(rule.destinations, subject.tuple.destination);
}

void Filter::set(RuleSet rules) {
  rules_ = std::move(rules);
  counts_.assign(rules_.rules.size(), {});
  std::fill(std::begin(policy_counts_), std::end(policy_counts_), RuleCount{});
  log_.clear();
}

Action Filter::decide(const Subject& subject, Nanos now) {
  for (std::size_t i = 0; i < rules_.rules.size(); i++) {
    const Rule& rule = rules_.rules[i];
    if (!fits(rule, subject)) continue;
    counts_[i].packets++;
    counts_[i].bytes += subject.size;
    if (rule.action == Action::log) {
      if (log_.size() >= kLogEntries) log_.pop_front();
      log_.push_back({now, i, subject});
    } else if (rule.action != Action::count) {
      return rule.action;
    }
  }
  const auto direction = static_cast<std::size_t>(subject.direction);
  policy_counts_[direction].packets++;
  policy_counts_[direction].bytes += subject.size;
  return rules_.policy[direction];
}

std::vector<LogEntry> Filter::take_log() {
  std::vector<LogEntry> entries(log_.begin(), log_.end());
  log_.clear();
  return entries;
}

}  // namespace vpollnet::filter
