// SPDX-License-Identifier: MIT
#include "socket.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <optional>
#include <utility>

#include "addon_data.hpp"
#include "recording.hpp"
#include "tcp_info.hpp"
#include "values.hpp"

namespace vpollnet::binding {

namespace {

/// The bits of a flags argument; none if there is one outside of `known`.
std::optional<std::uint32_t> to_flags(napi_env env, napi_value value, std::uint32_t known) {
  const double number = to_number(env, value, 0);
  if (!(number >= 0 && number <= INT32_MAX)) return std::nullopt;
  const auto flags = static_cast<std::uint32_t>(number);
  if ((flags & ~known) != 0) return std::nullopt;
  return flags;
}

/// MSG_* of receive calls as the core numbers them.
std::optional<std::uint32_t> receive_flags(napi_env env, napi_value value) {
  const auto given = to_flags(env, value, MSG_PEEK | MSG_OOB);
  if (!given) return std::nullopt;
  return ((*given & MSG_PEEK) != 0 ? socket::kPeek : 0u) |
         ((*given & MSG_OOB) != 0 ? socket::kOutOfBand : 0u);
}

/// MSG_* of send calls as the core numbers them.
std::optional<std::uint32_t> send_flags(napi_env env, napi_value value) {
  const auto given = to_flags(env, value, MSG_MORE | MSG_OOB);
  if (!given) return std::nullopt;
  return ((*given & MSG_MORE) != 0 ? socket::kMore : 0u) |
         ((*given & MSG_OOB) != 0 ? socket::kSendOutOfBand : 0u);
}

std::optional<socket::Option> to_option(const Napi::Value& value) {
  const std::uint32_t option = value.As<Napi::Number>().Uint32Value();
  if (option > static_cast<std::uint32_t>(socket::kLastOption)) return std::nullopt;
  return static_cast<socket::Option>(option);
}

/// The arguments of a raw call and the object that it was made on; null if that is no NativeSocket.
/// (Node-API checks the receiver's class already: another one is an "Illegal invocation".)
template <std::size_t kCount>
struct RawCall {
  RawCall(napi_env env, napi_callback_info info) {
    std::size_t count = kCount;
    napi_value receiver = nullptr;
    void* object = nullptr;
    if (napi_get_cb_info(env, info, &count, arguments, &receiver, nullptr) == napi_ok &&
        napi_unwrap(env, receiver, &object) == napi_ok) {
      socket = static_cast<NativeSocket*>(object);
    }
  }
  NativeSocket* socket = nullptr;
  napi_value arguments[kCount == 0 ? 1 : kCount] = {};
};

}  // namespace

Napi::Function NativeSocket::define(Napi::Env env) {
  const auto raw = [](const char* name, napi_callback method) {
    return napi_property_descriptor{name,    nullptr, method,       nullptr,
                                    nullptr, nullptr, napi_default, nullptr};
  };
  using Property = Napi::ClassPropertyDescriptor<NativeSocket>;
  return DefineClass(
      env, "NativeSocket",
      {
          Property(raw("send", send)),
          Property(raw("recv", receive)),
          Property(raw("readiness", readiness)),
          Property(raw("fd", fd)),
          Property(raw("want", want)),
          InstanceMethod<&NativeSocket::bind>("bind"),
          InstanceMethod<&NativeSocket::connect>("connect"),
          InstanceMethod<&NativeSocket::listen>("listen"),
          InstanceMethod<&NativeSocket::accept>("accept"),
          InstanceMethod<&NativeSocket::send_to>("sendTo"),
          InstanceMethod<&NativeSocket::receive_from>("recvFrom"),
          InstanceMethod<&NativeSocket::shutdown>("shutdown"),
          InstanceMethod<&NativeSocket::set_membership>("setMembership"),
          InstanceMethod<&NativeSocket::set_source_membership>("setSourceMembership"),
          InstanceMethod<&NativeSocket::set_option>("setOption"),
          InstanceMethod<&NativeSocket::option>("option"),
          InstanceMethod<&NativeSocket::text_option>("textOption"),
          InstanceMethod<&NativeSocket::local>("local"),
          InstanceMethod<&NativeSocket::peer>("peer"),
          InstanceMethod<&NativeSocket::state>("state"),
          InstanceMethod<&NativeSocket::info>("info"),
          InstanceMethod<&NativeSocket::record>("record"),
          InstanceMethod<&NativeSocket::close>("close"),
          InstanceMethod<&NativeSocket::closed>("closed"),
      });
}

Napi::Value NativeSocket::make(Napi::Env env, std::shared_ptr<host::SocketHandle> handle) {
  AddonData& data = addon_data(env);
  data.pending_socket = handle;
  try {
    return data.socket_class.New({});
  } catch (...) {  // the thread is being terminated
    data.pending_socket.reset();
    handle->close();
    throw;
  }
}

NativeSocket::NativeSocket(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<NativeSocket>(info),
      handle_(std::exchange(addon_data(info.Env()).pending_socket, nullptr)) {
  if (handle_ == nullptr) throw Napi::TypeError::New(info.Env(), "Illegal constructor");
}

NativeSocket::~NativeSocket() {
  if (handle_ != nullptr) handle_->close();
}

napi_value NativeSocket::send(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const RawCall<4> call(env, info);
    if (call.socket == nullptr) return -EBADF;
    const auto bytes = to_bytes(env, call.arguments[0], call.arguments[1], call.arguments[2]);
    const auto flags = send_flags(env, call.arguments[3]);
    if (!bytes || !flags) return -EINVAL;
    const auto sent = call.socket->handle_->send(*bytes, *flags);
    return sent ? static_cast<int>(*sent) : -static_cast<int>(sent.error());
  });
}

napi_value NativeSocket::receive(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const RawCall<4> call(env, info);
    if (call.socket == nullptr) return -EBADF;
    const auto bytes = to_bytes(env, call.arguments[0], call.arguments[1], call.arguments[2]);
    const auto flags = receive_flags(env, call.arguments[3]);
    if (!bytes || !flags) return -EINVAL;
    const auto got = call.socket->handle_->receive(*bytes, *flags);
    return got ? static_cast<int>(got->copied) : -static_cast<int>(got.error());
  });
}

napi_value NativeSocket::readiness(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const RawCall<0> call(env, info);
    return call.socket == nullptr ? POLLNVAL : static_cast<int>(call.socket->handle_->readiness());
  });
}

napi_value NativeSocket::fd(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const RawCall<0> call(env, info);
    if (call.socket == nullptr) return -EBADF;
    const auto fd = call.socket->handle_->fd();
    return fd ? *fd : -static_cast<int>(fd.error());
  });
}

/// want(POLL* bits): what its NativeLoop is to hear of.
napi_value NativeSocket::want(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const RawCall<1> call(env, info);
    if (call.socket == nullptr) return -EBADF;
    call.socket->handle_->want(static_cast<std::uint32_t>(to_number(env, call.arguments[0], 0)));
    return 0;
  });
}

Napi::Value NativeSocket::bind(const Napi::CallbackInfo& info) {
  const auto local = to_endpoint(info, 0);
  return errno_value(info.Env(), local ? handle_->bind(*local) : Errno::invalid);
}

Napi::Value NativeSocket::connect(const Napi::CallbackInfo& info) {
  const auto peer = to_endpoint(info, 0);
  return errno_value(info.Env(), peer ? handle_->connect(*peer) : Errno::invalid);
}

Napi::Value NativeSocket::listen(const Napi::CallbackInfo& info) {
  return errno_value(info.Env(), handle_->listen(info[0].As<Napi::Number>().Int32Value()));
}

Napi::Value NativeSocket::accept(const Napi::CallbackInfo& info) {
  auto accepted = handle_->accept();
  if (!accepted) return errno_value(info.Env(), accepted.error());
  return make(info.Env(), std::move(*accepted));
}

Napi::Value NativeSocket::send_to(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto to = to_endpoint(info, 4);
  const auto bytes = to_bytes(env, info[0], info[1], info[2]);
  const auto flags = send_flags(env, info[3]);
  if (!to || !bytes || !flags) return errno_value(env, Errno::invalid);
  const auto sent = handle_->send_to(*bytes, *to, *flags);
  if (!sent) return errno_value(env, sent.error());
  return Napi::Number::New(env, static_cast<double>(*sent));
}

/// [copied, size, [address, family, port, scope]] or -errno.
Napi::Value NativeSocket::receive_from(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto bytes = to_bytes(env, info[0], info[1], info[2]);
  const auto flags = receive_flags(env, info[3]);
  if (!bytes || !flags) return errno_value(env, Errno::invalid);
  const auto got = handle_->receive(*bytes, *flags);
  if (!got) return errno_value(env, got.error());
  Napi::Array result = Napi::Array::New(env, 3);
  result[0u] = Napi::Number::New(env, static_cast<double>(got->copied));
  result[1u] = Napi::Number::New(env, static_cast<double>(got->size));
  result[2u] = endpoint_value(env, got->from);
  return result;
}

Napi::Value NativeSocket::shutdown(const Napi::CallbackInfo& info) {
  const std::uint32_t how = info[0].As<Napi::Number>().Uint32Value();
  if (how > 2) return errno_value(info.Env(), Errno::invalid);
  return errno_value(info.Env(), handle_->shutdown(static_cast<socket::Shutdown>(how)));
}

/// setMembership(group, interface id, member)
Napi::Value NativeSocket::set_membership(const Napi::CallbackInfo& info) {
  const auto group = IpAddress::parse(info[0].As<Napi::String>().Utf8Value());
  if (!group) return errno_value(info.Env(), Errno::invalid);
  return errno_value(info.Env(),
                     handle_->set_membership(*group, info[1].As<Napi::Number>().Uint32Value(),
                                             info[2].As<Napi::Boolean>().Value()));
}

/// setSourceMembership(source, group, interface id, member)
Napi::Value NativeSocket::set_source_membership(const Napi::CallbackInfo& info) {
  const auto source = IpAddress::parse(info[0].As<Napi::String>().Utf8Value());
  const auto group = IpAddress::parse(info[1].As<Napi::String>().Utf8Value());
  if (!source || !group) return errno_value(info.Env(), Errno::invalid);
  return errno_value(info.Env(), handle_->set_source_membership(
                                     *group, *source, info[2].As<Napi::Number>().Uint32Value(),
                                     info[3].As<Napi::Boolean>().Value()));
}

/// setOption(option, a number or a string)
Napi::Value NativeSocket::set_option(const Napi::CallbackInfo& info) {
  const auto option = to_option(info[0]);
  Errno error = Errno::no_protocol_option;
  if (option && info[1].IsString()) {
    error = handle_->set_text_option(*option, info[1].As<Napi::String>().Utf8Value());
  } else if (option) {
    error = handle_->set_option(*option, info[1].As<Napi::Number>().Int64Value());
  }
  return errno_value(info.Env(), error);
}

/// The text, or -errno.
Napi::Value NativeSocket::text_option(const Napi::CallbackInfo& info) {
  const auto option = to_option(info[0]);
  const Result<std::string> value =
      option ? handle_->text_option(*option) : Errno::no_protocol_option;
  if (!value) return errno_value(info.Env(), value.error());
  return Napi::String::New(info.Env(), *value);
}

/// [-errno or 0, value]
Napi::Value NativeSocket::option(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto option = to_option(info[0]);
  const Result<std::int64_t> value = option ? handle_->option(*option) : Errno::no_protocol_option;
  Napi::Array result = Napi::Array::New(env, 2);
  result[0u] = errno_value(env, value.error());
  result[1u] = Napi::Number::New(env, value ? static_cast<double>(*value) : 0);
  return result;
}

Napi::Value NativeSocket::local(const Napi::CallbackInfo& info) {
  const auto local = handle_->local();
  if (!local) return errno_value(info.Env(), local.error());
  return endpoint_value(info.Env(), *local);
}

Napi::Value NativeSocket::peer(const Napi::CallbackInfo& info) {
  const auto peer = handle_->peer();
  if (!peer) return errno_value(info.Env(), peer.error());
  return endpoint_value(info.Env(), *peer);
}

Napi::Value NativeSocket::state(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), handle_->state());
}

Napi::Value NativeSocket::info(const Napi::CallbackInfo& info) {
  socket::TcpInfo told;
  const Errno error = handle_->info(told);
  return error == Errno::ok ? to_js(info.Env(), told) : errno_value(info.Env(), error);
}

Napi::Value NativeSocket::record(const Napi::CallbackInfo& info) {
  return NativeRecording::start(info, handle_);
}

Napi::Value NativeSocket::close(const Napi::CallbackInfo& info) {
  handle_->close();
  return info.Env().Undefined();
}

Napi::Value NativeSocket::closed(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), handle_->closed());
}

}  // namespace vpollnet::binding
