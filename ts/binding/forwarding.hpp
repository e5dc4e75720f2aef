// SPDX-License-Identifier: MIT
// Routing, filter and translation as JavaScript describes them and sees them.
#pragma once

#include <optional>
#include <vector>

#include "host/network.hpp"
#include "node_api.hpp"

namespace vpollnet::binding {

/// NativeForwarding of ts/native.ts.
ForwardingConfig to_forwarding(const Napi::Object& object);
Napi::Value forwarding_value(Napi::Env env, const ForwardingConfig& config);

/// NativeRuleSet of ts/native.ts; none for an address that is none.
std::optional<filter::RuleSet> to_rule_set(const Napi::Object& object);
Napi::Value filter_info_value(Napi::Env env, const FilterInfo& info);
Napi::Value filter_log_value(Napi::Env env, const std::vector<filter::LogEntry>& log);

/// NativeNatRules of ts/native.ts; none for an address that is none.
std::optional<filter::NatRules> to_nat_rules(const Napi::Object& object);

Napi::Value connections_value(Napi::Env env, const std::vector<ConnectionInfo>& connections);

}  // namespace vpollnet::binding
