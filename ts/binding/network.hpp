// SPDX-License-Identifier: MIT
// One host::Network as a JS object: ts/stack.ts checks the arguments, this carries them over.
#pragma once

#include <memory>

#include "host/network.hpp"
#include "node_api.hpp"
#include "resources.hpp"

namespace vpollnet::binding {

class NativeNetwork : public Napi::ObjectWrap<NativeNetwork> {
 public:
  static Napi::Function define(Napi::Env env);

  /// new NativeNetwork(memoryLimit in bytes)
  explicit NativeNetwork(const Napi::CallbackInfo& info);
  ~NativeNetwork() override;

 private:
  Napi::Value add_link(const Napi::CallbackInfo& info);
  Napi::Value remove_link(const Napi::CallbackInfo& info);
  Napi::Value add_address(const Napi::CallbackInfo& info);
  Napi::Value remove_address(const Napi::CallbackInfo& info);
  Napi::Value add_route(const Napi::CallbackInfo& info);
  Napi::Value remove_route(const Napi::CallbackInfo& info);
  Napi::Value socket(const Napi::CallbackInfo& info);
  Napi::Value interfaces(const Napi::CallbackInfo& info);
  Napi::Value addresses(const Napi::CallbackInfo& info);
  Napi::Value routes(const Napi::CallbackInfo& info);
  Napi::Value neighbours(const Napi::CallbackInfo& info);
  Napi::Value sockets(const Napi::CallbackInfo& info);
  Napi::Value counters(const Napi::CallbackInfo& info);
  Napi::Value memory_used(const Napi::CallbackInfo& info);
  Napi::Value links(const Napi::CallbackInfo& info);
  Napi::Value take_link_changes(const Napi::CallbackInfo& info);
  Napi::Value impair(const Napi::CallbackInfo& info);
  Napi::Value record(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  std::shared_ptr<Resources> resources_;
  std::shared_ptr<host::Network> network_;
};

}  // namespace vpollnet::binding
