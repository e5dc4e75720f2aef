// SPDX-License-Identifier: MIT
#include "switch.hpp"

#include <string>
#include <system_error>
#include <utility>

#include "addon_data.hpp"
#include "links.hpp"
#include "recording.hpp"
#include "values.hpp"

namespace vpollnet::binding {

namespace {

host::PortVlans to_vlans(const Napi::Object& port) {
  host::PortVlans vlans{
      .untagged = static_cast<std::uint16_t>(port.Get("vlan").As<Napi::Number>().Uint32Value()),
      .tagged = {}};
  const auto trunk = port.Get("trunk").As<Napi::Array>();
  for (std::uint32_t i = 0; i < trunk.Length(); i++) {
    vlans.tagged.set(trunk.Get(i).As<Napi::Number>().Uint32Value() & host::kVidMask);
  }
  return vlans;
}

Napi::Array trunk_value(Napi::Env env, const host::PortVlans& vlans) {
  Napi::Array trunk = Napi::Array::New(env);
  std::uint32_t count = 0;
  for (std::uint16_t vid = host::kLeastVid; vid <= host::kMostVid; vid++) {
    if (vlans.tagged[vid]) trunk[count++] = Napi::Number::New(env, vid);
  }
  return trunk;
}

Napi::Object counters_value(Napi::Env env, const host::Switch::PortInfo& port) {
  const auto counters = link_counters_value(env, port.link).As<Napi::Object>();
  counters.Set("flooded", number_value(env, port.bridge.flooded));
  counters.Set("moved", number_value(env, port.bridge.moved));
  const auto drops = counters.Get("drops").As<Napi::Object>();
  for (std::size_t i = 0; i < host::kBridgeDropReasons; i++) {
    drops.Set(std::string(host::kBridgeDropNames[i]), number_value(env, port.bridge.drops[i]));
  }
  return counters;
}

}  // namespace

Napi::Function NativeSwitch::define(Napi::Env env) {
  return DefineClass(env, "NativeSwitch",
                     {
                         InstanceMethod<&NativeSwitch::add_port>("addPort"),
                         InstanceMethod<&NativeSwitch::remove_port>("removePort"),
                         InstanceMethod<&NativeSwitch::ports>("ports"),
                         InstanceMethod<&NativeSwitch::table>("table"),
                         InstanceMethod<&NativeSwitch::evictions>("evictions"),
                         InstanceMethod<&NativeSwitch::take_changes>("takeChanges"),
                         InstanceMethod<&NativeSwitch::impair>("impair"),
                         InstanceMethod<&NativeSwitch::record>("record"),
                         InstanceMethod<&NativeSwitch::close>("close"),
                     });
}

NativeSwitch::NativeSwitch(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<NativeSwitch>(info), resources_(addon_data(info.Env()).resources) {
  const host::BridgeConfig config{
      .ageing = info[0].As<Napi::Number>().Int64Value() * kSecond,
      .table_size = info[1].As<Napi::Number>().Uint32Value(),
      .storm_limit = info[2].As<Napi::Number>().Uint32Value(),
  };
  try {
    switch_ = host::Switch::open(host::default_pump(), config);
    resources_->add(switch_);
  } catch (const std::system_error& error) {
    set_open_failure(info, error);
  }
}

NativeSwitch::~NativeSwitch() {
  if (switch_ == nullptr) return;
  switch_->close();
  resources_->remove(switch_);
}

/// addPort(spec): null, or [errno, syscall, detail].
Napi::Value NativeSwitch::add_port(const Napi::CallbackInfo& info) {
  const auto port = info[0].As<Napi::Object>();
  host::SwitchPortSpec spec;
  host::Failure failure = to_link_spec(port, spec.link);
  spec.name = std::exchange(spec.link.interface_name, {});
  spec.vlans = to_vlans(port);
  if (!failure) failure = switch_->add_port(spec);
  if (failure) return failure_value(info.Env(), failure);
  return info.Env().Null();
}

Napi::Value NativeSwitch::remove_port(const Napi::CallbackInfo& info) {
  return errno_value(info.Env(), switch_->remove_port(info[0].As<Napi::String>().Utf8Value()));
}

Napi::Value NativeSwitch::ports(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return object_array(
      env, switch_->ports(), [&](Napi::Object& object, const host::Switch::PortInfo& port) {
        object["number"] = number_value(env, port.number);
        object["name"] = port.name;
        object["url"] = port.url;
        object["vlan"] = number_value(env, port.vlans.untagged);
        object["trunk"] = trunk_value(env, port.vlans);
        object["mtu"] = number_value(env, port.mtu);
        object["errno"] = number_value(env, static_cast<unsigned>(port.failure));
        object["counters"] = counters_value(env, port);
        object["impairment"] = impairment_value(env, port.impairment_in, port.impairment_out);
      });
}

Napi::Value NativeSwitch::table(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return object_array(
      env, switch_->table(), [&](Napi::Object& object, const host::Switch::Heard& heard) {
        object["mac"] = heard.mac.to_string();
        object["vlan"] = number_value(env, heard.vid);
        object["port"] = heard.port;
        object["age"] =
            Napi::Number::New(env, static_cast<double>(heard.age) / static_cast<double>(kSecond));
      });
}

Napi::Value NativeSwitch::evictions(const Napi::CallbackInfo& info) {
  return number_value(info.Env(), switch_->evictions());
}

Napi::Value NativeSwitch::take_changes(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return object_array(env, switch_->take_changes(),
                      [&](Napi::Object& object, const host::Switch::Change& change) {
                        object["port"] = change.port;
                        object["url"] = change.url;
                        object["errno"] = number_value(env, static_cast<unsigned>(change.error));
                        object["echo"] = change.echo;
                        object["mac"] = change.mac.to_string();
                        object["vlan"] = number_value(env, change.vid);
                      });
}

Napi::Value NativeSwitch::impair(const Napi::CallbackInfo& info) {
  const auto number = static_cast<host::PortNumber>(info[0].As<Napi::Number>().Uint32Value());
  return errno_value(info.Env(),
                     switch_->impair(number, to_impairment(info[1].As<Napi::Object>())));
}

/// record(spec): a NativeRecording, or [errno, syscall, detail].
Napi::Value NativeSwitch::record(const Napi::CallbackInfo& info) {
  return NativeRecording::start(info, switch_);
}

Napi::Value NativeSwitch::close(const Napi::CallbackInfo& info) {
  switch_->close();
  resources_->remove(switch_);
  return info.Env().Undefined();
}

}  // namespace vpollnet::binding
