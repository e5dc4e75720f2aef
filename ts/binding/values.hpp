// SPDX-License-Identifier: MIT
// Values of the C++ API as JavaScript sees them, and back. Calls that can fail in the stack return
// -errno; wrong types throw, but ts/ has checked them before.
#pragma once

#include <cerrno>
#include <cstdint>
#include <optional>
#include <span>
#include <system_error>

#include "host/network.hpp"
#include "node_api.hpp"

namespace vpollnet::binding {

inline Napi::Value errno_value(Napi::Env env, Errno error) {
  return Napi::Number::New(env, -static_cast<int>(error));
}

inline constexpr double kMaxTransfer = 1 << 30;

/// From the three arguments host ("" is no address), port and scope at `first`; none if the host
/// is not an address.
std::optional<Endpoint> to_endpoint(const Napi::CallbackInfo& info, std::size_t first);

/// [address, family (0, 4 or 6), port, scope]
Napi::Value endpoint_value(Napi::Env env, const Endpoint& endpoint);

/// From 'tcp', 'udp', 'icmp'.
std::optional<socket::Type> to_socket_type(const Napi::Value& name);

/// The bytes [offset, offset + length) of a Uint8Array; none if that is not a Uint8Array or not so
/// long. A detached one has length 0. At most kMaxTransfer of them, so that a count fits an int.
std::optional<std::span<std::uint8_t>> to_bytes(napi_env env, napi_value array, napi_value offset,
                                                napi_value length);

/// The number, or `otherwise` for what is none.
double to_number(napi_env env, napi_value value, double otherwise);

inline Napi::Number number_value(Napi::Env env, std::uint64_t value) {
  return Napi::Number::New(env, static_cast<double>(value));
}

/// No descriptor or thread left for the pump of a new object: its `failure` is then [errno,
/// message], and JavaScript makes the error of it.
void set_open_failure(const Napi::CallbackInfo& info, const std::system_error& error);

/// An array of objects, one an element of `list`; `fill(object, element)` sets its properties.
template <class List, class Fill>
Napi::Value object_array(Napi::Env env, const List& list, Fill fill) {
  Napi::Array array = Napi::Array::New(env, list.size());
  std::uint32_t index = 0;
  for (const auto& element : list) {
    const Napi::HandleScope scope(env);
    Napi::Object object = Napi::Object::New(env);
    fill(object, element);
    array[index++] = object;
  }
  return array;
}

/// A count or -errno.
inline napi_value int_value(napi_env env, int number) {
  napi_value result = nullptr;
  napi_create_int32(env, number, &result);
  return result;
}

/// Runs the body of a raw callback, which must let no C++ exception out.
template <class Body>
napi_value guarded(napi_env env, Body body) noexcept {
  try {
    return int_value(env, body());
  } catch (...) {
    return int_value(env, -ENOMEM);
  }
}

}  // namespace vpollnet::binding
