// SPDX-License-Identifier: MIT
#include "forwarding.hpp"

#include <string>

#include "values.hpp"

namespace vpollnet::binding {

namespace {

constexpr double kMillisecondsPerNano = 1e-6;

std::int32_t whole_of(const Napi::Object& object, const char* key) {
  return object.Get(key).As<Napi::Number>().Int32Value();
}

std::string text_of(const Napi::Object& object, const char* key) {
  return object.Get(key).As<Napi::String>().Utf8Value();
}

/// Calls `take` with each element as an object.
template <class Take>
bool each_object(const Napi::Object& object, const char* key, Take take) {
  const auto array = object.Get(key).As<Napi::Array>();
  for (std::uint32_t i = 0; i < array.Length(); i++) {
    const Napi::HandleScope scope(object.Env());
    if (!take(array.Get(i).As<Napi::Object>())) return false;
  }
  return true;
}

std::vector<std::uint32_t> numbers_of(const Napi::Object& object, const char* key) {
  const auto array = object.Get(key).As<Napi::Array>();
  std::vector<std::uint32_t> numbers;
  for (std::uint32_t i = 0; i < array.Length(); i++) {
    numbers.push_back(array.Get(i).As<Napi::Number>().Uint32Value());
  }
  return numbers;
}

template <class Value>
bool parse_list(const Napi::Object& object, const char* key, std::vector<Value>& list) {
  const auto array = object.Get(key).As<Napi::Array>();
  for (std::uint32_t i = 0; i < array.Length(); i++) {
    const auto value = Value::parse(array.Get(i).As<Napi::String>().Utf8Value());
    if (!value) return false;
    list.push_back(*value);
  }
  return true;
}

/// [first, last, first, last, ...]
std::vector<filter::PortRange> ranges_of(const Napi::Object& object, const char* key) {
  const std::vector<std::uint32_t> numbers = numbers_of(object, key);
  std::vector<filter::PortRange> ranges;
  for (std::size_t i = 0; i + 1 < numbers.size(); i += 2) {
    ranges.push_back(
        {static_cast<std::uint16_t>(numbers[i]), static_cast<std::uint16_t>(numbers[i + 1])});
  }
  return ranges;
}

std::optional<filter::PortRange> range_of(const Napi::Object& object, const char* key) {
  const std::vector<filter::PortRange> ranges = ranges_of(object, key);
  return ranges.empty() ? std::nullopt : std::optional(ranges.front());
}

/// -1 is nothing.
std::optional<std::uint8_t> octet_of(const Napi::Object& object, const char* key) {
  const std::int32_t value = whole_of(object, key);
  return value < 0 ? std::nullopt : std::optional(static_cast<std::uint8_t>(value));
}

bool to_rule(const Napi::Object& given, filter::Rule& rule) {
  rule.directions = static_cast<std::uint8_t>(whole_of(given, "directions"));
  rule.in = numbers_of(given, "in");
  rule.out = numbers_of(given, "out");
  rule.protocol = octet_of(given, "protocol");
  rule.source_ports = ranges_of(given, "sourcePorts");
  rule.destination_ports = ranges_of(given, "destinationPorts");
  rule.icmp_type = octet_of(given, "icmpType");
  rule.icmp_code = octet_of(given, "icmpCode");
  rule.states = static_cast<std::uint8_t>(whole_of(given, "states"));
  rule.action = static_cast<filter::Action>(whole_of(given, "action"));
  return parse_list(given, "sources", rule.sources) &&
         parse_list(given, "destinations", rule.destinations);
}

bool to_source(const Napi::Object& given, filter::SourceNat& rule) {
  rule.out = static_cast<InterfaceId>(whole_of(given, "out"));
  rule.protocol = octet_of(given, "protocol");
  rule.ports = range_of(given, "ports");
  rule.admission = given.Get("open").As<Napi::Boolean>().Value()
                       ? filter::Admission::endpoint_independent
                       : filter::Admission::address_and_port;
  return parse_list(given, "sources", rule.sources) &&
         parse_list(given, "destinations", rule.destinations) &&
         parse_list(given, "addresses", rule.addresses);
}

bool to_destination(const Napi::Object& given, filter::DestinationNat& rule) {
  rule.in = static_cast<InterfaceId>(whole_of(given, "in"));
  rule.protocol = octet_of(given, "protocol");
  rule.ports = range_of(given, "ports");
  rule.to_port = static_cast<std::uint16_t>(whole_of(given, "toPort"));
  rule.hairpin = given.Get("hairpin").As<Napi::Boolean>().Value();
  const auto to = IpAddress::parse(text_of(given, "to"));
  if (!to) return false;
  rule.to = *to;
  return parse_list(given, "sources", rule.sources) &&
         parse_list(given, "addresses", rule.addresses);
}

bool to_prefix(const Napi::Object& given, filter::PrefixNat& rule) {
  rule.out = static_cast<InterfaceId>(whole_of(given, "out"));
  const auto internal = Cidr::parse(text_of(given, "internal"));
  const auto external = Cidr::parse(text_of(given, "external"));
  if (!internal || !external) return false;
  rule.internal = *internal;
  rule.external = *external;
  return true;
}

Napi::Object tuple_value(Napi::Env env, const filter::FlowTuple& tuple) {
  Napi::Object value = Napi::Object::New(env);
  value.Set("protocol", number_value(env, tuple.protocol));
  value.Set("source", tuple.source.to_string());
  value.Set("sourcePort", number_value(env, tuple.source_port));
  value.Set("destination", tuple.destination.to_string());
  value.Set("destinationPort", number_value(env, tuple.destination_port));
  return value;
}

Napi::Value count_value(Napi::Env env, const filter::RuleCount& count) {
  Napi::Object value = Napi::Object::New(env);
  value.Set("packets", number_value(env, count.packets));
  value.Set("bytes", number_value(env, count.bytes));
  return value;
}

}  // namespace

ForwardingConfig to_forwarding(const Napi::Object& object) {
  return {.enabled = object.Get("enabled").As<Napi::Boolean>().Value(),
          .interfaces = numbers_of(object, "interfaces"),
          .reverse_path = static_cast<ReversePath>(whole_of(object, "reversePath"))};
}

Napi::Value forwarding_value(Napi::Env env, const ForwardingConfig& config) {
  Napi::Object value = Napi::Object::New(env);
  value.Set("enabled", Napi::Boolean::New(env, config.enabled));
  Napi::Array interfaces = Napi::Array::New(env, config.interfaces.size());
  for (std::uint32_t i = 0; i < config.interfaces.size(); i++) {
    interfaces[i] = number_value(env, config.interfaces[i]);
  }
  value.Set("interfaces", interfaces);
  value.Set("reversePath", number_value(env, static_cast<std::uint64_t>(config.reverse_path)));
  return value;
}

std::optional<filter::RuleSet> to_rule_set(const Napi::Object& object) {
  filter::RuleSet set;
  const std::vector<std::uint32_t> policies = numbers_of(object, "policies");
  for (std::size_t i = 0; i < filter::kDirections && i < policies.size(); i++) {
    set.policy[i] = static_cast<filter::Action>(policies[i]);
  }
  const bool good = each_object(object, "rules", [&set](const Napi::Object& given) {
    return to_rule(given, set.rules.emplace_back());
  });
  return good ? std::optional(std::move(set)) : std::nullopt;
}

Napi::Value filter_info_value(Napi::Env env, const FilterInfo& info) {
  Napi::Object value = Napi::Object::New(env);
  Napi::Array rules = Napi::Array::New(env, info.rules.size());
  for (std::uint32_t i = 0; i < info.rules.size(); i++) rules[i] = count_value(env, info.rules[i]);
  value.Set("rules", rules);
  Napi::Array policies = Napi::Array::New(env, filter::kDirections);
  for (std::uint32_t i = 0; i < filter::kDirections; i++) {
    policies[i] = count_value(env, info.policies[i]);
  }
  value.Set("policies", policies);
  return value;
}

Napi::Value filter_log_value(Napi::Env env, const std::vector<filter::LogEntry>& log) {
  return object_array(env, log, [env](Napi::Object& object, const filter::LogEntry& entry) {
    object.Set("age", Napi::Number::New(env, static_cast<double>(entry.at) * kMillisecondsPerNano));
    object.Set("rule", number_value(env, entry.rule));
    object.Set("direction", number_value(env, static_cast<unsigned>(entry.subject.direction)));
    object.Set("in", number_value(env, entry.subject.in));
    object.Set("out", number_value(env, entry.subject.out));
    object.Set("state", number_value(env, static_cast<unsigned>(entry.subject.state)));
    object.Set("size", number_value(env, entry.subject.size));
    object.Set("flow", tuple_value(env, entry.subject.tuple));
  });
}

std::optional<filter::NatRules> to_nat_rules(const Napi::Object& object) {
  filter::NatRules rules;
  const bool good = each_object(object, "sources",
                                [&rules](const Napi::Object& given) {
                                  return to_source(given, rules.sources.emplace_back());
                                }) &&
                    each_object(object, "destinations",
                                [&rules](const Napi::Object& given) {
                                  return to_destination(given, rules.destinations.emplace_back());
                                }) &&
                    each_object(object, "prefixes", [&rules](const Napi::Object& given) {
                      return to_prefix(given, rules.prefixes.emplace_back());
                    });
  return good ? std::optional(std::move(rules)) : std::nullopt;
}

Napi::Value connections_value(Napi::Env env, const std::vector<ConnectionInfo>& connections) {
  return object_array(env, connections, [env](Napi::Object& object, const ConnectionInfo& flow) {
    object.Set("original", tuple_value(env, flow.original));
    object.Set("reply", tuple_value(env, flow.reply));
    object.Set("state", flow.state);
    object.Set("packetsOriginal", number_value(env, flow.packets[0]));
    object.Set("packetsReply", number_value(env, flow.packets[1]));
    object.Set("bytesOriginal", number_value(env, flow.bytes[0]));
    object.Set("bytesReply", number_value(env, flow.bytes[1]));
    object.Set("expires",
               Napi::Number::New(env, static_cast<double>(flow.expires) * kMillisecondsPerNano));
  });
}

}  // namespace vpollnet::binding
