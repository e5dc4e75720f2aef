// SPDX-License-Identifier: MIT
#include "links.hpp"

#include <cmath>
#include <string>

#include "values.hpp"

namespace vpollnet::binding {

namespace {

std::string text_of(const Napi::Object& object, const char* key) {
  return object.Get(key).As<Napi::String>().Utf8Value();
}

std::uint32_t whole_of(const Napi::Object& object, const char* key) {
  return object.Get(key).As<Napi::Number>().Uint32Value();
}

bool flag_of(const Napi::Object& object, const char* key) {
  return object.Get(key).As<Napi::Boolean>().Value();
}

/// Parses each string of an array into `list`.
template <class Value>
host::Failure parse_list(const Napi::Value& array, std::vector<Value>& list) {
  const auto written = array.As<Napi::Array>();
  for (std::uint32_t i = 0; i < written.Length(); i++) {
    const std::string text = written.Get(i).As<Napi::String>().Utf8Value();
    const auto value = Value::parse(text);
    if (!value) return {Errno::invalid, "", "not an address: " + text};
    list.push_back(*value);
  }
  return {};
}

}  // namespace

host::Failure to_link_spec(const Napi::Object& link, host::LinkSpec& spec) {
  spec.url = text_of(link, "url");
  spec.interface_name = text_of(link, "name");
  spec.mac = text_of(link, "mac");
  spec.mtu = whole_of(link, "mtu");
  spec.ipv6 = flag_of(link, "ipv6");
  spec.offloads = flag_of(link, "offloads");
  if (const Napi::Value reconnect = link.Get("reconnect"); reconnect.IsBoolean()) {
    spec.reconnect = reconnect.As<Napi::Boolean>().Value();
  }
  spec.dad_transmits = flag_of(link, "dad") ? 1 : 0;
  spec.impairment = to_impairment(link.Get("impair").As<Napi::Object>());
  host::Failure failure = parse_list(link.Get("addresses"), spec.addresses);
  if (!failure) failure = parse_list(link.Get("gateways"), spec.gateways);
  return failure;
}

host::LinkImpairment to_impairment(const Napi::Object& object) {
  const auto direction = [&](const char* key) -> std::optional<host::ImpairmentConfig> {
    const Napi::Value value = object.Get(key);
    if (!value.IsObject()) return std::nullopt;
    const auto given = value.As<Napi::Object>();
    const auto number = [&](const char* name) {
      return given.Get(name).As<Napi::Number>().DoubleValue();
    };
    const auto nanos = [&](const char* name) {
      return static_cast<Nanos>(std::llround(number(name) * static_cast<double>(kMillisecond)));
    };
    host::ImpairmentConfig config;
    config.delay = nanos("delay");
    config.jitter = nanos("jitter");
    config.loss = number("loss");
    config.duplicate = number("duplicate");
    config.reorder = number("reorder");
    config.corrupt = number("corrupt");
    config.rate = static_cast<std::uint64_t>(number("rate"));
    config.queue = static_cast<std::size_t>(number("queue"));
    if (number("seed") >= 0) config.seed = static_cast<std::uint64_t>(number("seed"));
    return config;
  };
  return {.in = direction("in"), .out = direction("out")};
}

Napi::Value impairment_value(Napi::Env env, const std::optional<host::ImpairmentInfo>& in,
                             const std::optional<host::ImpairmentInfo>& out) {
  const auto direction = [&](const std::optional<host::ImpairmentInfo>& info) -> Napi::Value {
    if (!info) return env.Null();
    const auto milliseconds = [&](Nanos span) {
      return Napi::Number::New(env, static_cast<double>(span) / static_cast<double>(kMillisecond));
    };
    const host::ImpairmentConfig& config = info->config;
    Napi::Object value = Napi::Object::New(env);
    value["delay"] = milliseconds(config.delay);
    value["jitter"] = milliseconds(config.jitter);
    value["loss"] = Napi::Number::New(env, config.loss);
    value["duplicate"] = Napi::Number::New(env, config.duplicate);
    value["reorder"] = Napi::Number::New(env, config.reorder);
    value["corrupt"] = Napi::Number::New(env, config.corrupt);
    value["rate"] = number_value(env, config.rate);
    value["queue"] = number_value(env, config.queue);
    value["seed"] = number_value(env, config.seed.value_or(0));
    value["waiting"] = number_value(env, info->waiting);
    value["frames"] = number_value(env, info->counters.frames);
    value["lost"] = number_value(env, info->counters.lost);
    value["duplicated"] = number_value(env, info->counters.duplicated);
    value["reordered"] = number_value(env, info->counters.reordered);
    value["corrupted"] = number_value(env, info->counters.corrupted);
    value["queueFull"] = number_value(env, info->counters.queue_full);
    return value;
  };
  Napi::Object value = Napi::Object::New(env);
  value["in"] = direction(in);
  value["out"] = direction(out);
  return value;
}

Napi::Value failure_value(Napi::Env env, const host::Failure& failure) {
  Napi::Array value = Napi::Array::New(env, 3);
  value[0u] = Napi::Number::New(env, static_cast<int>(failure.error));
  value[1u] = Napi::String::New(env, failure.syscall);
  value[2u] = Napi::String::New(env, failure.detail);
  return value;
}

Napi::Value link_counters_value(Napi::Env env, const host::LinkCounters& counters) {
  Napi::Object value = Napi::Object::New(env);
  value["framesIn"] = number_value(env, counters.frames_in);
  value["bytesIn"] = number_value(env, counters.bytes_in);
  value["framesOut"] = number_value(env, counters.frames_out);
  value["bytesOut"] = number_value(env, counters.bytes_out);
  Napi::Object drops = Napi::Object::New(env);
  for (std::size_t i = 0; i < host::kLinkDropReasons; i++) {
    drops.Set(std::string(host::kLinkDropNames[i]), number_value(env, counters.drops[i]));
  }
  value["drops"] = drops;
  return value;
}

}  // namespace vpollnet::binding
