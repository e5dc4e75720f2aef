// SPDX-License-Identifier: MIT
#include "poll.hpp"

#include <cerrno>
#include <cstring>
#include <utility>

#include "addon_data.hpp"
#include "values.hpp"

namespace vpollnet::binding {

namespace {

static_assert(sizeof(host::PollEntry) == 3 * sizeof(std::int32_t));

/// The memory of `count` entries in an Int32Array; null if it is none, or is not that long.
void* entry_memory(napi_env env, napi_value array, double count) {
  napi_typedarray_type type{};
  std::size_t size = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, array, &type, &size, &data, nullptr, nullptr) != napi_ok ||
      type != napi_int32_array || data == nullptr || !(count >= 0) ||
      count * 3 > static_cast<double>(size)) {
    return nullptr;
  }
  return data;
}

void load(std::vector<host::PollEntry>& entries, const void* memory, double count) {
  entries.resize(static_cast<std::size_t>(count));
  if (!entries.empty()) std::memcpy(entries.data(), memory, entries.size() * sizeof(entries[0]));
}

void store(const std::vector<host::PollEntry>& entries, void* memory) {
  if (!entries.empty()) std::memcpy(memory, entries.data(), entries.size() * sizeof(entries[0]));
}

int outcome(const Result<int>& result) {
  return result ? *result : -static_cast<int>(result.error());
}

}  // namespace

napi_value poll(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    std::size_t given = 3;
    napi_value arguments[3] = {};
    if (napi_get_cb_info(env, info, &given, arguments, nullptr, nullptr) != napi_ok) return -EINVAL;
    const double count = to_number(env, arguments[1], -1);
    void* memory = entry_memory(env, arguments[0], count);
    if (memory == nullptr) return -EINVAL;
    const double timeout = to_number(env, arguments[2], -1);
    const int limit = timeout >= 0 && timeout < INT32_MAX ? static_cast<int>(timeout) : -1;
    // This thread is the one that runs JavaScript: nobody can take the memory away meanwhile.
    std::vector<host::PollEntry>& entries = addon_data(env).poll_entries;
    load(entries, memory, count);
    const auto result = host::poll(entries, limit);
    if (result) store(entries, memory);
    return outcome(result);
  });
}

Napi::Value watch(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const double count = to_number(env, info[1], -1);
  const void* memory = entry_memory(env, info[0], count);
  if (memory == nullptr || !info[2].IsFunction()) return errno_value(env, Errno::invalid);
  AddonData& data = addon_data(env);
  load(data.poll_entries, memory, count);
  auto opened = host::PollWatch::open(data.poll_entries);
  if (!opened) return errno_value(env, opened.error());
  uv_loop_s* loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) return errno_value(env, Errno::invalid);
  int error = 0;
  data.pending_watch = LoopWatch::open(data.resources, loop, std::move(*opened), error);
  if (data.pending_watch == nullptr) return Napi::Number::New(env, -error);
  try {
    return data.watch_class.New({info[2]});
  } catch (...) {  // the thread is being terminated
    if (LoopWatch* orphan = std::exchange(data.pending_watch, nullptr)) orphan->close();
    throw;
  }
}

Napi::Function NativeWatch::define(Napi::Env env) {
  return DefineClass(env, "NativeWatch",
                     {
                         InstanceMethod<&NativeWatch::ready>("ready"),
                         InstanceMethod<&NativeWatch::start>("start"),
                         InstanceMethod<&NativeWatch::collect>("collect"),
                         InstanceMethod<&NativeWatch::close>("close"),
                     });
}

NativeWatch::NativeWatch(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<NativeWatch>(info),
      watch_(std::exchange(addon_data(info.Env()).pending_watch, nullptr)) {
  if (watch_ == nullptr) throw Napi::TypeError::New(info.Env(), "Illegal constructor");
  watch_->set_holder(&watch_);
  callback_ = Napi::Persistent(info[0].As<Napi::Function>());
}

NativeWatch::~NativeWatch() {
  if (watch_ != nullptr) watch_->close();
}

Napi::Value NativeWatch::ready(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), watch_ != nullptr && watch_->watch().ready());
}

Napi::Value NativeWatch::start(const Napi::CallbackInfo& info) {
  if (watch_ == nullptr) return errno_value(info.Env(), Errno::bad_descriptor);
  // Until close() the object must not be collected: libuv holds a pointer to it.
  const int error =
      watch_->start([](void* self) { static_cast<NativeWatch*>(self)->on_ready(); }, this);
  if (error == 0 && !started_) Ref();
  started_ = started_ || error == 0;
  return Napi::Number::New(info.Env(), -error);
}

/// collect(entries, count): how many have something, or -errno.
Napi::Value NativeWatch::collect(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (watch_ == nullptr) return errno_value(env, Errno::bad_descriptor);
  const double count = to_number(env, info[1], -1);
  void* memory = entry_memory(env, info[0], count);
  if (memory == nullptr) return errno_value(env, Errno::invalid);
  std::vector<host::PollEntry>& entries = addon_data(env).poll_entries;
  load(entries, memory, count);
  const auto result = watch_->watch().collect(entries);
  if (result) store(entries, memory);
  return Napi::Number::New(env, outcome(result));
}

Napi::Value NativeWatch::close(const Napi::CallbackInfo& info) {
  if (watch_ == nullptr) return info.Env().Undefined();
  watch_->close();
  if (started_) Unref();
  return info.Env().Undefined();
}

void NativeWatch::on_ready() {
  const Napi::Env env = Env();
  const Napi::HandleScope scope(env);
  const napi_status status =
      napi_make_callback(env, nullptr, Value(), callback_.Value(), 0, nullptr, nullptr);
  napi_value exception = nullptr;
  if (status == napi_pending_exception &&
      napi_get_and_clear_last_exception(env, &exception) == napi_ok) {
    // Ends as an exception in any callback of the event loop does: 'uncaughtException'.
    napi_fatal_exception(env, exception);
  }
}

}  // namespace vpollnet::binding
