// SPDX-License-Identifier: MIT
// One host::Gateway as a JS object: ts/gateway.ts checks the arguments, this carries them over.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "host/gateway/gateway.hpp"
#include "node_api.hpp"
#include "resources.hpp"

namespace vpollnet::binding {

class NativeGateway : public Napi::ObjectWrap<NativeGateway> {
 public:
  static Napi::Function define(Napi::Env env);

  /// new NativeGateway(NativeNetwork, to: NativeNetwork or NativeBsdStack, config, onEvents): on
  /// failure the property `failure` is [errno, syscall, detail], and nothing else may be called.
  /// `onEvents` is called in the event loop, which the gateway keeps alive, when there are events.
  explicit NativeGateway(const Napi::CallbackInfo& info);
  ~NativeGateway() override;

 private:
  std::shared_ptr<host::Gateway> open(const Napi::CallbackInfo& info, host::Failure& failure);
  Napi::Value set_rules(const Napi::CallbackInfo& info);
  Napi::Value take_events(const Napi::CallbackInfo& info);
  Napi::Value tell_flows(const Napi::CallbackInfo& info);
  Napi::Value keep_alive(const Napi::CallbackInfo& info);
  Napi::Value decide_all(const Napi::CallbackInfo& info);
  Napi::Value take(const Napi::CallbackInfo& info);
  Napi::Value kill(const Napi::CallbackInfo& info);
  Napi::Value flows_after(const Napi::CallbackInfo& info);
  Napi::Value counters(const Napi::CallbackInfo& info);
  Napi::Value add_forward(const Napi::CallbackInfo& info);
  Napi::Value remove_forward(const Napi::CallbackInfo& info);
  Napi::Value forwards(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);
  void close_now();
  void on_events();

  std::shared_ptr<Resources> resources_;
  std::shared_ptr<host::Gateway> gateway_;  ///< null if it could not be opened
  std::shared_ptr<LoopWake> wake_;
  Napi::FunctionReference on_events_;
  std::vector<host::GatewayEvent> events_;  ///< taken from the gateway, and not yet from us
  std::size_t next_event_ = 0;
  bool referenced_ = false;
};

}  // namespace vpollnet::binding
