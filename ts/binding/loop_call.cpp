// SPDX-License-Identifier: MIT
#include "loop_call.hpp"

#include <dlfcn.h>

#include <cstddef>
#include <vector>

namespace vpollnet::binding {

namespace {

/// What is needed of V8's C++ interface, which Node exports, by the names that it has had since
/// Node 12 (a signature is part of its name). Node-API has nothing in its place: its calls have a
/// TryCatch each that keeps silent. A v8::Local is passed as the one pointer that it holds, which
/// is what a napi_value is.
struct V8 {
  void* (*current_isolate)();
  napi_value (*current_context)(void* isolate);
  napi_value (*call)(napi_value function, napi_value context, napi_value receiver, int count,
                     napi_value* arguments);
  void (*construct_catch)(void* self, void* isolate);
  void (*destroy_catch)(void* self);
  void (*set_verbose)(void* self, bool on);
  bool is_complete = true;

  V8() {
    find(current_isolate, "_ZN2v87Isolate10GetCurrentEv");
    find(current_context, "_ZN2v87Isolate17GetCurrentContextEv");
    find(call, "_ZN2v88Function4CallENS_5LocalINS_7ContextEEENS1_INS_5ValueEEEiPS5_");
    find(construct_catch, "_ZN2v88TryCatchC1EPNS_7IsolateE");
    find(destroy_catch, "_ZN2v88TryCatchD1Ev");
    find(set_verbose, "_ZN2v88TryCatch10SetVerboseEb");
  }

  template <class Function>
  void find(Function*& function, const char* name) {
    function = reinterpret_cast<Function*>(dlsym(RTLD_DEFAULT, name));
    if (function == nullptr) is_complete = false;
  }
};

/// A v8::TryCatch that is verbose: V8 tells of what it catches as if nobody did. It must be on the
/// stack: V8 compares where it was made with where frames are.
class Reporting {
 public:
  Reporting(const V8& v8, void* isolate) : v8_(v8) {
    v8_.construct_catch(memory_, isolate);
    v8_.set_verbose(memory_, true);
  }
  ~Reporting() { v8_.destroy_catch(memory_); }
  Reporting(const Reporting&) = delete;
  Reporting& operator=(const Reporting&) = delete;

 private:
  const V8& v8_;
  alignas(std::max_align_t) std::byte memory_[256];  ///< more than five times what it has been
};

}  // namespace

Napi::Value call_as_loop(const Napi::CallbackInfo& info) {
  static const V8 v8;
  const Napi::Env env = info.Env();
  if (!info[0].IsFunction()) throw Napi::TypeError::New(env, "callAsLoop() calls functions only");
  std::vector<napi_value> arguments;
  for (std::size_t i = 2; i < info.Length(); i++) arguments.push_back(info[i]);
  if (!v8.is_complete) {
    // Told at the end then, and the last of several only: who called has the exception.
    napi_call_function(env, info[1], info[0], arguments.size(), arguments.data(), nullptr);
    return env.Undefined();
  }
  void* isolate = v8.current_isolate();
  const Reporting reporting(v8, isolate);
  v8.call(info[0], v8.current_context(isolate), info[1], static_cast<int>(arguments.size()),
          arguments.data());
  return env.Undefined();
}

}  // namespace vpollnet::binding
