// SPDX-License-Identifier: MIT
// One host::Recording as a JS object: of a network, or of a switch.
#pragma once

#include <functional>
#include <memory>

#include "host/links/recorder.hpp"
#include "links.hpp"
#include "node_api.hpp"
#include "resources.hpp"

namespace vpollnet::binding {

/// NativeRecordingSpec of ts/native.ts.
host::RecordingSpec to_recording_spec(const Napi::Object& spec);

class NativeRecording : public Napi::ObjectWrap<NativeRecording> {
 public:
  static Napi::Function define(Napi::Env env);
  /// record(spec) of a network or a switch: a NativeRecording, or [errno, syscall, detail].
  template <class Owner>
  static Napi::Value start(const Napi::CallbackInfo& info, const std::shared_ptr<Owner>& owner) {
    host::Failure failure;
    auto recording = owner->record(to_recording_spec(info[0].As<Napi::Object>()), failure);
    if (failure) return failure_value(info.Env(), failure);
    return make(info.Env(), recording, [owner, recording] { owner->stop_recording(recording); });
  }

  /// Not from JavaScript: throws unless make() is behind it.
  explicit NativeRecording(const Napi::CallbackInfo& info);

 private:
  /// `stop` tells the recording's owner to finish it.
  static Napi::Value make(Napi::Env env, std::shared_ptr<host::Recording> recording,
                          std::function<void()> stop);
  Napi::Value totals(const Napi::CallbackInfo& info);
  Napi::Value failure(const Napi::CallbackInfo& info);
  Napi::Value stop(const Napi::CallbackInfo& info);
  Napi::Value ended(const Napi::CallbackInfo& info);
  Napi::Value wait(const Napi::CallbackInfo& info);

  std::shared_ptr<Resources> resources_;
  std::shared_ptr<host::Recording> recording_;
  std::function<void()> stop_;  ///< empty once called
};

}  // namespace vpollnet::binding
