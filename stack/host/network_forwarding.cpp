// SPDX-License-Identifier: MIT
// A network as a router: straight to the stack, with times made relative.
#include "host/network_implementation.hpp"

namespace vpollnet::host {

Errno NetworkImplementation::set_forwarding(const ForwardingConfig& config) {
  return change([&](Stack& stack, Nanos) { return stack.set_forwarding(config); });
}

ForwardingConfig NetworkImplementation::forwarding() {
  return read<ForwardingConfig>([](Stack& stack) { return stack.forwarding(); });
}

Errno NetworkImplementation::set_filter(std::optional<filter::RuleSet> rules) {
  return change([&](Stack& stack, Nanos) { return stack.set_filter(std::move(rules)); });
}

FilterInfo NetworkImplementation::filter_info() {
  return read<FilterInfo>([](Stack& stack) { return stack.filter_info(); });
}

std::vector<filter::LogEntry> NetworkImplementation::take_filter_log() {
  Pump::Hold hold(*pump_);
  if (stack_ == nullptr) return {};
  std::vector<filter::LogEntry> entries = stack_->take_filter_log();
  for (filter::LogEntry& entry : entries) entry.at = hold.now() - entry.at;
  return entries;
}

Errno NetworkImplementation::set_nat(filter::NatRules rules) {
  return change([&](Stack& stack, Nanos) { return stack.set_nat(std::move(rules)); });
}

std::vector<ConnectionInfo> NetworkImplementation::connections() {
  Pump::Hold hold(*pump_);
  if (stack_ == nullptr) return {};
  std::vector<ConnectionInfo> flows = stack_->connections();
  for (ConnectionInfo& flow : flows) flow.expires -= hold.now();
  return flows;
}

Errno NetworkImplementation::set_connection_limits(const filter::ConnectionLimits& limits) {
  return change([&](Stack& stack, Nanos) {
    stack.set_connection_limits(limits);
    return Errno::ok;
  });
}

}  // namespace vpollnet::host
