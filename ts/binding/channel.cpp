// SPDX-License-Identifier: MIT
#include "channel.hpp"

#include "host/descriptor_channel.hpp"
#include "values.hpp"

namespace vpollnet::binding {
namespace {

/// openChannel(): [fd, fd], or -errno.
Napi::Value open_channel(const Napi::CallbackInfo& info) {
  auto ends = host::open_descriptor_channel();
  if (!ends) return errno_value(info.Env(), ends.error());
  Napi::Array result = Napi::Array::New(info.Env(), 2);
  for (std::uint32_t i = 0; i < 2; i++) {
    result[i] = Napi::Number::New(info.Env(), (*ends)[i].release());
  }
  return result;
}

/// receiveMessage(channel): { text, descriptors }, or -errno.
Napi::Value receive_message(const Napi::CallbackInfo& info) {
  auto message = host::receive_message(info[0].As<Napi::Number>().Int32Value());
  if (!message) return errno_value(info.Env(), message.error());
  Napi::Object result = Napi::Object::New(info.Env());
  result["text"] = Napi::String::New(info.Env(), message->text);
  Napi::Array descriptors = Napi::Array::New(info.Env(), message->descriptors.size());
  std::uint32_t index = 0;
  for (host::Descriptor& descriptor : message->descriptors) {
    descriptors[index++] = Napi::Number::New(info.Env(), descriptor.release());
  }
  result["descriptors"] = descriptors;
  return result;
}

/// sendMessage(channel, text): 0 or -errno.
Napi::Value send_message(const Napi::CallbackInfo& info) {
  const std::string text = info[1].As<Napi::String>().Utf8Value();
  return errno_value(info.Env(), host::send_message(info[0].As<Napi::Number>().Int32Value(), text));
}

/// memoryFile(bytes): a descriptor, or -errno.
Napi::Value memory_file(const Napi::CallbackInfo& info) {
  auto file = host::memory_file(info[0].As<Napi::String>().Utf8Value());
  if (!file) return errno_value(info.Env(), file.error());
  return Napi::Number::New(info.Env(), file->release());
}

}  // namespace

void define_channel(Napi::Env env, Napi::Object exports) {
  exports["openChannel"] = Napi::Function::New<open_channel>(env, "openChannel");
  exports["receiveMessage"] = Napi::Function::New<receive_message>(env, "receiveMessage");
  exports["sendMessage"] = Napi::Function::New<send_message>(env, "sendMessage");
  exports["memoryFile"] = Napi::Function::New<memory_file>(env, "memoryFile");
}

}  // namespace vpollnet::binding
