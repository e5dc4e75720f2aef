// SPDX-License-Identifier: MIT
// One host::SocketHandle as a JS object: ts/socket.ts checks the arguments, this carries them over.
#pragma once

#include <memory>
#include <span>

#include "host/network.hpp"
#include "node_api.hpp"

namespace vpollnet::binding {

class NativeSocket : public Napi::ObjectWrap<NativeSocket> {
 public:
  static Napi::Function define(Napi::Env env);
  static Napi::Value make(Napi::Env env, std::shared_ptr<host::SocketHandle> handle);

  /// Not from JavaScript: throws unless make() is behind it.
  explicit NativeSocket(const Napi::CallbackInfo& info);
  ~NativeSocket() override;
  const std::shared_ptr<host::SocketHandle>& handle() const { return handle_; }

 private:
  Napi::Value bind(const Napi::CallbackInfo& info);
  Napi::Value connect(const Napi::CallbackInfo& info);
  Napi::Value listen(const Napi::CallbackInfo& info);
  Napi::Value accept(const Napi::CallbackInfo& info);
  Napi::Value send_to(const Napi::CallbackInfo& info);
  Napi::Value receive_from(const Napi::CallbackInfo& info);
  Napi::Value shutdown(const Napi::CallbackInfo& info);
  Napi::Value set_membership(const Napi::CallbackInfo& info);
  Napi::Value set_source_membership(const Napi::CallbackInfo& info);
  Napi::Value set_option(const Napi::CallbackInfo& info);
  Napi::Value option(const Napi::CallbackInfo& info);
  Napi::Value text_option(const Napi::CallbackInfo& info);
  Napi::Value local(const Napi::CallbackInfo& info);
  Napi::Value peer(const Napi::CallbackInfo& info);
  Napi::Value state(const Napi::CallbackInfo& info);
  Napi::Value info(const Napi::CallbackInfo& info);
  Napi::Value record(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);
  Napi::Value closed(const Napi::CallbackInfo& info);

  // The calls that a data path makes: no object is allocated for them.
  static napi_value send(napi_env env, napi_callback_info info);
  static napi_value receive(napi_env env, napi_callback_info info);
  static napi_value readiness(napi_env env, napi_callback_info info);
  static napi_value fd(napi_env env, napi_callback_info info);
  static napi_value want(napi_env env, napi_callback_info info);

  std::shared_ptr<host::SocketHandle> handle_;
};

}  // namespace vpollnet::binding
