// SPDX-License-Identifier: MIT
// What require() of vpollnet.node gives: the classes, poll, and the numbers that TypeScript must
// not repeat. ts/native.ts has the types.
#include <poll.h>
#include <sys/socket.h>

#include <memory>
#include <utility>

#include "addon_data.hpp"
#include "bsd_stack.hpp"
#include "channel.hpp"
#include "gateway.hpp"
#include "gateway_values.hpp"
#include "host/inspector.hpp"
#include "loop.hpp"
#include "loop_call.hpp"
#include "network.hpp"
#include "node_api.hpp"
#include "poll.hpp"
#include "recording.hpp"
#include "socket.hpp"
#include "switch.hpp"
#include "uv.hpp"
#include "values.hpp"

namespace vpollnet::binding {

namespace {

using socket::Option;

constexpr std::pair<const char*, Option> kOptionNames[] = {
    {"reuseAddress", Option::reuse_address},
    {"broadcast", Option::broadcast},
    {"keepAlive", Option::keep_alive},
    {"keepIdle", Option::keep_idle},
    {"keepInterval", Option::keep_interval},
    {"keepCount", Option::keep_count},
    {"linger", Option::linger},
    {"noDelay", Option::no_delay},
    {"quickAck", Option::quick_ack},
    {"cork", Option::cork},
    {"maxSegment", Option::max_segment},
    {"userTimeout", Option::user_timeout},
    {"oobInline", Option::oob_inline},
    {"sendBuffer", Option::send_buffer},
    {"receiveBuffer", Option::receive_buffer},
    {"hopLimit", Option::hop_limit},
    {"multicastHopLimit", Option::multicast_hop_limit},
    {"trafficClass", Option::traffic_class},
    {"ipv6Only", Option::ipv6_only},
    {"dontFragment", Option::dont_fragment},
    {"bindInterface", Option::bind_interface},
    {"error", Option::error},
    {"listening", Option::listening},
    {"unsent", Option::unsent},
    {"unread", Option::unread},
    {"congestion", Option::congestion},
    {"multicastLoop", Option::multicast_loop},
    {"multicastInterface", Option::multicast_interface},
};

constexpr std::pair<const char*, int> kConstants[] = {
    {"POLLIN", POLLIN},     {"POLLPRI", POLLPRI},   {"POLLOUT", POLLOUT},     {"POLLERR", POLLERR},
    {"POLLHUP", POLLHUP},   {"POLLNVAL", POLLNVAL}, {"POLLRDHUP", POLLRDHUP}, {"MSG_OOB", MSG_OOB},
    {"MSG_PEEK", MSG_PEEK}, {"MSG_MORE", MSG_MORE},
};

/// fdError(): why the last fd() that failed did.
Napi::Value fd_error(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), host::fd_error());
}

/// dialInspector(name): [fd, pid, uid], or -errno.
Napi::Value dial_inspector(const Napi::CallbackInfo& info) {
  const auto dialled = host::dial_inspector(info[0].As<Napi::String>().Utf8Value());
  if (!dialled) return errno_value(info.Env(), dialled.error());
  Napi::Array result = Napi::Array::New(info.Env(), 3);
  result[0u] = Napi::Number::New(info.Env(), dialled->fd);
  result[1u] = Napi::Number::New(info.Env(), dialled->pid);
  result[2u] = Napi::Number::New(info.Env(), dialled->uid);
  return result;
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  auto data = std::make_unique<AddonData>();
  data->resources = Resources::attach(env);
  if (data->resources == nullptr) {
    throw Napi::Error::New(env, "vpollnet: the environment is ending");
  }
  const Napi::Function socket_class = NativeSocket::define(env);
  const Napi::Function watch_class = NativeWatch::define(env);
  data->socket_class = Napi::Persistent(socket_class);
  data->watch_class = Napi::Persistent(watch_class);
  data->recording_class = Napi::Persistent(NativeRecording::define(env));
  const Napi::Function network_class = NativeNetwork::define(env);
  const Napi::Function bsd_stack_class = NativeBsdStack::define(env);
  data->network_class = Napi::Persistent(network_class);
  data->bsd_stack_class = Napi::Persistent(bsd_stack_class);
  env.SetInstanceData(data.release());

  exports["NativeNetwork"] = network_class;
  exports["NativeBsdStack"] = bsd_stack_class;
  exports["NativeGateway"] = NativeGateway::define(env);
  exports["NativeLoop"] = NativeLoop::define(env);
  exports["NativeSocket"] = socket_class;
  exports["NativeSwitch"] = NativeSwitch::define(env);
  exports["NativeWatch"] = watch_class;
  exports["watch"] = Napi::Function::New<watch>(env, "watch");
  exports["callAsLoop"] = Napi::Function::New<call_as_loop>(env, "callAsLoop");
  napi_value poll_function = nullptr;
  napi_create_function(env, "poll", NAPI_AUTO_LENGTH, poll, nullptr, &poll_function);
  exports["poll"] = Napi::Value(env, poll_function);

  exports["flowWords"] = flow_words_value(env);
  exports["dialInspector"] = Napi::Function::New<dial_inspector>(env, "dialInspector");
  define_channel(env, exports);
  exports["fdError"] = Napi::Function::New<fd_error>(env, "fdError");

  Napi::Object options = Napi::Object::New(env);
  for (const auto& [name, option] : kOptionNames) {
    options[name] = Napi::Number::New(env, static_cast<int>(option));
  }
  exports["options"] = options;
  Napi::Object constants = Napi::Object::New(env);
  for (const auto& [name, value] : kConstants) constants[name] = Napi::Number::New(env, value);
  exports["constants"] = constants;
  return exports;
}

}  // namespace

}  // namespace vpollnet::binding

static Napi::Object initialize_addon(Napi::Env env, Napi::Object exports) {
  return vpollnet::binding::initialize(env, exports);
}

NODE_API_MODULE(vpollnet, initialize_addon)
