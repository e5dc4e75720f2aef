// SPDX-License-Identifier: MIT
// One host::BsdStack as a JS object: the host's kernel, or a plug-in. ts/foreign-stack.ts checks
// the arguments, this carries them over.
#pragma once

#include <memory>

#include "host/sockets/bsd_stack.hpp"
#include "node_api.hpp"
#include "resources.hpp"

namespace vpollnet::binding {

class NativeBsdStack : public Napi::ObjectWrap<NativeBsdStack> {
 public:
  static Napi::Function define(Napi::Env env);

  /// new NativeBsdStack(): the kernel. new NativeBsdStack(request): a plug-in; on failure the
  /// property `failure` is [errno, syscall, detail], and nothing else may be called.
  explicit NativeBsdStack(const Napi::CallbackInfo& info);
  ~NativeBsdStack() override;
  const std::shared_ptr<host::BsdStack>& stack() const { return stack_; }

 private:
  Napi::Value socket(const Napi::CallbackInfo& info);
  Napi::Value interface_index(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  std::shared_ptr<Resources> resources_;
  std::shared_ptr<host::BsdStack> stack_;
};

}  // namespace vpollnet::binding
