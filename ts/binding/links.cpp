// SPDX-License-Identifier: MIT
#include "links.hpp"

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
  host::Failure failure = parse_list(link.Get("addresses"), spec.addresses);
  if (!failure) failure = parse_list(link.Get("gateways"), spec.gateways);
  return failure;
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
