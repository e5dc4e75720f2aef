// SPDX-License-Identifier: MIT
// A call of a function of Node's C++ as libuv's callbacks make it: nobody catches what its
// callbacks throw.
#pragma once

#include "node_api.hpp"

namespace vpollnet::binding {

/// callAsLoop(function, receiver, ...arguments): calls a function that is made of C++, which calls
/// back JavaScript in turn (a JSStream's readBuffer(), and with it TLS or HTTP/2). What is thrown
/// in one of those callbacks is an uncaught exception at once, and the function goes on, as it does
/// when libuv has called it: Node-API's calls would have it pass through, and be told at the end.
Napi::Value call_as_loop(const Napi::CallbackInfo& info);

}  // namespace vpollnet::binding
