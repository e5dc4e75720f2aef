// SPDX-License-Identifier: MIT
#include "recording.hpp"

#include <tuple>
#include <utility>

#include "addon_data.hpp"
#include "links.hpp"
#include "values.hpp"

namespace vpollnet::binding {

Napi::Function NativeRecording::define(Napi::Env env) {
  return DefineClass(env, "NativeRecording",
                     {
                         InstanceMethod<&NativeRecording::totals>("totals"),
                         InstanceMethod<&NativeRecording::failure>("failure"),
                         InstanceMethod<&NativeRecording::stop>("stop"),
                         InstanceMethod<&NativeRecording::ended>("ended"),
                         InstanceMethod<&NativeRecording::wait>("wait"),
                     });
}

Napi::Value NativeRecording::make(Napi::Env env, std::shared_ptr<host::Recording> recording,
                                  std::function<void()> stop) {
  AddonData& data = addon_data(env);
  data.resources->add(recording);
  data.pending_recording = {std::move(recording), std::move(stop)};
  return data.recording_class.New({});
}

NativeRecording::NativeRecording(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<NativeRecording>(info), resources_(addon_data(info.Env()).resources) {
  AddonData& data = addon_data(info.Env());
  std::tie(recording_, stop_) = std::exchange(data.pending_recording, {});
  if (recording_ == nullptr) throw Napi::TypeError::New(info.Env(), "Illegal constructor");
}

/// totals(): [frames, bytes, dropped]
Napi::Value NativeRecording::totals(const Napi::CallbackInfo& info) {
  const host::Recording::Totals totals = recording_->totals();
  Napi::Array result = Napi::Array::New(info.Env(), 3);
  result[0u] = number_value(info.Env(), totals.frames);
  result[1u] = number_value(info.Env(), totals.bytes);
  result[2u] = number_value(info.Env(), totals.dropped);
  return result;
}

/// failure(): [errno, syscall, detail], or undefined.
Napi::Value NativeRecording::failure(const Napi::CallbackInfo& info) {
  const host::Failure failure = recording_->failure();
  return failure ? failure_value(info.Env(), failure) : info.Env().Undefined();
}

Napi::Value NativeRecording::stop(const Napi::CallbackInfo& info) {
  if (stop_) std::exchange(stop_, nullptr)();
  return info.Env().Undefined();
}

Napi::Value NativeRecording::ended(const Napi::CallbackInfo& info) {
  const bool ended = recording_->reap();
  if (ended) resources_->remove(recording_);
  return Napi::Boolean::New(info.Env(), ended);
}

/// wait(milliseconds): blocks until all is written.
Napi::Value NativeRecording::wait(const Napi::CallbackInfo& info) {
  recording_->wait(info[0].As<Napi::Number>().Uint32Value());
  return ended(info);
}

host::RecordingSpec to_recording_spec(const Napi::Object& spec) {
  host::RecordingSpec result;
  result.path = spec.Get("path").As<Napi::String>().Utf8Value();
  result.descriptor = spec.Get("descriptor").As<Napi::Number>().Int32Value();
  result.snap_length = spec.Get("snapLength").As<Napi::Number>().Uint32Value();
  const auto limit = spec.Get("frameLimit").As<Napi::Number>().Int64Value();
  if (limit > 0) result.frame_limit = static_cast<std::uint64_t>(limit);
  const Napi::Value links = spec.Get("links");
  if (!links.IsArray()) return result;
  result.links.emplace();
  const auto ids = links.As<Napi::Array>();
  for (std::uint32_t i = 0; i < ids.Length(); i++) {
    result.links->push_back(ids.Get(i).As<Napi::Number>().Uint32Value());
  }
  return result;
}

}  // namespace vpollnet::binding
