// SPDX-License-Identifier: MIT
// socket::TcpInfo as a JS object.
#pragma once

#include "node_api.hpp"
#include "socket/tcp_info.hpp"

namespace vpollnet::binding {

/// NativeTcpInfo of ts/native.ts.
Napi::Value to_js(Napi::Env env, const socket::TcpInfo& info);

}  // namespace vpollnet::binding
