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

  /// new NativeNetwork(memoryLimit in bytes, name), or new NativeNetwork(what share() of another
  /// one gave): the same network, which stays open when this object is closed.
  explicit NativeNetwork(const Napi::CallbackInfo& info);
  ~NativeNetwork() override;
  const std::shared_ptr<host::Network>& network() const { return network_; }

 private:
  Napi::Value add_link(const Napi::CallbackInfo& info);
  Napi::Value remove_link(const Napi::CallbackInfo& info);
  Napi::Value add_address(const Napi::CallbackInfo& info);
  Napi::Value remove_address(const Napi::CallbackInfo& info);
  Napi::Value add_route(const Napi::CallbackInfo& info);
  Napi::Value remove_route(const Napi::CallbackInfo& info);
  Napi::Value advertise(const Napi::CallbackInfo& info);
  Napi::Value end_advertising(const Napi::CallbackInfo& info);
  Napi::Value set_forwarding(const Napi::CallbackInfo& info);
  Napi::Value forwarding(const Napi::CallbackInfo& info);
  Napi::Value set_filter(const Napi::CallbackInfo& info);
  Napi::Value filter_info(const Napi::CallbackInfo& info);
  Napi::Value take_filter_log(const Napi::CallbackInfo& info);
  Napi::Value set_nat(const Napi::CallbackInfo& info);
  Napi::Value connections(const Napi::CallbackInfo& info);
  Napi::Value set_connection_limits(const Napi::CallbackInfo& info);
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
  Napi::Value share(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  std::shared_ptr<Resources> resources_;
  std::shared_ptr<host::Network> network_;
  bool owns_ = true;
};

}  // namespace vpollnet::binding
