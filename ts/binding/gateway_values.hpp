// SPDX-License-Identifier: MIT
// What a gateway is told and tells, between C++ and JavaScript: NativeGateway* of ts/native.ts.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "host/gateway/gateway_types.hpp"
#include "node_api.hpp"

namespace vpollnet::binding {

// None for a name or an address that is none; ts/ has checked them.
std::optional<host::GatewayConfig> to_gateway_config(const Napi::Object& given);
std::optional<std::vector<host::GatewayRule>> to_gateway_rules(const Napi::Value& given);
std::optional<host::Verdict> to_verdict(const Napi::Value& name);
std::optional<host::FlowTarget> to_flow_target(const Napi::Value& given);
std::optional<host::ForwardSpec> to_forward_spec(const Napi::Object& given);

/// Flows as one array of numbers and one string, which is a tenth of the work of an object for
/// each: a table of thousands is listed while others wait. ts/gateway-flow.ts takes them apart.
Napi::Value flows_value(Napi::Env env, std::span<const host::FlowInfo> flows);
/// The same, each with what happened.
Napi::Value events_value(Napi::Env env, std::span<const host::GatewayEvent> events);
/// The words that the numbers stand for.
Napi::Value flow_words_value(Napi::Env env);
Napi::Value gateway_counters_value(Napi::Env env, const host::GatewayCounters& counters);

}  // namespace vpollnet::binding
