// SPDX-License-Identifier: MIT
#include "loop.hpp"

#include <poll.h>

#include <cerrno>
#include <iterator>
#include <string>
#include <utility>

#include "addon_data.hpp"
#include "socket.hpp"
#include "values.hpp"

namespace vpollnet::binding {

Napi::Function NativeLoop::define(Napi::Env env) {
  return DefineClass(env, "NativeLoop",
                     {
                         InstanceMethod<&NativeLoop::add>("add"),
                         InstanceMethod<&NativeLoop::remove>("remove"),
                         InstanceMethod<&NativeLoop::keep_alive>("keepAlive"),
                         InstanceMethod<&NativeLoop::close_phase>("closePhase"),
                         InstanceMethod<&NativeLoop::set_scratch>("setScratch"),
                     });
}

NativeLoop::NativeLoop(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<NativeLoop>(info), resources_(addon_data(info.Env()).resources),
      self_(std::make_shared<void*>(this)) {
  on_ready_ = Napi::Persistent(info[0].As<Napi::Function>());
  on_closed_ = Napi::Persistent(info[1].As<Napi::Function>());
  on_deferred_ = Napi::Persistent(info[2].As<Napi::Function>());
  int error = 0;
  if (napi_get_uv_event_loop(info.Env(), &loop_) != napi_ok) error = EINVAL;
  if (error == 0) {
    wake_ = LoopWake::open(
        resources_, loop_, [](void* self) { static_cast<NativeLoop*>(self)->on_wake(); }, this,
        error);
  }
  if (wake_ == nullptr) {
    throw Napi::Error::New(info.Env(),
                           "vpollnet: libuv gives no handle, errno " + std::to_string(error));
  }
  wake_->keep_alive(false);
  queue_ = std::make_shared<host::ReadyQueue>(wake_);
  // libuv and the sockets point to it as long as the environment lasts.
  Ref();
}

NativeLoop::~NativeLoop() {
  *self_ = nullptr;
  if (wake_ != nullptr) wake_->close();
}

/// add(socket): the place that stands for it in callbacks, or -errno.
Napi::Value NativeLoop::add(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto& handle = NativeSocket::Unwrap(info[0].As<Napi::Object>())->handle();
  if (free_.empty()) {
    free_.push_back(static_cast<std::uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  const std::uint32_t place = free_.back();
  Slot& slot = slots_[place];
  const Errno error =
      handle->serve(queue_, static_cast<std::uint64_t>(slot.generation) << 32 | place);
  if (error != Errno::ok) return errno_value(env, error);
  free_.pop_back();
  slot.handle = handle;
  return Napi::Number::New(env, place);
}

/// remove(place): no callback comes for it any more.
Napi::Value NativeLoop::remove(const Napi::CallbackInfo& info) {
  const std::uint32_t place = info[0].As<Napi::Number>().Uint32Value();
  if (place < slots_.size() && slots_[place].handle != nullptr) {
    slots_[place].handle->unserve();
    slots_[place].handle.reset();
    slots_[place].generation++;
    free_.push_back(place);
  }
  return info.Env().Undefined();
}

/// keepAlive(on): whether the loop goes on for the sake of these sockets.
Napi::Value NativeLoop::keep_alive(const Napi::CallbackInfo& info) {
  wake_->keep_alive(info[0].As<Napi::Boolean>().Value());
  return info.Env().Undefined();
}

/// closePhase(): onClosed() is called in the loop's next phase of closed handles.
Napi::Value NativeLoop::close_phase(const Napi::CallbackInfo& info) {
  const bool taken = ClosePhase::request(
      resources_, loop_, [](void* self) { static_cast<NativeLoop*>(self)->on_close_phase(); },
      self_);
  return Napi::Boolean::New(info.Env(), taken);
}

/// setScratch(array): where reads go that come before the callback. It must not be transferred
/// away.
Napi::Value NativeLoop::set_scratch(const Napi::CallbackInfo& info) {
  auto array = info[0].As<Napi::Uint8Array>();
  scratch_array_ = Napi::Persistent(array);
  scratch_ = std::span(array.Data(), array.ElementLength());
  return info.Env().Undefined();
}

std::optional<int> NativeLoop::read_first(host::SocketHandle& handle, std::uint32_t events) {
  if ((handle.wanted() & kReadFirst) == 0 || (events & (POLLIN | POLLERR | POLLHUP)) == 0) {
    return std::nullopt;
  }
  try {
    const auto got = handle.receive(scratch_, 0);
    return got ? static_cast<int>(got->copied) : -static_cast<int>(got.error());
  } catch (...) {
    return -ENOMEM;
  }
}

std::uint32_t NativeLoop::call(const Napi::FunctionReference& function, std::uint32_t place,
                               std::uint32_t events, std::optional<int> got,
                               std::uint32_t otherwise) {
  const Napi::Env env = Env();
  const Napi::HandleScope scope(env);
  napi_value arguments[] = {Napi::Number::New(env, place), Napi::Number::New(env, events),
                            got ? int_value(env, *got) : env.Undefined()};
  napi_value result = nullptr;
  const napi_status status = napi_make_callback(env, nullptr, Value(), function.Value(),
                                                std::size(arguments), arguments, &result);
  std::uint32_t more = 0;
  if (status == napi_ok) {
    if (napi_get_value_uint32(env, result, &more) != napi_ok) more = 0;
    return more;
  }
  return report_exception() ? otherwise : 0;
}

void NativeLoop::call_deferred() {
  const Napi::Env env = Env();
  const Napi::HandleScope scope(env);
  napi_value result = nullptr;
  if (napi_call_function(env, Value(), on_deferred_.Value(), 0, nullptr, &result) != napi_ok) {
    report_exception();
  }
}

bool NativeLoop::report_exception() {
  const Napi::Env env = Env();
  bool pending = false;
  if (napi_is_exception_pending(env, &pending) != napi_ok || !pending) return false;
  napi_value error = nullptr;
  if (napi_get_and_clear_last_exception(env, &error) == napi_ok) napi_fatal_exception(env, error);
  return true;
}

void NativeLoop::on_wake() {
  queue_->take(batch_);
  for (const std::uint64_t id : batch_) {
    const auto place = static_cast<std::uint32_t>(id);
    if (place >= slots_.size() || slots_[place].generation != id >> 32) continue;
    // Callbacks may close it, and add others.
    const std::shared_ptr<host::SocketHandle> handle = slots_[place].handle;
    if (handle == nullptr) continue;
    std::uint32_t events = handle->take_ready();
    for (int calls = 0; events != 0 && calls < kCallsPerTurn; calls++) {
      events = call(on_ready_, place, events, read_first(*handle, events), 0);
      if ((events & kDeferred) != 0) call_deferred();
      events &= ~kDeferred;
      // The place may be another socket's by now.
      if (slots_[place].generation != id >> 32) break;
    }
    handle->rearm();
  }
}

void NativeLoop::on_close_phase() {
  while (call(on_closed_, 0, 0, std::nullopt, 1) != 0) {
  }
}

}  // namespace vpollnet::binding
