// SPDX-License-Identifier: MIT
// host::poll and host::PollWatch for JavaScript. Entries come as an Int32Array of triples
// fd, events, revents, which is the layout of host::PollEntry; revents are written back into it.
#pragma once

#include "node_api.hpp"
#include "resources.hpp"

namespace vpollnet::binding {

/// poll(entries, count, timeoutMs): how many have something, or -errno. Blocks the thread.
napi_value poll(napi_env env, napi_callback_info info);

/// watch(entries, count, onReady): a NativeWatch, or -errno.
Napi::Value watch(const Napi::CallbackInfo& info);

/// A PollWatch in the environment's event loop. Keeps the loop alive until it is closed.
class NativeWatch : public Napi::ObjectWrap<NativeWatch> {
 public:
  static Napi::Function define(Napi::Env env);
  /// Not from JavaScript: throws unless watch() is behind it. (onReady)
  explicit NativeWatch(const Napi::CallbackInfo& info);
  ~NativeWatch() override;

 private:
  Napi::Value ready(const Napi::CallbackInfo& info);
  Napi::Value start(const Napi::CallbackInfo& info);
  Napi::Value collect(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);
  void on_ready();

  LoopWatch* watch_ = nullptr;  ///< null once closed, by us or by the environment's end
  bool started_ = false;
  Napi::FunctionReference callback_;
};

}  // namespace vpollnet::binding
