// SPDX-License-Identifier: MIT
#include "gateway_values.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <string>
#include <string_view>
#include <utility>

#include "values.hpp"

namespace vpollnet::binding {

namespace {

using host::FlowDirection;
using host::FlowKind;
using host::Verdict;

// By the number of the enumerator.
constexpr std::array<std::string_view, 3> kKinds{"tcp", "udp", "icmp"};
constexpr std::array<std::string_view, 2> kDirections{"outward", "inward"};
constexpr std::array<std::string_view, 6> kStates{"asking",  "connecting", "open",
                                                  "closing", "taken",      "closed"};
constexpr std::array<std::string_view, 13> kEnds{
    "",       "finished", "reset by source", "reset by target", "refused", "unreachable", "expired",
    "denied", "dropped",  "undecided",       "killed",          "limit",   "failed",
};
constexpr std::array<std::string_view, 4> kVerdicts{"allow", "refuse", "drop", "ask"};
constexpr std::array<std::string_view, 3> kEvents{"asked", "opened", "closed"};
/// By the number of the bit.
constexpr std::array<std::string_view, 5> kReaches{"public", "private", "link-local", "host",
                                                   "special"};

/// The enumerator that is called so.
template <class Enum, class Names>
std::optional<Enum> named(const Names& names, const Napi::Value& given) {
  const std::string wanted = given.As<Napi::String>().Utf8Value();
  for (std::size_t i = 0; i < names.size(); i++) {
    if (names[i] == wanted) return static_cast<Enum>(i);
  }
  return std::nullopt;
}

std::string text_of(const Napi::Object& object, const char* key) {
  return object.Get(key).As<Napi::String>().Utf8Value();
}

std::uint32_t whole_of(const Napi::Object& object, const char* key) {
  return object.Get(key).As<Napi::Number>().Uint32Value();
}

std::uint16_t port_of(const Napi::Object& object, const char* key) {
  return static_cast<std::uint16_t>(whole_of(object, key) & 0xffff);
}

Nanos milliseconds_of(const Napi::Object& object, const char* key) {
  return static_cast<Nanos>(whole_of(object, key)) * kMillisecond;
}

/// '' is any; false for what is no prefix.
bool read_prefix(const Napi::Object& object, const char* key, std::optional<Cidr>& prefix) {
  const std::string text = text_of(object, key);
  if (text.empty()) return true;
  prefix = Cidr::parse(text);
  return prefix.has_value();
}

std::optional<host::GatewayRule> to_rule(const Napi::Object& given) {
  host::GatewayRule rule;
  if (const auto protocol = given.Get("protocol"); protocol.IsString()) {
    rule.kind = named<FlowKind>(kKinds, protocol);
    if (!rule.kind) return std::nullopt;
  }
  if (!read_prefix(given, "source", rule.source) ||
      !read_prefix(given, "destination", rule.destination)) {
    return std::nullopt;
  }
  rule.first_port = port_of(given, "firstPort");
  rule.last_port = port_of(given, "lastPort");
  if (const auto reach = given.Get("reach"); reach.IsArray()) {
    rule.reach = 0;
    const auto names = reach.As<Napi::Array>();
    for (std::uint32_t i = 0; i < names.Length(); i++) {
      const auto bit = named<std::uint8_t>(kReaches, names.Get(i));
      if (!bit) return std::nullopt;
      rule.reach = static_cast<std::uint8_t>(rule.reach | 1u << *bit);
    }
  }
  const auto verdict = to_verdict(given.Get("action"));
  auto target = to_flow_target(given.Get("target"));
  if (!verdict || !target) return std::nullopt;
  rule.decision = {*verdict, std::move(*target)};
  return rule;
}

double milliseconds(Nanos time) {
  return std::floor(static_cast<double>(time) / static_cast<double>(kMillisecond));
}

/// Builds what flows_value() gives.
class Columns {
 public:
  Columns(Napi::Env env, std::size_t rows)
      : numbers_(Napi::Float64Array::New(env, rows * kColumns)) {}

  void add(const host::FlowInfo& flow, unsigned what) {
    number(what);
    number(flow.id);
    number(flow.kind);
    number(flow.direction);
    number(flow.state);
    number(flow.end);
    number(flow.error);
    number(flow.interface);
    number(std::countr_zero(flow.reach));
    number(flow.bytes_out);
    number(flow.bytes_in);
    number(flow.packets_out);
    number(flow.packets_in);
    number(milliseconds(flow.age));
    number(milliseconds(flow.idle));
    endpoint(flow.source, flow.path);
    endpoint(flow.destination, flow.path);
    endpoint(flow.target.endpoint, {});
    text_ += flow.target.path;
    text_ += '\0';
  }

  Napi::Value value() {
    const Napi::Env env = numbers_.Env();
    Napi::Object result = Napi::Object::New(env);
    result["numbers"] = numbers_;
    result["text"] = Napi::String::New(env, text_);
    return result;
  }

 private:
  static constexpr std::size_t kColumns = 24;

  template <class Number>
  void number(Number value) {
    numbers_[next_++] = static_cast<double>(value);
  }

  /// `path` instead of an address, where there is none.
  void endpoint(const Endpoint& endpoint, std::string_view path) {
    const Family family = endpoint.address.family();
    number(family == Family::none ? 0 : family == Family::ipv4 ? 4 : 6);
    number(endpoint.port);
    number(endpoint.scope);
    text_ += family != Family::none ? endpoint.address.to_string() : path;
    text_ += '\0';
  }

  Napi::Float64Array numbers_;
  std::size_t next_ = 0;
  std::string text_;
};

}  // namespace

std::optional<Verdict> to_verdict(const Napi::Value& name) {
  return named<Verdict>(kVerdicts, name);
}

std::optional<host::FlowTarget> to_flow_target(const Napi::Value& given) {
  host::FlowTarget target;
  if (!given.IsObject()) return target;
  const auto object = given.As<Napi::Object>();
  target.path = text_of(object, "path");
  target.endpoint.port = port_of(object, "port");
  target.endpoint.scope = whole_of(object, "scope");
  if (const std::string text = text_of(object, "address"); !text.empty()) {
    const auto address = IpAddress::parse(text);
    if (!address) return std::nullopt;
    target.endpoint.address = *address;
  }
  return target;
}

std::optional<std::vector<host::GatewayRule>> to_gateway_rules(const Napi::Value& given) {
  const auto array = given.As<Napi::Array>();
  std::vector<host::GatewayRule> rules;
  for (std::uint32_t i = 0; i < array.Length(); i++) {
    const Napi::HandleScope scope(given.Env());
    auto rule = to_rule(array.Get(i).As<Napi::Object>());
    if (!rule) return std::nullopt;
    rules.push_back(std::move(*rule));
  }
  return rules;
}

std::optional<host::GatewayConfig> to_gateway_config(const Napi::Object& given) {
  host::GatewayConfig config;
  const auto interfaces = given.Get("interfaces").As<Napi::Array>();
  for (std::uint32_t i = 0; i < interfaces.Length(); i++) {
    config.interfaces.push_back(interfaces.Get(i).As<Napi::Number>().Uint32Value());
  }
  auto rules = to_gateway_rules(given.Get("rules"));
  const auto otherwise = to_verdict(given.Get("otherwise"));
  if (!rules || !otherwise) return std::nullopt;
  config.rules = std::move(*rules);
  config.otherwise = *otherwise;
  config.ask_timeout = milliseconds_of(given, "askTimeout");
  config.max_flows = whole_of(given, "flows");
  config.max_flows_per_source = whole_of(given, "flowsPerSource");
  config.max_asking = whole_of(given, "asking");
  config.udp_timeout = milliseconds_of(given, "udpIdle");
  config.udp_service_timeout = milliseconds_of(given, "udpServiceIdle");
  config.echo_timeout = milliseconds_of(given, "icmpIdle");
  return config;
}

std::optional<host::ForwardSpec> to_forward_spec(const Napi::Object& given) {
  const auto direction = named<FlowDirection>(kDirections, given.Get("direction"));
  const auto kind = named<FlowKind>(kKinds, given.Get("protocol"));
  auto listen = to_flow_target(given.Get("listen"));
  auto to = to_flow_target(given.Get("to"));
  if (!direction || !kind || !listen || !to) return std::nullopt;
  return host::ForwardSpec{.direction = *direction,
                           .kind = *kind,
                           .listen = std::move(*listen),
                           .count = port_of(given, "count"),
                           .to = std::move(*to)};
}

Napi::Value flows_value(Napi::Env env, std::span<const host::FlowInfo> flows) {
  Columns columns(env, flows.size());
  for (const host::FlowInfo& flow : flows) columns.add(flow, 0);
  return columns.value();
}

Napi::Value events_value(Napi::Env env, std::span<const host::GatewayEvent> events) {
  Columns columns(env, events.size());
  for (const host::GatewayEvent& event : events) {
    columns.add(event.flow, static_cast<unsigned>(event.what));
  }
  return columns.value();
}

Napi::Value flow_words_value(Napi::Env env) {
  Napi::Object words = Napi::Object::New(env);
  const auto set = [&](const char* key, std::span<const std::string_view> names) {
    Napi::Array array = Napi::Array::New(env, names.size());
    for (std::uint32_t i = 0; i < names.size(); i++) {
      array[i] = Napi::String::New(env, std::string(names[i]));
    }
    words[key] = array;
  };
  set("protocol", kKinds);
  set("direction", kDirections);
  set("state", kStates);
  set("end", kEnds);
  set("reach", kReaches);
  set("what", kEvents);
  return words;
}

Napi::Value gateway_counters_value(Napi::Env env, const host::GatewayCounters& counters) {
  Napi::Object result = Napi::Object::New(env);
  result["flows"] = number_value(env, counters.flows);
  result["bytesOut"] = number_value(env, counters.bytes_out);
  result["bytesIn"] = number_value(env, counters.bytes_in);
  result["openFlows"] = number_value(env, counters.open_flows);
  result["asking"] = number_value(env, counters.asking);
  Napi::Object drops = Napi::Object::New(env);
  for (std::size_t i = 0; i < host::kGatewayDrops; i++) {
    drops.Set(std::string(host::kGatewayDropNames[i]), number_value(env, counters.drops[i]));
  }
  result["drops"] = drops;
  return result;
}

}  // namespace vpollnet::binding
