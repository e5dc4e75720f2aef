// SPDX-License-Identifier: MIT
// One host::Switch as a JS object: ts/switch.ts checks the arguments, this carries them over.
#pragma once

#include <memory>

#include "host/switching/switch.hpp"
#include "node_api.hpp"
#include "resources.hpp"

namespace vpollnet::binding {

class NativeSwitch : public Napi::ObjectWrap<NativeSwitch> {
 public:
  static Napi::Function define(Napi::Env env);

  /// new NativeSwitch(ageing in seconds, table size in addresses, storm limit in frames a second)
  explicit NativeSwitch(const Napi::CallbackInfo& info);
  ~NativeSwitch() override;

 private:
  Napi::Value add_port(const Napi::CallbackInfo& info);
  Napi::Value remove_port(const Napi::CallbackInfo& info);
  Napi::Value ports(const Napi::CallbackInfo& info);
  Napi::Value table(const Napi::CallbackInfo& info);
  Napi::Value evictions(const Napi::CallbackInfo& info);
  Napi::Value take_changes(const Napi::CallbackInfo& info);
  Napi::Value impair(const Napi::CallbackInfo& info);
  Napi::Value record(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  std::shared_ptr<Resources> resources_;
  std::shared_ptr<host::Switch> switch_;
};

}  // namespace vpollnet::binding
