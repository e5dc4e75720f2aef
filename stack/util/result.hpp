// SPDX-License-Identifier: MIT
// A value or an errno. The core throws nothing; sockets speak errno (errno(3)).
#pragma once

#include <cerrno>
#include <optional>
#include <utility>

namespace vpollnet {

/// The host's errno numbers as a type of its own, so that a count is never taken for an error.
enum class Errno : int {
  ok = 0,
  again = EAGAIN,
  in_progress = EINPROGRESS,
  already = EALREADY,
  invalid = EINVAL,
  bad_descriptor = EBADF,
  not_connected = ENOTCONN,
  is_connected = EISCONN,
  refused = ECONNREFUSED,
  reset = ECONNRESET,
  aborted = ECONNABORTED,
  timed_out = ETIMEDOUT,
  broken_pipe = EPIPE,
  address_in_use = EADDRINUSE,
  address_not_available = EADDRNOTAVAIL,
  family_not_supported = EAFNOSUPPORT,
  network_unreachable = ENETUNREACH,
  network_down = ENETDOWN,
  host_unreachable = EHOSTUNREACH,
  host_down = EHOSTDOWN,
  message_size = EMSGSIZE,
  no_buffers = ENOBUFS,
  no_memory = ENOMEM,
  not_supported = EOPNOTSUPP,
  no_protocol_option = ENOPROTOOPT,
  destination_required = EDESTADDRREQ,
  access_denied = EACCES,
  not_permitted = EPERM,
  exists = EEXIST,
  no_such_device = ENODEV,
  too_many_open = EMFILE,
  protocol = EPROTO,
  no_entry = ENOENT,
};

/// Either a value of type T or the errno that says why there is none.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}
  Result(Errno error) : error_(error) {}

  explicit operator bool() const { return value_.has_value(); }
  /// Errno::ok when there is a value.
  Errno error() const { return error_; }
  T& operator*() { return *value_; }
  const T& operator*() const { return *value_; }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }

 private:
  std::optional<T> value_;
  Errno error_ = Errno::ok;
};

}  // namespace vpollnet
