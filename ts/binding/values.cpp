// SPDX-License-Identifier: MIT
#include "values.hpp"

#include <algorithm>
#include <string>

namespace vpollnet::binding {

std::optional<Endpoint> to_endpoint(const Napi::CallbackInfo& info, std::size_t first) {
  Endpoint endpoint;
  const std::string host = info[first].As<Napi::String>().Utf8Value();
  if (!host.empty()) {
    const auto address = IpAddress::parse(host);
    if (!address) return std::nullopt;
    endpoint.address = *address;
  }
  endpoint.port =
      static_cast<std::uint16_t>(info[first + 1].As<Napi::Number>().Uint32Value() & 0xffff);
  endpoint.scope = info[first + 2].As<Napi::Number>().Uint32Value();
  return endpoint;
}

Napi::Value endpoint_value(Napi::Env env, const Endpoint& endpoint) {
  const IpAddress& address = endpoint.address;
  const bool none = address.family() == Family::none;
  Napi::Array result = Napi::Array::New(env, 4);
  result[0u] = Napi::String::New(env, none ? std::string() : address.to_string());
  result[1u] = Napi::Number::New(env, none ? 0 : address.is_v4() ? 4 : 6);
  result[2u] = Napi::Number::New(env, endpoint.port);
  result[3u] = Napi::Number::New(env, endpoint.scope);
  return result;
}

void set_open_failure(const Napi::CallbackInfo& info, const std::system_error& error) {
  Napi::Array failure = Napi::Array::New(info.Env(), 2);
  failure[0u] = Napi::Number::New(info.Env(), error.code().value());
  failure[1u] = Napi::String::New(info.Env(), error.what());
  info.This().As<Napi::Object>().Set("failure", failure);
}

std::optional<socket::Type> to_socket_type(const Napi::Value& name) {
  const std::string wanted = name.As<Napi::String>().Utf8Value();
  for (const auto type : {socket::Type::tcp, socket::Type::udp, socket::Type::ping}) {
    if (wanted == socket::type_name(type)) return type;
  }
  return std::nullopt;
}

double to_number(napi_env env, napi_value value, double otherwise) {
  double number = otherwise;
  return napi_get_value_double(env, value, &number) == napi_ok ? number : otherwise;
}

std::optional<std::span<std::uint8_t>> to_bytes(napi_env env, napi_value array, napi_value offset,
                                                napi_value length) {
  napi_typedarray_type type{};
  std::size_t size = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, array, &type, &size, &data, nullptr, nullptr) != napi_ok ||
      type != napi_uint8_array) {
    return std::nullopt;
  }
  const double from = to_number(env, offset, -1);
  const double count = to_number(env, length, -1);
  // Written so that NaN fails too.
  if (!(from >= 0 && count >= 0 && from + count <= static_cast<double>(size))) return std::nullopt;
  if (data == nullptr) return std::span<std::uint8_t>{};
  return std::span(static_cast<std::uint8_t*>(data) + static_cast<std::size_t>(from),
                   static_cast<std::size_t>(std::min(count, kMaxTransfer)));
}

}  // namespace vpollnet::binding
