// SPDX-License-Identifier: MIT
// The parts of libuv that wait for one descriptor, wake a loop, and tell its phases, declared by
// hand: the package of Node-API headers has no uv.h, and building must not download Node's. These
// signatures and numbers are libuv's stable ABI (the same in every 1.x); Node exports the
// functions. Handles are opaque here, their size is asked for at run time. check_abi() makes sure
// before the first use.
#pragma once

#include <cstddef>
#include <cstring>

extern "C" {
struct uv_loop_s;
struct uv_handle_s;
std::size_t uv_handle_size(int type);
const char* uv_handle_type_name(int type);
void* uv_handle_get_data(const uv_handle_s* handle);
void uv_handle_set_data(uv_handle_s* handle, void* data);
int uv_poll_init(uv_loop_s* loop, uv_handle_s* handle, int fd);
int uv_poll_start(uv_handle_s* handle, int events, void (*callback)(uv_handle_s*, int, int));
int uv_async_init(uv_loop_s* loop, uv_handle_s* handle, void (*callback)(uv_handle_s*));
int uv_async_send(uv_handle_s* handle);
int uv_idle_init(uv_loop_s* loop, uv_handle_s* handle);
int uv_idle_start(uv_handle_s* handle, void (*callback)(uv_handle_s*));
int uv_idle_stop(uv_handle_s* handle);
int uv_check_init(uv_loop_s* loop, uv_handle_s* handle);
void uv_ref(uv_handle_s* handle);
void uv_unref(uv_handle_s* handle);
void uv_close(uv_handle_s* handle, void (*callback)(uv_handle_s*));
}

namespace vpollnet::binding::uv {

inline constexpr int kAsyncHandle = 1;  ///< UV_ASYNC of uv_handle_type
inline constexpr int kCheckHandle = 2;  ///< UV_CHECK
inline constexpr int kIdleHandle = 6;   ///< UV_IDLE
inline constexpr int kPollHandle = 8;   ///< UV_POLL
inline constexpr int kReadable = 1;     ///< UV_READABLE

/// False where uv_handle_type is numbered in another way than we think.
inline bool check_abi() {
  const auto is = [](int type, const char* wanted) {
    const char* name = uv_handle_type_name(type);
    return name != nullptr && std::strcmp(name, wanted) == 0;
  };
  return is(kAsyncHandle, "async") && is(kCheckHandle, "check") && is(kIdleHandle, "idle") &&
         is(kPollHandle, "poll");
}

}  // namespace vpollnet::binding::uv
